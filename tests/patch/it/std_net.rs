//! What std documents of its sockets holds on green threads too.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use sedge_patch_tests::run;

/// A multiple of what the kernel counts in, which it rounds up to.
const SHORT: Duration = Duration::from_millis(40);

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// The body of a server that starts an OS thread for each connection, with one word changed.
fn serve(listener: TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        sedge::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => stream.write_all(&buffer[..count]).unwrap(),
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
}

#[test]
fn a_server_with_a_thread_per_connection_serves_many() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        sedge::thread::Builder::new()
            .daemon(true)
            .spawn(|| serve(listener))
            .unwrap();
        let clients = (0..100u8).map(|number| {
            sedge::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for _ in 0..20 {
                    stream.write_all(&[number; 64]).unwrap();
                    let mut reply = [0; 64];
                    stream.read_exact(&mut reply).unwrap();
                    assert_eq!(reply, [number; 64]);
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
    });
}

#[test]
fn a_read_timeout_ends_a_read_and_nothing_else() {
    run(|| {
        let (mut near, mut far) = pair();
        near.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(near.read_timeout().unwrap(), Some(SHORT));
        let ticks = sedge::spawn(|| sedge::sleep(Duration::from_millis(1)));
        let begun = Instant::now();
        let error = near.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(begun.elapsed() >= SHORT && ticks.is_finished());
        far.write_all(b"x").unwrap();
        assert_eq!(near.read(&mut [0; 2]).unwrap(), 1);
        near.set_read_timeout(None).unwrap();
        sedge::spawn(move || {
            sedge::sleep(2 * SHORT);
            far.write_all(b"late").unwrap();
            sedge::sleep(SHORT);
        });
        assert_eq!(near.read(&mut [0; 9]).unwrap(), 4);
    });
}

