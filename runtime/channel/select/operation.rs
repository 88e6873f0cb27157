//! What a select does with the ends of channels, whatever their messages are.

use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use super::super::core::Slot;
use super::super::{Receiver, RecvError, SendError, Sender};
use crate::wait_queue::Claim;

/// One end of a channel, as a select sees it.
pub(super) trait Operation {
    /// Which end it is.
    fn end(&self) -> *const ();
    fn channel(&self) -> *const ();
    /// Whether it could be done now by the owner of the claim.
    fn is_ready(&self, claim: Option<&Claim>) -> bool;
    /// Whether it would be if another select decided so.
    fn is_offered(&self, claim: Option<&Claim>) -> bool;
    /// When it will be, if the clock says so.
    fn next(&self) -> Option<Instant>;
    fn enter(&self, claim: &Claim) -> u32;
    /// Lets others know that it has entered.
    fn announce(&self);
    fn is_granted(&self, key: u32) -> bool;
    fn leave(&self, key: u32);
    /// Passes on what somebody else was kept from while it waited.
    fn withdraw(&self);
    fn watch(&self, claim: &Claim) -> u32;
    fn unwatch(&self, key: u32);
}

impl<T> Operation for Sender<T> {
    fn end(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }

    fn channel(&self) -> *const () {
        Rc::as_ptr(&self.core).cast()
    }

    fn is_ready(&self, claim: Option<&Claim>) -> bool {
        self.core.can_send(claim)
    }

    fn is_offered(&self, _: Option<&Claim>) -> bool {
        false
    }

    fn next(&self) -> Option<Instant> {
        None
    }

    fn enter(&self, claim: &Claim) -> u32 {
        let claim = Some(Rc::clone(claim));
        self.core.to_send.enter(None, claim).into_key()
    }

    fn announce(&self) {
        self.core.notify();
    }

    fn is_granted(&self, key: u32) -> bool {
        let place = self.core.to_send.place(key);
        let granted = place.is_granted();
        place.into_key();
        granted
    }

    fn leave(&self, key: u32) {
        self.core.to_send.place(key).leave();
    }

    fn withdraw(&self) {
        self.core.withdraw();
    }

    fn watch(&self, claim: &Claim) -> u32 {
        let claim = Some(Rc::clone(claim));
        self.core.watchers.enter((), claim).into_key()
    }

    fn unwatch(&self, key: u32) {
        self.core.watchers.place(key).leave();
    }
}

impl<T> Operation for Receiver<T> {
    fn end(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }

    fn channel(&self) -> *const () {
        Rc::as_ptr(&self.core).cast()
    }

    fn is_ready(&self, claim: Option<&Claim>) -> bool {
        self.core.can_receive(claim)
    }

    fn is_offered(&self, claim: Option<&Claim>) -> bool {
        self.core.is_offered(claim)
    }

    fn next(&self) -> Option<Instant> {
        self.core.timer.as_ref().and_then(|timer| timer.next())
    }

    fn enter(&self, claim: &Claim) -> u32 {
        let claim = Some(Rc::clone(claim));
        self.core.to_receive.enter(Slot::EMPTY, claim).into_key()
    }

    fn announce(&self) {
        self.core.settle();
        self.core.notify();
    }

    fn is_granted(&self, key: u32) -> bool {
        let place = self.core.to_receive.place(key);
        let granted = place.is_granted();
        place.into_key();
        granted
    }

    fn leave(&self, key: u32) {
        if let Some(message) = self.core.to_receive.place(key).leave().message {
            self.core.put_back(message);
        }
    }

    fn withdraw(&self) {}

    fn watch(&self, claim: &Claim) -> u32 {
        let claim = Some(Rc::clone(claim));
        self.core.watchers.enter((), claim).into_key()
    }

    fn unwatch(&self, key: u32) {
        self.core.watchers.place(key).leave();
    }
}

/// An operation that was selected and must be completed.
#[must_use = "a selected operation must be completed"]
pub struct SelectedOperation<'a> {
    index: usize,
    operation: &'a dyn Operation,
    /// The place in which what was granted lies, if it was.
    key: Option<u32>,
}

impl<'a> SelectedOperation<'a> {
    pub(super) fn new(
        index: usize,
        operation: &'a dyn Operation,
        key: Option<u32>,
    ) -> SelectedOperation<'a> {
        SelectedOperation {
            index,
            operation,
            key,
        }
    }

    /// The channel it is done in.
    pub(super) fn channel(&self) -> *const () {
        self.operation.channel()
    }

    /// Its index, as told when it was added.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Completes a send.
    ///
    /// # Errors
    ///
    /// If there is no receiver any more; the message is in the error.
    ///
    /// # Panics
    ///
    /// If another sender, or a receiver, was selected.
    #[track_caller]
    pub fn send<T>(self, sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
        assert!(
            self.operation.end() == Operation::end(sender),
            "passed a sender that wasn't selected"
        );
        if let Some(key) = self.key {
            sender.core.to_send.place(key).leave();
        }
        std::mem::forget(self);
        sender.core.send_chosen(message).map_err(SendError)
    }

    /// Completes a receive.
    ///
    /// # Errors
    ///
    /// If the channel is empty and there is no sender any more.
    ///
    /// # Panics
    ///
    /// If another receiver, or a sender, was selected.
    #[track_caller]
    pub fn recv<T>(self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        assert!(
            self.operation.end() == Operation::end(receiver),
            "passed a receiver that wasn't selected"
        );
        let key = self.key;
        std::mem::forget(self);
        match key {
            Some(key) => {
                let slot = receiver.core.to_receive.place(key).leave();
                slot.message.ok_or(RecvError)
            }
            None => {
                let received = receiver.recv();
                receiver.core.withdraw();
                received
            }
        }
    }
}

impl Drop for SelectedOperation<'_> {
    /// What it was granted goes to the next. Nobody forgets this on purpose, so it panics.
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.operation.leave(key);
        }
        self.operation.withdraw();
        if !std::thread::panicking() {
            panic!("dropped `SelectedOperation` without completing the operation");
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}
