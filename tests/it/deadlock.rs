//! Cycles of green threads that wait for each other, found when they close.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sedge::channel;
use sedge::queue::Queue;
use sedge::sync::{
    Barrier, Condvar, Event, Mutex, ReentrantMutex, RwLock, Semaphore, WaitGroup, mpsc,
};
use sedge::thread::{self, Builder};
use sedge::{JoinHandle, Reason, State};

use crate::util::{self, FOREVER, Log, ms, panic_of, until};

fn named<T: 'static>(name: &str, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    Builder::new().name(name.to_owned()).spawn(f).unwrap()
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn two_mutexes_locked_crosswise_are_reported_by_the_one_that_closes_the_cycle() {
    util::run(|| {
        let (a, b) = (Rc::new(Mutex::new('a')), Rc::new(Mutex::new('b')));
        let (first_a, first_b) = (Rc::clone(&a), Rc::clone(&b));
        let b_taken = Rc::new(Cell::new(0));
        let line = Rc::clone(&b_taken);
        let second = named("second", move || {
            let guard = b.lock().unwrap();
            line.set(line!() - 1);
            thread::park();
            let text = panic_of(|| drop(a.lock()));
            drop(guard);
            text
        });
        until(second.thread(), State::Parked(Reason::Park));
        let first = named("first", move || {
            let _guard = first_a.lock().unwrap();
            drop(first_b.lock().unwrap());
        });
        until(first.thread(), State::Parked(Reason::Lock));
        second.thread().unpark();
        let text = second.join().unwrap();
        first.join().unwrap();
        let lines: Vec<_> = text.lines().collect();
        has(
            lines[0],
            &["deadlock: 2 green threads would wait for each other"],
        );
        has(lines[1], &["'second'", "parked (lock)", file!()]);
        has(lines[2], &["waits at ", file!(), "for a Mutex"]);
        has(
            lines[3],
            &["held by 'first'", ", spawned at ", ", taken at ", file!()],
        );
        has(lines[4], &["'first'", "parked (lock) for ", "spawned at"]);
        has(lines[5], &["waits at ", file!(), "for a Mutex"]);
        let taken = format!("taken at {}:{}", file!(), b_taken.get());
        has(lines[6], &["held by 'second'", &taken]);
        has(lines[7], &["one order"]);
    });
}

#[test]
fn a_mutex_that_its_holder_locks_again_is_reported_and_still_held() {
    util::run(|| {
        let lock = Mutex::new(1);
        let guard = lock.lock().unwrap();
        let text = panic_of(|| drop(lock.lock()));
        has(
            &text,
            &["a green thread would wait for itself", "a Mutex", "held by"],
        );
        assert_eq!(*guard, 1);
        drop(guard);
        assert!(!lock.is_poisoned());
        assert_eq!(*lock.try_lock().unwrap(), 1);
    });
}

#[test]
fn a_join_of_one_that_waits_for_a_lock_of_the_joiner_is_reported() {
    util::run(|| {
        let lock = Rc::new(Mutex::new(()));
        let inner = Rc::clone(&lock);
        let guard = lock.lock().unwrap();
        let locker = named("locker", move || drop(inner.lock().unwrap()));
        until(locker.thread(), State::Parked(Reason::Lock));
        let text = panic_of(|| locker.join());
        has(
            &text,
            &[
                "parked (join)",
                "end of a green thread",
                "which is 'locker'",
            ],
        );
        drop(guard);
    });
}

#[test]
fn a_lock_that_the_joiner_holds_is_reported_to_the_one_it_joins() {
    util::run(|| {
        let lock = Rc::new(Mutex::new(()));
        let inner = Rc::clone(&lock);
        let _guard = lock.lock().unwrap();
        let locker = named("locker", move || panic_of(|| drop(inner.lock())));
        has(
            &locker.join().unwrap(),
            &["'locker'", "'main'", "parked (join)"],
        );
    });
}

