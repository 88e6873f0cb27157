//! `select!` and `Select`.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::task::{Context, Waker};

use sedge::channel::{
    Receiver, RecvError, Select, SelectTimeoutError, SendError, Sender, TryReadyError,
    TryRecvError, TrySelectError, TrySendError, bounded, never, select, select_biased, unbounded,
};
use sedge::{Reason, State};

use crate::util::{self, FOREVER, Log, ms, panic_of, until};

const WAITS: State = State::Parked(Reason::Channel);

#[test]
fn an_operation_that_is_ready_is_done_at_once() {
    let (sender, receiver) = bounded(1);
    let chosen = select! {
        recv(receiver) -> _ => "receive",
        send(sender, 1) -> sent => { sent.unwrap(); "send" }
    };
    assert_eq!(chosen, "send");
    let chosen = select! {
        send(sender, 2) -> _ => 0,
        recv(receiver) -> message => message.unwrap(),
        default => 0,
    };
    assert_eq!(chosen, 1);
}

#[test]
fn default_is_for_when_none_is_ready_now_or_in_time() {
    util::run(|| {
        let (_sender, receiver) = unbounded::<i32>();
        let text = select! {
            recv(receiver) -> _ => "message",
            default => "nothing",
        };
        assert_eq!(text, "nothing");
        let text = select! {
            recv(receiver) -> _ => "message",
            default(ms(1)) => "late",
        };
        assert_eq!(text, "late");
        assert_eq!(select! { default() => 1 }, 1);
        select! { default(ms(1)) => {} }
    });
}

#[test]
fn what_is_disconnected_is_ready_with_an_error() {
    let (sender, receiver) = bounded::<i32>(0);
    drop(sender);
    select! {
        recv(receiver) -> message => assert_eq!(message, Err(RecvError)),
    }
    let (sender, receiver) = bounded(0);
    drop(receiver);
    select! {
        send(sender, 5) -> sent => assert_eq!(sent, Err(SendError(5))),
        default(ms(1)) => unreachable!(),
    }
}

#[test]
fn the_end_of_a_channel_wakes_its_selects() {
    util::run(|| {
        let (sender, receiver) = bounded::<i32>(0);
        let (to, from) = bounded::<i32>(0);
        let select = |receiver: Receiver<i32>, to: Sender<i32>| {
            sedge::spawn(move || {
                select! {
                    recv(receiver) -> message => message.map_err(|_| "no sender"),
                    send(to, 1) -> sent => sent.map(|()| 0).map_err(|_| "no receiver"),
                }
            })
        };
        let first = select(receiver.clone(), to.clone());
        until(first.thread(), WAITS);
        drop(sender);
        assert_eq!(first.join().unwrap(), Err("no sender"));
        let (_sender, receiver) = bounded(0);
        let second = select(receiver, to);
        until(second.thread(), WAITS);
        drop(from);
        assert_eq!(second.join().unwrap(), Err("no receiver"));
    });
}

#[test]
fn a_message_is_made_only_when_its_send_was_chosen() {
    let made = Cell::new(0);
    let make = || made.set(made.get() + 1);
    let (full, _keep) = bounded(0);
    select! {
        send(full, make()) -> _ => unreachable!(),
        default => {}
    }
    assert_eq!(made.get(), 0);
    let (sender, receiver) = unbounded();
    select! {
        send(sender, make()) -> sent => sent.unwrap(),
        recv(never::<()>()) -> _ => unreachable!(),
    }
    assert_eq!((made.get(), receiver.len()), (1, 1));
}

#[test]
fn ends_may_be_references_and_bodies_may_leave_the_loop() {
    util::run(|| {
        let (sender, receiver) = unbounded();
        let (sender, receiver) = (&sender, Rc::new(receiver));
        let mut seen = Vec::new();
        let last = loop {
            select! {
                recv(*receiver) -> message => match message {
                    Ok(3) => break 3,
                    Ok(other) => seen.push(other),
                    Err(_) => return,
                },
                send(sender, seen.len()) -> _ => {
                    if receiver.len() < 4 { continue }
                }
            }
        };
        assert_eq!(last, 3);
        drop(receiver);
        assert!(sender.send(1).is_err());
    });
}

