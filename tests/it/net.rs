//! `sedge::net`: std's own tests for these types in other words, and what std need not test. TCP
//! stands here.

mod names;
mod udp;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SendFlags, SocketType, sockopt};
use sedge::io::Source;
use sedge::net::{
    IpAddr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, ToSocketAddrs,
    UdpSocket, lookup,
};
use sedge::os::linux::net::TcpStreamExt;
use sedge::{Reason, spawn, yield_now};

use crate::util::run;

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";
const MOMENT: Duration = Duration::from_millis(20);

/// Calls `f` with any port of this host, by each version of IP that it has.
fn each_ip(f: impl Fn(SocketAddr)) {
    run(|| {
        f(V4.parse().unwrap());
        let v6 = V6.parse().unwrap();
        if std::net::TcpListener::bind(v6).is_ok() {
            f(v6);
        }
    });
}

/// A listener and where it listens.
fn listen(addr: SocketAddr) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(addr).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// An address that refuses connections for as long as the descriptor is held.
fn closed(addr: SocketAddr) -> (OwnedFd, SocketAddr) {
    let family = if addr.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let fd = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&fd, &addr).unwrap();
    let addr = rustix::net::getsockname(&fd).unwrap().try_into().unwrap();
    (fd, addr)
}

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = listen(V4.parse().unwrap());
    let client = TcpStream::connect(addr).unwrap();
    (client, listener.accept().unwrap().0)
}

/// A listener whose queue is full, and what fills it: connecting to it takes for ever.
fn full_listener() -> (std::net::TcpListener, SocketAddr, Vec<TcpStream>) {
    let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&fd, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::listen(&fd, 0).unwrap();
    let listener = std::net::TcpListener::from(fd);
    let addr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(50)) {
        queued.push(stream);
    }
    (listener, addr, queued)
}

/// Writes until there is no more room.
fn fill(stream: &TcpStream) {
    stream.set_nonblocking(true).unwrap();
    while (&mut &*stream).write(&[0; 65536]).is_ok() {}
    stream.set_nonblocking(false).unwrap();
}

/// The error of a write that finds too little room.
fn write_much(stream: &mut TcpStream) -> std::io::Error {
    stream.write_all(&vec![0; 64 << 20]).unwrap_err()
}

/// Whether `stream`'s peer is gone, which its descriptor says at once.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

// ---- addresses ----------------------------------------------------------------------------------

#[test]
fn an_address_of_another_host_cannot_be_bound() {
    run(|| {
        let error = TcpListener::bind("192.0.2.1:9999").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        let error = UdpSocket::bind("192.0.2.1:9999").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn a_port_without_a_listener_refuses() {
    each_ip(|addr| {
        let (_reserved, addr) = closed(addr);
        assert_eq!(
            TcpStream::connect(addr).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        let error = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connect_tries_one_address_after_the_other() {
    run(|| {
        let (listener, open) = listen(V4.parse().unwrap());
        let (_reserved, closed) = closed(V4.parse().unwrap());
        let stream = TcpStream::connect(&[closed, open][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
        let error = TcpStream::connect(&[closed, closed][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn each_side_knows_the_address_of_the_other() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let client = spawn(move || TcpStream::connect(addr).unwrap());
        let (server, from) = listener.accept().unwrap();
        let client = client.join().unwrap();
        assert_eq!(client.peer_addr().unwrap(), addr);
        assert_eq!(server.local_addr().unwrap(), addr);
        assert_eq!(server.peer_addr().unwrap(), from);
        assert_eq!(client.local_addr().unwrap(), from);
    });
}

#[test]
fn a_port_can_be_bound_once_but_again_when_it_is_free() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        assert_eq!(
            TcpListener::bind(addr).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        let client = TcpStream::connect(addr).unwrap();
        // The side that closes first leaves its address in TIME_WAIT.
        drop(listener.accept().unwrap());
        drop((listener, client));
        TcpListener::bind(addr).unwrap();
    });
}

#[test]
fn connections_come_in_the_order_they_were_made() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let clients = spawn(move || {
            for i in 0..10 {
                TcpStream::connect(addr).unwrap().write_all(&[i]).unwrap();
            }
        });
        for (i, stream) in listener.incoming().take(10).enumerate() {
            let mut buf = [0];
            stream.unwrap().read_exact(&mut buf).unwrap();
            assert_eq!(usize::from(buf[0]), i);
        }
        clients.join().unwrap();
    });
}

#[test]
fn connections_may_overlap() {
    fn connect(i: u8, addr: SocketAddr) {
        if i < 10 {
            let mut stream = TcpStream::connect(addr).unwrap();
            connect(i + 1, addr);
            stream.write_all(&[i]).unwrap();
        }
    }

    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let server = spawn(move || {
            let threads: Vec<_> = (0..10)
                .map(|i| {
                    let mut stream = listener.accept().unwrap().0;
                    spawn(move || {
                        let mut buf = [0];
                        stream.read_exact(&mut buf).unwrap();
                        assert_eq!(buf, [i]);
                    })
                })
                .collect();
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
        });
        connect(0, addr);
        server.join().unwrap();
    });
}

#[test]
fn connect_gives_up_after_its_limit() {
    run(|| {
        let (_listener, addr, _queued) = full_listener();
        let start = Instant::now();
        let error = TcpStream::connect_timeout(&addr, Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "connection timed out");
        assert!(start.elapsed() >= Duration::from_millis(100));
        let error = TcpStream::connect_timeout(&addr, Duration::ZERO).unwrap_err();
        let stds = std::net::TcpStream::connect_timeout(&addr, Duration::ZERO).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (stds.kind(), stds.to_string())
        );
    });
}

#[test]
fn connect_within_its_limit_succeeds() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        assert_eq!(stream.write_timeout().unwrap(), None);
        listener.accept().unwrap();
    });
}

