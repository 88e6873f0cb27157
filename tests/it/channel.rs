//! `channel`: crossbeam's promises, and first come, first served.

mod model;
mod remote;
mod select;
mod timer;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use sedge::channel::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError, bounded,
    unbounded,
};
use sedge::{Reason, State};

use crate::util::{self, FOREVER, Log, OnDrop, ms, panic_of, until};

const WAITS: State = State::Parked(Reason::Channel);

#[test]
fn messages_come_in_the_order_in_which_they_were_sent() {
    for capacity in [None, Some(0), Some(1), Some(3)] {
        util::run(|| {
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            assert_eq!(sender.capacity(), capacity);
            let producer = sedge::spawn(move || (0..50).for_each(|i| sender.send(i).unwrap()));
            assert!(receiver.iter().eq(0..50), "{capacity:?}");
            producer.join().unwrap();
        });
    }
}

#[test]
fn a_message_goes_to_the_one_that_has_waited_for_longest() {
    util::run(|| {
        let (sender, receiver) = unbounded();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                let thread = sedge::spawn(move || receiver.recv());
                until(thread.thread(), WAITS);
                thread
            })
            .collect();
        (0..3).for_each(|i| sender.send(i).unwrap());
        assert!(sender.is_empty(), "they were handed over");
        assert_eq!(
            receiver.try_recv(),
            Err(TryRecvError::Empty),
            "and are not to be had"
        );
        for (i, thread) in waiting.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), Ok(i));
        }
    });
}

#[test]
fn messages_of_blocked_senders_follow_in_turn() {
    for capacity in 0..3 {
        util::run(|| {
            let (sender, receiver) = bounded(capacity);
            (0..capacity).for_each(|i| sender.send(i).unwrap());
            let blocked: Vec<_> = (capacity..capacity + 3)
                .map(|i| {
                    let sender = sender.clone();
                    let thread = sedge::spawn(move || sender.send(i));
                    until(thread.thread(), WAITS);
                    thread
                })
                .collect();
            let last = capacity + 3;
            assert_eq!(receiver.recv(), Ok(0));
            // The first of them has filled the room before anybody else could.
            assert_eq!(sender.try_send(last), Err(TrySendError::Full(last)));
            assert!(
                (1..last).all(|i| receiver.try_recv() == Ok(i)),
                "{capacity}"
            );
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            blocked
                .into_iter()
                .for_each(|thread| thread.join().unwrap().unwrap());
        });
    }
}

#[test]
fn a_bounded_channel_holds_so_many_messages_beyond_those_who_wait() {
    util::run(|| {
        let (sender, receiver) = bounded(2);
        let waiting = sedge::spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        until(waiting.thread(), WAITS);
        assert_eq!(sender.try_send(0), Ok(()));
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Ok(()));
        assert!(sender.is_full() && receiver.is_full());
        assert_eq!((sender.len(), receiver.len()), (2, 2));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(waiting.join().unwrap(), Ok(0));
    });
}

