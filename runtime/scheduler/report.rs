//! What a green thread is doing, for reports: the table as others may see it.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::table::ThreadId;
use crate::stats::Reason;

/// What a green thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It could go on, when those before it have run; its stack is suspended, or not begun.
    Ready,
    /// It runs now: on this OS thread, and no other green thread does.
    Running,
    /// Its stack is suspended until what the reason names wakes it: a descriptor, a time, another
    /// green thread, a lock.
    Parked(Reason),
    /// Its body has returned or was unwound, and its stack is free for the next.
    Done,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Ready => f.write_str("ready"),
            State::Running => f.write_str("running"),
            State::Parked(reason) => write!(f, "parked ({reason})"),
            State::Done => f.write_str("done"),
        }
    }
}

/// One green thread in a [`Deadlock`] report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stuck {
    /// Its id.
    pub id: ThreadId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// What it waits for.
    pub reason: Reason,
    /// For how long it has.
    pub since: Duration,
    /// Whether it is a daemon; those alone do not make a deadlock.
    pub daemon: bool,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  '{}' (#{}{}) parked ({}) for {:.1?}, spawned at {}",
            self.name.as_deref().unwrap_or("<unnamed>"),
            self.id.as_u64(),
            if self.daemon { ", daemon" } else { "" },
            self.reason,
            self.since,
            self.spawned_at,
        )
    }
}

/// Nothing is ready, no timer is armed, no descriptor is waited for, nobody outside can wake
/// anybody, and yet a green thread that is no daemon is parked: it would wait for ever.
///
/// [`run`](crate::run) panics with its text. To see it first, as data, give
/// [`Config::on_deadlock`](crate::Config::on_deadlock) a hook.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deadlock {
    /// Every green thread that is parked, by id.
    pub stuck: Vec<Stuck>,
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Lines that a reader still reads.
        const SHOWN: usize = 100;
        let count = self.stuck.len();
        let (verb, plural) = if count == 1 {
            ("waits", "")
        } else {
            ("wait", "s")
        };
        write!(
            f,
            "deadlock: {count} green thread{plural} {verb} for what nothing can bring about"
        )?;
        for stuck in self.stuck.iter().take(SHOWN) {
            write!(f, "\n{stuck}")?;
        }
        match count.saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for Deadlock {}
