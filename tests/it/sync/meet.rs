//! `sync::{Event, Barrier, WaitGroup}`: green threads that meet.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sedge::sync::{Barrier, Event, WaitGroup};
use sedge::{JoinHandle, Reason, State, thread, timeout};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::{self, Dice, FOREVER, Log, ms, panic_of, until};

fn guest(event: &Rc<Event>, log: &Log, name: &'static str) -> JoinHandle<()> {
    let (event, log) = (Rc::clone(event), log.clone());
    let thread = sedge::spawn(move || {
        event.wait();
        log.add(name);
    });
    until(thread.thread(), State::Parked(Reason::Event));
    thread
}

#[test]
fn an_event_wakes_all_in_their_order_even_if_it_is_cleared_before_they_run() {
    util::run(|| {
        let (event, log) = (Rc::new(Event::new()), Log::default());
        let guests = ["first", "second", "third"].map(|name| guest(&event, &log, name));
        event.set();
        event.clear();
        let late = guest(&event, &log, "late");
        sedge::wait_all(&guests);
        assert_eq!(log.take(), ["first", "second", "third"]);
        event.set();
        late.join().unwrap();
    });
}

#[test]
fn a_set_event_lets_everybody_pass_without_a_scheduler() {
    let event = Event::default();
    assert!(!event.is_set());
    let text = panic_of(|| event.wait());
    assert!(text.contains("no sedge scheduler"), "{text}");
    event.set();
    event.set();
    event.wait();
    assert!(event.wait_timeout(Duration::ZERO));
    assert_eq!(format!("{event:?}"), "Event { is_set: true, .. }");
    event.clear();
    assert!(!event.is_set());
}

#[test]
fn a_wait_for_an_event_with_a_limit_says_whether_it_was_set() {
    util::run(|| {
        let event = Rc::new(Event::new());
        assert!(!event.wait_timeout(ms(1)));
        assert!(timeout(ms(1), || event.wait()).is_err());
        let inner = Rc::clone(&event);
        let thread = sedge::spawn(move || inner.wait_timeout(FOREVER));
        until(thread.thread(), State::Parked(Reason::Event));
        event.set();
        assert!(thread.join().unwrap());
    });
}

#[test]
fn a_guest_that_is_cancelled_at_any_moment_keeps_no_other_from_passing() {
    cancel_at_each_moment(|aim| {
        let (first, second) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let guest = || {
            let (first, second) = (Rc::clone(&first), Rc::clone(&second));
            sedge::spawn(move || {
                first.wait();
                second.wait();
            })
        };
        let other = guest();
        let victim = guest();
        aim.at(&victim);
        let late = guest();
        (0..3).for_each(|_| sedge::yield_now());
        first.set();
        sedge::yield_now();
        second.set();
        other.join().unwrap();
        late.join().unwrap();
        let _ = victim.join();
    });
}

#[test]
fn a_barrier_lets_all_pass_together_and_one_of_them_leads() {
    util::run(|| {
        let (barrier, log) = (Rc::new(Barrier::new(3)), Log::default());
        let threads: Vec<_> = (0..6)
            .map(|i| {
                let (barrier, log) = (Rc::clone(&barrier), log.clone());
                sedge::spawn(move || {
                    log.add(format!("{i} comes"));
                    let leads = barrier.wait().is_leader();
                    log.add(format!("{i} passes"));
                    leads
                })
            })
            .collect();
        let leads: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(leads, [false, false, true, false, false, true]);
        let events = log.take();
        let at = |event: &str| events.iter().position(|other| other == event).unwrap();
        for i in 0..3 {
            assert!(at(&format!("{i} passes")) > at("2 comes"));
            assert!(at(&format!("{} passes", i + 3)) > at("5 comes"));
        }
    });
}

#[test]
fn a_barrier_for_one_or_nobody_keeps_nobody() {
    for n in 0..2 {
        let barrier = Barrier::new(n);
        assert!(barrier.wait().is_leader());
        assert!(barrier.wait().is_leader());
    }
    assert!(panic_of(|| Barrier::new(2).wait()).contains("no sedge scheduler"));
}

#[test]
fn who_is_cancelled_at_a_barrier_has_not_come() {
    util::run(|| {
        let barrier = Rc::new(Barrier::new(3));
        let come = || {
            let barrier = Rc::clone(&barrier);
            let thread = sedge::spawn(move || barrier.wait().is_leader());
            until(thread.thread(), State::Parked(Reason::Barrier));
            thread
        };
        let (first, second) = (come(), come());
        second.cancel();
        assert!(second.join().unwrap_err().is_cancelled());
        assert!(timeout(ms(1), || barrier.wait().is_leader()).is_err());
        let third = come();
        assert!(barrier.wait().is_leader());
        assert!(!first.join().unwrap());
        assert!(!third.join().unwrap());
    });
}

