//! One job of a pool of green threads, from its start to its end.

use std::panic::Location;
use std::rc::Rc;

use super::{Places, Pool};
use crate::pool::Future;
use crate::pool::future::{Core, Stop};
use crate::pool::imap::Run;
use crate::scheduler;
use crate::thread::{self, catch, contain, is_cancel, is_interrupt};

/// Spawns a green thread for a job, in a place if it has one.
#[track_caller]
pub(super) fn spawn_job<F, T>(places: Option<Rc<Places>>, f: F) -> Future<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let core = Core::new(Location::caller());
    let job = Job {
        places: places.clone(),
        core: Some(Rc::clone(&core)),
    };
    let handle = thread::spawn(move || job.run(f));
    let thread = handle.thread().clone();
    if let Some(places) = places {
        places.jobs.borrow_mut().insert(thread.id(), thread.clone());
    }
    core.stop_by(Stop::Thread(thread));
    Future::new(core)
}

/// Runs a job on the caller's green thread.
#[track_caller]
pub(super) fn in_place<F, T>(f: F) -> Future<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let core = Core::new(Location::caller());
    let outcome = match catch(f) {
        Ok(value) => Ok(value),
        // The caller's own: it has no future yet that anybody could cancel.
        Err(payload) if is_interrupt(&payload) => thread::resume(payload),
        Err(payload) => Err(Some(payload)),
    };
    Rc::clone(&core).complete(outcome);
    Future::new(core)
}

/// A job's duties: to complete its future and then to give its place back, however it ends.
struct Job<T: 'static> {
    places: Option<Rc<Places>>,
    /// None only while it is dropped.
    core: Option<Rc<Core<T>>>,
}

impl<T> Job<T> {
    fn run(self, f: impl FnOnce() -> T) {
        let outcome = catch(f).map_err(|payload| {
            let current = scheduler::with(scheduler::Scheduler::current);
            if is_cancel(&payload, current) {
                return None;
            }
            thread::report_panic(&payload);
            Some(payload)
        });
        let core = self.core.clone().expect("it is not dropped");
        core.complete(outcome);
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        let Some(core) = self.core.take() else { return };
        let thread = core.thread();
        // Cancelled, if it never began; it is complete otherwise. A value that nobody wants is
        // dropped here, while the place is still held.
        contain(|| core.complete(Err(None)));
        if let Some(places) = self.places.take() {
            places.leave(thread);
        }
    }
}

/// Runs a function in a pool, on item after item.
pub(super) struct Mapper<F> {
    pool: Pool,
    f: Rc<F>,
}

impl<F> Mapper<F> {
    pub(super) fn new(pool: Pool, f: F) -> Mapper<F> {
        Mapper {
            pool,
            f: Rc::new(f),
        }
    }
}

impl<A, F, T> Run<A, T> for Mapper<F>
where
    A: 'static,
    F: Fn(A) -> T + 'static,
    T: 'static,
{
    fn has_room(&self) -> bool {
        !self.pool.is_full()
    }

    fn wait_for_room(&self) {
        // A job of this pool need not wait: it runs the item itself.
        while self.pool.is_full() && !self.pool.runs_here() {
            self.pool.wait_available(None);
        }
    }

    fn run(&self, item: A) -> Future<T> {
        let f = Rc::clone(&self.f);
        self.pool.spawn(move || f(item))
    }
}
