//! What workers and the clock make a pool do.

use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use super::{End, Hub, State, Stopped, Task, later, now};
use crate::ipc::Bytes;
use crate::pool::process::error::TaskError;
use crate::pool::process::message::{Reply, Word};
use crate::pool::process::worker::{Phase, Worker};
use crate::scheduler::Nanos;

/// Tasks that are shorter than this are sent ahead.
const SHORT: Duration = Duration::from_millis(1);
/// So many workers in a row that do not start, and no more are tried.
const MOST_FAILURES: u32 = 3;

impl Hub {
    /// Starts as many workers as are missing.
    pub(in crate::pool::process) fn fill(self: &Rc<Self>) -> io::Result<()> {
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
    pub(in crate::pool::process) fn pump(self: &Rc<Self>) {
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
    pub(super) fn requeue(&self, tasks: Vec<Rc<Task>>) {
        let mut queue = self.queue.borrow_mut();
        for task in tasks.into_iter().rev() {
            queue.push_front(task);
        }
    }

    /// A worker has said something.
    pub(in crate::pool::process) fn hear(self: &Rc<Self>, worker: &Rc<Worker>, reply: Reply) {
        let Reply(word, id, nanos, Bytes(bytes)) = reply;
        match word {
            // It was killed meanwhile.
            Word::Ready if worker.phase.get() != Phase::Starting => {}
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
    pub(in crate::pool::process) fn bury(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        status: Option<ExitStatus>,
    ) {
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
            self.failed_to_start(why.unwrap_or_else(|| worker.not_ready(status)));
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
    pub(in crate::pool::process) fn is_over(&self) -> bool {
        !self.is_open() && self.workers.borrow().is_empty()
    }

    /// Does what is due, and says when there is something next.
    pub(in crate::pool::process) fn tick(self: &Rc<Self>) -> Option<Nanos> {
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
}
