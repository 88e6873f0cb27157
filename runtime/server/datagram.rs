//! Servers of datagrams: one green thread for each.

use std::fmt;
use std::io;
use std::rc::Rc;

use super::Shutdown;
use super::accept::Frame;
use super::failure::{Failure, Outcome, Report};
use super::handle::ServerHandle;
use crate::net::{self, UdpSocket};
use crate::os::unix::net::{SocketAddr as UnixSocketAddr, UnixDatagram};

/// No datagram of UDP is longer than 65,507 bytes.
const LONGEST: usize = 65_536;

/// What a [`DatagramServer`] receives from and answers through. A program may implement it.
pub trait DatagramSocket {
    /// What names a sender.
    type Addr: fmt::Debug + 'static;

    /// Waits for a datagram, by what sedge can unwind, and says how long it is and from where.
    ///
    /// # Errors
    ///
    /// As for [`Listener::accept`](super::Listener::accept).
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Self::Addr)>;

    /// Sends a datagram.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn send(&self, data: &[u8], to: &Self::Addr) -> io::Result<usize>;

    /// The address it receives on.
    ///
    /// # Errors
    ///
    /// If the system does not know.
    fn local_addr(&self) -> io::Result<Self::Addr>;
}

impl DatagramSocket for UdpSocket {
    type Addr = net::SocketAddr;

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, net::SocketAddr)> {
        self.recv_from(buffer)
    }

    fn send(&self, data: &[u8], to: &net::SocketAddr) -> io::Result<usize> {
        self.send_to(data, to)
    }

    fn local_addr(&self) -> io::Result<net::SocketAddr> {
        self.local_addr()
    }
}

impl DatagramSocket for UnixDatagram {
    type Addr = UnixSocketAddr;

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, UnixSocketAddr)> {
        self.recv_from(buffer)
    }

    fn send(&self, data: &[u8], to: &UnixSocketAddr) -> io::Result<usize> {
        self.send_to_addr(data, to)
    }

    fn local_addr(&self) -> io::Result<UnixSocketAddr> {
        self.local_addr()
    }
}

/// A datagram that was received, and the way back.
#[derive(Debug)]
pub struct Datagram<S: DatagramSocket> {
    data: Vec<u8>,
    peer: S::Addr,
    socket: Rc<S>,
    server: ServerHandle<S::Addr>,
}

impl<S: DatagramSocket> Datagram<S> {
    /// What is in it.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Who sent it.
    #[must_use]
    pub fn peer_addr(&self) -> &S::Addr {
        &self.peer
    }

    /// Sends a datagram to who sent this one.
    ///
    /// # Errors
    ///
    /// What the system says. A Unix socket that has no address cannot be answered.
    pub fn reply(&self, data: &[u8]) -> io::Result<()> {
        self.socket.send(data, &self.peer).map(|_| ())
    }

    /// The socket it came through.
    #[must_use]
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// The word that the server is to stop.
    #[must_use]
    pub fn stopping(&self) -> &Shutdown {
        self.server.stopping()
    }

    /// The server it came to.
    #[must_use]
    pub fn server(&self) -> &ServerHandle<S::Addr> {
        &self.server
    }
}

/// Receives datagrams and handles each on a green thread of its own, so answers may overtake each
/// other. gevent's `DatagramServer`.
///
/// It is stopped and told of as a [`Server`](super::Server) is. What the kernel has no room for
/// while all [handlers](DatagramServer::max_handlers) are at work, is lost, as datagrams are.
///
/// ```
/// use sedge::net::UdpSocket;
/// use sedge::server::DatagramServer;
///
/// # fn main() -> std::io::Result<()> {
/// sedge::run(|| {
///     let socket = UdpSocket::bind("127.0.0.1:0")?;
///     let server = DatagramServer::new(socket, |datagram| {
///         datagram.reply(&datagram.data().to_ascii_uppercase())
///     })
///     .start()?;
///
///     let client = UdpSocket::bind("127.0.0.1:0")?;
///     client.send_to(b"hello", server.local_addr().unwrap())?;
///     let mut reply = [0; 16];
///     let count = client.recv(&mut reply)?;
///     assert_eq!(&reply[..count], b"HELLO");
///     server.stop();
///     Ok(())
/// })
/// # }
/// ```
pub struct DatagramServer<S: DatagramSocket> {
    socket: Rc<S>,
    handler: Rc<Handler<S>>,
    frame: Frame<S::Addr>,
    longest: usize,
}

type Handler<S> = dyn Fn(&Datagram<S>) -> io::Result<()>;

