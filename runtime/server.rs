//! Servers: an accept loop, one green thread per connection, and an orderly end. gevent's
//! `StreamServer` and `DatagramServer`.
//!
//! ```no_run
//! use sedge::net::TcpListener;
//! use sedge::server::Server;
//! use std::io::{self, Read, Write};
//!
//! fn main() -> io::Result<()> {
//!     sedge::run(|| {
//!         let listener = TcpListener::bind("127.0.0.1:7000")?;
//!         Server::new(listener, |mut stream| {
//!             let mut buffer = [0; 4096];
//!             loop {
//!                 match stream.read(&mut buffer)? {
//!                     0 => return io::Result::Ok(()),
//!                     count => stream.write_all(&buffer[..count])?,
//!                 }
//!             }
//!         })
//!         .run()
//!     })
//! }
//! ```
//!
//! # The life of a server
//!
//! ```text
//!   new ──> run, start ──> accepting ──> stop, shutdown ──> closed ──> ended
//!                              │                              │          │
//!                  one green thread for each      the listener is gone,  the last handler has
//!                  connection, at most            `stopping` is set,     ended; `run` and `wait`
//!                  `max_connections`              handlers finish        return
//! ```
//!
//! * A handler that panics or fails ends its own connection only. The panic is printed as every
//!   green thread's; what it returns as an error goes to [`on_error`](Server::on_error).
//! * A server that is full does not refuse: it stops accepting, and the kernel queues.
//! * A server whose [`run`](Server::run) is unwound, by a cancellation or a
//!   [`timeout`](crate::timeout), cancels its handlers: nothing of it stays behind.
//! * A handler hears of the end if it looks: see [`Shutdown`]. [`ServerHandle::shutdown`] gives it
//!   time, and cancels it when that is over.
//!
//! What a listener is, says the trait [`Listener`]; a program may have its own.

mod accept;
mod datagram;
mod failure;
mod handle;
mod shutdown;

use std::fmt;
use std::io;
use std::rc::Rc;

pub use self::datagram::{Datagram, DatagramServer, DatagramSocket};
pub use self::failure::{Failure, Outcome};
pub use self::handle::ServerHandle;
pub use self::shutdown::Shutdown;

use self::accept::Frame;
use self::failure::Report;
use crate::net::{self, TcpListener, TcpStream};
use crate::os::unix::net::{SocketAddr as UnixSocketAddr, UnixListener, UnixStream};

/// What a [`Server`] accepts connections from.
///
/// A program may implement it, for example to give each stream its time limits. What takes a
/// client's cooperation, such as a TLS handshake, does not belong into `accept` but into the
/// handler, for the next client waits meanwhile.
///
/// ```
/// use sedge::net::{SocketAddr, TcpListener, TcpStream};
/// use sedge::server::{Listener, Server};
/// use std::io::{self, Read, Write};
/// use std::time::Duration;
///
/// /// Gives each connection a time limit.
/// struct Impatient(TcpListener);
///
/// impl Listener for Impatient {
///     type Stream = TcpStream;
///     type Addr = SocketAddr;
///
///     fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
///         let (stream, addr) = self.0.accept()?;
///         stream.set_read_timeout(Some(Duration::from_secs(10)))?;
///         Ok((stream, addr))
///     }
///
///     fn local_addr(&self) -> io::Result<SocketAddr> {
///         self.0.local_addr()
///     }
/// }
///
/// sedge::run(|| {
///     let listener = Impatient(TcpListener::bind("127.0.0.1:0")?);
///     let server = Server::new(listener, |mut stream| stream.write_all(b"quick!")).start()?;
///     let mut text = String::new();
///     TcpStream::connect(server.local_addr().unwrap())?.read_to_string(&mut text)?;
///     assert_eq!(text, "quick!");
///     server.stop();
///     io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub trait Listener {
    /// A connection.
    type Stream: 'static;
    /// What names one end of it.
    type Addr: fmt::Debug + 'static;

    /// Waits for a connection, by what sedge can unwind: that is how a server stops.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput), which the kernel says of a socket that does
    /// not listen any more, ends the server, as do `EBADF`, `ENOTSOCK` and `EOPNOTSUPP`. After any
    /// other the server tries again, after a pause.
    fn accept(&self) -> io::Result<(Self::Stream, Self::Addr)>;

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// If the system does not know.
    fn local_addr(&self) -> io::Result<Self::Addr>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Addr = net::SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, net::SocketAddr)> {
        self.accept()
    }

    fn local_addr(&self) -> io::Result<net::SocketAddr> {
        self.local_addr()
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Addr = UnixSocketAddr;

    fn accept(&self) -> io::Result<(UnixStream, UnixSocketAddr)> {
        self.accept()
    }

    fn local_addr(&self) -> io::Result<UnixSocketAddr> {
        self.local_addr()
    }
}

