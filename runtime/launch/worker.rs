//! A worker, as the user's closure knows it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use super::board::{self, Board, State};
use super::config::Kind;
use super::names::Questions;
use super::wire::{self, Link, Message};
use crate::net::TcpListener;
use crate::net::adoption::Siblings;
use crate::os::unix::net::UnixListener;
use crate::server::{Listener, Server, Shutdown};
use crate::thread::Builder;

/// What the closure of [`Launcher::run`](super::Launcher::run) is given. Clones are the same
/// worker.
///
/// ```no_run
/// use sedge::launch::Launcher;
/// use std::io::Write;
/// use std::process::ExitCode;
///
/// fn main() -> std::io::Result<ExitCode> {
///     Launcher::new().bind("127.0.0.1:7000").run(|worker| {
///         let listener = worker.listener(0);
///         worker.ready();
///         while let Some(accepted) = worker.draining().run_until_set(|| listener.accept()) {
///             let (mut stream, _) = accepted?;
///             let id = worker.id();
///             sedge::spawn(move || writeln!(stream, "worker {id} was here"));
///         }
///         Ok(())
///     })
/// }
/// ```
#[derive(Clone)]
pub struct Worker(Rc<Shared>);

struct Shared {
    id: usize,
    /// What was not handed out yet, and what may be handed out again.
    sockets: RefCell<Vec<Socket>>,
    /// The sockets that siblings have left alone, by slot and index.
    adopted: RefCell<BTreeMap<(usize, usize), OwnedFd>>,
    /// By index, those of the listeners that were handed out.
    siblings: RefCell<Vec<(usize, Rc<Siblings>)>>,
    /// Each says how many connections a server has.
    servers: RefCell<Vec<Box<dyn Fn() -> usize>>>,
    draining: Shutdown,
    ready: Cell<bool>,
    /// It will be told to drain before long.
    leaving: Cell<bool>,
    questions: Questions,
    /// Neither where there is no launcher.
    link: Option<Rc<Link>>,
    record: Option<&'static board::Slot>,
}

/// What the launcher has opened. These stay as they are; what is used are duplicates.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(StdTcpListener),
    Unix(StdUnixListener),
    /// It was handed out, and is not kept any longer.
    Closed,
}

impl Socket {
    pub(super) fn new(kind: Kind, fd: OwnedFd) -> Socket {
        match kind {
            Kind::Tcp => Socket::Tcp(fd.into()),
            Kind::Unix => Socket::Unix(fd.into()),
        }
    }
}

impl Worker {
    /// One without a launcher.
    pub(super) fn alone(sockets: Vec<Socket>) -> Worker {
        Worker::with(0, sockets, None, None)
    }

    /// What the launcher's first message makes of this process, and its place on the board.
    pub(super) fn new(
        link: &Rc<Link>,
        hello: Message,
    ) -> io::Result<(Worker, &'static board::Slot)> {
        let Message { text, fds } = hello;
        let id = wire::number(&text, "id")?;
        let record: usize = wire::number(&text, "record")?;
        let kinds = wire::field(&text, "sockets")?;
        let mut fds = fds.into_iter();
        let board = Board::open(fds.next().ok_or_else(|| wire::malformed("no board"))?)?;
        if fds.len() != kinds.len() || record >= board.len() {
            return Err(wire::malformed("other sockets than it names"));
        }
        let kinds = kinds.chars().map(|kind| match kind {
            'U' => Kind::Unix,
            _ => Kind::Tcp,
        });
        let sockets = kinds.zip(fds).map(|(kind, fd)| Socket::new(kind, fd));
        let record = board.into_slot(record);
        let worker = Worker::with(id, sockets.collect(), Some(Rc::clone(link)), Some(record));
        Ok((worker, record))
    }

    fn with(
        id: usize,
        sockets: Vec<Socket>,
        link: Option<Rc<Link>>,
        record: Option<&'static board::Slot>,
    ) -> Worker {
        Worker(Rc::new(Shared {
            id,
            sockets: RefCell::new(sockets),
            adopted: RefCell::default(),
            siblings: RefCell::default(),
            servers: RefCell::default(),
            draining: Shutdown::new(),
            ready: Cell::new(false),
            leaving: Cell::new(false),
            questions: Questions::default(),
            link,
            record,
        }))
    }

    /// Its number, from 0: it stays when the process is replaced by another.
    #[must_use]
    pub fn id(&self) -> usize {
        self.0.id
    }

    /// The listener of the `index`th `bind` call, counting all kinds of them from 0. Take it when
    /// the worker begins: once it [drains](Worker::draining), what it had is closed.
    ///
    /// # Panics
    ///
    /// If that was none for TCP, if the worker drains and has had it, or if there is no descriptor
    /// left.
    #[must_use]
    #[track_caller]
    pub fn listener(&self, index: usize) -> TcpListener {
        let listener = match self.0.sockets.borrow().get(index) {
            Some(Socket::Tcp(listener)) => listener.try_clone(),
            Some(Socket::Closed) => panic!("listener {index} was closed: the worker drains"),
            _ => panic!("the launcher has no TCP listener {index}: bind calls are counted from 0"),
        };
        let listener = listener.and_then(TcpListener::with_siblings);
        let (listener, siblings) = listener.expect("a descriptor for a listener");
        for (&(slot, _), fd) in self
            .0
            .adopted
            .borrow()
            .iter()
            .filter(|((_, i), _)| *i == index)
        {
            // It can do without; others adopt that one too.
            let _ = fd
                .try_clone()
                .and_then(|fd| siblings.adopt(slot as u64, fd));
        }
        self.0.siblings.borrow_mut().push((index, siblings));
        listener
    }

