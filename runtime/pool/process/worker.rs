//! A worker process, as the pool sees it.
//!
//! ```text
//!   start ──> Starting ── "ready" ──> Ready ── retire ──> Retiring ──> Ended
//!                │                      │                               ^
//!                └──────────────────────┴──── ends, in whatever way ────┘
//! ```
//!
//! Two green threads belong to it: one waits for its end, one reads its replies. The end is what
//! the kernel says of the process, never the end of a line. If the first is unwound, because `run`
//! ends, the process is killed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::builder::Settings;
use super::error::{self, TaskError};
use super::hub::{Hub, Task, later, now};
use super::message::{Order, PREPARE, Reply};
use super::ship::SameProgram;
use crate::ipc::{self, Bytes, Receiver, RecvError, SendError, Sender};
use crate::launch::door;
use crate::launch::spawn::Program;
use crate::launch::wire::{self, Line, Link};
use crate::process::{Child, Command};
use crate::scheduler::Nanos;
use crate::thread::Builder;

/// How long a worker that has nothing more to do may take to end.
const RETIREMENT: Duration = Duration::from_secs(2);
/// Its memory is not looked at more often.
const LOOK: Duration = Duration::from_millis(100);

/// What a worker is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Ready,
    /// It does what it was sent, and ends.
    Retiring,
    Ended,
}

/// A worker process.
pub(super) struct Worker {
    pub(super) pid: u32,
    process: OwnedFd,
    link: Link,
    orders: Sender<Order>,
    /// The worker's own end of that line: what it has not read can be taken back.
    unread: Receiver<Order>,
    replies: Receiver<Reply>,
    pub(super) started: Nanos,
    pub(super) phase: Cell<Phase>,
    /// Another one takes its place.
    pub(super) is_outgoing: Cell<bool>,
    /// Tasks that it has not answered, in the order in which they were sent.
    pub(super) sent: RefCell<VecDeque<Rc<Task>>>,
    /// When the first of those could begin.
    pub(super) begun: Cell<Nanos>,
    /// When it is killed.
    pub(super) grace: Cell<Option<Nanos>>,
    /// Why its initializer has failed.
    pub(super) unfit: RefCell<Option<String>>,
    done: Cell<u64>,
    looked: Cell<Nanos>,
}

impl Worker {
    /// Starts a process.
    pub(super) fn start(hub: &Rc<Hub>) -> io::Result<Rc<Worker>> {
        let (link, theirs) = wire::pair()?;
        let (orders, unread) = ipc::channel::<Order>()?;
        let (answers, replies) = ipc::channel::<Reply>()?;
        // What is too large was refused before.
        orders.set_limit(usize::MAX);
        unread.set_limit(usize::MAX);
        replies.set_limit(usize::MAX);
        let hello = hub.settings.tell(door::to_pool_worker());
        let hello = hello.field("file", SameProgram::file()?);
        link.send(hello.text(), &[unread.as_fd(), answers.as_fd()])?;
        if let Some((code, argument)) = &hub.settings.initializer {
            let order = Order(code.to_bytes(), PREPARE, 1, Bytes(argument.clone()));
            orders.send(&order).map_err(io::Error::from)?;
        }
        let mut command = Command::from(hub.origin.command(Program::Same, ": pool worker"));
        let child = command.stdin(theirs).kill_on_drop(true).spawn()?;
        drop(command);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a process without an id"))?;
        let worker = Rc::new(Worker {
            pid: child.id(),
            process: pidfd_open(pid, PidfdFlags::empty())?,
            link,
            orders,
            unread,
            replies,
            started: now(),
            phase: Cell::new(Phase::Starting),
            is_outgoing: Cell::new(false),
            sent: RefCell::default(),
            begun: Cell::new(0),
            grace: Cell::new(None),
            unfit: RefCell::default(),
            done: Cell::new(0),
            looked: Cell::new(0),
        });
        let watched = Watch {
            hub: Rc::clone(hub),
            worker: Rc::clone(&worker),
            has_ended: false,
        };
        let (listener, ear) = (Rc::clone(hub), Rc::clone(&worker));
        let daemon = |name: String| Builder::new().name(name).daemon(true);
        daemon(format!("listens to pool worker {pid}")).spawn(move || ear.listen(&listener))?;
        daemon(format!("waits for pool worker {pid}")).spawn(move || watched.wait(child))?;
        Ok(worker)
    }

    fn listen(self: &Rc<Worker>, hub: &Rc<Hub>) {
        loop {
            match self.replies.recv() {
                Ok(reply) => hub.hear(self, reply),
                Err(error) if error.is_closed() => return,
                Err(_) if self.phase.get() == Phase::Ended => return,
                // It speaks in tongues, or there is no memory for what it says.
                Err(_) => return self.kill(),
            }
        }
    }

    /// Sends it a task; false if there is no room in the line.
    pub(super) fn give(&self, task: &Rc<Task>) -> Result<bool, SendError> {
        let sent = self.orders.try_send(&task.order)?;
        if sent {
            let mut tasks = self.sent.borrow_mut();
            if tasks.is_empty() {
                self.begun.set(now());
            }
            tasks.push_back(Rc::clone(task));
        }
        Ok(sent)
    }

