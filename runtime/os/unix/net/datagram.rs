//! Unix datagrams.

use std::io;
use std::os::unix::net;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{AddressFamily, SocketType, socketpair};

use super::SocketAddr;
use crate::net::Shutdown;
use crate::net::shared::{delegate, limit_methods, socket_methods, socket_traits};
use crate::net::socket::{self, Socket};

/// A Unix datagram socket, as [`std::os::unix::net::UnixDatagram`].
///
/// Sending waits while the receiver's queue is full. To a connected socket the kernel tells when it
/// has room; [`send_to`](UnixDatagram::send_to) has to try again, with pauses of up to 50 ms.
pub struct UnixDatagram(Socket<net::UnixDatagram>);

impl UnixDatagram {
    /// A socket on a path, which must not exist yet. It stays when the socket is dropped.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram(Socket::from_blocking(
            net::UnixDatagram::bind(path)?,
        )?))
    }

    /// A socket on an address, which may be an abstract one.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram(Socket::from_blocking(
            net::UnixDatagram::bind_addr(socket_addr)?,
        )?))
    }

    /// A socket without an address.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(UnixDatagram(Socket::from_blocking(
            net::UnixDatagram::unbound()?,
        )?))
    }

    /// Two sockets that are connected to each other.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, socket::FLAGS, None)?;
        Ok((
            UnixDatagram(Socket::fresh(a.into())),
            UnixDatagram(Socket::fresh(b.into())),
        ))
    }

    /// Receives a datagram, and says from where. What does not fit is lost.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let end = || Ok((0, SocketAddr::from_pathname("")?));
        self.receive(end, |io| io.recv_from(buf))
    }

    /// Receives a datagram. What does not fit is lost.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(|| Ok(0), |io| io.recv(buf))
    }

    /// Sends a datagram to the socket on a path.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        let path = path.as_ref();
        self.0.send_with_pauses(|io| io.send_to(buf, path))
    }

    /// Sends a datagram to an address, which may be an abstract one.
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        self.0
            .send_with_pauses(|io| io.send_to_addr(buf, socket_addr))
    }

    /// Sends a datagram to the address the socket is connected to.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.send(|io| io.send(buf))
    }

    /// Sets where [`send`](UnixDatagram::send) sends to, and from where alone datagrams are
    /// received.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.0.get_ref().connect(path)
    }

    /// A blocking receive ends when the socket is shut down for reading, but a non-blocking one
    /// says `EAGAIN` for ever. So look before waiting.
    fn receive<R>(
        &self,
        end: impl Fn() -> io::Result<R>,
        mut op: impl FnMut(&net::UnixDatagram) -> io::Result<R>,
    ) -> io::Result<R> {
        self.0.receive(|io| match op(io) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !self.0.is_nonblocking() && is_shut_down(io)? {
                    end()
                } else {
                    Err(error)
                }
            }
            result => result,
        })
    }

    delegate! {
        /// As [`connect`](UnixDatagram::connect), to an address, which may be an abstract one.
        pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()>;
        /// The address it is bound to.
        pub fn local_addr(&self) -> io::Result<SocketAddr>;
        /// The address it is connected to.
        pub fn peer_addr(&self) -> io::Result<SocketAddr>;
        /// Closes one direction or both.
        pub fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    }
    limit_methods!();
    socket_methods!(net::UnixDatagram);
}

/// Whether the socket is shut down for reading.
fn is_shut_down(socket: &net::UnixDatagram) -> io::Result<bool> {
    let mut fds = [PollFd::new(socket, PollFlags::RDHUP)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    retry_on_intr(|| poll(&mut fds, Some(&now)))?;
    Ok(fds[0].revents().contains(PollFlags::RDHUP))
}

socket_traits!(UnixDatagram, net::UnixDatagram);
