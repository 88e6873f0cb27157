//! What the ends of a channel between OS threads share: a buffer, and who waits, under a lock.
//!
//! As between green threads, whoever has something gives it to the first who waits; so who is woken
//! has what he waited for, and no wake-up is lost with one who is cancelled.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slab::Slab;

use super::super::error::{SendTimeoutError, TryRecvError, TrySendError};
use crate::coroutine;
use crate::scheduler;
use crate::stats::Reason;
use crate::thread::{self, Wake};

/// The channel; messages are moved under its lock, but no user code runs there.
pub(super) struct Shared<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

pub(super) struct State<T> {
    pub(super) buffer: VecDeque<T>,
    /// Of those who wait, and of those who were granted and have not gone on yet.
    places: Slab<Place<T>>,
    /// Who waits, by place, first come first.
    pub(super) to_send: VecDeque<usize>,
    pub(super) to_receive: VecDeque<usize>,
    pub(super) senders: usize,
    pub(super) receivers: usize,
}

struct Place<T> {
    /// What a sender brings, and a receiver gets.
    message: Option<T>,
    /// `None` once it was granted.
    waiter: Option<Waiter>,
}

enum Waiter {
    Green(Wake),
    Os(std::thread::Thread),
}

impl Waiter {
    fn current() -> Waiter {
        if coroutine::is_running() {
            Waiter::Green(Wake::current())
        } else {
            Waiter::Os(std::thread::current())
        }
    }

    fn wake(self) {
        match self {
            // If its scheduler has ended, it does not wait any more.
            Waiter::Green(wake) => drop(wake.wake()),
            Waiter::Os(thread) => thread.unpark(),
        }
    }
}

impl<T> State<T> {
    /// Hands a message to the first who waits for one, or puts it into the buffer.
    fn put(&mut self, message: T, capacity: usize) -> Result<Option<Waiter>, T> {
        if let Some(key) = self.to_receive.pop_front() {
            let place = &mut self.places[key];
            place.message = Some(message);
            return Ok(place.waiter.take());
        }
        if self.buffer.len() >= capacity {
            return Err(message);
        }
        self.buffer.push_back(message);
        Ok(None)
    }

    /// Takes the first message, and lets the first sender who waits send his.
    fn take(&mut self, capacity: usize) -> Option<(T, Option<Waiter>)> {
        let first = self.buffer.pop_front();
        if first.is_some() && self.buffer.len() >= capacity {
            // A message that was put back had made it one too many.
            return first.map(|message| (message, None));
        }
        let Some(key) = self.to_send.pop_front() else {
            return first.map(|message| (message, None));
        };
        let place = &mut self.places[key];
        let waiter = place.waiter.take();
        let sent = place.message.take().expect("a sender brings a message");
        match first {
            Some(message) => {
                self.buffer.push_back(sent);
                Some((message, waiter))
            }
            None => Some((sent, waiter)),
        }
    }
}

impl<T> Shared<T> {
    /// A channel with one sender and one receiver.
    pub(super) fn new(capacity: usize) -> Shared<T> {
        Shared {
            capacity,
            state: Mutex::new(State {
                buffer: VecDeque::new(),
                places: Slab::new(),
                to_send: VecDeque::new(),
                to_receive: VecDeque::new(),
                senders: 1,
                receivers: 1,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = self.lock();
        if state.receivers == 0 {
            return Err(TrySendError::Disconnected(message));
        }
        let put = state.put(message, self.capacity);
        drop(state);
        let waiter = put.map_err(TrySendError::Full)?;
        waiter.into_iter().for_each(Waiter::wake);
        Ok(())
    }

    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.lock();
        let taken = state.take(self.capacity);
        let has_senders = state.senders > 0;
        drop(state);
        match taken {
            Some((message, waiter)) => {
                waiter.into_iter().for_each(Waiter::wake);
                Ok(message)
            }
            None if has_senders => Err(TryRecvError::Empty),
            None => Err(TryRecvError::Disconnected),
        }
    }

    #[track_caller]
    pub(super) fn send(
        &self,
        message: T,
        limit: Option<Duration>,
    ) -> Result<(), SendTimeoutError<T>> {
        spend_budget();
        let message = match self.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(message)) => {
                return Err(SendTimeoutError::Disconnected(message));
            }
            Err(TrySendError::Full(message)) => message,
        };
        let waiter = Waiter::current();
        let mut state = self.lock();
        if state.receivers == 0 {
            return Err(SendTimeoutError::Disconnected(message));
        }
        // Somebody may have come meanwhile.
        let message = match state.put(message, self.capacity) {
            Ok(other) => {
                drop(state);
                other.into_iter().for_each(Waiter::wake);
                return Ok(());
            }
            Err(message) => message,
        };
        let key = state.places.insert(Place {
            message: Some(message),
            waiter: Some(waiter),
        });
        state.to_send.push_back(key);
        drop(state);
        let waiting = Waiting {
            shared: self,
            key,
            receives: false,
        };
        let granted = waiting.wait(limit);
        match waiting.leave() {
            None => Ok(()),
            Some(message) if granted => Err(SendTimeoutError::Disconnected(message)),
            Some(message) => Err(SendTimeoutError::Timeout(message)),
        }
    }

