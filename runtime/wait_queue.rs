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
//! does not unwind the waiter: its wait succeeds, and it is unwound at the next. One that comes
//! before has the waiter passed over. So nobody ever holds something that he must pass on while he
//! unwinds, and no wake-up, value or lock is lost.
//!
//! One that waits in several queues at once (`select!`) enters each with the same *claim*. The
//! first grant takes the claim, and the other queues then pass over that waiter. One that must look
//! for itself whether it can go on is *poked*: it wakes and keeps its place meanwhile.
//!
//! Entering, granting and leaving, also out of turn, take constant time and, once the queue has
//! been as long as it gets, no memory: waiters are a list linked through the slots of a vector,
//! which are written in place. Moving nodes in and out as a whole, as a slab does, costs more than
//! all else.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::scheduler::{self, Held, Nanos, Scheduler, ThreadId};
use crate::stats::Reason;
use crate::thread;

/// Who waits for one object.
pub(crate) struct WaitQueue<W = ()> {
    /// The first and the last in the list, those included that will be passed over. Outside, so
    /// that one look says that nobody waits, which is so most of the time.
    first: Cell<u32>,
    last: Cell<u32>,
    nodes: RefCell<Nodes<W>>,
}

/// Set when one of several queues has granted; the others must not.
pub(crate) type Claim = Rc<Cell<bool>>;

struct Nodes<W> {
    slots: Vec<Node<W>>,
    /// The first free slot; `next` leads to the others.
    free: u32,
}

struct Node<W> {
    /// Whom to wake; whoever waits in a future has left a waker in his note.
    owner: Option<ThreadId>,
    /// What is left of it in a free slot is nobody's.
    what: Option<W>,
    claim: Option<Claim>,
    previous: u32,
    next: u32,
    state: State,
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
const NONE: u32 = u32::MAX;

impl<W> WaitQueue<W> {
    pub(crate) const fn new() -> WaitQueue<W> {
        WaitQueue {
            first: Cell::new(NONE),
            last: Cell::new(NONE),
            nodes: RefCell::new(Nodes {
                slots: Vec::new(),
                free: NONE,
            }),
        }
    }

    /// Whether nobody waits that could be granted something.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.get() == NONE || self.is_passed_over()
    }

    #[cold]
    fn is_passed_over(&self) -> bool {
        self.front(&mut self.nodes.borrow_mut()).is_none()
    }