#[test]
fn a_write_timeout_ends_a_write_that_finds_no_room() {
    run(|| {
        let (mut near, _far) = pair();
        near.set_write_timeout(Some(SHORT)).unwrap();
        let error = loop {
            if let Err(error) = near.write(&[0; 1 << 16]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_socket_in_non_blocking_mode_does_not_wait() {
    run(|| {
        let (mut near, mut far) = pair();
        near.set_nonblocking(true).unwrap();
        assert_eq!(
            near.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        near.set_nonblocking(false).unwrap();
        let reads = sedge::spawn(move || near.read(&mut [0; 8]).unwrap());
        sedge::sleep(Duration::from_millis(1));
        assert!(!reads.is_finished());
        far.write_all(b"four").unwrap();
        assert_eq!(reads.join().unwrap(), 4);
    });
}

#[test]
fn no_descriptor_is_left_in_non_blocking_mode() {
    fn flags(fd: RawFd) -> i32 {
        // SAFETY: no memory is involved.
        unsafe { libc::fcntl(fd, libc::F_GETFL) }
    }
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let fd = listener.as_raw_fd();
        let accepts = sedge::spawn(move || (listener.accept().unwrap().0, listener));
        sedge::sleep(Duration::from_millis(1));
        assert_eq!(flags(fd) & libc::O_NONBLOCK, 0);
        let near = TcpStream::connect(address).unwrap();
        let (far, _listener) = accepts.join().unwrap();
        for fd in [fd, near.as_raw_fd(), far.as_raw_fd()] {
            assert_eq!(flags(fd) & libc::O_NONBLOCK, 0);
        }
    });
}

#[test]
fn connect_timeout_connects_or_gives_up() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        drop(listener);
        let error = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(
            TcpStream::connect(address).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn connect_timeout_gives_up_where_nobody_accepts() {
    run(|| {
        // One connection fills a queue of that length; the kernel lets one more in.
        let listener = listener_with_a_short_queue();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        let begun = Instant::now();
        let error = loop {
            match TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
                Ok(stream) => queued.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(100));
    });
}

fn listener_with_a_short_queue() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: no memory is involved; a second call changes the length of the queue.
    let changed = unsafe { libc::listen(listener.as_raw_fd(), 0) };
    assert_eq!(changed, 0);
    listener
}

#[test]
fn a_peek_waits_and_leaves_the_bytes() {
    run(|| {
        let (mut near, mut far) = pair();
        sedge::spawn(move || {
            sedge::sleep(Duration::from_millis(5));
            far.write_all(b"peek").unwrap();
            sedge::sleep(Duration::from_millis(5));
        });
        let mut buffer = [0; 8];
        assert_eq!(near.peek(&mut buffer).unwrap(), 4);
        assert_eq!(near.read(&mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"peek");
    });
}

#[test]
fn vectored_calls_wait_and_move_everything() {
    run(|| {
        let (mut near, mut far) = pair();
        let reads = sedge::spawn(move || {
            let (mut one, mut two) = ([0; 3], [0; 5]);
            let mut parts = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            assert_eq!(near.read_vectored(&mut parts).unwrap(), 6);
            assert_eq!((&one, &two[..3]), (b"abc", &b"def"[..]));
            let mut rest = Vec::new();
            near.read_to_end(&mut rest).unwrap();
            rest.len()
        });
        sedge::sleep(Duration::from_millis(1));
        far.write_all(b"abcdef").unwrap();
        sedge::sleep(Duration::from_millis(5));
        let large = vec![1; 2_000_000];
        let parts = [IoSlice::new(&large), IoSlice::new(&large)];
        // As without a patch, one call writes it all.
        assert_eq!(far.write_vectored(&parts).unwrap(), 4_000_000);
        drop(far);
        assert_eq!(reads.join().unwrap(), 4_000_000);
    });
}

#[test]
fn one_write_moves_everything_as_without_a_patch() {
    run(|| {
        let (near, mut far) = pair();
        let reads = sedge::spawn(move || {
            let mut near = near;
            let mut bytes = Vec::new();
            near.read_to_end(&mut bytes).unwrap();
            bytes.len()
        });
        assert_eq!(far.write(&vec![0; 5_000_000]).unwrap(), 5_000_000);
        drop(far);
        assert_eq!(reads.join().unwrap(), 5_000_000);
    });
}

#[test]
fn clones_read_and_write_at_the_same_time() {
    run(|| {
        let (near, mut far) = pair();
        let mut reader = near.try_clone().unwrap();
        let reads = sedge::spawn(move || {
            let mut reply = [0; 4];
            reader.read_exact(&mut reply).unwrap();
            reply
        });
        sedge::yield_now();
        let mut writer = near;
        writer.write_all(b"ping").unwrap();
        let mut asked = [0; 4];
        far.read_exact(&mut asked).unwrap();
        drop(writer);
        far.write_all(b"pong").unwrap();
        assert_eq!(&reads.join().unwrap(), b"pong");
    });
}

#[test]
fn shutdown_wakes_who_reads_and_who_accepts() {
    run(|| {
        let (mut near, far) = pair();
        let same = near.try_clone().unwrap();
        let reads = sedge::spawn(move || near.read(&mut [0]).unwrap());
        sedge::sleep(Duration::from_millis(1));
        same.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(reads.join().unwrap(), 0);
        drop(far);
    });
}

#[test]
fn datagrams_wait_and_keep_their_bounds() {
    run(|| {
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = near.local_addr().unwrap();
        let from = far.local_addr().unwrap();
        sedge::spawn(move || {
            sedge::sleep(Duration::from_millis(2));
            far.send_to(b"first", address).unwrap();
            far.connect(address).unwrap();
            far.send(b"second").unwrap();
        });
        let mut buffer = [0; 32];
        assert_eq!(near.recv_from(&mut buffer).unwrap(), (5, from));
        assert_eq!(near.recv(&mut buffer).unwrap(), 6);
    });
}

#[test]
fn unix_sockets_wait_too() {
    run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let reads = sedge::spawn(move || {
            let mut text = String::new();
            near.read_to_string(&mut text).unwrap();
            text.len()
        });
        far.write_all(&[b'x'; 1_000_000]).unwrap();
        drop(far);
        assert_eq!(reads.join().unwrap(), 1_000_000);

        let (near, far) = UnixDatagram::pair().unwrap();
        let sends = sedge::spawn(move || (0..1000).for_each(|_| drop(far.send(b"datagram"))));
        for _ in 0..1000 {
            assert_eq!(near.recv(&mut [0; 32]).unwrap(), 8);
        }
        sends.join().unwrap();
    });
}

#[test]
fn a_unix_socket_waits_for_room_in_the_listener_s_queue() {
    run(|| {
        let path = std::env::temp_dir().join(format!("sedge-queue-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        // SAFETY: no memory is involved; a second call changes the length of the queue.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let connect = || {
            let path = path.clone();
            sedge::spawn(move || drop(UnixStream::connect(path).unwrap()))
        };
        let clients = [connect(), connect(), connect()];
        sedge::sleep(Duration::from_millis(5));
        assert!(clients.iter().any(|client| !client.is_finished()));
        clients
            .iter()
            .for_each(|_| drop(listener.accept().unwrap()));
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        std::fs::remove_file(path).unwrap();
    });
}
