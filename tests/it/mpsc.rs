//! `sync::mpsc`: std's promises.

use std::rc::Rc;

use sedge::State;
use sedge::sync::mpsc::{
    RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError, channel, sync_channel,
};

use crate::util::{self, Log, ms, until};

#[test]
fn what_was_sent_arrives_before_the_end_is_told() {
    let (sender, receiver) = channel();
    sender.send(1).unwrap();
    let clone = sender.clone();
    clone.send(2).unwrap();
    drop((sender, clone));
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(receiver.recv(), Err(RecvError));
}

#[test]
fn a_send_to_a_receiver_that_is_gone_gives_the_message_back() {
    let (sender, receiver) = channel();
    sender.send("lost").unwrap();
    drop(receiver);
    assert_eq!(sender.send("back"), Err(SendError("back")));
    let (sender, receiver) = sync_channel(1);
    drop(receiver);
    assert_eq!(sender.send(1), Err(SendError(1)));
    assert_eq!(sender.try_send(2), Err(TrySendError::Disconnected(2)));
}

#[test]
fn messages_that_nobody_will_receive_are_dropped_with_the_receiver() {
    let message = Rc::new(());
    let (sender, receiver) = channel();
    sender.send(Rc::clone(&message)).unwrap();
    drop(receiver);
    assert_eq!(Rc::strong_count(&message), 1);
    assert!(sender.send(Rc::clone(&message)).is_err());
}

#[test]
fn a_blocked_sender_is_told_that_the_receiver_has_gone_and_has_its_message_back() {
    util::run(|| {
        let (sender, receiver) = sync_channel(1);
        sender.send(1).unwrap();
        let blocked = sedge::spawn(move || sender.send(2));
        until(blocked.thread(), State::Parked(sedge::Reason::Channel));
        drop(receiver);
        assert_eq!(blocked.join().unwrap(), Err(SendError(2)));
    });
}

#[test]
fn a_blocked_receiver_is_told_that_the_last_sender_has_gone() {
    util::run(|| {
        let (sender, receiver) = channel::<i32>();
        let blocked = sedge::spawn(move || receiver.recv());
        until(blocked.thread(), State::Parked(sedge::Reason::Channel));
        let last = sender.clone();
        drop(sender);
        sedge::yield_now();
        assert!(!blocked.is_finished());
        drop(last);
        assert_eq!(blocked.join().unwrap(), Err(RecvError));
    });
}

#[test]
fn a_bound_of_zero_makes_each_send_wait_until_its_message_is_taken() {
    util::run(|| {
        let (sender, receiver) = sync_channel(0);
        assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
        let log = Log::default();
        let sender = sedge::spawn({
            let log = log.clone();
            move || {
                sender.send(1).unwrap();
                log.add("sent");
            }
        });
        until(sender.thread(), State::Parked(sedge::Reason::Channel));
        log.add("receives");
        assert_eq!(receiver.recv(), Ok(1));
        sender.join().unwrap();
        assert_eq!(log.take(), ["receives", "sent"]);
    });
}

#[test]
fn try_send_into_a_rendezvous_succeeds_where_a_receiver_waits() {
    util::run(|| {
        let (sender, receiver) = sync_channel(0);
        let waiting = sedge::spawn(move || receiver.recv());
        until(waiting.thread(), State::Parked(sedge::Reason::Channel));
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(waiting.join().unwrap(), Ok(1));
    });
}

#[test]
fn the_iterators_give_what_is_there_and_what_comes() {
    util::run(|| {
        let (sender, receiver) = channel();
        (0..3).for_each(|number| sender.send(number).unwrap());
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(receiver.try_iter().next(), None);
        let late = sedge::spawn(move || (3..5).try_for_each(|number| sender.send(number)));
        assert_eq!(receiver.iter().next(), Some(3));
        assert_eq!((&receiver).into_iter().next(), Some(4));
        late.join().unwrap().unwrap();
        assert_eq!(receiver.into_iter().next(), None);
    });
}

#[test]
fn recv_timeout_tells_late_from_never() {
    util::run(|| {
        let (sender, receiver) = channel::<i32>();
        let timeout = receiver.recv_timeout(ms(1));
        assert_eq!(timeout, Err(RecvTimeoutError::Timeout));
        sender.send(1).unwrap();
        assert_eq!(receiver.recv_timeout(ms(0)), Ok(1));
        drop(sender);
        let gone = receiver.recv_timeout(ms(1));
        assert_eq!(gone, Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn everything_prints_as_in_std() {
    let (sender, receiver) = channel::<i32>();
    let (std_sender, std_receiver) = std::sync::mpsc::channel::<i32>();
    assert_eq!(format!("{sender:?}"), format!("{std_sender:?}"));
    assert_eq!(format!("{receiver:?}"), format!("{std_receiver:?}"));
    let (sender, _receiver) = sync_channel::<i32>(1);
    let (std_sender, _std_receiver) = std::sync::mpsc::sync_channel::<i32>(1);
    assert_eq!(format!("{sender:?}"), format!("{std_sender:?}"));
    let error: std::sync::mpsc::SendError<i32> = SendError(1);
    assert_eq!(format!("{error:?}"), "SendError { .. }");
}

#[test]
fn the_ends_may_go_where_panics_are_caught() {
    let (sender, receiver) = channel();
    std::panic::catch_unwind(|| sender.send(Rc::new(1)).unwrap()).unwrap();
    let received = std::panic::catch_unwind(|| receiver.recv().is_ok());
    assert!(received.unwrap());
}
