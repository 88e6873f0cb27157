//! Slots whose queue nobody empties, and the siblings that do so meanwhile.
//!
//! The kernel goes on putting connections into the queue of a slot whose worker is stalled, dead or
//! removed: it knows sockets, not workers. The launcher has the socket too. So it sends it to the
//! workers of the other slots, who accept from it beside their own (`net::adoption`), until there
//! is somebody again.
//!
//! A message that does not reach a worker, because it does not listen either, is forgotten. What it
//! misses is harmless: to adopt, and others do; or to release, and it helps somebody who needs no
//! help.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::child::Child;
use super::supervisor::Supervisor;
use super::wire::Line;

/// The slots that siblings look after.
#[derive(Debug, Default)]
pub(super) struct Orphans(RefCell<BTreeSet<usize>>);

impl Orphans {
    pub(super) fn contains(&self, slot: usize) -> bool {
        self.0.borrow().contains(&slot)
    }

    /// Nobody empties that slot's queue.
    pub(super) fn add(&self, boss: &Supervisor, slot: usize) {
        if !boss.is_stopping() && self.0.borrow_mut().insert(slot) {
            for sibling in boss.serving() {
                give(boss, slot, &sibling);
            }
        }
    }

    /// Somebody does again.
    pub(super) fn remove(&self, boss: &Supervisor, slot: usize) {
        if self.0.borrow_mut().remove(&slot) {
            let release = Line::new("release").field("slot", slot);
            for sibling in boss.serving() {
                let _ = sibling.tell(&release, &[]);
            }
        }
    }

    /// A worker is ready, and takes its share.
    pub(super) fn share(&self, boss: &Supervisor, child: &Child) {
        if boss.is_stopping() {
            return;
        }
        let orphans = self.0.borrow().clone();
        for slot in orphans {
            give(boss, slot, child);
        }
    }
}

fn give(boss: &Supervisor, slot: usize, sibling: &Child) {
    if sibling.id == slot {
        return;
    }
    boss.sockets.borrow().with_queues_of(slot, |indices, fds| {
        if !fds.is_empty() {
            let adopt = Line::new("adopt").field("slot", slot);
            let _ = sibling.tell(&adopt.field("sockets", indices), fds);
        }
    });
}
