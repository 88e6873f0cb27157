//! Who holds a lock and where he took it, for the wait-for graph and its reports.

use std::cell::{Cell, RefCell};
use std::panic::Location;

use slab::Slab;

use crate::scheduler::{self, Held, Holder, Role, ThreadId};
use crate::stats::Reason;

/// The one holder of a lock.
#[derive(Debug)]
pub(super) struct Owner {
    kind: &'static str,
    thread: Cell<Option<ThreadId>>,
    /// `None` while the lock is free.
    taken_at: Cell<Option<&'static Location<'static>>>,
}

impl Owner {
    /// Of a lock that is free; `kind` is what reports call it.
    pub(super) const fn new(kind: &'static str) -> Owner {
        Owner {
            kind,
            thread: Cell::new(None),
            taken_at: Cell::new(None),
        }
    }

    #[inline]
    pub(super) fn is_taken(&self) -> bool {
        self.taken_at.get().is_some()
    }

    /// Whether the caller has it, or it was taken outside of `run` and so is the caller.
    pub(super) fn is_taken_by(&self, thread: Option<ThreadId>) -> bool {
        self.is_taken() && self.thread.get() == thread
    }

    /// The lock is the running green thread's now.
    #[inline]
    #[track_caller]
    pub(super) fn take(&self) {
        self.give(scheduler::running_id(), Location::caller());
    }

    #[inline]
    pub(super) fn give(&self, thread: Option<ThreadId>, taken_at: &'static Location<'static>) {
        self.thread.set(thread);
        self.taken_at.set(Some(taken_at));
    }

    #[inline]
    pub(super) fn free(&self) {
        self.taken_at.set(None);
    }
}

impl Held for Owner {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn reason(&self) -> Reason {
        Reason::Lock
    }

    fn each_holder(&self, each: &mut dyn FnMut(Holder)) {
        if self.is_taken() {
            each(Holder {
                thread: self.thread.get(),
                role: Role::Holder,
                at: self.taken_at.get(),
            });
        }
    }
}

/// The holders of a lock that many may have at once. One alone needs no memory.
#[derive(Debug)]
pub(super) struct Owners {
    first: Owner,
    more: RefCell<Slab<Holder>>,
}

/// Which of the [`Owners`].
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnerKey(Option<usize>);

impl Owners {
    pub(super) const fn new(kind: &'static str) -> Owners {
        Owners {
            first: Owner::new(kind),
            more: RefCell::new(Slab::new()),
        }
    }

    #[inline]
    pub(super) fn add(
        &self,
        thread: Option<ThreadId>,
        taken_at: &'static Location<'static>,
    ) -> OwnerKey {
        if self.first.is_taken() {
            let holder = Holder {
                thread,
                role: Role::Holder,
                at: Some(taken_at),
            };
            return OwnerKey(Some(self.more.borrow_mut().insert(holder)));
        }
        self.first.give(thread, taken_at);
        OwnerKey(None)
    }

    #[inline]
    pub(super) fn remove(&self, key: OwnerKey) {
        match key.0 {
            None => self.first.free(),
            Some(key) => drop(self.more.borrow_mut().remove(key)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.first.is_taken() && self.more.borrow().is_empty()
    }
}

impl Held for Owners {
    fn kind(&self) -> &'static str {
        self.first.kind
    }

    fn reason(&self) -> Reason {
        Reason::Lock
    }

    fn each_holder(&self, each: &mut dyn FnMut(Holder)) {
        self.first.each_holder(each);
        self.more
            .borrow()
            .iter()
            .for_each(|(_, &holder)| each(holder));
    }
}
