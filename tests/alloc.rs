//! What costs no memory: counted by an allocator of its own, so in a process of its own.

#![expect(unsafe_code, reason = "an allocator that counts and passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use sedge::channel;
use sedge::sync::{Condvar, Event, Mutex, OnceLock, ReentrantMutex, RwLock, Semaphore};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's obligations are those of this call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are those of this call.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's obligations are those of this call.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Fails unless `f`, which was tried once before, makes `expected` allocations in 100 calls.
fn allocates(what: &str, expected: usize, f: impl Fn()) {
    f();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..100).for_each(|_| f());
    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(made, expected, "{what}");
    println!("{what}: {made} allocations in 100 calls");
}

fn main() {
    sedge::run(|| {
        let boxed = || drop(std::hint::black_box(Box::new(1)));
        allocates("a box, to see that they are counted", 100, boxed);

        let mutex = Mutex::new(0);
        allocates("a free Mutex", 0, || *mutex.lock().unwrap() += 1);
        let lock = RwLock::new(0);
        allocates("a free RwLock", 0, || {
            *lock.write().unwrap() += 1;
            assert!(*lock.read().unwrap() > 0);
        });
        let reentrant = ReentrantMutex::new(());
        allocates("a free ReentrantMutex, twice", 0, || {
            drop((reentrant.lock(), reentrant.lock()));
        });
        let semaphore = Semaphore::new(2);
        allocates("a free Semaphore", 0, || drop(semaphore.acquire()));
        let (event, condvar, once) = (Event::new(), Condvar::new(), OnceLock::new());
        allocates("nobody waits", 0, || {
            event.set();
            event.wait();
            event.clear();
            condvar.notify_all();
            assert_eq!(*once.get_or_init(|| 1), 1);
        });

        allocates("a yield", 0, sedge::yield_now);
        allocates("a spawn and its join", 0, || {
            assert_eq!(sedge::spawn(|| 1).join().unwrap(), 1);
        });
        let (ask, asked) = channel::bounded(0);
        let (answer, answered) = channel::unbounded();
        let echo = sedge::spawn(move || asked.iter().for_each(|n: u32| answer.send(n).unwrap()));
        allocates("a message and its answer", 0, || {
            ask.send(7).unwrap();
            assert_eq!(answered.recv(), Ok(7));
        });
        drop(ask);
        echo.join().unwrap();
    });
}
