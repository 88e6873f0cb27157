//! The middle of a pool: which task goes to which worker, and what becomes of it.
//!
//! ```text
//!   submit ──> queue ──> sent to a worker ──> begun ──> finished: value, panic, cancelled
//!               │  ^          │                 │
//!               │  └──────────┘                 └── the worker ends ──> lost
//!               │   taken back: the worker       (or queued again, if it may be)
//!               │   ended first, or another
//!               v   is idle
//!           cancelled
//! ```
//!
//! Every worker has a line of its own for orders, and the pool keeps the worker's end of it too. A
//! packet in it belongs to whoever reads it first: so what a worker has not begun can be taken
//! back, whole and for certain, if the worker ends, or is busy with another for too long. What is
//! left then is the one that it was at. No other is ever lost.
//!
//! A worker is sent one task, and a second one ahead of time if tasks are short, so that it need
//! not wait for the next. Nothing is sent that would have to wait for room in the line.
//!
//! User code (decoding, callbacks) runs only in [`Task::finish`], with nothing borrowed.

mod dispatch;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::builder::Settings;
use super::clock::Clock;
use super::error::TaskError;
use super::message::Order;
use super::worker::Worker;
use crate::launch::spawn::Origin;
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::sync::Semaphore;
use crate::thread::contain;
use crate::wait_queue::WaitQueue;

/// How long a task that was asked to end may go on.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// What a task ends with.
pub(super) enum End {
    /// The encoded answers, how long the worker took for them, and which one it was.
    Answered {
        answers: Vec<u8>,
        took: Duration,
        worker: u32,
    },
    Cancelled,
    Failed(TaskError),
}

type Finish = Box<dyn FnOnce(End)>;

/// A task on its way.
pub(super) struct Task {
    pub(super) id: u64,
    pub(super) order: Order,
    /// None if it has ended.
    finish: Cell<Option<Finish>>,
    /// Why it was asked to end, if it was.
    stopped: Cell<Option<Stopped>>,
    /// Workers that ended while they were at it.
    deaths: Cell<u32>,
    /// It has a place in the queue that somebody may wait for.
    has_room: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Cancelled,
    TimedOut,
}

/// Whether a pool takes tasks.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// No more; those it has are done.
    Closed,
    Terminated,
    /// Its workers do not start.
    Broken(String),
}

/// What a pool, its iterators and its green threads share.
pub(super) struct Hub {
    pub(super) settings: Settings,
    pub(super) origin: Origin,
    pub(super) clock: Clock,
    state: RefCell<State>,
    queue: RefCell<VecDeque<Rc<Task>>>,
    workers: RefCell<Vec<Rc<Worker>>>,
    /// Places in the queue.
    room: Semaphore,
    /// Tasks that have not ended.
    pending: Cell<usize>,
    /// Who waits for the last of them, or for the last worker.
    idle: WaitQueue,
    last_task: Cell<u64>,
    /// Workers in a row that did not start.
    failures: Cell<u32>,
    /// What tasks took lately, on average.
    pace: Cell<Option<Duration>>,
}

pub(super) fn now() -> Nanos {
    scheduler::with(|scheduler| scheduler.after(Duration::ZERO))
}

pub(super) fn later(now: Nanos, duration: Duration) -> Nanos {
    now.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX))
}