impl<L: Listener + ?Sized> Listener for Rc<L> {
    type Stream = L::Stream;
    type Addr = L::Addr;

    fn accept(&self) -> io::Result<(L::Stream, L::Addr)> {
        (**self).accept()
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        (**self).local_addr()
    }
}

/// What a handler is told of its connection, apart from the stream.
///
/// ```
/// use sedge::net::{TcpListener, TcpStream};
/// use sedge::server::{Connection, Server};
/// use std::io::{self, BufRead, BufReader, Write};
/// use std::net::SocketAddr;
///
/// /// Whoever says "quit" stops the server.
/// fn serve(stream: TcpStream, connection: &Connection<SocketAddr>) -> io::Result<()> {
///     for line in BufReader::new(stream).lines() {
///         if line? == "quit" {
///             connection.server().stop();
///         }
///     }
///     println!("{} has gone", connection.peer_addr());
///     Ok(())
/// }
///
/// sedge::run(|| {
///     let server = Server::with_connection(TcpListener::bind("127.0.0.1:0")?, serve);
///     let mut client = TcpStream::connect(server.local_addr()?)?;
///     client.write_all(b"quit\n")?;
///     drop(client);
///     server.run()
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct Connection<A> {
    peer: A,
    server: ServerHandle<A>,
}

impl<A> Connection<A> {
    /// The address of the other side.
    #[must_use]
    pub fn peer_addr(&self) -> &A {
        &self.peer
    }

    /// The word that the server is to stop: look, and come to an end.
    #[must_use]
    pub fn stopping(&self) -> &Shutdown {
        self.server.stopping()
    }

    /// The server it came to.
    #[must_use]
    pub fn server(&self) -> &ServerHandle<A> {
        &self.server
    }
}

/// Accepts connections and serves each on a green thread of its own. [The module](self) has an
/// example.
///
/// A server that is dropped before it runs closes its listener.
pub struct Server<L: Listener> {
    listener: L,
    handler: Rc<Handler<L>>,
    frame: Frame<L::Addr>,
}

type Handler<L> =
    dyn Fn(<L as Listener>::Stream, &Connection<<L as Listener>::Addr>) -> io::Result<()>;

