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
    /// Where it waits: the line of the call that does not return, where that is known.
    pub waits_at: Option<&'static Location<'static>>,
    /// Whether it is a daemon; those alone do not make a deadlock.
    pub daemon: bool,
    /// What it waits for, and who has that, where sedge can know: a lock with an owner, a join.
    pub blocked: Option<Blocked>,
}

/// What a green thread in a [`Deadlock`] report waits for, and who has it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Blocked {
    /// What it is called, as "a Mutex".
    pub kind: &'static str,
    /// Where it waits.
    pub waits_at: &'static Location<'static>,
    /// Who has it.
    pub holders: Vec<HeldBy>,
}

/// Who has what a green thread in a [`Deadlock`] report waits for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HeldBy {
    /// Its id; `None` if the lock was taken outside of [`run`](crate::run).
    pub id: Option<ThreadId>,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Where it was spawned; `None` if it has ended, and has left its guard behind.
    pub spawned_at: Option<&'static Location<'static>>,
    /// How it has it.
    pub role: Role,
    /// Where it took the lock, or waits for it; `None` if its end is waited for.
    pub at: Option<&'static Location<'static>>,
}

/// How a green thread has what another waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// It holds the lock.
    Holder,
    /// It waits for the lock too, and comes first.
    Ahead,
    /// It is what the other waits for: its end.
    Awaited,
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
        )?;
        match (&self.blocked, self.waits_at) {
            (Some(blocked), _) => write!(f, "\n{blocked}"),
            (None, Some(at)) => write!(f, "\n    waits at {at}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A lock can have very many readers.
        const SHOWN: usize = 10;
        write!(f, "    waits at {} for {}", self.waits_at, self.kind)?;
        for holder in self.holders.iter().take(SHOWN) {
            write!(f, "\n      {holder}")?;
        }
        match self.holders.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n      and {more} more"),
        }
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.role {
            Role::Holder => "held by",
            Role::Ahead => "behind",
            Role::Awaited => "which is",
        };
        match (self.id, self.spawned_at) {
            (None, _) => write!(f, "{verb} code outside of sedge::run")?,
            (Some(id), None) => write!(f, "{verb} #{}, which has ended", id.as_u64())?,
            (Some(id), Some(spawned_at)) => {
                let name = self.name.as_deref().unwrap_or("<unnamed>");
                write!(
                    f,
                    "{verb} '{name}' (#{}), spawned at {spawned_at}",
                    id.as_u64()
                )?;
            }
        }
        match (self.role, self.at) {
            (_, None) => Ok(()),
            (Role::Ahead, Some(at)) => write!(f, ", which waits at {at}"),
            (_, Some(at)) => write!(f, ", taken at {at}"),
        }
    }
}

/// Green threads that wait for ever. There are two kinds:
///
/// * *Nothing can wake anybody*: nobody is ready, no timer is armed, no descriptor is waited for,
///   nobody outside can call, and yet a green thread that is no daemon is parked.
///   [`run`](crate::run) panics with the text. To see it first, as data, give
///   [`Config::on_deadlock`](crate::Config::on_deadlock) a hook.
/// * *A cycle*: each waits for what the next has, a lock or its own end, while the rest of the
///   program goes on. It is found when it closes. The `lock` or `join` that would close it panics
///   with the text, so that one unwinds, and what it held is free for the others. A wait with a
///   time limit does not last for ever and is no part of a cycle.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deadlock {
    /// Those who wait. All that are parked, by id; or those of the cycle, each followed by one that
    /// has what it waits for, and the last by the first.
    pub stuck: Vec<Stuck>,
    /// Whether it is a cycle.
    pub cycle: bool,
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Lines that a reader still reads.
        const SHOWN: usize = 100;
        match (self.stuck.len(), self.cycle) {
            (1, false) => {
                f.write_str("deadlock: 1 green thread waits for what nothing can bring about")
            }
            (count, false) => write!(
                f,
                "deadlock: {count} green threads wait for what nothing can bring about"
            ),
            (1, true) => f.write_str("deadlock: a green thread would wait for itself"),
            (count, true) => {
                write!(
                    f,
                    "deadlock: {count} green threads would wait for each other"
                )
            }
        }?;
        for stuck in self.stuck.iter().take(SHOWN) {
            write!(f, "\n{stuck}")?;
        }
        match self.stuck.len().saturating_sub(SHOWN) {
            0 => {}
            more => write!(f, "\n  and {more} more")?,
        }
        let advice = match (self.cycle, self.stuck.len()) {
            (false, _) => return Ok(()),
            (true, 1) => "what one holds or is cannot be waited for; pass the guard on instead",
            (true, _) => "take locks in one order everywhere, or let one side try and back off",
        };
        write!(
            f,
            "\n{advice}; see \"Deadlocks\" in the documentation of sedge::sync"
        )
    }
}

impl std::error::Error for Deadlock {}
