//! What the tests and measurements of `sedge::patch` share: servers, which run on an OS thread of
//! their own, and deadlines.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Starts a server that answers each HTTP request after a while, on an OS thread with a scheduler
/// of its own. It ends with the process.
pub fn slow_http(delay: Duration) -> SocketAddr {
    serve(move |stream| answer(stream, delay))
}

/// Starts a server that sends back what it gets.
pub fn echo() -> SocketAddr {
    serve(|mut stream| {
        let mut reader = stream.try_clone()?;
        io::copy(&mut reader, &mut stream).map(drop)
    })
}

/// Starts a server that is given each connection in a green thread.
///
/// # Panics
///
/// If there is no port left.
pub fn serve(
    body: impl Fn(sedge::net::TcpStream) -> io::Result<()> + Copy + Send + 'static,
) -> SocketAddr {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        sedge::run(|| {
            let listener = sedge::net::TcpListener::bind("127.0.0.1:0").unwrap();
            send.send(listener.local_addr().unwrap()).unwrap();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                sedge::spawn(move || body(stream));
            }
        });
    });
    receive.recv().unwrap()
}

fn answer(stream: sedge::net::TcpStream, delay: Duration) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        loop {
            match lines.next().transpose()? {
                None => return Ok(()),
                Some(line) if line.is_empty() => break,
                Some(_) => {}
            }
        }
        sedge::sleep(delay);
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")?;
    }
}

/// Runs `f` on green threads of a new scheduler, with everything patched; ends the process if that
/// takes more than half a minute.
pub fn run<T>(f: impl FnOnce() -> T) -> T {
    sedge::patch::all();
    let (done, wait) = mpsc::channel::<()>();
    let name = thread::current().name().unwrap_or("?").to_owned();
    thread::spawn(move || {
        if wait.recv_timeout(Duration::from_secs(30)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} has run for 30 s");
            std::process::abort();
        }
    });
    let value = sedge::run(f);
    drop(done);
    value
}

/// How many calls of these functions have parked while `f` ran, on this OS thread.
///
/// # Panics
///
/// If one of them is not counted.
pub fn parks(functions: &[&str], f: impl FnOnce()) -> u64 {
    let count = || {
        let calls = sedge::patch::calls();
        let counts = functions
            .iter()
            .map(|name| calls.of(name).expect("one that may park"));
        counts.map(|counts| counts.parked).sum::<u64>()
    };
    let before = count();
    f();
    count() - before
}
