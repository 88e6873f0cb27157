//! A chat room: what one client writes, all others read.
//!
//! ```text
//! cargo run --release --example chat            # or -- 127.0.0.1:7000
//! nc 127.0.0.1 7000                             # in two terminals, and type
//! ```
//!
//! Who reads slowly holds nobody up: each client has an outbox of a hundred lines, which a green
//! thread of its own sends, and what finds it full is lost for that client.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use sedge::channel::{self, Receiver, Sender};
use sedge::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use sedge::server::Server;

const OUTBOX: usize = 100;
/// A line that is longer is cut into several.
const LONGEST_LINE: u64 = 1024;
const WRITE_TIME: Duration = Duration::from_secs(60);

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    sedge::run(|| {
        let listener = TcpListener::bind(addr)?;
        println!("listening on {}", listener.local_addr()?);
        let room = Room::default();
        Server::with_connection(listener, move |stream, connection| {
            room.talk(&stream, *connection.peer_addr())
        })
        .run()
    })
}

type Line = Rc<[u8]>;

/// The outboxes of all who are there.
#[derive(Default)]
struct Room(RefCell<HashMap<SocketAddr, Sender<Line>>>);

impl Room {
    /// Lets a client in until it has no more to say.
    fn talk(&self, stream: &TcpStream, name: SocketAddr) -> io::Result<()> {
        stream.set_write_timeout(Some(WRITE_TIME))?;
        stream.set_nodelay(true)?;
        let (outbox, lines) = channel::bounded(OUTBOX);
        sedge::scope(|scope| {
            self.0.borrow_mut().insert(name, outbox);
            let _place = Place { room: self, name };
            scope.spawn(|| send(stream, &lines));
            self.say(name, b"* is here\n");
            self.listen(stream, name)
        })
    }

    fn listen(&self, stream: &TcpStream, name: SocketAddr) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while (&mut reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)?
            > 0
        {
            if !line.ends_with(b"\n") {
                line.push(b'\n');
            }
            self.say(name, &line);
            line.clear();
        }
        Ok(())
    }

    /// Nobody is waited for: `try_send` puts a line into an outbox if there is room.
    fn say(&self, name: SocketAddr, text: &[u8]) {
        let line: Line = [format!("{name}: ").as_bytes(), text].concat().into();
        for (_, outbox) in self.0.borrow().iter().filter(|(other, _)| **other != name) {
            let _ = outbox.try_send(Rc::clone(&line));
        }
    }
}

/// A client is there while this is; then its outbox is closed, and what is in it still sent.
struct Place<'a> {
    room: &'a Room,
    name: SocketAddr,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.room.0.borrow_mut().remove(&self.name);
        self.room.say(self.name, b"* has gone\n");
    }
}

fn send(mut stream: &TcpStream, lines: &Receiver<Line>) {
    for line in lines {
        if stream.write_all(&line).is_err() {
            // Ends the reading too.
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}
