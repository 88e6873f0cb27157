//! The worker's side: what the user's closure is given, and who obeys the launcher.
//!
//! A worker runs the closure as the first green thread of a scheduler of its own. Beside it there
//! are three daemons: one that obeys the launcher, one that hears signals, one that beats.
//!
//! From outside it obeys `SIGTERM` alone, and drains. A terminal sends Ctrl-C to the launcher's
//! whole process group; what that means, the launcher says. Signals are ignored by being heard, not
//! by `SIG_IGN`, which the programs that a worker starts would inherit.
//!
//! When the line ends, the launcher is dead: everything is cancelled. (The kernel has been asked to
//! kill the worker then, too, for one that does not listen.)

use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::fmt;
use std::io::{self, Write};
use std::net::TcpListener as StdTcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use super::beat;
use super::board::{self, Board, State};
use super::config::Kind;
use super::wire::{self, Link, Message};
use crate::net::TcpListener;
use crate::os::unix::net::UnixListener;
use crate::scheduler::{self, Scheduler};
use crate::server::{Listener, Outcome, Server, Shutdown};
use crate::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, Signals};
use crate::thread::{Builder, catch, is_interrupt, resume};

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
    /// Empty when it drains: a socket that nobody accepts from is better closed.
    sockets: RefCell<Vec<Socket>>,
    draining: Shutdown,
    ready: Cell<bool>,
    /// None of it where there is no launcher.
    link: Option<Link>,
    record: Option<&'static board::Slot>,
}

/// What the launcher has opened. These stay as they are; what is used are duplicates.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(StdTcpListener),
    Unix(StdUnixListener),
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
        Worker(Rc::new(Shared {
            id: 0,
            sockets: RefCell::new(sockets),
            draining: Shutdown::new(),
            ready: Cell::new(false),
            link: None,
            record: None,
        }))
    }

    /// What the launcher's first message makes of this process.
    fn new(link: Link, hello: Message) -> io::Result<Worker> {
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
        let sockets = sockets.collect();
        Ok(Worker(Rc::new(Shared {
            id,
            sockets: RefCell::new(sockets),
            draining: Shutdown::new(),
            ready: Cell::new(false),
            link: Some(link),
            record: Some(board.into_slot(record)),
        })))
    }

    /// Its number, from 0: it stays when the process is replaced by another.
    #[must_use]
    pub fn id(&self) -> usize {
        self.0.id
    }

    /// The listener of the `index`th `bind` call, counting all kinds of them from 0.
    ///
    /// # Panics
    ///
    /// If that was none for TCP, or there is no descriptor left.
    #[must_use]
    #[track_caller]
    pub fn listener(&self, index: usize) -> TcpListener {
        let sockets = self.0.sockets.borrow();
        let Some(Socket::Tcp(listener)) = sockets.get(index) else {
            panic!("the launcher has no TCP listener {index}: bind calls are counted from 0");
        };
        let listener = listener.try_clone().expect("a descriptor for a listener");
        let listener = TcpListener::from(listener);
        // The launcher has opened it in that mode; who uses it has not asked for it.
        listener
            .set_nonblocking(false)
            .expect("only notes what is wanted");
        listener
    }

    /// As [`listener`](Worker::listener), for [`bind_unix`](super::Launcher::bind_unix).
    ///
    /// # Panics
    ///
    /// If that was none for a Unix socket, or there is no descriptor left.
    #[must_use]
    #[track_caller]
    pub fn unix_listener(&self, index: usize) -> UnixListener {
        let sockets = self.0.sockets.borrow();
        let Some(Socket::Unix(listener)) = sockets.get(index) else {
            panic!("the launcher has no Unix listener {index}: bind calls are counted from 0");
        };
        let listener = listener.try_clone().expect("a descriptor for a listener");
        let listener = UnixListener::from(listener);
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
        if let Some(link) = &self.0.link {
            // Without a launcher there is nobody to tell, and the end of the line ends this.
            let _ = link.send("ready", &[]);
        }
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

    pub(super) fn drain(&self) {
        self.set_state(State::Draining);
        self.0.sockets.take();
        self.0.draining.set();
    }

    fn set_state(&self, state: State) {
        if let Some(record) = self.0.record {
            record.set_state(state);
        }
    }

    fn obey(&self, link: &Link) {
        loop {
            let message = link.recv();
            match &message {
                Ok(Some(message)) => match message.text.as_str() {
                    "drain" => self.drain(),
                    "cancel" => return cancel_all(),
                    // From a launcher of another version, which can do without.
                    _ => {}
                },
                Ok(None) | Err(_) => return cancel_all(),
            }
        }
    }

    fn hear(&self, signals: &Signals) {
        while let Ok(signal) = signals.recv() {
            if signal == SIGTERM {
                self.drain();
            }
        }
    }
}

/// Unwinds every green thread of this process, also those that are spawned from now on.
pub(super) fn cancel_all() {
    scheduler::with(Scheduler::close);
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.0.id)
            .field("draining", &self.0.draining.is_set())
            .finish_non_exhaustive()
    }
}

/// The life of a worker process.
pub(super) fn run<F, R>(link: Link, hello: Message, serve: F) -> io::Result<ExitCode>
where
    F: FnOnce(Worker) -> R,
    R: Outcome,
{
    let worker = Worker::new(link, hello)?;
    name_process(worker.id());
    crate::run(|| {
        worker.attend()?;
        Ok(finish(&worker, serve))
    })
}

impl Worker {
    /// Begins the daemons.
    fn attend(&self) -> io::Result<()> {
        let daemon = |name: &str| Builder::new().name(name.into()).daemon(true);
        let signals = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
        let signals = Signals::new(signals)?;
        let hearer = self.clone();
        daemon("hears signals").spawn(move || hearer.hear(&signals))?;
        let obeyer = self.clone();
        daemon("obeys the launcher").spawn(move || {
            if let Some(link) = &obeyer.0.link {
                obeyer.obey(link);
            }
        })?;
        if let Some(record) = self.0.record {
            beat::hog::answer(record)?;
            beat::start(record)?;
        }
        Ok(())
    }
}

/// Runs the closure to its end, which may be a cancellation: that is the launcher's doing, and
/// nobody else is left to hear of it.
pub(super) fn finish<F, R>(worker: &Worker, serve: F) -> ExitCode
where
    F: FnOnce(Worker) -> R,
    R: Outcome,
{
    match catch(|| serve(worker.clone()).into_result()) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            // Nothing can be done about a standard error that is closed.
            let _ = writeln!(
                crate::io::stderr(),
                "worker {} failed: {error}",
                worker.id()
            );
            ExitCode::FAILURE
        }
        Err(payload) if is_interrupt(&payload) => ExitCode::SUCCESS,
        Err(payload) => resume(payload),
    }
}

/// What `ps` and `top` show as the command; the arguments, which they show too, begin with the
/// program's name.
fn name_process(id: usize) {
    if let Ok(name) = CString::new(format!("w{id}")) {
        // It is for the eye alone.
        let _ = rustix::thread::set_name(&name);
    }
}