impl<L: Listener + 'static> Server<L> {
    /// A server that calls `handler` with each stream. The handler returns nothing, or an
    /// [`io::Result`], so that it may use `?`.
    #[must_use = "a server does nothing until it runs"]
    pub fn new<F, R>(listener: L, handler: F) -> Server<L>
    where
        F: Fn(L::Stream) -> R + 'static,
        R: Outcome,
    {
        Server::with_connection(listener, move |stream, _| handler(stream))
    }

    /// As [`new`](Server::new), for a handler that wants to know who its client is, or when the
    /// server stops.
    ///
    /// ```
    /// use sedge::net::{TcpListener, TcpStream};
    /// use sedge::server::Server;
    /// use std::io::{self, Read, Write};
    ///
    /// sedge::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let server = Server::with_connection(listener, |mut stream, connection| {
    ///         writeln!(stream, "hello, {}", connection.peer_addr())?;
    ///         connection.stopping().wait();
    ///         writeln!(stream, "goodbye")
    ///     })
    ///     .start()?;
    ///     let mut client = TcpStream::connect(server.local_addr().unwrap())?;
    ///     client.read_exact(&mut [0; 6])?;
    ///     server.stop();
    ///     let mut rest = String::new();
    ///     client.read_to_string(&mut rest)?;
    ///     assert!(rest.ends_with("goodbye\n"));
    ///     io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[must_use = "a server does nothing until it runs"]
    pub fn with_connection<F, R>(listener: L, handler: F) -> Server<L>
    where
        F: Fn(L::Stream, &Connection<L::Addr>) -> R + 'static,
        R: Outcome,
    {
        Server {
            frame: Frame::new(listener.local_addr().ok()),
            handler: Rc::new(move |stream, connection: &_| {
                handler(stream, connection).into_result()
            }),
            listener,
        }
    }

    /// At most so many connections at once; no limit by default. While they are there, the server
    /// accepts no more, and those that come wait in the kernel's queue. gevent's `spawn=N`.
    ///
    /// ```
    /// use sedge::net::{TcpListener, TcpStream};
    /// use sedge::server::Server;
    /// use std::io::{self, Read};
    ///
    /// sedge::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let wait = |mut stream: TcpStream| stream.read_to_end(&mut Vec::new()).map(|_| ());
    ///     let server = Server::new(listener, wait).max_connections(1).start()?;
    ///     let addr = server.local_addr().unwrap();
    ///     let clients = [TcpStream::connect(addr)?, TcpStream::connect(addr)?];
    ///     sedge::sleep(std::time::Duration::from_millis(5));
    ///     assert_eq!(server.connections(), 1);
    ///     drop(clients);
    ///     server.stop();
    ///     io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use = "a server does nothing until it runs"]
    pub fn max_connections(mut self, most: usize) -> Server<L> {
        assert!(
            most > 0,
            "a server with no place for a connection serves nobody"
        );
        self.frame.most = most;
        self
    }

    /// The stack of the green threads that serve; see
    /// [`Builder::stack_size`](crate::thread::Builder::stack_size). With a size that is out of
    /// range, [`run`](Server::run) fails at the first connection.
    #[must_use = "a server does nothing until it runs"]
    pub fn stack_size(mut self, size: usize) -> Server<L> {
        self.frame.threads = self.frame.threads.stack_size(size);
        self
    }

    /// Who hears of the errors that handlers return, and of those of accepting after which the
    /// server tries again. By default they are printed to standard error, unless they say only that
    /// the client [went away](Failure::is_by_client). A panic is printed by std's hook, and heard
    /// of by [`Config::on_panic`](crate::Config::on_panic).
    ///
    /// ```
    /// use sedge::net::TcpListener;
    /// use sedge::server::Server;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_stream| Err(std::io::Error::other("out of tea")))
    ///     .on_error(|failure| eprintln!("{failure}"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "a server does nothing until it runs"]
    pub fn on_error(mut self, hook: impl Fn(&Failure<L::Addr>) + 'static) -> Server<L> {
        self.frame.report = Report::new(hook);
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// If the system does not know.
    pub fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }

    /// What stops it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle<L::Addr> {
        self.frame.handle()
    }

    /// Accepts and serves until the server is [stopped](ServerHandle::stop), and returns when the
    /// last handler has ended. gevent's `serve_forever`.
    ///
    /// If this is unwound, the listener is closed and the handlers are cancelled.
    ///
    /// # Errors
    ///
    /// If the listener [can accept no more](Listener::accept). The handlers are told as at a stop,
    /// and waited for. Want of descriptors or memory is no such error: the
    /// [`accept`](TcpListener::accept) of sedge's listeners waits until there are some.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), and with the panic of [`Listener::accept`].
    pub fn run(self) -> io::Result<()> {
        let Server {
            listener,
            handler,
            frame,
        } = self;
        frame.alive.runs_here();
        let result = frame.accept_all(|| {
            let (stream, peer) = listener.accept()?;
            let (handler, report) = (Rc::clone(&handler), frame.report.clone());
            let connection = Connection {
                peer,
                server: frame.handle(),
            };
            frame.serve(move |place| {
                // Given back when all is done, however that ends.
                let _place = place;
                if let Err(error) = handler(stream, &connection) {
                    report.tell(Some(connection.peer), error);
                }
            })
        });
        drop(listener);
        frame.finish();
        result
    }

    /// [Runs](Server::run) it on a green thread of its own. What `run` would return as an error,
    /// [`on_error`](Server::on_error) hears.
    ///
    /// # Errors
    ///
    /// If there is no memory for a green thread.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn start(self) -> io::Result<ServerHandle<L::Addr>> {
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

impl<L: Listener> fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("handle", &self.frame.alive.0)
            .finish_non_exhaustive()
    }
}
