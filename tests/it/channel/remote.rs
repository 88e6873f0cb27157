//! `channel::remote`: between OS threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sedge::channel::remote::{self, Receiver, Sender};
use sedge::channel::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use sedge::{Reason, State};

use crate::util::{self, FOREVER, OnDrop, Watchdog, ms, until};

const WAITS: State = State::Parked(Reason::Channel);
const COUNT: u32 = 5_000;

type Pair = (Sender<u32>, Receiver<u32>);

/// Channels of each kind.
fn kinds() -> [fn() -> Pair; 4] {
    [
        remote::unbounded,
        || remote::bounded(0),
        || remote::bounded(1),
        || remote::bounded(16),
    ]
}

#[test]
fn the_ends_may_go_to_other_os_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Sender<u32>>();
    is_send_and_sync::<Receiver<u32>>();
}

#[test]
fn an_os_thread_sends_to_a_green_thread_in_order() {
    for pair in kinds() {
        let (sender, receiver) = pair();
        let os = std::thread::spawn(move || (0..COUNT).for_each(|i| sender.send(i).unwrap()));
        util::run(|| {
            let green = sedge::spawn(move || assert!(receiver.iter().eq(0..COUNT)));
            green.join().unwrap();
        });
        os.join().unwrap();
    }
}

#[test]
fn a_green_thread_sends_to_an_os_thread_in_order() {
    for pair in kinds() {
        let (sender, receiver) = pair();
        let os = std::thread::spawn(move || assert!(receiver.iter().eq(0..COUNT)));
        util::run(|| {
            let green = sedge::spawn(move || (0..COUNT).for_each(|i| sender.send(i).unwrap()));
            green.join().unwrap();
        });
        os.join().unwrap();
    }
}

#[test]
fn two_schedulers_talk_in_both_directions_at_once() {
    for pair in kinds() {
        let (to_b, from_a) = pair();
        let (to_a, from_b) = pair();
        let talk = |to: Sender<u32>, from: Receiver<u32>| {
            util::run(|| {
                let sends = sedge::spawn(move || (0..COUNT).for_each(|i| to.send(i).unwrap()));
                let receives = sedge::spawn(move || assert!(from.iter().eq(0..COUNT)));
                sends.join().unwrap();
                receives.join().unwrap();
            });
        };
        let b = std::thread::spawn(move || talk(to_a, from_a));
        talk(to_b, from_b);
        b.join().unwrap();
    }
}

#[test]
fn many_senders_and_receivers_on_many_os_threads_lose_nothing() {
    let (sender, receiver) = remote::bounded(3);
    let sum = Arc::new(AtomicUsize::new(0));
    let receivers: Vec<_> = (0..2)
        .map(|_| {
            let (receiver, sum) = (receiver.clone(), Arc::clone(&sum));
            std::thread::spawn(move || {
                util::run(|| {
                    let greens: Vec<_> = (0..2)
                        .map(|_| {
                            let (receiver, sum) = (receiver.clone(), Arc::clone(&sum));
                            sedge::spawn(move || {
                                for i in receiver {
                                    sum.fetch_add(i, Ordering::Relaxed);
                                }
                            })
                        })
                        .collect();
                    drop(receiver);
                    sedge::wait_all(&greens);
                });
            })
        })
        .collect();
    drop(receiver);
    let senders: Vec<_> = (0..3)
        .map(|_| {
            let sender = sender.clone();
            std::thread::spawn(move || (0..2000).for_each(|i| sender.send(i).unwrap()))
        })
        .collect();
    drop(sender);
    senders
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    receivers
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(sum.load(Ordering::Relaxed), 3 * (0..2000).sum::<usize>());
}

#[test]
fn the_last_sender_disconnects_and_what_it_sent_arrives_first() {
    util::run(|| {
        let (sender, receiver) = remote::unbounded();
        let waiting = sedge::spawn(move || (receiver.recv(), receiver.recv()));
        until(waiting.thread(), WAITS);
        std::thread::spawn(move || sender.send(1).unwrap());
        assert_eq!(waiting.join().unwrap(), (Ok(1), Err(RecvError)));
    });
}