#[test]
fn three_in_a_circle_over_different_locks_are_all_named() {
    util::run(|| {
        let locks = Rc::new((Mutex::new(()), RwLock::new(()), ReentrantMutex::new(())));
        let (one, two, three) = (Rc::clone(&locks), Rc::clone(&locks), locks);
        let first = named("first", move || {
            let _guard = one.0.lock().unwrap();
            thread::park();
            drop(one.1.write().unwrap());
        });
        let second = named("second", move || {
            let _guard = two.1.read().unwrap();
            thread::park();
            drop(two.2.lock());
        });
        let third = named("third", move || {
            let _guard = three.2.lock();
            thread::park();
            panic_of(|| drop(three.0.lock()))
        });
        until(third.thread(), State::Parked(Reason::Park));
        for waiter in [first.thread(), second.thread()] {
            waiter.unpark();
            until(waiter, State::Parked(Reason::Lock));
        }
        third.thread().unpark();
        let text = third.join().unwrap();
        has(
            &text,
            &["3 green threads", "'first'", "'second'", "'third'"],
        );
        has(&text, &["a Mutex", "an RwLock", "a ReentrantMutex"]);
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_writer_that_waits_for_a_reader_who_asks_again_is_a_cycle_of_the_readers() {
    util::run(|| {
        let lock = Rc::new(RwLock::new(()));
        let inner = Rc::clone(&lock);
        let share = lock.read().unwrap();
        let writer = named("writer", move || drop(inner.write().unwrap()));
        until(writer.thread(), State::Parked(Reason::Lock));
        // It would stand behind the writer, who waits for `share`.
        let text = panic_of(|| drop(lock.read()));
        has(&text, &["behind 'writer'", "an RwLock", "held by 'main'"]);
        drop(share);
        writer.join().unwrap();
    });
}

#[test]
fn a_lock_that_was_handed_over_meanwhile_is_followed_to_its_new_holder() {
    util::run(|| {
        let (a, b) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let guard = a.lock().unwrap();
        let (a1, b1) = (Rc::clone(&a), Rc::clone(&b));
        let heir = named("heir", move || {
            let _guard = a1.lock().unwrap();
            thread::park();
            panic_of(|| drop(b1.lock()))
        });
        until(heir.thread(), State::Parked(Reason::Lock));
        let (a2, b2) = (Rc::clone(&a), b);
        let other = named("other", move || {
            let _guard = b2.lock().unwrap();
            drop(a2.lock().unwrap());
        });
        until(other.thread(), State::Parked(Reason::Lock));
        drop(guard);
        until(heir.thread(), State::Parked(Reason::Park));
        heir.thread().unpark();
        has(
            &heir.join().unwrap(),
            &["'heir'", "'other'", "2 green threads"],
        );
        other.join().unwrap();
    });
}

#[test]
fn a_scope_whose_child_wants_a_lock_of_its_owner_is_reported() {
    util::run(|| {
        let lock = Mutex::new(());
        let _guard = lock.lock().unwrap();
        let mut text = String::new();
        sedge::scope(|s| {
            s.spawn(|| text = panic_of(|| drop(lock.lock())));
        });
        has(&text, &["green threads of its scope", "a Mutex", "'main'"]);
    });
}

#[test]
fn a_scope_that_closes_the_cycle_unwinds_when_its_children_are_gone() {
    util::run(|| {
        let log = Log::default();
        let lock = Mutex::new(());
        let guard = lock.lock().unwrap();
        let text = panic_of(|| {
            sedge::scope(|s| {
                let child = s.spawn(|| {
                    let _gone = log.on_drop("the child is gone");
                    drop(lock.lock());
                });
                until(child.thread(), State::Parked(Reason::Lock));
            });
        });
        has(&text, &["green threads of its scope", "a Mutex"]);
        assert_eq!(log.take(), ["the child is gone"]);
        drop(guard);
    });
}

#[test]
fn who_waits_with_a_limit_is_no_part_of_a_cycle() {
    util::run(|| {
        let (a, b) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let (a1, b1) = (Rc::clone(&a), Rc::clone(&b));
        let patient = named("patient", move || {
            let _guard = a1.lock().unwrap();
            drop(b1.lock().unwrap());
        });
        // With a limit of its own, of a call around it, and of the other.
        let _b = b.lock().unwrap();
        until(patient.thread(), State::Parked(Reason::Lock));
        assert!(a.try_lock_for(ms(1)).is_err());
        assert!(sedge::timeout(ms(1), || drop(a.lock())).is_err());
        assert!(!a.is_poisoned());
        drop(_b);
        patient.join().unwrap();

        let (a1, b1) = (Rc::clone(&a), Rc::clone(&b));
        let limited = named("limited", move || {
            let _guard = a1.lock().unwrap();
            sedge::timeout(ms(5), || drop(b1.lock())).is_err()
        });
        let guard = b.lock().unwrap();
        until(limited.thread(), State::Parked(Reason::Lock));
        drop(a.lock());
        assert!(limited.join().unwrap());
        drop(guard);
    });
}

#[test]
fn a_limit_outside_of_a_shield_does_not_count() {
    util::run(|| {
        let lock = Rc::new(Mutex::new(()));
        let _guard = lock.lock().unwrap();
        let text = sedge::timeout(FOREVER, || sedge::shield(|| panic_of(|| drop(lock.lock()))));
        has(&text.unwrap(), &["wait for itself"]);
    });
}

#[test]
fn one_that_was_interrupted_and_unwinds_is_no_part_of_a_cycle() {
    util::run(|| {
        let (a, b) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let (a1, b1) = (Rc::clone(&a), Rc::clone(&b));
        let victim = named("victim", move || {
            let _guard = a1.lock().unwrap();
            drop(b1.lock());
        });
        let _b = b.lock().unwrap();
        until(victim.thread(), State::Parked(Reason::Lock));
        victim.cancel();
        drop(a.lock()); // it is on its way out
        assert!(victim.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_chain_of_joins_is_not_walked_at_every_link() {
    const LINKS: u32 = 20_000;
    util::run_with(sedge::Config::new().stack_size(32 << 10), || {
        // Walking it each time would be two hundred million steps.
        let mut last = sedge::spawn(|| sedge::sleep(Duration::from_millis(1)));
        for _ in 0..LINKS {
            last = sedge::spawn(move || last.join().unwrap());
            sedge::yield_now();
        }
        last.join().unwrap();
    });
}

#[test]
fn a_total_deadlock_says_who_holds_what() {
    let text = panic_of(|| {
        sedge::run(|| {
            let lock = Rc::new(RwLock::new(()));
            let inner = Rc::clone(&lock);
            std::mem::forget(lock.write());
            drop(named("reader", move || drop(inner.read())));
            sedge::thread::park();
        });
    });
    has(
        &text,
        &["for an RwLock", "held by 'main'", "taken at", file!()],
    );
    let text = panic_of(|| {
        sedge::run(|| {
            let lock = Rc::new(Mutex::new(()));
            let inner = Rc::clone(&lock);
            sedge::spawn(move || std::mem::forget(inner.lock()))
                .join()
                .unwrap();
            drop(lock.lock());
        });
    });
    has(
        &text,
        &["which has ended, taken at", "1 green thread waits"],
    );
    let lock = Mutex::new(());
    let _guard = lock.lock();
    let text = panic_of(|| sedge::run(|| drop(lock.lock())));
    has(&text, &["held by code outside of sedge::run"]);
}

#[test]
fn a_reader_behind_a_writer_that_was_cancelled_does_not_wait_for_itself() {
    util::run(|| {
        let lock = Rc::new(RwLock::new(()));
        let first = lock.read().unwrap();
        let ours = Rc::clone(&lock);
        let writer = sedge::spawn(move || drop(ours.write()));
        until(writer.thread(), State::Parked(Reason::Lock));
        let (ours, go) = (Rc::clone(&lock), Rc::new(Event::new()));
        let end = Rc::clone(&go);
        let reader = sedge::spawn(move || {
            sedge::scope(|s| {
                s.spawn(move || end.wait());
                drop(ours.read());
            });
        });
        until(reader.thread(), State::Parked(Reason::Lock));
        sedge::yield_now();
        go.set();
        sedge::yield_now();
        // Its child has ended and has woken it, and it comes before the writer.
        assert_eq!(reader.thread().state(), State::Ready);
        writer.cancel();
        assert!(lock.try_read().is_err());
        reader.join().unwrap();
        drop(first);
    });
}

/// Each waits in the line of its macro, for ever; the report has to name that line.
#[test]
fn a_deadlock_of_all_names_the_line_in_which_each_waits() {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&lines);
    let _watchdog = util::Watchdog::new();
    let text = panic_of(|| {
        sedge::run(move || {
            macro_rules! waits {
                ($name:literal, $wait:expr) => {{
                    noted.borrow_mut().push(($name, line!()));
                    let _ = Builder::new().name($name.into()).spawn(move || {
                        let _ = $wait;
                    });
                }};
            }
            let (sender, receiver) = channel::bounded::<u8>(0);
            let (full, rest) = channel::bounded::<u8>(0);
            let (_mpsc, mpsc_receiver) = mpsc::channel::<u8>();
            let (_kept, selected) = channel::unbounded::<u8>();
            waits!("recv", {
                let _kept = sender;
                receiver.recv()
            });
            waits!("send", {
                let _kept = rest;
                full.send(1)
            });
            waits!("mpsc", mpsc_receiver.recv());
            waits!("select", channel::select! { recv(selected) -> _ => () });
            waits!("event", Event::new().wait());
            waits!("semaphore", drop(Semaphore::new(0).acquire()));
            waits!("park", thread::park());
            waits!("barrier", Barrier::new(2).wait());
            waits!("queue", Queue::<u8>::new().get());
            waits!("group", {
                let group = WaitGroup::new();
                let _other = group.clone();
                group.wait()
            });
            waits!("condvar", {
                let (lock, never) = (Mutex::new(()), Condvar::new());
                drop(never.wait(lock.lock().unwrap()))
            });
            waits!("future", sedge::block_on(std::future::pending::<()>()));
            thread::park();
        })
    });
    for (name, line) in lines.take() {
        let mut report = text
            .lines()
            .skip_while(|line| !line.contains(&format!("'{name}'")));
        let place = report.nth(1).unwrap_or_default();
        let near = (line..line + 5).any(|line| place.contains(&format!("{}:{line}:", file!())));
        assert!(
            place.contains("waits at ") && near,
            "{name}, line {line}: {place}\n{text}"
        );
    }
}
