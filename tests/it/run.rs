//! `run`: its end, its policies, its counters, its complaints.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sedge::sync::Mutex;
use sedge::thread::{self, Builder, Remote};
use sedge::{Config, Policy, Reason};

use crate::util::{self, FOREVER, Log, OnDrop, Watchdog, ms, panic_of};

#[test]
fn run_returns_the_value_of_main_when_everybody_has_ended() {
    let log = Log::default();
    let text = String::from("borrowed");
    let value = util::run(|| {
        for name in ["a", "b"] {
            let log = log.clone();
            sedge::spawn(move || {
                sedge::sleep(ms(3));
                log.add(name);
                sedge::spawn(move || log.add("grandchild"));
            });
        }
        text.as_str()
    });
    assert_eq!(value, "borrowed");
    assert_eq!(log.take(), ["a", "b", "grandchild", "grandchild"]);
}

#[test]
fn run_works_twice_in_a_row_on_one_os_thread() {
    for round in 0..2 {
        let value = util::run(|| {
            assert_eq!(sedge::stats().spawns, 1, "counters start anew");
            let threads: Vec<_> = (0..10).map(|i| sedge::spawn(move || i)).collect();
            sedge::sleep(ms(1));
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum::<i32>()
                + round
        });
        assert_eq!(value, 45 + round);
    }
}

#[test]
fn eight_os_threads_run_at_once() {
    let workers: Vec<_> = (0..8_u64)
        .map(|i| {
            std::thread::spawn(move || {
                util::run(|| {
                    let threads: Vec<_> = (0..200)
                        .map(|j| {
                            sedge::spawn(move || {
                                sedge::sleep(Duration::from_micros(j * 13 % 900));
                                sedge::blocking(move || i + j)
                            })
                        })
                        .collect();
                    threads
                        .into_iter()
                        .map(|thread| thread.join().unwrap())
                        .sum::<u64>()
                })
            })
        })
        .collect();
    for (i, worker) in workers.into_iter().enumerate() {
        assert_eq!(worker.join().unwrap(), 199 * 100 + 200 * i as u64);
    }
}

#[test]
fn daemons_are_unwound_when_the_last_other_thread_ends() {
    let log = Log::default();
    util::run(|| {
        let daemon = |wait: fn()| {
            let inner = log.clone();
            let body = move || {
                let _guard = inner.on_drop("daemon unwound");
                wait();
                inner.add("too far");
            };
            Builder::new().daemon(true).spawn(body).unwrap()
        };
        daemon(|| sedge::sleep(FOREVER));
        daemon(thread::park);
        daemon(|| {
            loop {
                sedge::yield_now()
            }
        });
        let in_time = daemon(|| drop(sedge::spawn(|| sedge::sleep(ms(1))).join()));
        let inner = log.clone();
        sedge::spawn(move || {
            in_time.join().unwrap();
            inner.add("the last");
        });
    });
    let events = log.take();
    // One daemon waited for a child that ended in time.
    assert_eq!(events[..3], ["too far", "daemon unwound", "the last"]);
    assert_eq!(events[3..], ["daemon unwound"; 3]);
}

#[test]
fn a_daemon_may_wait_behind_a_shield_and_spawn_in_its_destructor_at_the_end() {
    let log = Log::default();
    util::run(|| {
        let inner = log.clone();
        let body = move || {
            let _guard = OnDrop(|| {
                let child = sedge::spawn(|| "ran").join();
                inner.add(format!(
                    "a child at the end is cancelled: {}",
                    child.is_err()
                ));
            });
            sedge::shield(|| sedge::sleep(ms(5)));
            inner.add("shield left");
            sedge::yield_now();
            inner.add("too far");
        };
        Builder::new().daemon(true).spawn(body).unwrap();
        sedge::yield_now();
    });
    assert_eq!(
        log.take(),
        ["shield left", "a child at the end is cancelled: true"]
    );
}

