//! Clients that ask the `http` example all it can answer, check every byte, and write down what
//! fails.
//!
//! Half of them keep their connection as long as they may, half make a new one for each request.
//! What a server may do to a kept one, is to close it between two requests, and a request can cross
//! that end on its way: it is sent again then, over a new connection, as every client of HTTP does.
//! What it may not do, is to reset it, to cut an answer, or to refuse a new connection.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::runner::{Chance, LIMIT};

/// All that the clients of one load share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Clients end when nobody listens any more.
    may_refuse: AtomicBool,
    /// Requests on connections of their own.
    new: AtomicUsize,
    /// Requests on kept connections.
    kept: AtomicUsize,
    /// Ends that were there before the next request was sent.
    polite: AtomicUsize,
    /// Ends that came with no answer, when a request was on its way.
    crossed: AtomicUsize,
    /// Connections that were reset before anybody accepted them, when nobody need listen any more.
    refused: AtomicUsize,
    slowest_micros: AtomicUsize,
    failures: Mutex<Vec<Failure>>,
}

/// A request that has no answer, or another than it should.
#[derive(Clone)]
pub(crate) struct Failure {
    /// The client's; none if there was no connection.
    pub(crate) port: Option<u16>,
    what: String,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {:?}: {}", self.port, self.what)
    }
}

/// What came of a load.
pub(crate) struct Report {
    pub(crate) new: usize,
    pub(crate) kept: usize,
    pub(crate) polite: usize,
    pub(crate) crossed: usize,
    pub(crate) refused: usize,
    pub(crate) slowest: Duration,
    pub(crate) failures: Vec<Failure>,
}

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// `pause` is what a client rests between two requests, at most.
    pub(crate) fn begin(addr: SocketAddr, clients: usize, pause: Duration) -> Load {
        let shared = Arc::new(Shared::default());
        let client = |number: usize| {
            let mut client = Client {
                shared: Arc::clone(&shared),
                addr,
                chance: Chance::new(number as u64 + 1),
                keeps: number.is_multiple_of(2),
                pause,
                begun: Instant::now(),
            };
            thread::spawn(move || client.run())
        };
        let clients = (0..clients).map(client).collect();
        Load { shared, clients }
    }

    pub(crate) fn answered(&self) -> usize {
        self.shared.new.load(Relaxed) + self.shared.kept.load(Relaxed)
    }

    /// Answers for a second, counted for that long.
    pub(crate) fn rate(&self, span: Duration) -> f64 {
        let (begin, before) = (Instant::now(), self.answered());
        thread::sleep(span);
        (self.answered() - before) as f64 / begin.elapsed().as_secs_f64()
    }

    /// From now on, nobody may listen.
    pub(crate) fn may_be_refused(&self) {
        self.shared.may_refuse.store(true, Relaxed);
    }

    /// Lets the clients finish.
    pub(crate) fn end(self) -> Report {
        self.shared.stop.store(true, Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let shared = self.shared;
        Report {
            new: shared.new.load(Relaxed),
            kept: shared.kept.load(Relaxed),
            polite: shared.polite.load(Relaxed),
            crossed: shared.crossed.load(Relaxed),
            refused: shared.refused.load(Relaxed),
            slowest: Duration::from_micros(shared.slowest_micros.load(Relaxed) as u64),
            failures: shared.failures.lock().unwrap().clone(),
        }
    }
}

impl Report {
    #[track_caller]
    pub(crate) fn assert_no_failure(&self) {
        assert!(self.failures.is_empty(), "{self}: {:#?}", self.failures);
        assert!(self.new > 50 && self.kept > 50, "{self}: no load");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests on new connections, {} on kept ones; closed between requests {}, crossed \
             {}; failed {}; the slowest {:.0?}",
            self.new,
            self.kept,
            self.polite,
            self.crossed,
            self.failures.len(),
            self.slowest
        )
    }
}

/// A request, and what must come.
struct Exchange {
    request: Vec<u8>,
    /// The heads and bodies of the answers; several if the requests are pipelined.
    answers: Vec<(String, Vec<u8>)>,
}

const TEXT: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";