// ---- TCP: bytes ---------------------------------------------------------------------------------

#[test]
fn a_read_takes_what_there_is() {
    run(|| {
        let (mut a, mut b) = pair();
        a.write_all(&[10]).unwrap();
        let mut buf = [0; 10];
        assert_eq!(b.read(&mut buf).unwrap(), 1);
        assert_eq!(buf[0], 10);
        // Parks without a call, for the read before has emptied the socket.
        let reader = spawn(move || {
            let mut buf = [0; 10];
            let count = b.read(&mut buf).unwrap();
            buf[..count].to_vec()
        });
        yield_now();
        a.write_all(b"abc").unwrap();
        assert_eq!(reader.join().unwrap(), b"abc");
    });
}

#[test]
fn the_end_of_a_stream_stays() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        drop(TcpStream::connect(addr).unwrap());
        let mut stream = listener.accept().unwrap().0;
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn the_end_that_comes_with_the_last_bytes_is_seen() {
    run(|| {
        for wait_first in [false, true] {
            let (mut a, mut b) = pair();
            let reader = spawn(move || {
                let mut bytes = Vec::new();
                let mut buf = [0; 64];
                loop {
                    match b.read(&mut buf).unwrap() {
                        0 => return bytes,
                        count => bytes.extend_from_slice(&buf[..count]),
                    }
                }
            });
            if wait_first {
                yield_now();
            }
            a.write_all(b"last").unwrap();
            drop(a);
            assert_eq!(reader.join().unwrap(), b"last");
        }
    });
}

#[test]
fn writing_to_a_closed_stream_fails_in_the_end() {
    run(|| {
        let (a, mut b) = pair();
        drop(a);
        let error = (0..100).find_map(|_| {
            sedge::sleep(Duration::from_millis(1));
            b.write(&[0]).err()
        });
        let kind = error
            .expect("a hundred writes after the peer has closed")
            .kind();
        assert!(
            matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{kind:?}"
        );
    });
}

#[test]
fn an_abrupt_reset_is_an_error_to_the_reader_that_waits() {
    run(|| {
        let (a, mut b) = pair();
        let reader = spawn(move || b.read(&mut [0]).unwrap_err().kind());
        yield_now();
        sockopt::set_socket_linger(&a, Some(Duration::ZERO)).unwrap();
        drop(a);
        assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_reset_is_left_for_take_error() {
    run(|| {
        let (a, b) = pair();
        assert!(b.take_error().unwrap().is_none());
        sockopt::set_socket_linger(&a, Some(Duration::ZERO)).unwrap();
        drop(a);
        let error = b.take_error().unwrap().expect("the reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(b.take_error().unwrap().is_none());
    });
}

#[test]
fn a_vectored_read_fills_one_buffer_after_the_other() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let mut a = TcpStream::connect(addr).unwrap();
        let mut b = listener.accept().unwrap().0;
        a.write_all(&[10, 11, 12]).unwrap();
        let (mut none, mut one, mut more) = ([], [0], [0; 3]);
        let mut bufs = [
            IoSliceMut::new(&mut none),
            IoSliceMut::new(&mut one),
            IoSliceMut::new(&mut more),
        ];
        assert_eq!(b.read_vectored(&mut bufs).unwrap(), 3);
        assert_eq!((one, more), ([10], [11, 12, 0]));
    });
}

#[test]
fn a_vectored_write_takes_one_buffer_after_the_other() {
    run(|| {
        let (mut a, b) = pair();
        let bufs = [
            IoSlice::new(&[]),
            IoSlice::new(&[10]),
            IoSlice::new(&[11, 12]),
        ];
        assert_eq!(a.write_vectored(&bufs).unwrap(), 3);
        a.flush().unwrap();
        let mut buf = [0; 4];
        // By reference as well as by value.
        assert_eq!((&b).read(&mut buf).unwrap(), 3);
        assert_eq!(buf, [10, 11, 12, 0]);
    });
}

#[test]
fn a_peek_leaves_the_bytes() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let mut a = TcpStream::connect(addr).unwrap();
        let mut b = listener.accept().unwrap().0;
        let writer = spawn(move || {
            a.write_all(&[1, 3, 3, 7]).unwrap();
            a
        });
        let mut buf = [0; 10];
        for _ in 0..3 {
            assert_eq!(b.peek(&mut buf).unwrap(), 4);
        }
        assert_eq!(b.read(&mut buf).unwrap(), 4);
        let a = writer.join().unwrap();
        b.set_nonblocking(true).unwrap();
        assert_eq!(b.peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(a);
    });
}