    /// Looks at the first who waits, and his note.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(Option<ThreadId>, &W) -> R) -> Option<R> {
        let mut nodes = self.nodes.borrow_mut();
        let first = self.front(&mut nodes)?;
        let node = nodes.at(first);
        Some(look(node.owner, node.what()))
    }

    /// The first who waits of whom `wanted` holds, told by his claim and his note.
    pub(crate) fn find(&self, wanted: impl Fn(Option<&Claim>, &W) -> bool) -> Option<u32> {
        let mut nodes = self.nodes.borrow_mut();
        let mut next = self.front(&mut nodes)?;
        while next != NONE {
            let node = nodes.at(next);
            if !node.is_taken() && wanted(node.claim.as_ref(), node.what()) {
                return Some(next);
            }
            next = node.next;
        }
        None
    }

    /// Looks at the claim and the note of one that [`find`](WaitQueue::find) found.
    pub(crate) fn look_at<R>(&self, key: u32, look: impl FnOnce(Option<&Claim>, &W) -> R) -> R {
        let mut nodes = self.nodes.borrow_mut();
        let node = nodes.at(key);
        look(node.claim.as_ref(), node.what())
    }

    /// Whether somebody waits whose claim is not `claim`.
    pub(crate) fn has_other(&self, claim: Option<&Claim>) -> bool {
        self.find(|other, _| !is_same(claim, other)).is_some()
    }

    /// Grants the thing to the first who waits, and lets `give` write to its note, under a borrow
    /// of the queue. `None` if there is nobody, and `give` was not called.
    #[inline]
    pub(crate) fn grant<R>(&self, give: impl FnOnce(&mut W) -> R) -> Option<R> {
        self.grant_with((), |what, ()| give(what)).ok()
    }

    /// As [`grant`](WaitQueue::grant) of `thing`, which comes back if there is nobody.
    #[inline(always)]
    pub(crate) fn grant_with<M, R>(
        &self,
        thing: M,
        give: impl FnOnce(&mut W, M) -> R,
    ) -> Result<R, M> {
        if self.first.get() == NONE {
            return Err(thing);
        }
        let mut nodes = self.nodes.borrow_mut();
        match self.front(&mut nodes) {
            Some(first) => Ok(self.grant_node(&mut nodes, first, |what| give(what, thing))),
            None => Err(thing),
        }
    }

    /// Grants the thing to all who wait now, for there is enough of it; to those too who have been
    /// interrupted since they came.
    pub(crate) fn grant_all(&self) {
        while self.first.get() != NONE {
            let mut nodes = self.nodes.borrow_mut();
            let first = self.first.get();
            if nodes.at(first).is_taken() {
                self.pass_over(&mut nodes, first);
            } else {
                self.grant_node(&mut nodes, first, |_| ());
            }
        }
    }

    /// As [`grant`](WaitQueue::grant), for who must know to whom.
    #[inline]
    pub(crate) fn grant_to<R>(&self, give: impl FnOnce(ThreadId, &mut W) -> R) -> Option<R> {
        if self.first.get() == NONE {
            return None;
        }
        let mut nodes = self.nodes.borrow_mut();
        let first = self.front(&mut nodes)?;
        let owner = nodes.at(first).owner?;
        Some(self.grant_node(&mut nodes, first, |what| give(owner, what)))
    }

    /// As [`grant_to`](WaitQueue::grant_to), for a lock: who still waits does so for its new
    /// holder.
    #[inline]
    pub(crate) fn grant_lock<R>(&self, give: impl FnOnce(ThreadId, &mut W) -> R) -> Option<R> {
        self.grant_to(|owner, what| {
            scheduler::try_with(|scheduler| scheduler.mark_wanted(owner));
            give(owner, what)
        })
    }

    /// As [`grant`](WaitQueue::grant), out of turn: to one that [`find`](WaitQueue::find) found.
    pub(crate) fn grant_at<R>(&self, key: u32, give: impl FnOnce(&mut W) -> R) -> R {
        self.grant_node(&mut self.nodes.borrow_mut(), key, give)
    }

    /// Wakes one that [`find`](WaitQueue::find) found, who keeps its place and looks for itself.
    pub(crate) fn poke(&self, key: u32) {
        let owner = self.nodes.borrow_mut().at(key).owner;
        wake(owner);
    }

    /// Wakes everybody, as [`poke`](WaitQueue::poke) does.
    pub(crate) fn poke_all(&self) {
        let mut nodes = self.nodes.borrow_mut();
        let mut next = self.first.get();
        while next != NONE {
            let node = nodes.at(next);
            wake(node.owner);
            next = node.next;
        }
    }

    /// Waits until the thing is granted, or until `deadline`; gives the note back, as an error if
    /// it was not granted. If the green thread is interrupted before the grant, it unwinds.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn wait(&self, reason: Reason, deadline: Option<Nanos>, what: W) -> Result<W, W> {
        self.enter(what, None).wait(reason, deadline)
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
        match thread::park_until_free(lock, at, deadline, || place.is_granted()) {
            Ok(true) => Ok(place.leave()),
            Ok(false) => Err(place.leave()),
            Err(deadlock) => {
                drop(place);
                panic!("{deadlock}")
            }
        }
    }

    /// Enters the running green thread, which then parks until its place is granted.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn enter(&self, what: W, claim: Option<Claim>) -> Place<'_, W> {
        self.enter_as(Some(scheduler::with(Scheduler::current)), what, claim)
    }

    /// Enters a future, which leaves a waker in its note for whoever grants.
    pub(crate) fn enter_task(&self, what: W) -> Place<'_, W> {
        self.enter_as(None, what, None)
    }

    #[inline(always)]
    fn enter_as(&self, owner: Option<ThreadId>, what: W, claim: Option<Claim>) -> Place<'_, W> {
        let mut nodes = self.nodes.borrow_mut();
        let previous = self.last.get();
        let mut key = nodes.free;
        if key == NONE {
            key = nodes.grow();
        }
        let node = nodes.at(key);
        let next_free = node.next;
        node.owner = owner;
        node.what = Some(what);
        node.claim = claim;
        node.previous = previous;
        node.next = NONE;
        node.state = State::Waiting;
        nodes.free = next_free;
        match previous {
            NONE => self.first.set(key),
            previous => nodes.at(previous).next = key,
        }
        self.last.set(key);
        Place { queue: self, key }
    }

    /// A place that was entered and then kept by its [key](Place::into_key).
    pub(crate) fn place(&self, key: u32) -> Place<'_, W> {
        Place { queue: self, key }
    }

    /// The first that may be granted something. Those leave the list that have got it elsewhere, or
    /// will unwind when they go on.
    #[inline]
    fn front(&self, nodes: &mut Nodes<W>) -> Option<u32> {
        loop {
            let first = self.first.get();
            if first == NONE {
                return None;
            }
            let node = nodes.at(first);
            if !node.is_taken() && !node.will_unwind() {
                return Some(first);
            }
            self.pass_over(nodes, first);
        }
    }

    #[cold]
    fn pass_over(&self, nodes: &mut Nodes<W>, key: u32) {
        nodes.at(key).state = State::PassedOver;
        self.unlink(nodes, key);
    }

    #[inline(always)]
    fn grant_node<R>(&self, nodes: &mut Nodes<W>, key: u32, give: impl FnOnce(&mut W) -> R) -> R {
        if self.first.get() == self.last.get() {
            // The only one, as it is most of the time.
            self.first.set(NONE);
            self.last.set(NONE);
        } else {
            self.unlink(nodes, key);
        }
        let node = nodes.at(key);
        node.state = State::Granted;
        if let Some(claim) = &node.claim {
            claim.set(true);
        }
        let owner = node.owner;
        let given = give(node.what.as_mut().expect(NOTE));
        wake(owner);
        given
    }

    fn unlink(&self, nodes: &mut Nodes<W>, key: u32) {
        let node = nodes.at(key);
        let (previous, next) = (node.previous, node.next);
        match previous {
            NONE => self.first.set(next),
            previous => nodes.at(previous).next = next,
        }
        match next {
            NONE => self.last.set(previous),
            next => nodes.at(next).previous = previous,
        }
    }
}

