//! `sedge::os::unix::net`: std's own tests for these types in other words, and what std need not
//! test.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, sockopt};
use sedge::net::Shutdown;
use sedge::os::linux::net::SocketAddrExt;
use sedge::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use sedge::{Reason, spawn, yield_now};

use crate::util::run;

const MOMENT: Duration = Duration::from_millis(20);

/// A directory for sockets, which goes when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sedge-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A name that nobody else has.
fn abstract_address() -> SocketAddr {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("sedge-{}-{number}", std::process::id());
    SocketAddr::from_abstract_name(name).unwrap()
}

/// Sends until there is no more room.
fn fill(mut send: impl FnMut() -> std::io::Result<usize>) {
    let error = loop {
        if let Err(error) = send() {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

// ---- streams ------------------------------------------------------------------------------------

#[test]
fn a_connection_is_made_by_path() {
    run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let server = spawn(move || {
            let (mut stream, from) = listener.accept().unwrap();
            assert!(from.is_unnamed());
            let mut buf = [0; 5];
            stream.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"hello");
            stream.write_all(b"world!").unwrap();
        });
        let mut stream = UnixStream::connect(&path).unwrap();
        assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
        stream.write_all(b"hello").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "world!");
        server.join().unwrap();
    });
}

#[test]
fn a_connection_is_made_by_abstract_name() {
    run(|| {
        let addr = abstract_address();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        let local = listener.local_addr().unwrap();
        assert_eq!(local.as_abstract_name(), addr.as_abstract_name());
        let client = UnixStream::connect_addr(&addr).unwrap();
        let peer = client.peer_addr().unwrap();
        assert_eq!(peer.as_abstract_name(), addr.as_abstract_name());
        assert!(listener.accept().unwrap().1.is_unnamed());
        let error = UnixListener::bind_addr(&addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn accept_tells_the_path_of_a_client_that_has_one() {
    run(|| {
        let directory = Directory::new();
        let (here, there) = (directory.join("listener"), directory.join("client"));
        let listener = UnixListener::bind(&here).unwrap();
        let client = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        let addr = |path: &Path| rustix::net::SocketAddrUnix::new(path).unwrap();
        rustix::net::bind(&client, &addr(&there)).unwrap();
        rustix::net::connect(&client, &addr(&here)).unwrap();
        assert_eq!(listener.accept().unwrap().1.as_pathname(), Some(&*there));
    });
}

#[test]
fn a_path_without_a_listener_refuses_with_the_errors_of_std() {
    fn same(path: impl AsRef<Path>) {
        let ours = UnixStream::connect(path.as_ref()).unwrap_err();
        let stds = std::os::unix::net::UnixStream::connect(path.as_ref()).unwrap_err();
        assert_eq!(
            (ours.kind(), ours.to_string()),
            (stds.kind(), stds.to_string())
        );
    }

    run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        same(&path);
        drop(UnixListener::bind(&path).unwrap());
        same(&path);
        same("");
        same("a\0b");
        let long = directory.join(&"x".repeat(200));
        same(&long);
        assert_eq!(
            UnixListener::bind(&long).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            UnixDatagram::bind(&long).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn the_two_of_a_pair_are_connected() {
    run(|| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        assert!(a.local_addr().unwrap().is_unnamed());
        assert!(b.peer_addr().unwrap().is_unnamed());
        let other = spawn(move || {
            let mut buf = [0; 5];
            a.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"hello");
            a.write_all(b"world!").unwrap();
        });
        b.write_all(b"hello").unwrap();
        let mut text = String::new();
        b.read_to_string(&mut text).unwrap();
        assert_eq!(text, "world!");
        other.join().unwrap();
    });
}

#[test]
fn a_vectored_call_goes_through_all_buffers() {
    run(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        let bufs = [
            IoSlice::new(b"hello"),
            IoSlice::new(b" "),
            IoSlice::new(b"world!"),
        ];
        assert_eq!(a.write_vectored(&bufs).unwrap(), 12);
        let (mut one, mut two) = ([0; 6], [0; 7]);
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!((&b).read_vectored(&mut bufs).unwrap(), 12);
        assert_eq!((&one, &two), (b"hello ", b"world!\0"));
    });
}

#[test]
fn clones_read_the_same_stream() {
    run(|| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let mut clone = b.try_clone().unwrap();
        let writer = spawn(move || a.write_all(b"helloworld").unwrap());
        let mut buf = [0; 5];
        b.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"hello");
        clone.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"world");
        writer.join().unwrap();
    });
}