#[test]
fn a_short_peek_does_not_count_as_an_empty_socket() {
    run(|| {
        let (mut a, mut b) = pair();
        let reader = spawn(move || {
            let mut buf = [0; 10];
            b.peek(&mut buf).unwrap(); // waits, so the socket is registered
            assert_eq!(b.peek(&mut buf).unwrap(), 1);
            assert_eq!(b.read(&mut buf).unwrap(), 1);
        });
        yield_now();
        a.write_all(b"x").unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn megabytes_flow_both_ways_at_once() {
    const BYTES: usize = 4 << 20;

    fn pump(mut stream: TcpStream) {
        let mut reader = stream.try_clone().unwrap();
        let writer = spawn(move || {
            let bytes: Vec<u8> = (0..BYTES).map(|i| (i % 251) as u8).collect();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), BYTES);
        assert!(
            bytes
                .iter()
                .enumerate()
                .all(|(i, &byte)| byte == (i % 251) as u8)
        );
        writer.join().unwrap();
    }

    run(|| {
        let (a, b) = pair();
        let other = spawn(move || pump(a));
        pump(b);
        other.join().unwrap();
        assert!(sedge::stats().parks[Reason::Write] > 0);
    });
}

#[test]
fn urgent_data_does_not_stall_reads() {
    run(|| {
        let (mut a, mut b) = pair();
        let reader = spawn(move || {
            let mut bytes = Vec::new();
            b.read_to_end(&mut bytes).unwrap();
            bytes
        });
        yield_now();
        a.write_all(b"before").unwrap();
        rustix::net::send(&a, b"!", SendFlags::OOB).unwrap();
        a.write_all(b"after").unwrap();
        drop(a);
        assert_eq!(reader.join().unwrap(), b"beforeafter");
    });
}

#[test]
fn a_read_that_stops_at_urgent_data_goes_on() {
    run(|| {
        let (mut a, mut b) = pair();
        let reader = spawn(move || {
            let mut total = 0;
            let mut buf = [0; 64];
            while total < 6 {
                total += b.read(&mut buf).unwrap();
            }
            total
        });
        yield_now();
        a.write_all(b"abc").unwrap();
        rustix::net::send(&a, b"!", SendFlags::OOB).unwrap();
        a.write_all(b"def").unwrap();
        assert_eq!(reader.join().unwrap(), 6);
    });
}

// ---- TCP: clones, shutdown ----------------------------------------------------------------------

#[test]
fn a_clone_reads_while_the_other_writes() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let peer = spawn(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            let mut buf = [0, 0];
            assert_eq!(stream.read(&mut buf).unwrap(), 1);
            assert_eq!(buf[0], 1);
            stream.write_all(&[2]).unwrap();
        });
        let mut reader = listener.accept().unwrap().0;
        let mut writer = reader.try_clone().unwrap();
        let writer = spawn(move || writer.write_all(&[1]).unwrap());
        let mut buf = [0, 0];
        assert_eq!(reader.read(&mut buf).unwrap(), 1);
        assert_eq!(buf[0], 2);
        writer.join().unwrap();
        peer.join().unwrap();
    });
}

#[test]
fn two_clones_read_one_byte_each() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let mut peer = TcpStream::connect(addr).unwrap();
        let stream = listener.accept().unwrap().0;
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let mut clone = stream.try_clone().unwrap();
                spawn(move || {
                    let mut buf = [0];
                    clone.read_exact(&mut buf).unwrap();
                    buf[0]
                })
            })
            .collect();
        yield_now();
        peer.write_all(&[1, 2]).unwrap();
        let mut bytes: Vec<_> = readers.into_iter().map(|r| r.join().unwrap()).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, [1, 2]);
    });
}

