//! Tests of queue adoption: whatever is cancelled, dropped or released, each connection is accepted
//! once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

use super::*;
use crate::net::{TcpListener, TcpStream};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(20);

/// A listener with siblings, and where it listens.
fn listener() -> (TcpListener, Rc<Siblings>, SocketAddr) {
    let own = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = own.local_addr().unwrap();
    let (listener, siblings) = TcpListener::with_siblings(own).unwrap();
    (listener, siblings, addr)
}

/// A socket to adopt. It need not have the same port, so a test can say whose a connection is.
fn sibling() -> (net::TcpListener, OwnedFd, SocketAddr) {
    let held = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fd = held.as_fd().try_clone_to_owned().unwrap();
    let addr = held.local_addr().unwrap();
    (held, fd, addr)
}

/// Connects, and is named by its own address.
fn connect(addr: SocketAddr) -> (TcpStream, SocketAddr) {
    let stream = TcpStream::connect(addr).unwrap();
    let own = stream.local_addr().unwrap();
    (stream, own)
}

fn run(test: impl FnOnce()) {
    crate::run(|| crate::timeout(LONG, test).unwrap_or_else(|_| give_up()));
}

/// Who has not come to an end, for all to see: `run` would wait for them for ever.
fn give_up() -> ! {
    let mut stderr = io::stderr();
    for thread in crate::thread::all() {
        let _ = writeln!(stderr, "{thread:?}: {}", thread.state());
    }
    std::process::abort()
}

#[test]
fn a_parked_acceptor_takes_what_comes_to_an_adopted_socket() {
    run(|| {
        let (listener, siblings, _) = listener();
        let (_held, fd, addr) = sibling();
        let acceptor = crate::spawn(move || listener.accept().unwrap().1);
        crate::yield_now();
        siblings.adopt(1, fd).unwrap();
        crate::sleep(SHORT);
        assert!(!acceptor.is_finished());
        let (_client, own) = connect(addr);
        assert_eq!(acceptor.join().unwrap(), own);
    });
}

#[test]
fn what_was_queued_before_the_adoption_is_taken() {
    run(|| {
        let (listener, siblings, _) = listener();
        let (_held, fd, addr) = sibling();
        let clients = [connect(addr), connect(addr)];
        let acceptor = crate::spawn(move || [(); 2].map(|()| listener.accept().unwrap().1));
        crate::yield_now();
        siblings.adopt(1, fd).unwrap();
        assert_eq!(
            acceptor.join().unwrap(),
            [clients[0].1, clients[1].1],
            "the queue's order"
        );
    });
}

#[test]
fn own_and_adopted_sockets_take_turns() {
    run(|| {
        let (listener, siblings, addr) = listener();
        let (_held, fd, other) = sibling();
        siblings.adopt(1, fd).unwrap();
        let clients: Vec<_> = [addr, addr, addr, other, other, other].map(connect).into();
        let port = |_| listener.accept().unwrap().0.local_addr().unwrap().port();
        let ports: Vec<_> = clients.iter().map(port).collect();
        let (own, other) = (addr.port(), other.port());
        assert_eq!(ports, [own, other, own, other, own, other]);
    });
}

#[test]
fn after_a_release_the_queue_is_left_alone() {
    run(|| {
        let (listener, siblings, addr) = listener();
        let (held, fd, other) = sibling();
        siblings.adopt(7, fd).unwrap();
        let (_first, first) = connect(other);
        assert_eq!(listener.accept().unwrap().1, first);
        assert!(siblings.release(7));
        assert!(!siblings.release(7));
        let (_queued, queued) = connect(other);
        let (_mine, mine) = connect(addr);
        assert_eq!(listener.accept().unwrap().1, mine);
        assert!(crate::timeout(SHORT, || listener.accept()).is_err());
        assert_eq!(held.accept().unwrap().1, queued);
    });
}

#[test]
fn a_release_while_somebody_waits_leaves_him_waiting() {
    run(|| {
        let (listener, siblings, addr) = listener();
        let (held, fd, other) = sibling();
        siblings.adopt(7, fd).unwrap();
        let acceptor = crate::spawn(move || listener.accept().unwrap().1);
        crate::sleep(SHORT);
        let (_queued, queued) = connect(other);
        // It has not been told yet.
        siblings.release(7);
        crate::sleep(SHORT);
        assert!(!acceptor.is_finished());
        assert_eq!(held.accept().unwrap().1, queued);
        let (_mine, mine) = connect(addr);
        assert_eq!(acceptor.join().unwrap(), mine);
    });
}

#[test]
fn many_acceptors_lose_nothing_when_some_are_cancelled() {
    run(|| {
        let (listener, siblings, addr) = listener();
        let (_held, fd, other) = sibling();
        let (_held2, fd2, third) = sibling();
        let listener = Rc::new(listener);
        let taken = Rc::new(RefCell::new(BTreeSet::new()));
        let accept_all = || {
            let (listener, taken) = (Rc::clone(&listener), Rc::clone(&taken));
            crate::spawn(move || {
                loop {
                    let (_, peer) = listener.accept().unwrap();
                    assert!(taken.borrow_mut().insert(peer), "accepted twice");
                }
            })
        };
        let mut acceptors: Vec<_> = (0..8).map(|_| accept_all()).collect();
        crate::yield_now();
        siblings.adopt(1, fd).unwrap();
        siblings.adopt(2, fd2).unwrap();
        let mut made = BTreeSet::new();
        let mut clients = Vec::new();
        for round in 0..60 {
            let (client, own) = connect([addr, other, third][round % 3]);
            clients.push(client);
            made.insert(own);
            let victim = acceptors.remove(round % acceptors.len());
            victim.cancel();
            if round % 2 == 0 {
                crate::yield_now();
            }
            acceptors.push(accept_all());
        }
        while *taken.borrow() != made {
            crate::sleep(SHORT);
        }
        acceptors.iter().for_each(|acceptor| acceptor.cancel());
    });
}

