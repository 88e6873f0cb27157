//! Random programs over channels, in random orders, and a cancellation at each moment.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use sedge::channel::{Receiver, Sender, TryRecvError, TrySendError, bounded, select, unbounded};
use sedge::thread;

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::ms;

/// A generator for the choices of a scenario.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (bits ^ (bits >> 29)) % sides
    }
}

/// What happened to the messages of one channel.
#[derive(Default)]
struct Ledger {
    next: Cell<u64>,
    /// Sent, as far as their senders know.
    sent: RefCell<BTreeSet<u64>>,
    received: RefCell<BTreeSet<u64>>,
}

impl Ledger {
    fn make(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    fn sent(&self, message: u64) {
        assert!(self.sent.borrow_mut().insert(message));
    }

    fn received(&self, message: u64) {
        assert!(
            self.received.borrow_mut().insert(message),
            "{message} was received twice"
        );
    }
}

#[derive(Clone)]
struct Link {
    sender: Sender<u64>,
    receiver: Receiver<u64>,
    ledger: Rc<Ledger>,
}

impl Link {
    fn new(dice: &mut Dice) -> Link {
        let (sender, receiver) = match dice.roll(4) {
            0 => unbounded(),
            capacity => bounded(capacity as usize - 1),
        };
        Link {
            sender,
            receiver,
            ledger: Rc::default(),
        }
    }

    fn send(&self, dice: &mut Dice) {
        let message = self.ledger.make();
        let sent = match dice.roll(3) {
            0 => self.sender.send(message).is_ok(),
            1 => self.sender.try_send(message).is_ok(),
            _ => self.sender.send_timeout(message, ms(dice.roll(2))).is_ok(),
        };
        if sent {
            self.ledger.sent(message);
        }
    }

