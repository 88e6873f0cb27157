//! The limit for `examples/http.rs`: the same parser and answers in a plain mio loop.
//!
//! No coroutines, no time limits, no bodies and no graceful end: what is left is what the system
//! calls and the parser cost. Compare CPU time per request (utime and stime in `/proc/PID/stat`):
//!
//! ```text
//! taskset -c 0 cargo bench --bench mio_http -- --addr 127.0.0.1:8081
//! taskset -c 1 wrk -t1 -c64 -d5s http://127.0.0.1:8081/
//! ```
//!
//! Without `--addr` it ends at once, so that `cargo bench` does not stay here for ever.

#[expect(dead_code, reason = "bodies and refusals are the example's alone")]
#[path = "../examples/http/message.rs"]
mod message;

use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use message::{Input, Request, Route};

const LISTENER: Token = Token(usize::MAX);

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(at) = arguments.iter().position(|argument| argument == "--addr") else {
        println!("usage: mio_http --addr HOST:PORT");
        return Ok(());
    };
    let addr = arguments
        .get(at + 1)
        .and_then(|addr| addr.parse().ok())
        .expect("an address");
    let listener = TcpListener::bind(addr)?;
    println!("listening on http://{}", listener.local_addr()?);
    serve(listener)
}

fn serve(mut listener: TcpListener) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut connections: Slab<Connection> = Slab::new();
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let connection = &mut connections[event.token().0];
            if connection.advance(event.is_read_closed()).is_err() {
                connections.remove(event.token().0);
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, all: &mut Slab<Connection>) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let entry = all.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut stream, Token(entry.key()), both)?;
        entry.insert(Connection {
            stream,
            input: Input::default(),
            output: Vec::new(),
        });
    }
}

struct Connection {
    stream: TcpStream,
    input: Input,
    output: Vec<u8>,
}

impl Connection {
    /// Does what can be done without waiting; after an error the connection is dropped.
    fn advance(&mut self, ends: bool) -> io::Result<()> {
        self.flush()?;
        while self.output.is_empty() {
            let room = self.input.room();
            let size = room.len();
            match self.stream.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.input.add(count);
                    self.answer_all()?;
                    self.flush()?;
                    // A short read has emptied the socket, and there will be another event, unless
                    // this one told of the end as well.
                    if count < size && !ends {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn answer_all(&mut self) -> io::Result<()> {
        while !self.input.is_empty() {
            let request = match self.input.take(Request::parse) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(_) => return Err(ErrorKind::InvalidData.into()),
            };
            let (status, body) = match request.route {
                Route::Hello => (message::OK, &b"Hello, World!"[..]),
                _ => (message::NOT_FOUND, &b"no such page\n"[..]),
            };
            request.answer(status, body, &mut self.output);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
