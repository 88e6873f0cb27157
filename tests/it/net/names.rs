//! Addresses, and the look-up of names.

use super::*;

#[test]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "references are tested too"
)]
fn every_kind_of_address_that_std_takes_is_taken() {
    fn all(addr: impl ToSocketAddrs) -> Vec<SocketAddr> {
        addr.to_socket_addrs().unwrap().collect()
    }

    run(|| {
        let v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
        let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 0);
        let (addr4, addr6) = (SocketAddr::from(v4), SocketAddr::from(v6));
        assert_eq!(all(v4), [addr4]);
        assert_eq!(all(v6), [addr6]);
        assert_eq!(all(addr4), [addr4]);
        assert_eq!(all(&addr4), [addr4]);
        assert_eq!(all((IpAddr::from(Ipv4Addr::LOCALHOST), 80)), [addr4]);
        assert_eq!(all((Ipv4Addr::LOCALHOST, 80)), [addr4]);
        assert_eq!(all((Ipv6Addr::LOCALHOST, 80)), [addr6]);
        assert_eq!(all("127.0.0.1:80"), [addr4]);
        assert_eq!(all(&"[::1]:80"), [addr6]);
        assert_eq!(all("127.0.0.1:80".to_owned()), [addr4]);
        assert_eq!(all(&"127.0.0.1:80".to_owned()), [addr4]);
        assert_eq!(all(("127.0.0.1", 80)), [addr4]);
        assert_eq!(all(("::1", 80)), [addr6]);
        assert_eq!(all(("127.0.0.1".to_owned(), 80)), [addr4]);
        assert_eq!(all(&[addr4, addr6][..]), [addr4, addr6]);
        // None of these is a name.
        assert_eq!(sedge::stats().parks[Reason::Blocking], 0);
    });
}

#[test]
fn names_are_looked_up_on_the_pool_while_others_run() {
    run(|| {
        let others = Rc::new(Cell::new(0));
        let counter = Rc::clone(&others);
        spawn(move || counter.set(1));
        // The pool may be done before this green thread has come to park.
        while sedge::stats().parks[Reason::Blocking] == 0 {
            let addrs: Vec<_> = "localhost:80".to_socket_addrs().unwrap().collect();
            assert!(!addrs.is_empty());
            assert!(
                addrs
                    .iter()
                    .all(|addr| addr.ip().is_loopback() && addr.port() == 80)
            );
        }
        assert_eq!(others.get(), 1);

        assert!(lookup("localhost").unwrap().all(|ip| ip.is_loopback()));
        assert!(
            ("localhost", 80)
                .to_socket_addrs()
                .unwrap()
                .next()
                .is_some()
        );
        assert!(
            ("localhost".to_owned(), 80)
                .to_socket_addrs()
                .unwrap()
                .next()
                .is_some()
        );
    });
}

#[test]
fn names_are_looked_up_in_place_outside_run() {
    assert!(lookup("localhost").unwrap().next().unwrap().is_loopback());
    assert!("localhost:1".to_socket_addrs().unwrap().next().is_some());
}

#[test]
fn what_is_no_address_fails_with_the_words_of_std() {
    fn same(text: &str) {
        let ours = text.to_socket_addrs().err().unwrap();
        let stds = std::net::ToSocketAddrs::to_socket_addrs(text)
            .err()
            .unwrap();
        assert_eq!(
            (ours.kind(), ours.to_string()),
            (stds.kind(), stds.to_string())
        );
    }

    run(|| {
        same("localhost");
        same("localhost:http");
        same("localhost:65536");
        same("");
        same(":");
        same("a\0b:80");
        let none: &[SocketAddr] = &[];
        let ours = TcpStream::connect(none).unwrap_err();
        let stds = std::net::TcpStream::connect(none).unwrap_err();
        assert_eq!(
            (ours.kind(), ours.to_string()),
            (stds.kind(), stds.to_string())
        );
        let ours = TcpListener::bind(none).unwrap_err();
        assert_eq!(
            (ours.kind(), ours.to_string()),
            (stds.kind(), stds.to_string())
        );
        let socket = UdpSocket::bind(V4).unwrap();
        let ours = socket.send_to(b"x", none).unwrap_err();
        let stds = std::net::UdpSocket::bind(V4)
            .unwrap()
            .send_to(b"x", none)
            .unwrap_err();
        assert_eq!(
            (ours.kind(), ours.to_string()),
            (stds.kind(), stds.to_string())
        );
    });
}

#[test]
fn a_host_name_can_be_connected_to() {
    run(|| {
        let (listener, addr) = listen(V4.parse().unwrap());
        let client = spawn(move || {
            let mut stream = TcpStream::connect(("localhost", addr.port())).unwrap();
            stream.write_all(&[144]).unwrap();
        });
        let mut buf = [0];
        listener.accept().unwrap().0.read_exact(&mut buf).unwrap();
        assert_eq!(buf, [144]);
        client.join().unwrap();
    });
}

// ---- TCP: making connections --------------------------------------------------------------------
