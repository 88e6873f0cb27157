//! Why a queue did not take an item, or did not give one.

use std::error::Error;
use std::fmt;

/// The queue was shut down; the item comes back. As [`std::sync::mpsc::SendError`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PutError<T>(pub T);

/// The item was not put, and comes back. As [`std::sync::mpsc::TrySendError`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryPutError<T> {
    /// There was no room, to the end of the limit if there was one.
    Full(T),
    /// The queue was shut down.
    Shutdown(T),
}

/// The queue was shut down, and no item is left. As [`std::sync::mpsc::RecvError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetError;

/// There was no item. As [`std::sync::mpsc::TryRecvError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryGetError {
    /// There was none, to the end of the limit if there was one.
    Empty,
    /// The queue was shut down, and none is left.
    Shutdown,
}

impl<T> TryPutError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        match self {
            TryPutError::Full(item) | TryPutError::Shutdown(item) => item,
        }
    }
}

impl<T> From<PutError<T>> for TryPutError<T> {
    fn from(PutError(item): PutError<T>) -> TryPutError<T> {
        TryPutError::Shutdown(item)
    }
}

impl From<GetError> for TryGetError {
    fn from(GetError: GetError) -> TryGetError {
        TryGetError::Shutdown
    }
}

const FULL: &str = "the queue is full";
const EMPTY: &str = "the queue is empty";
const SHUTDOWN: &str = "the queue was shut down";

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHUTDOWN)
    }
}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryPutError::Full(_) => "Full(..)",
            TryPutError::Shutdown(_) => "Shutdown(..)",
        })
    }
}

impl<T> fmt::Display for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryPutError::Full(_) => FULL,
            TryPutError::Shutdown(_) => SHUTDOWN,
        })
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHUTDOWN)
    }
}

impl fmt::Display for TryGetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryGetError::Empty => EMPTY,
            TryGetError::Shutdown => SHUTDOWN,
        })
    }
}

impl<T> Error for PutError<T> {}
impl<T> Error for TryPutError<T> {}
impl Error for GetError {}
impl Error for TryGetError {}