#[test]
fn two_selects_that_face_each_other_meet() {
    util::run(|| {
        let (a_to_b, from_a) = bounded(0);
        let (b_to_a, from_b) = bounded(0);
        let a = sedge::spawn(move || {
            (0..100)
                .map(|i| {
                    select! {
                        send(a_to_b, i) -> sent => { sent.unwrap(); true }
                        recv(from_b) -> message => { message.unwrap(); false }
                    }
                })
                .filter(|sent| *sent)
                .count()
        });
        let b = sedge::spawn(move || {
            (0..100)
                .map(|i| {
                    select! {
                        send(b_to_a, i) -> sent => { sent.unwrap(); true }
                        recv(from_a) -> message => { message.unwrap(); false }
                    }
                })
                .filter(|sent| *sent)
                .count()
        });
        assert_eq!(a.join().unwrap() + b.join().unwrap(), 100);
    });
}

#[test]
fn a_select_does_not_meet_itself() {
    util::run(|| {
        let (sender, receiver) = bounded(0);
        let nothing = select! {
            send(sender, 1) -> _ => "sent to itself",
            recv(receiver) -> _ => "received from itself",
            default(ms(2)) => "nothing",
        };
        assert_eq!(nothing, "nothing");
        // But two that do the same meet.
        let both = [0, 1].map(|_| {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            sedge::spawn(move || {
                select! {
                    send(sender, 1) -> sent => sent.map(|()| "sent").unwrap(),
                    recv(receiver) -> message => message.map(|_| "received").unwrap(),
                }
            })
        });
        let mut both = both.map(|thread| thread.join().unwrap());
        both.sort_unstable();
        assert_eq!(both, ["received", "sent"]);
    });
}

#[test]
fn a_plain_send_reaches_a_select_that_would_send_there_too() {
    util::run(|| {
        let (sender, receiver) = bounded(0);
        let both = sedge::spawn({
            let (sender, receiver) = (sender.clone(), receiver.clone());
            move || {
                select! {
                    send(sender, 1) -> _ => None,
                    recv(receiver) -> message => message.ok(),
                }
            }
        });
        until(both.thread(), WAITS);
        sender.send(7).unwrap();
        assert_eq!(both.join().unwrap(), Some(7));
        drop(receiver);
    });
}

#[test]
fn a_select_keeps_its_turn_among_the_senders() {
    util::run(|| {
        let (sender, receiver) = bounded(1);
        sender.send(0).unwrap();
        let spawn = |select: bool, i| {
            let sender = sender.clone();
            let thread = sedge::spawn(move || {
                if select {
                    select! { send(sender, i) -> sent => sent.unwrap() }
                } else {
                    sender.send(i).unwrap();
                }
            });
            until(thread.thread(), WAITS);
            thread
        };
        let threads = [
            spawn(true, 1),
            spawn(false, 2),
            spawn(true, 3),
            spawn(false, 4),
        ];
        assert_eq!(receiver.try_recv(), Ok(0));
        let overtaken = sender.try_send(9);
        assert_eq!(
            overtaken,
            Err(TrySendError::Full(9)),
            "the first select was told of the room"
        );
        assert!((1..5).all(|i| receiver.recv() == Ok(i)));
        sedge::wait_all(&threads);
    });
}

#[test]
fn a_select_that_was_told_of_room_and_goes_elsewhere_tells_the_next() {
    util::run(|| {
        for cancel in [false, true] {
            let (sender, receiver) = bounded(1);
            let (other, elsewhere) = unbounded();
            sender.send(0).unwrap();
            let first = sedge::spawn({
                let sender = sender.clone();
                move || {
                    select_biased! {
                        recv(elsewhere) -> message => message.unwrap(),
                        send(sender, 1) -> _ => unreachable!("the other stands first"),
                    }
                }
            });
            until(first.thread(), WAITS);
            let second = sedge::spawn(move || sender.send(2));
            until(second.thread(), WAITS);
            if cancel {
                first.cancel();
                sedge::yield_now();
            } else {
                other.send(5).unwrap();
            }
            assert_eq!(receiver.recv(), Ok(0));
            assert_eq!(receiver.recv(), Ok(2));
            second.join().unwrap().unwrap();
            assert_eq!(first.join().ok(), (!cancel).then_some(5));
        }
    });
}

