//! An HTTP/1.1 server: one green thread per connection, in the plain words of blocking code.
//!
//! ```text
//! cargo run --release --example http                    # or -- --addr 127.0.0.1:0
//!
//! curl -i http://127.0.0.1:8080/                        # Hello, World!
//! curl -i http://127.0.0.1:8080/delay/500               # after half a second
//! curl -i --data-binary @Cargo.toml http://127.0.0.1:8080/echo
//! curl -i -H 'Transfer-Encoding: chunked' -d hello http://127.0.0.1:8080/echo
//! curl -iN http://127.0.0.1:8080/stream/3               # three chunks
//! ```
//!
//! A connection is a loop: wait for bytes, answer every request in them, send the answers in one
//! write. Limits: a head of 16 KiB and 64 fields within 10 s of its first byte, a body of 1 MiB
//! within 30 s, 10 s for a client to make room for more of an answer, 60 s for an idle connection.
//! Ctrl-C closes idle connections at once and gives requests 5 s to be answered; a second one does
//! not wait.
//!
//! What HTTP demands is in `http/message.rs`, which knows no sockets.

#[path = "http/message.rs"]
mod message;

use std::io::{self, Read, Write};
use std::process::{self, ExitCode};
use std::time::Duration;

use sedge::net::{Shutdown, TcpListener, TcpStream};
use sedge::server::{self, Server};
use sedge::signal::{SIGINT, SIGTERM, Signals};
use sedge::thread;

use message::{BUFFER, Framing, Input, Parsed, Request, Route, Status};

const HEAD_TIME: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(30);
const WRITE_TIME: Duration = Duration::from_secs(10);
const IDLE_TIME: Duration = Duration::from_secs(60);
const STOP_TIME: Duration = Duration::from_secs(5);
const FAREWELL_TIME: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let addr = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => "127.0.0.1:8080",
        ["--addr", addr] => addr,
        _ => {
            eprintln!("usage: http [--addr HOST:PORT]");
            return ExitCode::FAILURE;
        }
    };
    match sedge::run(|| serve(addr)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http: cannot listen on {addr}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C, and then until the last connection has ended.
fn serve(addr: &str) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    let signals = Signals::new([SIGINT, SIGTERM])?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = Server::with_connection(listener, |stream, connection| {
        Connection::new(stream, connection.stopping().clone())?.run();
        io::Result::Ok(())
    });
    let server = server
        .on_error(|failure| eprintln!("http: {failure}"))
        .start()?;
    signals.recv()?;
    // Nobody waits for this one to end.
    thread::Builder::new().daemon(true).spawn(move || {
        if signals.recv().is_ok() {
            process::exit(1);
        }
    })?;
    server.shutdown(STOP_TIME);
    Ok(())
}

/// Why a connection ends.
enum End {
    /// The last answer is written, or about to be.
    Done,
    /// What came was no request, or not in time.
    Refused(Status),
    /// Nobody is there any more, or nobody who reads or writes.
    Gone,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Gone
    }
}

impl From<Status> for End {
    fn from(status: Status) -> End {
        End::Refused(status)
    }
}

struct Connection {
    stream: TcpStream,
    input: Input,
    /// Answers that are not written yet.
    output: Vec<u8>,
    stopping: server::Shutdown,
}

