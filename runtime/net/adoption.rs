//! Queue adoption: a listener that also accepts from the sockets of its siblings.
//!
//! The kernel deals the connections to one port out to all sockets bound to it, also to that of a
//! worker which hangs or is dead. The launcher holds all those sockets, and gives them to the
//! siblings until there is somebody again.
//!
//! ```text
//!    accept() ── tries own, 3, 7 in turn ──> a connection: return it
//!        ^                │ none has any
//!        │                v
//!        │        waits at its own socket <───────────── announce ── a watcher for each adopted
//!        └── own event, or as if there had been one                  socket: one event, one call
//! ```
//!
//! **No connection is ever in between.** Who takes one from a queue is the `accept` that returns
//! it; a watcher only says that there may be something. So nothing is lost when a green thread is
//! cancelled, when a time limit passes, when a socket is released: what nobody has accepted is
//! still in its queue.
//!
//! No wake-up is lost either. An `accept` tries all sockets before it waits, and nothing can happen
//! between the last try and the wait. An event that comes later reaches the watcher, which
//! announces and waits again without a suspension between. It heeds events only, never readiness:
//! while all acceptors are busy it does not spin.
//!
//! Each call begins at the socket after the one that the last connection came from, so a busy own
//! queue does not starve the adopted ones. A listener without siblings looks at one pointer.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};

use rustix::io::ioctl_fionbio;
use rustix::net::sockopt::socket_acceptconn;

use super::socket::{Accepted, Socket, accept_sound, is_exhaustion};
use crate::io::Source;
use crate::reactor::SourceKey;
use crate::scheduler;
use crate::thread::{Builder, JoinHandle};

/// The sockets that a listener and its clones have adopted. The launcher's side in a worker keeps
/// it, and tells it what to adopt and what to release.
#[derive(Default)]
pub(crate) struct Siblings {
    adopted: RefCell<Vec<Adopted>>,
    /// Where the clones of the listener are waited at: number of the scheduler, and the key there.
    places: RefCell<Vec<(u64, SourceKey)>>,
    /// Whose turn it is: 0 is the own socket, others are the adopted ones.
    turn: Cell<usize>,
}

struct Adopted {
    id: u64,
    socket: Rc<Source<OwnedFd>>,
    watcher: JoinHandle<()>,
}

impl Siblings {
    /// Accepts also from this socket from now on, which must listen. The caller chooses the `id` to
    /// release it by; one with the same is released.
    ///
    /// # Errors
    ///
    /// If it does not listen, or cannot be waited for.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub(crate) fn adopt(self: &Rc<Siblings>, id: u64, socket: OwnedFd) -> io::Result<()> {
        if !socket_acceptconn(&socket)? {
            let message = "a socket to adopt must listen";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        ioctl_fionbio(&socket, true)?;
        let socket = Rc::new(Source::new(socket));
        socket.place()?;
        self.release(id);
        let (siblings, watched) = (Rc::downgrade(self), Rc::clone(&socket));
        let watcher = Builder::new().name(format!("adopts {id}")).daemon(true);
        let watcher = watcher.spawn(move || watch(&siblings, &watched))?;
        self.adopted.borrow_mut().push(Adopted {
            id,
            socket,
            watcher,
        });
        Ok(())
    }

    /// Accepts no more from that one, and closes it; false if there is none. What waits in its
    /// queue stays there.
    pub(crate) fn release(&self, id: u64) -> bool {
        let mut adopted = self.adopted.borrow_mut();
        let place = adopted.iter().position(|adopted| adopted.id == id);
        let released = place.map(|place| adopted.remove(place));
        drop(adopted);
        self.turn.set(0);
        released.is_some()
    }

    /// Releases all.
    pub(crate) fn release_all(&self) {
        let released = self.adopted.take();
        self.turn.set(0);
        drop(released);
    }

    fn accept(&self, own: &net::TcpListener) -> io::Result<Accepted> {
        let adopted = self.adopted.borrow();
        let sockets = adopted.len() + 1;
        for place in 0..sockets {
            let place = (self.turn.get() + place) % sockets;
            let result = match place.checked_sub(1) {
                None => accept_sound(own),
                Some(place) => accept_sound(adopted[place].socket.get_ref()),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // That a sibling's socket is broken is not the caller's concern.
                Err(error) if place > 0 && !is_exhaustion(&error) => {}
                result => {
                    self.turn.set((place + 1) % sockets);
                    return result;
                }
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Remembers where somebody is about to wait.
    fn note(&self, place: (u64, SourceKey)) {
        let mut places = self.places.borrow_mut();
        if !places.contains(&place) {
            scheduler::with(|scheduler| {
                let (here, reactor) = (scheduler.number(), scheduler.reactor());
                places.retain(|&(number, key)| number == here && reactor.events(key).is_some());
            });
            places.push(place);
        }
    }

    /// Wakes whoever waits in `accept`.
    fn announce(&self) {
        let mut places = self.places.borrow_mut();
        scheduler::with(|scheduler| {
            let here = scheduler.number();
            places.retain(|&(number, key)| number == here && scheduler.announce(key));
        });
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        self.watcher.cancel();
    }
}

/// Announces each event of an adopted socket. First of all without one: it may have come before
/// this green thread did.
fn watch(siblings: &Weak<Siblings>, socket: &Source<OwnedFd>) {
    while let Some(siblings) = siblings.upgrade() {
        siblings.announce();
        drop(siblings);
        if socket.wait_event().is_err() {
            return;
        }
    }
}

/// The socket of a TCP listener, and its siblings if it can have any.
pub(super) struct Listening {
    own: net::TcpListener,
    siblings: Option<Rc<Siblings>>,
}

impl Listening {
    pub(super) fn new(own: net::TcpListener, siblings: Rc<Siblings>) -> Listening {
        Listening {
            own,
            siblings: Some(siblings),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Listening> {
        Ok(Listening {
            own: self.own.try_clone()?,
            siblings: self.siblings.clone(),
        })
    }
}

/// [`Socket::accept`], from all sockets there are.
pub(super) fn accept(socket: &Socket<Listening>) -> io::Result<Accepted> {
    let Some(siblings) = &socket.get_ref().siblings else {
        return socket.accept(|listening| accept_sound(&listening.own));
    };
    socket.accept(|listening| {
        let result = siblings.accept(&listening.own);
        let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if result.as_ref().is_err_and(would_block) && !socket.is_nonblocking() {
            siblings.note(socket.place()?);
        }
        result
    })
}

impl Deref for Listening {
    type Target = net::TcpListener;

    fn deref(&self) -> &net::TcpListener {
        &self.own
    }
}

/// As std's.
impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.own.fmt(f)
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.own.as_fd()
    }
}

impl From<net::TcpListener> for Listening {
    fn from(own: net::TcpListener) -> Listening {
        Listening {
            own,
            siblings: None,
        }
    }
}

/// One that has siblings stays in non-blocking mode, which is that of all descriptors of a socket:
/// in blocking mode, an `accept` of a sibling that has adopted it would block its OS thread.
impl From<Listening> for net::TcpListener {
    fn from(listening: Listening) -> net::TcpListener {
        if listening.siblings.is_some() {
            let _ = ioctl_fionbio(&listening.own, true);
        }
        listening.own
    }
}

#[cfg(test)]
mod tests;
