//! Parking a green thread in the midst of a call of libc.
//!
//! A descriptor is registered with the scheduler of this OS thread when a call on it must wait for
//! the first time, and stays so until it is closed. What is registered is noted by number and
//! generation, so that nothing is taken for a file that had the number before.
//!
//! No unwinding leaves this module: between a green thread's own frames and these stand frames of
//! C, or of Rust that was promised a C function. An interrupt ends the wait with an error, and is
//! met again at the next wait of sedge's own, for it stays due.

use std::cell::RefCell;
use std::ffi::c_int;
use std::os::fd::{AsFd, RawFd};
use std::time::Duration;

use super::gate;
use super::raw::Raw;
use super::table::{self, Generation};
use crate::reactor::{Direction, SourceKey};
use crate::scheduler::{self, Nanos, Scheduler, ThreadId};
use crate::stats::Reason;
use crate::thread;

/// The descriptors that are registered with the scheduler of this OS thread.
struct Registered {
    /// Which scheduler that is: they end with it.
    scheduler: u64,
    /// By number.
    entries: Vec<Option<Entry>>,
}

#[derive(Clone, Copy)]
struct Entry {
    generation: Generation,
    key: SourceKey,
}

thread_local! {
    static REGISTERED: RefCell<Registered> = const {
        RefCell::new(Registered {
            scheduler: 0,
            entries: Vec::new(),
        })
    };
}

/// Why a wait came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Something has happened, or nothing: the call is to be made again.
    Perhaps,
    /// The deadline has passed.
    Late,
}

/// Why there was no wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The green thread is cancelled, or its time is up.
    Interrupted,
    /// The descriptor was closed meanwhile.
    Closed,
    /// epoll does not take it, or there is no memory: only the real call can wait for it.
    Impossible,
}

impl Refusal {
    /// What the caller is told. Not for `Impossible`, where the real call answers.
    pub(super) fn errno(self) -> c_int {
        match self {
            Refusal::Interrupted => libc::ECANCELED,
            Refusal::Closed => libc::EBADF,
            Refusal::Impossible => libc::EAGAIN,
        }
    }
}

/// Runs `f`, which may park; an interrupt ends it.
pub(super) fn guard<T>(f: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    if !gate::is_at_rest() {
        return Err(Refusal::Impossible);
    }
    let result = thread::catch(f);
    gate::refill();
    result.unwrap_or_else(|payload| {
        if !thread::is_interrupt(&payload) && !thread::put_back(payload) {
            // Nothing in here calls what is not sedge's own.
            std::process::abort();
        }
        Err(Refusal::Interrupted)
    })
}

/// When that long from now will have passed.
pub(super) fn after(duration: Duration) -> Nanos {
    scheduler::with(|scheduler| scheduler.after(duration))
}

fn has_passed(deadline: Option<Nanos>) -> bool {
    deadline.is_some_and(|deadline| scheduler::with(|s| s.has_passed(deadline)))
}

/// Parks until a descriptor is ready, or something like it. Inside of [`guard`].
pub(super) fn wait(
    fd: RawFd,
    direction: Direction,
    deadline: Option<Nanos>,
) -> Result<Woken, Refusal> {
    wait_for_any(&[(fd, direction)], deadline)
}

/// As [`wait`], for several.
pub(super) fn wait_for_any(
    fds: &[(RawFd, Direction)],
    deadline: Option<Nanos>,
) -> Result<Woken, Refusal> {
    let reason = match fds {
        [] => Reason::Sleep,
        [(_, Direction::Write)] => Reason::Write,
        _ => Reason::Read,
    };
    let owner = scheduler::with(Scheduler::current);
    let mut waiting = Waiting {
        owner,
        first: None,
        more: Vec::new(),
    };
    for &(fd, direction) in fds {
        waiting.add(fd, direction)?;
    }
    thread::park_for(reason, deadline).map_err(|thread::Unwinding| Refusal::Impossible)?;
    if waiting.is_any_closed() {
        return Err(Refusal::Closed);
    }
    drop(waiting);
    Ok(if has_passed(deadline) {
        Woken::Late
    } else {
        Woken::Perhaps
    })
}

/// Parks until then. Inside of [`guard`].
pub(super) fn sleep_until(deadline: Nanos) -> Result<(), Refusal> {
    loop {
        thread::park_for(Reason::Sleep, Some(deadline))
            .map_err(|thread::Unwinding| Refusal::Impossible)?;
        if has_passed(Some(deadline)) {
            return Ok(());
        }
    }
}

/// Lets others run. Inside of [`guard`].
pub(super) fn give_way() -> Result<(), Refusal> {
    thread::yield_now();
    Ok(())
}

/// A pause before another look at what tells nobody when it is ready, longer each time; not beyond
/// the deadline.
pub(super) struct Pauses {
    next: Duration,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(20);