    pub(super) fn has(&self, task: &Rc<Task>) -> bool {
        self.sent.borrow().iter().any(|sent| Rc::ptr_eq(sent, task))
    }

    pub(super) fn sent(&self) -> Vec<Rc<Task>> {
        self.sent.borrow().iter().cloned().collect()
    }

    /// What was sent, and not read by the worker, nor ever will be.
    pub(super) fn take_back(&self) -> Vec<Rc<Task>> {
        // An order that came incomplete, because no descriptor is left, is out of the line too. The
        // worker reads in order, so what counts is how many there were.
        let mut unread = 0;
        while let Ok(Some(_)) | Err(RecvError::Truncated | RecvError::Decode(_)) =
            self.unread.try_recv()
        {
            unread += 1;
        }
        let mut sent = self.sent.borrow_mut();
        let first = sent.len().saturating_sub(unread);
        sent.split_off(first).into()
    }

    /// The task that it was at, if it is that one; the next one begins.
    pub(super) fn take_first(&self, id: u64) -> Option<Rc<Task>> {
        let mut sent = self.sent.borrow_mut();
        if sent.front()?.id != id {
            return None;
        }
        let task = sent.pop_front();
        self.begun.set(now());
        self.grace.set(None);
        self.done.set(self.done.get() + 1);
        task
    }

    /// Has the green thread of a task cancelled. If the line is full, which takes a worker that
    /// listens to nothing, its time runs out.
    pub(super) fn ask_to_stop(&self, task: u64) {
        let line = Line::new("cancel").field("task", task);
        let _ = self.link.send(line.text(), &[]);
    }

    /// Sends it no more: it ends when it has done what it has.
    pub(super) fn retire(&self, hub: &Hub) {
        match self.phase.get() {
            Phase::Ready => {
                self.phase.set(Phase::Retiring);
                self.is_outgoing.set(true);
                let _ = shutdown(&self.orders, Shutdown::Write);
            }
            // It has nothing to do that anybody waits for.
            Phase::Starting => {
                self.phase.set(Phase::Retiring);
                return self.kill();
            }
            Phase::Retiring | Phase::Ended => {}
        }
        if self.sent.borrow().is_empty() && self.grace.get().is_none() {
            let end = later(now(), RETIREMENT);
            self.grace.set(Some(end));
            hub.clock.arm(end);
        }
    }

    pub(super) fn kill(&self) {
        if self.phase.get() != Phase::Ended {
            let _ = pidfd_send_signal(&self.process, Signal::KILL);
        }
    }

    /// Whether it has done enough, or has grown too old or too large.
    pub(super) fn is_worn(&self, settings: &Settings) -> bool {
        let is_old = |age| later(self.started, age) <= now();
        settings
            .max_tasks
            .is_some_and(|most| self.done.get() >= most)
            || settings.max_age.is_some_and(is_old)
            || settings.max_memory.is_some_and(|most| self.memory() > most)
    }

    /// Bytes of memory that are its own or shared, if it is time to look.
    fn memory(&self) -> u64 {
        let now = now();
        if now < later(self.looked.get(), LOOK) {
            return 0;
        }
        self.looked.set(now);
        // Pages: all that is mapped, then what is there.
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid)).unwrap_or_default();
        let pages = statm
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse::<u64>().ok());
        pages.unwrap_or(0) * rustix::param::page_size() as u64
    }

    /// Why it did not start, if it ended before it was ready.
    pub(super) fn not_ready(&self, status: Option<ExitStatus>) -> String {
        let exit = status.and_then(|status| status.code());
        let signal = status.and_then(|status| status.signal());
        let how = error::how(exit, signal);
        format!("worker {} {how} before it was ready", self.pid)
    }

    /// What becomes of a task that it was at when it ended.
    pub(super) fn lost(&self, task: u64, status: Option<ExitStatus>) -> TaskError {
        TaskError::WorkerLost {
            exit: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            task,
            pid: self.pid,
        }
    }
}

/// The hold that the green thread has on a worker whose end it waits for.
struct Watch {
    hub: Rc<Hub>,
    worker: Rc<Worker>,
    has_ended: bool,
}

impl Watch {
    fn wait(mut self, mut child: Child) {
        let status = loop {
            match child.wait() {
                Ok(status) => break Some(status),
                // Somebody else has waited for it.
                Err(error) if error.raw_os_error() == Some(Errno::CHILD.raw_os_error()) => {
                    break None;
                }
                // No descriptor is left, or no memory for an event.
                Err(_) => crate::sleep(LOOK),
            }
        };
        self.has_ended = true;
        // Its last words.
        loop {
            match self.worker.replies.try_recv() {
                Ok(Some(reply)) => self.hub.hear(&self.worker, reply),
                Ok(None) => break,
                Err(error) if error.is_closed() => break,
                Err(_) => {}
            }
        }
        self.hub.bury(&self.worker, status);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // One that the pool does not have is one whose green thread could not be spawned: its
        // process is killed with it, and whoever wanted to start it is told.
        let is_known = || (self.hub.workers().iter()).any(|other| Rc::ptr_eq(other, &self.worker));
        if !self.has_ended && is_known() {
            // `run` ends, and its pools with it.
            self.hub.terminate();
            self.hub.bury(&self.worker, None);
        }
    }
}