    fn recv(&self, dice: &mut Dice) -> Option<u64> {
        let message = match dice.roll(3) {
            0 => self.receiver.recv().ok(),
            1 => self.receiver.try_recv().ok(),
            _ => self.receiver.recv_timeout(ms(dice.roll(2))).ok(),
        };
        if let Some(message) = message {
            self.ledger.received(message);
        }
        message
    }
}

/// One step of a green thread that may do anything.
fn step(links: &[Link], dice: &mut Dice) {
    let one = &links[dice.roll(2) as usize];
    let other = &links[dice.roll(2) as usize];
    match dice.roll(6) {
        0 => one.send(dice),
        1 => _ = one.recv(dice),
        2 => thread::yield_now(),
        3 => {
            let message = Cell::new(0);
            select! {
                send(one.sender, {
                    message.set(one.ledger.make());
                    message.get()
                }) -> sent => if sent.is_ok() {
                    one.ledger.sent(message.get());
                },
                recv(other.receiver) -> message => {
                    message.into_iter().for_each(|message| other.ledger.received(message));
                }
                default(ms(dice.roll(2))) => {}
            }
        }
        4 => {
            select! {
                recv(one.receiver) -> message => {
                    message.into_iter().for_each(|message| one.ledger.received(message));
                }
                recv(other.receiver) -> message => {
                    message.into_iter().for_each(|message| other.ledger.received(message));
                }
                default => {}
            }
        }
        _ => {
            let message = Cell::new(0);
            select! {
                send(one.sender, {
                    message.set(one.ledger.make());
                    message.get()
                }) -> sent => if sent.is_ok() {
                    one.ledger.sent(message.get());
                },
                default(ms(1)) => {}
            }
        }
    }
}

#[test]
fn in_any_program_each_message_that_was_sent_is_received_once_or_still_there() {
    seeds(|seed| {
        let mut dice = Dice(seed);
        let links = [Link::new(&mut dice), Link::new(&mut dice)];
        let threads: Vec<_> = (0..5)
            .map(|number| {
                let links = links.clone();
                let mut dice = Dice(seed.wrapping_mul(31) + number);
                sedge::spawn(move || (0..20).for_each(|_| step(&links, &mut dice)))
            })
            .collect();
        // Who would wait for ever is cancelled in the end, some before that.
        for _ in 0..dice.roll(60) {
            thread::yield_now();
        }
        threads[dice.roll(5) as usize].cancel();
        for _ in 0..40 {
            sedge::sleep(ms(1));
            if threads.iter().all(|thread| thread.is_finished()) {
                break;
            }
        }
        threads.iter().for_each(|thread| thread.cancel());
        for thread in threads {
            if let Err(error) = thread.join() {
                assert!(error.is_cancelled(), "{error}");
            }
        }
        for link in &links {
            for message in link.receiver.try_iter() {
                link.ledger.received(message);
            }
            let (sent, received) = (link.ledger.sent.borrow(), link.ledger.received.borrow());
            let lost: Vec<_> = sent.difference(&received).collect();
            assert!(lost.is_empty(), "lost: {lost:?}");
            let made = link.ledger.next.get();
            assert!(received.iter().all(|message| *message < made));
        }
    });
}

#[test]
fn each_receiver_gets_messages_in_the_order_of_the_calls_that_sent_them() {
    seeds(|seed| {
        let mut dice = Dice(seed);
        let link = Link::new(&mut dice);
        let senders: Vec<_> = (0..3)
            .map(|number| {
                let link = link.clone();
                let mut dice = Dice(seed + 1000 * number);
                sedge::spawn(move || {
                    for _ in 0..15 {
                        link.send(&mut dice);
                        (0..dice.roll(2)).for_each(|_| thread::yield_now());
                    }
                })
            })
            .collect();
        let receivers: Vec<_> = (0..2)
            .map(|number| {
                let link = link.clone();
                let mut dice = Dice(seed + 999 * number);
                sedge::spawn(move || {
                    let mut last = None;
                    loop {
                        let message = link.recv(&mut dice);
                        assert!(message.is_none() || message > last, "{message:?}, {last:?}");
                        last = message.or(last);
                        thread::yield_now();
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        receivers.iter().for_each(|receiver| receiver.cancel());
        for receiver in receivers {
            assert!(receiver.join().unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn without_waiting_it_is_a_queue() {
    seeds(|seed| {
        let mut dice = Dice(seed);
        let capacity = dice.roll(4) as usize;
        let (sender, receiver) = bounded(capacity);
        let mut model = VecDeque::new();
        for message in 0..200 {
            if dice.roll(2) == 0 {
                let full = model.len() == capacity;
                let expected = if full {
                    Err(TrySendError::Full(message))
                } else {
                    Ok(())
                };
                assert_eq!(sender.try_send(message), expected);
                if !full {
                    model.push_back(message);
                }
            } else {
                let expected = model.pop_front().ok_or(TryRecvError::Empty);
                assert_eq!(receiver.try_recv(), expected);
            }
            assert_eq!(
                (sender.len(), sender.is_empty()),
                (model.len(), model.is_empty())
            );
            assert_eq!(receiver.is_full(), model.len() == capacity);
        }
    });
}

#[test]
fn wherever_a_receiver_is_cancelled_every_message_arrives() {
    for capacity in 0..2 {
        cancel_at_each_moment(|aim| {
            let (sender, receiver) = bounded(capacity);
            let seen = Rc::new(RefCell::new(Vec::new()));
            let take = |count: usize| {
                let (receiver, seen) = (receiver.clone(), Rc::clone(&seen));
                move || {
                    for message in receiver.iter().take(count) {
                        seen.borrow_mut().push(message);
                    }
                }
            };
            let victim = sedge::spawn(take(3));
            aim.at(&victim);
            let sends = sedge::spawn(move || (0..6).for_each(|i| sender.send(i).unwrap()));
            let rest = sedge::spawn(take(6));
            sends.join().unwrap();
            assert!(victim.join().is_ok() || seen.borrow().len() < 6 || receiver.is_empty());
            rest.join().unwrap();
            let mut seen = seen.borrow().clone();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        });
    }
}

#[test]
fn wherever_a_sender_is_cancelled_the_others_go_on() {
    for capacity in 0..2 {
        cancel_at_each_moment(|aim| {
            let (sender, receiver) = bounded(capacity);
            let sent = Rc::new(Cell::new(0));
            let victim = sedge::spawn({
                let (sender, sent) = (sender.clone(), Rc::clone(&sent));
                move || {
                    for i in 0..3 {
                        sender.send(i).unwrap();
                        sent.set(i + 1);
                    }
                }
            });
            aim.at(&victim);
            let other = sedge::spawn(move || (10..13).for_each(|i| sender.send(i).unwrap()));
            let (victims, others): (Vec<_>, Vec<_>) = receiver.iter().partition(|i| *i < 10);
            assert_eq!(others, [10, 11, 12]);
            assert!(victims.iter().copied().eq(0..sent.get()));
            other.join().unwrap();
            let _ = victim.join();
        });
    }
}

#[test]
fn wherever_a_select_is_cancelled_nothing_is_lost_and_nobody_is_left_waiting() {
    cancel_at_each_moment(|aim| {
        let (to, from) = bounded(0);
        let (full, emptied) = bounded(1);
        full.send(0).unwrap();
        let taken = Rc::new(Cell::new(0));
        let given = Rc::new(Cell::new(0));
        let victim = sedge::spawn({
            let (from, full) = (from.clone(), full.clone());
            let (taken, given) = (Rc::clone(&taken), Rc::clone(&given));
            move || {
                for _ in 0..4 {
                    select! {
                        // At the end there is an error, and then another.
                        recv(from) -> message => {
                            taken.set(taken.get() + usize::from(message.is_ok()));
                        }
                        send(full, 1) -> sent => {
                            sent.unwrap();
                            given.set(given.get() + 1);
                        }
                    }
                }
            }
        });
        aim.at(&victim);
        let sends = sedge::spawn(move || (0..4).for_each(|i| to.send(i).unwrap()));
        let other = sedge::spawn(move || full.send(2).unwrap());
        thread::yield_now();
        let first: Vec<_> = (0..2).map(|_| emptied.recv().unwrap()).collect();
        let received = from.iter().count();
        sends.join().unwrap();
        let _ = victim.join();
        assert_eq!(received + taken.get(), 4);
        let all = first.into_iter().chain(emptied.iter());
        let all: Vec<i32> = all.collect();
        assert_eq!(
            all.iter().filter(|message| **message == 1).count(),
            given.get()
        );
        assert_eq!(all.len(), given.get() + 2);
        other.join().unwrap();
    });
}
