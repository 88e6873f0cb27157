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
//!
//! A green thread that comes to an empty queue, without a claim, is the *lone* one: a server that
//! waits for its client, mostly. It has a place beside the list, where entering, being granted and
//! leaving take a third of the work. Whoever needs the list first moves it there.

mod lone;
mod nodes;
mod place;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use self::lone::{LONE, Lone, Stage};
use self::nodes::{NONE, NOTE, Node, Nodes, State};
pub(crate) use self::place::Place;
use crate::scheduler::{self, Held, Nanos, Scheduler, ThreadId};
use crate::stats::Reason;
use crate::thread;

/// Who waits for one object.
pub(crate) struct WaitQueue<W = ()> {
    /// The first and the last in the list, those included that will be passed over. Outside, so
    /// that one look says that nobody waits, which is so most of the time. If the lone one waits,
    /// it is the first, and there is no last.
    first: Cell<u32>,
    last: Cell<u32>,
    lone: Lone<W>,
    nodes: RefCell<Nodes<W>>,
}

/// Set when one of several queues has granted; the others must not.
pub(crate) type Claim = Rc<Cell<bool>>;

impl<W> WaitQueue<W> {
    pub(crate) const fn new() -> WaitQueue<W> {
        WaitQueue {
            first: Cell::new(NONE),
            last: Cell::new(NONE),
            lone: Lone::new(),
            nodes: RefCell::new(Nodes::new()),
        }
    }

