//! Locks on whole files, between processes.
//!
//! A lock may be held for as long as its owner likes, so waiting for it must not take an OS thread
//! from the pool: it is tried again and again, with pauses.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::File;
use crate::io::may_wait;
use crate::thread;

/// The first pause and the longest; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Why [`File::try_lock`] has not locked; as std's of that name.
#[derive(Debug)]
pub enum TryLockError {
    /// The system refuses.
    Error(io::Error),
    /// Somebody else has it.
    WouldBlock,
}

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryLockError::Error(_) => "lock acquisition failed due to I/O error",
            TryLockError::WouldBlock => "lock acquisition failed because the operation would block",
        })
    }
}

impl Error for TryLockError {}

impl From<TryLockError> for io::Error {
    fn from(error: TryLockError) -> io::Error {
        match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        }
    }
}

impl File {
    /// Waits until nobody has a lock on the file, and locks it. Released by
    /// [`unlock`](File::unlock), or when all handles to it are closed.
    ///
    /// ```
    /// use sedge::fs::File;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// sedge::run(|| {
    ///     let (one, other) = (File::open("Cargo.toml")?, File::open("Cargo.toml")?);
    ///     one.lock()?;
    ///     assert!(other.try_lock().is_err());
    ///     let waits = sedge::spawn(move || other.lock());
    ///     sedge::yield_now();
    ///     one.unlock()?;
    ///     waits.join().unwrap()
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the file system has no locks.
    pub fn lock(&self) -> io::Result<()> {
        use FlockOperation::{LockExclusive, NonBlockingLockExclusive};
        self.lock_as(LockExclusive, NonBlockingLockExclusive)
    }

    /// Waits until nobody has an exclusive lock on the file, and takes a shared one.
    ///
    /// # Errors
    ///
    /// As [`lock`](File::lock).
    pub fn lock_shared(&self) -> io::Result<()> {
        use FlockOperation::{LockShared, NonBlockingLockShared};
        self.lock_as(LockShared, NonBlockingLockShared)
    }

    /// Locks the file if nobody else has a lock on it.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if somebody has; otherwise as [`lock`](File::lock).
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.try_lock_as(FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes a shared lock if nobody else has an exclusive one.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](File::try_lock).
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.try_lock_as(FlockOperation::NonBlockingLockShared)
    }

    /// Releases the lock.
    ///
    /// # Errors
    ///
    /// As [`lock`](File::lock).
    pub fn unlock(&self) -> io::Result<()> {
        Ok(flock(self, FlockOperation::Unlock)?)
    }

    fn try_lock_as(&self, now: FlockOperation) -> Result<(), TryLockError> {
        flock(self, now).map_err(|error| match error {
            Errno::AGAIN => TryLockError::WouldBlock,
            error => TryLockError::Error(error.into()),
        })
    }

    fn lock_as(&self, blocking: FlockOperation, now: FlockOperation) -> io::Result<()> {
        if !may_wait() {
            return Ok(flock(self, blocking)?);
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_lock_as(now) {
                Err(TryLockError::WouldBlock) => thread::sleep(pause),
                result => return result.map_err(io::Error::from),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