#[test]
fn a_daemon_that_never_started_drops_its_closure() {
    let log = Log::default();
    util::run(|| {
        let guard = log.on_drop("dropped");
        let body = move || {
            let _guard = guard;
            unreachable!("main ends first");
        };
        Builder::new().daemon(true).spawn(body).unwrap();
    });
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn a_source_that_outlives_its_run_works_in_the_next() {
    use std::io::Write;

    let (reader, mut writer) = std::io::pipe().unwrap();
    let source = Rc::new(sedge::io::Source::new(reader));
    for _ in 0..3 {
        util::run(|| {
            let inner = Rc::clone(&source);
            let waiter = sedge::spawn(move || inner.wait_readable().unwrap());
            sedge::yield_now();
            assert!(!waiter.is_finished());
            writer.write_all(b"x").unwrap();
            waiter.join().unwrap();
            let mut byte = [0];
            std::io::Read::read_exact(&mut source.get_ref(), &mut byte).unwrap();
        });
    }
}

#[test]
fn a_nested_run_says_what_to_call_instead() {
    let text = panic_of(|| util::run(|| sedge::run(|| ())));
    assert!(
        text.contains("sedge::run inside sedge::run") && text.contains("sedge::spawn"),
        "{text}"
    );
    util::run(|| {
        assert!(panic_of(|| sedge::run(|| ())).contains("inside sedge::run"));
        // The outer one is as it was.
        let child = sedge::spawn(|| sedge::sleep(ms(2)));
        child.join().unwrap();
        assert!(sedge::timeout(ms(1), thread::park).is_err());
    });
}

#[test]
fn every_green_operation_outside_of_run_says_what_to_call() {
    fn check(name: &str, operation: impl FnOnce()) {
        let text = panic_of(operation);
        assert!(
            text.contains("call this inside sedge::run"),
            "{name}: {text}"
        );
    }
    let handle = util::run(|| sedge::spawn(|| ()).thread().clone());
    check("spawn", || drop(sedge::spawn(|| ())));
    check("spawn_after", || drop(sedge::spawn_after(ms(1), || ())));
    check("Builder::spawn", || drop(Builder::new().spawn(|| ())));
    check("scope", || sedge::scope(|_| ()));
    check("current", || drop(thread::current()));
    check("park", thread::park);
    check("park_timeout", || thread::park_timeout(ms(1)));
    check("sleep", || sedge::sleep(ms(1)));
    check("sleep(0)", || sedge::sleep(Duration::ZERO));
    check("sleep_until", || {
        sedge::sleep_until(std::time::Instant::now())
    });
    check("yield_now", sedge::yield_now);
    check("timeout", || _ = sedge::timeout(ms(1), || ()));
    check("shield", || sedge::shield(|| ()));
    check("all", || drop(thread::all()));
    check("dump", || drop(thread::dump()));
    check("stats", || _ = sedge::stats());
    check("Remote::new", || drop(Remote::new()));
    check("blocking", || sedge::blocking(|| ()));
    check("unpark", || handle.unpark());
    check("cancel", || handle.cancel());
    check("Mutex::lock", || {
        let lock = Mutex::new(());
        let _held = lock.lock();
        drop(lock.lock());
    });
}

#[test]
fn a_deadlock_is_reported_with_everybody_who_is_parked() {
    let _watchdog = Watchdog::new();
    let log = Log::default();
    let line = Cell::new(0);
    let text = panic_of(|| {
        sedge::run(|| {
            let lock = Rc::new(Mutex::new(()));
            let inner = Rc::clone(&lock);
            let locker = Builder::new().name("locker".to_owned());
            let locker = locker.spawn(move || drop(inner.lock())).unwrap();
            line.set(line!() - 1);
            Builder::new()
                .name("helper".to_owned())
                .daemon(true)
                .spawn(thread::park)
                .unwrap();
            let guard = log.on_drop("main unwound");
            let _held = lock.lock();
            sedge::sleep(ms(3));
            thread::park();
            drop((locker, guard));
        });
    });
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "deadlock: 3 green threads wait for what nothing can bring about"
    );
    let line = format!("{}:{}", file!(), line.get());
    let shows = |number: usize, parts: &[&str]| {
        for part in parts {
            assert!(
                lines[number].contains(part),
                "no {part:?} in {:?}",
                lines[number]
            );
        }
    };
    shows(1, &["'main'", "parked (park) for ", file!()]);
    shows(2, &["waits at ", file!()]);
    shows(3, &["'locker'", "parked (lock) for ", &line]);
    shows(4, &["waits at ", &line, " for a Mutex"]);
    shows(5, &["held by 'main'", ", taken at ", file!()]);
    shows(6, &["'helper'", ", daemon)", "parked (park) for "]);
    assert_eq!(
        log.take(),
        ["main unwound"],
        "the stuck are unwound before the report"
    );
}