#[test]
fn the_last_receiver_disconnects_and_the_messages_come_back() {
    util::run(|| {
        let (sender, receiver) = remote::bounded(1);
        sender.send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        let blocked = sedge::spawn({
            let sender = sender.clone();
            move || sender.send(2)
        });
        until(blocked.thread(), WAITS);
        std::thread::spawn(move || drop(receiver));
        assert_eq!(blocked.join().unwrap(), Err(SendError(2)));
        assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
    });
}

#[test]
fn a_send_after_the_end_of_the_receivers_run_gives_the_message_back() {
    let (sender, receiver) = remote::unbounded();
    util::run(|| {
        let daemon = sedge::thread::Builder::new().daemon(true);
        daemon
            .spawn(move || receiver.iter().for_each(drop))
            .unwrap();
        sedge::yield_now();
        sender.send(1).unwrap();
    });
    assert_eq!(sender.send(2), Err(SendError(2)));
}

#[test]
fn a_scheduler_that_waits_for_another_os_thread_is_not_deadlocked() {
    let _watchdog = Watchdog::new();
    let (sender, receiver) = remote::bounded(0);
    let (back, answers) = remote::bounded(0);
    let os = std::thread::spawn(move || {
        std::thread::park_timeout(ms(5));
        sender.send(1).unwrap();
        std::thread::park_timeout(ms(5));
        answers.recv().unwrap()
    });
    sedge::run(|| back.send(receiver.recv().unwrap() + 1).unwrap());
    assert_eq!(os.join().unwrap(), 2);
}

#[test]
fn limits_are_kept_on_both_sides() {
    let (sender, receiver) = remote::bounded(0);
    let limits = || {
        let late = receiver.recv_timeout(ms(1));
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        let late = sender.send_timeout(1, ms(1));
        assert_eq!(late, Err(SendTimeoutError::Timeout(1)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    };
    limits();
    util::run(limits);
}

#[test]
fn a_cancelled_green_thread_leaves_and_what_comes_goes_to_the_next() {
    util::run(|| {
        let (sender, receiver) = remote::bounded(0);
        let first = sedge::spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        let second = sedge::spawn(move || receiver.recv());
        until(second.thread(), WAITS);
        first.cancel();
        std::thread::spawn(move || sender.send(1).unwrap())
            .join()
            .unwrap();
        // The first was still in the queue, and has it or has passed it on.
        let taken = [first.join().ok(), second.join().ok()];
        let taken = taken.iter().flatten().filter(|taken| taken.is_ok());
        assert_eq!(taken.count(), 1);
    });
}

#[test]
fn a_receiver_that_is_cancelled_now_and_then_loses_no_message() {
    util::run(|| {
        let (sender, receiver) = remote::bounded(0);
        let os = std::thread::spawn(move || (0..500).for_each(|i| sender.send(i).unwrap()));
        let mut next = 0;
        let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        while !os.is_finished() || next < 500 {
            let receiver = receiver.clone();
            let taker = sedge::spawn({
                let seen = std::rc::Rc::clone(&seen);
                move || {
                    while let Ok(message) = receiver.recv() {
                        seen.borrow_mut().push(message);
                    }
                    sedge::sleep(FOREVER);
                }
            });
            sedge::yield_now();
            sedge::yield_now();
            taker.cancel();
            assert!(taker.join().is_err());
            next = seen.borrow().len();
        }
        assert!(seen.borrow().iter().copied().eq(0..500));
        os.join().unwrap();
    });
}

#[test]
fn messages_that_nobody_receives_are_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = remote::unbounded();
    for _ in 0..3 {
        let dropped = Arc::clone(&dropped);
        let message = OnDrop(move || _ = dropped.fetch_add(1, Ordering::SeqCst));
        assert!(sender.send(message).is_ok());
    }
    drop(receiver);
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}

#[test]
fn a_busy_neighbour_does_not_starve_the_others() {
    let (sender, receiver) = remote::unbounded();
    (0..1000).for_each(|i| sender.send(i).unwrap());
    util::run(|| {
        let busy = sedge::spawn(move || receiver.iter().take(1000).count());
        sedge::yield_now();
        assert!(!busy.is_finished(), "it has let others run in between");
        assert_eq!(busy.join().unwrap(), 1000);
    });
}
