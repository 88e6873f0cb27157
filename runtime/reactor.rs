//! From readiness of descriptors to the keys of those who wait for it; and the door for other OS
//! threads.
//!
//! A descriptor is registered once, for both directions, edge-triggered, when a call on it would
//! block for the first time (adding and removing costs 1.2 us, a whole short-lived connection may
//! never block). From then on the protocol is:
//!
//! ```text
//!   call says EAGAIN ──> add_waiter ──> park ──> event: hands out all waiters of that direction
//!          ^                                                  │
//!          └────────────────────── try again <────────────────┘
//! ```
//!
//! No readiness bit is needed for this: one OS thread makes the calls and takes the events, so an
//! edge that comes after the EAGAIN is always seen after `add_waiter`. An edge from before it wakes
//! a waiter for nothing, which costs one more try. Registering reports what is ready at that
//! moment.
//!
//! One number saves a system call: a read from a TCP stream that filled only part of its buffer has
//! drained the socket, so the next read may park at once if no event has come since (`events`).
//! Once the peer has closed that does not hold, for the end of the stream may have come in the same
//! event as the last bytes; nor once urgent data came, before which a read stops short.
//!
//! Events carry a token of slot and generation, so one that was on its way when its source was
//! removed finds nobody. The reactor is generic over the key of a waiter and knows nothing of green
//! threads.
//!
//! Not here: the calls themselves and the retry loop (`io::source`), timeouts (`scheduler`).

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use slab::Slab;

/// Events taken from the kernel at a time.
const BATCH: usize = 256;
const WAKER: Token = Token(usize::MAX);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// Names a registered descriptor. Stale once it was removed, and harmless then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceKey {
    index: u32,
    generation: u32,
}

/// Wakes [`Reactor::poll`] from any OS thread, and from signal handlers.
pub(crate) use mio::Waker;

/// Registered descriptors and who waits for them.
pub(crate) struct Reactor<K> {
    poll: mio::Poll,
    events: Events,
    sources: Slab<Source<K>>,
    generation: u32,
    waiting: usize,
}

#[derive(Debug)]
struct Source<K> {
    fd: Registered,
    generation: u32,
    /// A short read does not mean any more that there is nothing left.
    never_drained: bool,
    events: u64,
    readers: Waiters<K>,
    writers: Waiters<K>,
}

/// What epoll was told: the user's descriptor, or a duplicate if that one is registered already.
#[derive(Debug)]
enum Registered {
    Theirs(RawFd),
    Duplicate(OwnedFd),
}

impl Registered {
    fn raw(&self) -> RawFd {
        match self {
            Registered::Theirs(fd) => *fd,
            Registered::Duplicate(fd) => fd.as_raw_fd(),
        }
    }
}

/// Those who wait for one direction of one source. Nearly always one, so the first needs no memory.
#[derive(Debug)]
struct Waiters<K> {
    first: Option<K>,
    more: Vec<K>,
}

impl<K: Copy + Eq> Waiters<K> {
    fn new() -> Waiters<K> {
        Waiters {
            first: None,
            more: Vec::new(),
        }
    }

    fn add(&mut self, key: K) {
        if self.first.is_none() {
            self.first = Some(key);
        } else {
            self.more.push(key);
        }
    }

    /// Removes `key`; false if it is not there.
    #[inline]
    fn remove(&mut self, key: K) -> bool {
        match self.first {
            None => false,
            Some(first) if first == key => {
                self.first = (!self.more.is_empty()).then(|| self.more.remove(0));
                true
            }
            Some(_) => {
                let place = self.more.iter().position(|&other| other == key);
                place.map(|place| self.more.remove(place)).is_some()
            }
        }
    }

    /// Hands out every key, in the order of arrival, and says how many.
    #[inline(always)]
    fn drain(&mut self, each: &mut impl FnMut(K)) -> usize {
        let Some(first) = self.first.take() else {
            return 0;
        };
        each(first);
        1 + if self.more.is_empty() {
            0
        } else {
            self.drain_more(each)
        }
    }

    #[cold]
    fn drain_more(&mut self, each: &mut impl FnMut(K)) -> usize {
        let count = self.more.len();
        self.more.drain(..).for_each(each);
        count
    }
}

impl<K> fmt::Debug for Reactor<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("sources", &self.sources.len())
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

impl<K: Copy + Eq> Reactor<K> {
    /// A reactor and the waker that reaches it from outside.
    pub(crate) fn new() -> io::Result<(Reactor<K>, Waker)> {
        let poll = mio::Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let reactor = Reactor {
            poll,
            events: Events::with_capacity(BATCH),
            sources: Slab::new(),
            generation: 0,
            waiting: 0,
        };
        Ok((reactor, waker))
    }

