//! Green threads that wait for one object, first come, first served: what every lock, channel and
//! queue stands on.
//!
//! ```text
//!    wait(what) ──> waiting ──────────── grant ────────────> granted ──> wait returns Ok(what)
//!                      │                                                   (what was filled in)
//!                      ├── deadline ──> gone, wait returns Err(what)
//!                      └── interrupt ─> gone, wait unwinds
//! ```
//!
//! A waiter brings `what`, a note for whoever has what it waits for: how much it wants, a place for
//! a value. Granting is done by whoever gives the thing up, and says whom it now belongs to, so
//! nobody can barge in between; it may write into the note. The note stays in the queue until the
//! waiter goes on and takes it.
//!
//! **What was granted is kept.** A cancellation or a time limit that comes to pass after the grant
//! does not unwind the waiter: its wait succeeds, and it is unwound at the next. So nobody ever
//! holds something that he must pass on while he unwinds, and no wake-up, value or lock is lost.
//!
//! One that waits in several queues at once (`select!`) enters each with the same *claim*. The
//! first grant takes the claim, and the other queues then pass over that waiter.
//!
//! Entering, granting and leaving, also out of turn, take constant time and, once the queue has
//! been as long as it gets, no memory: waiters are a list linked through the slots of a slab.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use slab::Slab;

use crate::scheduler::{self, Held, Nanos, Scheduler, ThreadId};
use crate::stats::Reason;
use crate::thread;

/// Who waits for one object.
pub(crate) struct WaitQueue<W = ()> {
    waiters: RefCell<Waiters<W>>,
}

/// Set when one of several queues has granted; the others must not.
pub(crate) type Claim = Rc<Cell<bool>>;

struct Waiters<W> {
    nodes: Slab<Node<W>>,
    first: usize,
    last: usize,
}

struct Node<W> {
    owner: ThreadId,
    what: W,
    claim: Option<Claim>,
    state: State,
    previous: usize,
    next: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the list.
    Waiting,
    /// Out of the list, for the owner to collect.
    Granted,
    /// Out of the list, for another queue has granted.
    PassedOver,
}

/// No node.
const NONE: usize = usize::MAX;

impl<W> WaitQueue<W> {
    pub(crate) const fn new() -> WaitQueue<W> {
        WaitQueue {
            waiters: RefCell::new(Waiters {
                nodes: Slab::new(),
                first: NONE,
                last: NONE,
            }),
        }
    }

