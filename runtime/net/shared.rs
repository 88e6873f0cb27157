//! What all socket types have, written once: methods and traits as macros.

/// Methods that cannot wait, passed on to the std socket.
macro_rules! delegate {
    ($(
        $(#[$attribute:meta])*
        pub fn $name:ident(&self $(, $argument:ident: $type:ty)* $(,)?) -> $result:ty;
    )*) => {$(
        $(#[$attribute])*
        pub fn $name(&self $(, $argument: $type)*) -> $result {
            self.0.get_ref().$name($($argument),*)
        }
    )*};
}

/// The methods that all sockets have.
macro_rules! socket_methods {
    ($std:ty) => {
        /// Another handle to the same socket. What is set on one holds for both, `set_nonblocking`
        /// and the time limits included.
        pub fn try_clone(&self) -> io::Result<Self> {
            Ok(Self(self.0.try_clone(|io| io.try_clone())?))
        }

        /// Whether calls that would wait fail at once with [`io::ErrorKind::WouldBlock`]. At first
        /// they do not.
        pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
            self.0.set_nonblocking(nonblocking);
            Ok(())
        }

        /// Takes the pending error of the socket (`SO_ERROR`).
        pub fn take_error(&self) -> io::Result<Option<io::Error>> {
            self.0.get_ref().take_error()
        }
    };
}

/// The time limits of those sockets that have them.
macro_rules! limit_methods {
    () => {
        /// Limits how long a read or receive waits; `None` is for ever. When the limit passes, the
        /// call fails with [`io::ErrorKind::WouldBlock`], as std's does on Linux.
        ///
        /// # Errors
        ///
        /// [`io::ErrorKind::InvalidInput`] for a limit of zero.
        pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
            self.0.get_ref().set_read_timeout(limit)?;
            self.0.set_read_limit(limit);
            Ok(())
        }

        /// Limits how long a write or send waits; otherwise as
        /// [`set_read_timeout`](Self::set_read_timeout).
        ///
        /// # Errors
        ///
        /// [`io::ErrorKind::InvalidInput`] for a limit of zero.
        pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
            self.0.get_ref().set_write_timeout(limit)?;
            self.0.set_write_limit(limit);
            Ok(())
        }

        /// The limit of a read, which the kernel may have rounded up.
        pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
            self.0.get_ref().read_timeout()
        }

        /// The limit of a write, which the kernel may have rounded up.
        pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
            self.0.get_ref().write_timeout()
        }
    };
}

/// `Read` and `Write` for a stream and for references to it. Its `read_with` takes the room in the
/// buffers and the call, and knows how to wait.
macro_rules! read_and_write {
    ($stream:ty) => {
        impl Read for &$stream {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.read_with(buf.len(), |mut io| io.read(buf))
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let room = bufs.iter().map(|buf| buf.len()).sum();
                self.read_with(room, |mut io| io.read_vectored(bufs))
            }
        }

        impl Write for &$stream {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0.send(|mut io| io.write(buf))
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.0.send(|mut io| io.write_vectored(bufs))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Read for $stream {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        impl Write for $stream {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

/// The traits that all sockets have: conversions from and to the std type and descriptors, std's
/// debug text. `FromRawFd`, which is unsafe, is in `os::fd`.
macro_rules! socket_traits {
    ($ours:ident, $std:ty) => {
        /// If the socket was in non-blocking mode, calls do not wait, as after
        #[doc = concat!("[`set_nonblocking`](", stringify!($ours), "::set_nonblocking)`(true)`.")]
        /// A std clone that stays behind is in non-blocking mode from then on.
        impl From<$std> for $ours {
            fn from(io: $std) -> $ours {
                $ours($crate::net::socket::Socket::adopt(io.into()))
            }
        }

        /// The socket comes back in blocking mode, unless
        #[doc = concat!("[`set_nonblocking`](", stringify!($ours), "::set_nonblocking)`(true)`")]
        /// was called. A clone that stays behind shares that mode: waiting for it then blocks the
        /// OS thread.
        impl From<$ours> for $std {
            fn from(socket: $ours) -> $std {
                socket.0.surrender().into()
            }
        }

        impl From<std::os::fd::OwnedFd> for $ours {
            fn from(fd: std::os::fd::OwnedFd) -> $ours {
                $ours::from(<$std>::from(fd))
            }
        }

        impl From<$ours> for std::os::fd::OwnedFd {
            fn from(socket: $ours) -> std::os::fd::OwnedFd {
                <$std>::from(socket).into()
            }
        }

        impl std::os::fd::IntoRawFd for $ours {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::OwnedFd::from(self).into_raw_fd()
            }
        }

        /// The descriptor is in non-blocking mode, whatever was set; leave it so.
        impl std::os::fd::AsFd for $ours {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        /// The descriptor is in non-blocking mode, whatever was set; leave it so.
        impl std::os::fd::AsRawFd for $ours {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(self))
            }
        }

        // As std's: no call leaves the cells inside half changed.
        impl std::panic::UnwindSafe for $ours {}
        impl std::panic::RefUnwindSafe for $ours {}

        impl std::fmt::Debug for $ours {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

pub(crate) use {delegate, limit_methods, read_and_write, socket_methods, socket_traits};