    #[track_caller]
    pub(super) fn recv(&self, limit: Option<Duration>) -> Result<T, TryRecvError> {
        spend_budget();
        match self.try_recv() {
            Err(TryRecvError::Empty) => {}
            done => return done,
        }
        let waiter = Waiter::current();
        let mut state = self.lock();
        // Somebody may have come meanwhile.
        if let Some((message, other)) = state.take(self.capacity) {
            drop(state);
            other.into_iter().for_each(Waiter::wake);
            return Ok(message);
        }
        if state.senders == 0 {
            return Err(TryRecvError::Disconnected);
        }
        let key = state.places.insert(Place {
            message: None,
            waiter: Some(waiter),
        });
        state.to_receive.push_back(key);
        drop(state);
        let waiting = Waiting {
            shared: self,
            key,
            receives: true,
        };
        let granted = waiting.wait(limit);
        match waiting.leave() {
            Some(message) => Ok(message),
            None if granted => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Puts a message back before all others, or hands it to the first who waits.
    fn put_back(&self, message: T) {
        let mut state = self.lock();
        let waiter = match state.to_receive.pop_front() {
            Some(key) => {
                state.places[key].message = Some(message);
                state.places[key].waiter.take()
            }
            None if state.receivers > 0 => {
                state.buffer.push_front(message);
                None
            }
            None => {
                drop(state);
                return drop(message);
            }
        };
        drop(state);
        waiter.into_iter().for_each(Waiter::wake);
    }

    /// Wakes those, taken from one of the two queues, whom nobody will serve any more.
    pub(super) fn dismiss(&self, queue: impl FnOnce(&mut State<T>) -> VecDeque<usize>) {
        let mut state = self.lock();
        let queue = queue(&mut state);
        let waiters: Vec<Waiter> = queue
            .into_iter()
            .filter_map(|key| state.places[key].waiter.take())
            .collect();
        drop(state);
        waiters.into_iter().for_each(Waiter::wake);
    }
}

/// On a green thread; a busy channel must not keep the others waiting.
#[track_caller]
fn spend_budget() {
    if coroutine::is_running() {
        thread::spend_budget();
    }
}

/// The place of one who waits; it is left when this is dropped.
struct Waiting<'a, T> {
    shared: &'a Shared<T>,
    key: usize,
    receives: bool,
}

impl<T> Waiting<'_, T> {
    fn is_granted(&self) -> bool {
        self.shared.lock().places[self.key].waiter.is_none()
    }

    /// Waits for the grant, or until the limit has passed, and says whether it was granted.
    #[track_caller]
    fn wait(&self, limit: Option<Duration>) -> bool {
        if coroutine::is_running() {
            let deadline = limit.map(|limit| scheduler::with(|scheduler| scheduler.after(limit)));
            return thread::park_until(Reason::Channel, deadline, || self.is_granted());
        }
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        while !self.is_granted() {
            match deadline {
                None => std::thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    std::thread::park_timeout(left);
                }
            }
        }
        true
    }

    /// Leaves with the message, and takes it even if it came after the last look.
    fn leave(self) -> Option<T> {
        let message = self.remove();
        std::mem::forget(self);
        message
    }

    fn remove(&self) -> Option<T> {
        let mut state = self.shared.lock();
        let place = state.places.remove(self.key);
        if place.waiter.is_some() {
            let others = |&other: &usize| other != self.key;
            state.to_send.retain(others);
            state.to_receive.retain(others);
        }
        drop(state);
        // Its door is closed when the lock is free.
        place.message
    }
}

impl<T> Drop for Waiting<'_, T> {
    /// It is unwinding. A message that came after its last look goes to the next.
    fn drop(&mut self) {
        let message = self.remove();
        if self.receives {
            message
                .into_iter()
                .for_each(|message| self.shared.put_back(message));
        }
    }
}
