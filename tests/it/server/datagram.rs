//! `DatagramServer`: one green thread for each datagram.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;

use sedge::net::UdpSocket;
use sedge::os::linux::net::SocketAddrExt;
use sedge::os::unix::net::{SocketAddr as UnixSocketAddr, UnixDatagram};
use sedge::server::{DatagramServer, ServerHandle, Shutdown};

use super::until;
use crate::util::{self, FOREVER, ms};

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn client(server: &ServerHandle) -> UdpSocket {
    let client = socket();
    client.connect(server.local_addr().unwrap()).unwrap();
    client
}

fn receive(client: &UdpSocket) -> String {
    let mut buffer = [0; 512];
    let count = client.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

#[test]
fn a_handler_that_waits_holds_no_other_up() {
    util::run(|| {
        let release = Shutdown::new();
        let word = release.clone();
        let server = DatagramServer::new(socket(), move |datagram| {
            if datagram.data() == b"slow" {
                word.wait();
            }
            datagram.reply(datagram.data())
        });
        let server = server.start().unwrap();
        let client = client(&server);
        client.send(b"slow").unwrap();
        client.send(b"quick").unwrap();
        assert_eq!(receive(&client), "quick");
        assert_eq!(server.connections(), 1);
        release.set();
        assert_eq!(receive(&client), "slow");
        server.stop();
    });
}

#[test]
fn no_more_handlers_than_allowed_are_at_work() {
    util::run(|| {
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (count, peak) = (Rc::clone(&now), Rc::clone(&most));
        let server = DatagramServer::new(socket(), move |datagram| {
            count.set(count.get() + 1);
            peak.set(peak.get().max(count.get()));
            sedge::sleep(ms(1));
            count.set(count.get() - 1);
            datagram.reply(b".")
        });
        let server = server.max_handlers(2).start().unwrap();
        let client = client(&server);
        for _ in 0..6 {
            client.send(b"x").unwrap();
        }
        for _ in 0..6 {
            assert_eq!(receive(&client), ".");
        }
        assert_eq!(most.get(), 2);
        server.stop();
    });
}

#[test]
fn a_datagram_that_is_too_long_is_dropped_and_heard_of() {
    util::run(|| {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hook = Rc::clone(&heard);
        let server = DatagramServer::new(socket(), |datagram| datagram.reply(datagram.data()))
            .max_length(4)
            .on_error(move |failure| {
                hook.borrow_mut()
                    .push((*failure.peer_addr().unwrap(), failure.error().kind()));
            });
        let server = server.start().unwrap();
        let client = client(&server);
        client.send(b"12345").unwrap();
        client.send(b"1234").unwrap();
        assert_eq!(receive(&client), "1234");
        let own = client.local_addr().unwrap();
        assert_eq!(*heard.borrow(), [(own, ErrorKind::InvalidData)]);
        server.stop();
    });
}

#[test]
fn the_longest_datagram_of_udp_is_received_whole() {
    util::run(|| {
        let server = DatagramServer::new(socket(), |datagram| {
            datagram.reply(datagram.data().len().to_string().as_bytes())
        });
        let server = server.start().unwrap();
        let client = client(&server);
        client.send(&vec![0; 65_507]).unwrap();
        assert_eq!(receive(&client), "65507");
        client.send(b"").unwrap();
        assert_eq!(receive(&client), "0");
        server.stop();
    });
}

#[test]
fn a_panic_ends_its_handler_only() {
    util::run(|| {
        let server = DatagramServer::new(socket(), |datagram| {
            assert_ne!(datagram.data(), b"!", "this panic is part of a test");
            datagram.reply(b".")
        });
        let server = server.max_handlers(1).start().unwrap();
        let client = client(&server);
        client.send(b"!").unwrap();
        client.send(b"x").unwrap();
        assert_eq!(receive(&client), ".");
        server.stop();
    });
}

#[test]
fn a_handler_at_work_may_answer_after_the_stop() {
    util::run(|| {
        let server = DatagramServer::new(socket(), |datagram| {
            datagram.stopping().wait();
            datagram.reply(b"goodbye")
        });
        let server = server.start().unwrap();
        let client = client(&server);
        client.send(b"x").unwrap();
        until(|| server.connections() == 1);
        assert!(server.shutdown(FOREVER));
        assert_eq!(receive(&client), "goodbye");
        client.send(b"x").unwrap();
        let error = client.recv(&mut [0]).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::ConnectionRefused,
            "the socket is closed"
        );
    });
}

#[test]
fn shutdown_cancels_a_handler_that_is_late() {
    util::run(|| {
        let server = DatagramServer::new(socket(), |_datagram| sedge::sleep(FOREVER));
        let server = server.start().unwrap();
        client(&server).send(b"x").unwrap();
        until(|| server.connections() == 1);
        assert!(!server.shutdown(ms(1)));
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn unix_datagrams_are_answered() {
    util::run(|| {
        let name = |end: &str| {
            let name = format!("sedge-datagram-{}-{end}", std::process::id());
            UnixSocketAddr::from_abstract_name(name).unwrap()
        };
        let socket = UnixDatagram::bind_addr(&name("server")).unwrap();
        let server = DatagramServer::new(socket, |datagram| datagram.reply(datagram.data()));
        let server = server.start().unwrap();
        let client = UnixDatagram::bind_addr(&name("client")).unwrap();
        client.connect_addr(&name("server")).unwrap();
        client.send(b"hello").unwrap();
        let mut answer = [0; 8];
        assert_eq!(client.recv(&mut answer).unwrap(), 5);
        assert_eq!(&answer[..5], b"hello");
        assert!(server.shutdown(FOREVER));
    });
}
