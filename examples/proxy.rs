//! Forwards a port: whoever connects here talks with the target.
//!
//! ```text
//! cargo run --release --example echo                     # something to forward to
//! cargo run --release --example proxy                    # or -- 127.0.0.1:7001 127.0.0.1:7000
//! nc 127.0.0.1 7001                                      # type, and read it again
//! ```
//!
//! Bytes go both ways, each way on a green thread of its own, and so does the end of them: a client
//! that has sent everything still gets all of the answer. At Ctrl-C or SIGTERM nobody is accepted
//! any more, and who is connected has ten seconds to end.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use sedge::net::{TcpListener, TcpStream};
use sedge::server::Server;
use sedge::signal::{SIGINT, SIGTERM, Signals};

const GRACE: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let addr = arguments.next().unwrap_or("127.0.0.1:7001".into());
    let target = arguments.next().unwrap_or("127.0.0.1:7000".into());
    sedge::run(|| {
        let listener = TcpListener::bind(addr)?;
        let signals = Signals::new([SIGINT, SIGTERM])?;
        println!("listening on {}", listener.local_addr()?);
        let server = Server::new(listener, move |client| forward(&client, &target)).start()?;
        signals.recv()?;
        if !server.shutdown(GRACE) {
            eprintln!("proxy: some were cut off");
        }
        Ok(())
    })
}

fn forward(client: &TcpStream, target: &str) -> io::Result<()> {
    let server = &TcpStream::connect(target)?;
    sedge::scope(|scope| {
        let back = scope.spawn(|| pump(server, client));
        pump(client, server).and(back.join().expect("a pump does not panic"))
    })
}

/// Passes on what comes, and at last that nothing more will come.
fn pump(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let pumped = io::copy(&mut from, &mut to).and_then(|_| to.shutdown(Shutdown::Write));
    if pumped.is_err() {
        // One side is gone: nothing goes the other way either.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
    pumped
}
