//! How a pool of resources is set up.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::{Check, Item, Limits, Resources, Shared};
use crate::wait_queue::WaitQueue;

/// Items a pool has at most if nobody says how many; r2d2's number.
const MAX: usize = 10;

/// Makes [`Resources`] with limits and a health check.
///
/// ```
/// use sedge::net::{TcpListener, TcpStream};
/// use sedge::pool::ResourcesBuilder;
/// use std::io;
/// use std::time::Duration;
///
/// /// The other side has neither closed nor sent what nobody asked for.
/// fn is_quiet(stream: &mut TcpStream) -> bool {
///     stream.set_nonblocking(true).is_ok()
///         && stream.peek(&mut [0]).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
///         && stream.set_nonblocking(false).is_ok()
/// }
///
/// sedge::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let addr = listener.local_addr()?;
///     let connections = ResourcesBuilder::new()
///         .min(1)
///         .max(8)
///         .idle_limit(Duration::from_secs(60))
///         .max_age(Duration::from_secs(3600))
///         .health_check(is_quiet)
///         .build(move || TcpStream::connect(addr))?;
///     let first = connections.take()?.local_addr()?;
///     let accepted = listener.accept()?;
///     assert_eq!(connections.take()?.local_addr()?, first, "it is used again");
///     drop(accepted); // closed from there
///     sedge::sleep(Duration::from_millis(5));
///     assert_ne!(connections.take()?.local_addr()?, first);
///     io::Result::Ok(())
/// })
/// .unwrap();
/// ```
#[must_use = "it makes nothing until `build`"]
pub struct ResourcesBuilder<T> {
    limits: Limits,
    is_healthy: Option<Check<T>>,
}

impl<T> ResourcesBuilder<T> {
    /// At most ten items, none made in advance, no limits of time, no check.
    pub fn new() -> ResourcesBuilder<T> {
        ResourcesBuilder {
            limits: Limits {
                min: 0,
                max: MAX,
                idle: None,
                age: None,
                keeps_unwound: false,
            },
            is_healthy: None,
        }
    }

    /// So many items are made by [`build`](ResourcesBuilder::build), and the idle limit leaves so
    /// many idle ones. What is destroyed for another reason is made again when somebody wants it,
    /// not before.
    pub fn min(mut self, items: usize) -> ResourcesBuilder<T> {
        self.limits.min = items;
        self
    }

    /// There are never more items than this.
    pub fn max(mut self, items: usize) -> ResourcesBuilder<T> {
        self.limits.max = items;
        self
    }

    /// An item that nobody has taken for longer is destroyed, when something is
    /// [taken or pruned](Resources::prune) next.
    pub fn idle_limit(mut self, limit: Duration) -> ResourcesBuilder<T> {
        self.limits.idle = Some(limit);
        self
    }

    /// An item that was made longer ago is not handed out any more: it is destroyed when it is
    /// given back, or if it is idle as by the [idle limit](ResourcesBuilder::idle_limit), whatever
    /// the minimum.
    pub fn max_age(mut self, age: Duration) -> ResourcesBuilder<T> {
        self.limits.age = Some(age);
        self
    }

    /// Looks at each item that was used before, when it is taken again; if it says false or
    /// unwinds, the item is destroyed. It runs on the green thread that takes, and may wait.
    pub fn health_check(
        mut self,
        is_healthy: impl Fn(&mut T) -> bool + 'static,
    ) -> ResourcesBuilder<T> {
        self.is_healthy = Some(Box::new(is_healthy));
        self
    }

    /// Whether an item whose holder unwinds is kept for others, like any that is given back. It is
    /// not by default; say yes if no item can be half changed, or if the
    /// [health check](ResourcesBuilder::health_check) finds those that are.
    pub fn keep_unwound(mut self, keep: bool) -> ResourcesBuilder<T> {
        self.limits.keeps_unwound = keep;
        self
    }

    /// The pool, with the [minimum](ResourcesBuilder::min) of items made.
    ///
    /// # Errors
    ///
    /// What `create` returns for one of those.
    ///
    /// # Panics
    ///
    /// If the maximum is zero or less than the minimum, and with the panic of `create`.
    #[track_caller]
    pub fn build<E>(
        self,
        create: impl Fn() -> Result<T, E> + 'static,
    ) -> Result<Resources<T, E>, E> {
        let min = self.limits.min;
        let resources = self.pool(create);
        for _ in 0..min {
            let item = Item::new((resources.0.create)()?);
            resources.0.idle.borrow_mut().push_back(item);
            resources.0.places.set(resources.0.places.get() + 1);
        }
        Ok(resources)
    }

    /// As [`build`](ResourcesBuilder::build), but with nothing in it.
    #[track_caller]
    pub(super) fn pool<E>(self, create: impl Fn() -> Result<T, E> + 'static) -> Resources<T, E> {
        let Limits { min, max, .. } = self.limits;
        assert!(max > 0, "from a pool of at most no items none can be taken");
        assert!(
            min <= max,
            "a pool of at least {min} and at most {max} items cannot be"
        );
        Resources(Rc::new(Shared {
            create: Box::new(create),
            is_healthy: self.is_healthy,
            limits: self.limits,
            idle: RefCell::new(VecDeque::new()),
            places: Cell::new(0),
            waiters: WaitQueue::new(),
        }))
    }
}

impl<T> Default for ResourcesBuilder<T> {
    fn default() -> ResourcesBuilder<T> {
        ResourcesBuilder::new()
    }
}

impl<T> fmt::Debug for ResourcesBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourcesBuilder")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