const NOTE: &str = "who is in the queue has a note there";

impl<W> Nodes<W> {
    #[inline]
    fn at(&mut self, key: u32) -> &mut Node<W> {
        &mut self.slots[key as usize]
    }

    /// One more slot, which is free.
    #[cold]
    fn grow(&mut self) -> u32 {
        let key =
            u32::try_from(self.slots.len()).expect("four billion stacks do not fit in memory");
        self.slots.push(Node {
            owner: None,
            what: None,
            claim: None,
            previous: NONE,
            next: NONE,
            state: State::PassedOver,
        });
        key
    }
}

impl<W> Node<W> {
    #[inline]
    fn what(&self) -> &W {
        self.what.as_ref().expect(NOTE)
    }

    /// Whether its owner has been interrupted and leaves.
    #[inline]
    fn will_unwind(&self) -> bool {
        self.owner.is_some_and(|owner| {
            scheduler::try_with(|scheduler| scheduler.will_unwind(owner)).unwrap_or(false)
        })
    }

    /// Whether another queue has granted to its owner.
    #[inline]
    fn is_taken(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.get())
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

impl<W> fmt::Debug for WaitQueue<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").finish_non_exhaustive()
    }
}

/// The place of a green thread in a queue; it leaves when this is dropped.
pub(crate) struct Place<'a, W> {
    queue: &'a WaitQueue<W>,
    key: u32,
}

impl<W> Place<'_, W> {
    #[inline]
    pub(crate) fn is_granted(&self) -> bool {
        self.queue.nodes.borrow_mut().at(self.key).state == State::Granted
    }

    /// As [`WaitQueue::wait`].
    #[inline(always)]
    #[track_caller]
    pub(crate) fn wait(self, reason: Reason, deadline: Option<Nanos>) -> Result<W, W> {
        if self.wait_for_grant(reason, deadline) {
            Ok(self.leave())
        } else {
            Err(self.leave())
        }
    }

    /// Waits, and says whether the thing was granted.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn wait_for_grant(&self, reason: Reason, deadline: Option<Nanos>) -> bool {
        thread::park_for_until(reason, deadline, || self.is_granted())
    }

    /// Leaves with the note.
    #[inline]
    pub(crate) fn leave(self) -> W {
        let what = self.remove(Option::take);
        std::mem::forget(self);
        what.expect(NOTE)
    }

    /// Leaves with what `take` takes out of the note, and no user's value may stay in it. A note
    /// that was written in parts is read faster in the same parts than as a whole.
    #[inline(always)]
    pub(crate) fn leave_with<R>(self, take: impl FnOnce(&mut W) -> R) -> R {
        let taken = self.remove(|what| take(what.as_mut().expect(NOTE)));
        std::mem::forget(self);
        taken
    }

    /// Writes into the note.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut W) -> R) -> R {
        let mut nodes = self.queue.nodes.borrow_mut();
        change(nodes.at(self.key).what.as_mut().expect(NOTE))
    }

    /// Stays in the queue, for the [place](WaitQueue::place) of that key to leave.
    pub(crate) fn into_key(self) -> u32 {
        let key = self.key;
        std::mem::forget(self);
        key
    }

    #[inline(always)]
    fn remove<R>(&self, take: impl FnOnce(&mut Option<W>) -> R) -> R {
        let mut nodes = self.queue.nodes.borrow_mut();
        let free = std::mem::replace(&mut nodes.free, self.key);
        let mut node = nodes.at(self.key);
        if node.state == State::Waiting {
            self.queue.unlink(&mut nodes, self.key);
            node = nodes.at(self.key);
        }
        node.next = free;
        node.claim = None;
        take(&mut node.what)
    }
}

impl<W> Drop for Place<'_, W> {
    fn drop(&mut self) {
        // The note may hold a user's value: it is dropped when the queue is not borrowed any more.
        let what = self.remove(Option::take);
        drop(what);
    }
}