impl Connection {
    fn new(stream: TcpStream, stopping: server::Shutdown) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE_TIME))?;
        stream.set_write_timeout(Some(WRITE_TIME))?;
        Ok(Connection {
            stream,
            input: Input::default(),
            output: Vec::new(),
            stopping,
        })
    }

    fn run(mut self) {
        let stopping = self.stopping.clone();
        // Ctrl-C unwinds from this `fill`, where the connection is idle, and from nowhere else.
        while let Some(Ok(())) = stopping.run_until_set(|| self.fill()) {
            if let Err(end) = self.answer_all() {
                return self.hang_up(end);
            }
        }
    }

    /// Answers what has come, in order, and writes the answers.
    fn answer_all(&mut self) -> Result<(), End> {
        while !self.input.is_empty() {
            let mut request = match self.input.take(Request::parse)? {
                Some(request) => request,
                // Of the whole rest, not of each read: a head that drips is late too.
                None => within(HEAD_TIME, || self.wait_for(Request::parse))?,
            };
            let body = self.read_body(&mut request)?;
            self.answer(&mut request, &body)?;
            if !request.keep_alive {
                return Err(End::Done);
            }
        }
        self.flush()
    }

    fn answer(&mut self, request: &mut Request, body: &[u8]) -> Result<(), End> {
        let (status, body) = match request.route {
            Route::Hello => (message::OK, &b"Hello, World!"[..]),
            Route::Echo => (message::OK, body),
            Route::NotFound => (message::NOT_FOUND, &b"no such page\n"[..]),
            Route::NotAllowed(_) => (message::NOT_ALLOWED, &b"no such method here\n"[..]),
            Route::Stream(chunks) => return self.stream(request, chunks),
            Route::Delay(ms) => {
                self.flush()?;
                sedge::sleep(Duration::from_millis(ms));
                (message::OK, &b"Hello, at last!\n"[..])
            }
        };
        request.keep_alive &= !self.stopping.is_set();
        request.answer(status, body, &mut self.output);
        Ok(())
    }

    /// Sends each chunk when it is there, not when all are.
    fn stream(&mut self, request: &Request, chunks: u64) -> Result<(), End> {
        request.answer_head(&mut self.output);
        if request.is_head {
            return Ok(());
        }
        for number in 1..=chunks {
            request.answer_chunk(&format!("chunk {number}\n"), &mut self.output);
            self.flush()?;
        }
        request.answer_chunk("", &mut self.output);
        Ok(())
    }

    fn read_body(&mut self, request: &mut Request) -> Result<Vec<u8>, End> {
        if request.body == Framing::Length(0) {
            return Ok(Vec::new());
        }
        if request.expects_continue && self.input.is_empty() {
            if request.route != Route::Echo {
                // Not told to go on, the client may do so or not: what comes next is unclear.
                request.keep_alive = false;
                return Ok(Vec::new());
            }
            self.output
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        within(BODY_TIME, || match request.body {
            Framing::Length(length) => {
                self.wait_for(|bytes| Ok(bytes.get(..length).map(|body| (length, body.to_vec()))))
            }
            Framing::Chunked => self.read_chunks(),
        })
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, End> {
        let mut body = Vec::new();
        loop {
            let room = message::BODY_LIMIT - body.len();
            let chunk = self.wait_for(|bytes| message::parse_chunk(bytes, room))?;
            if chunk.is_empty() {
                self.wait_for(message::parse_trailers)?;
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// Reads until `parse` finds what it looks for.
    fn wait_for<T>(&mut self, parse: impl Fn(&[u8]) -> Parsed<T>) -> Result<T, End> {
        loop {
            if let Some(found) = self.input.take(&parse)? {
                return Ok(found);
            }
            self.fill()?;
        }
    }

    /// Waits for more bytes; what is answered goes out before.
    fn fill(&mut self) -> Result<(), End> {
        self.flush()?;
        match self.stream.read(self.input.room())? {
            0 => Err(End::Gone),
            count => {
                self.input.add(count);
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> Result<(), End> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output)?;
            self.output.clear();
            self.output.shrink_to(BUFFER);
        }
        Ok(())
    }

    /// Says the last word and waits for the client to hear it: closing a socket with unread bytes
    /// in it sends a reset, which can overtake the answer.
    fn hang_up(&mut self, end: End) {
        match end {
            End::Gone => return,
            End::Refused(status) => message::refuse(status, &mut self.output),
            End::Done => {}
        }
        if self.flush().is_ok() && self.stream.shutdown(Shutdown::Write).is_ok() {
            let mut rest = [0; 512];
            let drain = || while self.stream.read(&mut rest).is_ok_and(|count| count > 0) {};
            // If it goes on sending, it has had its time.
            let _ = sedge::timeout(FAREWELL_TIME, drain);
        }
    }
}

/// Runs `f`, which reads a part of a request, for at most `limit`.
fn within<T>(limit: Duration, f: impl FnOnce() -> Result<T, End>) -> Result<T, End> {
    sedge::timeout(limit, f).unwrap_or(Err(End::Refused(message::TIMEOUT)))
}