#[test]
fn a_listener_is_iterated_over() {
    run(|| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = spawn(move || {
            assert_eq!(listener.incoming().size_hint(), (usize::MAX, None));
            for stream in (&listener).into_iter().take(2) {
                stream.unwrap().read_exact(&mut [0]).unwrap();
            }
        });
        for _ in 0..2 {
            UnixStream::connect(&path).unwrap().write_all(&[0]).unwrap();
        }
        server.join().unwrap();
    });
}

#[test]
fn connect_waits_while_the_queue_is_full() {
    run(|| {
        let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        let directory = Directory::new();
        let path = directory.join("socket");
        rustix::net::bind(&fd, &rustix::net::SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&fd, 0).unwrap();
        let listener = UnixListener::from(fd);
        let _first = UnixStream::connect(&path).unwrap();
        let late = {
            let path = path.clone();
            spawn(move || UnixStream::connect(path).map(drop))
        };
        sedge::sleep(MOMENT);
        assert!(!late.is_finished());
        listener.accept().unwrap();
        late.join().unwrap().unwrap();

        // The queue is full again, and then the listener is gone.
        let late = spawn(move || UnixStream::connect(path).map(drop));
        let cancelled = sedge::timeout(MOMENT, || sedge::sleep(Duration::from_secs(9)));
        assert!(cancelled.is_err());
        drop(listener);
        assert_eq!(
            late.join().unwrap().unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn a_green_thread_can_be_cancelled_while_it_connects() {
    run(|| {
        let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        let addr = abstract_address();
        let name = addr.as_abstract_name().unwrap();
        let bound = rustix::net::SocketAddrUnix::new_abstract_name(name).unwrap();
        rustix::net::bind(&fd, &bound).unwrap();
        rustix::net::listen(&fd, 0).unwrap();
        let _first = UnixStream::connect_addr(&addr).unwrap();
        let late = spawn(move || UnixStream::connect_addr(&addr).map(drop));
        yield_now();
        late.cancel();
        assert!(late.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_shutdown_ends_the_stream() {
    run(|| {
        let (a, mut b) = UnixStream::pair().unwrap();
        let reader = spawn(move || b.read(&mut [0]).unwrap());
        yield_now();
        a.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
        assert_eq!((&a).write(&[1]).unwrap_err().kind(), ErrorKind::BrokenPipe);

        let (mut a, _b) = UnixStream::pair().unwrap();
        let clone = a.try_clone().unwrap();
        let reader = spawn(move || a.read(&mut [0]).unwrap());
        yield_now();
        clone.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    });
}

#[test]
fn time_limits_hold_and_can_be_read() {
    run(|| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let limit = Some(Duration::from_secs(15410));
        assert_eq!(a.read_timeout().unwrap(), None);
        assert_eq!(a.write_timeout().unwrap(), None);
        a.set_read_timeout(limit).unwrap();
        a.set_write_timeout(limit).unwrap();
        assert_eq!(a.read_timeout().unwrap(), limit);
        assert_eq!(a.write_timeout().unwrap(), limit);
        let zero = Some(Duration::ZERO);
        assert_eq!(
            a.set_read_timeout(zero).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            a.set_write_timeout(zero).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );

        a.set_read_timeout(Some(MOMENT)).unwrap();
        b.write_all(b"hello world").unwrap();
        let mut buf = [0; 11];
        a.read_exact(&mut buf).unwrap();
        let start = Instant::now();
        assert_eq!(a.read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= MOMENT);

        a.set_write_timeout(Some(MOMENT)).unwrap();
        let start = Instant::now();
        assert_eq!(
            a.write_all(&[0; 4 << 20]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(start.elapsed() >= MOMENT);
    });
}

#[test]
fn nonblocking_calls_return_at_once() {
    run(|| {
        let listener = UnixListener::bind_addr(&abstract_address()).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let (mut a, _b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        fill(|| a.write(&[0; 65536]));
        let (a, _b) = UnixDatagram::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        assert_eq!(a.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        fill(|| a.send(&[0; 1024]));
        assert_eq!(sedge::stats().parks.total(), 0);
    });
}

#[test]
fn megabytes_flow_through_a_pair() {
    run(|| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let writer = spawn(move || a.write_all(&vec![7; 8 << 20]).unwrap());
        let mut bytes = Vec::new();
        b.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() == 8 << 20 && bytes.iter().all(|&byte| byte == 7));
        writer.join().unwrap();
        assert!(sedge::stats().parks[Reason::Write] > 0);
    });
}

#[test]
fn debug_text_is_that_of_std() {
    run(|| {
        fn same(ours: String, std: impl std::fmt::Debug) {
            assert_eq!(ours, format!("{std:?}"));
        }

        let listener = UnixListener::bind_addr(&abstract_address()).unwrap();
        same(
            format!("{listener:?}"),
            std::os::unix::net::UnixListener::from(listener),
        );
        let (a, _b) = UnixStream::pair().unwrap();
        same(format!("{a:?}"), std::os::unix::net::UnixStream::from(a));
        let socket = UnixDatagram::unbound().unwrap();
        same(
            format!("{socket:?}"),
            std::os::unix::net::UnixDatagram::from(socket),
        );
    });
}

#[test]
fn conversions_keep_mode_and_limits() {
    fn is_nonblocking(fd: impl AsFd) -> bool {
        rustix::fs::fcntl_getfl(fd)
            .unwrap()
            .contains(rustix::fs::OFlags::NONBLOCK)
    }

    run(|| {
        let (a, mut b) = UnixStream::pair().unwrap();
        a.set_read_timeout(Some(MOMENT)).unwrap();
        let std = std::os::unix::net::UnixStream::from(a);
        assert!(!is_nonblocking(&std));
        let mut a = UnixStream::from(std);
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        a.set_nonblocking(true).unwrap();
        let owned = OwnedFd::from(a);
        assert!(is_nonblocking(&owned));
        let mut a = UnixStream::from(owned);
        b.write_all(b"x").unwrap();
        assert_eq!(a.read(&mut [0]).unwrap(), 1);
        let parks = sedge::stats().parks;
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(sedge::stats().parks, parks);

        let socket = UnixDatagram::unbound().unwrap();
        let fd = socket.as_raw_fd();
        let std = std::os::unix::net::UnixDatagram::from(socket);
        assert_eq!(std.as_raw_fd(), fd);
        assert!(!is_nonblocking(&std));
        assert!(is_nonblocking(UnixDatagram::from(std)));

        let listener = UnixListener::bind_addr(&abstract_address()).unwrap();
        let addr = listener.local_addr().unwrap();
        let std = std::os::unix::net::UnixListener::from(listener);
        sockopt::set_socket_timeout(&std, sockopt::Timeout::Recv, Some(MOMENT)).unwrap();
        let listener = UnixListener::from(std);
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let _client = UnixStream::connect_addr(&addr).unwrap();
        listener.try_clone().unwrap().accept().unwrap();
        assert!(listener.take_error().unwrap().is_none());
    });
}

#[test]
fn a_read_that_stops_where_a_descriptor_was_sent_goes_on() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    run(|| {
        let (a, mut b) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            let mut bytes = Vec::new();
            let mut buf = [0; 64];
            while bytes.len() < 4 {
                let count = b.read(&mut buf).unwrap();
                bytes.extend_from_slice(&buf[..count]);
            }
            bytes
        });
        yield_now();
        (&a).write_all(b"a").unwrap();
        let fds = [a.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(
            &a,
            &[IoSlice::new(b"b")],
            &mut ancillary,
            SendFlags::empty(),
        )
        .unwrap();
        (&a).write_all(b"cd").unwrap();
        assert_eq!(reader.join().unwrap(), b"abcd");
    });
}

// ---- datagrams ----------------------------------------------------------------------------------

#[test]
fn a_datagram_arrives_with_the_path_of_its_sender() {
    run(|| {
        let directory = Directory::new();
        let (path1, path2) = (directory.join("1"), directory.join("2"));
        let one = UnixDatagram::bind(&path1).unwrap();
        let two = UnixDatagram::bind(&path2).unwrap();
        assert_eq!(one.local_addr().unwrap().as_pathname(), Some(&*path1));
        let receiver = spawn(move || {
            let mut buf = [0; 11];
            let (count, from) = two.recv_from(&mut buf).unwrap();
            assert_eq!((count, from.as_pathname()), (11, Some(&*path1)));
            assert_eq!(&buf, b"hello world");
            two.send_to_addr(b"back", &from).unwrap();
        });
        yield_now();
        one.send_to(b"hello world", &path2).unwrap();
        let mut buf = [0; 11];
        assert_eq!(one.recv(&mut buf).unwrap(), 4);
        receiver.join().unwrap();
        let error = one.send_to(b"x", directory.join("3")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn datagrams_go_by_abstract_name_and_from_nobody() {
    run(|| {
        let addr = abstract_address();
        let named = UnixDatagram::bind_addr(&addr).unwrap();
        let unbound = UnixDatagram::unbound().unwrap();
        assert!(unbound.local_addr().unwrap().is_unnamed());
        unbound.send_to_addr(b"hello", &addr).unwrap();
        let mut buf = [0; 11];
        let (count, from) = named.recv_from(&mut buf).unwrap();
        assert!(count == 5 && from.is_unnamed());
        unbound.connect_addr(&addr).unwrap();
        let peer = unbound.peer_addr().unwrap();
        assert_eq!(peer.as_abstract_name(), addr.as_abstract_name());
        unbound.send(b"hello there").unwrap();
        assert_eq!(named.recv(&mut buf).unwrap(), 11);
    });
}

#[test]
fn a_datagram_socket_can_be_connected_anew() {
    run(|| {
        let directory = Directory::new();
        let (path1, path2) = (directory.join("1"), directory.join("2"));
        let one = UnixDatagram::bind(&path1).unwrap();
        let two = UnixDatagram::bind(&path2).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        assert_eq!(
            socket.send(b"x").unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        socket.connect(&path1).unwrap();
        socket.send(b"1").unwrap();
        socket.connect(&path2).unwrap();
        socket.send(b"22").unwrap();
        assert_eq!(one.recv(&mut [0; 8]).unwrap(), 1);
        assert_eq!(two.recv(&mut [0; 8]).unwrap(), 2);
    });
}

#[test]
fn a_datagram_pair_talks_and_its_clones_share_it() {
    run(|| {
        let (a, b) = UnixDatagram::pair().unwrap();
        assert!(a.local_addr().unwrap().is_unnamed());
        let clone = b.try_clone().unwrap();
        let readers = [b, clone].map(|socket| {
            spawn(move || {
                let mut buf = [0; 8];
                let count = socket.recv(&mut buf).unwrap();
                buf[..count].to_vec()
            })
        });
        yield_now();
        a.send(b"hello").unwrap();
        a.send(b"world!").unwrap();
        let mut texts = readers.map(|reader| reader.join().unwrap());
        texts.sort();
        assert_eq!(texts, [b"hello".to_vec(), b"world!".to_vec()]);
    });
}

#[test]
fn a_shutdown_of_a_datagram_socket_wakes_its_receiver() {
    run(|| {
        let (a, _b) = UnixDatagram::pair().unwrap();
        let clone = a.try_clone().unwrap();
        let reader = spawn(move || clone.recv(&mut [0]).unwrap());
        yield_now();
        a.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
        a.shutdown(Shutdown::Write).unwrap();
        assert_eq!(a.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(a.take_error().unwrap().is_none());
    });
}

#[test]
fn a_datagram_limit_holds() {
    run(|| {
        let (a, _b) = UnixDatagram::pair().unwrap();
        let limit = Some(Duration::from_secs(15410));
        a.set_read_timeout(limit).unwrap();
        a.set_write_timeout(limit).unwrap();
        assert_eq!(a.read_timeout().unwrap(), limit);
        assert_eq!(a.write_timeout().unwrap(), limit);
        let zero = Some(Duration::ZERO);
        assert_eq!(
            a.set_read_timeout(zero).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            a.set_write_timeout(zero).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        a.set_read_timeout(Some(MOMENT)).unwrap();
        let start = Instant::now();
        assert_eq!(a.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(
            a.recv_from(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(start.elapsed() >= 2 * MOMENT);
        a.set_write_timeout(Some(MOMENT)).unwrap();
        fill(|| a.send(&[0; 1024]));
    });
}

/// Sends a thousand datagrams, more than a queue holds, while the receiver takes them one by one.
fn send_a_thousand(send: impl Fn(&[u8]) -> std::io::Result<usize> + 'static, to: UnixDatagram) {
    let sender = spawn(move || {
        for i in 0..1000_u32 {
            assert_eq!(send(&i.to_ne_bytes()).unwrap(), 4);
        }
    });
    sedge::sleep(Duration::from_millis(5));
    assert!(!sender.is_finished());
    // Not a busy wait. A thousand sends may spend the budget a few times.
    assert!(sedge::stats().switches < 50, "{:?}", sedge::stats());
    for i in 0..1000_u32 {
        let mut buf = [0; 4];
        assert_eq!(to.recv(&mut buf).unwrap(), 4);
        assert_eq!(u32::from_ne_bytes(buf), i);
    }
    sender.join().unwrap();
}

#[test]
fn a_sender_waits_while_the_queue_of_the_receiver_is_full() {
    run(|| {
        let (a, b) = UnixDatagram::pair().unwrap();
        send_a_thousand(move |bytes| a.send(bytes), b);
    });
    run(|| {
        let addr = abstract_address();
        let (a, b) = (
            UnixDatagram::unbound().unwrap(),
            UnixDatagram::bind_addr(&addr).unwrap(),
        );
        a.connect_addr(&addr).unwrap();
        send_a_thousand(move |bytes| a.send(bytes), b);
    });
}

#[test]
fn a_sender_that_is_not_connected_waits_too() {
    run(|| {
        let addr = abstract_address();
        let (a, b) = (
            UnixDatagram::unbound().unwrap(),
            UnixDatagram::bind_addr(&addr).unwrap(),
        );
        let to = addr.clone();
        send_a_thousand(move |bytes| a.send_to_addr(bytes, &to), b);

        let directory = Directory::new();
        let path = directory.join("socket");
        let (a, b) = (
            UnixDatagram::unbound().unwrap(),
            UnixDatagram::bind(&path).unwrap(),
        );
        a.set_write_timeout(Some(MOMENT)).unwrap();
        let start = Instant::now();
        fill(|| a.send_to(b"x", &path));
        assert!(start.elapsed() >= MOMENT);
        a.set_nonblocking(true).unwrap();
        assert_eq!(
            a.send_to(b"x", &path).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        drop(b);
        assert_eq!(
            a.send_to(b"x", &path).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn a_sender_waits_even_if_all_that_fills_the_queue_is_from_others() {
    run(|| {
        let addr = abstract_address();
        let to = UnixDatagram::bind_addr(&addr).unwrap();
        let other = UnixDatagram::unbound().unwrap();
        other.set_nonblocking(true).unwrap();
        fill(|| other.send_to_addr(b"x", &addr));
        let sender = UnixDatagram::unbound().unwrap();
        let sender = spawn(move || sender.send_to_addr(b"y", &addr).unwrap());
        let switches = sedge::stats().switches;
        sedge::sleep(MOMENT);
        assert!(!sender.is_finished());
        // A few tries, not a busy wait.
        assert!(
            sedge::stats().switches - switches < 20,
            "{:?}",
            sedge::stats()
        );
        to.recv(&mut [0]).unwrap();
        assert_eq!(sender.join().unwrap(), 1);
    });
}

#[test]
fn while_a_green_thread_unwinds_a_send_that_would_wait_fails() {
    struct Farewell(UnixDatagram, SocketAddr);

    impl Drop for Farewell {
        fn drop(&mut self) {
            fill(|| self.0.send_to_addr(b"x", &self.1));
        }
    }

    run(|| {
        let addr = abstract_address();
        let _to = UnixDatagram::bind_addr(&addr).unwrap();
        let farewell = Farewell(UnixDatagram::unbound().unwrap(), addr);
        let thread = spawn(move || {
            let _farewell = farewell;
            sedge::sleep(Duration::from_secs(9));
        });
        yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn many_green_threads_wait_on_one_datagram_socket() {
    run(|| {
        let (a, b) = UnixDatagram::pair().unwrap();
        let b = Rc::new(b);
        let readers: Vec<_> = (0..50)
            .map(|_| {
                let b = Rc::clone(&b);
                spawn(move || {
                    let mut buf = [0];
                    assert_eq!(b.recv(&mut buf).unwrap(), 1);
                    buf[0]
                })
            })
            .collect();
        yield_now();
        for i in 0..50 {
            a.send(&[i]).unwrap();
        }
        let mut bytes: Vec<_> = readers.into_iter().map(|r| r.join().unwrap()).collect();
        bytes.sort_unstable();
        assert!(bytes.into_iter().eq(0..50));
    });
}
