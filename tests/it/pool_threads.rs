//! `pool`: pools of OS threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};

use sedge::pool::{self, Executor, Pool, Shutdown, ThreadPool, Until};
use sedge::{Reason, State, thread};

use crate::util::{self, Log, OnDrop, Watchdog, ms, panic_of, until};

#[test]
fn a_thread_pool_goes_from_one_os_thread_to_another() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<ThreadPool>();
}

#[test]
fn jobs_run_on_so_many_named_os_threads_and_no_more() {
    util::run(|| {
        let pool = ThreadPool::new(3).name("crunch");
        let seen = Arc::new(Mutex::new(HashSet::new()));
        let note = Arc::clone(&seen);
        let name = move |_| {
            let current = std::thread::current();
            note.lock().unwrap().insert(current.id());
            current.name().map(str::to_owned)
        };
        let names = pool.map(name, 0..100);
        assert!(names.iter().all(|name| name.as_deref() == Some("crunch")));
        assert!(seen.lock().unwrap().len() <= 3);
        assert!(!seen.lock().unwrap().contains(&std::thread::current().id()));
    });
}

#[test]
fn all_its_os_threads_work_at_once_while_green_threads_run() {
    util::run(|| {
        let pool = ThreadPool::new(3);
        let barrier = Arc::new(Barrier::new(3));
        let jobs = [(); 3].map(|()| {
            let barrier = Arc::clone(&barrier);
            pool.spawn(move || _ = barrier.wait())
        });
        assert!(pool::wait(&jobs, Until::All, None));
    });
}

#[test]
fn a_panic_of_a_job_ends_neither_its_os_thread_nor_the_pool() {
    util::run(|| {
        let pool = ThreadPool::new(1);
        let here = pool.apply(|| std::thread::current().id());
        let error = pool.spawn(|| panic!("over there")).result().unwrap_err();
        assert_eq!(error.message(), Some("over there"));
        assert_eq!(pool.apply(|| std::thread::current().id()), here);
        assert_eq!(panic_of(|| pool.apply(|| panic!("applied"))), "applied");
    });
}

#[test]
fn callbacks_run_on_green_threads_of_the_scheduler_that_submitted() {
    let log = Log::default();
    util::run(|| {
        let here = std::thread::current().id();
        let pool = ThreadPool::new(2);
        let (good, bad) = (log.clone(), log.clone());
        let on_value = move |value: &u32| {
            assert_eq!(std::thread::current().id(), here);
            sedge::sleep(ms(1));
            good.add(value.to_string());
        };
        drop(pool.apply_async(|| 5, on_value, |_| ()));
        let failing: fn() = || panic!("no");
        let job = pool.apply_async(
            failing,
            |()| (),
            move |error| {
                bad.add(error.message().unwrap());
                assert_eq!(std::thread::current().id(), here);
            },
        );
        job.wait();
        // The pool is dropped, and `run` waits for the callbacks that are left.
    });
    let mut events = log.take();
    events.sort();
    assert_eq!(events, ["5", "no"]);
}

/// A pool of one OS thread that is held up until the sender is dropped.
fn busy() -> (ThreadPool, mpsc::Sender<()>, pool::Future<()>) {
    let pool = ThreadPool::new(1);
    let (go, wait) = mpsc::channel::<()>();
    let (begin, began) = mpsc::channel();
    let job = pool.spawn(move || {
        begin.send(()).unwrap();
        _ = wait.recv();
    });
    began.recv().unwrap();
    (pool, go, job)
}

#[test]
fn a_queued_job_that_is_cancelled_leaves_the_queue_and_never_begins() {
    util::run(|| {
        let (pool, go, running) = busy();
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&dropped);
        let captured = OnDrop(move || _ = count.fetch_add(1, Ordering::SeqCst));
        let queued = pool.spawn(move || {
            let _captured = captured;
            unreachable!("it began")
        });
        assert_eq!(pool.queued(), 1);
        assert!(queued.cancel());
        assert_eq!((pool.queued(), dropped.load(Ordering::SeqCst)), (0, 1));
        assert!(queued.done() && !queued.cancel());
        assert!(queued.result().unwrap_err().is_cancelled());
        drop(go);
        running.result().unwrap();
    });
}