#[test]
fn the_deadlock_hook_gets_the_report_as_data() {
    let _watchdog = Watchdog::new();
    let seen = Rc::new(RefCell::new(None));
    let inner = Rc::clone(&seen);
    let config = Config::new().on_deadlock(move |deadlock| {
        *inner.borrow_mut() = Some(deadlock.clone());
    });
    let text = panic_of(|| {
        config.run(|| {
            sedge::sleep(ms(2));
            let child = sedge::spawn(thread::park);
            child.join()
        })
    });
    let deadlock = seen.borrow_mut().take().expect("the hook was called");
    assert_eq!(deadlock.to_string(), text);
    let reasons: Vec<_> = deadlock.stuck.iter().map(|stuck| stuck.reason).collect();
    assert_eq!(reasons, [Reason::Join, Reason::Park]);
    assert_eq!(deadlock.stuck[0].name.as_deref(), Some("main"));
    assert!(
        deadlock
            .stuck
            .iter()
            .all(|stuck| !stuck.daemon && stuck.since < ms(5_000))
    );
    assert!(sedge::run(|| true), "the OS thread can run again");
}

#[test]
fn daemons_that_wait_for_ever_are_no_deadlock() {
    let _watchdog = Watchdog::new();
    sedge::run(|| {
        Builder::new().daemon(true).spawn(thread::park).unwrap();
        sedge::yield_now();
    });
}

#[test]
fn whoever_can_still_be_woken_by_a_timer_or_a_descriptor_is_no_deadlock() {
    use std::io::Write;

    let _watchdog = Watchdog::new();
    sedge::run(|| {
        assert!(sedge::timeout(ms(3), thread::park).is_err());
        let me = thread::current();
        let body = move || {
            sedge::sleep(ms(3));
            me.unpark();
        };
        Builder::new().daemon(true).spawn(body).unwrap();
        thread::park();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let os = std::thread::spawn(move || {
            std::thread::sleep(ms(5));
            writer.write_all(b"x").unwrap();
            writer
        });
        sedge::io::Source::new(reader).wait_readable().unwrap();
        os.join().unwrap();
    });
}

#[test]
fn a_wait_that_was_given_up_does_not_hide_a_deadlock() {
    let _watchdog = Watchdog::new();
    let text = panic_of(|| {
        sedge::run(|| {
            let (reader, _writer) = std::io::pipe().unwrap();
            let source = sedge::io::Source::new(reader);
            assert!(sedge::timeout(ms(1), || source.wait_readable()).is_err());
            let _ = sedge::timeout(FOREVER, || ());
            let sleeper = sedge::spawn(|| sedge::sleep(FOREVER));
            sedge::yield_now();
            sleeper.cancel();
            drop(Remote::new().unparker(thread::current().id()));
            sedge::blocking(|| ());
            loop {
                thread::park();
            }
        });
    });
    assert!(text.starts_with("deadlock: 1 green thread waits"), "{text}");
}

