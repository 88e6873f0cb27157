//! The channel itself: a buffer, those who wait to send, and those who wait to receive.
//!
//! What waits where, whenever nobody is at work here:
//!
//! * Who waits to receive has an empty note; a message is moved into it, and he is granted.
//! * Who waits to send has his message in his note; it is moved out, and he is granted.
//! * A *select* that waits to send has an empty note, for its message is not made before it is
//!   chosen. It cannot be granted a message's place: it is poked, and looks again.
//! * So if a message and somebody to take it are there together, or a message and room in the
//!   buffer, then a select that waits to send stands before them and has been poked. It acts or
//!   leaves when it runs, and nobody overtakes it until then.
//! * A grant that changes nothing in the note says that the other side is gone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use super::error::{SendTimeoutError, TryRecvError, TrySendError};
use super::timer::Timer;
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::thread::{self, LocalWaker};
use crate::wait_queue::{Claim, Place, WaitQueue, is_same};

/// What a receiver leaves in the queue: a place for a message, and whom to wake beside his green
/// thread.
pub(super) struct Slot<T> {
    pub(super) message: Option<T>,
    pub(super) waker: Option<LocalWaker>,
}

impl<T> Slot<T> {
    pub(super) const EMPTY: Slot<T> = Slot {
        message: None,
        waker: None,
    };

    fn fill(&mut self, message: T) -> Option<LocalWaker> {
        self.message = Some(message);
        self.waker.take()
    }
}