#[test]
fn a_running_job_that_is_cancelled_is_done_at_once_and_its_value_dropped() {
    util::run(|| {
        let pool = ThreadPool::new(1);
        let (go, wait) = mpsc::channel::<()>();
        let (begin, began) = mpsc::channel();
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&dropped);
        let job = pool.spawn(move || {
            begin.send(()).unwrap();
            _ = wait.recv();
            OnDrop(move || _ = count.fetch_add(1, Ordering::SeqCst))
        });
        began.recv().unwrap();
        assert!(job.cancel());
        assert!(job.result().is_err_and(|error| error.is_cancelled()));
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        drop(go);
        pool.shutdown(Shutdown::Wait);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_shutdown_waits_for_the_queue_while_green_threads_run_and_then_all_is_done() {
    util::run(|| {
        let (pool, go, running) = busy();
        let queued = pool.spawn(|| 2);
        let pool = Arc::new(pool);
        let inner = Arc::clone(&pool);
        let closer = sedge::spawn(move || {
            inner.shutdown(Shutdown::Wait);
            assert!(running.done() && queued.done());
            queued.result().unwrap()
        });
        until(closer.thread(), State::Parked(Reason::Pool));
        assert!(panic_of(|| pool.spawn(|| ())).contains("was shut down"));
        drop(go);
        assert_eq!(closer.join().unwrap(), 2);
    });
}

#[test]
fn a_shutdown_that_cancels_takes_out_what_has_not_begun() {
    util::run(|| {
        let (pool, go, running) = busy();
        let queued = pool.spawn(|| unreachable!("it began"));
        let closer = sedge::spawn(move || pool.shutdown(Shutdown::Cancel));
        until(closer.thread(), State::Parked(Reason::Pool));
        assert!(queued.done());
        assert!(queued.result().unwrap_err().is_cancelled());
        drop(go);
        closer.join().unwrap();
        assert!(running.result().is_ok());
    });
}

#[test]
fn dropping_the_pool_waits_for_its_jobs_and_holds_up_nobody_else() {
    util::run(|| {
        let (pool, go, running) = busy();
        let dropper = sedge::spawn(move || drop(pool));
        until(dropper.thread(), State::Parked(Reason::Pool));
        assert!(!running.done());
        drop(go);
        dropper.join().unwrap();
        assert!(running.done());
    });
}

#[test]
fn who_unwinds_with_a_pool_does_not_wait_for_it() {
    util::run(|| {
        let (pool, go, running) = busy();
        let queued = pool.spawn(|| unreachable!("it began"));
        let owner = sedge::spawn(move || {
            let _pool = pool;
            panic!("with a pool");
        });
        assert!(owner.join().is_err());
        assert!(!running.done());
        assert!(queued.result().unwrap_err().is_cancelled());
        drop(go);
        running.result().unwrap();
    });
}

#[test]
fn a_job_that_gives_work_to_its_own_pool_does_it_in_place() {
    util::run(|| {
        let pool = Arc::new(ThreadPool::new(1));
        let inner = Arc::clone(&pool);
        let sums = pool.apply(move || {
            let here = std::thread::current().id();
            let there = inner.apply(|| std::thread::current().id());
            assert_eq!(here, there);
            let error = inner.spawn(|| panic!("in place")).result().unwrap_err();
            assert_eq!(error.message(), Some("in place"));
            let mapped: u32 = inner.map(|n: u32| n * 2, 0..4).into_iter().sum();
            let lazy: u32 = inner.imap(|n: u32| n * 2, 0..4).sum();
            let any: u32 = inner.imap_unordered(|n: u32| n * 2, 0..4).sum();
            assert!(panic_of(|| inner.shutdown(Shutdown::Wait)).contains("wait for itself"));
            (mapped, lazy, any)
        });
        assert_eq!(sums, (12, 12, 12));
    });
}

#[test]
fn an_iterator_hands_out_twice_as_many_jobs_as_there_are_os_threads() {
    util::run(|| {
        let (pool, go, running) = busy();
        let mut results = pool.imap(|number| number, 0..100);
        assert!(sedge::timeout(ms(5), || results.next()).is_err());
        assert_eq!(pool.queued(), 2);
        drop(go);
        running.result().unwrap();
        assert!(results.eq(0..100));
    });
}

#[test]
fn an_iterator_whose_pool_was_shut_down_says_so() {
    util::run(|| {
        let pool = ThreadPool::new(1);
        let mut results = pool.imap(|number| number, 0..100);
        results.next();
        drop(pool);
        assert!(panic_of(|| results.by_ref().count()).contains("was shut down"));
    });
}

#[test]
fn several_schedulers_share_a_pool_and_each_gets_its_own_results() {
    let _watchdog = Watchdog::new();
    let pool = Arc::new(ThreadPool::new(2));
    let schedulers = (0..3_u64).map(|number| {
        let pool = Arc::clone(&pool);
        std::thread::spawn(move || {
            sedge::run(|| {
                let results = pool.imap(move |n: u64| n * 10 + number, 0..200);
                assert!(results.eq((0..200).map(|n| n * 10 + number)));
            });
        })
    });
    let schedulers: Vec<_> = schedulers.collect();
    for scheduler in schedulers {
        scheduler.join().unwrap();
    }
    // Outside of `run` this blocks the OS thread.
    pool.shutdown(Shutdown::Wait);
}

#[test]
fn outside_run_nothing_can_be_submitted() {
    let pool = ThreadPool::new(1);
    let text = panic_of(|| pool.spawn(|| ()));
    assert!(text.contains("sedge::run"), "{text}");
}

#[test]
fn a_pool_alone_is_no_deadlock_and_run_waits_for_detached_jobs() {
    let _watchdog = Watchdog::new();
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let pool = sedge::run(|| {
        let pool = ThreadPool::new(1);
        let first = pool.spawn(|| std::thread::sleep(ms(10)));
        drop(pool.spawn(move || {
            std::thread::sleep(ms(10));
            count.fetch_add(1, Ordering::SeqCst);
        }));
        first.result().unwrap();
        pool
    });
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    // The next `run` on this OS thread has a home of its own.
    assert_eq!(sedge::run(|| pool.apply(|| 4)), 4);
}

#[test]
fn cancelling_everybody_leaves_no_future_without_an_end() {
    util::run(|| {
        let (pool, go, running) = busy();
        let queued = pool.spawn(|| 3);
        let here = thread::current().id();
        for other in thread::all() {
            if other.id() != here {
                other.cancel();
            }
        }
        drop(go);
        running.wait();
        queued.wait();
        assert!(running.done() && queued.done());
    });
}

#[test]
fn one_function_serves_pools_of_both_kinds() {
    fn total<E: Executor<u32, u32>>(pool: &E) -> u32 {
        let one = pool.submit(|n| n + 1, 41).result().unwrap();
        one + pool.map(|n| n * n, 0..4).iter().sum::<u32>()
    }
    util::run(|| {
        assert_eq!(total(&Pool::new(2)), 56);
        assert_eq!(total(&ThreadPool::new(2)), 56);
    });
}