    /// Whether nobody waits that could be granted something.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.borrow_mut().front().is_none()
    }

    /// Looks at the first who waits, and his note.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(ThreadId, &W) -> R) -> Option<R> {
        let mut waiters = self.waiters.borrow_mut();
        let first = waiters.front()?;
        let node = &waiters.nodes[first];
        Some(look(node.owner, &node.what))
    }

    /// Grants the thing to the first who waits, and lets `give` write to its note, under a borrow
    /// of the queue. `None` if there is nobody, and `give` was not called.
    #[inline]
    pub(crate) fn grant<R>(&self, give: impl FnOnce(&mut W) -> R) -> Option<R> {
        self.grant_to(|_, what| give(what))
    }

    /// As [`grant`](WaitQueue::grant), for who must know to whom.
    #[inline]
    pub(crate) fn grant_to<R>(&self, give: impl FnOnce(ThreadId, &mut W) -> R) -> Option<R> {
        let mut waiters = self.waiters.borrow_mut();
        let first = waiters.front()?;
        waiters.unlink(first);
        let node = &mut waiters.nodes[first];
        node.state = State::Granted;
        if let Some(claim) = &node.claim {
            claim.set(true);
        }
        let owner = node.owner;
        let given = give(owner, &mut node.what);
        scheduler::with(|scheduler| scheduler.wake(owner));
        Some(given)
    }

    /// As [`grant_to`](WaitQueue::grant_to), for a lock: those who still wait do so for its new
    /// holder.
    #[inline]
    pub(crate) fn grant_lock<R>(&self, give: impl FnOnce(ThreadId, &mut W) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        self.grant_to(|owner, what| {
            scheduler::with(|scheduler| scheduler.mark_wanted(owner));
            give(owner, what)
        })
    }

    /// Waits until the thing is granted, or until `deadline`; gives the note back, as an error if
    /// it was not granted. If the green thread is interrupted before the grant, it unwinds.
    #[inline]
    #[track_caller]
    pub(crate) fn wait(&self, reason: Reason, deadline: Option<Nanos>, what: W) -> Result<W, W> {
        let place = self.enter(what, None);
        if thread::park_until(reason, deadline, || place.is_granted()) {
            Ok(place.leave())
        } else {
            Err(place.leave())
        }
    }

    /// As [`wait`](WaitQueue::wait), for a lock: with a deadline, or else in the wait-for graph.
    ///
    /// # Panics
    ///
    /// With a report, if there is no deadline and those who have the lock wait for this one.
    #[track_caller]
    pub(crate) fn wait_for_lock(
        &self,
        lock: &impl Held,
        at: &'static Location<'static>,
        deadline: Option<Nanos>,
        what: W,
    ) -> Result<W, W> {
        let place = self.enter(what, None);
        let is_granted = || place.is_granted();
        if thread::park_until_free(lock, at, deadline, is_granted) {
            Ok(place.leave())
        } else {
            Err(place.leave())
        }
    }

    /// Enters the running green thread, which then parks until its place is granted.
    #[inline]
    #[track_caller]
    pub(crate) fn enter(&self, what: W, claim: Option<Claim>) -> Place<'_, W> {
        let owner = scheduler::with(Scheduler::current);
        let mut waiters = self.waiters.borrow_mut();
        let previous = waiters.last;
        let key = waiters.nodes.insert(Node {
            owner,
            what,
            claim,
            state: State::Waiting,
            previous,
            next: NONE,
        });
        match waiters.nodes.get_mut(previous) {
            Some(previous) => previous.next = key,
            None => waiters.first = key,
        }
        waiters.last = key;
        Place { queue: self, key }
    }
}

impl<W> Waiters<W> {
    /// The first that may be granted something. Those that have got it elsewhere leave the list.
    #[inline]
    fn front(&mut self) -> Option<usize> {
        loop {
            let first = self.first;
            let node = self.nodes.get_mut(first)?;
            if !node.claim.as_ref().is_some_and(|claim| claim.get()) {
                return Some(first);
            }
            node.state = State::PassedOver;
            self.unlink(first);
        }
    }

    #[inline]
    fn unlink(&mut self, key: usize) {
        let Node { previous, next, .. } = self.nodes[key];
        match self.nodes.get_mut(previous) {
            Some(previous) => previous.next = next,
            None => self.first = next,
        }
        match self.nodes.get_mut(next) {
            Some(next) => next.previous = previous,
            None => self.last = previous,
        }
    }
}

impl<W> fmt::Debug for WaitQueue<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").finish_non_exhaustive()
    }
}

/// The place of a green thread in a queue; it leaves when this is dropped.
pub(crate) struct Place<'a, W> {
    queue: &'a WaitQueue<W>,
    key: usize,
}

impl<W> Place<'_, W> {
    #[inline]
    pub(crate) fn is_granted(&self) -> bool {
        self.queue.waiters.borrow().nodes[self.key].state == State::Granted
    }

    /// Leaves with the note.
    #[inline]
    pub(crate) fn leave(self) -> W {
        let what = self.remove();
        std::mem::forget(self);
        what
    }

    #[inline]
    fn remove(&self) -> W {
        let mut waiters = self.queue.waiters.borrow_mut();
        if waiters.nodes[self.key].state == State::Waiting {
            waiters.unlink(self.key);
        }
        waiters.nodes.remove(self.key).what
    }
}

impl<W> Drop for Place<'_, W> {
    fn drop(&mut self) {
        // The note may hold a user's value: it is dropped when the queue is not borrowed any more.
        let what = self.remove();
        drop(what);
    }
}
