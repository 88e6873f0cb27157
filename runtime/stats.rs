//! Plain counters that the loop bumps, always on: an addition to memory that is hot anyway.

use std::fmt;
use std::ops::Index;

/// Why a green thread is parked. Every park has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Waits until a descriptor can be read, or a listener has a connection.
    Read,
    /// Waits until a descriptor can be written, or a connection is made.
    Write,
    /// Sleeps, was spawned to start later, or pauses in an `accept` for want of descriptors.
    Sleep,
    /// Waits for other green threads to end.
    Join,
    /// Called [`park`](crate::thread::park).
    Park,
    /// Waits for a lock.
    Lock,
    /// Waits for a [`Condvar`](crate::sync::Condvar) to be notified.
    Condvar,
    /// Waits for an [`Event`](crate::sync::Event) or a [`WaitGroup`](crate::sync::WaitGroup).
    Event,
    /// Waits at a [`Barrier`](crate::sync::Barrier).
    Barrier,
    /// Waits for permits of a [`Semaphore`](crate::sync::Semaphore).
    Semaphore,
    /// Waits in a channel for a value, or for room for one.
    Channel,
    /// Waits in a [`queue`](crate::queue) for an item, for room, or for the end of all tasks.
    Queue,
    /// Waits for a job, a place or a resource in a [`pool`](crate::pool), or in a full
    /// [`Server`](crate::server::Server).
    Pool,
    /// Waits for the waker of a future.
    Future,
    /// Waits for a job on the [`blocking`](crate::blocking) pool, or for room in its queue.
    Blocking,
}

impl Reason {
    const COUNT: usize = Reason::Blocking as usize + 1;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Read => "read",
            Reason::Write => "write",
            Reason::Sleep => "sleep",
            Reason::Join => "join",
            Reason::Park => "park",
            Reason::Lock => "lock",
            Reason::Condvar => "condvar",
            Reason::Event => "event",
            Reason::Barrier => "barrier",
            Reason::Semaphore => "semaphore",
            Reason::Channel => "channel",
            Reason::Queue => "queue",
            Reason::Pool => "pool",
            Reason::Future => "future",
            Reason::Blocking => "blocking",
        })
    }
}

/// What a scheduler has done since its [`run`](crate::run) began; from [`stats`](crate::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Times a green thread was switched to.
    pub switches: u64,
    /// Green threads spawned, the first one included.
    pub spawns: u64,
    /// Parked green threads made ready again.
    pub wakes: u64,
    /// Times a green thread gave way without parking: `yield_now`, or a spent I/O budget.
    pub yields: u64,
    /// Times the kernel was asked for events.
    pub polls: u64,
    /// Events the kernel reported.
    pub events: u64,
    /// Timers that expired.
    pub expirations: u64,
    /// Times an `accept` waited because the process or the system was out of descriptors or memory.
    pub accept_backoffs: u64,
    /// Times a green thread parked, by [`Reason`].
    pub parks: Parks,
}

/// Counts of parks; index it with a [`Reason`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Parks([u64; Reason::COUNT]);

impl Parks {
    /// Parks for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }
}

impl Index<Reason> for Parks {
    type Output = u64;

    fn index(&self, reason: Reason) -> &u64 {
        &self.0[reason as usize]
    }
}

impl fmt::Debug for Parks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALL: [Reason; Reason::COUNT] = [
            Reason::Read,
            Reason::Write,
            Reason::Sleep,
            Reason::Join,
            Reason::Park,
            Reason::Lock,
            Reason::Condvar,
            Reason::Event,
            Reason::Barrier,
            Reason::Semaphore,
            Reason::Channel,
            Reason::Queue,
            Reason::Pool,
            Reason::Future,
            Reason::Blocking,
        ];
        f.debug_map()
            .entries(ALL.iter().map(|&reason| (reason, self[reason])))
            .finish()
    }
}
