//! A pool of things that are dear to make: connections, mostly.
//!
//! The pool has `max` *places*. A place is taken by an item from before it is made until after it
//! is destroyed, so there are never more than `max`, half-made and half-destroyed ones included:
//!
//! ```text
//!   free ──make──> taken ──give back──> idle ──take──> checked ──good──> taken
//!    ^              │  └──── somebody waits: his ─────────^ │
//!    │              │ discarded, unwound, too old           │ bad, too old
//!    └──────────────┴──────────────── destroy ──────────────┘
//! ```
//!
//! **A place is never lost.** Whoever has one, has a [`Place`], which passes it on when it is
//! dropped: to the first who waits, or else to the pool. All that is the user's (making, checking,
//! destroying) runs under one, and may wait, fail, panic or be cancelled. Nothing is borrowed then.
//!
//! **Nobody barges in.** What is given back, an item or a free place, belongs to the first who
//! waits from that moment on. So if somebody waits, nothing is idle and nothing free.
//!
//! **Items are checked by who takes them**, not by who gives them back: that one may be unwinding
//! and could not wait for an answer, and what was good then need not be so now.
//!
//! **There is no green thread that looks for old items.** Its timer would keep a deadlock from
//! being noticed, and outside of `run` there is none. Whoever takes something looks first, and
//! [`Resources::prune`] is for a pool that nobody uses for long.

mod builder;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::time::Elapsed;
use crate::wait_queue::WaitQueue;

pub use builder::ResourcesBuilder;

/// A pool of items that are taken, used and given back, such as connections to a database. std and
/// gevent have none; the words are those of r2d2 and deadpool, as far as they agree.
///
/// The item that was given back last is taken first. If there is none, and there are fewer than
/// `max`, one is made; else the caller waits, first come, first served. A clone is another handle
/// to the same pool.
///
/// ```
/// use sedge::pool::Resources;
///
/// struct Connection;
///
/// fn connect() -> std::io::Result<Connection> {
///     sedge::yield_now(); // it takes its time
///     Ok(Connection)
/// }
///
/// sedge::run(|| {
///     let connections = Resources::new(2, connect);
///     sedge::scope(|s| {
///         for _ in 0..10 {
///             s.spawn(|| {
///                 let _connection = connections.take().unwrap();
///                 sedge::yield_now(); // uses it
///             }); // gives it back
///         }
///     });
///     assert_eq!((connections.total(), connections.idle()), (2, 2));
/// });
/// ```
pub struct Resources<T, E = io::Error>(Rc<Shared<T, E>>);

/// An item taken out of [`Resources`]; dropping it gives it back.
///
/// It goes to the first who waits for one, or is idle then. But **if its holder unwinds**, by a
/// panic, a cancellation or a time limit, it is destroyed, and its place is free for a new one: a
/// connection whose user was cut short may be half-way through a request, and whoever had it next
/// would read the answer to that. [`ResourcesBuilder::keep_unwound`] is for items of which that is
/// not true.
///
/// If it is [forgotten](std::mem::forget), its place is lost.
#[must_use = "if unused the item is given back at once"]
pub struct Taken<T, E = io::Error> {
    /// None only while it is dropped.
    held: Option<(Item<T>, Place<T, E>)>,
    /// It was taken while unwinding, so that the holder's unwinding says nothing about it.
    unwinding: bool,
}

type Check<T> = Box<dyn Fn(&mut T) -> bool>;

/// A place, and the item in it if it has one.
type Claimed<T, E> = (Option<Item<T>>, Place<T, E>);

struct Shared<T, E> {
    create: Box<dyn Fn() -> Result<T, E>>,
    is_healthy: Option<Check<T>>,
    limits: Limits,
    /// The one that was given back last is the last.
    idle: RefCell<VecDeque<Item<T>>>,
    /// How many places are taken, by idle items too.
    places: Cell<usize>,
    /// Each is granted a place, with an item in it or without.
    waiters: WaitQueue<Option<Item<T>>>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    min: usize,
    max: usize,
    idle: Option<Duration>,
    age: Option<Duration>,
    keeps_unwound: bool,
}

struct Item<T> {
    value: T,
    made: Instant,
    given_back: Instant,
}

/// The right to have one item. It has the pool unless it was given back together with the item.
struct Place<T, E>(Option<Rc<Shared<T, E>>>);

impl<T, E> Resources<T, E> {
    /// A pool of at most `max` items, which `create` makes when they are needed, and which live as
    /// long as the pool.
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    pub fn new(max: usize, create: impl Fn() -> Result<T, E> + 'static) -> Resources<T, E> {
        ResourcesBuilder::new().max(max).pool(create)
    }

