//! Sends everybody's bytes back, one green thread for each client.
//!
//! ```text
//! cargo run --release --example echo            # or -- 127.0.0.1:7000
//! nc 127.0.0.1 7000                             # type, and read it again
//! ```

use std::io::{self, Read, Write};

use sedge::net::{TcpListener, TcpStream};
use sedge::server::Server;

fn main() -> io::Result<()> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7000".into());
    sedge::run(|| {
        let listener = TcpListener::bind(addr)?;
        println!("listening on {}", listener.local_addr()?);
        Server::new(listener, echo).run()
    })
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}
