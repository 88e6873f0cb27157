//! Sends every datagram back to its sender.
//!
//! ```text
//! cargo run --release --example udp_echo        # or -- 127.0.0.1:7000
//! nc -u 127.0.0.1 7000                          # type, and read it again
//! ```
//!
//! Each datagram has a green thread of its own, at most a hundred at once: while so many wait for
//! something, further datagrams stay in the kernel, or are lost, as datagrams are.

use std::io;

use sedge::net::UdpSocket;
use sedge::server::DatagramServer;

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    sedge::run(|| {
        let socket = UdpSocket::bind(addr)?;
        println!("listening on {}", socket.local_addr()?);
        DatagramServer::new(socket, |datagram| datagram.reply(datagram.data()))
            .max_handlers(100)
            .run()
    })
}
