//! `pool`: futures, their callbacks, and waiting for several.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sedge::pool::{self, Future, Pool, Until};
use sedge::{Config, Reason, State, block_on, timeout};

use crate::seeds::cancel_at_each_moment;
use crate::util::{self, FOREVER, Log, ms, panic_of, until};

#[test]
fn callbacks_run_in_order_on_another_green_thread_before_the_result_is_handed_out() {
    util::run(|| {
        let log = Log::default();
        let job = Pool::new(1).spawn(|| 5);
        for name in ["first ", "second "] {
            let log = log.clone();
            job.add_done_callback(move |result| {
                sedge::yield_now();
                log.add(format!("{name}{}", result.as_ref().unwrap()));
            });
        }
        assert!(!job.done());
        assert_eq!(job.result().unwrap(), 5);
        assert_eq!(log.take(), ["first 5", "second 5"]);
    });
}

#[test]
fn a_callback_that_panics_keeps_neither_the_others_nor_the_result() {
    let panics = Rc::new(Cell::new(0));
    let count = Rc::clone(&panics);
    let config = Config::new().on_panic(move |_, _| count.set(count.get() + 1));
    util::run_with(config, || {
        let (pool, log) = (Pool::new(1), Log::default());
        let job = pool.spawn(|| "value");
        job.add_done_callback(|_| panic!("in a callback"));
        let note = log.clone();
        job.add_done_callback(move |_| note.add("second"));
        assert_eq!(job.result().unwrap(), "value");
        assert_eq!(log.take(), ["second"]);
        let done = pool.spawn(|| 1);
        done.wait();
        done.add_done_callback(|_| panic!("at once"));
        assert_eq!(done.result().unwrap(), 1);
    });
    assert_eq!(panics.get(), 2);
}

#[test]
fn a_callback_of_a_detached_job_runs() {
    let log = Log::default();
    util::run(|| {
        let job = Pool::new(1).spawn(sedge::yield_now);
        let note = log.clone();
        job.add_done_callback(move |result| note.add(format!("{result:?}")));
    });
    assert_eq!(log.take(), ["Ok(())"]);
}

#[test]
fn a_callback_may_add_another_to_its_own_future() {
    util::run(|| {
        let log = Log::default();
        let job = Rc::new(Pool::new(1).spawn(|| ()));
        let (again, note) = (Rc::clone(&job), log.clone());
        job.add_done_callback(move |_| {
            let inner = note.clone();
            again.add_done_callback(move |_| inner.add("inner"));
            note.add("outer");
        });
        job.wait();
        assert_eq!(log.take(), ["outer", "inner"]);
        let (again, note) = (Rc::clone(&job), log.clone());
        job.add_done_callback(move |_| {
            again.add_done_callback(move |_| note.add("late"));
        });
        assert_eq!(log.take(), ["late"]);
    });
}

#[test]
fn apply_async_calls_the_one_callback_that_fits() {
    util::run(|| {
        let (pool, log) = (Pool::new(2), Log::default());
        let run = |job: fn() -> i32| {
            let (good, bad) = (log.clone(), log.clone());
            let on_value = move |value: &i32| good.add(value.to_string());
            pool.apply_async(job, on_value, move |error| {
                bad.add(error.message().unwrap())
            })
        };
        run(|| 3).wait();
        run(|| panic!("no")).wait();
        assert_eq!(log.take(), ["3", "no"]);
    });
}

#[test]
fn a_job_that_returns_a_value_although_cancelled_has_that_as_its_result() {
    util::run(|| {
        let job = Pool::new(1).spawn(|| sedge::shield(|| sedge::sleep(ms(1))));
        sedge::yield_now();
        assert!(job.cancel());
        assert!(!job.done());
        assert!(job.result().is_ok());
    });
}

#[test]
fn cancel_says_whether_there_was_anything_to_cancel() {
    util::run(|| {
        let job = Pool::new(1).spawn(|| ());
        job.wait();
        assert!(!job.cancel() && !job.failed());
        let sleeper = Pool::new(1).spawn(|| sedge::sleep(FOREVER));
        sedge::yield_now();
        assert!(sleeper.cancel());
        sleeper.wait();
        assert!(sleeper.failed() && !sleeper.cancel());
    });
}

