//! The place beside the list, for the one who waits alone.

use std::cell::{Cell, RefCell, RefMut};

use super::nodes::NOTE;
use crate::scheduler::ThreadId;

/// The lone one, who is in no slot.
pub(super) const LONE: u32 = u32::MAX - 1;

/// The place beside the list.
pub(super) struct Lone<W> {
    pub(super) stage: Cell<Stage>,
    pub(super) owner: Cell<Option<ThreadId>>,
    pub(super) note: RefCell<Option<W>>,
}

impl<W> Lone<W> {
    pub(super) const fn new() -> Lone<W> {
        Lone {
            stage: Cell::new(Stage::Vacant),
            owner: Cell::new(None),
            note: RefCell::new(None),
        }
    }

    #[inline(always)]
    pub(super) fn note(&self) -> RefMut<'_, W> {
        RefMut::map(self.note.borrow_mut(), |note| note.as_mut().expect(NOTE))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Vacant,
    /// Its place is the first in the queue.
    Waiting,
    Granted,
    /// Into the list, to this slot.
    Moved(u32),
}
