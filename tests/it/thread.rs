//! Spawning, joining, parking, sleeping.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sedge::thread::{self, Builder};
use sedge::{JoinHandle, Reason, State};

use crate::util::{self, FOREVER, Log, ms, until};

#[test]
fn a_spawned_thread_runs_when_its_spawner_waits_and_not_before() {
    let log = Log::default();
    util::run(|| {
        let inner = log.clone();
        let thread = sedge::spawn(move || inner.add("child"));
        log.add("spawned");
        thread.join().unwrap();
        log.add("joined");
    });
    assert_eq!(log.take(), ["spawned", "child", "joined"]);
}

#[test]
fn ready_threads_run_in_the_order_in_which_they_became_ready() {
    let log = Log::default();
    util::run(|| {
        for name in ["a", "b", "c"] {
            let log = log.clone();
            sedge::spawn(move || {
                for _ in 0..2 {
                    log.add(name);
                    sedge::yield_now();
                }
            });
        }
    });
    assert_eq!(log.take(), ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn join_returns_the_value_and_needs_no_send() {
    let shared = Rc::new(Cell::new(0));
    let inner = Rc::clone(&shared);
    let value = util::run(|| {
        let thread = sedge::spawn(move || {
            inner.set(7);
            Rc::clone(&inner)
        });
        thread.join().unwrap().get()
    });
    assert_eq!((value, Rc::strong_count(&shared)), (7, 1));
}

#[test]
fn joining_a_thread_that_has_ended_does_not_wait() {
    util::run(|| {
        let thread = sedge::spawn(|| 1);
        until_finished(&thread);
        let before = sedge::stats().switches;
        assert_eq!(thread.join().unwrap(), 1);
        assert_eq!(sedge::stats().switches, before);
    });
}

#[test]
fn a_dropped_handle_detaches_and_run_waits_all_the_same() {
    let log = Log::default();
    util::run(|| {
        let inner = log.clone();
        drop(sedge::spawn(move || {
            sedge::sleep(ms(5));
            inner.add("done");
        }));
    });
    assert_eq!(log.take(), ["done"]);
}

#[test]
fn a_handle_outlives_its_run() {
    let handle = util::run(|| sedge::spawn(|| 42));
    assert!(handle.is_finished());
    assert_eq!(handle.thread().state(), State::Done);
    assert_eq!(handle.join().unwrap(), 42);
}

#[test]
fn a_thread_knows_its_name_and_a_nameless_one_has_none() {
    util::run(|| {
        assert_eq!(thread::current().name(), Some("main"));
        let named = Builder::new().name("worker".to_owned());
        let named = named
            .spawn(|| thread::current().name().map(str::to_owned))
            .unwrap();
        assert_eq!(named.thread().name(), Some("worker"));
        assert_eq!(named.join().unwrap().as_deref(), Some("worker"));
        let nameless = sedge::spawn(|| thread::current().name().is_none());
        assert!(nameless.join().unwrap());
    });
}

#[test]
fn ids_are_never_given_twice_even_on_other_os_threads() {
    let ids = || {
        util::run(|| {
            let mut ids = vec![thread::current().id()];
            for _ in 0..500 {
                let thread = sedge::spawn(|| thread::current().id());
                let id = thread.thread().id();
                assert_eq!(thread.join().unwrap(), id);
                ids.push(id);
            }
            ids
        })
    };
    let workers: Vec<_> = (0..4).map(|_| std::thread::spawn(ids)).collect();
    let mut all = ids();
    workers
        .into_iter()
        .for_each(|worker| all.extend(worker.join().unwrap()));
    let distinct: HashSet<_> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (5 * 501, 5 * 501));
}

#[test]
fn every_way_to_spawn_remembers_the_line_that_called_it() {
    let here = |line: u32, at: &std::panic::Location<'_>| {
        assert_eq!((at.file(), at.line()), (file!(), line));
    };
    util::run(|| {
        let thread = sedge::spawn(|| thread::current().spawned_at());
        here(line!() - 1, thread.thread().spawned_at());
        here(line!() - 2, thread.join().unwrap());
        let thread = Builder::new().spawn(|| ()).unwrap();
        here(line!() - 1, thread.thread().spawned_at());
        let thread = sedge::spawn_after(Duration::ZERO, || ());
        here(line!() - 1, thread.thread().spawned_at());
        sedge::scope(|s| {
            let thread = s.spawn(|| ());
            here(line!() - 1, thread.thread().spawned_at());
            let thread = Builder::new().spawn_scoped(s, || ()).unwrap();
            here(line!() - 1, thread.thread().spawned_at());
        });
        let remote = thread::Remote::new();
        thread_local!(static PLACE: Cell<Option<u32>> = const { Cell::new(None) });
        let body = || PLACE.set(Some(thread::current().spawned_at().line()));
        remote.spawn(body).unwrap();
        let place = Some(line!() - 1);
        while PLACE.get().is_none() {
            sedge::yield_now();
        }
        assert_eq!(PLACE.get(), place);
    });
    let main = sedge::run(|| thread::current().spawned_at());
    here(line!() - 1, main);
}

