//! What a server, its handlers and its handles share: who is at work, and how far it has come.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use super::Shutdown;
use crate::scheduler::{self, Nanos, Scheduler, ThreadId};
use crate::stats::Reason;
use crate::thread::Thread;
use crate::wait_queue::WaitQueue;

/// Stops a server, and knows how many are being served; from
/// [`Server::handle`](super::Server::handle), [`Server::start`](super::Server::start) and
/// [`Connection::server`](super::Connection::server).
///
/// Clones are handles to the same server. Dropping the last one does not stop it.
///
/// ```
/// use sedge::net::{TcpListener, TcpStream};
/// use sedge::server::Server;
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// sedge::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let handle = Server::new(listener, |mut stream| stream.write_all(b"hello")).start()?;
///
///     let mut text = String::new();
///     let addr = handle.local_addr().unwrap();
///     TcpStream::connect(addr)?.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///
///     assert!(handle.shutdown(Duration::from_secs(5)), "nobody had to be cancelled");
///     assert!(TcpStream::connect(addr).is_err());
///     Ok(())
/// })
/// # }
/// ```
pub struct ServerHandle<A = SocketAddr>(pub(super) Rc<Shared<A>>);

/// What lives as long as anybody who has to do with the server.
pub(super) struct Shared<A> {
    local_addr: Option<A>,
    pub(super) stopping: Shutdown,
    phase: Cell<Phase>,
    /// Who runs the server.
    runner: Cell<Option<ThreadId>>,
    /// It waits, in a hook, for the server to end, and nobody must wait for it to go on.
    runner_waits: Cell<bool>,
    /// Who serves; an entry is empty until its green thread is spawned.
    at_work: RefCell<Slab<Option<ThreadId>>>,
    /// Those of them who wait for the others, and whom the others must not wait for.
    waiting_inside: RefCell<Vec<ThreadId>>,
    /// Who accepts, while all places are taken.
    wants_place: WaitQueue,
    /// Who waits for the end of something.
    wants_end: WaitQueue,
}

/// How far a server has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Accepting,
    /// Its listener is gone.
    Closed,
}

impl<A> ServerHandle<A> {
    pub(super) fn new(local_addr: Option<A>) -> ServerHandle<A> {
        ServerHandle(Rc::new(Shared {
            local_addr,
            stopping: Shutdown::new(),
            phase: Cell::new(Phase::New),
            runner: Cell::new(None),
            runner_waits: Cell::new(false),
            at_work: RefCell::default(),
            waiting_inside: RefCell::default(),
            wants_place: WaitQueue::new(),
            wants_end: WaitQueue::new(),
        }))
    }

    /// Where the server listens; `None` if its listener could not say.
    #[must_use]
    pub fn local_addr(&self) -> Option<&A> {
        self.0.local_addr.as_ref()
    }

    /// How many handlers are at work.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.at_work.borrow().len()
    }

    /// The word that the handlers are given when the server is stopped.
    #[must_use]
    pub fn stopping(&self) -> &Shutdown {
        &self.0.stopping
    }

    /// Tells the server to accept no more, and its handlers that it stops; waits for neither. What
    /// the kernel holds already, up to 64, is still accepted if
    /// [there is a place](super::Server::max_connections): a client whom the kernel has told that
    /// it is connected should not be reset. Then the listener is closed, and
    /// [`run`](super::Server::run) returns when the last handler has ended.
    ///
    /// Anybody may call it, also a handler, and more than once.
    ///
    /// With `panic = "abort"`, where nothing can be unwound, it takes effect when the next
    /// connection has come.
    pub fn stop(&self) {
        self.0.stopping.set();
    }

    /// [Stops](ServerHandle::stop) the server, waits for the handlers that are at work, and
    /// cancels those that are so after `grace`. Says whether all have ended by themselves. When it
    /// returns, the listener is closed and no handler is left.
    ///
    /// A handler behind a [`shield`](crate::shield) is waited for even so;
    /// [`timeout`](crate::timeout) around this call limits that. Called by a handler or a hook of
    /// the server, it waits neither for its caller nor for others that do the same. gevent's
    /// `stop(timeout)`.
    ///
    /// With `panic = "abort"` nobody can be cancelled: then it returns false after `grace`.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn shutdown(&self, grace: Duration) -> bool {
        let deadline = scheduler::with(|scheduler| scheduler.after(grace));
        self.stop();
        let waiting = Waiting::new(&self.0);
        let is_accepting = || self.0.phase.get() == Phase::Accepting && !waiting.runner_waits_too();
        let has_ended = || !is_accepting() && waiting.is_alone();
        if self.0.wait_until(Some(deadline), has_ended) {
            return true;
        }
        if cfg!(panic = "unwind") {
            waiting.cancel_others();
            self.0.wait_until(None, has_ended);
        }
        false
    }

    /// Waits until the server has ended: it accepts no more, and no handler is at work but, if it
    /// is one, the caller.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), unless it has ended.
    #[track_caller]
    pub fn wait(&self) {
        if self.0.phase.get() != Phase::Closed || self.connections() > 0 {
            let waiting = Waiting::new(&self.0);
            let is_closed = || self.0.phase.get() == Phase::Closed || waiting.runner_waits_too();
            let has_ended = || is_closed() && waiting.is_alone();
            self.0.wait_until(None, has_ended);
        }
    }
}

impl<A> Shared<A> {
    /// A place among those at work.
    pub(super) fn take_place(self: &Rc<Self>) -> Place<A> {
        Place {
            key: self.at_work.borrow_mut().insert(None),
            shared: Rc::clone(self),
        }
    }

