//! `sedge::server`: who is served, what a failure ends, and how a server comes to its end.

mod datagram;
mod shutdown;
mod stop;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use sedge::net::{SocketAddr, TcpListener, TcpStream};
use sedge::os::unix::net::{UnixListener, UnixStream};
use sedge::server::{Listener, Server, ServerHandle};
use sedge::{Reason, State};

use crate::util::{self, FOREVER, Log, ms};

pub(crate) fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

pub(crate) fn connect(server: &ServerHandle) -> TcpStream {
    TcpStream::connect(server.local_addr().unwrap()).unwrap()
}

pub(crate) fn read_all(stream: &mut impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Lets the others run until `done`.
pub(crate) fn until(done: impl Fn() -> bool) {
    while !done() {
        sedge::sleep(ms(1));
    }
}

/// Sends back what comes.
pub(crate) fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 512];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}

/// Sends `text` and reads as much.
pub(crate) fn ask(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_connection_that_waits_holds_no_other_up() {
    util::run(|| {
        let server = Server::new(listener(), echo).start().unwrap();
        let _silent = connect(&server);
        let mut client = connect(&server);
        assert_eq!(ask(&mut client, "hello"), "hello");
        assert_eq!(server.connections(), 2);
        drop(client);
        until(|| server.connections() == 1);
        server.stop();
    });
}

#[test]
fn a_handler_knows_its_client() {
    util::run(|| {
        let server = Server::with_connection(listener(), |mut stream, connection| {
            write!(stream, "{}", connection.peer_addr())
        });
        let server = server.start().unwrap();
        let mut client = connect(&server);
        let own = client.local_addr().unwrap().to_string();
        assert_eq!(read_all(&mut client), own);
        server.stop();
    });
}

#[test]
fn a_unix_listener_is_served_too() {
    let path = std::env::temp_dir().join(format!("sedge-server-{}", std::process::id()));
    util::run(|| {
        let listener = UnixListener::bind(&path).unwrap();
        let server = Server::new(listener, |mut stream: UnixStream| {
            stream.write_all(b"hello")
        });
        let server = server.start().unwrap();
        assert_eq!(server.local_addr().unwrap().as_pathname(), Some(&*path));
        assert_eq!(read_all(&mut UnixStream::connect(&path).unwrap()), "hello");
        assert!(server.shutdown(FOREVER));
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn a_full_server_accepts_when_a_place_is_free_again() {
    util::run(|| {
        let server = Server::new(listener(), echo)
            .max_connections(2)
            .start()
            .unwrap();
        let mut clients: Vec<_> = (0..5).map(|_| connect(&server)).collect();
        for client in &mut clients {
            client.write_all(b"x").unwrap();
        }
        let mut most = 0;
        for mut client in clients {
            client.read_exact(&mut [0]).unwrap();
            most = most.max(server.connections());
        }
        assert_eq!(most, 2);
        server.stop();
        server.wait();
    });
}

#[test]
fn a_place_is_free_again_after_a_panic() {
    util::run(|| {
        let server = Server::new(listener(), |mut stream| {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            assert_ne!(byte, *b"!", "this panic is part of a test");
            stream.write_all(&byte)
        });
        let server = server.max_connections(1).start().unwrap();
        let (mut bad, mut good) = (connect(&server), connect(&server));
        bad.write_all(b"!").unwrap();
        assert_eq!(ask(&mut good, "x"), "x");
        assert_eq!(read_all(&mut bad), "", "its stream is closed");
        assert!(server.shutdown(FOREVER));
    });
}

#[test]
fn what_a_handler_returns_as_an_error_is_heard_of() {
    util::run(|| {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hook = Rc::clone(&heard);
        let server = Server::new(listener(), |_stream| Err(io::Error::other("no tea"))).on_error(
            move |failure| {
                assert!(!failure.is_by_client());
                hook.borrow_mut()
                    .push((*failure.peer_addr().unwrap(), failure.to_string()));
            },
        );
        let server = server.start().unwrap();
        let mut client = connect(&server);
        let own = client.local_addr().unwrap();
        assert_eq!(read_all(&mut client), "");
        assert!(server.shutdown(FOREVER));
        assert_eq!(
            *heard.borrow(),
            [(own, format!("serving {own} failed: no tea"))]
        );
    });
}

#[test]
fn a_client_that_resets_is_told_from_a_failure() {
    util::run(|| {
        let log = Log::default();
        let hook = log.clone();
        let server = Server::new(listener(), echo).on_error(move |failure| {
            hook.add(format!(
                "{:?} {}",
                failure.error().kind(),
                failure.is_by_client()
            ));
        });
        let server = server.start().unwrap();
        let mut client = connect(&server);
        client.write_all(b"x").unwrap();
        client.peek(&mut [0]).unwrap();
        // Closed with a byte in it that was not read, a socket sends a reset.
        drop(client);
        until(|| server.connections() == 0);
        assert_eq!(log.take(), ["ConnectionReset true"]);
        server.stop();
    });
}

#[test]
fn a_hook_that_panics_does_not_end_the_server() {
    util::run(|| {
        let listener = Broken::new(2, ErrorKind::Other);
        let server = Server::new(listener, |_stream| ())
            .on_error(|_| panic!("this panic is part of a test"));
        assert_eq!(server.run().unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_hook_may_shut_the_server_down() {
    util::run(|| {
        let listener = Broken::new(u32::MAX, ErrorKind::Other);
        let server = Server::new(listener, |_stream| ());
        let (handle, hook) = (server.handle(), server.handle());
        let server = server.on_error(move |_| {
            assert!(hook.shutdown(FOREVER));
            hook.wait();
        });
        server.start().unwrap();
        handle.wait();
    });
}

#[test]
fn a_listener_that_never_waits_does_not_keep_a_server_from_ending() {
    util::run(|| {
        let server = Server::new(Broken::new(u32::MAX, ErrorKind::Other), |_stream| ());
        let server = server.on_error(|_| ());
        server.handle().stop();
        server.run().unwrap();
    });
}

/// A listener that fails so many times, and then is one no more.
struct Broken {
    listener: TcpListener,
    left: Cell<u32>,
    kind: ErrorKind,
}

impl Broken {
    fn new(times: u32, kind: ErrorKind) -> Broken {
        Broken {
            listener: listener(),
            left: Cell::new(times),
            kind,
        }
    }
}

impl Listener for Broken {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(ErrorKind::InvalidInput.into()),
        }
        Err(self.kind.into())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[test]
fn accepting_is_tried_again_after_a_pause_and_given_up_when_there_is_no_listener() {
    util::run(|| {
        let log = Log::default();
        let hook = log.clone();
        let start = std::time::Instant::now();
        let server = Server::new(Broken::new(3, ErrorKind::Other), |_stream| ());
        let server = server.on_error(move |failure| {
            assert!(failure.peer_addr().is_none());
            hook.add(failure.to_string());
        });
        let handle = server.handle();
        assert_eq!(server.run().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(log.take(), ["accepting failed: other error"; 3]);
        assert!(start.elapsed() >= ms(10 + 20 + 40));
        assert!(handle.stopping().is_set(), "the handlers are told");
    });
}

#[test]
fn a_listener_that_is_shut_down_ends_a_server_that_was_started() {
    util::run(|| {
        let log = Log::default();
        let hook = log.clone();
        let listener = listener();
        let clone = listener.try_clone().unwrap();
        let server = Server::new(listener, echo).on_error(move |failure| {
            hook.add(format!("{:?}", failure.error().kind()));
        });
        let server = server.start().unwrap();
        let mut client = connect(&server);
        assert_eq!(ask(&mut client, "x"), "x");
        rustix::net::shutdown(&clone, rustix::net::Shutdown::Read).unwrap();
        server.stopping().wait();
        assert_eq!(ask(&mut client, "y"), "y", "who is served is served on");
        drop(client);
        server.wait();
        assert_eq!(log.take(), ["InvalidInput"]);
    });
}

#[test]
fn a_nonblocking_listener_does_not_keep_the_others_out() {
    util::run(|| {
        let listener = listener();
        listener.set_nonblocking(true).unwrap();
        let server = Server::new(listener, echo)
            .on_error(|_| ())
            .start()
            .unwrap();
        let before = sedge::stats().switches;
        sedge::sleep(ms(30));
        assert!(sedge::stats().switches - before < 20);
        assert_eq!(ask(&mut connect(&server), "x"), "x");
        server.stop();
    });
}

#[test]
fn a_server_that_waits_for_a_place_says_so() {
    util::run(|| {
        let server = Server::new(listener(), echo)
            .max_connections(1)
            .start()
            .unwrap();
        let name = format!("server at {}", server.local_addr().unwrap());
        let mut client = connect(&server);
        assert_eq!(ask(&mut client, "x"), "x");
        let all = sedge::thread::all();
        let acceptor = all
            .iter()
            .find(|thread| thread.name() == Some(&*name))
            .unwrap();
        util::until(acceptor, State::Parked(Reason::Pool));
        server.stop();
    });
}