impl Exchange {
    fn any(chance: &mut Chance) -> Exchange {
        match chance.below(8) {
            0..3 => Exchange::get("/", text(b"Hello, World!")),
            3 => {
                let chunks = chance.below(40);
                let lines = (1..=chunks).map(|number| format!("chunk {number}\n"));
                let mut body: String = lines
                    .map(|line| format!("{:x}\r\n{line}\r\n", line.len()))
                    .collect();
                body.push_str("0\r\n\r\n");
                let head = "Transfer-Encoding: chunked\r\n".to_owned();
                Exchange::get(&format!("/stream/{chunks}"), (head, body.into()))
            }
            4 => {
                let path = format!("/delay/{}", chance.below(60));
                Exchange::get(&path, text(b"Hello, at last!\n"))
            }
            5 => {
                let mut all = Exchange::get("/", text(b"Hello, World!"));
                for _ in 0..chance.below(8) {
                    let other = Exchange::get("/", text(b"Hello, World!"));
                    all.request.extend(other.request);
                    all.answers.extend(other.answers);
                }
                all
            }
            _ => Exchange::echo(chance),
        }
    }

    fn get(path: &str, answer: (String, Vec<u8>)) -> Exchange {
        Exchange {
            request: format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").into(),
            answers: vec![answer],
        }
    }

    fn echo(chance: &mut Chance) -> Exchange {
        let length = [0, 1, 100, 5000, 40_000][chance.below(5)];
        let body: Vec<u8> = (0..length).map(|_| chance.below(256) as u8).collect();
        let fields = format!("Content-Length: {length}\r\n");
        let mut request = format!("POST /echo HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
        request.extend(&body);
        Exchange {
            request,
            answers: vec![text(&body)],
        }
    }
}

fn text(body: &[u8]) -> (String, Vec<u8>) {
    (format!("Content-Length: {}\r\n", body.len()), body.to_vec())
}

/// What has become of an exchange.
enum Ended {
    Answered,
    /// The server closes, with the last answer.
    Last,
    /// The end, and not a byte of an answer before it.
    Closed,
}

struct Client {
    shared: Arc<Shared>,
    addr: SocketAddr,
    chance: Chance,
    keeps: bool,
    pause: Duration,
    begun: Instant,
}

impl Client {
    fn run(&mut self) {
        let mut kept = None;
        // Sent again, if its connection was closed.
        let mut again = None;
        while again.is_some() || !self.shared.stop.load(Relaxed) {
            let mut is_fresh = false;
            let mut stream = match kept.take() {
                Some(stream) if !is_closed(&stream) => stream,
                closed => {
                    let closed = usize::from(closed.is_some());
                    self.shared.polite.fetch_add(closed, Relaxed);
                    is_fresh = true;
                    match self.connect() {
                        Some(stream) => stream,
                        None => return,
                    }
                }
            };
            let exchange = again
                .take()
                .unwrap_or_else(|| Exchange::any(&mut self.chance));
            match self.ask(&mut stream, &exchange, is_fresh) {
                Some(Ended::Answered) if self.keeps => kept = Some(stream),
                Some(Ended::Closed) => again = Some(exchange),
                _ => {}
            }
            self.rest();
        }
    }

    fn rest(&mut self) {
        let mut pause = self.chance.below(self.pause.as_micros() as usize + 1) as u64;
        // Now and then for so long that a worker at its end gives the connection up.
        if self.keeps && self.chance.below(100) == 0 {
            pause = 400_000;
        }
        thread::sleep(Duration::from_micros(pause));
    }