#[test]
fn a_stream_can_be_cloned_while_it_is_read() {
    run(|| {
        let (mut a, b) = pair();
        let mut clone = b.try_clone().unwrap();
        let reader = spawn(move || clone.read(&mut [0]).unwrap());
        yield_now();
        let mut later = b.try_clone().unwrap();
        a.write_all(&[0]).unwrap();
        assert_eq!(reader.join().unwrap(), 1);
        let reader = spawn(move || later.read(&mut [0]).unwrap());
        yield_now();
        a.write_all(&[0]).unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn clones_of_a_listener_share_its_queue() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let clone = listener.try_clone().unwrap();
        let accepters = [
            spawn(move || drop(listener.accept().unwrap())),
            spawn(move || drop(clone.accept().unwrap())),
        ];
        yield_now();
        let _clients = [
            TcpStream::connect(addr).unwrap(),
            TcpStream::connect(addr).unwrap(),
        ];
        accepters
            .into_iter()
            .for_each(|accepter| accepter.join().unwrap());
    });
}

#[test]
fn after_a_shutdown_of_writing_the_peer_finds_the_end() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let mut a = TcpStream::connect(addr).unwrap();
        let mut b = listener.accept().unwrap().0;
        let peer = spawn(move || {
            assert_eq!(b.read(&mut [0]).unwrap(), 0);
            b.write_all(&[1]).unwrap();
        });
        yield_now();
        a.shutdown(Shutdown::Write).unwrap();
        assert_eq!(a.write(&[1]).unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut buf = [0, 0];
        assert_eq!(a.read(&mut buf).unwrap(), 1);
        assert_eq!(buf[0], 1);
        peer.join().unwrap();
    });
}