#[test]
fn a_result_outlives_run_and_a_wait_outside_says_where_it_belongs() {
    let (done, never) = util::run(|| {
        let pool = Pool::new(2);
        let done = pool.spawn(|| 1);
        done.wait();
        let daemon = sedge::thread::Builder::new().daemon(true);
        let never = Rc::new(RefCell::new(None));
        let place = Rc::clone(&never);
        let _ = daemon.spawn(move || {
            let job = pool.spawn(|| 2);
            *place.borrow_mut() = Some(job);
        });
        sedge::yield_now();
        (done, never)
    });
    assert_eq!(done.result().unwrap(), 1);
    assert_eq!(never.take().unwrap().result().unwrap(), 2);
    let text = panic_of(|| Pool::new(1).spawn(|| ()));
    assert!(text.contains("sedge::run"), "{text}");
}

#[test]
fn a_future_is_a_future_of_std_too() {
    util::run(|| {
        let pool = Pool::new(2);
        let job = pool.spawn(|| {
            sedge::sleep(ms(1));
            7
        });
        assert_eq!(block_on(job).unwrap(), 7);
        let bad: Future<()> = pool.spawn(|| panic!("awaited"));
        assert_eq!(block_on(bad).unwrap_err().message(), Some("awaited"));
    });
}

#[test]
fn several_may_wait_for_one_future() {
    util::run(|| {
        let job = Rc::new(Pool::new(1).spawn(|| sedge::sleep(ms(1))));
        let waiters = [(); 3].map(|()| {
            let job = Rc::clone(&job);
            sedge::spawn(move || job.wait())
        });
        until(waiters[2].thread(), State::Parked(Reason::Pool));
        sedge::wait_all(&waiters);
        assert!(job.done());
    });
}

#[test]
fn wait_returns_for_what_it_was_asked_and_leaves_the_rest_running() {
    util::run(|| {
        let pool = Pool::new(3);
        let jobs = [
            pool.spawn(|| sedge::sleep(ms(1))),
            pool.spawn(|| panic!("second")),
            pool.spawn(|| sedge::sleep(FOREVER)),
        ];
        assert!(pool::wait(&jobs, Until::AnyFailed, Some(FOREVER)));
        assert!(jobs[1].failed() && !jobs[2].done());
        assert!(pool::wait(&jobs, Until::Any, None));
        assert!(!pool::wait(&jobs, Until::All, Some(ms(5))));
        assert!(jobs[0].done() && !jobs[2].done());
        pool.cancel();
        assert!(pool::wait(&jobs, Until::All, None));
        let none: [Future<()>; 0] = [];
        assert!(pool::wait(&none, Until::All, None));
        assert!(panic_of(|| pool::wait(&none, Until::Any, None)).contains("for ever"));
    });
}

#[test]
fn as_completed_loses_no_future_to_a_time_limit() {
    util::run(|| {
        let pool = Pool::new(2);
        let nap = |time| {
            pool.spawn(move || {
                sedge::sleep(ms(time));
                time
            })
        };
        let mut ended = pool::as_completed([nap(30), nap(1)]);
        assert_eq!(ended.next().unwrap().result().unwrap(), 1);
        assert!(timeout(ms(1), || ended.next()).is_err());
        assert_eq!(ended.len(), 1);
        assert_eq!(ended.next().unwrap().result().unwrap(), 30);
        assert!(ended.next().is_none());
    });
}

#[test]
fn callbacks_run_whoever_is_cancelled_meanwhile() {
    cancel_at_each_moment(|aim| {
        let log = Log::default();
        let pool = Pool::new(1);
        let job = Rc::new(pool.spawn(sedge::yield_now));
        let note = log.clone();
        job.add_done_callback(move |_| note.add("called"));
        let waiter = Rc::clone(&job);
        let victim = sedge::spawn(move || {
            waiter.wait();
            waiter.add_done_callback(|_| sedge::yield_now());
        });
        aim.at(&victim);
        let _ = victim.join();
        job.wait();
        pool.join();
        assert_eq!(log.take(), ["called"]);
        let last = log.clone();
        job.add_done_callback(move |_| last.add("again"));
        assert_eq!(log.take(), ["again"]);
    });
}