    /// None if there is nobody any more, as was announced.
    fn connect(&self) -> Option<TcpStream> {
        loop {
            let connected = TcpStream::connect_timeout(&self.addr, LIMIT).and_then(|stream| {
                stream.set_read_timeout(Some(LIMIT))?;
                stream.set_write_timeout(Some(LIMIT))?;
                stream.set_nodelay(true)?;
                Ok(stream)
            });
            match connected {
                Ok(stream) => return Some(stream),
                Err(_) if self.shared.may_refuse.load(Relaxed) => return None,
                Err(error) => self.fail(None, &format!("connect: {error}")),
            }
            if self.shared.stop.load(Relaxed) {
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, stream: &mut TcpStream, exchange: &Exchange, is_fresh: bool) -> Option<Ended> {
        let port = stream.local_addr().ok().map(|addr| addr.port());
        let begin = Instant::now();
        // If that fails, what can still be read says why.
        let _ = stream.write_all(&exchange.request);
        match self.read_answers(stream, exchange) {
            Ok(Ended::Closed) if self.keeps => {
                self.shared.crossed.fetch_add(1, Relaxed);
                Some(Ended::Closed)
            }
            Ok(Ended::Closed) => {
                self.fail(port, "a new connection was closed without an answer");
                None
            }
            Ok(ended) => {
                let count = if self.keeps {
                    &self.shared.kept
                } else {
                    &self.shared.new
                };
                count.fetch_add(exchange.answers.len(), Relaxed);
                let micros = begin.elapsed().as_micros() as usize;
                self.shared.slowest_micros.fetch_max(micros, Relaxed);
                Some(ended)
            }
            // The kernel says "connected" before anybody accepts; what comes between a listener's
            // last look and its close is reset, and no program can do anything about that.
            Err(error)
                if is_fresh
                    && error.kind() == ErrorKind::ConnectionReset
                    && self.shared.may_refuse.load(Relaxed) =>
            {
                self.shared.refused.fetch_add(1, Relaxed);
                None
            }
            Err(error) => {
                self.fail(port, &error.to_string());
                None
            }
        }
    }

    fn fail(&self, port: Option<u16>, what: &str) {
        let kind = if self.keeps { "a kept" } else { "a new" };
        self.shared.failures.lock().unwrap().push(Failure {
            port,
            what: format!(
                "{kind} connection, {:.1?} after the start: {what}",
                self.begun.elapsed()
            ),
        });
    }

    fn read_answers(&self, stream: &mut TcpStream, exchange: &Exchange) -> io::Result<Ended> {
        let mut input = Input::default();
        for (number, (fields, body)) in exchange.answers.iter().enumerate() {
            let Some(head) = input.head(stream)? else {
                return match number {
                    0 => Ok(Ended::Closed),
                    _ => Err(wrong("the end between pipelined answers")),
                };
            };
            let last = format!("{TEXT}Connection: close\r\n{fields}\r\n");
            let closes = head == last.as_bytes();
            if !closes && head != format!("{TEXT}{fields}\r\n").as_bytes() {
                return Err(wrong(&format!("head {:?}", String::from_utf8_lossy(&head))));
            }
            if input.exactly(stream, body.len())? != *body {
                return Err(wrong("other bytes in a body"));
            }
            if closes {
                // The rest of a pipeline is for another connection.
                return match input.is_at_end(stream)? {
                    true => Ok(Ended::Last),
                    false => Err(wrong("more after the last answer")),
                };
            }
        }
        match input.0.is_empty() {
            true => Ok(Ended::Answered),
            false => Err(wrong("more than the answer")),
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// Whether the server has closed a connection on which nothing is due.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    // Bytes or a reset are for the next exchange to find.
    matches!(peeked, Ok(0))
}

/// What has come and was not looked at.
#[derive(Default)]
struct Input(Vec<u8>);

impl Input {
    /// False at the end.
    fn more(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut bytes = [0; 8192];
        let count = loop {
            match stream.read(&mut bytes) {
                // A read with a time limit is not begun anew by the kernel.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.0.extend(&bytes[..count]);
        Ok(count > 0)
    }

    /// A head with its empty line; none at the end.
    fn head(&mut self, stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.0.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(self.0.drain(..end + 4).collect()));
            }
            if !self.more(stream)? {
                return match self.0.is_empty() {
                    true => Ok(None),
                    false => Err(wrong("the end within a head")),
                };
            }
        }
    }

    fn exactly(&mut self, stream: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
        while self.0.len() < length {
            if !self.more(stream)? {
                return Err(wrong("the end within a body"));
            }
        }
        Ok(self.0.drain(..length).collect())
    }

    fn is_at_end(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        Ok(self.0.is_empty() && !self.more(stream)?)
    }
}