impl<S: DatagramSocket + 'static> DatagramServer<S> {
    /// A server that calls `handler` with each datagram.
    #[must_use = "a server does nothing until it runs"]
    pub fn new<F, R>(socket: S, handler: F) -> DatagramServer<S>
    where
        F: Fn(&Datagram<S>) -> R + 'static,
        R: Outcome,
    {
        DatagramServer {
            frame: Frame::new(socket.local_addr().ok()),
            handler: Rc::new(move |datagram: &_| handler(datagram).into_result()),
            socket: Rc::new(socket),
            longest: LONGEST,
        }
    }

    /// At most so many handlers at once; no limit by default.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use = "a server does nothing until it runs"]
    pub fn max_handlers(mut self, most: usize) -> DatagramServer<S> {
        assert!(
            most > 0,
            "a server with no place for a handler serves nobody"
        );
        self.frame.most = most;
        self
    }

    /// The longest datagram that is accepted; 64 KiB by default, which is more than UDP can send.
    /// One that is longer would be cut, so it is dropped, and
    /// [`on_error`](DatagramServer::on_error) hears of it.
    #[must_use = "a server does nothing until it runs"]
    pub fn max_length(mut self, longest: usize) -> DatagramServer<S> {
        self.longest = longest;
        self
    }

    /// The stack of the green threads that handle; see
    /// [`Builder::stack_size`](crate::thread::Builder::stack_size).
    #[must_use = "a server does nothing until it runs"]
    pub fn stack_size(mut self, size: usize) -> DatagramServer<S> {
        self.frame.threads = self.frame.threads.stack_size(size);
        self
    }

    /// Who hears of errors; see [`Server::on_error`](super::Server::on_error).
    #[must_use = "a server does nothing until it runs"]
    pub fn on_error(mut self, hook: impl Fn(&Failure<S::Addr>) + 'static) -> DatagramServer<S> {
        self.frame.report = Report::new(hook);
        self
    }

    /// The address it receives on.
    ///
    /// # Errors
    ///
    /// If the system does not know.
    pub fn local_addr(&self) -> io::Result<S::Addr> {
        self.socket.local_addr()
    }

    /// What stops it. Its [`connections`](ServerHandle::connections) are the handlers at work.
    #[must_use]
    pub fn handle(&self) -> ServerHandle<S::Addr> {
        self.frame.handle()
    }

    /// Receives and handles until the server is [stopped](ServerHandle::stop), and returns when the
    /// last handler has ended. Until then the socket stays open, for their replies.
    ///
    /// If this is unwound, the handlers are cancelled.
    ///
    /// # Errors
    ///
    /// If the socket can receive no more, as [`Server::run`](super::Server::run).
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), and with the panic of [`DatagramSocket::receive`].
    pub fn run(self) -> io::Result<()> {
        let DatagramServer {
            socket,
            handler,
            frame,
            longest,
        } = self;
        // One byte more than is wanted tells what is longer.
        let mut buffer = vec![0; longest + 1];
        frame.alive.runs_here();
        let result = frame.accept_all(|| {
            let (count, peer) = socket.receive(&mut buffer)?;
            if count > longest {
                let why = format!("a datagram is longer than {longest} bytes");
                frame
                    .report
                    .tell(Some(peer), io::Error::new(io::ErrorKind::InvalidData, why));
                return Ok(());
            }
            let (handler, report) = (Rc::clone(&handler), frame.report.clone());
            let datagram = Datagram {
                data: buffer[..count].to_vec(),
                peer,
                socket: Rc::clone(&socket),
                server: frame.handle(),
            };
            frame.serve(move |place| {
                let _place = place;
                if let Err(error) = handler(&datagram) {
                    report.tell(Some(datagram.peer), error);
                }
            })
        });
        drop(socket);
        frame.finish();
        result
    }

    /// [Runs](DatagramServer::run) it on a green thread of its own. What `run` would return as an
    /// error, [`on_error`](DatagramServer::on_error) hears.
    ///
    /// # Errors
    ///
    /// If there is no memory for a green thread.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn start(self) -> io::Result<ServerHandle<S::Addr>> {
        let (handle, report) = (self.frame.handle(), self.frame.report.clone());
        self.frame.alive.accepting();
        self.frame.acceptor().spawn(move || {
            if let Err(error) = self.run() {
                report.tell(None, error);
            }
        })?;
        Ok(handle)
    }
}

impl<S: DatagramSocket> fmt::Debug for DatagramServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramServer")
            .field("handle", &self.frame.alive.0)
            .finish_non_exhaustive()
    }
}
