//! What all queues have in common.
//!
//! ```text
//!   put ──> `put` ──(turn)──> `order` ──(turn)──> get
//!     └────────── straight to a getter that waits ──┘
//! ```
//!
//! Putting runs no user code. Comparing and looking do, and that may wait, panic, or come back
//! here: it needs the *turn*, which one green thread has at a time. `order` belongs to that one,
//! so its borrow, the only one that is held meanwhile, never meets another.
//!
//! Invariants, whenever somebody else can run: a getter waits only while the queue is empty, and a
//! putter only while it is full.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use super::error::{TryGetError, TryPutError};
use super::order::Order;
use crate::scheduler::{self, Nanos, Scheduler, ThreadId};
use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

pub(super) struct Core<T, O> {
    most: usize,
    state: Cell<State>,
    /// Items in the queue, wherever they lie.
    count: Cell<usize>,
    /// Items that were put and whose tasks are not done.
    tasks: Cell<usize>,
    put: RefCell<VecDeque<T>>,
    order: RefCell<O>,
    turn: Cell<Turn>,
    turns: WaitQueue,
    /// The item is put into the note; when there is none, the queue was shut down.
    getters: WaitQueue<Option<T>>,
    peekers: WaitQueue,
    /// The item is taken out of the note; when it is left, the queue was shut down.
    putters: WaitQueue<Option<T>>,
    joiners: WaitQueue,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing can be put any more.
    Shutdown,
    /// And what was left is gone.
    Cleared,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Free,
    /// Of this green thread, or of who is outside of `run`.
    Of(Option<ThreadId>),
}

/// For how long to wait.
pub(super) enum Patience {
    None,
    For(Duration),
    /// None is for ever.
    Until(Option<Nanos>),
}

impl Patience {
    pub(super) const ENDLESS: Patience = Patience::Until(None);

    /// The deadline of all waits of one call, on the clock that only who waits needs.
    #[track_caller]
    fn deadline(&mut self) -> Option<Nanos> {
        if let Patience::For(limit) = *self {
            *self = Patience::Until(Some(scheduler::with(|scheduler| scheduler.after(limit))));
        }
        match *self {
            Patience::Until(deadline) => deadline,
            Patience::None | Patience::For(_) => None,
        }
    }

    fn is_none(&self) -> bool {
        matches!(self, Patience::None)
    }
}

impl<T, O: Order<T>> Core<T, O> {
    pub(super) fn new(most: usize) -> Core<T, O> {
        assert!(
            most > 0,
            "a queue without room would never take an item; for no limit call new, for a \
             rendezvous use a channel"
        );
        Core {
            most,
            state: Cell::new(State::Open),
            count: Cell::new(0),
            tasks: Cell::new(0),
            put: RefCell::default(),
            order: RefCell::default(),
            turn: Cell::new(Turn::Free),
            turns: WaitQueue::new(),
            getters: WaitQueue::new(),
            peekers: WaitQueue::new(),
            putters: WaitQueue::new(),
            joiners: WaitQueue::new(),
        }
    }

    #[track_caller]
    pub(super) fn put(&self, item: T, mut patience: Patience) -> Result<(), TryPutError<T>> {
        if self.state.get() != State::Open {
            return Err(TryPutError::Shutdown(item));
        }
        if !self.is_full() {
            self.add(item);
            return Ok(());
        }
        if patience.is_none() {
            return Err(TryPutError::Full(item));
        }
        let deadline = patience.deadline();
        match self.putters.wait(Reason::Queue, deadline, Some(item)) {
            Ok(None) => Ok(()),
            Ok(Some(item)) => Err(TryPutError::Shutdown(item)),
            Err(note) => Err(TryPutError::Full(note.expect("who takes the item grants"))),
        }
    }

    #[track_caller]
    pub(super) fn get(&self, mut patience: Patience) -> Result<T, TryGetError> {
        let turn = self.take_turn(&mut patience)?;
        if self.count.get() == 0 {
            drop(turn);
            return self.wait_for_item(patience);
        }
        self.sort();
        let item = self.order.borrow_mut().pop();
        if self.state.get() == State::Cleared {
            // While it compared, others have run. The item's destructor may come back here.
            drop(turn);
            return Err(TryGetError::Shutdown);
        }
        self.count.set(self.count.get() - 1);
        self.admit();
        Ok(item.expect("who has the turn takes what was counted"))
    }

    #[track_caller]
    fn wait_for_item(&self, mut patience: Patience) -> Result<T, TryGetError> {
        self.check_wait_for_item(&patience)?;
        match self.getters.wait(Reason::Queue, patience.deadline(), None) {
            Ok(Some(item)) => Ok(item),
            Ok(None) => Err(TryGetError::Shutdown),
            Err(_) => Err(TryGetError::Empty),
        }
    }

