//! Does one thing so many times, for `counts.sh` to count the instructions: `counted VERB COUNT`.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use sedge::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, count] = &arguments[..] else {
        return Err(io::Error::other("usage: counted VERB COUNT"));
    };
    let count = count.parse().map_err(io::Error::other)?;
    sedge::run(|| {
        match verb.as_str() {
            "switch" => switch(count),
            "spawn" => spawn(count),
            "park" => park(count),
            "echo" => return echo(count),
            _ => return Err(io::Error::other("no such verb")),
        }
        Ok(())
    })
}

/// Switches between two that yield.
fn switch(count: u64) {
    let turns = move || (0..count / 2).for_each(|_| sedge::yield_now());
    let other = sedge::spawn(turns);
    turns();
    other.join().expect("it does not panic");
}

/// Threads that are made and waited for.
fn spawn(count: u64) {
    for _ in 0..count {
        sedge::spawn(|| 1).join().expect("it does not panic");
    }
}

/// Wakes of one that is parked, each with the switch there and the park that leads back.
fn park(count: u64) {
    let main = sedge::thread::current();
    let other = sedge::spawn(move || {
        for _ in 0..count / 2 {
            sedge::thread::park();
            main.unpark();
        }
    });
    for _ in 0..count / 2 {
        other.thread().unpark();
        sedge::thread::park();
    }
    other.join().expect("it does not panic");
}

/// Messages there and back over TCP; both ends are here, and the kernel's part is not counted.
fn echo(count: u64) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let server = sedge::spawn(move || serve(&listener));
    ask(addr, count)?;
    server.join().expect("it does not panic")
}

fn serve(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    let mut message = [0; 64];
    loop {
        match stream.read(&mut message)? {
            0 => return Ok(()),
            length => stream.write_all(&message[..length])?,
        }
    }
}

fn ask(addr: SocketAddr, count: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut message = [b'.'; 64];
    for _ in 0..count {
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
    }
    Ok(())
}
