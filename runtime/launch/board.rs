//! The board: one page of memory that the launcher and its workers share, with a slot for each
//! worker. What a worker writes there can be read when it hangs, and when it is dead.
//!
//! ```text
//!    launcher: Board::create(256) ── fd, as the control socket's first message ──> worker
//!                     │                                                Board::open(fd)
//!                     v                                                      v
//!             board.slot(3).pid ────────── the same memory ────────── board.slot(3).pid
//! ```
//!
//! Every field is an atomic, read and written with [`Relaxed`]: each is a number by itself, and
//! nobody concludes from one to another. The two exceptions say so ([`Slot::write_hog`]).
//!
//! The memory is [sparse and sealed](crate::shared_memory), so room for more workers than there are
//! costs nothing. [`Board::open`] takes none that was made by a build with another layout.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`, which all processes of a boot share: [`now`].
//!
//! Who writes what: the launcher `pid`, `state` before the worker is ready, and clears the slot;
//! the worker the rest. A slot belongs to one worker at a time.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::shared_memory::{Shared, SharedMemory};

/// Workers that a board has room for, unless somebody wants more.
pub(crate) const SLOTS: usize = 256;
/// Bytes for the words about who keeps a worker busy; what is longer is cut.
pub(crate) const HOG_BYTES: usize = 320;
/// Begins each board: the name of this layout, to be changed with it.
const LAYOUT: u64 = u64::from_le_bytes(*b"sedge b1");

/// The mapping, and the descriptor to send to workers.
pub(crate) struct Board(SharedMemory<Head, Slot>);

/// What stands before the slots. As large as they are, so that all are aligned.
#[repr(C, align(512))]
struct Head {
    layout: AtomicU64,
    slots: AtomicU64,
}

/// One worker's record. All zeroes is a free slot.
#[repr(C, align(128))]
pub(crate) struct Slot {
    /// Of the worker; zero if there is none.
    pub(crate) pid: AtomicU32,
    state: AtomicU32,
    /// When its loop has last turned ([`now`]).
    pub(crate) heartbeat: AtomicU64,
    /// How late its loop came to its last heartbeat, in nanoseconds.
    pub(crate) loop_lag: AtomicU64,
    /// Green threads that were ready to run then.
    pub(crate) run_queue: AtomicU32,
    /// Green threads there were.
    pub(crate) green_threads: AtomicU32,
    /// Connections that are open.
    pub(crate) connections: AtomicU64,
    /// Requests that it has answered.
    pub(crate) requests: AtomicU64,
    /// When it was started ([`now`]).
    pub(crate) started: AtomicU64,
    /// Workers that this slot has had before.
    pub(crate) restarts: AtomicU64,
    /// Bytes of `hog`, and one more; zero as long as nothing was written.
    hog_len: AtomicU32,
    hog: [AtomicU8; HOG_BYTES],
}

const _: () = assert!(size_of::<Head>() == size_of::<Slot>() && size_of::<Slot>() == 512);

// SAFETY: `repr(C)`, and atomics only.
unsafe impl Shared for Head {}
// SAFETY: as above.
unsafe impl Shared for Slot {}

/// What a worker is doing. The first ones a worker's slot says, the others the launcher finds out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum State {
    /// There is none in this slot.
    #[default]
    Empty,
    /// Started, and not ready yet.
    Starting,
    /// Takes connections.
    Ready,
    /// Takes no more, and ends when those it has are served.
    Draining,
    /// Its loop has not turned for a while; its siblings take its connections.
    Stalled,
    /// Stopped by a signal or a debugger, which is not its fault.
    Stopped,
    /// Has ended too often, and is started again after a pause.
    Resting,
}

impl State {
    const ALL: [State; 7] = [
        State::Empty,
        State::Starting,
        State::Ready,
        State::Draining,
        State::Stalled,
        State::Stopped,
        State::Resting,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Empty => "empty",
            State::Starting => "starting",
            State::Ready => "ready",
            State::Draining => "draining",
            State::Stalled => "stalled",
            State::Stopped => "stopped",
            State::Resting => "resting",
        })
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`: the same in every process.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let time = Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Board {
    /// A board with that many free slots.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors or memory.
    pub(crate) fn create(slots: usize) -> io::Result<Board> {
        let board = Board(SharedMemory::create("sedge-board", slots)?);
        board.0.head().slots.store(slots as u64, Relaxed);
        board.0.head().layout.store(LAYOUT, Relaxed);
        Ok(board)
    }

    /// The board behind a descriptor that came from the launcher.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] if it is none, or was made by another build.
    pub(crate) fn open(fd: OwnedFd) -> io::Result<Board> {
        let board = Board(SharedMemory::open(fd).map_err(not_ours)?);
        let (head, slots) = (board.0.head(), board.len());
        let layout = (head.layout.load(Relaxed), head.slots.load(Relaxed));
        if slots == 0 || layout != (LAYOUT, slots as u64) {
            return Err(not_ours("another build has made it"));
        }
        Ok(board)
    }

    /// What workers are sent.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.0.records().len()
    }

    /// The record of the worker with that number.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub(crate) fn slot(&self, index: usize) -> &Slot {
        let slots = self.0.records();
        assert!(
            index < slots.len(),
            "slot {index} of a board of {}",
            slots.len()
        );
        &slots[index]
    }

    /// As [`slot`](Board::slot), for ever: the mapping stays. For a worker's own slot, which its
    /// signal handler writes to.
    pub(crate) fn into_slot(self, index: usize) -> &'static Slot {
        Box::leak(Box::new(self)).slot(index)
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board")
            .field("slots", &self.len())
            .finish_non_exhaustive()
    }
}

impl Slot {
    pub(crate) fn state(&self) -> State {
        let state = self.state.load(Relaxed) as usize;
        // A worker may write anything there; then it has no state that we know.
        State::ALL.get(state).copied().unwrap_or_default()
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u32, Relaxed);
    }

    /// Forgets the worker; how many this slot has had stays.
    pub(crate) fn clear(&self) {
        self.pid.store(0, Relaxed);
        self.set_state(State::Empty);
        self.heartbeat.store(0, Relaxed);
        self.loop_lag.store(0, Relaxed);
        self.run_queue.store(0, Relaxed);
        self.green_threads.store(0, Relaxed);
        self.connections.store(0, Relaxed);
        self.requests.store(0, Relaxed);
        self.started.store(0, Relaxed);
        self.clear_hog();
    }

    /// Wipes the words about who keeps the worker busy, before it is asked for new ones.
    pub(crate) fn clear_hog(&self) {
        self.hog_len.store(0, Release);
    }

    /// Says who keeps the worker busy. Async-signal-safe. The length is written last, so who reads
    /// it finds the words.
    pub(crate) fn write_hog(&self, words: &[u8]) {
        let words = &words[..words.len().min(HOG_BYTES)];
        for (place, byte) in self.hog.iter().zip(words) {
            place.store(*byte, Relaxed);
        }
        self.hog_len.store(words.len() as u32 + 1, Release);
    }

    /// What was written there, if anything.
    pub(crate) fn hog(&self) -> Option<String> {
        let len = self.hog_len.load(Acquire).checked_sub(1)? as usize;
        let bytes = self.hog.iter().take(len).map(|byte| byte.load(Relaxed));
        let bytes: Vec<u8> = bytes.collect();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn not_ours(why: impl fmt::Display) -> io::Error {
    let message = format!("not the launcher's board: {why}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests;
