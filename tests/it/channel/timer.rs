//! `after`, `at`, `tick` and `never`.

use std::time::{Duration, Instant};

use sedge::channel::{RecvTimeoutError, TryRecvError, after, at, never, select, tick};

use crate::util::{self, FOREVER, Watchdog, ms, panic_of};

#[test]
fn after_delivers_once_to_one_and_when_it_is_due() {
    util::run(|| {
        let begin = Instant::now();
        let receiver = after(ms(3));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!((receiver.len(), receiver.capacity()), (0, Some(1)));
        let clone = receiver.clone();
        let other = sedge::spawn(move || clone.recv_timeout(ms(30)));
        let mine = receiver.recv_timeout(ms(30));
        let other = other.join().unwrap();
        assert!(mine.is_ok() != other.is_ok(), "one of them has it");
        let due = mine.or(other).unwrap();
        assert!(due >= begin + ms(3) && due <= Instant::now());
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_limit_that_ends_earlier_is_kept() {
    util::run(|| {
        let receiver = at(Instant::now() + FOREVER);
        assert_eq!(receiver.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
        assert_eq!(after(Duration::MAX).try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn ticks_that_were_missed_are_dropped() {
    util::run(|| {
        let receiver = tick(ms(5));
        let begin = Instant::now();
        sedge::sleep(ms(18));
        let first = receiver.recv().unwrap();
        assert!(first <= begin + ms(6), "it was due long ago");
        assert_eq!(
            receiver.try_recv(),
            Err(TryRecvError::Empty),
            "the others are gone"
        );
        let second = receiver.recv().unwrap();
        assert!(
            second >= begin + ms(23),
            "a period after the first was taken"
        );
    });
}

#[test]
fn a_tick_is_there_outside_run() {
    let receiver = tick(ms(1));
    std::thread::sleep(ms(2));
    assert_eq!(receiver.len(), 1);
    assert!(receiver.is_full() && receiver.recv().is_ok());
    assert!(receiver.is_empty());
}

#[test]
fn waiting_for_never_alone_is_a_deadlock_and_for_after_is_none() {
    let _watchdog = Watchdog::new();
    sedge::run(|| after(ms(2)).recv().unwrap());
    let text = panic_of(|| sedge::run(|| never::<i32>().recv()));
    assert!(text.contains("channel"), "{text}");
    let text = panic_of(|| {
        sedge::run(|| {
            let receiver = after(ms(1));
            receiver.recv().unwrap();
            receiver.recv()
        })
    });
    assert!(text.contains("channel"), "{text}");
}

#[test]
fn a_select_waits_for_the_clock() {
    util::run(|| {
        let ticks = tick(ms(1));
        let end = after(ms(10));
        let mut count = 0;
        loop {
            select! {
                recv(ticks) -> tick => {
                    tick.unwrap();
                    count += 1;
                }
                recv(end) -> _ => break,
                recv(never::<i32>()) -> _ => unreachable!(),
            }
        }
        assert!((1..=11).contains(&count), "{count} ticks");
    });
}