#[test]
fn a_time_limit_loses_no_connection() {
    run(|| {
        let (listener, siblings, _) = listener();
        let (_held, fd, addr) = sibling();
        siblings.adopt(1, fd).unwrap();
        let client = crate::spawn(move || (0..50).map(|_| connect(addr)).collect::<Vec<_>>());
        let mut taken = BTreeSet::new();
        while taken.len() < 50 {
            let tiny = Duration::from_micros(50);
            if let Ok(accepted) = crate::timeout(tiny, || listener.accept()) {
                taken.insert(accepted.unwrap().1);
            }
        }
        let made: BTreeSet<_> = client.join().unwrap().iter().map(|c| c.1).collect();
        assert_eq!(taken, made);
    });
}

#[test]
fn clones_are_told_too() {
    run(|| {
        let (listener, siblings, _) = listener();
        let (_held, fd, addr) = sibling();
        let clone = listener.try_clone().unwrap();
        let acceptor = crate::spawn(move || clone.accept().unwrap().1);
        crate::yield_now();
        siblings.adopt(1, fd).unwrap();
        crate::yield_now();
        drop(listener);
        let (_client, own) = connect(addr);
        assert_eq!(acceptor.join().unwrap(), own);
    });
}

#[test]
fn without_waiting_all_sockets_are_tried() {
    run(|| {
        let (listener, siblings, addr) = listener();
        let (_held, fd, other) = sibling();
        siblings.adopt(1, fd).unwrap();
        listener.set_nonblocking(true).unwrap();
        let kind = listener.accept().unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::WouldBlock);
        let (_client, own) = connect(other);
        assert_eq!(listener.accept().unwrap().1, own);
        assert_eq!(listener.local_addr().unwrap(), addr);
    });
}

#[test]
fn a_watcher_does_not_spin_while_nobody_accepts() {
    run(|| {
        let (listener, siblings, _) = listener();
        let (_held, fd, addr) = sibling();
        siblings.adopt(1, fd).unwrap();
        let (_client, own) = connect(addr);
        crate::sleep(SHORT);
        let before = crate::stats().switches;
        crate::sleep(SHORT);
        assert!(crate::stats().switches - before < 10);
        assert_eq!(listener.accept().unwrap().1, own);
    });
}

#[test]
fn all_can_be_released_at_once_and_adopted_again() {
    run(|| {
        let (listener, siblings, _) = listener();
        let (held, fd, addr) = sibling();
        let (_held2, fd2, _) = sibling();
        siblings.adopt(1, fd).unwrap();
        siblings.adopt(2, fd2).unwrap();
        siblings.release_all();
        let (_client, own) = connect(addr);
        assert!(crate::timeout(SHORT, || listener.accept()).is_err());
        siblings.adopt(1, held.into()).unwrap();
        assert_eq!(listener.accept().unwrap().1, own);
    });
}

#[test]
fn taken_out_it_stays_in_the_mode_that_its_siblings_need() {
    let (listener, _siblings, _) = listener();
    let own = net::TcpListener::from(listener);
    assert_eq!(own.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_broken_sibling_is_passed_over() {
    run(|| {
        let (listener, siblings, addr) = listener();
        let (held, fd, _) = sibling();
        siblings.adopt(1, fd).unwrap();
        let acceptor = crate::spawn(move || listener.accept().unwrap().1);
        crate::sleep(SHORT);
        rustix::net::shutdown(&held, rustix::net::Shutdown::Both).unwrap();
        crate::sleep(SHORT);
        let (_client, own) = connect(addr);
        assert_eq!(acceptor.join().unwrap(), own);
    });
}

#[test]
fn what_does_not_listen_is_not_adopted() {
    run(|| {
        let (_listener, siblings, _) = listener();
        let idle = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let error = siblings.adopt(1, idle).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn a_watcher_outlives_neither_its_listener_nor_the_run() {
    run(|| {
        let (listener, siblings, _) = listener();
        let (_held, fd, _) = sibling();
        siblings.adopt(1, fd).unwrap();
        crate::yield_now();
        drop((listener, siblings));
        while crate::thread::all().len() > 1 {
            crate::yield_now();
        }
        // And one that is left when all is over.
        let (listener, siblings, _) = self::listener();
        let (_held, fd, _) = sibling();
        siblings.adopt(1, fd).unwrap();
        std::mem::forget((listener, siblings));
    });
}

#[test]
fn a_server_takes_all_of_a_port_that_it_shares() {
    run(|| {
        let reusing = |addr: SocketAddr| {
            let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            set_socket_reuseport(&socket, true).unwrap();
            bind(&socket, &addr).unwrap();
            listen(&socket, 128).unwrap();
            net::TcpListener::from(socket)
        };
        let own = reusing("127.0.0.1:0".parse().unwrap());
        let addr = own.local_addr().unwrap();
        let stalled = reusing(addr);
        let (listener, siblings) = TcpListener::with_siblings(own).unwrap();
        let server = crate::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                stream.write_all(&byte).unwrap();
            }
        });
        crate::yield_now();
        let ask = move |byte| {
            let (mut client, _) = connect(addr);
            client.write_all(&[byte]).unwrap();
            let mut reply = [0];
            client.read_exact(&mut reply).unwrap();
            assert_eq!(reply, [byte]);
        };
        let clients: Vec<_> = (0..40).map(|n| crate::spawn(move || ask(n))).collect();
        crate::sleep(SHORT);
        assert!(!clients.iter().all(|client| client.is_finished()));
        siblings.adopt(1, stalled.into()).unwrap();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        server.cancel();
    });
}
