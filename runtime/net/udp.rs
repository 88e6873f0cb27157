//! UDP.

use std::io;
use std::net;
use std::time::Duration;

use super::addr::{self, ToSocketAddrs};
use super::shared::{delegate, limit_methods, socket_methods, socket_traits};
use super::socket::Socket;
use super::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A UDP socket, as [`std::net::UdpSocket`].
///
/// ```
/// use sedge::net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// sedge::run(|| {
///     let here = UdpSocket::bind("127.0.0.1:0")?;
///     let there = UdpSocket::bind("127.0.0.1:0")?;
///     let addr = there.local_addr()?;
///     sedge::spawn(move || here.send_to(b"hello", addr).unwrap());
///     let mut buf = [0; 16];
///     let (count, _from) = there.recv_from(&mut buf)?;
///     assert_eq!(&buf[..count], b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct UdpSocket(Socket<net::UdpSocket>);

impl UdpSocket {
    /// A socket on the first of the addresses that can be bound.
    ///
    /// # Errors
    ///
    /// That of the last address, if none can be bound.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        let socket = net::UdpSocket::bind(addr::all(addr)?.as_slice())?;
        Ok(UdpSocket(Socket::from_blocking(socket)?))
    }

    /// Receives a datagram, and says from where. What does not fit is lost.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.receive(|io| io.recv_from(buf))
    }

    /// As [`recv_from`](UdpSocket::recv_from), and leaves the datagram in the queue.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.receive(|io| io.peek_from(buf))
    }

    /// Sends a datagram to the first of the addresses.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if there is none.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let no_address =
            || io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to");
        let addr = addr.to_socket_addrs()?.next().ok_or_else(no_address)?;
        self.0.send(|io| io.send_to(buf, addr))
    }

    /// Sets where [`send`](UdpSocket::send) sends to, and from where alone datagrams are received:
    /// the first of the addresses for which the kernel finds a way.
    ///
    /// # Errors
    ///
    /// That of the last address, if there is no way to any.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        self.0.get_ref().connect(addr::all(addr)?.as_slice())
    }

    /// Sends a datagram to the address the socket is connected to.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.send(|io| io.send(buf))
    }

    /// Receives a datagram from the address the socket is connected to.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.receive(|io| io.recv(buf))
    }

    /// As [`recv`](UdpSocket::recv), and leaves the datagram in the queue.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.receive(|io| io.peek(buf))
    }

    delegate! {
        /// The address it is connected to.
        pub fn peer_addr(&self) -> io::Result<SocketAddr>;
        /// The address it is bound to.
        pub fn local_addr(&self) -> io::Result<SocketAddr>;
        /// Whether it may send to a broadcast address (`SO_BROADCAST`).
        pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()>;
        /// What [`set_broadcast`](UdpSocket::set_broadcast) has set.
        pub fn broadcast(&self) -> io::Result<bool>;
        /// Whether this host receives what it multicasts (`IP_MULTICAST_LOOP`).
        pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()>;
        /// What [`set_multicast_loop_v4`](UdpSocket::set_multicast_loop_v4) has set.
        pub fn multicast_loop_v4(&self) -> io::Result<bool>;
        /// How many routers a multicast packet may pass (`IP_MULTICAST_TTL`).
        pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()>;
        /// What [`set_multicast_ttl_v4`](UdpSocket::set_multicast_ttl_v4) has set.
        pub fn multicast_ttl_v4(&self) -> io::Result<u32>;
        /// Whether this host receives what it multicasts (`IPV6_MULTICAST_LOOP`).
        pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()>;
        /// What [`set_multicast_loop_v6`](UdpSocket::set_multicast_loop_v6) has set.
        pub fn multicast_loop_v6(&self) -> io::Result<bool>;
        /// How many routers a packet may pass (`IP_TTL`).
        pub fn set_ttl(&self, ttl: u32) -> io::Result<()>;
        /// What [`set_ttl`](UdpSocket::set_ttl) has set.
        pub fn ttl(&self) -> io::Result<u32>;
        /// Joins a multicast group on an interface; the unspecified address is any one.
        pub fn join_multicast_v4(
            &self,
            multiaddr: &Ipv4Addr,
            interface: &Ipv4Addr,
        ) -> io::Result<()>;
        /// Joins a multicast group on the interface of that number; 0 is any one.
        pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()>;
        /// Leaves a group that [`join_multicast_v4`](UdpSocket::join_multicast_v4) joined.
        pub fn leave_multicast_v4(
            &self,
            multiaddr: &Ipv4Addr,
            interface: &Ipv4Addr,
        ) -> io::Result<()>;
        /// Leaves a group that [`join_multicast_v6`](UdpSocket::join_multicast_v6) joined.
        pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()>;
    }
    limit_methods!();
    socket_methods!(net::UdpSocket);
}

socket_traits!(UdpSocket, net::UdpSocket);
