//! Waiting for several operations at once, of which one is then done.
//!
//! Who waits has a place in the queue of each channel, all with one claim. What he may receive is
//! handed to him, which takes the claim; when he could send, he is poked, finds out which of his
//! operations are ready and chooses one. Then he leaves all queues and does it, before anybody else
//! runs.

mod operation;
mod places;

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

pub use self::operation::SelectedOperation;

use self::operation::Operation;
use self::places::{Entered, Watching};
use super::core::{at, earlier};
use super::{
    ReadyTimeoutError, Receiver, SelectTimeoutError, Sender, TryReadyError, TrySelectError,
    from_now,
};
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::thread;

/// How long to wait.
#[derive(Clone, Copy)]
enum Limit {
    Now,
    Never,
    After(Duration),
    At(Instant),
}

impl Limit {
    /// When it ends, counted from now.
    #[track_caller]
    fn deadline(self) -> Option<Nanos> {
        match self {
            Limit::Now | Limit::Never => None,
            Limit::After(limit) => Some(from_now(limit)),
            Limit::At(deadline) => Some(at(deadline)),
        }
    }

    fn is_now(self) -> bool {
        matches!(self, Limit::Now)
    }
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
        let selected = self.run(Limit::Never);
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
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn select_timeout(
        &mut self,
        limit: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Limit::After(limit)).ok_or(SelectTimeoutError)
    }

    /// As [`select`](Select::select), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// If that has passed.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Limit::At(deadline)).ok_or(SelectTimeoutError)
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
        let index = self.watch(Limit::Never);
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
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn ready_timeout(&mut self, limit: Duration) -> Result<usize, ReadyTimeoutError> {
        self.watch(Limit::After(limit)).ok_or(ReadyTimeoutError)
    }

    /// As [`ready`](Select::ready), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// If that has passed.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.watch(Limit::At(deadline)).ok_or(ReadyTimeoutError)
    }

    /// The place of an operation of which `is_ready` holds: a random one, each as likely.
    fn find(&self, is_ready: impl Fn(&dyn Operation) -> bool) -> Option<usize> {
        let mut ready =
            (0..self.operations.len()).filter(|&place| is_ready(self.operations[place].1));
        let mut chosen = ready.next()?;
        if !self.biased {
            // The second takes the place of the first in one of two cases, the third in one of
            // three. To begin at a random place would favour those behind many that are not ready.
            for (count, place) in (2..).zip(ready) {
                if random(count) == 0 {
                    chosen = place;
                }
            }
        }
        Some(chosen)
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
        if limit.is_now() && !self.any(|operation| operation.is_offered(None)) {
            return None;
        }
        let deadline = limit.deadline();
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
        let is_ready =
            |operation: &dyn Operation| operation.is_ready(None) || operation.is_offered(None);
        if let Some(place) = self.find(is_ready) {
            return Some(self.operations[place].0);
        }
        if limit.is_now() {
            return None;
        }
        let deadline = limit.deadline();
        loop {
            let watching = Watching::new(self);
            let until = earlier(deadline, self.next());
            thread::park_until(Reason::Channel, until, || watching.claim.get());
            if let Some(place) = self.find(is_ready) {
                return Some(self.operations[place].0);
            }
            if deadline.is_some_and(has_passed) {
                return None;
            }
        }
    }

    fn selected(&self, place: usize, key: Option<u32>) -> SelectedOperation<'a> {
        let (index, operation) = self.operations[place];
        SelectedOperation::new(index, operation, key)
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
