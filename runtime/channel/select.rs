//! Waiting for several operations at once, of which one is then done.
//!
//! Who waits has a place in the queue of each channel, all with one claim. What he may receive is
//! handed to him, which takes the claim; when he could send, he is poked, finds out which of his
//! operations are ready and chooses one. Then he leaves all queues and does it, before anybody else
//! runs.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::core::{Slot, at, earlier};
use super::{
    ReadyTimeoutError, Receiver, RecvError, SelectTimeoutError, SendError, Sender, TryReadyError,
    TrySelectError, from_now,
};
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::thread;
use crate::wait_queue::Claim;

/// One end of a channel, as a select sees it.
trait Operation {
    /// Which end it is.
    fn end(&self) -> *const ();
    fn channel(&self) -> *const ();
    /// Whether it could be done now by the owner of the claim.
    fn is_ready(&self, claim: Option<&Claim>) -> bool;
    /// Whether it would be if another select decided so.
    fn is_offered(&self, claim: Option<&Claim>) -> bool;
    /// When it will be, if the clock says so.
    fn next(&self) -> Option<Instant>;
    fn enter(&self, claim: &Claim) -> usize;
    /// Lets others know that it has entered.
    fn announce(&self);
    fn is_granted(&self, key: usize) -> bool;
    fn leave(&self, key: usize);
    /// Passes on what somebody else was kept from while it waited.
    fn withdraw(&self);
    fn watch(&self, claim: &Claim) -> usize;
    fn unwatch(&self, key: usize);
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

    fn enter(&self, claim: &Claim) -> usize {
        let claim = Some(Rc::clone(claim));
        self.core.to_send.enter(None, claim).into_key()
    }

    fn announce(&self) {
        self.core.notify();
    }

    fn is_granted(&self, key: usize) -> bool {
        let place = self.core.to_send.place(key);
        let granted = place.is_granted();
        place.into_key();
        granted
    }

    fn leave(&self, key: usize) {
        self.core.to_send.place(key).leave();
    }

    fn withdraw(&self) {
        self.core.withdraw();
    }

    fn watch(&self, claim: &Claim) -> usize {
        let claim = Some(Rc::clone(claim));
        self.core.watchers.enter((), claim).into_key()
    }

    fn unwatch(&self, key: usize) {
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

    fn enter(&self, claim: &Claim) -> usize {
        let claim = Some(Rc::clone(claim));
        self.core.to_receive.enter(Slot::EMPTY, claim).into_key()
    }

    fn announce(&self) {
        self.core.settle();
        self.core.notify();
    }

    fn is_granted(&self, key: usize) -> bool {
        let place = self.core.to_receive.place(key);
        let granted = place.is_granted();
        place.into_key();
        granted
    }

    fn leave(&self, key: usize) {
        if let Some(message) = self.core.to_receive.place(key).leave().message {
            self.core.put_back(message);
        }
    }

    fn withdraw(&self) {}

    fn watch(&self, claim: &Claim) -> usize {
        let claim = Some(Rc::clone(claim));
        self.core.watchers.enter((), claim).into_key()
    }

    fn unwatch(&self, key: usize) {
        self.core.watchers.place(key).leave();
    }
}

/// How long to wait.
#[derive(Clone, Copy)]
enum Limit {
    /// Not at all.
    Now,
    Until(Option<Nanos>),
}

/// Waits for one of several operations on channels, which may be made up while the program runs.
/// [`select!`](crate::channel::select) is easier to write where they are known.
///
/// If several are ready, one of them is taken at random, or the first after
/// [`new_biased`](Select::new_biased).
///
/// ```
/// use sedge::channel::{Receiver, Select, unbounded};
///
/// fn recv_any(receivers: &[Receiver<i32>]) -> Option<i32> {
///     let mut select = Select::new();
///     for receiver in receivers {
///         select.recv(receiver);
///     }
///     let operation = select.select();
///     let index = operation.index();
///     operation.recv(&receivers[index]).ok()
/// }
///
/// sedge::run(|| {
///     let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded()).unzip();
///     sedge::spawn(move || senders[1].send(7).map(|()| senders)).join().unwrap().unwrap();
///     assert_eq!((0..9).find_map(|_| recv_any(&receivers)), Some(7));
/// });
/// ```
#[derive(Clone)]
pub struct Select<'a> {
    operations: Vec<(usize, &'a dyn Operation)>,
    next_index: usize,
    biased: bool,
}

impl<'a> Select<'a> {
    /// With no operation yet.
    #[must_use]
    pub fn new() -> Select<'a> {
        Select {
            operations: Vec::with_capacity(4),
            next_index: 0,
            biased: false,
        }
    }

