//! TCP.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::iter::FusedIterator;
use std::net;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::AddressFamily;

use super::addr::{self, ToSocketAddrs};
use super::adoption::{self, Listening, Siblings};
use super::shared::{delegate, limit_methods, read_and_write, socket_methods, socket_traits};
use super::socket::{self, Socket};
use super::{Shutdown, SocketAddr};

/// A TCP connection, as [`std::net::TcpStream`].
///
/// Several green threads may use one at once, by reference, `Rc` or
/// [`try_clone`](TcpStream::try_clone). [The module](crate::net) says what differs from std.
///
/// ```
/// use sedge::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// sedge::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let addr = listener.local_addr()?;
///     sedge::spawn(move || {
///         let (mut client, _) = listener.accept().unwrap();
///         client.write_all(b"hello").unwrap();
///     });
///     let mut text = String::new();
///     TcpStream::connect(addr)?.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     Ok(())
/// })
/// # }
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail
/// fn needs_send<T: Send>() {}
/// needs_send::<sedge::net::TcpStream>();
/// ```
pub struct TcpStream(pub(super) Socket<net::TcpStream>);

impl TcpStream {
    /// Connects to the first of the addresses that accepts.
    ///
    /// # Errors
    ///
    /// That of the last address, if none does.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        addr::first_that(addr, |addr| connect(&addr, None))
    }

    /// Connects to an address within `limit`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] if that has passed, [`io::ErrorKind::InvalidInput`] if it is
    /// zero.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn connect_timeout(addr: &SocketAddr, limit: Duration) -> io::Result<TcpStream> {
        connect(addr, Some(limit))
    }

    /// Receives without taking what it receives from the queue.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.receive(|io| io.peek(buf))
    }

    fn read_with(
        &self,
        room: usize,
        op: impl FnMut(&net::TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.0.read_stream(room, op)
    }

    delegate! {
        /// The address of the other side.
        pub fn peer_addr(&self) -> io::Result<SocketAddr>;
        /// The address of this side.
        pub fn local_addr(&self) -> io::Result<SocketAddr>;
        /// Closes one direction or both. Readers that wait find the end of the stream, writers an
        /// error.
        pub fn shutdown(&self, how: Shutdown) -> io::Result<()>;
        /// Whether small writes are sent at once (`TCP_NODELAY`).
        pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()>;
        /// What [`set_nodelay`](TcpStream::set_nodelay) has set.
        pub fn nodelay(&self) -> io::Result<bool>;
        /// How many routers a packet may pass (`IP_TTL`).
        pub fn set_ttl(&self, ttl: u32) -> io::Result<()>;
        /// What [`set_ttl`](TcpStream::set_ttl) has set.
        pub fn ttl(&self) -> io::Result<u32>;
    }
    limit_methods!();
    socket_methods!(net::TcpStream);
}

/// If this is unwound or fails, the socket is closed.
fn connect(addr: &SocketAddr, limit: Option<Duration>) -> io::Result<TcpStream> {
    let socket = socket::stream(match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    })?;
    socket.connect(addr, limit)?;
    Ok(TcpStream(socket))
}

read_and_write!(TcpStream);
socket_traits!(TcpStream, net::TcpStream);

/// A socket that accepts TCP connections, as [`std::net::TcpListener`].
///
/// ```no_run
/// use sedge::net::TcpListener;
///
/// # fn main() -> std::io::Result<()> {
/// sedge::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:8080")?;
///     for stream in listener.incoming() {
///         let stream = stream?;
///         sedge::spawn(move || std::io::copy(&mut &stream, &mut &stream)); // echo
///     }
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpListener(Socket<Listening>);

impl TcpListener {
    /// Listens on the first of the addresses that can be bound, with `SO_REUSEADDR`. Port 0 is any
    /// free port.
    ///
    /// # Errors
    ///
    /// That of the last address, if none can be bound.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        let listener = net::TcpListener::bind(addr::all(addr)?.as_slice())?;
        Ok(TcpListener(Socket::from_blocking(listener.into())?))
    }

    /// A listener that the launcher holds too, and by what it is told to accept from the sockets of
    /// its siblings as well. Its clones are told with it.
    pub(crate) fn with_siblings(
        listener: net::TcpListener,
    ) -> io::Result<(TcpListener, Rc<Siblings>)> {
        let siblings = Rc::new(Siblings::default());
        let listening = Listening::new(listener, Rc::clone(&siblings));
        Ok((TcpListener(Socket::from_blocking(listening)?), siblings))
    }

    /// Waits for a connection.
    ///
    /// Those that broke while they were queued are passed over. While the process or the system is
    /// out of descriptors or memory it waits, and tries again with growing pauses; after
    /// [`set_nonblocking`](TcpListener::set_nonblocking) it fails instead.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (fd, addr) = adoption::accept(&self.0)?;
        let stream = net::TcpStream::from(fd);
        let addr = match addr.map(SocketAddr::try_from) {
            Some(Ok(addr)) => addr,
            _ => stream.peer_addr()?,
        };
        Ok((TcpStream(self.0.accepted(stream)), addr))
    }

    /// Accepts for ever.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    delegate! {
        /// The address it listens on.
        pub fn local_addr(&self) -> io::Result<SocketAddr>;
        /// How many routers a packet may pass (`IP_TTL`).
        pub fn set_ttl(&self, ttl: u32) -> io::Result<()>;
        /// What [`set_ttl`](TcpListener::set_ttl) has set.
        pub fn ttl(&self) -> io::Result<u32>;
        /// Whether an IPv6 listener leaves IPv4 alone. It is too late for that once it is bound.
        #[deprecated(note = "this option can only be set before the socket is bound")]
        #[expect(deprecated, reason = "std's is")]
        pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()>;
        /// Whether an IPv6 listener leaves IPv4 alone.
        #[deprecated(note = "this option can only be set before the socket is bound")]
        #[expect(deprecated, reason = "std's is")]
        pub fn only_v6(&self) -> io::Result<bool>;
    }
    socket_methods!(net::TcpListener);
}

socket_traits!(TcpListener, net::TcpListener);

/// The connections of a [`TcpListener`], without end; from [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
