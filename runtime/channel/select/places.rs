//! The places of a select that waits, in the queues of all its channels.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::{Select, SelectedOperation};
use crate::wait_queue::Claim;

/// The places of a select that waits; it leaves them when this is dropped.
pub(super) struct Entered<'s, 'a> {
    select: &'s Select<'a>,
    pub(super) claim: Claim,
    /// One for each operation, until it has left.
    keys: RefCell<Vec<Option<u32>>>,
    /// The channel of the operation that was chosen and is going to be done.
    chosen: Cell<Option<*const ()>>,
}

impl<'s, 'a> Entered<'s, 'a> {
    #[track_caller]
    pub(super) fn new(select: &'s Select<'a>) -> Entered<'s, 'a> {
        let entered = Entered {
            select,
            claim: Rc::default(),
            keys: RefCell::new(Vec::with_capacity(select.operations.len())),
            chosen: Cell::new(None),
        };
        for (_, operation) in &select.operations {
            let key = operation.enter(&entered.claim);
            entered.keys.borrow_mut().push(Some(key));
        }
        for (_, operation) in &select.operations {
            operation.announce();
        }
        entered
    }

    /// The operation that took the claim.
    pub(super) fn granted(self) -> SelectedOperation<'a> {
        let operations = self.select.operations.iter();
        let mut keys = self.keys.borrow_mut();
        let place = operations
            .zip(keys.iter())
            .position(|((_, operation), key)| key.is_some_and(|key| operation.is_granted(key)));
        let place = place.expect("whoever takes the claim grants a place");
        let key = keys[place].take();
        drop(keys);
        self.select.selected(place, key)
    }

    /// That operation, which is ready.
    pub(super) fn choose(self, place: usize) -> SelectedOperation<'a> {
        let selected = self.select.selected(place, None);
        self.chosen.set(Some(selected.channel()));
        selected
    }
}

impl Drop for Entered<'_, '_> {
    fn drop(&mut self) {
        // From here on, nobody grants what nobody will take.
        self.claim.set(true);
        let keys = self.keys.take();
        let left = self.select.operations.iter().zip(keys);
        for ((_, operation), key) in left.clone() {
            if let Some(key) = key {
                operation.leave(key);
            }
        }
        for ((_, operation), _) in left {
            // There the chosen one comes first, and passes on what is left.
            if self.chosen.get() != Some(operation.channel()) {
                operation.withdraw();
            }
        }
    }
}

/// The places of a select among the watchers.
pub(super) struct Watching<'s, 'a> {
    select: &'s Select<'a>,
    pub(super) claim: Claim,
    keys: Vec<u32>,
}

impl<'s, 'a> Watching<'s, 'a> {
    #[track_caller]
    pub(super) fn new(select: &'s Select<'a>) -> Watching<'s, 'a> {
        let claim = Claim::default();
        let operations = select.operations.iter();
        let keys = operations
            .map(|(_, operation)| operation.watch(&claim))
            .collect();
        Watching {
            select,
            claim,
            keys,
        }
    }
}

impl Drop for Watching<'_, '_> {
    fn drop(&mut self) {
        for ((_, operation), key) in self.select.operations.iter().zip(&self.keys) {
            operation.unwatch(*key);
        }
    }
}
