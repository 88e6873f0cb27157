//! `sync::RwLock` and `sync::ReentrantMutex`: std's promises, in the order in which they came.

use std::cell::Cell;
use std::rc::Rc;

use sedge::sync::{ReentrantMutex, RwLock, RwLockWriteGuard, TryLockError};
use sedge::{JoinHandle, Reason, State};

use crate::util::{self, Log, ms, until};

/// A green thread that waits for a lock by now.
fn waiting(f: impl FnOnce() + 'static) -> JoinHandle<()> {
    let thread = sedge::spawn(f);
    until(thread.thread(), State::Parked(Reason::Lock));
    thread
}

#[test]
fn readers_share_and_a_writer_is_alone() {
    util::run(|| {
        let lock = Rc::new(RwLock::new(0));
        let readers = Rc::new(Cell::new(0));
        let most = Rc::new(Cell::new(0));
        let threads: Vec<_> = (0..40)
            .map(|number| {
                let (lock, readers, most) = (Rc::clone(&lock), Rc::clone(&readers), most.clone());
                sedge::spawn(move || {
                    if number % 4 == 0 {
                        let mut guard = lock.write().unwrap();
                        assert_eq!(readers.get(), 0, "a writer is not alone");
                        let seen = *guard;
                        sedge::yield_now();
                        *guard = seen + 1;
                    } else {
                        let _guard = lock.read().unwrap();
                        readers.set(readers.get() + 1);
                        most.set(most.get().max(readers.get()));
                        sedge::yield_now();
                        readers.set(readers.get() - 1);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(most.get(), 3, "those between two writers read at once");
        assert_eq!(*lock.read().unwrap(), 10);
    });
}

#[test]
fn nobody_overtakes_a_writer_who_waits_nor_the_readers_behind_it() {
    util::run(|| {
        let log = Log::default();
        let lock = Rc::new(RwLock::new(()));
        let share = lock.read().unwrap();
        let ask = |name: &'static str, write: bool| {
            let (lock, log) = (Rc::clone(&lock), log.clone());
            waiting(move || {
                if write {
                    let _guard = lock.write().unwrap();
                    log.add(name);
                    sedge::yield_now();
                } else {
                    let _guard = lock.read().unwrap();
                    log.add(name);
                    sedge::yield_now();
                }
                log.add("done");
            })
        };
        let waiters = [
            ask("writer", true),
            ask("reader", false),
            ask("reader", false),
            ask("last", true),
        ];
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        drop(share);
        sedge::wait_all(&waiters);
        let order = [
            "writer", "done", "reader", "reader", "done", "done", "last", "done",
        ];
        assert_eq!(log.take(), order);
    });
}

#[test]
fn readers_go_on_when_the_writer_before_them_gives_up() {
    util::run(|| {
        for by_limit in [false, true] {
            let lock = Rc::new(RwLock::new(()));
            let _share = lock.read().unwrap();
            let inner = Rc::clone(&lock);
            let writer = waiting(move || {
                if by_limit {
                    assert!(inner.try_write_for(ms(2)).is_err());
                } else {
                    drop(inner.write());
                }
            });
            let inner = Rc::clone(&lock);
            let reader = waiting(move || drop(inner.read().unwrap()));
            if !by_limit {
                writer.cancel();
            }
            reader.join().unwrap(); // while the share is still held
            drop(writer.join());
            assert!(!lock.is_poisoned());
        }
    });
}

#[test]
fn a_writer_poisons_and_a_reader_does_not() {
    util::run(|| {
        let lock = Rc::new(RwLock::new(1));
        let inner = Rc::clone(&lock);
        let reader = sedge::spawn(move || {
            let _guard = inner.read();
            panic!("while it reads");
        });
        reader.join().unwrap_err();
        assert!(!lock.is_poisoned());
        let inner = Rc::clone(&lock);
        let writer = sedge::spawn(move || {
            *inner.write().unwrap() = 2;
            let _guard = inner.write();
            panic!("while it writes");
        });
        writer.join().unwrap_err();
        assert!(lock.is_poisoned());
        assert_eq!(*lock.read().unwrap_err().into_inner(), 2);
        assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
        lock.clear_poison();
        assert_eq!(*lock.try_read().unwrap(), 2);
    });
}

#[test]
fn a_writer_that_downgrades_lets_readers_in_and_no_writer_between() {
    util::run(|| {
        let log = Log::default();
        let lock = Rc::new(RwLock::new(1));
        let mut guard = lock.write().unwrap();
        let (inner, seen) = (Rc::clone(&lock), log.clone());
        let reader = waiting(move || seen.add(format!("reads {}", inner.read().unwrap())));
        let (inner, seen) = (Rc::clone(&lock), log.clone());
        let writer = waiting(move || {
            *inner.write().unwrap() = 3;
            seen.add("writes");
        });
        *guard = 2;
        let share = RwLockWriteGuard::downgrade(guard);
        reader.join().unwrap();
        assert_eq!(*share, 2);
        assert!(!writer.is_finished());
        drop(share);
        writer.join().unwrap();
        assert_eq!(log.take(), ["reads 2", "writes"]);
    });
}

#[test]
fn a_free_rwlock_needs_no_scheduler() {
    let mut lock = RwLock::new(1);
    *lock.write().unwrap() += 1;
    *lock.get_mut().unwrap() += 1;
    let (one, other) = (lock.read().unwrap(), lock.try_read().unwrap());
    assert_eq!(*one + *other, 6);
    assert!(lock.try_write().is_err());
    drop((one, other));
    assert!(format!("{lock:?}").contains("data: 3"));
    assert_eq!(lock.into_inner().unwrap(), 3);
}

#[test]
fn a_reentrant_mutex_is_free_when_it_was_given_up_as_often_as_it_was_taken() {
    util::run(|| {
        let log = Log::default();
        let lock = Rc::new(ReentrantMutex::new(Cell::new(0)));
        let (one, two) = (lock.lock(), lock.try_lock().unwrap());
        let (inner, seen) = (Rc::clone(&lock), log.clone());
        let other = waiting(move || {
            let (one, two) = (inner.lock(), inner.lock());
            seen.add(format!("has {}", one.get()));
            drop((one, two));
        });
        assert!(format!("{lock:?}").contains('0'));
        one.set(1);
        drop(one);
        sedge::yield_now();
        two.set(2);
        drop(two);
        assert!(lock.try_lock().is_none(), "it was handed over");
        assert!(lock.try_lock_for(ms(5)).is_some());
        other.join().unwrap();
        assert_eq!(log.take(), ["has 2"]);
    });
}

#[test]
fn a_panic_of_the_holder_frees_a_reentrant_mutex() {
    util::run(|| {
        let lock = Rc::new(ReentrantMutex::new(()));
        let inner = Rc::clone(&lock);
        let holder = sedge::spawn(move || {
            let _guards = (inner.lock(), inner.lock());
            sedge::sleep(ms(1));
            panic!("while it holds the lock");
        });
        let inner = Rc::clone(&lock);
        let next = sedge::spawn(move || drop(inner.lock()));
        assert!(holder.join().is_err());
        next.join().unwrap();
    });
}
