//! The three that look alike: a thread for each connection, of sedge, may or the kernel.

use std::io::{self, Read, Write};

use crate::session::{Protocol, Session};
use crate::{ANY_PORT, announce};

/// Reads, answers and writes until the client goes.
fn talk(mut stream: impl Read + Write, protocol: Protocol) -> io::Result<()> {
    let mut session = Session::new(protocol);
    loop {
        let count = stream.read(session.room())?;
        session.answer(count)?;
        if !session.output.is_empty() {
            stream.write_all(&session.output)?;
            session.output.clear();
        }
    }
}

pub(crate) fn sedge(protocol: Protocol) -> io::Result<()> {
    sedge::run(|| {
        let listener = sedge::net::TcpListener::bind(ANY_PORT)?;
        announce(listener.local_addr())?;
        for stream in listener.incoming() {
            let stream = stream?;
            stream.set_nodelay(true)?;
            sedge::spawn(move || talk(stream, protocol));
        }
        Ok(())
    })
}

pub(crate) fn may(protocol: Protocol) -> io::Result<()> {
    sedge_benches::set_up_may();
    let accept = move || {
        let listener = may::net::TcpListener::bind(ANY_PORT)?;
        announce(listener.local_addr())?;
        for stream in listener.incoming() {
            let stream = stream?;
            stream.set_nodelay(true)?;
            may::go!(move || talk(stream, protocol));
        }
        Ok(())
    };
    may::go!(accept).join().expect("it does not panic")
}

pub(crate) fn std(protocol: Protocol) -> io::Result<()> {
    let listener = std::net::TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr())?;
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        std::thread::spawn(move || talk(stream, protocol));
    }
    Ok(())
}