    /// One that takes the operation that was added first among those that are ready.
    #[must_use]
    pub fn new_biased() -> Select<'a> {
        Select {
            biased: true,
            ..Select::new()
        }
    }

    /// Adds a send, and returns its index. The message is given when it was selected.
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(sender)
    }

    /// Adds a receive, and returns its index.
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(receiver)
    }

    fn add(&mut self, operation: &'a dyn Operation) -> usize {
        let index = self.next_index;
        self.operations.push((index, operation));
        self.next_index += 1;
        index
    }

    /// Removes the operation of that index; the others keep theirs.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn remove(&mut self, index: usize) {
        let place = self
            .operations
            .iter()
            .position(|(other, _)| *other == index);
        let place = place.expect("this operation was never added, or removed before");
        self.operations.remove(place);
    }

    /// Waits until one of the operations is ready, and begins it; it must be completed by
    /// [`SelectedOperation::send`] or [`recv`](SelectedOperation::recv), before the green thread
    /// waits for anything else: else others may be faster, and completing it waits again.
    ///
    /// # Panics
    ///
    /// If there are no operations, or it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        assert!(
            !self.operations.is_empty(),
            "no operations have been added to `Select`"
        );
        let selected = self.run(Limit::Until(None));
        selected.expect("without a deadline, it comes back with an operation or not at all")
    }

    /// Begins an operation that is ready, if there is one.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.run(Limit::Now).ok_or(TrySelectError)
    }

    /// As [`select`](Select::select), for at most `limit`.
    ///
    /// # Errors
    ///
    /// If the time has passed.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn select_timeout(
        &mut self,
        limit: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Limit::Until(Some(from_now(limit))))
            .ok_or(SelectTimeoutError)
    }

    /// As [`select`](Select::select), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// If that has passed.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Limit::Until(Some(at(deadline))))
            .ok_or(SelectTimeoutError)
    }

    /// Waits until one of the operations is ready, and tells its index. It is not begun: somebody
    /// else may be faster.
    ///
    /// ```
    /// let (_sender, first) = sedge::channel::unbounded::<i32>();
    /// let (sender, second) = sedge::channel::unbounded();
    /// sender.send(1).unwrap();
    /// let mut select = sedge::channel::Select::new();
    /// select.recv(&first);
    /// select.recv(&second);
    /// assert_eq!(select.ready(), 1);
    /// assert_eq!(second.try_recv(), Ok(1));
    /// ```
    ///
    /// # Panics
    ///
    /// If there are no operations, or it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        assert!(
            !self.operations.is_empty(),
            "no operations have been added to `Select`"
        );
        let index = self.watch(Limit::Until(None));
        index.expect("without a deadline, it comes back with an operation or not at all")
    }

    /// The index of an operation that is ready, if there is one.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.watch(Limit::Now).ok_or(TryReadyError)
    }

    /// As [`ready`](Select::ready), for at most `limit`.
    ///
    /// # Errors
    ///
    /// If the time has passed.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn ready_timeout(&mut self, limit: Duration) -> Result<usize, ReadyTimeoutError> {
        self.watch(Limit::Until(Some(from_now(limit))))
            .ok_or(ReadyTimeoutError)
    }

    /// As [`ready`](Select::ready), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// If that has passed.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.watch(Limit::Until(Some(at(deadline))))
            .ok_or(ReadyTimeoutError)
    }

    /// The place of an operation of which `is_ready` holds, beginning at a random one.
    fn find(&self, is_ready: impl Fn(&dyn Operation) -> bool) -> Option<usize> {
        let count = self.operations.len();
        let start = if self.biased { 0 } else { random(count) };
        let places = (start..count).chain(0..start);
        places
            .into_iter()
            .find(|&place| is_ready(self.operations[place].1))
    }

    fn any(&self, holds: impl Fn(&dyn Operation) -> bool) -> bool {
        self.operations
            .iter()
            .any(|(_, operation)| holds(*operation))
    }

    /// When the first of the channels that the clock sends into has a message.
    #[track_caller]
    fn next(&self) -> Option<Nanos> {
        let next = self
            .operations
            .iter()
            .filter_map(|(_, operation)| operation.next());
        next.min().map(at)
    }

    #[track_caller]
    fn run(&self, limit: Limit) -> Option<SelectedOperation<'a>> {
        if let Some(place) = self.find(|operation| operation.is_ready(None)) {
            return Some(self.selected(place, None));
        }
        let deadline = match limit {
            Limit::Until(deadline) => deadline,
            Limit::Now if self.any(|operation| operation.is_offered(None)) => None,
            Limit::Now => return None,
        };
        let entered = Entered::new(self);
        let claim = Some(&entered.claim);
        let decided = || {
            entered.claim.get()
                || self.any(|operation| operation.is_ready(claim))
                || matches!(limit, Limit::Now) && !self.any(|operation| operation.is_offered(claim))
        };
        loop {
            let done = thread::park_until(Reason::Channel, earlier(deadline, self.next()), decided);
            if entered.claim.get() {
                return Some(entered.granted());
            }
            if let Some(place) = self.find(|operation| operation.is_ready(claim)) {
                return Some(entered.choose(place));
            }
            if done || deadline.is_some_and(has_passed) {
                return None;
            }
        }
    }

    #[track_caller]
    fn watch(&self, limit: Limit) -> Option<usize> {
        loop {
            let is_ready =
                |operation: &dyn Operation| operation.is_ready(None) || operation.is_offered(None);
            if let Some(place) = self.find(is_ready) {
                return Some(self.operations[place].0);
            }
            let Limit::Until(deadline) = limit else {
                return None;
            };
            if deadline.is_some_and(has_passed) {
                return None;
            }
            let watching = Watching::new(self);
            let until = earlier(deadline, self.next());
            thread::park_until(Reason::Channel, until, || watching.claim.get());
        }
    }

    fn selected(&self, place: usize, key: Option<usize>) -> SelectedOperation<'a> {
        let (index, operation) = self.operations[place];
        SelectedOperation {
            index,
            operation,
            key,
        }
    }
}