#[test]
fn a_limit_of_for_ever_does_not_hide_a_deadlock() {
    let _watchdog = Watchdog::new();
    let text = panic_of(|| sedge::run(|| thread::park_timeout(Duration::MAX)));
    assert!(text.starts_with("deadlock: "), "{text}");
    let text = panic_of(|| sedge::run(|| sedge::timeout(Duration::MAX, thread::park)));
    assert!(text.starts_with("deadlock: "), "{text}");
}

#[test]
fn who_only_yields_hears_from_closed_doors_too() {
    util::run(|| {
        let answer = sedge::spawn(|| sedge::blocking(|| 42));
        while !answer.is_finished() {
            sedge::yield_now();
        }
        let (remote, called) = (Remote::new(), Rc::new(Cell::new(false)));
        let inner = Rc::clone(&called);
        let waiter = sedge::spawn(move || {
            thread::park();
            inner.set(true);
        });
        let id = waiter.thread().id();
        std::thread::spawn(move || remote.unpark(id).unwrap());
        while !called.get() {
            sedge::yield_now();
        }
    });
}

#[test]
fn a_main_that_is_cancelled_makes_run_say_so() {
    let text = panic_of(|| {
        util::run(|| {
            thread::current().cancel();
            sedge::yield_now();
        })
    });
    assert!(text.contains("main green thread was cancelled"), "{text}");
}

/// The order in which ten threads take three turns each.
fn order(policy: Policy, noise: u32) -> Vec<String> {
    let log = Log::default();
    util::run_with(Config::new().policy(policy), || {
        let (remote, me) = (Remote::new(), thread::current().id());
        let stale = sedge::spawn(|| thread::current().id()).join().unwrap();
        let other = std::thread::spawn(move || {
            for _ in 0..noise {
                remote.unpark(stale).unwrap();
                std::thread::sleep(ms(1));
            }
            std::thread::sleep(ms(1));
            remote.unpark(me).unwrap();
        });
        thread::park();
        other.join().unwrap();
        for i in 0..10 {
            let log = log.clone();
            sedge::spawn(move || {
                for turn in 0..3 {
                    log.add(format!("{i}.{turn}"));
                    sedge::yield_now();
                }
            });
        }
    });
    log.take()
}

#[test]
fn fifo_takes_turns_and_lifo_prefers_the_newest() {
    let fifo = order(Policy::Fifo, 0);
    let turns = |turn: u32| (0..10).map(move |i| format!("{i}.{turn}"));
    assert_eq!(fifo, (0..3).flat_map(turns).collect::<Vec<_>>());
    let lifo = order(Policy::Lifo, 0);
    assert_eq!(
        lifo[..10],
        (0..10).rev().map(|i| format!("{i}.0")).collect::<Vec<_>>()
    );
    assert_eq!(lifo.len(), 30);
}

#[test]
fn a_random_policy_repeats_itself_with_the_same_seed_only() {
    let first = order(Policy::Random(1), 0);
    assert_eq!(first, order(Policy::Random(1), 0));
    assert_ne!(first, order(Policy::Random(2), 0));
    assert_ne!(first, order(Policy::Fifo, 0));
    let mut sorted = first.clone();
    sorted.sort();
    let mut all = order(Policy::Fifo, 0);
    all.sort();
    assert_eq!(sorted, all, "everybody had all turns");
}

#[test]
fn wakes_of_the_loop_that_bring_nobody_do_not_change_a_random_order() {
    assert_eq!(order(Policy::Random(5), 0), order(Policy::Random(5), 7));
}