#[test]
fn try_recv_lets_a_select_make_its_message() {
    util::run(|| {
        let (sender, receiver) = bounded(0);
        let clone = sender.clone();
        let select = sedge::spawn(move || {
            select! { send(clone, 4) -> sent => sent.unwrap() }
        });
        until(select.thread(), WAITS);
        assert_eq!(receiver.try_recv(), Ok(4));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        select.join().unwrap();
        drop(sender);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn a_select_that_does_not_wait_meets_one_that_does() {
    util::run(|| {
        let (sender, receiver) = bounded(0);
        let select = sedge::spawn(move || {
            select! { send(sender, 4) -> sent => sent.unwrap() }
        });
        until(select.thread(), WAITS);
        let message = select! {
            recv(receiver) -> message => message.ok(),
            default => None,
        };
        assert_eq!(message, Some(4));
        select.join().unwrap();
    });
}

#[test]
fn each_operation_that_is_ready_has_its_share() {
    util::run(|| {
        let ends: Vec<_> = (0..4).map(|_| unbounded()).collect();
        for (sender, _) in &ends {
            (0..4000).for_each(|i| sender.send(i).unwrap());
        }
        let mut counts = [0; 4];
        for _ in 0..4000 {
            let mut select = Select::new();
            for (_, receiver) in &ends {
                select.recv(receiver);
            }
            let operation = select.select();
            let index = operation.index();
            operation.recv(&ends[index].1).unwrap();
            counts[index] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    });
}

#[test]
fn the_biased_one_takes_the_first_that_is_ready() {
    let (sender, receiver) = unbounded();
    let (other, second) = unbounded();
    for i in 0..20 {
        sender.send(i).unwrap();
        other.send(i).unwrap();
    }
    for _ in 0..20 {
        select_biased! {
            recv(receiver) -> message => assert!(message.is_ok()),
            recv(second) -> _ => unreachable!(),
        }
    }
    assert!(receiver.is_empty() && second.len() == 20);
}

#[test]
fn a_select_that_was_granted_one_loses_nothing_of_the_others() {
    util::run(|| {
        let (first, one) = unbounded();
        let (second, two) = unbounded();
        let select = sedge::spawn({
            let (one, two) = (one.clone(), two.clone());
            move || {
                select! {
                    recv(one) -> message => message.unwrap(),
                    recv(two) -> message => message.unwrap(),
                }
            }
        });
        until(select.thread(), WAITS);
        first.send(1).unwrap();
        second.send(2).unwrap();
        select.cancel();
        assert_eq!(select.join().unwrap(), 1, "what was granted is kept");
        assert_eq!((one.len(), two.len()), (0, 1));
    });
}

#[test]
fn a_cancelled_select_leaves_all_queues() {
    util::run(|| {
        let (sender, receiver) = bounded::<i32>(0);
        let (to, from) = bounded(0);
        let log = Log::default();
        let select = sedge::spawn({
            let (receiver, to, guard) = (receiver.clone(), to.clone(), log.on_drop("unwound"));
            move || {
                let _guard = guard;
                select! {
                    recv(receiver) -> _ => {}
                    send(to, 1) -> _ => {}
                }
            }
        });
        until(select.thread(), WAITS);
        select.cancel();
        assert!(select.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["unwound"]);
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(from.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn operations_may_be_added_and_removed() {
    util::run(|| {
        let (sender, receiver) = unbounded();
        let (_keep, empty) = unbounded::<i32>();
        let mut select = Select::new();
        let empty_index = select.recv(&empty);
        let send = select.send(&sender);
        let receive = select.recv(&receiver);
        select.remove(empty_index);
        let operation = select.try_select().unwrap();
        assert_eq!(operation.index(), send);
        operation.send(&sender, 8).unwrap();
        select.remove(send);
        let operation = select.select_timeout(FOREVER).unwrap();
        assert_eq!(operation.index(), receive);
        assert_eq!(operation.recv(&receiver), Ok(8));
        assert_eq!(select.try_select().unwrap_err(), TrySelectError);
        assert_eq!(
            select.select_timeout(ms(1)).unwrap_err(),
            SelectTimeoutError
        );
        assert!(panic_of(|| select.remove(send)).contains("never added"));
        assert!(panic_of(|| Select::new().select()).contains("no operations"));
    });
}

#[test]
fn a_selected_operation_must_be_completed_with_its_own_end() {
    let (sender, receiver) = unbounded();
    sender.send(1).unwrap();
    let mut select = Select::new();
    select.recv(&receiver);
    let operation = select.select();
    assert!(panic_of(|| operation.recv(&receiver.clone())).contains("wasn't selected"));
    let operation = select.select();
    assert!(panic_of(|| drop(operation)).contains("without completing"));
    assert_eq!(receiver.recv(), Ok(1), "the message is still there");
}

#[test]
fn ready_waits_and_takes_nothing() {
    util::run(|| {
        let (sender, receiver) = bounded(0);
        let (_keep, empty) = unbounded::<i32>();
        let watcher = sedge::spawn({
            let receiver = receiver.clone();
            move || {
                let mut select = Select::new();
                select.recv(&empty);
                let wanted = select.recv(&receiver);
                assert_eq!(select.try_ready(), Err(TryReadyError));
                assert!(select.ready_timeout(ms(1)).is_err());
                select.ready() == wanted
            }
        });
        sedge::sleep(ms(3));
        let blocked = sedge::spawn(move || sender.send(1));
        assert!(watcher.join().unwrap());
        assert_eq!(receiver.recv(), Ok(1));
        blocked.join().unwrap().unwrap();
    });
}

#[test]
fn a_select_does_not_count_on_a_receiver_that_was_cancelled() {
    util::run(|| {
        let (sender, receiver) = bounded::<i32>(0);
        let select = sedge::spawn({
            let (sender, receiver) = (sender.clone(), receiver.clone());
            move || {
                select! {
                    send(sender, 1) -> _ => "sent",
                    recv(receiver) -> _ => "received",
                    default(ms(20)) => "neither",
                }
            }
        });
        until(select.thread(), WAITS);
        let victim = sedge::spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        // Runs between the receiver, which tells the select that it could send, and the select.
        sedge::spawn(move || victim.cancel()).join().unwrap();
        assert_eq!(select.join().unwrap(), "neither");
    });
}

#[test]
fn ready_hears_of_a_message_that_comes_back_from_a_dropped_future() {
    util::run(|| {
        let (sender, receiver) = unbounded();
        let mut future = Box::pin(receiver.recv_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        let watcher = sedge::spawn({
            let receiver = receiver.clone();
            move || {
                let mut select = Select::new();
                select.recv(&receiver);
                select.ready_timeout(FOREVER).map(|_| receiver.try_recv())
            }
        });
        until(watcher.thread(), WAITS);
        sender.send(1).unwrap(); // it is the future's
        drop(future);
        assert_eq!(watcher.join().unwrap(), Ok(Ok(1)));
    });
}

#[test]
fn what_stands_behind_operations_that_are_not_ready_is_not_favoured() {
    let (first_sender, first) = unbounded();
    let (second_sender, second) = unbounded();
    let idle = never::<i32>();
    let mut counts = [0; 2];
    for _ in 0..1000 {
        first_sender.send(1).unwrap();
        second_sender.send(1).unwrap();
        select! {
            recv(idle) -> _ => unreachable!(),
            recv(idle) -> _ => unreachable!(),
            recv(idle) -> _ => unreachable!(),
            recv(first) -> _ => counts[0] += 1,
            recv(second) -> _ => counts[1] += 1,
        }
    }
    assert!(counts.iter().all(|&count| count > 400), "{counts:?}");
}
