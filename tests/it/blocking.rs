//! `blocking`: results, panics, and how many OS threads it takes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use sedge::{Reason, State};

use crate::util::{self, OnDrop, Watchdog, ms, panic_of, until};

#[test]
fn the_value_comes_back_from_another_os_thread_while_others_run() {
    util::run(|| {
        let here = std::thread::current().id();
        let (go, wait) = mpsc::channel();
        let job = sedge::spawn(|| {
            sedge::blocking(move || {
                wait.recv().unwrap();
                std::thread::current().id()
            })
        });
        until(job.thread(), State::Parked(Reason::Blocking));
        go.send(()).unwrap();
        assert_ne!(job.join().unwrap(), here);
    });
}

#[test]
fn a_panic_comes_back_with_its_payload() {
    util::run(|| {
        let text = panic_of(|| sedge::blocking(|| panic!("on the pool")));
        assert_eq!(text, "on the pool");
        let error = sedge::spawn(|| sedge::blocking(|| std::panic::panic_any(9_u8)));
        assert_eq!(error.join().unwrap_err().downcast_ref::<u8>(), Some(&9));
        assert_eq!(sedge::blocking(|| 1), 1);
    });
}

#[test]
fn a_job_alone_is_no_deadlock() {
    let _watchdog = Watchdog::new();
    let value = sedge::run(|| {
        sedge::blocking(|| {
            std::thread::sleep(ms(20));
            3
        })
    });
    assert_eq!(value, 3);
}

#[test]
fn a_thousand_jobs_at_once_complete_on_at_most_64_os_threads() {
    util::run(|| {
        let threads = Arc::new(Mutex::new(HashSet::new()));
        let inside = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let jobs: Vec<_> = (0..1_000_usize)
            .map(|i| {
                let threads = Arc::clone(&threads);
                let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
                sedge::spawn(move || {
                    sedge::blocking(move || {
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        threads.lock().unwrap().insert(std::thread::current().id());
                        std::thread::sleep(ms(1));
                        inside.fetch_sub(1, Ordering::SeqCst);
                        i
                    })
                })
            })
            .collect();
        for (i, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.join().unwrap(), i);
        }
        let most = most.load(Ordering::SeqCst);
        assert!(most <= 64, "{most} jobs at once");
        assert!(
            threads.lock().unwrap().len() <= 128,
            "the pool makes threads without end"
        );
    });
}

#[test]
fn jobs_cancelled_while_they_wait_for_room_do_not_take_it_from_others() {
    util::run(|| {
        let gate = Arc::new(Mutex::new(()));
        let shut = gate.lock().unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let jobs: Vec<_> = (0..800)
            .map(|_| {
                let (gate, ran) = (Arc::clone(&gate), Arc::clone(&ran));
                sedge::spawn(move || {
                    sedge::blocking(move || {
                        drop(gate.lock());
                        ran.fetch_add(1, Ordering::SeqCst);
                    });
                })
            })
            .collect();
        sedge::yield_now();
        assert!(jobs.iter().all(|job| !job.is_finished()));
        let (cancelled, kept): (Vec<_>, Vec<_>) =
            jobs.into_iter().enumerate().partition(|(i, _)| i % 3 == 0);
        cancelled.iter().for_each(|(_, job)| job.cancel());
        drop(shut);
        for (_, job) in cancelled {
            assert!(job.join().unwrap_err().is_cancelled());
        }
        for (_, job) in kept {
            job.join().unwrap();
        }
        assert!(ran.load(Ordering::SeqCst) >= 533);
    });
}

#[test]
fn the_value_of_an_abandoned_job_is_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    util::run(|| {
        let count = Arc::clone(&dropped);
        let (go, wait) = mpsc::channel::<()>();
        let job = sedge::spawn(|| {
            sedge::blocking(move || {
                let _ = wait.recv();
                OnDrop(move || _ = count.fetch_add(1, Ordering::SeqCst))
            });
        });
        until(job.thread(), State::Parked(Reason::Blocking));
        job.cancel();
        assert!(job.join().unwrap_err().is_cancelled());
        go.send(()).unwrap();
        while dropped.load(Ordering::SeqCst) == 0 {
            sedge::sleep(ms(1));
        }
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn while_unwinding_the_job_runs_in_place() {
    util::run(|| {
        let here = std::thread::current().id();
        let thread = sedge::spawn(move || {
            let _guard = OnDrop(|| {
                assert_eq!(sedge::blocking(|| std::thread::current().id()), here);
            });
            panic!("unwinds");
        });
        assert_eq!(thread.join().unwrap_err().message(), Some("unwinds"));
    });
}

#[test]
fn a_job_is_no_green_thread() {
    util::run(|| {
        let text = panic_of(|| sedge::blocking(|| sedge::blocking(|| ())));
        assert!(text.contains("call this inside sedge::run"), "{text}");
        let text = panic_of(|| sedge::blocking(sedge::yield_now));
        assert!(text.contains("call this inside sedge::run"), "{text}");
    });
}

#[test]
fn a_value_that_panics_when_nobody_wants_it_costs_the_pool_no_thread() {
    struct Explosive;
    impl Drop for Explosive {
        fn drop(&mut self) {
            panic!("nobody wanted it");
        }
    }
    util::run(|| {
        for _ in 0..80 {
            let (go, wait) = mpsc::channel::<()>();
            let (begin, begun) = mpsc::channel::<()>();
            let job = sedge::spawn(|| {
                sedge::blocking(move || {
                    begin.send(()).unwrap();
                    wait.recv().unwrap();
                    Explosive
                });
            });
            // Before that it may wait for room, while another test keeps the pool busy; then it
            // would take its job along.
            while begun.try_recv().is_err() {
                sedge::sleep(ms(1));
            }
            job.cancel();
            assert!(job.join().is_err());
            go.send(()).unwrap();
        }
        assert_eq!(sedge::blocking(|| 42), 42);
    });
}