    /// Takes an item, and waits for it if `max` are taken.
    ///
    /// Idle items that have passed a limit are destroyed first, and an item that fails the health
    /// check is destroyed and another taken or made in its place, all by the caller.
    ///
    /// # Errors
    ///
    /// What `create` returns. The place is free again then, and the next who waits tries.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run), and with the panics of `create`, the health
    /// check and the destructors of items, after which the place is free as well.
    #[track_caller]
    pub fn take(&self) -> Result<Taken<T, E>, E> {
        self.prune();
        match self.claim().or_else(|| self.wait(None)) {
            Some((item, place)) => self.fill(item, place),
            None => unreachable!("without a deadline, it comes back with a place or not at all"),
        }
    }

    /// As [`take`](Resources::take), for who does not want to wait for others: `None` if `max` are
    /// taken. Making an item, checking or destroying one may wait all the same.
    ///
    /// # Errors
    ///
    /// As [`take`](Resources::take).
    ///
    /// # Panics
    ///
    /// As [`take`](Resources::take), but not for waiting.
    pub fn try_take(&self) -> Result<Option<Taken<T, E>>, E> {
        self.prune();
        self.claim()
            .map(|(item, place)| self.fill(item, place))
            .transpose()
    }

    /// As [`take`](Resources::take), but waits for others to give something back for at most
    /// `limit`. Making an item is not limited: cut short it would be for nothing, and `create` can
    /// do it better, as by `connect_timeout`.
    ///
    /// The errors are nested as in `timeout(limit, || resources.take())`, so that `??` works.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if nothing was given back within `limit`; inside of that, as
    /// [`take`](Resources::take).
    ///
    /// # Panics
    ///
    /// As [`take`](Resources::take).
    #[track_caller]
    pub fn take_timeout(&self, limit: Duration) -> Result<Result<Taken<T, E>, E>, Elapsed> {
        self.prune();
        let claimed = self.claim().or_else(|| {
            let deadline = scheduler::with(|scheduler| scheduler.after(limit));
            self.wait(Some(deadline))
        });
        match claimed {
            Some((item, place)) => Ok(self.fill(item, place)),
            None => Err(Elapsed { limit }),
        }
    }

    /// Destroys the idle items that have passed the idle limit or the maximal age. Whoever takes
    /// something does this first; a pool that may be unused for long is pruned by a
    /// [daemon](crate::thread::Builder::daemon) of yours, if that matters.
    ///
    /// # Panics
    ///
    /// With the panic of an item's destructor.
    pub fn prune(&self) {
        // One at a time: destructors may wait, and others come meanwhile.
        while let Some((item, place)) = self.expired() {
            destroy(item, place);
        }
    }

    /// How many items nobody has.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.0.idle.borrow().len()
    }

    /// How many items there are: idle, taken, being made and being destroyed.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.places.get()
    }

    fn expired(&self) -> Option<(Item<T>, Place<T, E>)> {
        let limits = &self.0.limits;
        if limits.idle.is_none() && limits.age.is_none() {
            return None;
        }
        let now = Instant::now();
        let mut idle = self.0.idle.borrow_mut();
        let is_spare = idle.len() > limits.min;
        let expired = idle.iter().position(|item| {
            limits.is_too_old(item, now) || is_spare && limits.was_idle_too_long(item, now)
        })?;
        Some((idle.remove(expired)?, self.place()))
    }

    /// What is free, if anything is.
    fn claim(&self) -> Option<Claimed<T, E>> {
        let item = self.0.idle.borrow_mut().pop_back();
        if item.is_none() {
            let places = self.0.places.get();
            if places == self.0.limits.max {
                return None;
            }
            self.0.places.set(places + 1);
        }
        Some((item, self.place()))
    }

    #[track_caller]
    fn wait(&self, deadline: Option<Nanos>) -> Option<Claimed<T, E>> {
        let granted = self.0.waiters.wait(Reason::Pool, deadline, None);
        granted.ok().map(|item| (item, self.place()))
    }

    /// Sees to it that there is a good item in the place.
    fn fill(&self, mut item: Option<Item<T>>, mut place: Place<T, E>) -> Result<Taken<T, E>, E> {
        while let Some(mut found) = item {
            // Should this unwind, the item is dropped before its place, as it was declared later.
            if self.is_good(&mut found) {
                return Ok(Taken::new(found, place));
            }
            drop(found);
            item = self.0.idle.borrow_mut().pop_back();
            if item.is_some() {
                place = self.place();
            }
        }
        let value = (self.0.create)()?;
        Ok(Taken::new(Item::new(value), place))
    }

    fn is_good(&self, item: &mut Item<T>) -> bool {
        let Shared {
            limits, is_healthy, ..
        } = &*self.0;
        !limits.is_over_age(item)
            && is_healthy
                .as_ref()
                .is_none_or(|is_healthy| is_healthy(&mut item.value))
    }

    /// A place that was counted already.
    fn place(&self) -> Place<T, E> {
        Place(Some(Rc::clone(&self.0)))
    }
}

