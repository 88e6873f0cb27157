//! A lock that green threads and OS threads wait for alike, for what the whole process shares.
//!
//! [`sync`](crate::sync) has locks for the green threads of one scheduler. Standard input and
//! output are one per process, and whoever holds them may be suspended: a green thread that finds
//! them taken parks, an OS thread without a scheduler blocks. First come, first served; the lock is
//! handed over, so nobody barges in.
//!
//! Who waits behind green threads of his own scheduler only, or code around its
//! [`run`](crate::run), is woken without a door from outside, so that it is a deadlock, and
//! reported, if they never give the lock up.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::coroutine;
use crate::scheduler::{self, ThreadId};
use crate::stats::Reason;
use crate::thread::{self, Wake};

/// Says whose turn it is; guards nothing by itself.
pub(super) struct Lock {
    state: Mutex<State>,
    /// An OS thread may have been granted the lock.
    granted: Condvar,
}

struct State {
    owner: Option<Owner>,
    /// How often the owner has locked it.
    depth: usize,
    waiting: VecDeque<Waiter>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Green { scheduler: u64, thread: ThreadId },
    Os(std::thread::ThreadId),
}

impl Owner {
    fn current() -> Owner {
        if !coroutine::is_running() {
            return Owner::Os(std::thread::current().id());
        }
        scheduler::with(|scheduler| Owner::Green {
            scheduler: scheduler.number(),
            thread: scheduler.current(),
        })
    }

    /// Whether what he does is done by this scheduler.
    fn is_of(self, number: u64) -> bool {
        matches!(self, Owner::Green { scheduler, .. } if scheduler == number)
    }
}

struct Waiter {
    owner: Owner,
    /// Needed if the lock may be given up on another OS thread.
    door: Option<Wake>,
}

impl Waiter {
    /// False if the green thread has ended with its scheduler, or unwinds and will not use it.
    fn wake(self) -> bool {
        match (self.owner, self.door) {
            (_, Some(door)) => door.wake(),
            (Owner::Os(_), None) => true,
            (Owner::Green { scheduler, thread }, None) => scheduler::try_with(|here| {
                let waits = here.number() == scheduler && !here.will_unwind(thread);
                if waits {
                    here.wake(thread);
                }
                waits
            })
            .unwrap_or(false),
        }
    }
}

impl Lock {
    pub(super) const fn new() -> Lock {
        Lock {
            state: Mutex::new(State {
                owner: None,
                depth: 0,
                waiting: VecDeque::new(),
            }),
            granted: Condvar::new(),
        }
    }

    /// Waits until it is the caller's, and returns how often he has locked it now.
    pub(super) fn lock(&self) -> usize {
        let me = Owner::current();
        let mut state = self.state();
        match state.owner {
            None => {
                state.owner = Some(me);
                state.depth = 1;
                return 1;
            }
            Some(owner) if owner == me => {
                state.depth += 1;
                return state.depth;
            }
            Some(_) => {}
        }
        let door = match me {
            Owner::Os(_) => None,
            Owner::Green { scheduler, .. } => {
                // This OS thread is in `run`, and will not give up meanwhile what it had before.
                let outside = Owner::Os(std::thread::current().id());
                let mut before = state.waiting.iter().map(|waiter| waiter.owner);
                let is_ours = |owner: Owner| owner.is_of(scheduler) || owner == outside;
                let all_ours = state.owner.is_none_or(is_ours) && before.all(is_ours);
                (!all_ours).then(Wake::current)
            }
        };
        state.waiting.push_back(Waiter { owner: me, door });
        if matches!(me, Owner::Os(_)) {
            let _state = self
                .granted
                .wait_while(state, |state| state.owner != Some(me))
                .unwrap_or_else(PoisonError::into_inner);
            return 1;
        }
        drop(state);
        let withdrawal = Withdrawal(self, me);
        thread::park_until(Reason::Lock, None, || self.state().owner == Some(me));
        std::mem::forget(withdrawal);
        1
    }

    /// Gives it to the next, once it was called as often as [`lock`](Lock::lock).
    pub(super) fn unlock(&self) {
        let mut state = self.state();
        state.depth -= 1;
        if state.depth > 0 {
            return;
        }
        state.owner = None;
        while let Some(next) = state.waiting.pop_front() {
            let owner = next.owner;
            if next.wake() {
                state.owner = Some(owner);
                state.depth = 1;
                break;
            }
        }
        if matches!(state.owner, Some(Owner::Os(_))) {
            self.granted.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a green thread that is unwound out of the queue, or passes on what it was granted.
struct Withdrawal<'a>(&'a Lock, Owner);

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.owner == Some(self.1) {
            drop(state);
            return self.0.unlock();
        }
        state.waiting.retain(|waiter| waiter.owner != self.1);
    }
}
