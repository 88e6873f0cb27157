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

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use super::builder::Settings;
use super::clock::Clock;
use super::error::TaskError;
use super::message::{Order, Reply, Word};
use super::worker::{Phase, Worker};
use crate::ipc::Bytes;
use crate::launch::spawn::Origin;
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::sync::Semaphore;
use crate::thread::contain;
use crate::wait_queue::WaitQueue;

/// Tasks that are shorter than this are sent ahead.
const SHORT: Duration = Duration::from_millis(1);
/// How long a task that was asked to end may go on.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// So many workers in a row that do not start, and no more are tried.
const MOST_FAILURES: u32 = 3;

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

    // What the caller does.

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

    // What workers make it do.

    /// Starts as many workers as are missing.
    pub(super) fn fill(self: &Rc<Self>) -> std::io::Result<()> {
        let is_wanted = || match &*self.state.borrow() {
            State::Open => true,
            State::Closed => !self.queue.borrow().is_empty(),
            State::Terminated | State::Broken(_) => false,
        };
        let stays = |worker: &&Rc<Worker>| !worker.is_outgoing.get();
        while is_wanted() {
            if self.workers.borrow().iter().filter(stays).count() >= self.settings.workers {
                break;
            }
            let worker = Worker::start(self)?;
            self.clock
                .arm(later(worker.started, self.settings.ready_timeout));
            self.workers.borrow_mut().push(worker);
        }
        Ok(())
    }

    /// As [`fill`](Hub::fill); a worker that cannot be started counts as one that failed.
    fn refill(self: &Rc<Self>) {
        while let Err(error) = self.fill() {
            self.failed_to_start(error.to_string());
        }
    }

    fn failed_to_start(self: &Rc<Self>, why: String) {
        self.failures.set(self.failures.get() + 1);
        if self.failures.get() < MOST_FAILURES {
            return;
        }
        let state = self.state.replace(State::Broken(why.clone()));
        if state == State::Open {
            self.room.release(usize::MAX >> 8);
        }
        let queue = self.queue.take();
        for task in queue {
            self.finish(&task, End::Failed(TaskError::Broken(why.clone())));
        }
        self.pump();
    }

    /// Gives queued tasks to workers.
    pub(super) fn pump(self: &Rc<Self>) {
        while let Some(worker) = self.next_worker() {
            let Some(task) = self.queue.borrow_mut().pop_front() else {
                break;
            };
            match worker.give(&task) {
                Ok(true) => {
                    self.give_up_room(&task);
                    self.watch_time(&worker);
                }
                // It has not read what it has; when it has, it says so.
                Ok(false) => {
                    self.queue.borrow_mut().push_front(task);
                    break;
                }
                Err(error) => {
                    let error = TaskError::Argument(error.to_string());
                    self.finish(&task, End::Failed(error));
                }
            }
        }
        if self.queue.borrow().is_empty() {
            if !self.is_open() {
                let workers = self.workers();
                workers.iter().for_each(|worker| worker.retire(self));
            } else if self.is_uneven() {
                self.clock.arm(later(now(), SHORT));
            }
        }
    }

    /// Who is to have the next task.
    fn next_worker(&self) -> Option<Rc<Worker>> {
        if self.queue.borrow().is_empty() {
            return None;
        }
        let workers = self.workers.borrow();
        let with = |count: usize| {
            let is_free = |worker: &&Rc<Worker>| {
                worker.phase.get() == Phase::Ready && worker.sent.borrow().len() == count
            };
            workers.iter().find(is_free).cloned()
        };
        let is_short = self.pace.get().is_some_and(|pace| pace < SHORT);
        with(0).or_else(|| if is_short { with(1) } else { None })
    }

    /// Whether one worker has a task waiting that another, who is idle, could do.
    fn is_uneven(&self) -> bool {
        let workers = self.workers.borrow();
        let ready = || {
            workers
                .iter()
                .filter(|worker| worker.phase.get() == Phase::Ready)
        };
        ready().any(|worker| worker.sent.borrow().is_empty())
            && ready().any(|worker| worker.sent.borrow().len() > 1)
    }

    /// Takes back what waits behind a long task while others are idle.
    fn even_out(self: &Rc<Self>, now: Nanos) {
        if self.is_uneven() {
            for worker in self.workers() {
                let is_long = later(worker.begun.get(), SHORT) <= now;
                if is_long && worker.sent.borrow().len() > 1 {
                    let unread = worker.take_back();
                    self.requeue(unread);
                }
            }
            self.pump();
        }
    }

    /// Puts tasks that were not begun before all others.
    fn requeue(&self, tasks: Vec<Rc<Task>>) {
        let mut queue = self.queue.borrow_mut();
        for task in tasks.into_iter().rev() {
            queue.push_front(task);
        }
    }

    /// A worker has said something.
    pub(super) fn hear(self: &Rc<Self>, worker: &Rc<Worker>, reply: Reply) {
        let Reply(word, id, nanos, Bytes(bytes)) = reply;
        match word {
            Word::Ready => {
                self.failures.set(0);
                worker.phase.set(Phase::Ready);
                // It may have come to take the place of another.
                let workers = self.workers();
                let outgoing = |other: &&Rc<Worker>| {
                    other.is_outgoing.get() && other.phase.get() == Phase::Ready
                };
                if let Some(outgoing) = workers.iter().find(outgoing) {
                    outgoing.retire(self);
                }
                if let Some(limit) = self.settings.max_age {
                    self.clock.arm(later(worker.started, limit));
                }
                self.pump();
            }
            Word::Unfit => {
                let why = String::from_utf8_lossy(&bytes).into_owned();
                worker.unfit.replace(Some(why));
            }
            Word::Done | Word::Cancelled => {
                let Some(task) = worker.take_first(id) else {
                    return;
                };
                let took = Duration::from_nanos(nanos);
                self.note_pace(took);
                if worker.phase.get() == Phase::Retiring {
                    worker.retire(self);
                }
                self.watch_time(worker);
                self.recycle(worker);
                self.pump();
                let end = match (word, task.stopped.get()) {
                    (Word::Done, _) => End::Answered {
                        answers: bytes,
                        took,
                        worker: worker.pid,
                    },
                    (_, Some(Stopped::TimedOut)) => self.timed_out(),
                    _ => End::Cancelled,
                };
                self.finish(&task, end);
            }
        }
    }

    fn note_pace(&self, took: Duration) {
        let pace = self.pace.get().map_or(took, |pace| (pace * 7 + took) / 8);
        self.pace.set(Some(pace));
    }

    /// The first of a worker's tasks begins now.
    fn watch_time(&self, worker: &Worker) {
        let limit = self.settings.task_timeout;
        if let (Some(limit), false) = (limit, worker.sent.borrow().is_empty()) {
            self.clock.arm(later(worker.begun.get(), limit));
        }
    }

    fn timed_out(&self) -> End {
        let limit = self.settings.task_timeout.unwrap_or_default();
        End::Failed(TaskError::TimedOut(limit))
    }

    fn recycle(self: &Rc<Self>, worker: &Worker) {
        let is_due = !worker.is_outgoing.get()
            && worker.phase.get() == Phase::Ready
            && worker.is_worn(&self.settings);
        if is_due && self.is_open() {
            worker.is_outgoing.set(true);
            self.refill();
        }
    }

    /// A worker has ended.
    pub(super) fn bury(self: &Rc<Self>, worker: &Rc<Worker>, status: Option<ExitStatus>) {
        let phase = worker.phase.replace(Phase::Ended);
        self.workers
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, worker));
        let unread = worker.take_back();
        let begun = worker.sent.take();
        let mut again = Vec::new();
        let mut lost = Vec::new();
        for task in begun {
            task.deaths.set(task.deaths.get() + 1);
            let is_retried = self.settings.idempotent && task.deaths.get() < 2;
            if is_retried && task.stopped.get().is_none() {
                again.push(task);
            } else {
                lost.push(task);
            }
        }
        again.extend(unread);
        self.requeue(again);
        if phase == Phase::Starting && !matches!(self.state(), State::Terminated) {
            let why = worker.unfit.take();
            self.failed_to_start(why.unwrap_or_else(|| worker.lost(0, status).to_string()));
        }
        self.refill();
        self.pump();
        for task in lost {
            let end = match task.stopped.get() {
                None => End::Failed(worker.lost(task.id, status)),
                Some(Stopped::TimedOut) => self.timed_out(),
                Some(Stopped::Cancelled) => End::Cancelled,
            };
            self.finish(&task, end);
        }
        if self.is_over() {
            self.clock.stop();
        }
        self.idle.grant_all();
    }

    /// Whether it takes no more, and has no workers.
    pub(super) fn is_over(&self) -> bool {
        !self.is_open() && self.workers.borrow().is_empty()
    }

    /// Does what is due, and says when there is something next.
    pub(super) fn tick(self: &Rc<Self>) -> Option<Nanos> {
        let now = now();
        let mut next = None::<Nanos>;
        let mut is_due = |at: Option<Nanos>| {
            let at = at?;
            if at <= now {
                return Some(());
            }
            next = Some(next.map_or(at, |next| next.min(at)));
            None
        };
        for worker in self.workers() {
            let starting = worker.phase.get() == Phase::Starting;
            let ready_by = later(worker.started, self.settings.ready_timeout);
            let worn_at = self.settings.max_age.map(|age| later(worker.started, age));
            let first = worker.sent.borrow().front().cloned();
            let first = first.filter(|task| task.stopped.get().is_none());
            let limit = self.settings.task_timeout.filter(|_| first.is_some());
            let end_by = limit.map(|limit| later(worker.begun.get(), limit));
            if is_due(worker.grace.get()).is_some()
                || is_due(starting.then_some(ready_by)).is_some()
            {
                worker.grace.set(None);
                worker.kill();
            }
            if let (Some(()), Some(task)) = (is_due(end_by), first) {
                self.stop(&worker, &task, Stopped::TimedOut);
                is_due(worker.grace.get());
            }
            if is_due(worn_at.filter(|_| !worker.is_outgoing.get())).is_some() {
                self.recycle(&worker);
            }
        }
        self.even_out(now);
        if self.is_uneven() {
            is_due(Some(later(now, SHORT)));
        }
        next
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
