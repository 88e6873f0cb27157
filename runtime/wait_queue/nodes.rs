//! The list of those who wait, linked through the slots of a vector.

use super::Claim;
use crate::scheduler::ThreadId;

/// No node.
pub(super) const NONE: u32 = u32::MAX;
pub(super) const NOTE: &str = "who is in the queue has a note there";

/// The nodes of one queue, in slots.
pub(super) struct Nodes<W> {
    slots: Vec<Node<W>>,
    /// The first free slot; `next` leads to the others.
    pub(super) free: u32,
}

/// One who waits, or has not collected yet.
pub(super) struct Node<W> {
    /// Whom to wake; whoever waits in a future has left a waker in his note.
    pub(super) owner: Option<ThreadId>,
    /// What is left of it in a free slot is nobody's.
    pub(super) what: Option<W>,
    pub(super) claim: Option<Claim>,
    pub(super) previous: u32,
    pub(super) next: u32,
    pub(super) state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// In the list.
    Waiting,
    /// Out of the list, for the owner to collect.
    Granted,
    /// Out of the list, for another queue has granted.
    PassedOver,
}

impl<W> Nodes<W> {
    pub(super) const fn new() -> Nodes<W> {
        Nodes {
            slots: Vec::new(),
            free: NONE,
        }
    }

    #[inline]
    pub(super) fn at(&mut self, key: u32) -> &mut Node<W> {
        &mut self.slots[key as usize]
    }

    /// One more slot, which is free.
    #[cold]
    pub(super) fn grow(&mut self) -> u32 {
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
    pub(super) fn what(&self) -> &W {
        self.what.as_ref().expect(NOTE)
    }

    #[inline]
    pub(super) fn what_mut(&mut self) -> &mut W {
        self.what.as_mut().expect(NOTE)
    }

    /// Whether another queue has granted to its owner.
    #[inline]
    pub(super) fn is_taken(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.get())
    }
}
