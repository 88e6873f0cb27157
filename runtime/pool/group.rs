//! Green threads that belong together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::thread::{self, JoinHandle, Thread, ThreadId};
use crate::wait_queue::WaitQueue;

/// Green threads that are joined, or cancelled, together. gevent's `Group`.
///
/// It bounds nothing and owns nothing: each green thread has its own handle, and leaves the group
/// when it has ended. Clones are handles to the same group; dropping the last one lets the green
/// threads run on. [`scope`](crate::scope) is for those that must not outlive a frame.
///
/// ```
/// use sedge::pool::Group;
///
/// sedge::run(|| {
///     let group = Group::new();
///     let answer = group.spawn(|| 6 * 7);
///     group.spawn(|| sedge::sleep(std::time::Duration::from_secs(3600)));
///     sedge::yield_now();
///     assert_eq!(answer.join().unwrap(), 42);
///     group.cancel();
///     group.join();
///     assert!(group.is_empty());
/// });
/// ```
#[derive(Clone)]
pub struct Group {
    members: Rc<Members>,
}

struct Members {
    threads: RefCell<HashMap<ThreadId, Thread>>,
    joiners: WaitQueue,
}

impl Group {
    /// A group of nobody.
    #[must_use]
    pub fn new() -> Group {
        Group {
            members: Rc::new(Members {
                threads: RefCell::default(),
                joiners: WaitQueue::new(),
            }),
        }
    }

    /// Spawns a green thread in the group.
    ///
    /// # Panics
    ///
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let handle = thread::spawn(f);
        self.add(&handle);
        handle
    }

    /// Takes in a green thread that was spawned elsewhere, if it has not ended.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn add<T>(&self, handle: &JoinHandle<T>) {
        if handle.is_finished() {
            return;
        }
        let thread = handle.thread();
        let known = self
            .members
            .threads
            .borrow_mut()
            .insert(thread.id(), thread.clone());
        if known.is_none() {
            let membership = Membership(Rc::clone(&self.members), thread.id());
            handle.link(move || drop(membership));
        }
    }

    /// Forgets a green thread without waiting for it, and says whether it was a member.
    pub fn discard(&self, id: ThreadId) -> bool {
        self.members.remove(id)
    }

    /// How many have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.threads.borrow().len()
    }

    /// Whether all have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether that green thread is a member that has not ended.
    #[must_use]
    pub fn contains(&self, id: ThreadId) -> bool {
        self.members.threads.borrow().contains_key(&id)
    }

    /// The members, oldest first.
    #[must_use]
    pub fn threads(&self) -> Vec<Thread> {
        let mut threads: Vec<_> = self.members.threads.borrow().values().cloned().collect();
        threads.sort_by_key(|thread| thread.id().as_u64());
        threads
    }

    /// Waits until the group is empty; how its members ended, their own handles say. A member that
    /// calls it waits for itself, for ever.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn join(&self) {
        self.join_until(None);
    }

    /// As [`join`](Group::join), for at most `limit`; says whether the group is empty.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[must_use]
    #[track_caller]
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.is_empty() || self.join_until(Some(scheduler::with(|s| s.after(limit))))
    }

    #[track_caller]
    fn join_until(&self, deadline: Option<Nanos>) -> bool {
        self.is_empty()
            || self
                .members
                .joiners
                .wait(Reason::Join, deadline, ())
                .is_ok()
    }

    /// Cancels all members, as [`JoinHandle::cancel`]; it does not wait for them to end. gevent's
    /// `kill(block=False)`.
    ///
    /// # Panics
    ///
    /// If there are any, outside [`run`](crate::run) and in a program built with `panic = "abort"`.
    #[track_caller]
    pub fn cancel(&self) {
        self.threads().iter().for_each(Thread::cancel);
    }
}

impl Members {
    fn remove(&self, id: ThreadId) -> bool {
        let removed = self.threads.borrow_mut().remove(&id);
        if removed.is_some() && self.threads.borrow().is_empty() {
            self.joiners.grant_all();
        }
        removed.is_some()
    }
}

/// Ends with the green thread, also if what it is linked to cannot run.
struct Membership(Rc<Members>, ThreadId);

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.remove(self.1);
    }
}

impl Default for Group {
    fn default() -> Group {
        Group::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
