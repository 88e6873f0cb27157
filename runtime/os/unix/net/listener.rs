//! Accepting Unix connections.

use std::io;
use std::os::unix::net;
use std::path::Path;

use rustix::net::SocketAddrUnix;

use super::{SocketAddr, UnixStream};
use crate::net::shared::{delegate, socket_methods, socket_traits};
use crate::net::socket::{Socket, accept_sound};

/// A socket that accepts Unix connections, as [`std::os::unix::net::UnixListener`].
pub struct UnixListener(Socket<net::UnixListener>);

impl UnixListener {
    /// Listens on a path, which must not exist yet. It stays when the listener is dropped.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        let listener = net::UnixListener::bind(path)?;
        Ok(UnixListener(Socket::from_blocking(listener)?))
    }

    /// Listens on an address, which may be an abstract one.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        let listener = net::UnixListener::bind_addr(socket_addr)?;
        Ok(UnixListener(Socket::from_blocking(listener)?))
    }

    /// Waits for a connection. As [`TcpListener::accept`](crate::net::TcpListener::accept) it waits
    /// when the process is out of descriptors.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (fd, addr) = self.0.accept(accept_sound)?;
        let stream = net::UnixStream::from(fd);
        let is_unnamed = addr
            .is_none_or(|addr| SocketAddrUnix::try_from(addr).is_ok_and(|addr| addr.is_unnamed()));
        let addr = if is_unnamed {
            SocketAddr::from_pathname("")?
        } else {
            stream.peer_addr()?
        };
        Ok((UnixStream(Socket::fresh(stream)), addr))
    }

    /// Accepts for ever.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    delegate! {
        /// The address it listens on.
        pub fn local_addr(&self) -> io::Result<SocketAddr>;
    }
    socket_methods!(net::UnixListener);
}

socket_traits!(UnixListener, net::UnixListener);

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

/// The connections of a [`UnixListener`], without end; from [`UnixListener::incoming`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}