#[test]
fn park_takes_the_token_that_came_before_and_tokens_do_not_add_up() {
    util::run(|| {
        let me = thread::current();
        me.unpark();
        me.unpark();
        let before = sedge::stats().parks[Reason::Park];
        thread::park();
        assert_eq!(
            sedge::stats().parks[Reason::Park],
            before,
            "the token was there"
        );
        thread::park_timeout(ms(1));
        assert_eq!(
            sedge::stats().parks[Reason::Park],
            before + 1,
            "there was only one"
        );
    });
}

#[test]
fn a_parked_thread_sleeps_until_it_is_unparked() {
    let log = Log::default();
    util::run(|| {
        let inner = log.clone();
        let parked = sedge::spawn(move || {
            thread::park();
            inner.add("unparked");
        });
        until(parked.thread(), State::Parked(Reason::Park));
        (0..100).for_each(|_| sedge::yield_now());
        log.add("unpark");
        parked.thread().unpark();
        parked.join().unwrap();
    });
    assert_eq!(log.take(), ["unpark", "unparked"]);
}

#[test]
fn an_unpark_of_a_thread_that_waits_for_something_else_is_kept() {
    util::run(|| {
        let sleeper = sedge::spawn(|| {
            let begin = Instant::now();
            sedge::sleep(ms(10));
            assert!(begin.elapsed() >= ms(10), "unpark cut a sleep short");
            thread::park();
        });
        until(sleeper.thread(), State::Parked(Reason::Sleep));
        sleeper.thread().unpark();
        sleeper.join().unwrap();
    });
}

#[test]
fn park_timeout_is_never_early_without_a_token() {
    util::run(|| {
        for limit in [Duration::ZERO, Duration::from_micros(300), ms(7)] {
            let begin = Instant::now();
            thread::park_timeout(limit);
            assert!(begin.elapsed() >= limit);
        }
        let me = thread::current();
        sedge::spawn(move || me.unpark());
        let begin = Instant::now();
        thread::park_timeout(FOREVER);
        assert!(begin.elapsed() < ms(5_000));
    });
}

