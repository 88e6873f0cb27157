//! Time limits of sockets, whose timers outlive the calls they were armed for.

use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sedge::net::{TcpListener, TcpStream, UdpSocket};
use sedge::{sleep, spawn};

use crate::util::{Watchdog, ms, panic_of, run};

const LIMIT: Duration = ms(100);
const LONG: Duration = Duration::from_secs(3600);

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, client)
}

/// A stream that gets a byte after each pause, and then nothing more.
fn dripping(pauses: &[Duration]) -> TcpStream {
    let (here, mut there) = pair();
    let pauses = pauses.to_vec();
    spawn(move || {
        for pause in pauses {
            sleep(pause);
            there.write_all(b"x").unwrap();
        }
        let _ = there.read(&mut [0]); // until `here` is dropped
    });
    here
}

fn read_byte(mut stream: &TcpStream) {
    stream.read_exact(&mut [0]).unwrap();
}

/// How long a read waits that finds nothing.
fn time_in_vain(mut stream: &TcpStream) -> Duration {
    let begin = Instant::now();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    begin.elapsed()
}

#[test]
fn each_read_has_its_limit_from_when_it_begins() {
    run(|| {
        let stream = dripping(&[ms(50); 4]);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        (0..4).for_each(|_| read_byte(&stream));
        for _ in 0..3 {
            let waited = time_in_vain(&stream);
            assert!((LIMIT..10 * LIMIT).contains(&waited), "{waited:?}");
        }
    });
}

#[test]
fn a_limit_counts_from_the_call_and_not_from_the_last_turn() {
    run(|| {
        let stream = dripping(&[ms(1), LIMIT / 2]);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        read_byte(&stream);
        read_byte(&stream);
        // The scheduler learns only after this how late it is.
        std::thread::sleep(LIMIT);
        let waited = time_in_vain(&stream);
        assert!((LIMIT..10 * LIMIT).contains(&waited), "{waited:?}");
    });
}

#[test]
fn a_shorter_limit_holds_at_once() {
    run(|| {
        let stream = dripping(&[ms(1)]);
        stream.set_read_timeout(Some(LONG)).unwrap();
        read_byte(&stream);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let waited = time_in_vain(&stream);
        assert!((LIMIT..10 * LIMIT).contains(&waited), "{waited:?}");
    });
}

#[test]
fn green_threads_that_read_one_socket_have_each_their_limit() {
    run(|| {
        let stream = dripping(&[ms(1)]);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        read_byte(&stream);
        let stream = Rc::new(stream);
        let readers = [0; 3].map(|_| {
            let stream = Rc::clone(&stream);
            spawn(move || time_in_vain(&stream))
        });
        for reader in readers {
            let waited = reader.join().unwrap();
            assert!((LIMIT..10 * LIMIT).contains(&waited), "{waited:?}");
        }
    });
}

#[test]
fn a_limit_counts_from_the_first_wait_of_a_call_that_wakes_in_vain() {
    run(|| {
        let limit = 3 * LIMIT;
        let socket = Rc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        socket.connect(socket.local_addr().unwrap()).unwrap();
        let send_after = |pause| {
            let socket = Rc::clone(&socket);
            spawn(move || {
                sleep(pause);
                socket.send(b"x").unwrap();
            })
        };
        socket.set_read_timeout(Some(limit)).unwrap();
        send_after(ms(5));
        socket.recv(&mut [0]).unwrap(); // leaves its timer
        socket.set_read_timeout(None).unwrap();
        let other = Rc::clone(&socket);
        let other = spawn(move || other.recv(&mut [0]).unwrap());
        sedge::yield_now();
        socket.set_read_timeout(Some(limit)).unwrap();
        send_after(limit * 9 / 10);
        let begin = Instant::now();
        let error = socket.recv(&mut [0]).unwrap_err();
        let waited = begin.elapsed();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!(other.join().unwrap(), 1);
        assert!((limit..limit * 18 / 10).contains(&waited), "{waited:?}");
    });
}

#[test]
fn a_limit_does_not_wake_who_waits_for_something_else() {
    run(|| {
        let stream = dripping(&[ms(1)]);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        read_byte(&stream);
        let before = sedge::stats().wakes;
        sleep(2 * LIMIT);
        assert_eq!(sedge::stats().wakes - before, 1, "that of the sleep");
    });
}

#[test]
fn a_socket_that_is_dropped_takes_its_timer_along() {
    run(|| {
        let stream = dripping(&[ms(1)]);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        read_byte(&stream);
        drop(stream);
        let before = sedge::stats().expirations;
        sleep(2 * LIMIT);
        assert_eq!(sedge::stats().expirations - before, 1, "that of the sleep");
    });
}

#[test]
fn a_limit_that_nobody_waits_with_hides_no_deadlock() {
    let _watchdog = Watchdog::new();
    let begin = Instant::now();
    let report = panic_of(|| {
        sedge::run(|| {
            let (stream, mut peer) = pair();
            stream.set_read_timeout(Some(LONG)).unwrap();
            let writer = spawn(move || {
                peer.write_all(b"x").unwrap();
                peer
            });
            read_byte(&stream);
            let _peer = writer.join().unwrap();
            sedge::thread::park();
        });
    });
    assert!(report.contains("deadlock"), "{report}");
    assert!(begin.elapsed() < LONG / 2);
}
