//! Green threads that put their OS thread to sleep are found.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sedge::patch::{Policy, on_block};
use sedge_patch_tests::run;

/// The policy is the process's, and these tests ask for it at the same time.
fn watched(f: impl FnOnce()) {
    on_block(Policy::Panic);
    run(f);
}

#[test]
fn a_lock_of_std_s_that_is_held_over_a_wait_is_a_panic() {
    watched(|| {
        let lock = Arc::new(Mutex::new(0));
        let same = Arc::clone(&lock);
        let holder = sedge::spawn(move || {
            let mut value = same.lock().unwrap();
            sedge::sleep(Duration::from_millis(20));
            *value += 1;
        });
        sedge::yield_now();
        let waiter = sedge::spawn(move || {
            let value = *lock.lock().unwrap();
            assert_eq!(value, 1, "it was let in when the holder had gone");
            sedge::yield_now();
        });
        holder.join().unwrap();
        let error = waiter.join().unwrap_err();
        assert!(!error.is_cancelled());
        let message = error.to_string();
        assert!(
            message.contains("puts its whole OS thread to sleep"),
            "{message}"
        );
        assert!(message.contains("detector.rs"), "{message}");
    });
}

#[test]
fn std_s_park_is_a_panic() {
    watched(|| {
        let me = std::thread::current();
        let waiter = sedge::spawn(|| {
            std::thread::park(); // and ends
        });
        sedge::yield_now();
        me.unpark();
        assert!(waiter.join().unwrap_err().to_string().contains("a futex"));
    });
}

#[test]
fn a_join_of_an_os_thread_is_a_panic() {
    watched(|| {
        let waiter = sedge::spawn(|| {
            let thread = std::thread::spawn(|| std::thread::sleep(Duration::from_millis(50)));
            thread.join().unwrap();
            sedge::yield_now();
        });
        let error = waiter.join().unwrap_err().to_string();
        assert!(error.contains("the end of an OS thread"), "{error}");
    });
}

#[test]
fn a_lock_that_is_free_is_none_of_its_business() {
    watched(|| {
        let lock = Arc::new(Mutex::new(0));
        let threads = (0..10).map(|_| {
            let lock = Arc::clone(&lock);
            sedge::spawn(move || {
                *lock.lock().unwrap() += 1;
                sedge::yield_now();
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}
