//! `std::thread::sleep` and its like.

use std::time::{Duration, Instant};

use sedge_patch_tests::{parks, run};

#[test]
fn a_thousand_sleeps_of_std_take_as_long_as_one() {
    run(|| {
        let begun = Instant::now();
        let parked = parks(&["nanosleep", "clock_nanosleep"], || {
            let sleep = || std::thread::sleep(Duration::from_millis(50));
            let threads: Vec<_> = (0..1000).map(|_| sedge::spawn(sleep)).collect();
            sedge::wait_all(&threads);
        });
        let taken = begun.elapsed();
        assert_eq!(parked, 1000);
        assert!(Duration::from_millis(50) <= taken && taken < Duration::from_millis(500));
    });
}

type Sleep = Box<dyn Fn() -> i64>;

#[test]
fn every_kind_of_sleep_lets_others_run() {
    let millis = |count: i64| libc::timespec {
        tv_sec: 0,
        tv_nsec: count * 1_000_000,
    };
    let none = std::ptr::null_mut();
    let sleeps: [(&str, Sleep); 5] = [
        (
            "usleep",
            Box::new(|| {
                // SAFETY: no memory is involved.
                unsafe { libc::usleep(20_000) }.into()
            }),
        ),
        (
            "sleep",
            Box::new(|| {
                // SAFETY: no memory is involved.
                unsafe { libc::sleep(1) }.into()
            }),
        ),
        (
            "nanosleep",
            Box::new(move || {
                // SAFETY: a time, and nothing to be told.
                unsafe { libc::nanosleep(&millis(20), none) }.into()
            }),
        ),
        (
            "clock_nanosleep",
            Box::new(move || {
                let clock = libc::CLOCK_REALTIME;
                // SAFETY: a time, and nothing to be told.
                unsafe { libc::clock_nanosleep(clock, 0, &millis(20), none) }.into()
            }),
        ),
        (
            "clock_nanosleep",
            Box::new(move || {
                let mut time = millis(0);
                // SAFETY: a place for the time.
                unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
                time.tv_sec += 1;
                let (clock, flags) = (libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME);
                // SAFETY: a time, and nothing to be told.
                unsafe { libc::clock_nanosleep(clock, flags, &raw const time, none) }.into()
            }),
        ),
    ];
    run(|| {
        for (name, sleep) in sleeps {
            let other = sedge::spawn(|| sedge::sleep(Duration::from_millis(5)));
            let begun = Instant::now();
            assert_eq!(parks(&[name], || assert_eq!(sleep(), 0)), 1, "{name}");
            assert!(begun.elapsed() >= Duration::from_millis(20), "{name}");
            assert!(other.is_finished(), "{name}");
        }
    });
}

#[test]
fn std_s_yield_lets_others_run() {
    run(|| {
        let other = sedge::spawn(|| ());
        std::thread::yield_now();
        assert!(other.is_finished());
    });
}