#[test]
fn a_shutdown_holds_for_clones_of_before_and_after() {
    run(|| {
        let (a, _b) = pair();
        let before = a.try_clone().unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        a.shutdown(Shutdown::Read).unwrap();
        let after = a.try_clone().unwrap();
        for mut stream in [a, before, after] {
            assert!(stream.write(&[0]).is_err());
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
}

#[test]
fn a_shutdown_of_reading_wakes_the_reader() {
    each_ip(|addr| {
        let (listener, addr) = listen(addr);
        let mut a = TcpStream::connect(addr).unwrap();
        let _b = listener.accept().unwrap();
        let clone = a.try_clone().unwrap();
        let reader = spawn(move || a.read(&mut [0]).unwrap());
        yield_now();
        clone.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    });
}

// ---- TCP: options -------------------------------------------------------------------------------

#[test]
fn debug_text_is_that_of_std() {
    run(|| {
        let (a, _b) = pair();
        let (listener, addr) = listen(V4.parse().unwrap());
        let fd = listener.as_raw_fd();
        assert_eq!(
            format!("{listener:?}"),
            format!("TcpListener {{ addr: {addr:?}, fd: {fd} }}")
        );
        let (addr, peer, fd) = (
            a.local_addr().unwrap(),
            a.peer_addr().unwrap(),
            a.as_raw_fd(),
        );
        let text = format!("TcpStream {{ addr: {addr:?}, peer: {peer:?}, fd: {fd} }}");
        assert_eq!(format!("{a:?}"), text);
        let socket = UdpSocket::bind(V4).unwrap();
        let (addr, fd) = (socket.local_addr().unwrap(), socket.as_raw_fd());
        assert_eq!(
            format!("{socket:?}"),
            format!("UdpSocket {{ addr: {addr:?}, fd: {fd} }}")
        );
    });
}

#[test]
fn options_are_those_of_the_socket() {
    run(|| {
        let (a, _b) = pair();
        assert!(!a.nodelay().unwrap());
        a.set_nodelay(true).unwrap();
        assert!(a.nodelay().unwrap());
        a.set_nodelay(false).unwrap();
        assert!(!a.nodelay().unwrap());
        a.set_ttl(100).unwrap();
        assert_eq!(a.ttl().unwrap(), 100);
        a.set_quickack(false).unwrap();
        assert!(!a.quickack().unwrap());
        a.set_quickack(true).unwrap();
        assert!(a.quickack().unwrap());
        let (listener, _) = listen(V4.parse().unwrap());
        listener.set_ttl(101).unwrap();
        assert_eq!(listener.ttl().unwrap(), 101);
        assert!(listener.take_error().unwrap().is_none());
    });
}

#[test]
#[expect(deprecated, reason = "only_v6 is, in std as here")]
fn only_v6_can_be_asked_for() {
    each_ip(|addr| {
        let listener = listen(addr).0;
        let std = std::net::TcpListener::bind(addr).unwrap();
        assert_eq!(listener.only_v6().ok(), std.only_v6().ok());
        assert_eq!(listener.only_v6().is_ok(), addr.is_ipv6());
        assert!(listener.set_only_v6(false).is_err());
    });
}

#[test]
fn time_limits_can_be_set_read_and_removed() {
    run(|| {
        let (a, _b) = pair();
        let limit = Some(Duration::from_secs(15410));
        assert_eq!(a.read_timeout().unwrap(), None);
        assert_eq!(a.write_timeout().unwrap(), None);
        a.set_read_timeout(limit).unwrap();
        assert_eq!(a.read_timeout().unwrap(), limit);
        assert_eq!(a.write_timeout().unwrap(), None);
        a.set_write_timeout(limit).unwrap();
        assert_eq!(a.write_timeout().unwrap(), limit);
        a.set_read_timeout(None).unwrap();
        a.set_write_timeout(None).unwrap();
        assert_eq!(a.read_timeout().unwrap(), None);
        assert_eq!(a.write_timeout().unwrap(), None);
    });
}

#[test]
fn a_time_limit_of_zero_is_refused() {
    run(|| {
        let (a, mut b) = pair();
        let zero = Some(Duration::ZERO);
        assert_eq!(
            a.set_read_timeout(zero).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            a.set_write_timeout(zero).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let udp = UdpSocket::bind(V4).unwrap();
        assert_eq!(
            udp.set_read_timeout(zero).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            udp.set_write_timeout(zero).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        // And nothing is set.
        let mut reader = a.try_clone().unwrap();
        let reader = spawn(move || reader.read(&mut [0]).unwrap());
        sedge::sleep(MOMENT);
        b.write_all(&[1]).unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn a_read_fails_with_would_block_when_its_limit_passes() {
    run(|| {
        let (mut a, mut b) = pair();
        a.set_read_timeout(Some(MOMENT)).unwrap();
        for _ in 0..2 {
            let start = Instant::now();
            let error = a.read(&mut [0; 10]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert_eq!(
                error.raw_os_error(),
                Some(rustix::io::Errno::AGAIN.raw_os_error())
            );
            assert!(start.elapsed() >= MOMENT);
        }
        // What comes later is there, and a limit that holds changes nothing.
        b.write_all(b"hello world").unwrap();
        let mut buf = [0; 11];
        a.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"hello world");
        assert_eq!(a.read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(a.peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_write_fails_with_would_block_when_its_limit_passes() {
    run(|| {
        let (mut a, _b) = pair();
        fill(&a);
        a.set_write_timeout(Some(MOMENT)).unwrap();
        let start = Instant::now();
        assert_eq!(write_much(&mut a).kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= MOMENT);
    });
}

#[test]
fn a_read_after_its_limit_tries_once_more() {
    run(|| {
        let (mut a, mut b) = pair();
        a.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let reader = spawn(move || a.read(&mut [0]));
        yield_now();
        // Holds up the scheduler until after the limit, and then there is a byte.
        b.write_all(&[1]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(reader.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn the_longest_time_limit_is_as_good_as_none() {
    run(|| {
        let (mut a, mut b) = pair();
        a.set_read_timeout(Some(Duration::MAX)).unwrap();
        let reader = spawn(move || a.read(&mut [0]).unwrap());
        yield_now();
        b.write_all(&[1]).unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn time_limits_are_shared_by_clones() {
    run(|| {
        let (a, _b) = pair();
        let mut clone = a.try_clone().unwrap();
        a.set_read_timeout(Some(MOMENT)).unwrap();
        assert!(clone.read_timeout().unwrap().is_some());
        assert_eq!(
            clone.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn nonblocking_calls_return_at_once() {
    run(|| {
        let (mut a, _b) = pair();
        let (listener, _) = listen(V4.parse().unwrap());
        a.set_nonblocking(true).unwrap();
        a.set_nonblocking(false).unwrap();
        a.set_nonblocking(true).unwrap();
        // The limit is no matter then.
        a.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let parks = sedge::stats().parks;
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(a.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        while a.write(&[0; 65536]).is_ok() {}
        assert_eq!(a.write(&[0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(sedge::stats().parks, parks);
    });
}

#[test]
fn nonblocking_is_shared_by_clones_and_not_inherited_by_connections() {
    run(|| {
        let (listener, addr) = listen(V4.parse().unwrap());
        let clone = listener.try_clone().unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(clone.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut a = TcpStream::connect(addr).unwrap();
        let mut b = clone.accept().unwrap().0;
        let reader = spawn(move || b.read(&mut [0]).unwrap());
        yield_now();
        a.write_all(&[1]).unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

// ---- many at once, and fairness -----------------------------------------------------------------

#[test]
fn a_hundred_green_threads_may_read_one_stream() {
    run(|| {
        let (mut a, b) = pair();
        let b = Rc::new(b);
        let threads: Vec<_> = (0..100)
            .map(|_| {
                let b = Rc::clone(&b);
                spawn(move || {
                    let mut byte = [0];
                    (&*b).read_exact(&mut byte).unwrap();
                    byte[0]
                })
            })
            .collect();
        yield_now();
        for byte in 0..100 {
            a.write_all(&[byte]).unwrap();
            if byte % 7 == 0 {
                yield_now();
            }
        }
        let mut bytes: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        bytes.sort_unstable();
        assert!(bytes.into_iter().eq(0..100));
    });
}

#[test]
fn a_hundred_green_threads_may_write_one_stream() {
    run(|| {
        let (a, mut b) = pair();
        let a = Rc::new(a);
        for _ in 0..100 {
            let a = Rc::clone(&a);
            spawn(move || (&*a).write_all(&[7; 50_000]).unwrap());
        }
        drop(a);
        let mut bytes = Vec::new();
        b.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 100 * 50_000);
    });
}

#[test]
fn ten_green_threads_may_accept_from_one_listener() {
    run(|| {
        let (listener, addr) = listen(V4.parse().unwrap());
        let listener = Rc::new(listener);
        let accepters: Vec<_> = (0..10)
            .map(|_| {
                let listener = Rc::clone(&listener);
                spawn(move || listener.accept().unwrap().1)
            })
            .collect();
        yield_now();
        let clients: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let mut accepted: Vec<_> = accepters.into_iter().map(|a| a.join().unwrap()).collect();
        let mut made: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
        accepted.sort_unstable();
        made.sort_unstable();
        assert_eq!(accepted, made);
    });
}

#[test]
fn an_always_ready_socket_does_not_starve_the_others() {
    run(|| {
        let (mut a, mut b) = pair();
        let done = Rc::new(Cell::new(false));
        let stop = Rc::clone(&done);
        let ticker = spawn(move || {
            for _ in 0..5 {
                sedge::sleep(Duration::from_millis(1));
            }
            stop.set(true);
        });
        // Neither call ever has to wait.
        let mut byte = [0];
        while !done.get() {
            a.write_all(&byte).unwrap();
            b.read_exact(&mut byte).unwrap();
        }
        ticker.join().unwrap();
    });
}

#[test]
fn an_event_for_a_closed_socket_wakes_nobody_else() {
    run(|| {
        // A descriptor that is closed has the number of the next one to be opened.
        for _ in 0..200 {
            let (mut a, mut b) = pair();
            let reader = spawn(move || b.read(&mut [0]));
            yield_now();
            // An event for `b` is on its way when it is closed.
            a.write_all(&[1]).unwrap();
            reader.cancel();
            assert!(reader.join().unwrap_err().is_cancelled());

            let (mut c, mut d) = pair();
            d.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            assert_eq!(d.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            c.write_all(&[2]).unwrap();
            let mut byte = [0];
            d.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [2]);
        }
    });
}

#[test]
fn a_descriptor_can_be_wrapped_twice() {
    run(|| {
        let (mut a, mut b) = pair();
        let again = Source::new(b.as_fd().try_clone_to_owned().unwrap());
        let reader = spawn(move || {
            let mut byte = [0];
            b.read_exact(&mut byte).unwrap();
            b
        });
        let watcher = spawn(move || again.wait_readable().unwrap());
        yield_now();
        a.write_all(&[1]).unwrap();
        let b = reader.join().unwrap();
        a.write_all(&[2]).unwrap();
        watcher.join().unwrap();

        // The very same descriptor number, too.
        let borrowed = Source::new(b.as_fd());
        borrowed.wait_readable().unwrap();
        (&b).read_exact(&mut [0]).unwrap();
        let writer = spawn(move || {
            yield_now();
            a.write_all(&[3]).unwrap();
            a
        });
        borrowed.wait_readable().unwrap();
        writer.join().unwrap();
    });
}

// ---- cancellation -------------------------------------------------------------------------------

#[test]
fn a_green_thread_can_be_cancelled_while_it_accepts_and_another_goes_on() {
    run(|| {
        let (listener, addr) = listen(V4.parse().unwrap());
        let listener = Rc::new(listener);
        let accept = |listener: &Rc<TcpListener>| {
            let listener = Rc::clone(listener);
            spawn(move || listener.accept().unwrap().1)
        };
        let (first, second) = (accept(&listener), accept(&listener));
        yield_now();
        first.cancel();
        assert!(first.join().unwrap_err().is_cancelled());
        let client = TcpStream::connect(addr).unwrap();
        assert_eq!(second.join().unwrap(), client.local_addr().unwrap());
    });
}

#[test]
fn a_green_thread_can_be_cancelled_while_it_reads_and_its_socket_is_closed() {
    run(|| {
        let (a, mut b) = pair();
        let reader = spawn(move || b.read(&mut [0]));
        yield_now();
        reader.cancel();
        assert!(reader.join().unwrap_err().is_cancelled());
        assert!(is_closed(&a));
    });
}

#[test]
fn a_green_thread_can_be_cancelled_while_it_writes_and_its_socket_is_closed() {
    run(|| {
        let (a, b) = pair();
        let mut writer = a.try_clone().unwrap();
        let thread = spawn(move || writer.write_all(&vec![0; 64 << 20]));
        while sedge::stats().parks[Reason::Write] == 0 {
            yield_now();
        }
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        drop(a);
        let mut rest = Vec::new();
        (&b).read_to_end(&mut rest).unwrap();
        assert!(rest.len() < 64 << 20);
    });
}

#[test]
fn a_green_thread_can_be_cancelled_while_it_connects_and_the_socket_is_closed() {
    run(|| {
        let (_listener, addr, _queued) = full_listener();
        assert_eq!(connecting_to(addr), 0);
        let thread = spawn(move || TcpStream::connect(addr));
        yield_now();
        assert_eq!(connecting_to(addr), 1);
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(connecting_to(addr), 0);
        let late = sedge::timeout(MOMENT, || TcpStream::connect(addr));
        assert!(late.is_err());
        TcpStream::connect_timeout(&addr, MOMENT).unwrap_err();
        assert_eq!(connecting_to(addr), 0);
    });
}

/// How many sockets have begun to connect to `addr` and are not done.
fn connecting_to(addr: SocketAddr) -> usize {
    const SYN_SENT: &str = "02";
    let port = format!(":{:04X}", addr.port());
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let connecting = sockets.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words[2].ends_with(&port) && words[3] == SYN_SENT).then(|| words[1].to_owned())
    });
    // While others come and go, the file may list one twice.
    connecting.collect::<BTreeSet<_>>().len()
}

#[test]
fn bytes_are_not_lost_when_a_timeout_passes_while_reading() {
    run(|| {
        let (mut a, mut b) = pair();
        let writer = spawn(move || {
            for i in 0..20 {
                a.write_all(&[i]).unwrap();
                sedge::sleep(Duration::from_millis(2));
            }
        });
        let mut bytes = Vec::new();
        let mut timeouts = 0;
        while bytes.len() < 20 {
            let mut byte = [0];
            match sedge::timeout(Duration::from_micros(700), || b.read(&mut byte)) {
                Ok(count) => bytes.extend_from_slice(&byte[..count.unwrap()]),
                Err(_) => timeouts += 1,
            }
        }
        assert!(bytes.into_iter().eq(0..20));
        assert!(timeouts > 0);
        writer.join().unwrap();
    });
}

#[test]
fn while_a_green_thread_unwinds_a_call_that_would_wait_fails() {
    struct Farewell(TcpStream, Rc<RefCell<Vec<ErrorKind>>>);

    impl Drop for Farewell {
        fn drop(&mut self) {
            // What need not wait works.
            self.0.write_all(b"bye").unwrap();
            let error = self.0.read(&mut [0]).unwrap_err();
            self.1.borrow_mut().push(error.kind());
        }
    }

    run(|| {
        let (a, mut b) = pair();
        let errors = Rc::new(RefCell::default());
        let farewell = Farewell(a, Rc::clone(&errors));
        let thread = spawn(move || {
            let mut farewell = farewell;
            let _ = farewell.0.read(&mut [0]);
        });
        yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(*errors.borrow(), [ErrorKind::WouldBlock]);
        let mut text = String::new();
        b.read_to_string(&mut text).unwrap();
        assert_eq!(text, "bye");
    });
}

// ---- conversions --------------------------------------------------------------------------------

/// Whether the file description is in non-blocking mode.
fn is_nonblocking(fd: impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(fd)
        .unwrap()
        .contains(rustix::fs::OFlags::NONBLOCK)
}

#[test]
fn a_std_stream_that_comes_from_ours_blocks_and_has_our_limits() {
    run(|| {
        let (a, _b) = pair();
        let limit = Some(Duration::from_secs(8));
        a.set_read_timeout(limit).unwrap();
        assert!(is_nonblocking(&a));
        let std = std::net::TcpStream::from(a);
        assert!(!is_nonblocking(&std));
        assert_eq!(std.read_timeout().unwrap(), limit);
        let a = TcpStream::from(std);
        assert!(is_nonblocking(&a));
        assert_eq!(a.read_timeout().unwrap(), limit);
        a.set_nonblocking(true).unwrap();
        assert!(is_nonblocking(std::net::TcpStream::from(a)));
    });
}

#[test]
fn our_stream_that_comes_from_std_keeps_its_mode_and_limits() {
    run(|| {
        let (a, mut b) = pair();
        let std = std::net::TcpStream::from(a);
        std.set_read_timeout(Some(MOMENT)).unwrap();
        let mut a = TcpStream::from(std);
        let start = Instant::now();
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= MOMENT);
        let parks = sedge::stats().parks[Reason::Read];
        assert!(parks > 0);

        fill(&a);
        let std = std::net::TcpStream::from(a);
        std.set_write_timeout(Some(MOMENT)).unwrap();
        let mut a = TcpStream::from(std);
        assert_eq!(write_much(&mut a).kind(), ErrorKind::WouldBlock);

        let std = std::net::TcpStream::from(a);
        std.set_nonblocking(true).unwrap();
        let mut a = TcpStream::from(std);
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(sedge::stats().parks[Reason::Read], parks);
        a.set_nonblocking(false).unwrap();
        let reader = spawn(move || a.read(&mut [0]).unwrap());
        yield_now();
        b.write_all(&[1]).unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn sockets_convert_to_descriptors_and_back() {
    run(|| {
        let (a, mut b) = pair();
        let owned = OwnedFd::from(a);
        assert!(!is_nonblocking(&owned));
        let a = TcpStream::from(owned);
        let raw = a.as_raw_fd();
        assert_eq!(a.as_fd().as_raw_fd(), raw);
        assert_eq!(a.into_raw_fd(), raw);
        #[expect(unsafe_code, reason = "what is tested")]
        // SAFETY: it was just given up by `into_raw_fd`.
        let mut a = unsafe { TcpStream::from_raw_fd(raw) };
        b.write_all(b"x").unwrap();
        assert_eq!(a.read(&mut [0]).unwrap(), 1);

        let (listener, addr) = listen(V4.parse().unwrap());
        let std = std::net::TcpListener::from(listener);
        assert!(!is_nonblocking(&std));
        let listener = TcpListener::from(OwnedFd::from(std));
        let client = spawn(move || TcpStream::connect(addr).unwrap());
        listener.accept().unwrap();
        client.join().unwrap();

        let socket = UdpSocket::bind(V4).unwrap();
        let std = std::net::UdpSocket::from(socket);
        assert!(!is_nonblocking(&std));
        let socket = UdpSocket::from(std);
        socket.connect(socket.local_addr().unwrap()).unwrap();
        socket.send(b"x").unwrap();
        assert_eq!(socket.recv(&mut [0]).unwrap(), 1);
    });
}

#[test]
fn a_listener_with_a_read_limit_gives_up_accepting_and_its_connections_have_the_limit() {
    run(|| {
        let listener = std::net::TcpListener::bind(V4).unwrap();
        sockopt::set_socket_timeout(&listener, sockopt::Timeout::Recv, Some(MOMENT)).unwrap();
        let listener = TcpListener::from(listener);
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut stream = listener.accept().unwrap().0;
        assert!(stream.read_timeout().unwrap().is_some());
        assert_eq!(
            stream.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn what_is_no_listener_cannot_accept() {
    run(|| {
        let (a, _b) = pair();
        let listener = TcpListener::from(OwnedFd::from(a));
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let datagram = UdpSocket::bind(V4).unwrap();
        let listener = TcpListener::from(OwnedFd::from(datagram));
        assert!(listener.accept().is_err());
    });
}

#[test]
fn a_socket_is_carried_to_another_os_thread_as_a_std_socket() {
    let (mut here, there) = run(|| {
        let (a, b) = pair();
        (std::net::TcpStream::from(a), std::net::TcpStream::from(b))
    });
    let other = std::thread::spawn(move || {
        run(|| {
            let mut there = TcpStream::from(there);
            let mut text = String::new();
            there.read_to_string(&mut text).unwrap();
            text
        })
    });
    here.write_all(b"across").unwrap();
    drop(here);
    assert_eq!(other.join().unwrap(), "across");
}

#[test]
fn a_socket_may_be_used_where_a_panic_is_caught() {
    run(|| {
        let (mut a, b) = pair();
        a.write_all(&[1]).unwrap();
        let read = std::panic::catch_unwind(|| (&b).read(&mut [0]).unwrap());
        assert_eq!(read.unwrap(), 1);
    });
}

#[test]
fn a_socket_may_outlive_its_run_and_serve_the_next() {
    let (mut a, mut b) = run(|| {
        let (a, mut b) = pair();
        let waiting = sedge::timeout(Duration::from_millis(1), || b.read(&mut [0]));
        assert!(waiting.is_err());
        (a, b)
    });
    run(|| {
        let reader = spawn(move || b.read(&mut [0]).unwrap());
        yield_now();
        a.write_all(&[1]).unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn sockets_can_be_made_but_not_waited_for_outside_run() {
    let (listener, _) = listen(V4.parse().unwrap());
    let udp = UdpSocket::bind(V4).unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| listener.accept()));
    let message = *panic.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.starts_with("no sedge scheduler runs on this OS thread"),
        "{message}"
    );
    run(|| {
        udp.connect(udp.local_addr().unwrap()).unwrap();
        udp.send(b"x").unwrap();
        assert_eq!(udp.recv(&mut [0]).unwrap(), 1);
    });
}

// ---- UDP ----------------------------------------------------------------------------------------