#[test]
fn whoever_is_cancelled_at_a_barrier_nobody_passes_alone() {
    cancel_at_each_moment(|aim| {
        let barrier = Rc::new(Barrier::new(2));
        let passed = Rc::new(Cell::new((0, 0)));
        let pass = {
            let (barrier, passed) = (Rc::clone(&barrier), Rc::clone(&passed));
            move || {
                let leads = barrier.wait().is_leader();
                let (leaders, all) = passed.get();
                passed.set((leaders + usize::from(leads), all + 1));
            }
        };
        let come = |rounds| {
            let pass = pass.clone();
            sedge::spawn(move || (0..rounds).for_each(|_| pass()))
        };
        let victim = come(2);
        aim.at(&victim);
        let other = come(4);
        while !(victim.is_finished() && other.is_finished()) {
            sedge::yield_now();
            let alone = other.thread().state() == State::Parked(Reason::Barrier);
            if victim.is_finished() && alone {
                pass();
            }
        }
        assert_eq!(passed.get(), (4, 8));
    });
}

#[test]
fn a_group_waits_for_members_however_they_end() {
    util::run(|| {
        let (group, log) = (WaitGroup::new(), Log::default());
        let member = |end: fn()| {
            let (group, log) = (group.clone(), log.clone());
            sedge::spawn(move || {
                let _group = group;
                let _ended = log.on_drop("ended");
                end();
            })
        };
        member(sedge::yield_now);
        member(|| panic!("a member"));
        let parked = member(thread::park);
        until(parked.thread(), State::Parked(Reason::Park));
        parked.cancel();
        group.wait();
        assert_eq!(log.take(), ["ended", "ended", "ended"]);
    });
}

#[test]
fn members_may_wait_for_each_other() {
    util::run(|| {
        let group = WaitGroup::default();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let group = group.clone();
                sedge::spawn(move || group.wait())
            })
            .collect();
        until(threads[2].thread(), State::Parked(Reason::Event));
        assert_eq!(format!("{group:?}"), "WaitGroup { members: 1 }");
        group.wait();
        sedge::wait_all(&threads);
    });
}

#[test]
fn a_group_of_one_needs_no_scheduler() {
    WaitGroup::new().wait();
    let group = WaitGroup::new();
    let other = group.clone();
    assert!(panic_of(|| group.wait()).contains("no sedge scheduler"));
    other.wait();
}

#[test]
fn a_member_that_is_cancelled_at_any_moment_is_counted_once() {
    cancel_at_each_moment(|aim| {
        let group = WaitGroup::new();
        let member = || {
            let group = group.clone();
            sedge::spawn(move || {
                let more = group.clone();
                let child = sedge::spawn(move || {
                    sedge::yield_now();
                    drop(more);
                });
                sedge::yield_now();
                group.wait();
                let _ = child.join();
            })
        };
        let victim = member();
        aim.at(&victim);
        let other = member();
        group.wait();
        other.join().unwrap();
        let _ = victim.join();
    });
}

#[test]
fn rounds_at_a_barrier_stay_together_in_any_order() {
    const SIZE: usize = 4;
    const ROUNDS: usize = 5;
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let barrier = Rc::new(Barrier::new(SIZE));
        let (leaders, come) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let group = WaitGroup::new();
        for _ in 0..SIZE {
            let (barrier, group, mut dice) = (Rc::clone(&barrier), group.clone(), dice.child());
            let (leaders, come) = (Rc::clone(&leaders), Rc::clone(&come));
            sedge::spawn(move || {
                for round in 1..=ROUNDS {
                    (0..dice.throw(4)).for_each(|_| sedge::yield_now());
                    come.set(come.get() + 1);
                    let leads = barrier.wait().is_leader();
                    // All have come to this round; each may have come to the next, if no further.
                    let (least, most) = (round * SIZE, (round + 1) * SIZE);
                    assert!((least..most).contains(&come.get()), "round {round}");
                    leaders.set(leaders.get() + usize::from(leads));
                }
                drop(group);
            });
        }
        group.wait();
        assert_eq!(leaders.get(), ROUNDS);
    });
}

#[test]
fn whoever_waits_for_an_event_when_it_is_set_passes_in_any_order() {
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let event = Rc::new(Event::new());
        let (set, group) = (Rc::new(Cell::new(0)), WaitGroup::new());
        for _ in 0..8 {
            let (event, set, group) = (Rc::clone(&event), Rc::clone(&set), group.clone());
            let mut dice = dice.child();
            sedge::spawn(move || {
                for _ in 0..4 {
                    let limit = Duration::from_micros(dice.throw(3) * 10);
                    let before = set.get();
                    let was_set = event.is_set();
                    let passed = match dice.throw(2) {
                        0 => event.wait_timeout(limit),
                        _ => timeout(limit, || event.wait()).is_ok(),
                    };
                    assert_eq!(passed, was_set || set.get() > before);
                }
                drop(group);
            });
        }
        for _ in 0..20 {
            match dice.throw(3) {
                0 => {
                    set.set(set.get() + 1);
                    event.set();
                }
                1 => event.clear(),
                _ => (0..dice.throw(100)).for_each(|_| sedge::yield_now()),
            }
        }
        group.wait();
    });
}