    #[track_caller]
    pub(super) fn peek<R>(
        &self,
        look: impl FnOnce(&T) -> R,
        mut patience: Patience,
    ) -> Result<R, TryGetError> {
        loop {
            {
                let _turn = self.take_turn(&mut patience)?;
                if self.count.get() > 0 {
                    self.sort();
                    if self.state.get() == State::Cleared {
                        return Err(TryGetError::Shutdown);
                    }
                    let order = self.order.borrow();
                    let first = order.first();
                    return Ok(look(first.expect("what was counted is there")));
                }
            }
            self.check_wait_for_item(&patience)?;
            let deadline = patience.deadline();
            let come = self.peekers.wait(Reason::Queue, deadline, ());
            come.map_err(|()| TryGetError::Empty)?;
        }
    }

    fn check_wait_for_item(&self, patience: &Patience) -> Result<(), TryGetError> {
        if self.state.get() != State::Open {
            Err(TryGetError::Shutdown)
        } else if patience.is_none() {
            Err(TryGetError::Empty)
        } else {
            Ok(())
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.get()
    }

    pub(super) fn is_full(&self) -> bool {
        self.count.get() >= self.most
    }

    /// How many items there may be, if there is a limit.
    pub(super) fn most(&self) -> Option<usize> {
        (self.most < usize::MAX).then_some(self.most)
    }

    pub(super) fn is_shutdown(&self) -> bool {
        self.state.get() != State::Open
    }

    #[track_caller]
    pub(super) fn task_done(&self) {
        let tasks = self.tasks.get().checked_sub(1);
        let tasks = tasks.expect("task_done was called more often than items were put");
        self.set_tasks(tasks);
    }

    #[track_caller]
    pub(super) fn join(&self) {
        if self.tasks.get() > 0 {
            // Without a deadline, it comes back with the grant or not at all.
            let _ = self.joiners.wait(Reason::Queue, None, ());
        }
    }

    pub(super) fn shutdown(&self) {
        if self.state.get() == State::Open {
            self.state.set(State::Shutdown);
        }
        self.getters.grant_all();
        self.putters.grant_all();
        self.peekers.grant_all();
    }

    pub(super) fn shutdown_now(&self) {
        self.state.set(State::Cleared);
        self.shutdown();
        self.set_tasks(self.tasks.get() - self.count.take());
        let put = self.put.take();
        // Who has the turn drops the rest when that ends.
        let rest = (self.turn.get() == Turn::Free).then(|| self.order.take());
        // The last thing, for it runs user code.
        drop((put, rest));
    }

    /// Adds an item for which there is room.
    fn add(&self, item: T) {
        self.tasks.set(self.tasks.get() + 1);
        if !self.getters.is_empty() {
            self.getters.grant(|note| *note = Some(item));
            return;
        }
        self.put.borrow_mut().push_back(item);
        self.count.set(self.count.get() + 1);
        self.peekers.grant_all();
    }

    /// Lets the first putter put its item, now that there is room.
    fn admit(&self) {
        if let Some(Some(item)) = self.putters.grant(Option::take) {
            self.add(item);
        }
    }

    /// Makes the next item the first of `order`.
    fn sort(&self) {
        let mut order = self.order.borrow_mut();
        order.add(&mut self.put.borrow_mut());
        order.sort();
    }

    fn set_tasks(&self, tasks: usize) {
        self.tasks.set(tasks);
        if tasks == 0 {
            self.joiners.grant_all();
        }
    }

    /// Waits until nobody else compares or looks.
    #[track_caller]
    fn take_turn(&self, patience: &mut Patience) -> Result<EndTurn<'_, T, O>, TryGetError> {
        let me = Turn::Of(scheduler::try_with(Scheduler::current));
        if self.turn.get() == Turn::Free {
            self.turn.set(me);
        } else {
            if patience.is_none() {
                return Err(TryGetError::Empty);
            }
            assert!(
                self.turn.get() != me,
                "a comparison or a look at an item waits for an item of the same queue"
            );
            let deadline = patience.deadline();
            let granted = self.turns.wait(Reason::Queue, deadline, ());
            granted.map_err(|()| TryGetError::Empty)?;
        }
        Ok(EndTurn(self))
    }
}

/// Hands the turn to the next when it is dropped.
struct EndTurn<'a, T, O: Order<T>>(&'a Core<T, O>);

impl<T, O: Order<T>> Drop for EndTurn<'_, T, O> {
    fn drop(&mut self) {
        let core = self.0;
        let cleared = core.state.get() == State::Cleared;
        let rest = cleared.then(|| core.order.take());
        let next = core.turns.grant_to(|owner, ()| owner);
        core.turn
            .set(next.map_or(Turn::Free, |owner| Turn::Of(Some(owner))));
        drop(rest);
    }
}
