//! Channels between OS threads.
//!
//! Both ends are `Send` and `Sync` and may be used on every OS thread. On a green thread they park
//! that and nobody else, wherever the other end is: whoever sends or receives wakes the scheduler
//! on the other side. On an OS thread without a scheduler they stop that, as std's channels do.
//!
//! ```
//! use sedge::channel::remote;
//!
//! let (requests, incoming) = remote::bounded(4);
//! let (replies, results) = remote::unbounded();
//! let worker = std::thread::spawn(move || {
//!     for number in incoming {
//!         replies.send(number * 2).unwrap(); // a computation that must not stop the scheduler
//!     }
//! });
//! sedge::run(|| {
//!     let asker = sedge::spawn(move || (1..=3).try_for_each(|number| requests.send(number)));
//!     assert_eq!(results.iter().sum::<i32>(), 12);
//!     asker.join().unwrap().unwrap();
//! });
//! worker.join().unwrap();
//! ```
//!
//! A scheduler with a green thread that waits here is idle, not deadlocked, as long as the other
//! side exists; so a program that waits here for itself hangs without a report. A message that
//! nobody can receive any more comes back: a receiver that lived on a green thread is gone when
//! [`run`](crate::run) has returned.
//!
//! What differs from the channels between green threads: messages must be `Send`, a message costs a
//! lock, [`select!`](crate::channel::select) does not take these ends, and a green thread that
//! sends or receives spends from its I/O budget, so that a busy neighbour does not starve the
//! others.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slab::Slab;

use super::error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use crate::coroutine;
use crate::scheduler;
use crate::stats::Reason;
use crate::thread::{self, Wake};

/// A channel between OS threads that holds any number of messages.
#[must_use]
pub fn unbounded<T: Send>() -> (Sender<T>, Receiver<T>) {
    pair(usize::MAX)
}

/// A channel between OS threads that holds at most `capacity` messages; with none, a send waits
/// until its message is taken.
#[must_use]
pub fn bounded<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    pair(capacity)
}

fn pair<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        capacity,
        state: Mutex::new(State {
            buffer: VecDeque::new(),
            places: Slab::new(),
            to_send: VecDeque::new(),
            to_receive: VecDeque::new(),
            senders: 1,
            receivers: 1,
        }),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    (sender, Receiver { shared })
}

/// The end that messages are sent into, from every OS thread.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end that messages are received from, on every OS thread.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// The channel; messages are moved under its lock, but no user code runs there.
struct Shared<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    buffer: VecDeque<T>,
    /// Of those who wait, and of those who were granted and have not gone on yet.
    places: Slab<Place<T>>,
    /// Who waits, by place, first come first.
    to_send: VecDeque<usize>,
    to_receive: VecDeque<usize>,
    senders: usize,
    receivers: usize,
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
    fn take(&mut self) -> Option<(T, Option<Waiter>)> {
        let first = self.buffer.pop_front();
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
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
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

    fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.lock();
        let taken = state.take();
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
    fn send(&self, message: T, limit: Option<Duration>) -> Result<(), SendTimeoutError<T>> {
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
    fn recv(&self, limit: Option<Duration>) -> Result<T, TryRecvError> {
        spend_budget();
        match self.try_recv() {
            Err(TryRecvError::Empty) => {}
            done => return done,
        }
        let waiter = Waiter::current();
        let mut state = self.lock();
        // Somebody may have come meanwhile.
        if let Some((message, other)) = state.take() {
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
    fn dismiss(&self, queue: impl FnOnce(&mut State<T>) -> VecDeque<usize>) {
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

impl<T: Send> Sender<T> {
    /// Sends `message`, and waits while the channel is full.
    ///
    /// # Errors
    ///
    /// If there is no receiver any more; the message is in the error.
    #[track_caller]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let sent = self.shared.send(message, None);
        sent.map_err(|error| SendError(error.into_inner()))
    }

    /// Sends `message` if it need not wait.
    ///
    /// # Errors
    ///
    /// If the channel is full, or there is no receiver any more; the message is in the error.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.shared.try_send(message)
    }

    /// As [`send`](Sender::send), for at most `limit`.
    ///
    /// # Errors
    ///
    /// If the time has passed, or there is no receiver any more; the message is in the error.
    #[track_caller]
    pub fn send_timeout(&self, message: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        self.shared.send(message, Some(limit))
    }
}

impl<T: Send> Receiver<T> {
    /// Takes the next message, and waits for it if there is none.
    ///
    /// # Errors
    ///
    /// If the channel is empty and there is no sender any more.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.shared.recv(None).map_err(|_| RecvError)
    }

    /// Takes the next message if there is one.
    ///
    /// # Errors
    ///
    /// If there is none, or there is no sender any more either.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.try_recv()
    }

    /// As [`recv`](Receiver::recv), for at most `limit`.
    ///
    /// # Errors
    ///
    /// If the time has passed, or the channel is empty and there is no sender any more.
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.shared.recv(Some(limit)).map_err(|error| match error {
            TryRecvError::Empty => RecvTimeoutError::Timeout,
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// Messages as they come, until there is no sender any more. The iterator waits for each.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.lock().senders += 1;
        Sender {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.lock().receivers += 1;
        Receiver {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.dismiss(|state| {
            state.senders -= 1;
            let is_last = state.senders == 0;
            let queue = is_last.then(|| std::mem::take(&mut state.to_receive));
            queue.unwrap_or_default()
        });
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut unread = VecDeque::new();
        self.shared.dismiss(|state| {
            state.receivers -= 1;
            if state.receivers > 0 {
                return VecDeque::new();
            }
            unread = std::mem::take(&mut state.buffer);
            std::mem::take(&mut state.to_send)
        });
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

/// Messages as they come; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Messages as they come, owning the receiver.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T: Send> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T: Send> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T: Send> FusedIterator for Iter<'_, T> {}
impl<T: Send> FusedIterator for IntoIter<T> {}

impl<'a, T: Send> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Send> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
