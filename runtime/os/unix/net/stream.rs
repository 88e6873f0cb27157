//! Unix connections.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net;
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, socketpair};

use super::SocketAddr;
use crate::net::Shutdown;
use crate::net::shared::{delegate, limit_methods, read_and_write, socket_methods, socket_traits};
use crate::net::socket::{self, Socket};

/// A Unix stream connection, as [`std::os::unix::net::UnixStream`].
///
/// ```
/// use sedge::os::unix::net::UnixStream;
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// sedge::run(|| {
///     let (mut here, mut there) = UnixStream::pair()?;
///     sedge::spawn(move || there.write_all(b"hello").unwrap());
///     let mut text = String::new();
///     here.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixStream(pub(super) Socket<net::UnixStream>);

impl UnixStream {
    /// Connects to the socket on a path.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to an address, which may be an abstract one.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        let addr = match (socket_addr.as_pathname(), socket_addr.as_abstract_name()) {
            (Some(path), _) => SocketAddrUnix::new(path)?,
            (_, Some(name)) => SocketAddrUnix::new_abstract_name(name)?,
            _ => SocketAddrUnix::new_unnamed(),
        };
        let socket = socket::stream(AddressFamily::UNIX)?;
        socket.connect_unix(&addr)?;
        Ok(UnixStream(socket))
    }

    /// Two sockets that are connected to each other.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, socket::FLAGS, None)?;
        Ok((
            UnixStream(Socket::fresh(a.into())),
            UnixStream(Socket::fresh(b.into())),
        ))
    }

    /// A short read does not mean that there is no more: it also ends where descriptors were sent
    /// along.
    fn read_with(
        &self,
        _room: usize,
        op: impl FnMut(&net::UnixStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.0.receive(op)
    }

    delegate! {
        /// The address of this side.
        pub fn local_addr(&self) -> io::Result<SocketAddr>;
        /// The address of the other side.
        pub fn peer_addr(&self) -> io::Result<SocketAddr>;
        /// Closes one direction or both. Readers that wait find the end of the stream, writers an
        /// error.
        pub fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    }
    limit_methods!();
    socket_methods!(net::UnixStream);
}

read_and_write!(UnixStream);
socket_traits!(UnixStream, net::UnixStream);
