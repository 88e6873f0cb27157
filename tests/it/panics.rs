//! Panics: where they come out, and what they leave alone.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;

use sedge::sync::Mutex;
use sedge::thread::{self, Builder};
use sedge::{Config, Reason, State};

use crate::util::{self, FOREVER, Log, OnDrop, ms, panic_of, until};

#[test]
fn a_panic_reaches_join_with_its_message_payload_and_name_and_the_process_goes_on() {
    util::run(|| {
        let number = std::hint::black_box(7);
        let named = Builder::new().name("broken".to_owned());
        let error = named
            .spawn(move || panic!("number {}", number))
            .unwrap()
            .join()
            .unwrap_err();
        assert!(!error.is_cancelled());
        assert_eq!(
            (error.name(), error.message()),
            (Some("broken"), Some("number 7"))
        );
        assert_eq!(error.spawned_at().file(), file!());
        let text = format!(
            "green thread 'broken' (#{}) panicked: number 7",
            error.id().as_u64()
        );
        assert_eq!(error.to_string(), text);
        assert_eq!(*error.downcast::<String>().unwrap(), "number 7");
        assert_eq!(sedge::spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn a_payload_of_any_type_comes_out_as_it_went_in() {
    util::run(|| {
        let error = sedge::spawn(|| panic_any(41_u32)).join().unwrap_err();
        assert_eq!(error.downcast_ref::<u32>(), Some(&41));
        assert_eq!(error.message(), None);
        assert!(error.to_string().contains("a payload that is no text"));
        let error = error.downcast::<String>().unwrap_err();
        assert_eq!(*error.into_panic().downcast::<u32>().unwrap(), 41);
    });
}

#[test]
fn a_panic_of_main_comes_out_of_run_when_the_others_have_ended() {
    let log = Log::default();
    let text = panic_of(|| {
        util::run(|| {
            let inner = log.clone();
            sedge::spawn(move || {
                sedge::sleep(ms(5));
                inner.add("the other");
            });
            panic!("of main");
        })
    });
    assert_eq!(
        (text.as_str(), log.take()),
        ("of main", vec!["the other".to_owned()])
    );
}

#[test]
fn a_panic_that_is_resumed_passes_through_join_unchanged() {
    util::run(|| {
        let outer = sedge::spawn(|| {
            let error = sedge::spawn(|| panic!("deep down")).join().unwrap_err();
            resume_unwind(error.into_panic());
        });
        assert_eq!(outer.join().unwrap_err().message(), Some("deep down"));
    });
}

#[test]
fn the_panic_hook_sees_each_panic_once_and_no_cancellation() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let inner = Rc::clone(&seen);
    let config = Config::new().on_panic(move |thread, payload| {
        sedge::yield_now();
        let name = thread.name().unwrap_or("nobody").to_owned();
        inner
            .borrow_mut()
            .push((name, util::message(payload).to_owned()));
        panic!("in the hook");
    });
    util::run_with(config, || {
        let named = |name: &str| Builder::new().name(name.to_owned());
        let loud = named("loud").spawn(|| panic!("seen")).unwrap();
        let caught = named("caught")
            .spawn(|| panic_of(|| panic!("not seen")))
            .unwrap();
        let cancelled = named("cancelled").spawn(thread::park).unwrap();
        cancelled.cancel();
        let late = named("late")
            .spawn(|| sedge::timeout(ms(1), thread::park))
            .unwrap();
        assert_eq!(loud.join().unwrap_err().message(), Some("seen"));
        assert_eq!(caught.join().unwrap(), "not seen");
        assert!(cancelled.join().unwrap_err().is_cancelled());
        assert!(late.join().unwrap().is_err());
    });
    assert_eq!(*seen.borrow(), [("loud".to_owned(), "seen".to_owned())]);
}

#[test]
fn a_caught_panic_leaves_the_thread_as_it_was() {
    util::run(|| {
        assert_eq!(panic_of(|| panic!("caught")), "caught");
        let begin = std::time::Instant::now();
        sedge::sleep(ms(3));
        assert!(begin.elapsed() >= ms(3));
        assert!(sedge::timeout(ms(1), || sedge::sleep(FOREVER)).is_err());
    });
}

#[test]
fn unwinding_with_io_and_sleep_in_a_destructor_poisons_no_lock_of_others() {
    let held = Rc::new(std::sync::Mutex::new(0));
    util::run(|| {
        let inner = Rc::clone(&held);
        let holder = sedge::spawn(move || {
            let mut guard = inner.lock().unwrap();
            (0..20).for_each(|_| sedge::yield_now());
            *guard += 1;
        });
        let unwinder = sedge::spawn(|| {
            let (reader, _writer) = std::io::pipe().unwrap();
            let source = sedge::io::Source::new(reader);
            let _guard = OnDrop(move || {
                sedge::sleep(ms(5));
                sedge::yield_now();
                thread::park_timeout(ms(5));
                assert!(
                    source.wait_readable().is_err(),
                    "it waited while it unwound"
                );
            });
            sedge::yield_now();
            panic!("unwinds while the other holds its lock");
        });
        let error = unwinder.join().unwrap_err();
        assert_eq!(
            error.message(),
            Some("unwinds while the other holds its lock")
        );
        holder.join().unwrap();
    });
    assert!(!held.is_poisoned());
    assert_eq!(*held.lock().unwrap(), 1);
}

#[test]
fn a_destructor_that_runs_while_its_thread_unwinds_may_spawn_and_join() {
    let log = Log::default();
    util::run(|| {
        for cancel in [false, true] {
            let inner = log.clone();
            let thread = sedge::spawn(move || {
                let _guard = OnDrop(|| {
                    let child = sedge::spawn(|| {
                        sedge::sleep(ms(2));
                        "from inside Drop"
                    });
                    inner.add(child.join().unwrap());
                });
                if !cancel {
                    panic!("unwinds");
                }
                thread::park();
            });
            sedge::yield_now();
            thread.cancel();
            let error = thread.join().unwrap_err();
            assert_eq!(error.is_cancelled(), cancel);
        }
    });
    assert_eq!(log.take(), ["from inside Drop", "from inside Drop"]);
}

#[test]
fn a_destructor_may_wait_for_a_lock_while_its_thread_unwinds() {
    let log = Log::default();
    util::run(|| {
        let lock = Rc::new(Mutex::new(()));
        let guard = lock.lock().unwrap();
        let (inner, events) = (Rc::clone(&lock), log.clone());
        let unwinder = sedge::spawn(move || {
            let _guard = OnDrop(|| {
                let _guard = inner.lock().unwrap();
                events.add("locked");
            });
            panic!("unwinds");
        });
        until(unwinder.thread(), sedge::State::Parked(sedge::Reason::Lock));
        unwinder.cancel();
        (0..10).for_each(|_| sedge::yield_now());
        log.add("unlock");
        drop(guard);
        let error = unwinder.join().unwrap_err();
        assert!(
            !error.is_cancelled(),
            "a cancellation must not replace the panic it interrupts"
        );
        assert!(
            !lock.is_poisoned(),
            "it was locked by one who was unwinding already"
        );
    });
    assert_eq!(log.take(), ["unlock", "locked"]);
}

/// Runs `f` while another green thread is suspended in the middle of its unwinding.
fn beside_an_unwinder(f: impl FnOnce()) {
    util::run(|| {
        let gate = Rc::new(Mutex::new(()));
        let shut = gate.lock().unwrap();
        let inner = Rc::clone(&gate);
        let unwinder = sedge::spawn(move || {
            let _guard = OnDrop(|| drop(inner.lock()));
            panic!("unwinds and waits");
        });
        until(unwinder.thread(), sedge::State::Parked(sedge::Reason::Lock));
        assert!(thread::panicking(), "std says so to everybody");
        f();
        drop(shut);
        assert!(unwinder.join().is_err());
    });
}

#[test]
fn sleep_and_io_work_while_another_thread_is_suspended_unwinding() {
    beside_an_unwinder(|| {
        sleeps_properly();
        assert!(sedge::timeout(ms(1), || sedge::sleep(FOREVER)).is_err());
        sleeps_properly();
        let child = sedge::spawn(|| panic!("in a child"));
        assert_eq!(child.join().unwrap_err().message(), Some("in a child"));
        sleeps_properly();
        let sleeper = sedge::spawn(|| sedge::sleep(FOREVER));
        sedge::yield_now();
        sleeper.cancel();
        assert!(sleeper.join().unwrap_err().is_cancelled());
        sleeps_properly();
    });
}

#[test]
fn who_caught_a_panic_long_ago_does_not_count_as_unwinding() {
    let lock = Mutex::new(());
    let text = panic_of(|| {
        beside_an_unwinder(|| {
            let guard = lock.lock();
            sleeps_properly();
            drop(guard);
        });
        util::run(|| {
            assert_eq!(panic_of(|| panic!("caught")), "caught");
            sleeps_properly();
        });
        panic!("to the end");
    });
    assert_eq!(text, "to the end");
    util::run(|| {
        assert_eq!(panic_of(|| panic!("caught")), "caught");
        let gate = Rc::new(Mutex::new(()));
        let shut = gate.lock().unwrap();
        let inner = Rc::clone(&gate);
        let unwinder = sedge::spawn(move || {
            let _guard = OnDrop(|| drop(inner.lock()));
            panic!("unwinds and waits");
        });
        until(unwinder.thread(), sedge::State::Parked(sedge::Reason::Lock));
        sleeps_properly();
        let lock = Mutex::new(());
        drop(lock.lock());
        assert!(!lock.is_poisoned());
        drop(shut);
    });
}

#[test]
fn a_catch_beside_a_suspended_unwinder_loses_no_cancellation() {
    util::run(|| {
        let gate = Rc::new(Mutex::new(()));
        let shut = gate.lock().unwrap();
        let inner = Rc::clone(&gate);
        let unwinder = sedge::spawn(move || {
            let _guard = OnDrop(|| drop(inner.lock()));
            panic!("unwinds and waits");
        });
        until(unwinder.thread(), sedge::State::Parked(sedge::Reason::Lock));
        let victim = sedge::spawn(|| {
            assert_eq!(panic_of(|| panic!("caught")), "caught");
            let sleeper = Builder::new().daemon(true);
            sleeper.spawn(|| sedge::sleep(FOREVER)).unwrap().join()
        });
        until(victim.thread(), sedge::State::Parked(sedge::Reason::Join));
        victim.cancel();
        drop(shut);
        assert!(unwinder.join().is_err());
        assert!(victim.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn run_works_in_a_destructor_of_an_os_thread_that_unwinds() {
    let slept = Cell::new(false);
    let text = panic_of(|| {
        let _guard = OnDrop(|| {
            util::run(|| {
                sleeps_properly();
                let parked = sedge::spawn(thread::park);
                until(parked.thread(), sedge::State::Parked(sedge::Reason::Park));
                parked.cancel();
                assert!(parked.join().unwrap_err().is_cancelled());
                slept.set(true);
            });
        });
        panic!("of the OS thread");
    });
    assert_eq!((text.as_str(), slept.get()), ("of the OS thread", true));
}

fn sleeps_properly() {
    let begin = std::time::Instant::now();
    sedge::sleep(ms(2));
    assert!(begin.elapsed() >= ms(2), "the sleep returned early");
}

/// A value whose destructor waits, so that it can be interrupted there.
struct WaitsInDrop(Log);

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        self.0.add("drop begins");
        let waited = catch_unwind(AssertUnwindSafe(|| sedge::sleep(FOREVER)));
        self.0.add(if waited.is_ok() {
            "drop waited"
        } else {
            "drop was interrupted"
        });
        waited.unwrap_or_else(|payload| resume_unwind(payload));
    }
}

#[test]
fn the_value_of_a_detached_thread_may_be_interrupted_in_its_destructor() {
    let log = Log::default();
    util::run(|| {
        let value = WaitsInDrop(log.clone());
        let thread = sedge::spawn(move || value);
        let detached = thread.thread().clone();
        drop(thread);
        until(&detached, sedge::State::Parked(sedge::Reason::Sleep));
        detached.cancel();
    });
    assert_eq!(log.take(), ["drop begins", "drop was interrupted"]);
}

#[test]
fn a_link_and_a_dropped_closure_may_be_interrupted_in_destructors() {
    let log = Log::default();
    util::run(|| {
        let value = WaitsInDrop(log.clone());
        let unstarted = sedge::spawn(move || drop(value));
        unstarted.cancel();
        assert!(unstarted.join().unwrap_err().is_cancelled());
    });
    assert_eq!(log.take(), ["drop begins", "drop was interrupted"]);
}

#[test]
fn who_has_caught_a_panic_still_sleeps_while_another_waits_in_its_unwinding() {
    util::run(|| {
        let lock = Rc::new(Mutex::new(()));
        let (held, inner) = (lock.lock().unwrap(), Rc::clone(&lock));
        let unwinder = sedge::spawn(move || {
            let _guard = OnDrop(|| drop(inner.lock()));
            panic!("unwinds and waits");
        });
        until(unwinder.thread(), State::Parked(Reason::Lock));
        let catcher = sedge::spawn(|| {
            let caught = catch_unwind(|| panic!("is caught"));
            let begin = std::time::Instant::now();
            sedge::sleep(ms(3));
            assert!(caught.is_err() && begin.elapsed() >= ms(3));
        });
        catcher.join().unwrap();
        drop(held);
        assert!(unwinder.join().is_err());
    });
}
