//! `echo` on all cores: one process for each, and a launcher that looks after them.
//!
//! ```text
//! cargo run --release --example echo_cores      # or -- 127.0.0.1:7000; WORKERS=N for so many
//! nc 127.0.0.1 7000                             # type, and read it again
//! ```

use std::io::{self, Read, Write};

use sedge::launch::Launcher;
use sedge::net::TcpStream;
use sedge::server::Server;

fn main() -> io::Result<std::process::ExitCode> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7000".into());
    Launcher::new()
        .bind(addr)
        .on_ready(|addrs| println!("listening on {}", addrs[0]))
        .run(|worker| worker.serve(Server::new(worker.listener(0), echo)))
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