#[test]
fn no_timer_fires_early() {
    util::run(|| {
        let threads = (0..200_u64).map(|i| {
            sedge::spawn(move || {
                let wanted = Duration::from_micros(i * 97 % 20_000 + 1);
                let begin = Instant::now();
                sedge::sleep(wanted);
                (wanted, begin.elapsed())
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            let (wanted, slept) = thread.join().unwrap();
            assert!(slept >= wanted, "slept {slept:?} of {wanted:?}");
        }
        let deadline = Instant::now() + ms(3);
        sedge::thread::sleep_until(deadline);
        assert!(Instant::now() >= deadline);
    });
}

/// Sleepers with these deadlines, spawned in a muddled order, in the order in which they wake.
fn wake_order(count: u64, apart: Duration) -> Vec<u64> {
    let order = Rc::new(std::cell::RefCell::new(Vec::new()));
    util::run(|| {
        let begin = Instant::now() + ms(20);
        for i in (0..count).map(|i| i * 7 % count) {
            let order = Rc::clone(&order);
            sedge::spawn(move || {
                sedge::sleep_until(begin + apart * i as u32);
                order.borrow_mut().push(i);
            });
        }
    });
    order.take()
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    assert_eq!(
        wake_order(20, Duration::from_micros(500)),
        (0..20).collect::<Vec<_>>()
    );
}

#[test]
fn sleepers_whose_deadlines_are_a_microsecond_apart_wake_in_order_too() {
    assert_eq!(
        wake_order(20, Duration::from_micros(1)),
        (0..20).collect::<Vec<_>>()
    );
}

#[test]
fn sleepers_with_one_deadline_wake_in_the_order_in_which_they_went_to_sleep() {
    let log = Log::default();
    util::run(|| {
        for wait in [ms(1), ms(30), ms(300)] {
            let deadline = Instant::now() + wait;
            let sleepers = (0..10).map(|i| {
                let log = log.clone();
                sedge::spawn(move || {
                    sedge::sleep_until(deadline);
                    log.add(i.to_string());
                })
            });
            sedge::wait_all(&sleepers.collect::<Vec<_>>());
            assert_eq!(log.take().concat(), "0123456789");
        }
    });
}

#[test]
fn even_the_shortest_sleep_lets_others_run() {
    util::run(|| {
        let other = sedge::spawn(|| ());
        for _ in 0..1_000 {
            sedge::sleep(Duration::from_nanos(1));
        }
        assert!(other.is_finished(), "a thousand sleeps and nobody else ran");
        let other = sedge::spawn(|| ());
        for _ in 0..1_000 {
            sedge::sleep_until(Instant::now());
        }
        assert!(other.is_finished());
    });
}

#[test]
fn a_sleep_longer_than_the_clock_does_not_wrap() {
    util::run(|| {
        let sleeper = sedge::spawn(|| sedge::sleep(Duration::MAX));
        until(sleeper.thread(), State::Parked(Reason::Sleep));
        sedge::sleep(ms(2));
        assert!(!sleeper.is_finished());
        sleeper.cancel();
    });
}

#[test]
fn join_timeout_gives_the_handle_back_and_later_the_value() {
    util::run(|| {
        let me = thread::current();
        let waiter = sedge::spawn(|| {
            thread::park();
            5
        });
        let begin = Instant::now();
        let waiter = waiter.join_timeout(ms(3)).unwrap_err();
        assert!(begin.elapsed() >= ms(3));
        let waiter = waiter.join_timeout(Duration::ZERO).unwrap_err();
        waiter.thread().unpark();
        assert_eq!(waiter.join_timeout(FOREVER).unwrap().unwrap(), 5);
        // Its end must find no waiter that has long gone on.
        me.unpark();
        thread::park();
    });
}

#[test]
fn spawn_after_counts_from_the_call() {
    util::run(|| {
        let begin = Instant::now();
        let late = sedge::spawn_after(ms(10), Instant::now);
        let never = sedge::spawn_after(FOREVER, || panic!("it was cancelled"));
        assert!(late.join().unwrap() - begin >= ms(10));
        assert_eq!(never.thread().state(), State::Parked(Reason::Sleep));
        never.cancel();
        assert!(never.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_link_runs_on_a_thread_of_its_own_however_the_thread_ends() {
    let log = Log::default();
    util::run(|| {
        let ended = |log: &Log, event: &'static str| {
            let log = log.clone();
            move || {
                sedge::yield_now();
                log.add(event);
            }
        };
        let value = sedge::spawn(|| thread::current().id());
        value.link(ended(&log, "value"));
        until_finished(&value);
        (0..3).for_each(|_| sedge::yield_now());
        value.link(ended(&log, "late"));
        let panicked = sedge::spawn(|| panic!("as it should"));
        panicked.link(ended(&log, "panic"));
        let cancelled = sedge::spawn(thread::park);
        cancelled.link(ended(&log, "cancel"));
        cancelled.cancel();
        sedge::wait_all(&[panicked, cancelled]);
    });
    let mut events = log.take();
    assert_eq!(events.remove(0), "value");
    events.sort();
    assert_eq!(events, ["cancel", "late", "panic"]);
}

#[test]
fn all_lists_everybody_with_a_state_until_they_end() {
    util::run(|| {
        let named = |name: &str| Builder::new().name(name.to_owned());
        let sleeper = named("sleeper").spawn(|| sedge::sleep(FOREVER)).unwrap();
        let joiner = named("joiner")
            .spawn(move || sleeper.join().is_err())
            .unwrap();
        let ready = named("ready").spawn(|| ()).unwrap();
        assert_eq!(ready.thread().state(), State::Ready);
        until(joiner.thread(), State::Parked(Reason::Join));
        until_finished(&ready);
        sedge::yield_now();
        let all = thread::all();
        let table: Vec<_> = all.iter().map(|t| (t.name().unwrap(), t.state())).collect();
        assert_eq!(
            table,
            [
                ("main", State::Running),
                ("sleeper", State::Parked(Reason::Sleep)),
                ("joiner", State::Parked(Reason::Join)),
            ]
        );
        all[1].cancel();
        assert!(joiner.join().unwrap());
        assert_eq!(all[1].state(), State::Done);
        assert_eq!(thread::all().len(), 1);
    });
}

#[test]
fn wait_all_returns_when_the_last_has_ended_however_it_did() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let threads = [
            sedge::spawn(move || {
                sedge::sleep(ms(5));
                inner.add("slow");
            }),
            sedge::spawn(|| ()),
            sedge::spawn(|| panic!("as it should")),
        ];
        sedge::wait_all(&threads);
        assert_eq!(log.take(), ["slow"]);
        assert!(threads.iter().all(JoinHandle::is_finished));
    });
}

#[test]
fn wait_any_returns_the_first_to_end() {
    util::run(|| {
        let threads: Vec<_> = (0..3).map(|_| sedge::spawn(thread::park)).collect();
        threads[1].thread().unpark();
        assert_eq!(sedge::wait_any(&threads), 1);
        assert_eq!(sedge::wait_any(&threads), 1, "it still has ended");
        threads.iter().for_each(|thread| thread.thread().unpark());
    });
    let text = util::panic_of(|| sedge::run(|| sedge::wait_any::<()>(&[])));
    assert!(text.contains("wait_any of no green threads"), "{text}");
}

#[test]
fn waits_that_were_given_up_leave_nothing_behind() {
    let give_up: [fn(JoinHandle<()>) -> JoinHandle<()>; 4] = [
        |thread| thread,
        |thread| thread.join_timeout(Duration::from_micros(100)).unwrap_err(),
        |thread| {
            let threads = [thread];
            let limit = Duration::from_micros(100);
            assert!(sedge::timeout(limit, || sedge::wait_any(&threads)).is_err());
            threads.into_iter().next().unwrap()
        },
        |thread| {
            let limit = Duration::from_micros(100);
            assert!(sedge::timeout(limit, || sedge::wait_all([&thread])).is_err());
            thread
        },
    ];
    for give_up in give_up {
        util::run(|| {
            let mut thread = sedge::spawn(thread::park);
            for _ in 0..5 {
                thread = give_up(thread);
            }
            until(thread.thread(), State::Parked(Reason::Park));
            let wakes = sedge::stats().wakes;
            thread.thread().unpark();
            sedge::sleep(ms(3));
            assert!(thread.is_finished());
            // The thread's, and that of our sleep: its end woke nobody.
            assert_eq!(sedge::stats().wakes, wakes + 2);
        });
    }
}

#[test]
fn as_completed_gives_them_in_the_order_of_their_ends() {
    util::run(|| {
        let threads: Vec<_> = (0..4_usize)
            .map(|i| {
                sedge::spawn(move || {
                    thread::park();
                    i
                })
            })
            .collect();
        let handles: Vec<_> = threads
            .iter()
            .map(|thread| thread.thread().clone())
            .collect();
        let mut completed = sedge::as_completed(threads);
        assert_eq!(completed.len(), 4);
        handles[2].unpark();
        assert_eq!(completed.next().unwrap().join().unwrap(), 2);
        handles[3].unpark();
        sedge::yield_now();
        handles[0].unpark();
        sedge::yield_now();
        assert_eq!(completed.next().unwrap().join().unwrap(), 3);
        assert_eq!(completed.next().unwrap().join().unwrap(), 0);
        assert_eq!(completed.len(), 1);
        drop(completed);
        assert_eq!(
            handles[1].state(),
            State::Parked(Reason::Park),
            "detached, not cancelled"
        );
        handles[1].unpark();
    });
}

#[test]
fn a_dump_shows_where_each_suspended_thread_waits() {
    #[inline(never)]
    fn a_place_to_be_found() {
        thread::park();
        std::hint::black_box(());
    }
    util::run(|| {
        let parked = sedge::spawn(a_place_to_be_found);
        let fresh = sedge::spawn(|| ());
        until(parked.thread(), State::Parked(Reason::Park));
        let unstarted = sedge::spawn(|| ());
        let dump = thread::dump();
        let find = |id| dump.iter().find(|(thread, _)| thread.id() == id);
        let (_, backtrace) = find(parked.thread().id()).expect("the parked one is in the dump");
        assert!(backtrace.to_string().contains("a_place_to_be_found"));
        assert_eq!(
            parked.thread().state(),
            State::Parked(Reason::Park),
            "a dump wakes nobody"
        );
        assert!(find(unstarted.thread().id()).is_none(), "it is nowhere yet");
        fresh.join().unwrap();
        parked.thread().unpark();
    });
}

#[test]
fn a_dump_disturbs_nobody_whatever_they_do() {
    util::run(|| {
        let lock = Rc::new(sedge::sync::Mutex::new(()));
        let held = lock.lock().unwrap();
        let inner = Rc::clone(&lock);
        let unwinder = sedge::spawn(move || {
            let _guard = util::OnDrop(|| drop(inner.lock()));
            panic!("unwinds and waits");
        });
        let limited = sedge::spawn(|| sedge::timeout(ms(5), thread::park));
        let dumper = sedge::spawn(|| thread::dump().len());
        let yielder = sedge::spawn(|| (0..20).for_each(|_| sedge::yield_now()));
        until(unwinder.thread(), State::Parked(Reason::Lock));
        // The time limit may pass meanwhile; nothing else wakes anybody.
        let wakes = || sedge::stats().wakes - sedge::stats().expirations;
        let before = wakes();
        for _ in 0..10 {
            assert!(
                thread::dump()
                    .iter()
                    .any(|(thread, _)| thread.id() == unwinder.thread().id())
            );
        }
        assert_eq!(wakes(), before);
        let cancelled = sedge::spawn(|| {
            thread::current().cancel();
            drop(thread::dump());
        });
        assert!(cancelled.join().unwrap_err().is_cancelled());
        drop(held);
        assert!(unwinder.join().is_err());
        assert!(limited.join().unwrap().is_err());
        assert!(dumper.join().unwrap() >= 3);
        yielder.join().unwrap();
    });
}

#[test]
fn a_link_that_panics_harms_nobody_and_one_may_link_its_own_thread() {
    let log = Log::default();
    util::run(|| {
        let thread = sedge::spawn(sedge::yield_now);
        thread.link(|| panic!("in the link"));
        let inner = log.clone();
        thread.link(move || inner.add("the other link"));
        thread.join().unwrap();
    });
    assert_eq!(log.take(), ["the other link"]);
}

#[test]
fn threads_are_not_send() {
    // The compile_fail doctests show the rest; this one shows that the captures need not be.
    util::run(|| {
        let cell = Rc::new(Cell::new(1));
        let inner = Rc::clone(&cell);
        sedge::spawn(move || inner.set(2)).join().unwrap();
        assert_eq!(cell.get(), 2);
    });
}

#[test]
fn a_body_of_many_kilobytes_is_moved_whole() {
    util::run(|| {
        let mut big = [0_u8; 8 << 10];
        big.iter_mut()
            .enumerate()
            .for_each(|(i, byte)| *byte = i as u8);
        let thread = sedge::spawn(move || (big, big.iter().map(|&b| u64::from(b)).sum::<u64>()));
        let (back, sum) = thread.join().unwrap();
        assert_eq!(sum, 32 * 255 * 128);
        assert!(back.iter().enumerate().all(|(i, &byte)| byte == i as u8));
    });
}

#[test]
fn the_stack_size_is_checked_and_big_enough() {
    #[inline(never)]
    fn use_stack(bytes: usize) -> usize {
        let page = std::hint::black_box([1_u8; 1024]);
        if bytes > 2 * page.len() {
            use_stack(bytes - 1024) + 1
        } else {
            usize::from(page[9])
        }
    }
    util::run(|| {
        let error = Builder::new().stack_size(1).spawn(|| ()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let deep = Builder::new()
            .stack_size(4 << 20)
            .spawn(|| use_stack(1 << 20))
            .unwrap();
        assert!(deep.join().unwrap() > 900);
    });
}

fn until_finished<T>(thread: &JoinHandle<T>) {
    while !thread.is_finished() {
        sedge::yield_now();
    }
}
