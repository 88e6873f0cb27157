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
//! first grant takes the claim, and the other queues then pass over that waiter. One that must look
//! for itself whether it can go on is *poked*: it wakes and keeps its place meanwhile.
//!
//! Entering, granting and leaving, also out of turn, take constant time and, once the queue has
//! been as long as it gets, no memory: waiters are a list linked through the slots of a slab.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use slab::Slab;

use crate::scheduler::{self, Nanos, Scheduler, ThreadId};
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
    /// Whom to wake; whoever waits in a future has left a waker in his note.
    owner: Option<ThreadId>,
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

    /// Looks at the note of the first who waits.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&W) -> R) -> Option<R> {
        let mut waiters = self.waiters.borrow_mut();
        let first = waiters.front()?;
        Some(look(&waiters.nodes[first].what))
    }

    /// The first who waits of whom `wanted` holds, told by his claim and his note.
    pub(crate) fn find(&self, wanted: impl Fn(Option<&Claim>, &W) -> bool) -> Option<usize> {
        let mut waiters = self.waiters.borrow_mut();
        let mut next = waiters.front()?;
        while let Some(node) = waiters.nodes.get(next) {
            let is_taken = node.claim.as_ref().is_some_and(|claim| claim.get());
            if !is_taken && wanted(node.claim.as_ref(), &node.what) {
                return Some(next);
            }
            next = node.next;
        }
        None
    }

    /// Looks at the claim and the note of one that [`find`](WaitQueue::find) found.
    pub(crate) fn look_at<R>(&self, key: usize, look: impl FnOnce(Option<&Claim>, &W) -> R) -> R {
        let waiters = self.waiters.borrow();
        let node = &waiters.nodes[key];
        look(node.claim.as_ref(), &node.what)
    }

    /// Whether somebody waits whose claim is not `claim`.
    pub(crate) fn has_other(&self, claim: Option<&Claim>) -> bool {
        self.find(|other, _| !is_same(claim, other)).is_some()
    }

    /// Grants the thing to the first who waits, and lets `give` write to its note, under a borrow
    /// of the queue. `None` if there is nobody, and `give` was not called.
    #[inline]
    pub(crate) fn grant<R>(&self, give: impl FnOnce(&mut W) -> R) -> Option<R> {
        let mut waiters = self.waiters.borrow_mut();
        let first = waiters.front()?;
        Some(waiters.grant(first, give))
    }

    /// As [`grant`](WaitQueue::grant), for who must know to whom.
    #[inline]
    pub(crate) fn grant_to<R>(&self, give: impl FnOnce(ThreadId, &mut W) -> R) -> Option<R> {
        let mut waiters = self.waiters.borrow_mut();
        let first = waiters.front()?;
        let owner = waiters.nodes[first].owner?;
        Some(waiters.grant(first, |what| give(owner, what)))
    }

    /// As [`grant`](WaitQueue::grant), out of turn: to one that [`find`](WaitQueue::find) found.
    pub(crate) fn grant_at<R>(&self, key: usize, give: impl FnOnce(&mut W) -> R) -> R {
        self.waiters.borrow_mut().grant(key, give)
    }

    /// Wakes one that [`find`](WaitQueue::find) found, who keeps its place and looks for itself.
    pub(crate) fn poke(&self, key: usize) {
        let owner = self.waiters.borrow().nodes[key].owner;
        wake(owner);
    }

    /// Wakes everybody, as [`poke`](WaitQueue::poke) does.
    pub(crate) fn poke_all(&self) {
        let waiters = self.waiters.borrow();
        let mut next = waiters.first;
        while let Some(node) = waiters.nodes.get(next) {
            wake(node.owner);
            next = node.next;
        }
    }

    /// Waits until the thing is granted, or until `deadline`; gives the note back, as an error if
    /// it was not granted. If the green thread is interrupted before the grant, it unwinds.
    #[inline]
    #[track_caller]
    pub(crate) fn wait(&self, reason: Reason, deadline: Option<Nanos>, what: W) -> Result<W, W> {
        self.enter(what, None).wait(reason, deadline)
    }

    /// Enters the running green thread, which then parks until its place is granted.
    #[inline]
    #[track_caller]
    pub(crate) fn enter(&self, what: W, claim: Option<Claim>) -> Place<'_, W> {
        self.enter_as(Some(scheduler::with(Scheduler::current)), what, claim)
    }

    /// Enters a future, which leaves a waker in its note for whoever grants.
    pub(crate) fn enter_task(&self, what: W) -> Place<'_, W> {
        self.enter_as(None, what, None)
    }

    #[inline]
    fn enter_as(&self, owner: Option<ThreadId>, what: W, claim: Option<Claim>) -> Place<'_, W> {
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

    /// A place that was entered and then kept by its [key](Place::into_key).
    pub(crate) fn place(&self, key: usize) -> Place<'_, W> {
        Place { queue: self, key }
    }
}

/// Nobody is woken after `run`: who still waits then is suspended for good.
#[inline]
fn wake(owner: Option<ThreadId>) {
    if let Some(owner) = owner {
        scheduler::try_with(|scheduler| scheduler.wake(owner));
    }
}

/// Whether two claims are one; two that have none are different waiters.
pub(crate) fn is_same(one: Option<&Claim>, other: Option<&Claim>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if Rc::ptr_eq(one, other))
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
    fn grant<R>(&mut self, key: usize, give: impl FnOnce(&mut W) -> R) -> R {
        self.unlink(key);
        let node = &mut self.nodes[key];
        node.state = State::Granted;
        if let Some(claim) = &node.claim {
            claim.set(true);
        }
        let owner = node.owner;
        let given = give(&mut node.what);
        wake(owner);
        given
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

    /// As [`WaitQueue::wait`].
    #[inline]
    #[track_caller]
    pub(crate) fn wait(self, reason: Reason, deadline: Option<Nanos>) -> Result<W, W> {
        if thread::park_until(reason, deadline, || self.is_granted()) {
            Ok(self.leave())
        } else {
            Err(self.leave())
        }
    }

    /// Leaves with the note.
    #[inline]
    pub(crate) fn leave(self) -> W {
        let what = self.remove();
        std::mem::forget(self);
        what
    }

    /// Writes into the note.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut W) -> R) -> R {
        change(&mut self.queue.waiters.borrow_mut().nodes[self.key].what)
    }

    /// Stays in the queue, for the [place](WaitQueue::place) of that key to leave.
    pub(crate) fn into_key(self) -> usize {
        let key = self.key;
        std::mem::forget(self);
        key
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
