//! Under a live load: clients that ask on new connections and on old ones, and count what fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::{Client, Launched, signal};
use crate::program::COUNT;

crate::tests![
    no_new_connection_fails_while_workers_are_replaced,
    a_kill_fails_only_what_is_in_flight_on_the_killed_worker,
    term_answers_every_request_that_has_begun,
];

/// Clients, each on a connection of its own per request.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn begin(addr: SocketAddr, clients: usize) -> Load {
        let mut load = Load {
            stop: Arc::default(),
            answered: Arc::default(),
            failed: Arc::default(),
            clients: Vec::new(),
        };
        for _ in 0..clients {
            let (stop, answered) = (Arc::clone(&load.stop), Arc::clone(&load.answered));
            let failed = Arc::clone(&load.failed);
            load.clients.push(thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let asked = Client::connect(addr).and_then(|mut client| client.ask("who"));
                    match asked {
                        Ok(line) if !line.is_empty() => &answered,
                        _ => &failed,
                    }
                    .fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        load
    }

    /// How many requests were answered, and how many failed.
    pub(crate) fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        (
            self.answered.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }
}

fn no_new_connection_fails_while_workers_are_replaced() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let load = Load::begin(launched.addr(), 4);
    for round in 1..=5 {
        launched.signal("-HUP");
        crate::harness::eventually("the roll-over", || {
            let said = launched.output();
            said.matches("all workers are replaced").count() == round
        });
    }
    let (answered, failed) = load.end();
    assert_eq!(failed, 0, "of {answered}");
    assert!(answered > 100);
}

fn a_kill_fails_only_what_is_in_flight_on_the_killed_worker() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let load = Load::begin(launched.addr(), 4);
    let kills = 5;
    for _ in 0..kills {
        thread::sleep(Duration::from_millis(400));
        signal(launched.workers()[0], "-KILL");
    }
    thread::sleep(Duration::from_millis(400));
    let (answered, failed) = load.end();
    // Each client has one request in flight.
    assert!(
        failed <= 4 * kills,
        "{failed} failed, {answered} were answered"
    );
    assert!(answered > 100);
}

fn term_answers_every_request_that_has_begun() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let mut clients: Vec<_> = (0..64).map(|_| launched.connect()).collect();
    for client in &mut clients {
        client.who();
    }
    for client in &mut clients {
        client.send("sleep 200").unwrap();
    }
    thread::sleep(Duration::from_millis(50));
    launched.signal("-TERM");
    for client in &mut clients {
        assert_eq!(client.receive().unwrap(), "slept");
    }
    assert_eq!(launched.end().0, Some(0));
}
