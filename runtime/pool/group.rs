//! Green threads that belong together.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::coroutine;
use crate::scheduler::{self, Nanos, Scheduler};
use crate::stats::Reason;
use crate::thread::{self, JoinHandle, Thread};
use crate::wait_queue::WaitQueue;

/// A set of green threads that are joined and cancelled together; each leaves it when it ends.
/// gevent's `Group`.
///
/// Clones are the same group. Dropping it does nothing to its members; a [`scope`](crate::scope)
/// joins them.
///
/// ```
/// use sedge::pool::Group;
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let clients = Group::new();
///     for _ in 0..10 {
///         clients.spawn(|| sedge::sleep(Duration::from_secs(3600)));
///     }
///     assert!(!clients.join_timeout(Duration::from_millis(1)));
///     clients.cancel();
///     clients.join();
///     assert!(clients.is_empty());
/// });
/// ```
#[derive(Clone)]
pub struct Group {
    members: Rc<Members>,
}

impl Group {
    /// A group of nobody.
    #[must_use]
    pub fn new() -> Group {
        Group {
            members: Members::new(),
        }
    }

    /// Spawns a member. As [`sedge::spawn`](crate::spawn).
    ///
    /// # Panics
    ///
    /// As [`sedge::spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let membership = Membership::new(&self.members);
        let handle = thread::spawn(move || {
            let _membership = membership;
            f()
        });
        self.members.add(handle.thread());
        handle
    }

    /// Makes a green thread a member that was spawned elsewhere; nothing happens if it has ended.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn add<T>(&self, handle: &JoinHandle<T>) {
        if handle.is_finished() || !self.members.add(handle.thread()) {
            return;
        }
        let (members, thread) = (Rc::downgrade(&self.members), handle.thread().clone());
        handle.link(move || {
            if let Some(members) = members.upgrade() {
                members.remove(&thread);
            }
        });
    }

    /// Lets a member go, which runs on; says whether it was one.
    pub fn discard(&self, thread: &Thread) -> bool {
        self.members.remove(thread)
    }

    /// Whether it is a member.
    #[must_use]
    pub fn contains(&self, thread: &Thread) -> bool {
        self.members.contains(thread)
    }

    /// The members, in the order in which they were spawned.
    #[must_use]
    pub fn threads(&self) -> Vec<Thread> {
        self.members.threads()
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.by_id.borrow().len()
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until the group is empty. Their panics are in their handles.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run), or for the caller itself, who is a member.
    #[track_caller]
    pub fn join(&self) {
        self.join_until(None);
    }

    /// As [`join`](Group::join), for at most `limit`; says whether the group is empty.
    ///
    /// # Panics
    ///
    /// As [`join`](Group::join).
    #[track_caller]
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.is_empty() || self.join_until(Some(scheduler::with(|s| s.after(limit))))
    }

    #[track_caller]
    fn join_until(&self, deadline: Option<Nanos>) -> bool {
        self.members.refuse_member();
        let empty = &self.members.empty;
        // Somebody may have been added between the end of the last one and now.
        while !self.is_empty() {
            if empty.wait(Reason::Join, deadline, ()).is_err() {
                return false;
            }
        }
        true
    }

    /// Cancels all members, without waiting; the caller too, if he is one. gevent's
    /// `kill(block=False)`.
    ///
    /// # Panics
    ///
    /// If there are members, in a program built with `panic = "abort"`.
    pub fn cancel(&self) {
        self.members.cancel();
    }
}

impl Default for Group {
    fn default() -> Group {
        Group::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).finish()
    }
}

/// The green threads of a group or of a pool.
pub(super) struct Members {
    by_id: RefCell<BTreeMap<u64, Thread>>,
    empty: WaitQueue,
}

impl Members {
    pub(super) fn new() -> Rc<Members> {
        Rc::new(Members {
            by_id: RefCell::default(),
            empty: WaitQueue::new(),
        })
    }

    /// Says whether it is new.
    pub(super) fn add(&self, thread: &Thread) -> bool {
        let id = thread.id().as_u64();
        let before = self.by_id.borrow_mut().insert(id, thread.clone());
        before.is_none()
    }

    /// Says whether it was there.
    pub(super) fn remove(&self, thread: &Thread) -> bool {
        self.remove_id(thread.id().as_u64())
    }

    fn remove_id(&self, id: u64) -> bool {
        let mut members = self.by_id.borrow_mut();
        let was_there = members.remove(&id).is_some();
        if was_there && members.is_empty() {
            self.empty.grant_all();
        }
        was_there
    }

    fn contains(&self, thread: &Thread) -> bool {
        self.by_id.borrow().contains_key(&thread.id().as_u64())
    }

    /// Whether the caller is one of them.
    pub(super) fn contains_caller(&self) -> bool {
        let caller = running();
        caller.is_some_and(|id| self.by_id.borrow().contains_key(&id))
    }

    pub(super) fn threads(&self) -> Vec<Thread> {
        self.by_id.borrow().values().cloned().collect()
    }

    pub(super) fn cancel(&self) {
        self.threads().iter().for_each(Thread::cancel);
    }

    /// Runs `f` with the caller as a member.
    pub(super) fn with_caller<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave<'a>(&'a Members, Thread);

        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.remove(&self.1);
            }
        }

        let caller = thread::current();
        let leave = self.add(&caller).then(|| Leave(self, caller));
        let value = f();
        drop(leave);
        value
    }

    #[track_caller]
    pub(super) fn refuse_member(&self) {
        assert!(
            !self.contains_caller(),
            "a green thread that joins the group or pool it belongs to would wait for itself; \
             join it from outside"
        );
    }
}

/// Takes the green thread that drops it out of the members, if that is not the one that made it:
/// then it has not come to a green thread of its own.
pub(super) struct Membership {
    members: Rc<Members>,
    spawner: Option<u64>,
}

impl Membership {
    pub(super) fn new(members: &Rc<Members>) -> Membership {
        Membership {
            members: Rc::clone(members),
            spawner: running(),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        match running() {
            Some(id) if self.spawner != Some(id) => _ = self.members.remove_id(id),
            _ => {}
        }
    }
}

fn running() -> Option<u64> {
    let id = || scheduler::try_with(|scheduler| Scheduler::current(scheduler).as_u64());
    coroutine::is_running().then(id).flatten()
}