impl Hub {
    pub(super) fn new(settings: Settings, origin: Origin) -> Rc<Hub> {
        Rc::new(Hub {
            room: Semaphore::new(settings.queue_limit()),
            settings,
            origin,
            clock: Clock::new(),
            state: RefCell::new(State::Open),
            queue: RefCell::default(),
            workers: RefCell::default(),
            pending: Cell::new(0),
            idle: WaitQueue::new(),
            last_task: Cell::new(0),
            failures: Cell::new(0),
            pace: Cell::new(None),
        })
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(super) fn workers(&self) -> Vec<Rc<Worker>> {
        self.workers.borrow().clone()
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.borrow().len()
    }

    fn is_open(&self) -> bool {
        *self.state.borrow() == State::Open
    }

    #[track_caller]
    pub(super) fn refuse_closed(&self) {
        assert!(
            !matches!(*self.state.borrow(), State::Closed | State::Terminated),
            "the pool was shut down and takes no more jobs"
        );
    }

    /// Queues a task when there is room for it.
    #[track_caller]
    pub(super) fn submit(self: &Rc<Self>, order: Order, finish: Finish) -> Rc<Task> {
        let permit = self.room.acquire();
        permit.forget();
        self.add(order, finish)
    }

    /// Takes a place in the queue for [`add`](Hub::add), if there is one.
    pub(super) fn try_enter(&self) -> bool {
        self.room
            .try_acquire()
            .map(|permit| permit.forget())
            .is_some()
    }

    /// Gives back the place that [`try_enter`](Hub::try_enter) took.
    pub(super) fn leave(&self) {
        self.room.release(1);
    }

    /// Queues a task that has a place.
    pub(super) fn add(self: &Rc<Self>, mut order: Order, finish: Finish) -> Rc<Task> {
        self.last_task.set(self.last_task.get() + 1);
        order.1 = self.last_task.get();
        let task = Rc::new(Task {
            id: order.1,
            order,
            finish: Cell::new(Some(finish)),
            stopped: Cell::new(None),
            deaths: Cell::new(0),
            has_room: Cell::new(true),
        });
        self.pending.set(self.pending.get() + 1);
        match self.state() {
            State::Open => {
                self.queue.borrow_mut().push_back(Rc::clone(&task));
                self.pump();
            }
            State::Broken(why) => self.finish(&task, End::Failed(TaskError::Broken(why))),
            // Shut down while it waited for room.
            State::Closed | State::Terminated => self.finish(&task, End::Cancelled),
        }
        task
    }

    /// Ends a task, now or soon.
    pub(super) fn cancel(self: &Rc<Self>, task: &Rc<Task>) {
        let is_it = |other: &Rc<Task>| Rc::ptr_eq(other, task);
        let queued = self.queue.borrow().iter().position(is_it);
        if let Some(at) = queued {
            self.queue.borrow_mut().remove(at);
            return self.finish(task, End::Cancelled);
        }
        let Some(worker) = self.workers().into_iter().find(|worker| worker.has(task)) else {
            return;
        };
        let (mut unread, wanted) = (worker.take_back(), task);
        let before = unread.len();
        unread.retain(|task| !Rc::ptr_eq(task, wanted));
        let was_unread = unread.len() < before;
        self.requeue(unread);
        if was_unread {
            self.finish(task, End::Cancelled);
        } else {
            self.stop(&worker, task, Stopped::Cancelled);
        }
        self.pump();
    }

    fn stop(&self, worker: &Worker, task: &Task, why: Stopped) {
        if task.stopped.get().is_none() {
            task.stopped.set(Some(why));
            worker.ask_to_stop(task.id);
            let end = later(now(), GRACE);
            worker.grace.set(Some(end));
            self.clock.arm(end);
        }
    }

    /// Waits until there are no tasks and, if it takes no more, no workers.
    #[track_caller]
    pub(super) fn join(&self, deadline: Option<Nanos>) -> bool {
        let is_idle =
            || self.pending.get() == 0 && (self.is_open() || self.workers.borrow().is_empty());
        while !is_idle() {
            if self.idle.wait(Reason::Pool, deadline, ()).is_err() {
                return false;
            }
        }
        true
    }

    pub(super) fn close(self: &Rc<Self>) {
        if self.is_open() {
            self.state.replace(State::Closed);
            // Who waits for a place is told.
            self.room.release(usize::MAX >> 8);
            self.pump();
        }
    }

    /// Cancels every task.
    pub(super) fn cancel_all(self: &Rc<Self>) {
        let queue = self.queue.take();
        for task in queue {
            self.finish(&task, End::Cancelled);
        }
        for worker in self.workers() {
            for task in worker.sent() {
                self.cancel(&task);
            }
        }
    }

    /// Kills every worker; it does not wait until they have ended.
    pub(super) fn terminate(&self) {
        let before = self.state.replace(State::Terminated);
        if before == State::Terminated {
            return;
        }
        if before == State::Open {
            self.room.release(usize::MAX >> 8);
        }
        for worker in self.workers() {
            worker.kill();
        }
        let queue = self.queue.take();
        for task in queue {
            self.finish(&task, End::Cancelled);
        }
        for worker in self.workers() {
            for task in worker.sent.take() {
                self.finish(&task, End::Cancelled);
            }
        }
    }

    fn give_up_room(&self, task: &Task) {
        if task.has_room.replace(false) {
            self.room.release(1);
        }
    }

    /// Ends a task, once.
    fn finish(&self, task: &Task, end: End) {
        self.give_up_room(task);
        let Some(finish) = task.finish.take() else {
            return;
        };
        contain(|| finish(end));
        self.pending.set(self.pending.get() - 1);
        if self.pending.get() == 0 {
            self.idle.grant_all();
        }
    }
}
