//! What other OS threads want of a scheduler.
//!
//! They leave a message under a mutex and wake the reactor. A signal handler may not take a mutex,
//! so it raises a [`Flag`], an atomic that was registered beforehand, and wakes the reactor too;
//! the loop looks at the flags whenever it was woken.
//!
//! Doors are counted: while one is open, somebody outside may still wake a green thread, so a
//! scheduler with nothing to do is idle and not deadlocked.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ThreadId;
use crate::coroutine::Resume;
use crate::reactor::Waker;

/// What a message asks for.
pub(crate) enum Message {
    /// Make a green thread ready if it is parked.
    Wake(ThreadId),
    /// Give a green thread its park token.
    Unpark(ThreadId),
    /// Run this on a new green thread. It catches its own panics.
    Spawn {
        spawned_at: &'static Location<'static>,
        body: Body,
    },
}

/// What an adopted green thread runs.
pub(crate) type Body = Box<dyn FnOnce(Resume) + Send>;

/// A park token that a signal handler can give.
#[derive(Debug)]
pub(crate) struct Flag {
    raised: AtomicBool,
    pub(crate) thread: ThreadId,
}

impl Flag {
    /// Whether somebody else may still raise it. Asked before looking whether it was raised: what
    /// the last owner did before it went is visible then.
    fn is_used(self: &Arc<Flag>) -> bool {
        let used = Arc::strong_count(self) > 1;
        fence(Ordering::Acquire);
        used
    }
}

/// The mailbox of one scheduler, shared with the doors to it.
pub(crate) struct Inbox {
    mail: Mutex<Mail>,
    waker: Waker,
    /// A wake is on its way that the loop has not seen: no need for another.
    notified: AtomicBool,
    doors: AtomicUsize,
}

#[derive(Default)]
struct Mail {
    messages: Vec<Message>,
    flags: Vec<Arc<Flag>>,
    /// The scheduler is gone; nothing will be read any more.
    closed: bool,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("doors", &self.doors)
            .finish_non_exhaustive()
    }
}

impl Inbox {
    pub(crate) fn new(waker: Waker) -> Inbox {
        Inbox {
            mail: Mutex::default(),
            waker,
            notified: AtomicBool::new(false),
            doors: AtomicUsize::new(0),
        }
    }

    /// Whether somebody outside may still wake a green thread.
    pub(crate) fn has_doors(&self) -> bool {
        self.doors.load(Ordering::Acquire) > 0
    }

    /// Whether something may have come that was not taken.
    pub(crate) fn is_notified(&self) -> bool {
        self.notified.load(Ordering::Relaxed)
    }

    /// Takes what has come. Called by the loop after a poll that saw the waker.
    pub(crate) fn take(&self) -> Vec<Message> {
        // Cleared first: what is left after this line brings a wake of its own.
        self.notified.store(false, Ordering::SeqCst);
        let mut mail = self.lock();
        let mut messages = std::mem::take(&mut mail.messages);
        mail.flags.retain(|flag| {
            let used = flag.is_used();
            if flag.raised.swap(false, Ordering::SeqCst) {
                messages.push(Message::Unpark(flag.thread));
            }
            used
        });
        messages
    }

    /// Refuses further messages and returns those that nobody will answer.
    pub(crate) fn close(&self) -> Vec<Message> {
        let mut mail = self.lock();
        mail.closed = true;
        std::mem::take(&mut mail.messages)
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Async-signal-safe: an atomic exchange and a `write` to an eventfd.
    fn notify(&self) {
        if !self.notified.swap(true, Ordering::SeqCst) {
            self.waker.wake().expect("an eventfd can always be written");
        }
    }
}

/// A way in for another OS thread; keeps the scheduler waiting while it exists.
#[derive(Debug)]
pub(crate) struct Door {
    inbox: Arc<Inbox>,
    /// It closes on the scheduler's own OS thread.
    at_home: bool,
}

impl Door {
    pub(crate) fn new(inbox: &Arc<Inbox>) -> Door {
        inbox.doors.fetch_add(1, Ordering::AcqRel);
        Door {
            inbox: Arc::clone(inbox),
            at_home: false,
        }
    }

    /// It is about to be dropped on the scheduler's own OS thread: the loop, which does not wait
    /// now, need not be woken for that.
    pub(crate) fn close_at_home(&mut self) {
        self.at_home = true;
    }

    /// Leaves a message, or returns it if the scheduler has ended.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        let mut mail = self.inbox.lock();
        if mail.closed {
            return Err(message);
        }
        mail.messages.push(message);
        drop(mail);
        self.inbox.notify();
        Ok(())
    }

    /// A flag for `thread` that the loop will look at.
    pub(crate) fn flag(&self, thread: ThreadId) -> Arc<Flag> {
        let flag = Arc::new(Flag {
            raised: AtomicBool::new(false),
            thread,
        });
        let flags = &mut self.inbox.lock().flags;
        if flags.len() == flags.capacity() {
            // Before the list grows, those go that nobody can raise any more. With half of it free,
            // this comes up seldom.
            flags.retain(|flag| flag.is_used() || flag.raised.load(Ordering::SeqCst));
            flags.reserve(flags.len() + 1);
        }
        flags.push(Arc::clone(&flag));
        flag
    }

    /// Raises a flag. Async-signal-safe; leaves errno as it was.
    pub(crate) fn raise(&self, flag: &Flag) {
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        flag.raised.store(true, Ordering::SeqCst);
        self.inbox.notify();
        restore_errno(errno);
    }
}

/// For signal handlers, which must leave it as it was.
pub(crate) fn restore_errno(errno: i32) {
    // SAFETY: returns the address of this OS thread's errno, and has no obligations.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the address is valid for this OS thread, which is us.
    unsafe { *place = errno };
}

impl Clone for Door {
    fn clone(&self) -> Door {
        Door::new(&self.inbox)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.inbox.doors.fetch_sub(1, Ordering::AcqRel) == 1 && !self.at_home {
            // The loop may have been waiting only for us.
            self.inbox.notify();
        }
    }
}
