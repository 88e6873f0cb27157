//! `FromRawFd` of all that has a descriptor, the one unsafe conversion.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::unix::net::{UnixDatagram, UnixListener, UnixStream};
use crate::fs::File;
use crate::io::{PipeReader, PipeWriter};
use crate::net::{TcpListener, TcpStream, UdpSocket};

macro_rules! from_raw_fd {
    ($($socket:ty),*) => {$(
        impl FromRawFd for $socket {
            unsafe fn from_raw_fd(fd: RawFd) -> $socket {
                // SAFETY: the descriptor must be open and nobody else's, which is also what this
                // function demands of its caller.
                <$socket>::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }
    )*};
}

from_raw_fd!(
    File,
    PipeReader,
    PipeWriter,
    TcpListener,
    TcpStream,
    UdpSocket,
    UnixDatagram,
    UnixListener,
    UnixStream
);