#[track_caller]
fn has_passed(deadline: Nanos) -> bool {
    scheduler::with(|scheduler| scheduler.has_passed(deadline))
}

impl Default for Select<'_> {
    fn default() -> Self {
        Select::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

/// The places of a select that waits; it leaves them when this is dropped.
struct Entered<'s, 'a> {
    select: &'s Select<'a>,
    claim: Claim,
    /// One for each operation, until it has left.
    keys: RefCell<Vec<Option<usize>>>,
    /// The channel of the operation that was chosen and is going to be done.
    chosen: Cell<Option<*const ()>>,
}

impl<'s, 'a> Entered<'s, 'a> {
    #[track_caller]
    fn new(select: &'s Select<'a>) -> Entered<'s, 'a> {
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
    fn granted(self) -> SelectedOperation<'a> {
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
    fn choose(self, place: usize) -> SelectedOperation<'a> {
        let selected = self.select.selected(place, None);
        self.chosen.set(Some(selected.operation.channel()));
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
struct Watching<'s, 'a> {
    select: &'s Select<'a>,
    claim: Claim,
    keys: Vec<usize>,
}

impl<'s, 'a> Watching<'s, 'a> {
    #[track_caller]
    fn new(select: &'s Select<'a>) -> Watching<'s, 'a> {
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

/// An operation that was selected and must be completed.
#[must_use = "a selected operation must be completed"]
pub struct SelectedOperation<'a> {
    index: usize,
    operation: &'a dyn Operation,
    /// The place in which what was granted lies, if it was.
    key: Option<usize>,
}

impl SelectedOperation<'_> {
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

/// A number below `count`. Each `run` begins the same sequence, so that a seed repeats a program.
fn random(count: usize) -> usize {
    thread_local! {
        static STATE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }
    if count < 2 {
        return 0;
    }
    let number = scheduler::try_with(|scheduler| scheduler.number()).unwrap_or(0);
    let (owner, state) = STATE.get();
    let state = if owner == number { state } else { 0 };
    // An odd increment visits every state; the upper half of the product is well mixed.
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set((number, state));
    let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (((mixed >> 32) * count as u64) >> 32) as usize
}