    /// As [`listener`](Worker::listener), for [`bind_unix`](super::Launcher::bind_unix).
    ///
    /// # Panics
    ///
    /// If that was none for a Unix socket, if the worker drains and has had it, or if there is no
    /// descriptor left.
    #[must_use]
    #[track_caller]
    pub fn unix_listener(&self, index: usize) -> UnixListener {
        let listener = match self.0.sockets.borrow().get(index) {
            Some(Socket::Unix(listener)) => listener.try_clone(),
            Some(Socket::Closed) => panic!("listener {index} was closed: the worker drains"),
            _ => panic!("the launcher has no Unix listener {index}: bind calls are counted from 0"),
        };
        let listener = UnixListener::from(listener.expect("a descriptor for a listener"));
        // The launcher has opened it in that mode; who uses it has not asked for it.
        listener
            .set_nonblocking(false)
            .expect("only notes what is wanted");
        listener
    }

    /// Says that this worker is ready to serve. The launcher waits for that: with a roll-over,
    /// before it lets the worker go that this one replaces. One that does not say it within the
    /// [`ready_timeout`](super::Launcher::ready_timeout) is taken to have failed.
    pub fn ready(&self) {
        if self.0.ready.replace(true) {
            return;
        }
        self.set_state(State::Ready);
        self.tell("ready");
    }

    /// Whether new clients are welcome: it is ready, and the launcher does not end. What a
    /// readiness probe is to be told: it changes
    /// [some time](super::Launcher::pre_drain_delay) before the worker drains, while it accepts
    /// still.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.get() && !self.0.leaving.get() && !self.0.draining.is_set()
    }

    /// The word that this worker is to come to an end: take nothing new, finish what is begun,
    /// return from the closure.
    #[must_use]
    pub fn draining(&self) -> &Shutdown {
        &self.0.draining
    }

    /// Runs a server until this worker is to end: says that it is [ready](Worker::ready), accepts
    /// until it [drains](Worker::draining), and comes back when the last handler has ended.
    ///
    /// # Errors
    ///
    /// As [`Server::run`].
    ///
    /// # Panics
    ///
    /// As [`Server::run`].
    pub fn serve<L: Listener + 'static>(&self, server: Server<L>) -> io::Result<()> {
        let handle = server.handle();
        let counted = handle.clone();
        let count = Box::new(move || counted.connections());
        self.0.servers.borrow_mut().push(count);
        let draining = self.0.draining.clone();
        let stopper = Builder::new().name("stops the server".into()).daemon(true);
        stopper.spawn(move || {
            draining.wait();
            handle.stop();
        })?;
        self.ready();
        server.run()
    }

    /// Counts a request that was answered, for the status and for
    /// [`max_requests`](super::Launcher::max_requests).
    pub fn count_request(&self) {
        if let Some(record) = self.0.record {
            record.requests.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn leave(&self) {
        self.0.leaving.set(true);
    }

    /// Writes down how many connections there are.
    pub(super) fn count_connections(&self) {
        if let Some(record) = self.0.record {
            let servers = self.0.servers.borrow();
            let connections: usize = servers.iter().map(|count| count()).sum();
            record.connections.store(connections as u64, Relaxed);
        }
    }

    /// A socket that nobody accepts from is better closed, for then the kernel refuses connections
    /// when the launcher closes it too.
    ///
    /// The launcher hears of it, for it may not be its doing, and then somebody must take the
    /// place.
    pub(super) fn drain(&self) {
        if self.0.draining.is_set() {
            return;
        }
        self.tell("draining");
        self.set_state(State::Draining);
        let handed_out = self.0.siblings.take();
        for (index, siblings) in handed_out {
            siblings.release_all();
            self.0.sockets.borrow_mut()[index] = Socket::Closed;
        }
        self.0.adopted.take();
        self.0.draining.set();
    }

    /// Accepts from that socket of that slot too.
    pub(super) fn adopt(&self, slot: usize, index: usize, fd: OwnedFd) -> io::Result<()> {
        if self.0.draining.is_set() {
            return Ok(());
        }
        for (_, siblings) in self.0.siblings.borrow().iter().filter(|(i, _)| *i == index) {
            siblings.adopt(slot as u64, fd.try_clone()?)?;
        }
        self.0.adopted.borrow_mut().insert((slot, index), fd);
        Ok(())
    }

    /// Leaves the sockets of that slot alone again.
    pub(super) fn release(&self, slot: usize) {
        for (_, siblings) in self.0.siblings.borrow().iter() {
            siblings.release(slot as u64);
        }
        self.0
            .adopted
            .borrow_mut()
            .retain(|(adopted, _), _| *adopted != slot);
    }

    /// What it asks the launcher for, and the line to it.
    pub(super) fn questions(&self) -> (&Questions, Option<&Link>) {
        (&self.0.questions, self.0.link.as_deref())
    }

    fn tell(&self, word: &str) {
        if let Some(link) = &self.0.link {
            // If the launcher is dead, the end of the line ends this.
            let _ = link.send(word, &[]);
        }
    }

    fn set_state(&self, state: State) {
        if let Some(record) = self.0.record {
            record.set_state(state);
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.0.id)
            .field("draining", &self.0.draining.is_set())
            .finish_non_exhaustive()
    }
}