/// Drops an item, and then its place, even if the item's destructor panics.
fn destroy<T, E>(item: Item<T>, place: Place<T, E>) {
    let _place = place;
    drop(item);
}

impl<T, E> Place<T, E> {
    fn limits(&self) -> Option<&Limits> {
        self.0.as_ref().map(|shared| &shared.limits)
    }

    /// Gives it back with its item: to the first who waits, or to the idle ones.
    fn give_back(mut self, mut item: Item<T>) {
        let Some(shared) = self.0.take() else { return };
        item.given_back = Instant::now();
        let granted = shared
            .waiters
            .grant_with(item, |note, item| *note = Some(item));
        if let Err(item) = granted {
            shared.idle.borrow_mut().push_back(item);
        }
    }
}

impl<T, E> Drop for Place<T, E> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        if shared.waiters.grant(|_| ()).is_none() {
            shared.places.set(shared.places.get() - 1);
        }
    }
}

impl<T, E> Taken<T, E> {
    fn new(item: Item<T>, place: Place<T, E>) -> Taken<T, E> {
        Taken {
            held: Some((item, place)),
            unwinding: scheduler::is_unwinding(),
        }
    }

    /// Destroys the item, because it is broken, and makes its place free for a new one. A function
    /// and no method, for the item may have one of that name.
    ///
    /// ```
    /// use sedge::pool::{Resources, Taken};
    ///
    /// let buffers = Resources::new(1, || Ok::<_, ()>(vec![0; 4096]));
    /// let buffer = buffers.take().unwrap();
    /// Taken::discard(buffer);
    /// assert_eq!(buffers.total(), 0);
    /// ```
    pub fn discard(mut taken: Taken<T, E>) {
        if let Some((item, place)) = taken.held.take() {
            destroy(item, place);
        }
    }

    fn item(&self) -> &Item<T> {
        let (item, _) = self.held.as_ref().expect("it is held until it is dropped");
        item
    }

    fn is_good(&self, item: &Item<T>, limits: &Limits) -> bool {
        let was_cut_short = !self.unwinding && scheduler::is_unwinding();
        (limits.keeps_unwound || !was_cut_short) && !limits.is_over_age(item)
    }
}

impl<T, E> Drop for Taken<T, E> {
    fn drop(&mut self) {
        let Some((item, place)) = self.held.take() else {
            return;
        };
        let is_good = place
            .limits()
            .is_some_and(|limits| self.is_good(&item, limits));
        if is_good {
            place.give_back(item);
        } else {
            destroy(item, place);
        }
    }
}

impl<T, E> Deref for Taken<T, E> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item().value
    }
}

impl<T, E> DerefMut for Taken<T, E> {
    fn deref_mut(&mut self) -> &mut T {
        let (item, _) = self.held.as_mut().expect("it is held until it is dropped");
        &mut item.value
    }
}

impl<T> Item<T> {
    fn new(value: T) -> Item<T> {
        let now = Instant::now();
        Item {
            value,
            made: now,
            given_back: now,
        }
    }
}

impl Limits {
    fn is_over_age<T>(&self, item: &Item<T>) -> bool {
        self.age.is_some() && self.is_too_old(item, Instant::now())
    }

    fn is_too_old<T>(&self, item: &Item<T>, now: Instant) -> bool {
        self.age
            .is_some_and(|age| now.saturating_duration_since(item.made) > age)
    }

    fn was_idle_too_long<T>(&self, item: &Item<T>, now: Instant) -> bool {
        self.idle
            .is_some_and(|idle| now.saturating_duration_since(item.given_back) > idle)
    }
}

impl<T, E> Clone for Resources<T, E> {
    fn clone(&self) -> Resources<T, E> {
        Resources(Rc::clone(&self.0))
    }
}

impl<T, E> UnwindSafe for Resources<T, E> {}
impl<T, E> RefUnwindSafe for Resources<T, E> {}

impl<T, E> fmt::Debug for Resources<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources")
            .field("idle", &self.idle())
            .field("total", &self.total())
            .field("max", &self.0.limits.max)
            .finish_non_exhaustive()
    }
}

impl<T: fmt::Debug, E> fmt::Debug for Taken<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