    /// Whether nobody waits that could be granted something.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.get() == NONE || self.is_passed_over()
    }

    #[cold]
    fn is_passed_over(&self) -> bool {
        self.peek(|_, _| ()).is_none()
    }

    /// Whether the lone one waits, to whom granting is cheap.
    #[inline(always)]
    pub(crate) fn has_lone(&self) -> bool {
        self.first.get() == LONE
    }

    /// Looks at the first who waits, and his note.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(Option<ThreadId>, &W) -> R) -> Option<R> {
        if self.has_lone() {
            let owner = self.lone.owner.get();
            if !will_unwind(owner) {
                return Some(look(owner, &self.lone.note()));
            }
        }
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
            if may_be_granted(node) && wanted(node.claim.as_ref(), node.what()) {
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
        self.grant_first(thing, |_, what, thing| give(what, thing))
    }

    #[inline(always)]
    fn grant_first<M, R>(
        &self,
        thing: M,
        give: impl FnOnce(Option<ThreadId>, &mut W, M) -> R,
    ) -> Result<R, M> {
        if self.first.get() == NONE {
            return Err(thing);
        }
        if self.has_lone() && self.wake_lone() {
            return Ok(give(self.lone.owner.get(), &mut self.lone.note(), thing));
        }
        let mut nodes = self.nodes.borrow_mut();
        let Some(first) = self.front(&mut nodes) else {
            return Err(thing);
        };
        let owner = nodes.at(first).owner;
        Ok(self.grant_node(&mut nodes, first, |what| give(owner, what, thing)))
    }

    /// As [`grant_with`](WaitQueue::grant_with), to the lone one, who [waits](WaitQueue::has_lone).
    /// The thing comes back too if there is more to be looked at first.
    #[inline(always)]
    pub(crate) fn grant_lone<M, R>(
        &self,
        thing: M,
        give: impl FnOnce(&mut W, M) -> R,
    ) -> Result<R, M> {
        if self.wake_lone() {
            Ok(give(&mut self.lone.note(), thing))
        } else {
            Err(thing)
        }
    }

    /// Wakes the lone one, who waits, as one who is granted something. Not if somebody has been
    /// interrupted, for that may be this one: in the list he is passed over then.
    #[inline(always)]
    fn wake_lone(&self) -> bool {
        let wake = |owner| {
            scheduler::try_with(|scheduler| scheduler.wake_unless_due(owner)).unwrap_or(true)
        };
        let is_woken = self.lone.owner.get().is_none_or(wake);
        if is_woken {
            self.first.set(NONE);
            self.lone.stage.set(Stage::Granted);
        }
        is_woken
    }

    /// Grants the thing to all who wait now, for there is enough of it; to those too who have been
    /// interrupted since they came.
    pub(crate) fn grant_all(&self) {
        while self.first.get() != NONE {
            let mut nodes = self.nodes.borrow_mut();
            let first = self.head(&mut nodes);
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
        let give = |owner: Option<_>, what: &mut W, ()| give(owner.expect(OWNER), what);
        self.grant_first((), give).ok()
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
        let mut next = self.head(&mut nodes);
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
        let owner = scheduler::with(Scheduler::current);
        if claim.is_none() && self.is_vacant() {
            self.enter_lone(owner, what)
        } else {
            self.enter_as(Some(owner), what, claim)
        }
    }

    /// Whether the place beside the list may be taken.
    #[inline(always)]
    fn is_vacant(&self) -> bool {
        self.first.get() == NONE && self.lone.stage.get() == Stage::Vacant
    }

    #[inline(always)]
    fn enter_lone(&self, owner: ThreadId, what: W) -> Place<'_, W> {
        self.first.set(LONE);
        self.lone.stage.set(Stage::Waiting);
        self.lone.owner.set(Some(owner));
        // Who had this place has left nothing in the note that would have to be dropped, and
        // looking whether that is so is work.
        std::mem::forget(self.lone.note.replace(Some(what)));
        Place {
            queue: self,
            key: LONE,
        }
    }

    /// Moves the lone one, who waits, into the list, which is empty.
    #[cold]
    fn move_lone(&self, nodes: &mut Nodes<W>) {
        self.first.set(NONE);
        let what = self.lone.note.take().expect(NOTE);
        let key = self.append(nodes, self.lone.owner.get(), what, None);
        self.lone.stage.set(Stage::Moved(key));
    }

    /// Enters a future, which leaves a waker in its note for whoever grants.
    pub(crate) fn enter_task(&self, what: W) -> Place<'_, W> {
        self.enter_as(None, what, None)
    }

    fn enter_as(&self, owner: Option<ThreadId>, what: W, claim: Option<Claim>) -> Place<'_, W> {
        let mut nodes = self.nodes.borrow_mut();
        self.head(&mut nodes);
        let key = self.append(&mut nodes, owner, what, claim);
        Place { queue: self, key }
    }

    #[inline]
    fn append(
        &self,
        nodes: &mut Nodes<W>,
        owner: Option<ThreadId>,
        what: W,
        claim: Option<Claim>,
    ) -> u32 {
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
        key
    }

    /// A place that was entered and then kept by its [key](Place::into_key).
    pub(crate) fn place(&self, key: u32) -> Place<'_, W> {
        Place { queue: self, key }
    }

    /// The first in the list, which all who wait are in now.
    #[inline]
    fn head(&self, nodes: &mut Nodes<W>) -> u32 {
        if self.has_lone() {
            self.move_lone(nodes);
        }
        self.first.get()
    }

    /// The first that may be granted something. Those leave the list that have got it elsewhere, or
    /// will unwind when they go on.
    #[inline]
    fn front(&self, nodes: &mut Nodes<W>) -> Option<u32> {
        loop {
            let first = self.head(nodes);
            if first == NONE {
                return None;
            }
            let node = nodes.at(first);
            if may_be_granted(node) {
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
        let given = give(node.what_mut());
        wake(owner);
        given
    }

    /// Takes a node out, wherever it is, and vacates its slot.
    #[inline]
    fn remove<R>(&self, key: u32, take: impl FnOnce(&mut Option<W>) -> R) -> R {
        let mut nodes = self.nodes.borrow_mut();
        let free = std::mem::replace(&mut nodes.free, key);
        let mut node = nodes.at(key);
        if node.state == State::Waiting {
            self.unlink(&mut nodes, key);
            node = nodes.at(key);
        }
        node.next = free;
        node.claim = None;
        take(&mut node.what)
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

const OWNER: &str = "who waits for a lock is a green thread";

/// Whether the owner will go on with what is granted to him.
#[inline]
fn may_be_granted<W>(node: &Node<W>) -> bool {
    !node.is_taken() && !will_unwind(node.owner)
}

/// Whether somebody has been interrupted and leaves.
#[inline]
fn will_unwind(owner: Option<ThreadId>) -> bool {
    owner.is_some_and(|owner| {
        scheduler::try_with(|scheduler| scheduler.will_unwind(owner)).unwrap_or(false)
    })
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