#[test]
fn a_time_limit_gives_the_message_back_and_takes_the_sender_out_of_the_queue() {
    util::run(|| {
        let (sender, receiver) = bounded(0);
        let late = sender.send_timeout(1, ms(1));
        assert_eq!(late, Err(SendTimeoutError::Timeout(1)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let none = receiver.recv_timeout(ms(1));
        assert_eq!(none, Err(RecvTimeoutError::Timeout));
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        drop(receiver);
        let gone = sender.send_timeout(3, ms(1));
        assert_eq!(gone, Err(SendTimeoutError::Disconnected(3)));
    });
}

#[test]
fn a_receiver_that_is_cancelled_when_it_was_handed_a_message_returns_it() {
    util::run(|| {
        let (sender, receiver) = unbounded();
        let received = Rc::new(Cell::new(None));
        let thread = sedge::spawn({
            let received = Rc::clone(&received);
            move || {
                received.set(receiver.recv().ok());
                sedge::sleep(FOREVER);
            }
        });
        until(thread.thread(), WAITS);
        sender.send(7).unwrap();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(received.get(), Some(7));
    });
}

#[test]
fn a_message_is_not_lost_with_a_receiver_that_was_cancelled_before() {
    util::run(|| {
        let (sender, receiver) = bounded(0);
        let cancelled = sedge::spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        let second = sedge::spawn(move || receiver.recv());
        until(second.thread(), WAITS);
        cancelled.cancel();
        sedge::yield_now();
        sender.send(1).unwrap();
        assert!(cancelled.join().unwrap_err().is_cancelled());
        assert_eq!(second.join().unwrap(), Ok(1));
    });
}

#[test]
fn an_interrupt_of_another_does_not_keep_a_message_from_who_waits_alone() {
    util::run(|| {
        let (sender, receiver) = unbounded();
        let lone = sedge::spawn(move || receiver.recv());
        until(lone.thread(), WAITS);
        let other = sedge::spawn(|| sedge::sleep(FOREVER));
        sedge::yield_now();
        other.cancel();
        sender.send(1).unwrap();
        assert!(sender.is_empty(), "it was handed over");
        assert_eq!(lone.join().unwrap(), Ok(1));
    });
}

#[test]
fn who_waited_alone_and_goes_when_others_have_come_leaves_them_their_turn() {
    util::run(|| {
        let (sender, receiver) = unbounded();
        let wait = |limit| {
            let receiver = receiver.clone();
            let thread = sedge::spawn(move || receiver.recv_timeout(limit));
            until(thread.thread(), WAITS);
            thread
        };
        let lone = wait(ms(1));
        let (second, third) = (wait(FOREVER), wait(FOREVER));
        assert_eq!(lone.join().unwrap(), Err(RecvTimeoutError::Timeout));
        let last = wait(FOREVER);
        (0..3).for_each(|i| sender.send(i).unwrap());
        let got = [second, third, last].map(|thread| thread.join().unwrap().unwrap());
        assert_eq!(got, [0, 1, 2]);
    });
}

#[test]
fn a_cancelled_sender_takes_its_message_with_it() {
    util::run(|| {
        let (sender, receiver) = bounded(0);
        let log = Log::default();
        let message = log.on_drop("dropped");
        let thread = sedge::spawn(move || sender.send(message).is_ok());
        until(thread.thread(), WAITS);
        thread.cancel();
        assert!(thread.join().is_err());
        assert_eq!(log.take(), ["dropped"]);
        assert_eq!(receiver.recv().err(), Some(RecvError));
    });
}

#[test]
fn the_end_of_all_receivers_wakes_all_senders() {
    util::run(|| {
        let (sender, receiver) = bounded(1);
        sender.send(0).unwrap();
        let blocked: Vec<_> = (1..4)
            .map(|i| {
                let sender = sender.clone();
                sedge::spawn(move || sender.send(i))
            })
            .collect();
        until(blocked[2].thread(), WAITS);
        drop(receiver.clone());
        drop(receiver);
        for (i, thread) in blocked.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), Err(SendError(i + 1)));
        }
        assert!(sender.is_empty(), "the messages are gone too");
    });
}

#[test]
fn the_end_of_all_senders_wakes_all_receivers() {
    util::run(|| {
        let (sender, receiver) = bounded::<i32>(0);
        let blocked: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                sedge::spawn(move || receiver.recv())
            })
            .collect();
        until(blocked[2].thread(), WAITS);
        drop(sender.clone());
        drop(sender);
        for thread in blocked {
            assert_eq!(thread.join().unwrap(), Err(RecvError));
        }
    });
}

