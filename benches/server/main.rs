//! A server for `echo` and `http`, over the runtime of one's choice: `server PEER echo|http`.
//!
//! It prints its address, and ends when its standard input does, so that it does not stay when
//! whoever started it is gone.

mod mio_loop;
mod session;
mod threads;
mod tokio_tasks;

use std::io::{self, Read};
use std::net::SocketAddr;

use session::Protocol;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (peer, protocol) = match arguments[..] {
        [peer, "echo"] => (peer, Protocol::Echo),
        [peer, "http"] => (peer, Protocol::Http),
        _ => return Err(io::Error::other("usage: server PEER echo|http")),
    };
    std::thread::spawn(|| {
        // An end and an error are the same here.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    match peer {
        "mio" => mio_loop::serve(protocol),
        "sedge" => threads::sedge(protocol),
        "may" => threads::may(protocol),
        "std" => threads::std(protocol),
        "tokio" => tokio_tasks::serve(protocol),
        _ => Err(io::Error::other("no such peer")),
    }
}

/// Where all of them listen.
const ANY_PORT: &str = "127.0.0.1:0";

fn announce(addr: io::Result<SocketAddr>) -> io::Result<()> {
    println!("listening on {}", addr?);
    Ok(())
}
