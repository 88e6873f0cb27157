//! What one who waits has of the queue.

use super::WaitQueue;
use super::lone::{LONE, Stage};
use super::nodes::{NONE, NOTE, State};
use crate::scheduler::Nanos;
use crate::stats::Reason;
use crate::thread;

/// The place of a green thread in a queue; it leaves when this is dropped.
pub(crate) struct Place<'a, W> {
    pub(super) queue: &'a WaitQueue<W>,
    pub(super) key: u32,
}

impl<W> Place<'_, W> {
    #[inline]
    pub(crate) fn is_granted(&self) -> bool {
        let stage = self.queue.lone.stage.get();
        if self.key == LONE && stage == Stage::Granted {
            return true;
        }
        match self.slot() {
            Some(slot) => self.queue.nodes.borrow_mut().at(slot).state == State::Granted,
            None => false,
        }
    }

    /// Where it is in the list, if it is in there.
    fn slot(&self) -> Option<u32> {
        match self.queue.lone.stage.get() {
            Stage::Moved(slot) if self.key == LONE => Some(slot),
            _ if self.key == LONE => None,
            _ => Some(self.key),
        }
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
        match self.slot() {
            Some(slot) => change(self.queue.nodes.borrow_mut().at(slot).what_mut()),
            None => change(&mut self.queue.lone.note()),
        }
    }

    /// Stays in the queue, for the [place](WaitQueue::place) of that key to leave.
    pub(crate) fn into_key(self) -> u32 {
        let key = self.key;
        std::mem::forget(self);
        key
    }

    #[inline(always)]
    fn remove<R>(&self, take: impl FnOnce(&mut Option<W>) -> R) -> R {
        let queue = self.queue;
        if self.key != LONE {
            return queue.remove(self.key, take);
        }
        match queue.lone.stage.replace(Stage::Vacant) {
            Stage::Moved(slot) => return queue.remove(slot, take),
            Stage::Waiting => queue.first.set(NONE),
            Stage::Granted | Stage::Vacant => {}
        }
        take(&mut queue.lone.note.borrow_mut())
    }
}

impl<W> Drop for Place<'_, W> {
    fn drop(&mut self) {
        // The note may hold a user's value: it is dropped when the queue is not borrowed any more.
        let what = self.remove(Option::take);
        drop(what);
    }
}
