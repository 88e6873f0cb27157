//! The other side of a server: connections that ask, wait for the answer, and ask again.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Connections to one server. Each has so many requests on the way, sends them in one write, and
/// sends the next when all answers are there: a closed loop, in which a slow server is asked less.
#[derive(Debug)]
pub struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    /// What is sent at once.
    requests: Vec<u8>,
    depth: u64,
    /// Bytes of all answers to that.
    answers_len: usize,
    latencies: Vec<u32>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    missing: usize,
    sent: Instant,
}

impl Load {
    /// Connects `connections` times. All answers to `request` are as long as the first.
    ///
    /// # Errors
    ///
    /// If the server is not there.
    pub fn connect(
        addr: SocketAddr,
        connections: usize,
        request: &[u8],
        depth: usize,
    ) -> io::Result<Load> {
        let answer_len = answer_len(addr, request)?;
        let mut load = Load {
            poll: Poll::new()?,
            events: Events::with_capacity(256),
            connections: Vec::with_capacity(connections),
            requests: request.repeat(depth),
            depth: depth as u64,
            answers_len: answer_len * depth,
            latencies: Vec::new(),
            scratch: vec![0; 64 << 10],
        };
        for number in 0..connections {
            let stream = std::net::TcpStream::connect(addr)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let registry = load.poll.registry();
            registry.register(&mut stream, Token(number), Interest::READABLE)?;
            load.connections.push(Connection {
                stream,
                missing: 0,
                sent: Instant::now(),
            });
        }
        Ok(load)
    }

    /// Asks at least `count` times, over all connections, and waits for the answers. Returns how
    /// many there were.
    ///
    /// # Errors
    ///
    /// If a connection ends.
    pub fn run(&mut self, count: u64) -> io::Result<u64> {
        let batches = count
            .div_ceil(self.depth)
            .max(self.connections.len() as u64);
        let mut unsent = batches - self.connections.len() as u64;
        for number in 0..self.connections.len() {
            self.send(number)?;
        }
        let mut waiting = self.connections.len();
        while waiting > 0 {
            self.poll.poll(&mut self.events, None)?;
            let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
            for number in ready {
                if !self.receive(number)? {
                    continue;
                }
                if unsent > 0 {
                    unsent -= 1;
                    self.send(number)?;
                } else {
                    waiting -= 1;
                }
            }
        }
        Ok(batches * self.depth)
    }

    fn send(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        connection.missing = self.answers_len;
        connection.sent = Instant::now();
        // Whatever a connection sends at once has room in an empty socket.
        connection.stream.write_all(&self.requests)
    }

    /// Reads what is there; true if that was the last of what is missing.
    fn receive(&mut self, number: usize) -> io::Result<bool> {
        let connection = &mut self.connections[number];
        loop {
            match connection.stream.read(&mut self.scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => connection.missing -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if connection.missing == 0 {
                let latency = connection.sent.elapsed().as_nanos();
                self.latencies
                    .push(u32::try_from(latency).unwrap_or(u32::MAX));
                return Ok(true);
            }
        }
    }

    /// How long so many of a thousand answers took at most, of all since it was asked last.
    pub fn latencies<const N: usize>(&mut self, per_mille: [usize; N]) -> [Duration; N] {
        let mut all = std::mem::take(&mut self.latencies);
        all.sort_unstable();
        let last = all.len().saturating_sub(1);
        per_mille.map(|share| {
            let nanoseconds = all.get(last * share / 1000).copied().unwrap_or(0);
            Duration::from_nanos(nanoseconds.into())
        })
    }
}

fn answer_len(addr: SocketAddr, request: &[u8]) -> io::Result<usize> {
    let mut stream = std::net::TcpStream::connect(addr)?;
    stream.write_all(request)?;
    // Servers write an answer in one piece, and one this small comes as one.
    stream.read(&mut [0; 4096])
}
