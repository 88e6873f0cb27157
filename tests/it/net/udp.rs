//! `sedge::net::UdpSocket`.

use super::*;

/// Calls `f` with two UDP sockets, by each version of IP that there is.
fn each_udp_pair(f: impl Fn(UdpSocket, UdpSocket)) {
    each_ip(|addr| {
        f(
            UdpSocket::bind(addr).unwrap(),
            UdpSocket::bind(addr).unwrap(),
        )
    });
}

#[test]
fn a_datagram_arrives_with_the_address_of_its_sender() {
    each_udp_pair(|server, client| {
        let (to, from) = (server.local_addr().unwrap(), client.local_addr().unwrap());
        let client = spawn(move || client.send_to(&[99], to).unwrap());
        let mut buf = [0];
        assert_eq!(server.recv_from(&mut buf).unwrap(), (1, from));
        assert_eq!(buf, [99]);
        assert_eq!(client.join().unwrap(), 1);
    });
}

#[test]
fn a_datagram_can_be_sent_to_a_host_name() {
    run(|| {
        let server = UdpSocket::bind(V4).unwrap();
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let addr = ("localhost", port)
            .to_socket_addrs()
            .unwrap()
            .find(SocketAddr::is_ipv4);
        client
            .send_to(b"x", addr.expect("localhost has an IPv4 address"))
            .unwrap();
        assert_eq!(server.recv(&mut [0]).unwrap(), 1);
    });
}

#[test]
fn datagrams_keep_their_borders_and_lose_what_does_not_fit() {
    each_udp_pair(|a, b| {
        let to = b.local_addr().unwrap();
        for message in ["first", "second", ""] {
            a.send_to(message.as_bytes(), to).unwrap();
        }
        let mut buf = [0; 3];
        assert_eq!(b.recv(&mut buf).unwrap(), 3);
        let mut buf = [0; 16];
        // A short one does not mean that there is no more.
        assert_eq!(b.recv(&mut buf).unwrap(), 6);
        assert_eq!(b.recv(&mut buf).unwrap(), 0);
    });
}

#[test]
fn connected_udp_sockets_know_each_other() {
    each_udp_pair(|a, b| {
        assert_eq!(a.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        a.connect(b.local_addr().unwrap()).unwrap();
        b.connect(a.local_addr().unwrap()).unwrap();
        assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
        a.send(b"hello world").unwrap();
        let mut buf = [0; 11];
        for _ in 0..2 {
            assert_eq!(b.peek(&mut buf).unwrap(), 11);
        }
        assert_eq!(b.recv(&mut buf).unwrap(), 11);
        assert_eq!(&buf, b"hello world");
        b.set_nonblocking(true).unwrap();
        assert_eq!(b.peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn peek_from_leaves_the_datagram() {
    each_udp_pair(|a, b| {
        let from = a.local_addr().unwrap();
        a.send_to(b"hello world", b.local_addr().unwrap()).unwrap();
        let mut buf = [0; 11];
        for _ in 0..2 {
            assert_eq!(b.peek_from(&mut buf).unwrap(), (11, from));
        }
        assert_eq!(b.recv_from(&mut buf).unwrap(), (11, from));
        assert_eq!(&buf, b"hello world");
    });
}

#[test]
fn clones_of_a_udp_socket_share_its_queue() {
    each_udp_pair(|a, b| {
        let to = b.local_addr().unwrap();
        let clone = b.try_clone().unwrap();
        let readers = [b, clone].map(|socket| {
            spawn(move || {
                let mut buf = [0, 0];
                assert_eq!(socket.recv_from(&mut buf).unwrap().0, 1);
                buf[0]
            })
        });
        yield_now();
        let other = a.try_clone().unwrap();
        a.send_to(&[1], to).unwrap();
        other.send_to(&[2], to).unwrap();
        let mut bytes = readers.map(|reader| reader.join().unwrap());
        bytes.sort_unstable();
        assert_eq!(bytes, [1, 2]);
    });
}

#[test]
fn a_refusal_reaches_the_receiver_that_waits() {
    run(|| {
        let a = UdpSocket::bind(V4).unwrap();
        // Connected to itself, it takes datagrams from nobody else, and nobody else has its port.
        let closed = UdpSocket::bind(V4).unwrap();
        closed.connect(closed.local_addr().unwrap()).unwrap();
        a.connect(closed.local_addr().unwrap()).unwrap();
        let clone = a.try_clone().unwrap();
        let reader = spawn(move || clone.recv(&mut [0]).unwrap_err().kind());
        yield_now();
        a.send(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_receive_fails_with_would_block_when_its_limit_passes() {
    run(|| {
        let socket = UdpSocket::bind(V4).unwrap();
        let addr = socket.local_addr().unwrap();
        let limit = Some(Duration::from_secs(15410));
        socket.set_read_timeout(limit).unwrap();
        socket.set_write_timeout(limit).unwrap();
        assert_eq!(socket.read_timeout().unwrap(), limit);
        assert_eq!(socket.write_timeout().unwrap(), limit);
        socket.set_read_timeout(Some(MOMENT)).unwrap();
        socket.send_to(b"hello world", addr).unwrap();
        let mut buf = [0; 11];
        socket.recv_from(&mut buf).unwrap();
        assert_eq!(&buf, b"hello world");
        let start = Instant::now();
        assert_eq!(
            socket.recv_from(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(start.elapsed() >= MOMENT);
    });
}

#[test]
fn udp_options_are_those_of_the_socket() {
    run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_ttl(100).unwrap();
        assert_eq!(socket.ttl().unwrap(), 100);
        assert!(!socket.broadcast().unwrap());
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        socket.set_multicast_ttl_v4(7).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 7);
        assert!(socket.take_error().unwrap().is_none());
        // On the loopback interface, where there is always one.
        let (group, here) = (Ipv4Addr::new(224, 0, 0, 123), Ipv4Addr::LOCALHOST);
        socket.join_multicast_v4(&group, &here).unwrap();
        socket.leave_multicast_v4(&group, &here).unwrap();
        assert!(socket.leave_multicast_v4(&group, &here).is_err());
        if let Ok(socket) = UdpSocket::bind(V6) {
            socket.set_multicast_loop_v6(false).unwrap();
            assert!(!socket.multicast_loop_v6().unwrap());
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x123);
            socket.join_multicast_v6(&group, 1).unwrap();
            socket.leave_multicast_v6(&group, 1).unwrap();
        }
    });
}