    /// The place with that key is that of `thread`, which has not run yet.
    pub(super) fn give_place(&self, key: usize, thread: &Thread) {
        self.at_work.borrow_mut()[key] = Some(thread.id());
    }

    /// Waits until fewer than `most` are at work.
    #[track_caller]
    pub(super) fn wait_for_place(&self, most: usize) {
        while self.at_work.borrow().len() >= most {
            let _ = self.wants_place.wait(Reason::Pool, None, ());
        }
    }

    #[track_caller]
    pub(super) fn wait_for_all(&self) {
        self.wait_until(None, || self.at_work.borrow().is_empty());
    }

    #[track_caller]
    fn wait_until(&self, deadline: Option<Nanos>, done: impl Fn() -> bool) -> bool {
        while !done() {
            if self.wants_end.wait(Reason::Join, deadline, ()).is_err() {
                return done();
            }
        }
        true
    }

    /// Whether all who are at work wait for the others.
    fn is_idle(&self) -> bool {
        self.at_work.borrow().len() <= self.waiting_inside.borrow().len()
    }

    pub(super) fn cancel_all(&self) {
        self.cancel(|_| true);
    }

    fn cancel(&self, which: impl Fn(ThreadId) -> bool) {
        let at_work = self.at_work.borrow();
        let ids = at_work.iter().filter_map(|(_, id)| *id);
        ids.filter(|&id| which(id)).for_each(|id| {
            scheduler::try_with(|scheduler| scheduler.cancel(id));
        });
    }

    fn tell_waiting(&self) {
        self.wants_end.grant_all();
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.tell_waiting();
    }
}

/// Keeps a server from having ended. When it is dropped, however that comes, everything that
/// belongs to the server comes to an end.
pub(super) struct Alive<A>(pub(super) ServerHandle<A>);

impl<A> Alive<A> {
    pub(super) fn accepting(&self) {
        self.0.0.enter(Phase::Accepting);
    }

    /// The running green thread is the one that accepts.
    #[track_caller]
    pub(super) fn runs_here(&self) {
        let runner = scheduler::with(Scheduler::current);
        self.0.0.runner.set(Some(runner));
        self.accepting();
    }

    /// The listener is gone.
    pub(super) fn closed(&self) {
        self.0.0.enter(Phase::Closed);
    }
}

impl<A> Drop for Alive<A> {
    fn drop(&mut self) {
        self.0.stop();
        // Where nothing can be unwound they end by themselves.
        if cfg!(panic = "unwind") {
            self.0.0.cancel_all();
        }
        self.closed();
    }
}

/// The place of one who is at work; given back when this is dropped.
pub(super) struct Place<A> {
    shared: Rc<Shared<A>>,
    pub(super) key: usize,
}

impl<A> Drop for Place<A> {
    fn drop(&mut self) {
        self.shared.at_work.borrow_mut().remove(self.key);
        self.shared.wants_place.grant(|()| ());
        if self.shared.is_idle() {
            self.shared.tell_waiting();
        }
    }
}

/// The running green thread waits for the server to end. If it belongs to the server itself, the
/// others that wait must know, or they would wait for each other.
struct Waiting<'a, A> {
    shared: &'a Shared<A>,
    /// That of a handler.
    inside: Option<ThreadId>,
    is_runner: bool,
}

impl<A> Waiting<'_, A> {
    #[track_caller]
    fn new(shared: &Shared<A>) -> Waiting<'_, A> {
        let current = scheduler::with(Scheduler::current);
        let is_runner = shared.runner.get() == Some(current);
        let is_handler = |(_, id): (usize, &Option<ThreadId>)| *id == Some(current);
        let inside = shared.at_work.borrow().iter().any(is_handler);
        let inside = inside.then_some(current);
        shared
            .runner_waits
            .set(is_runner || shared.runner_waits.get());
        shared.waiting_inside.borrow_mut().extend(inside);
        if is_runner || inside.is_some() {
            shared.tell_waiting();
        }
        Waiting {
            shared,
            inside,
            is_runner,
        }
    }

    /// Whether who accepts waits for the end himself, and this one belongs to the server too, so
    /// that they must not wait for each other.
    fn runner_waits_too(&self) -> bool {
        (self.is_runner || self.inside.is_some()) && self.shared.runner_waits.get()
    }

    /// Whether nobody is at work but, for one who is, those that wait as he does.
    fn is_alone(&self) -> bool {
        match self.inside {
            Some(_) => self.shared.is_idle(),
            None => self.shared.at_work.borrow().is_empty(),
        }
    }

    fn cancel_others(&self) {
        let waiting = self.shared.waiting_inside.borrow();
        let is_spared = |id| self.inside.is_some() && waiting.contains(&id);
        self.shared.cancel(|id| !is_spared(id));
    }
}

impl<A> Drop for Waiting<'_, A> {
    fn drop(&mut self) {
        if self.is_runner {
            self.shared.runner_waits.set(false);
        }
        if self.inside.is_some() {
            let mut waiting = self.shared.waiting_inside.borrow_mut();
            if let Some(at) = waiting.iter().position(|id| Some(*id) == self.inside) {
                waiting.swap_remove(at);
            }
        }
    }
}

impl<A> Clone for ServerHandle<A> {
    fn clone(&self) -> ServerHandle<A> {
        ServerHandle(Rc::clone(&self.0))
    }
}

impl<A: fmt::Debug> fmt::Debug for ServerHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("local_addr", &self.0.local_addr)
            .field("connections", &self.connections())
            .field("stopping", &self.0.stopping.is_set())
            .finish()
    }
}