#[test]
fn the_counters_are_exact() {
    let _watchdog = Watchdog::new();
    sedge::run(|| {
        let start = sedge::stats();
        assert_eq!(
            (start.spawns, start.switches, start.yields, start.wakes),
            (1, 1, 0, 0)
        );
        assert_eq!(start.parks.total(), 0);
        let parked = sedge::spawn(thread::park);
        sedge::yield_now();
        parked.thread().unpark();
        parked.join().unwrap();
        sedge::sleep(ms(1));
        assert!(sedge::timeout(ms(1), thread::park).is_err());
        let lock = Rc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let inner = Rc::clone(&lock);
        let locker = sedge::spawn(move || drop(inner.lock().unwrap()));
        sedge::yield_now();
        drop(held);
        locker.join().unwrap();
        let end = sedge::stats();
        // Switches: main first; two spawned, each to its park and on to its end; main after two
        // yields, two joins, a sleep and a limit.
        assert_eq!((end.spawns, end.yields, end.switches), (3, 2, 1 + 4 + 6));
        let parks = |reason| end.parks[reason];
        assert_eq!((parks(Reason::Park), parks(Reason::Join)), (2, 2));
        assert_eq!((parks(Reason::Sleep), parks(Reason::Lock)), (1, 1));
        assert_eq!(
            (
                parks(Reason::Read),
                parks(Reason::Write),
                parks(Reason::Blocking)
            ),
            (0, 0, 0)
        );
        assert_eq!((end.parks.total(), end.wakes, end.expirations), (6, 6, 2));
    });
}

#[test]
fn ready_threads_do_not_keep_timers_waiting() {
    util::run(|| {
        let stop = Rc::new(Cell::new(false));
        let inner = Rc::clone(&stop);
        sedge::spawn(move || {
            while !inner.get() {
                sedge::yield_now();
            }
        });
        sedge::sleep(ms(2));
        stop.set(true);
    });
}

#[test]
fn the_configured_stack_size_holds_for_main_and_its_threads() {
    #[inline(never)]
    fn deep(levels: u32) -> u32 {
        let page = std::hint::black_box([1_u8; 4096]);
        if levels > 0 {
            deep(levels - 1) + u32::from(page[7])
        } else {
            0
        }
    }
    util::run_with(Config::new().stack_size(8 << 20), || {
        assert_eq!(deep(1_000), 1_000);
        assert_eq!(sedge::spawn(|| deep(1_000)).join().unwrap(), 1_000);
    });
    let text = panic_of(|| Config::new().stack_size(7).run(|| ()));
    assert!(text.contains("32 KiB") && text.contains("1 GiB"), "{text}");
    assert_eq!(sedge::run(|| 1), 1, "the failed start left nothing");
}

#[test]
fn a_source_that_is_always_ready_does_not_starve_the_others() {
    use std::io::Write;

    let calls_until_the_other_runs = |budget: u32| {
        util::run_with(Config::new().coop_budget(budget), || {
            let (reader, mut writer) = std::io::pipe().unwrap();
            writer.write_all(b"x").unwrap();
            let source = sedge::io::Source::new(reader);
            let other = sedge::spawn(|| ());
            let ready = |_: &u32| {
                source.wait_readable().unwrap();
                !other.is_finished()
            };
            (1..10_000_u32).take_while(ready).count()
        })
    };
    assert_eq!(calls_until_the_other_runs(7), 7);
    assert_eq!(calls_until_the_other_runs(64), 64);
}

#[test]
fn a_thread_that_joins_itself_is_reported() {
    let _watchdog = Watchdog::new();
    let text = Rc::new(RefCell::new(String::new()));
    let inner = Rc::clone(&text);
    sedge::run(|| {
        let own = Rc::new(RefCell::new(None));
        let handle = Rc::clone(&own);
        let thread = sedge::spawn(move || {
            let own: sedge::JoinHandle<()> = handle.borrow_mut().take().unwrap();
            inner.replace(panic_of(|| own.join()));
        });
        own.replace(Some(thread));
    });
    let text = text.take();
    assert!(
        text.starts_with("deadlock: a green thread would wait for itself"),
        "{text}"
    );
    assert!(text.contains("parked (join)"), "{text}");
}