#[test]
fn destructors_of_messages_may_use_the_channel() {
    util::run(|| {
        let (sender, receiver) = unbounded();
        let count = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let (again, count) = (sender.clone(), Rc::clone(&count));
            let message = OnDrop(move || {
                assert!(
                    again
                        .send(OnDrop(Box::new(|| ()) as Box<dyn FnMut()>))
                        .is_err()
                );
                assert!(again.is_empty());
                count.set(count.get() + 1);
            });
            sender
                .send(OnDrop({
                    let mut message = Some(message);
                    Box::new(move || drop(message.take())) as Box<dyn FnMut()>
                }))
                .unwrap();
        }
        drop(receiver);
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn a_destructor_that_unwinds_may_send_and_receive() {
    util::run(|| {
        let (to, from) = bounded(0);
        let (back, answer) = bounded(0);
        let thread = sedge::spawn(move || {
            let _last = OnDrop(move || {
                to.send(1).unwrap();
                assert_eq!(answer.recv(), Ok(2));
            });
            sedge::sleep(FOREVER);
        });
        sedge::yield_now();
        thread.cancel();
        assert_eq!(from.recv(), Ok(1));
        back.send(2).unwrap();
        assert!(thread.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn outside_run_it_works_as_long_as_nobody_must_wait() {
    let (sender, receiver) = bounded(1);
    sender.send(1).unwrap();
    assert!(panic_of(|| sender.send(2)).contains("no sedge scheduler"));
    assert_eq!(receiver.recv(), Ok(1));
    assert!(panic_of(|| receiver.recv()).contains("no sedge scheduler"));
    assert_eq!(
        sender.len(),
        0,
        "a message that could not wait is not in the channel"
    );
    drop(sender);
    assert_eq!(receiver.recv(), Err(RecvError));
}

#[test]
fn a_wait_for_a_message_that_cannot_come_is_a_deadlock() {
    let _watchdog = util::Watchdog::new();
    let text = panic_of(|| {
        sedge::run(|| {
            let (_sender, receiver) = unbounded::<i32>();
            receiver.recv()
        })
    });
    assert!(text.contains("channel"), "{text}");
}

#[test]
fn clones_belong_to_one_channel() {
    let (sender, receiver) = unbounded::<i32>();
    let (other, _) = unbounded();
    assert!(sender.same_channel(&sender.clone()));
    assert!(!sender.same_channel(&other));
    assert!(receiver.same_channel(&receiver.clone()));
    assert_eq!(
        format!("{sender:?} {receiver:?}"),
        "Sender { .. } Receiver { .. }"
    );
}

/// Counts its wakes.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Count>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_future_waits_in_turn_and_passes_on_what_it_does_not_take() {
    util::run(|| {
        let (sender, receiver) = bounded(0);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let mut first = Box::pin(receiver.recv_async());
        assert!(first.as_mut().poll(&mut context).is_pending());
        let second = sedge::spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        until(second.thread(), WAITS);
        sender.try_send(1).unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        drop(first);
        assert_eq!(second.join().unwrap(), Ok(1));
        let mut third = pin!(receiver.recv_async());
        assert!(third.as_mut().poll(&mut context).is_pending());
        drop(sender);
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert_eq!(third.poll(&mut context), Poll::Ready(Err(RecvError)));
    });
}

#[test]
fn a_waker_may_use_the_channel() {
    struct Again(RefCell<Option<sedge::channel::Receiver<i32>>>);
    thread_local!(static AGAIN: Again = const { Again(RefCell::new(None)) });
    struct Receives;
    impl Wake for Receives {
        fn wake(self: Arc<Receives>) {
            AGAIN.with(|again| {
                let receiver = again.0.take().unwrap();
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            });
        }
    }
    let (sender, receiver) = unbounded();
    AGAIN.with(|again| again.0.replace(Some(receiver.clone())));
    let waker = Waker::from(Arc::new(Receives));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(receiver.recv_async());
    assert!(future.as_mut().poll(&mut context).is_pending());
    sender.send(1).unwrap();
    assert_eq!(future.poll(&mut context), Poll::Ready(Ok(1)));
}

#[test]
fn a_waker_that_panics_harms_neither_the_sender_nor_the_others() {
    struct Bad;

    impl Wake for Bad {
        fn wake(self: Arc<Bad>) {
            panic!("the waker's");
        }
    }

    util::run(|| {
        let (sender, receiver) = unbounded();
        let waker = Waker::from(Arc::new(Bad));
        let mut context = Context::from_waker(&waker);
        let mut first = Box::pin(receiver.recv_async());
        let mut second = Box::pin(receiver.recv_async());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        let other = sedge::spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        until(other.thread(), WAITS);
        assert_eq!(sender.send(1), Ok(()));
        drop(sender); // wakes the second, and then the green thread
        assert_eq!(other.join().unwrap(), Err(RecvError));
        assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(Ok(1)));
    });
}