    pub(super) fn new() -> Pauses {
        Pauses {
            next: Pauses::FIRST,
        }
    }

    /// Inside of [`guard`].
    pub(super) fn pause(&mut self, deadline: Option<Nanos>) -> Result<Woken, Refusal> {
        if has_passed(deadline) {
            return Ok(Woken::Late);
        }
        let end = after(self.next);
        self.next = (self.next * 2).min(Pauses::LONGEST);
        sleep_until(deadline.map_or(end, |deadline| end.min(deadline)))?;
        Ok(Woken::Perhaps)
    }
}

/// One green thread among those who wait for some descriptors, taken back however that ends.
struct Waiting {
    owner: ThreadId,
    first: Option<Place>,
    more: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    fd: RawFd,
    direction: Direction,
    entry: Entry,
}

impl Waiting {
    fn add(&mut self, fd: RawFd, direction: Direction) -> Result<(), Refusal> {
        let entry = entry(fd)?;
        let place = Place {
            fd,
            direction,
            entry,
        };
        scheduler::with(|scheduler| {
            scheduler
                .reactor()
                .add_waiter(entry.key, direction, self.owner, None);
        });
        if self.first.is_none() {
            self.first = Some(place);
        } else {
            self.more.push(place);
        }
        Ok(())
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.first.iter().chain(&self.more)
    }

    fn is_any_closed(&self) -> bool {
        self.places()
            .any(|place| table::generation(place.fd) != Some(place.entry.generation))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        scheduler::with(|scheduler| {
            for place in self.places() {
                let Place {
                    direction, entry, ..
                } = *place;
                scheduler
                    .reactor()
                    .remove_waiter(entry.key, direction, self.owner);
            }
        });
    }
}

/// The registration of a descriptor with this scheduler, an old one or a new one.
fn entry(fd: RawFd) -> Result<Entry, Refusal> {
    let generation = table::generation(fd).ok_or(Refusal::Impossible)?;
    if let Some(known) = known(fd) {
        if known.generation == generation {
            return Ok(known);
        }
        // It was closed by another OS thread, or unseen.
        forget(fd);
    }
    register(fd, generation)
}

fn known(fd: RawFd) -> Option<Entry> {
    let number = scheduler::try_with(|scheduler| scheduler.number())?;
    let find = |registered: &RefCell<Registered>| {
        let mut registered = registered.try_borrow_mut().ok()?;
        if registered.scheduler != number {
            registered.scheduler = number;
            registered.entries.clear();
        }
        *registered.entries.get(usize::try_from(fd).ok()?)?
    };
    REGISTERED.try_with(find).ok().flatten()
}

fn register(fd: RawFd, generation: Generation) -> Result<Entry, Refusal> {
    let key = scheduler::with(|scheduler| scheduler.reactor().register(Raw(fd).as_fd()));
    let key = key.map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM) => {
            table::set_file(fd);
            Refusal::Impossible
        }
        Some(libc::EBADF) => Refusal::Closed,
        _ => Refusal::Impossible,
    })?;
    let entry = Entry { generation, key };
    let place = usize::try_from(fd).expect("it was looked up by number");
    let noted = REGISTERED.try_with(|registered| {
        let entries = &mut registered.borrow_mut().entries;
        if entries.len() <= place {
            entries.resize(place + 1, None);
        }
        entries[place] = Some(entry);
    });
    if noted.is_err() {
        // This OS thread is ending and its thread-locals are gone.
        scheduler::with(|scheduler| scheduler.reactor().remove(key));
        return Err(Refusal::Impossible);
    }
    Ok(entry)
}

/// The number is about to be closed, or has just been given out: what was registered under it is
/// not any more, and who waits for that is told.
#[inline]
pub(super) fn renew(fd: RawFd) {
    table::renew(fd);
    forget(fd);
}

#[inline]
fn forget(fd: RawFd) {
    let take = |registered: &RefCell<Registered>| {
        let mut registered = registered.try_borrow_mut().ok()?;
        let entry = registered
            .entries
            .get_mut(usize::try_from(fd).ok()?)?
            .take()?;
        Some((registered.scheduler, entry))
    };
    if let Some((number, entry)) = REGISTERED.try_with(take).ok().flatten() {
        remove(number, entry);
    }
}

#[cold]
fn remove(number: u64, entry: Entry) {
    scheduler::try_with(|scheduler| {
        if scheduler.number() == number {
            let mut waiters = Vec::new();
            scheduler
                .reactor()
                .evict(entry.key, |waiter| waiters.push(waiter));
            scheduler.reactor().remove(entry.key);
            waiters
                .into_iter()
                .for_each(|waiter| scheduler.wake(waiter));
        }
    });
}
