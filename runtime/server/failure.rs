//! What goes wrong in a server, and who hears of it.

use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use rustix::io::Errno;

use crate::thread::contain;

/// What went wrong: a connection's handler, or accepting. From
/// [`Server::on_error`](super::Server::on_error).
///
/// ```
/// use sedge::server::Failure;
/// use std::net::SocketAddr;
///
/// fn log(failure: &Failure<SocketAddr>) {
///     match failure.peer_addr() {
///         _ if failure.is_by_client() => {}
///         Some(peer) => println!("{peer}: {}", failure.error()),
///         None => println!("cannot accept: {}", failure.error()),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Failure<A> {
    peer: Option<A>,
    error: io::Error,
}

impl<A> Failure<A> {
    /// Whose connection or datagram it was; `None` if nobody's was accepted.
    #[must_use]
    pub fn peer_addr(&self) -> Option<&A> {
        self.peer.as_ref()
    }

    /// What the handler returned, or the system said.
    #[must_use]
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// Whether it says only that the client went away, or did not do its part within a time limit.
    #[must_use]
    pub fn is_by_client(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof,
            WouldBlock,
        };
        let kind = self.error.kind();
        self.peer.is_some()
            && matches!(
                kind,
                BrokenPipe
                    | ConnectionAborted
                    | ConnectionReset
                    | NotConnected
                    | TimedOut
                    | UnexpectedEof
                    | WouldBlock
            )
    }
}

impl<A: fmt::Debug> fmt::Display for Failure<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Some(peer) => write!(f, "serving {peer:?} failed: {}", self.error),
            None => write!(f, "accepting failed: {}", self.error),
        }
    }
}

impl<A: fmt::Debug> std::error::Error for Failure<A> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Who is told. Clones tell the same.
pub(super) struct Report<A>(Rc<Hook<A>>);

type Hook<A> = dyn Fn(&Failure<A>);

impl<A> Report<A> {
    pub(super) fn new(hook: impl Fn(&Failure<A>) + 'static) -> Report<A> {
        Report(Rc::new(hook))
    }

    /// Tells. If that panics, it was printed, and the server goes on.
    pub(super) fn tell(&self, peer: Option<A>, error: io::Error) {
        let failure = Failure { peer, error };
        contain(|| (self.0)(&failure));
    }
}

impl<A: fmt::Debug + 'static> Report<A> {
    /// Prints what is no client's doing.
    pub(super) fn print() -> Report<A> {
        Report::new(|failure| {
            if !failure.is_by_client() {
                // Nothing can be done about a standard error that is closed.
                let _ = writeln!(io::stderr(), "sedge: {failure}");
            }
        })
    }
}

impl<A> Clone for Report<A> {
    fn clone(&self) -> Report<A> {
        Report(Rc::clone(&self.0))
    }
}

/// What a handler may return: nothing, or whether its I/O succeeded. A program may implement it for
/// a result of its own. A handler that never returns, for it loops, says so: `|stream| -> () {..}`.
///
/// ```
/// use sedge::server::Outcome;
/// use std::io;
///
/// struct Checked(Result<u32, String>);
///
/// impl Outcome for Checked {
///     fn into_result(self) -> io::Result<()> {
///         self.0.map(|_| ()).map_err(io::Error::other)
///     }
/// }
/// ```
pub trait Outcome {
    /// What went wrong, if anything.
    fn into_result(self) -> io::Result<()>;
}

impl Outcome for () {
    fn into_result(self) -> io::Result<()> {
        Ok(())
    }
}

impl Outcome for io::Result<()> {
    fn into_result(self) -> io::Result<()> {
        self
    }
}

/// Whether the descriptor is none that could ever be accepted from: closed, no socket, or not
/// listening any more.
pub(super) fn is_final(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
        || matches!(
            Errno::from_io_error(error),
            Some(Errno::BADF | Errno::NOTSOCK | Errno::OPNOTSUPP)
        )
}
