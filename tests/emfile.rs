//! `accept`, and a server, in a process that is out of descriptors, which therefore is a process of
//! its own: this program starts itself again under a limit.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use sedge::net::TcpListener;
use sedge::os::linux::net::SocketAddrExt;
use sedge::os::unix::net::{SocketAddr, UnixListener};
use sedge::server::Server;

const CHILD: &str = "SEDGE_TEST_EMFILE";
const DEADLINE: Duration = Duration::from_secs(20);

fn main() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let program = std::env::current_exe().unwrap();
    let status = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\""])
        .arg(&program)
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    println!("accept_waits_for_a_descriptor ... ok");
    println!("a_server_that_waits_for_a_descriptor_can_be_stopped ... ok");
}

fn child() {
    std::thread::spawn(|| {
        std::thread::sleep(DEADLINE);
        eprintln!("not done within {DEADLINE:?}");
        std::process::abort();
    });
    sedge::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let _client = std::net::TcpStream::connect(addr).unwrap();
        waits_for_a_descriptor(move |nonblocking| {
            listener
                .set_nonblocking(nonblocking)
                .map(|()| listener.accept())
        });
        let name = std::env::current_exe().unwrap();
        let name = [
            name.as_os_str().as_bytes(),
            &std::process::id().to_ne_bytes(),
        ]
        .concat();
        let name = &name[name.len().saturating_sub(100)..];
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap());
        let listener = listener.unwrap();
        let addr = listener.local_addr().unwrap();
        let _client = std::os::unix::net::UnixStream::connect_addr(&addr).unwrap();
        waits_for_a_descriptor(move |nonblocking| {
            listener
                .set_nonblocking(nonblocking)
                .map(|()| listener.accept())
        });
        serves_and_stops();
    });
}

/// A server that is out of descriptors pauses; it serves when there are some, and ends when told.
fn serves_and_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let clients = [(); 2].map(|()| std::net::TcpStream::connect(addr).unwrap());
    let files = use_up();
    let server = Server::new(listener, |mut stream| stream.write_all(b"hello"))
        .on_error(|failure| panic!("{failure}"))
        .max_connections(1);
    let handle = server.start().unwrap();
    let before = sedge::stats().accept_backoffs;
    sedge::sleep(Duration::from_millis(50));
    assert!(sedge::stats().accept_backoffs - before >= 2);
    drop(files);
    for mut client in clients {
        let stream = sedge::blocking(move || {
            let mut text = String::new();
            client.read_to_string(&mut text).map(|_| text)
        });
        assert_eq!(stream.unwrap(), "hello");
    }

    let mut files = use_up();
    files.pop();
    let before = sedge::stats().accept_backoffs;
    let _queued = std::net::TcpStream::connect(addr).unwrap();
    sedge::sleep(Duration::from_millis(20));
    assert!(sedge::stats().accept_backoffs > before);
    assert!(handle.shutdown(Duration::from_secs(3600)));
}

/// Opens files until there is no descriptor left.
fn use_up() -> Vec<File> {
    let mut files = Vec::new();
    let error = loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(Errno::from_io_error(&error), Some(Errno::MFILE));
    files
}

/// `accept` sets the mode as it is told, and accepts the connection that waits.
fn waits_for_a_descriptor<T: 'static>(
    accept: impl Fn(bool) -> std::io::Result<std::io::Result<T>> + 'static,
) {
    let files = use_up();

    // Who does not want to wait is told.
    let error = accept(true).unwrap().err().expect("no descriptor is left");
    assert_eq!(Errno::from_io_error(&error), Some(Errno::MFILE));
    assert_ne!(error.kind(), ErrorKind::WouldBlock);

    let before = sedge::stats();
    let start = Instant::now();
    let accepter = sedge::spawn(move || accept(false).unwrap().unwrap());
    sedge::sleep(Duration::from_millis(100));
    assert!(!accepter.is_finished());
    drop(files);
    accepter.join().unwrap();
    // 10, 20, 40, 80 ms: a few tries, and nobody is kept from running between them.
    assert!(start.elapsed() < Duration::from_secs(5));
    let after = sedge::stats();
    assert!(
        (3..=8).contains(&(after.accept_backoffs - before.accept_backoffs)),
        "{after:?}"
    );
    assert!(after.switches - before.switches < 50, "{after:?}");
}
