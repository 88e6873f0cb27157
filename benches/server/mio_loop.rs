//! The limit: a plain loop around epoll, without coroutines. What is left is what the system calls
//! and the handler cost.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::session::{Protocol, Session};
use crate::{ANY_PORT, announce};

const LISTENER: Token = Token(usize::MAX);

pub(crate) fn serve(protocol: Protocol) -> io::Result<()> {
    let addr = ANY_PORT.parse().map_err(io::Error::other)?;
    let mut listener = TcpListener::bind(addr)?;
    announce(listener.local_addr())?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut connections: Slab<Connection> = Slab::new();
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections, protocol)?;
                continue;
            }
            let connection = &mut connections[event.token().0];
            if connection.advance(event.is_read_closed()).is_err() {
                connections.remove(event.token().0);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    all: &mut Slab<Connection>,
    protocol: Protocol,
) -> io::Result<()> {
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
            session: Session::new(protocol),
        });
    }
}

struct Connection {
    stream: TcpStream,
    session: Session,
}

impl Connection {
    /// Does what can be done without waiting; after an error the connection is dropped.
    fn advance(&mut self, ends: bool) -> io::Result<()> {
        self.flush()?;
        while self.session.output.is_empty() {
            let room = self.session.room();
            let size = room.len();
            match self.stream.read(room) {
                Ok(count) => {
                    self.session.answer(count)?;
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

    fn flush(&mut self) -> io::Result<()> {
        while !self.session.output.is_empty() {
            match self.stream.write(&self.session.output) {
                Ok(count) => drop(self.session.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