/// How far a receive has come without waiting.
enum Begun<'a, T> {
    Done(Result<T, TryRecvError>),
    Waits(Place<'a, Slot<T>>),
    Timer(&'a Timer<T>),
}

/// What the ends of a channel share.
pub(super) struct Core<T> {
    buffer: RefCell<VecDeque<T>>,
    /// Messages that the buffer holds at most.
    capacity: usize,
    pub(super) to_send: WaitQueue<Option<T>>,
    pub(super) to_receive: WaitQueue<Slot<T>>,
    /// Selects that wait until something can be done, without doing it.
    pub(super) watchers: WaitQueue,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Makes the messages, if nobody sends them.
    pub(super) timer: Option<Timer<T>>,
}

impl<T> Core<T> {
    /// A channel with one sender and one receiver.
    pub(super) fn new(capacity: Option<usize>, timer: Option<Timer<T>>) -> Core<T> {
        Core {
            buffer: RefCell::new(VecDeque::new()),
            capacity: capacity.unwrap_or(usize::MAX),
            to_send: WaitQueue::new(),
            to_receive: WaitQueue::new(),
            watchers: WaitQueue::new(),
            senders: Cell::new(1),
            receivers: Cell::new(1),
            timer,
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.borrow().len()
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.buffer.borrow().len() < self.capacity
    }

    #[inline]
    pub(super) fn has_senders(&self) -> bool {
        self.senders.get() > 0
    }

    #[inline]
    pub(super) fn has_receivers(&self) -> bool {
        self.receivers.get() > 0
    }

    /// Sends without waiting.
    #[inline(never)]
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        if !self.has_receivers() {
            return Err(TrySendError::Disconnected(message));
        }
        if self.to_send.is_empty() || self.may_pass(None) {
            self.put(message).map_err(TrySendError::Full)
        } else {
            Err(TrySendError::Full(message))
        }
    }

    /// Sends; waits for a receiver or for room. Inlined as [`recv`](Core::recv) is.
    #[inline(always)]
    #[track_caller]
    pub(super) fn send(
        &self,
        message: T,
        deadline: impl FnOnce() -> Option<Nanos>,
    ) -> Result<(), SendTimeoutError<T>> {
        let sent = if self.to_receive.has_lone() && self.to_send.is_empty() {
            self.give_to_lone(message)
                .or_else(|message| self.try_send(message))
        } else {
            self.try_send(message)
        };
        let message = match sent {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(message)) => {
                return Err(SendTimeoutError::Disconnected(message));
            }
            Err(TrySendError::Full(message)) => message,
        };
        let place = self.to_send.enter(Some(message), None);
        self.notify();
        let granted = place.wait_for_grant(Reason::Channel, deadline());
        match place.leave_with(Option::take) {
            None => Ok(()),
            Some(message) if granted => Err(SendTimeoutError::Disconnected(message)),
            Some(message) => Err(SendTimeoutError::Timeout(message)),
        }
    }

    /// Hands a message to the first who waits for one, or puts it into the buffer if there is room.
    #[inline(always)]
    pub(super) fn put(&self, message: T) -> Result<(), T> {
        self.give(message).or_else(|message| self.push(message))
    }

    /// Hands a message to the first who waits for one.
    #[inline(always)]
    fn give(&self, message: T) -> Result<(), T> {
        let waker = self.to_receive.grant_with(message, Slot::fill)?;
        if let Some(waker) = waker {
            wake(waker);
        }
        Ok(())
    }

    /// Hands a message to the lone green thread that waits for one.
    #[inline(always)]
    fn give_to_lone(&self, message: T) -> Result<(), T> {
        self.to_receive.grant_lone(message, |slot, message| {
            debug_assert!(slot.waker.is_none(), "a future is in the list");
            slot.message = Some(message);
        })
    }

    #[inline]
    fn push(&self, message: T) -> Result<(), T> {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() >= self.capacity {
            return Err(message);
        }
        buffer.push_back(message);
        drop(buffer);
        self.notify();
        Ok(())
    }

    /// Receives without waiting.
    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.take() {
            Some(message) => Ok(message),
            None => self.nothing(),
        }
    }

    /// There is no message; perhaps a select is about to send one.
    #[cold]
    fn nothing(&self) -> Result<T, TryRecvError> {
        if !self.has_senders() {
            return Err(TryRecvError::Disconnected);
        }
        if self.is_offered(None) {
            if let Some(message) = self.accept() {
                return Ok(message);
            }
        }
        Err(TryRecvError::Empty)
    }

    /// Waits for the select that is the first to send, which chooses soon whether it does.
    fn accept(&self) -> Option<T> {
        let place = self.to_receive.enter(Slot::EMPTY, None);
        self.settle();
        let decided = || place.is_granted() || !self.is_offered(None);
        thread::park_until(Reason::Channel, None, decided);
        place.leave().message
    }

    /// Receives; waits for a message.
    ///
    /// All that lies around the switch is inlined, for a return from a call in which another stack
    /// was switched to is a return that the processor predicts wrongly. What comes before and after
    /// is not.
    #[inline(always)]
    #[track_caller]
    pub(super) fn recv(&self, deadline: impl FnOnce() -> Option<Nanos>) -> Result<T, TryRecvError> {
        let place = if self.is_quiet() {
            self.enter()
        } else {
            match self.take_or_enter() {
                Begun::Done(result) => return result,
                Begun::Waits(place) => place,
                Begun::Timer(timer) => return self.wait_for_timer(timer, deadline()),
            }
        };
        let granted = place.wait_for_grant(Reason::Channel, deadline());
        let message = place.leave_with(|slot| slot.message.take());
        message.ok_or(if granted {
            TryRecvError::Disconnected
        } else {
            TryRecvError::Empty
        })
    }

    /// Whether all there is to do is to wait.
    #[inline(always)]
    fn is_quiet(&self) -> bool {
        self.buffer.borrow().is_empty()
            && self.to_send.is_empty()
            && self.timer.is_none()
            && self.has_senders()
    }

    /// Takes a message, or enters the queue of those who wait for one.
    #[inline(never)]
    #[track_caller]
    fn take_or_enter(&self) -> Begun<'_, T> {
        if let Some(message) = self.take() {
            return Begun::Done(Ok(message));
        }
        if !self.has_senders() {
            return Begun::Done(Err(TryRecvError::Disconnected));
        }
        if let Some(timer) = &self.timer {
            return Begun::Timer(timer);
        }
        let place = self.enter();
        self.settle();
        Begun::Waits(place)
    }

    /// Enters the queue of those who wait for a message.
    #[inline(always)]
    #[track_caller]
    fn enter(&self) -> Place<'_, Slot<T>> {
        let place = self.to_receive.enter(Slot::EMPTY, None);
        self.notify();
        place
    }

    #[cold]
    #[track_caller]
    fn wait_for_timer(&self, timer: &Timer<T>, deadline: Option<Nanos>) -> Result<T, TryRecvError> {
        loop {
            if let Some(message) = timer.take() {
                return Ok(message);
            }
            let next = timer.next().map(at);
            let until = earlier(next, deadline);
            thread::park_until(Reason::Channel, until, || timer.next().map(at) != next);
            let is_late = |deadline| scheduler::with(|scheduler| scheduler.has_passed(deadline));
            if deadline.is_some_and(is_late) {
                return timer.take().ok_or(TryRecvError::Empty);
            }
        }
    }

    /// Takes the first message.
    #[inline]
    fn take(&self) -> Option<T> {
        let first = self.buffer.borrow_mut().pop_front();
        match first {
            Some(message) => Some(self.taken(message)),
            None => self.take_elsewhere(),
        }
    }

    /// There is room now.
    #[inline]
    fn taken(&self, message: T) -> T {
        if !self.to_send.is_empty() {
            self.settle();
        }
        self.notify();
        message
    }

    /// Takes a message out of the note of the first sender, or the timer's.
    #[inline]
    fn take_elsewhere(&self) -> Option<T> {
        if let Some(timer) = &self.timer {
            return timer.take();
        }
        if self.to_send.is_empty() {
            return None;
        }
        let first = self.first_sender(None)?;
        // If that is a select, its note is empty.
        self.has_note(first)
            .then(|| self.to_send.grant_at(first, Option::take))
            .flatten()
    }

    /// The first sender who is not the owner of `claim`.
    fn first_sender(&self, claim: Option<&Claim>) -> Option<u32> {
        self.to_send.find(|other, _| !is_same(claim, other))
    }

    fn has_note(&self, sender: u32) -> bool {
        self.to_send.look_at(sender, |_, note| note.is_some())
    }

    /// Whether a select of somebody else, who is not `claim`, would be the next to send.
    pub(super) fn is_offered(&self, claim: Option<&Claim>) -> bool {
        self.first_sender(claim)
            .is_some_and(|first| !self.has_note(first))
    }

    /// The first who waits to send and could: there is room, or somebody else waits to receive.
    fn first_able(&self) -> Option<u32> {
        let room = self.has_room();
        self.to_send
            .find(|claim, _| room || self.to_receive.has_other(claim))
    }

    /// Whether somebody with this claim, or none, would overtake nobody who waits to send.
    pub(super) fn may_pass(&self, claim: Option<&Claim>) -> bool {
        self.first_able().is_none_or(|first| {
            self.to_send
                .look_at(first, |other, _| is_same(claim, other))
        })
    }

    /// Whether one with this claim, or none, could send now.
    pub(super) fn can_send(&self, claim: Option<&Claim>) -> bool {
        !self.has_receivers()
            || (self.has_room() || self.to_receive.has_other(claim)) && self.may_pass(claim)
    }

    /// Whether one with this claim, or none, could receive now.
    pub(super) fn can_receive(&self, claim: Option<&Claim>) -> bool {
        !self.has_senders()
            || self.len() > 0
            || self.timer.as_ref().is_some_and(Timer::is_due)
            || self
                .first_sender(claim)
                .is_some_and(|first| self.has_note(first))
    }

    /// Serves those who wait to send, as far as there is room or somebody to take their messages.
    #[cold]
    pub(super) fn settle(&self) {
        while let Some(first) = self.first_able() {
            if !self.has_note(first) {
                return self.to_send.poke(first);
            }
            let message = self.to_send.grant_at(first, Option::take);
            let message = message.expect("a note that is full stays so until it is granted");
            if self.put(message).is_err() {
                unreachable!("there is room, or somebody who waits");
            }
        }
    }

    /// A select that waited to send has gone without.
    pub(super) fn withdraw(&self) {
        self.settle();
        // Who waits for its decision learns that it will not come.
        self.to_receive.poke_all();
    }

    /// Puts back, before all others, a message that was taken for somebody who is gone.
    pub(super) fn put_back(&self, message: T) {
        if !self.has_receivers() {
            return;
        }
        if let Err(message) = self.give(message) {
            self.buffer.borrow_mut().push_front(message);
            self.notify();
        }
    }

    /// Something has changed: those who only watch are told.
    #[inline]
    pub(super) fn notify(&self) {
        if !self.watchers.is_empty() {
            self.tell_watchers();
        }
    }

    #[cold]
    fn tell_watchers(&self) {
        self.watchers.grant_all();
    }

    /// Sends on behalf of a select that was told it could, and so before those who wait.
    #[track_caller]
    pub(super) fn send_chosen(&self, message: T) -> Result<(), T> {
        if !self.has_receivers() {
            return Err(message);
        }
        let sent = self.put(message);
        self.withdraw();
        // It has waited between being told and sending, and somebody else was faster.
        sent.or_else(|message| {
            self.send(message, || None)
                .map_err(SendTimeoutError::into_inner)
        })
    }

    pub(super) fn add_sender(&self) {
        self.senders.set(self.senders.get() + 1);
    }

    pub(super) fn add_receiver(&self) {
        self.receivers.set(self.receivers.get() + 1);
    }

    /// A sender is gone; with the last, who waits for a message learns that none will come.
    pub(super) fn remove_sender(&self) {
        self.senders.set(self.senders.get() - 1);
        if !self.has_senders() {
            while let Some(waker) = self.to_receive.grant(|slot| slot.waker.take()) {
                waker.into_iter().for_each(wake);
            }
            self.notify();
        }
    }

    /// A receiver is gone; with the last, messages go too, and who waits to send has his own back.
    pub(super) fn remove_receiver(&self) {
        self.receivers.set(self.receivers.get() - 1);
        if !self.has_receivers() {
            self.to_send.grant_all();
            self.notify();
            let unread = self.buffer.take();
            drop(unread);
        }
    }
}

/// Wakes a future. If that panics, it was printed, and harms neither who sends nor the others.
#[cold]
fn wake(waker: LocalWaker) {
    thread::contain(|| waker.wake());
}

/// An instant on the scheduler's clock.
#[track_caller]
pub(super) fn at(instant: Instant) -> Nanos {
    scheduler::with(|scheduler| scheduler.at(instant))
}

/// The earlier of two deadlines.
pub(super) fn earlier(one: Option<Nanos>, other: Option<Nanos>) -> Option<Nanos> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