    /// How many waiters there are.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Registers a descriptor. It must be removed before it is closed.
    pub(crate) fn register(&mut self, fd: BorrowedFd<'_>) -> io::Result<SourceKey> {
        let entry = self.sources.vacant_entry();
        let generation = self.generation;
        let key = SourceKey {
            index: u32::try_from(entry.key()).expect("descriptors are 31-bit numbers"),
            generation,
        };
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        let registry = self.poll.registry();
        let add = |fd: RawFd| registry.register(&mut SourceFd(&fd), key.token(), interest);
        let fd = match add(fd.as_raw_fd()) {
            // epoll knows a descriptor once only, and somebody else wrapped it before.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let duplicate = fd.try_clone_to_owned()?;
                add(duplicate.as_raw_fd())?;
                Registered::Duplicate(duplicate)
            }
            result => result.map(|()| Registered::Theirs(fd.as_raw_fd()))?,
        };
        entry.insert(Source {
            fd,
            generation,
            never_drained: false,
            events: 0,
            readers: Waiters::new(),
            writers: Waiters::new(),
        });
        self.generation = self.generation.wrapping_add(1);
        Ok(key)
    }

    /// Forgets a descriptor for which nobody waits. A closed descriptor leaves epoll by itself only
    /// if it was not duplicated, so this must come before it is closed.
    pub(crate) fn remove(&mut self, key: SourceKey) {
        if self.source(key).is_none() {
            return;
        }
        let source = self.sources.remove(key.index as usize);
        debug_assert!(source.readers.first.is_none() && source.writers.first.is_none());
        // The descriptor is registered and open, so the kernel has no reason to refuse.
        let _ = self
            .poll
            .registry()
            .deregister(&mut SourceFd(&source.fd.raw()));
    }

    /// Adds a waiter, which the next event in that direction hands out. Not if another number of
    /// events has come than was `seen`: then, how many.
    #[inline]
    pub(crate) fn add_waiter(
        &mut self,
        key: SourceKey,
        direction: Direction,
        waiter: K,
        seen: Option<u64>,
    ) -> Option<u64> {
        let source = self.source(key)?;
        if let Some(seen) = seen {
            let events = source.events();
            if events != seen {
                return Some(events);
            }
        }
        source.waiters(direction).add(waiter);
        self.waiting += 1;
        None
    }

    /// Takes a waiter back. If it has been handed out, how many events have come.
    #[inline]
    pub(crate) fn remove_waiter(
        &mut self,
        key: SourceKey,
        direction: Direction,
        waiter: K,
    ) -> Option<u64> {
        let source = self.source(key)?;
        let removed = source.waiters(direction).remove(waiter);
        let events = (!removed).then(|| source.events());
        self.waiting -= usize::from(removed);
        events
    }

    /// Hands out everybody who waits for a descriptor, which is about to be closed.
    #[cfg(feature = "patch")]
    pub(crate) fn evict(&mut self, key: SourceKey, mut wake: impl FnMut(K)) {
        if let Some(source) = self.source(key) {
            let woken = source.readers.drain(&mut wake) + source.writers.drain(&mut wake);
            self.waiting -= woken;
        }
    }

    /// How many events have come, for who wants to know later whether another has.
    #[inline]
    pub(crate) fn events(&mut self, key: SourceKey) -> Option<u64> {
        self.source(key).map(Source::events)
    }

    /// Hands out those who wait to read, as an event would: what they wait for may have come in
    /// another way. False for a stale key.
    pub(crate) fn announce(&mut self, key: SourceKey, mut wake: impl FnMut(K)) -> bool {
        let Some(source) = self.source(key) else {
            return false;
        };
        source.events += 1;
        let woken = source.readers.drain(&mut wake);
        self.waiting -= woken;
        true
    }

    /// Takes a batch of events, waiting for the first one at most `timeout` (`None`: for ever), and
    /// hands out the waiters they concern. Returns how many events there were, and whether one of
    /// them was the waker's.
    pub(crate) fn poll(
        &mut self,
        timeout: Option<Duration>,
        mut wake: impl FnMut(K),
    ) -> io::Result<(usize, bool)> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok((0, false)),
            result => result?,
        }
        let mut waker = false;
        let mut count = 0;
        for event in &self.events {
            count += 1;
            if event.token() == WAKER {
                waker = true;
                continue;
            }
            let key = SourceKey::from_token(event.token());
            let source = self.sources.get_mut(key.index as usize);
            if let Some(source) = source.filter(|source| source.generation == key.generation) {
                self.waiting -= source.deliver(event, &mut wake);
            }
        }
        Ok((count, waker))
    }

    fn source(&mut self, key: SourceKey) -> Option<&mut Source<K>> {
        let source = self.sources.get_mut(key.index as usize)?;
        (source.generation == key.generation).then_some(source)
    }
}

impl<K: Copy + Eq> Source<K> {
    fn waiters(&mut self, direction: Direction) -> &mut Waiters<K> {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }

    /// Where a short read means nothing, each look finds another event.
    #[inline]
    fn events(&mut self) -> u64 {
        self.events += u64::from(self.never_drained);
        self.events
    }

    /// Hands out those whom the event concerns, and says how many.
    #[inline(always)]
    fn deliver(&mut self, event: &Event, wake: &mut impl FnMut(K)) -> usize {
        let closed = event.is_read_closed() || event.is_write_closed() || event.is_error();
        self.never_drained |= closed || event.is_priority();
        self.events += 1;
        let mut woken = 0;
        if event.is_readable() || closed {
            woken += self.readers.drain(wake);
        }
        if event.is_writable() || closed {
            woken += self.writers.drain(wake);
        }
        woken
    }
}

impl SourceKey {
    fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.index as usize)
    }

    fn from_token(token: Token) -> SourceKey {
        SourceKey {
            index: token.0 as u32,
            generation: (token.0 >> 32) as u32,
        }
    }
}
