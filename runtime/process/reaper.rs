//! Waits for the children that nobody waits for any more, so that none stays a zombie.
//!
//! ```text
//!   Child dropped ── has ended ──────────────────────────────> waited for at once
//!        │ still runs
//!        ├── pidfd into the epoll of the OS thread ── ends ──> waited for there
//!        └── no descriptor or OS thread left ─> a list ──────> at the next spawn or drop
//! ```
//!
//! One OS thread of the process does it, as long as there are such children. A green thread could
//! as well, but it would have to be cancelled at the end of `run` with the children still there;
//! until then it would show up among everybody's, and as one that waits for a descriptor it would
//! keep a deadlock from being noticed. A handler of `SIGCHLD` belongs to the program.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{self, Child};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::child::open;

/// Ends taken from the kernel at a time.
const BATCH: usize = 64;

static ORPHANS: Mutex<Orphans> = Mutex::new(Orphans {
    watched: BTreeMap::new(),
    others: Vec::new(),
    watcher: None,
});

struct Orphans {
    /// By process id: those whose end the OS thread hears of.
    watched: BTreeMap<u32, Watched>,
    /// Those for which there was no descriptor, or no OS thread.
    others: Vec<Child>,
    /// While the OS thread exists.
    watcher: Option<Watcher>,
}

struct Watched {
    child: Child,
    /// In the epoll until it is closed.
    _end: OwnedFd,
}

struct Watcher {
    epoll: Arc<OwnedFd>,
    /// The process it is in: a forked child has the memory, but not the OS thread.
    process: u32,
}

/// Takes in a child that nobody else will wait for, with what becomes readable at its end if that
/// is there already.
pub(super) fn adopt(mut child: Child, end: Option<OwnedFd>) {
    if has_ended(&mut child) {
        return;
    }
    let mut orphans = lock();
    orphans.sweep();
    if let Err(child) = orphans.watch(child, end) {
        orphans.others.push(child);
    }
}

/// Looks at those whose end nobody hears of.
pub(super) fn sweep() {
    lock().sweep();
}

impl Orphans {
    fn sweep(&mut self) {
        self.others.retain_mut(|child| !has_ended(child));
    }

    fn watch(&mut self, child: Child, end: Option<OwnedFd>) -> Result<(), Child> {
        let id = child.id();
        let enlist = || {
            let end = end.map_or_else(|| open(&child), Ok)?;
            let epoll = self.epoll()?;
            let data = EventData::new_u64(id.into());
            epoll::add(&epoll, &end, data, EventFlags::IN | EventFlags::ET)?;
            io::Result::Ok(end)
        };
        match enlist() {
            Ok(end) => {
                self.watched.insert(id, Watched { child, _end: end });
                Ok(())
            }
            Err(_) => Err(child),
        }
    }

    /// That of the OS thread, which is started if there is none.
    fn epoll(&mut self) -> io::Result<Arc<OwnedFd>> {
        let process = process::id();
        match &self.watcher {
            Some(watcher) if watcher.process == process => return Ok(Arc::clone(&watcher.epoll)),
            Some(_) => self.watched.clear(),
            None => {}
        }
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        let ours = Arc::clone(&epoll);
        let builder = thread::Builder::new().name("sedge-reaper".to_owned());
        builder.spawn(move || watch(&ours))?;
        let epoll = &self.watcher.insert(Watcher { epoll, process }).epoll;
        Ok(Arc::clone(epoll))
    }
}

/// What the OS thread does, until there is nobody left.
fn watch(epoll: &OwnedFd) {
    let mut events: Vec<Event> = Vec::with_capacity(BATCH);
    loop {
        events.clear();
        match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("epoll_wait: {error}"),
        }
        let mut orphans = lock();
        for event in &events {
            let id = event.data.u64() as u32;
            let watched = &mut orphans.watched;
            if watched
                .get_mut(&id)
                .is_some_and(|w| has_ended(&mut w.child))
            {
                watched.remove(&id);
            }
        }
        if orphans.watched.is_empty() {
            orphans.watcher = None;
            return;
        }
    }
}

/// Whether there is nothing left to wait for. An error says that somebody else has waited for it.
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

fn lock() -> MutexGuard<'static, Orphans> {
    // Nothing in here leaves it half changed.
    ORPHANS.lock().unwrap_or_else(PoisonError::into_inner)
}
