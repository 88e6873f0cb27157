//! Why a message was not sent, or not received.

use std::error::Error;
use std::fmt;
use std::io;

use rustix::io::Errno;

/// Why a message was not sent. The others can be.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody is left who could receive it.
    Closed,
    /// It takes more bytes than this end's limit.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Its [`Serialize`](serde::Serialize) has failed, or needs what the encoding does not have.
    Encode(CodeError),
    /// What the system says. `WouldBlock` is what a green thread gets that must not wait because it
    /// unwinds.
    Io(io::Error),
}

/// Why a message was not received. After [`Closed`](RecvError::Closed) there is no further one;
/// after the others there may be: a bad message is lost by itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// There is nothing left, and nobody who could send more.
    Closed,
    /// It has more bytes than this end's limit.
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Bytes or descriptors of it are missing. This process may have too many descriptors open.
    Truncated,
    /// It is no message of this type.
    Decode(CodeError),
    /// What the system says. `WouldBlock` is what a green thread gets that must not wait because it
    /// unwinds.
    Io(io::Error),
}

/// What is wrong with a value that cannot be encoded, or bytes that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeError(Wrong);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrong {
    Postcard(postcard::Error),
    Rest(usize),
}

impl CodeError {
    pub(super) fn postcard(error: postcard::Error) -> CodeError {
        CodeError(Wrong::Postcard(error))
    }

    /// So many bytes were left.
    pub(super) fn rest(bytes: usize) -> CodeError {
        CodeError(Wrong::Rest(bytes))
    }
}

impl SendError {
    pub(super) fn from_io(error: io::Error) -> SendError {
        match Errno::from_io_error(&error) {
            Some(Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN) => {
                SendError::Closed
            }
            _ => SendError::Io(error),
        }
    }

    /// Whether nobody is left who could receive.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, SendError::Closed)
    }
}

impl RecvError {
    /// Whether this is the end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, RecvError::Closed)
    }
}

impl fmt::Display for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Wrong::Postcard(error) => error.fmt(f),
            Wrong::Rest(bytes) => write!(f, "{bytes} bytes are left over"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Closed => f.write_str("nobody is left who could receive"),
            SendError::TooLarge { limit } => {
                write!(f, "the message has more than {limit} bytes, the limit")
            }
            SendError::Encode(error) => write!(f, "the message cannot be encoded: {error}"),
            SendError::Io(error) => write!(f, "the message cannot be sent: {error}"),
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("nobody is left who could send"),
            RecvError::TooLarge { bytes, limit } => {
                write!(f, "a message of {bytes} bytes came; the limit is {limit}")
            }
            RecvError::Truncated => f.write_str("a message came incomplete"),
            RecvError::Decode(error) => write!(f, "a message cannot be decoded: {error}"),
            RecvError::Io(error) => write!(f, "cannot receive: {error}"),
        }
    }
}

impl Error for CodeError {}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SendError::Encode(error) => Some(error),
            SendError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl Error for RecvError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RecvError::Decode(error) => Some(error),
            RecvError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> io::Error {
        let kind = match error {
            SendError::Io(error) => return error,
            SendError::Closed => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> io::Error {
        let kind = match error {
            RecvError::Io(error) => return error,
            RecvError::Closed => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
