//! An HTTP/1.1 server: one green thread per connection, in the plain words of blocking code, and
//! one process per core.
//!
//! ```text
//! cargo run --release --example http                    # or -- --addr 127.0.0.1:0
//!     --workers N        # N processes in place of one per core
//!     --no-launcher      # in this process, for a debugger
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
//! Ctrl-C closes idle connections and gives requests 5 s to be answered; a second one does not
//! wait. `kill -HUP` replaces the workers, `kill -USR2` the program, and no client notices: a
//! connection is closed between two requests, when it has been quiet for a moment or with the last
//! answer.
//!
//! What HTTP demands is in `http/message.rs`, which knows no sockets.

#[path = "http/message.rs"]
mod message;

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use sedge::launch::{Launcher, Worker, Workers};
use sedge::net::{Shutdown, TcpStream};
use sedge::server::{self, Server};

use message::{BUFFER, Framing, Input, Parsed, Request, Route, Status};

const HEAD_TIME: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(30);
const WRITE_TIME: Duration = Duration::from_secs(10);
const IDLE_TIME: Duration = Duration::from_secs(60);
const FAREWELL_TIME: Duration = Duration::from_secs(1);
/// How long an idle connection may still begin a request when the worker ends: one may be on its
/// way.
const LAST_CHANCE: Duration = Duration::from_millis(250);

fn main() -> io::Result<ExitCode> {
    let mut addr = "127.0.0.1:8080".to_owned();
    let mut workers = Workers::PerCore;
    let mut in_this_process = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), &mut arguments) {
            ("--no-launcher", _) => in_this_process = true,
            ("--addr", rest) => match rest.next() {
                Some(said) => addr = said,
                None => return Ok(usage()),
            },
            ("--workers", rest) => match rest.next().and_then(|said| said.parse().ok()) {
                Some(count) => workers = Workers::Exactly(count),
                None => return Ok(usage()),
            },
            _ => return Ok(usage()),
        }
    }
    let launcher = Launcher::new()
        .bind(addr)
        .workers(workers)
        .on_ready(|addrs| println!("listening on http://{}", addrs[0]));
    if in_this_process {
        launcher.run_here(serve)
    } else {
        launcher.run(serve)
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: http [--addr HOST:PORT] [--workers N] [--no-launcher]");
    ExitCode::FAILURE
}

/// Serves until this worker is to end, and then until the last connection has ended.
fn serve(worker: Worker) -> io::Result<()> {
    let counter = worker.clone();
    let server = Server::with_connection(worker.listener(0), move |stream, connection| {
        let stopping = connection.stopping().clone();
        Connection::new(stream, stopping, counter.clone())?.run();
        io::Result::Ok(())
    });
    worker.serve(server.on_error(|failure| eprintln!("http: {failure}")))
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
    worker: Worker,
}

impl Connection {
    fn new(
        stream: TcpStream,
        stopping: server::Shutdown,
        worker: Worker,
    ) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE_TIME))?;
        stream.set_write_timeout(Some(WRITE_TIME))?;
        Ok(Connection {
            stream,
            input: Input::default(),
            output: Vec::new(),
            stopping,
            worker,
        })
    }

    fn run(mut self) {
        let stopping = self.stopping.clone();
        // The end unwinds from this `fill`, where the connection is idle, and from nowhere else.
        while let Some(filled) = stopping.run_until_set(|| self.fill()) {
            if let Err(end) = filled.and_then(|()| self.answer_all()) {
                return self.hang_up(end);
            }
        }
        let end = match sedge::timeout(LAST_CHANCE, || self.fill()) {
            Ok(filled) => filled.and_then(|()| self.answer_all()),
            Err(_) => Ok(()),
        };
        self.hang_up(end.err().unwrap_or(End::Done));
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
        self.worker.count_request();
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
