//! What the launcher keeps for its workers: what they share by name, and the places of the board,
//! and who has them. A slot of the launcher has two workers while one replaces the other, so a
//! place belongs to a worker and not to a slot.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::rc::Rc;

use super::board::{Board, SLOTS, Slot};
use super::names::Names;

/// The board with a note of what is taken.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) board: Board,
    taken: RefCell<Vec<bool>>,
    pub(super) names: Names,
}

/// The place of one worker, given back when this is dropped.
pub(super) struct Record {
    records: Rc<Records>,
    pub(super) index: usize,
}

impl Records {
    pub(super) fn new() -> io::Result<Rc<Records>> {
        Ok(Records::on(Board::create(SLOTS)?))
    }

    /// With a board that another launcher has made; its workers [`take`](Records::take) their
    /// places again.
    pub(super) fn on(board: Board) -> Rc<Records> {
        let taken = RefCell::new(vec![false; board.len()]);
        Rc::new(Records {
            board,
            taken,
            names: Names::default(),
        })
    }

    /// A free place.
    pub(super) fn any(self: &Rc<Records>) -> io::Result<Record> {
        let free = self.taken.borrow().iter().position(|taken| !taken);
        let index = free.ok_or_else(|| io::Error::other("too many workers are still ending"))?;
        let record = self.take(index);
        record.clear();
        Ok(record)
    }

    /// That place.
    pub(super) fn take(self: &Rc<Records>, index: usize) -> Record {
        self.taken.borrow_mut()[index] = true;
        Record {
            records: Rc::clone(self),
            index,
        }
    }
}

impl Record {
    pub(super) fn names(&self) -> &Names {
        &self.records.names
    }
}

impl Deref for Record {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        self.records.board.slot(self.index)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.clear();
        self.records.taken.borrow_mut()[self.index] = false;
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Record").field(&self.index).finish()
    }
}
