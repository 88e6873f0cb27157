//! A worker process, as the launcher sees it: from its start to the moment it is reaped.
//!
//! ```text
//!            spawn              "ready"               exits, in whatever way
//!   (none) ────────> Starting ──────────> Ready ──────────────────────────────> ended
//!                        │                  │                                     ^
//!                        └──────────────────┴── drain ──> cancel ──> kill ────────┘
//!                                                 each step when the one before has had its time,
//!                                                 or when somebody is in a hurry
//! ```
//!
//! Two green threads belong to it: one waits for its end (its pidfd), one listens to what it says.
//! The end is what the pidfd says, never the end of the line: so a worker is reaped once, by its
//! owner, and a process id that was given to somebody else is never signalled.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid,
};

use super::changes::Changes;
use super::output::{Stream, pump};
use super::records::Record;
use super::wire::{Line, Link};
use crate::io::{PipeReader, Source};
use crate::thread::{Builder, JoinHandle};

/// Between the end of a process and the report of it: for its last words, which are on their way. A
/// process of its own that it has left behind may keep the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// For the destructors of cancelled green threads.
const CANCEL_TIME: Duration = Duration::from_secs(2);

/// A worker process.
#[derive(Debug)]
pub(super) struct Child {
    /// The number of its slot.
    pub(super) id: usize,
    pub(super) pid: Pid,
    /// What it writes on the board.
    pub(super) record: Record,
    pub(super) started: Instant,
    process: Source<OwnedFd>,
    link: Link,
    outputs: Vec<(Stream, Rc<PipeReader>)>,
    ready: Cell<bool>,
    draining: Cell<bool>,
    exit: Cell<Option<Exit>>,
    urgency: Cell<Urgency>,
    changes: Changes,
}

/// How a worker is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    None,
    /// Finish what is begun.
    Drain,
    /// Unwind.
    Cancel,
    Kill,
}

/// What has become of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
    /// Somebody else has reaped it.
    Unknown,
}

impl Child {
    /// Takes charge of a process that was just started, or that another launcher has left: its id,
    /// and its pidfd.
    pub(super) fn adopt(
        id: usize,
        (pid, process): (Pid, OwnedFd),
        record: Record,
        link: Link,
        outputs: Vec<(Stream, Rc<PipeReader>)>,
        changes: Changes,
    ) -> io::Result<Rc<Child>> {
        let child = Rc::new(Child {
            id,
            pid,
            record,
            started: Instant::now(),
            process: Source::new(process),
            link,
            outputs,
            ready: Cell::new(false),
            draining: Cell::new(false),
            exit: Cell::new(None),
            urgency: Cell::new(Urgency::None),
            changes,
        });
        child.watch()?;
        Ok(child)
    }

    fn watch(self: &Rc<Child>) -> io::Result<()> {
        let prefix = format!("[{}] ", self.name());
        let begin = |(stream, pipe): &(Stream, Rc<PipeReader>)| {
            pump(Rc::clone(pipe), *stream, prefix.clone())
        };
        let pumps = self.outputs.iter().map(begin).collect::<io::Result<_>>()?;
        let (waiter, listener) = (Rc::clone(self), Rc::clone(self));
        Builder::new()
            .name(format!("waits for {}", self.name()))
            .spawn(move || waiter.wait_for_end(pumps))?;
        Builder::new()
            .name(format!("listens to {}", self.name()))
            .daemon(true)
            .spawn(move || listener.listen())?;
        Ok(())
    }

    fn wait_for_end(&self, pumps: Vec<JoinHandle<()>>) {
        let exit = loop {
            if let Err(error) = self.process.wait_readable() {
                // Out of memory for an event, for example.
                debug_assert!(error.kind() != io::ErrorKind::InvalidInput);
                crate::sleep(LAST_WORDS);
            }
            match waitid(
                WaitId::PidFd(self.process.get_ref().as_fd()),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            ) {
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Ok(Some(status)) => break Exit::from(status),
                Err(_) => break Exit::Unknown,
            }
        };
        let last_words = Instant::now() + LAST_WORDS;
        for pump in pumps {
            let left = last_words.saturating_duration_since(Instant::now());
            let _ = pump.join_timeout(left);
        }
        self.exit.set(Some(exit));
        self.changes.tell();
    }

    fn listen(&self) {
        while let Ok(Some((message, is_cut))) = self.link.hear() {
            match message.text.as_str() {
                "ready" => self.ready.set(true),
                "draining" => self.draining.set(true),
                text if text.starts_with("share ") => {
                    // If it has no answer, its line is full, or it does not keep to the rules.
                    let _ = self.record.names().answer(&self.link, message, is_cut);
                }
                // It may be of another version, after an upgrade, and say more.
                _ => {}
            }
            self.changes.tell();
        }
    }

    /// `w3 1234`.
    pub(super) fn name(&self) -> impl fmt::Display + use<> {
        format!("w{} {}", self.id, self.pid)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.get()
    }

    /// Whether it accepts no more, by whosever wish.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// One that was ready when this launcher took it over.
    pub(super) fn was_ready(&self) {
        self.ready.set(true);
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit.get()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.exit.get().is_some()
    }

    /// The line, the process and the pipes, for who takes charge of it.
    pub(super) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let own = [self.link.as_fd(), self.process.get_ref().as_fd()];
        let pipes = self.outputs.iter().map(|(_, pipe)| pipe.as_fd());
        own.into_iter().chain(pipes).collect()
    }

    /// Says something to it. It may be dead already, or too busy to listen for a long time.
    pub(super) fn tell(&self, line: &Line, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.link.send(line.text(), fds)
    }

    /// Sends it a signal, unless it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(self.process.get_ref(), signal);
    }

    /// Makes it end, and comes back when it has: lets it finish for `patience`, then cancels its
    /// green threads so that their destructors run, then kills it. [`hurry`](Child::hurry) skips
    /// steps.
    pub(super) fn end(&self, patience: Duration) {
        let steps = [
            (Urgency::Drain, patience),
            (Urgency::Cancel, CANCEL_TIME),
            (Urgency::Kill, Duration::MAX),
        ];
        for (urgency, time) in steps {
            self.hurry(urgency);
            let done = || self.has_ended() || self.urgency.get() > urgency;
            self.changes.wait(time, done);
            if self.has_ended() {
                return;
            }
        }
    }

    /// Asks it to end in that way, unless it was asked so before, or more urgently.
    pub(super) fn hurry(&self, urgency: Urgency) {
        if self.urgency.get() >= urgency {
            return;
        }
        self.urgency.set(urgency);
        match urgency {
            Urgency::None => {}
            // If the line is full or gone, the next step comes when the time for this one is over.
            Urgency::Drain => drop(self.link.send("drain", &[])),
            Urgency::Cancel => drop(self.link.send("cancel", &[])),
            Urgency::Kill => self.signal(Signal::KILL),
        }
        self.changes.tell();
    }
}

impl From<WaitIdStatus> for Exit {
    fn from(status: WaitIdStatus) -> Exit {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => match signal_hook::low_level::signal_name(*signal) {
                Some(name) => write!(f, "{name}"),
                None => write!(f, "signal {signal}"),
            },
            Exit::Unknown => f.write_str("nobody knows how"),
        }
    }
}
