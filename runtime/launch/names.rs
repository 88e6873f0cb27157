//! What the workers of a launcher share, by name.
//!
//! ```text
//!   worker                                                launcher
//!     makes a queue
//!     share number=7 kind=queue<u32> name=jobs, fds ──>     has no "jobs": keeps these
//!                                                           has one already: closes these
//!     <── shared number=7, the descriptors that it keeps
//!     uses those
//! ```
//!
//! So the first who asks makes it, and nobody waits for anybody but the launcher. From then on the
//! workers talk directly. The launcher does not know what it keeps, and never reads it. It keeps it
//! as long as it lives, so what is in a queue outlives the workers, and an upgrade too.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::wire::{self, Line, Link, Message};
use crate::channel::{Sender, bounded};

/// Bytes of a name, and of a kind: they must fit into one message.
const MOST_BYTES: usize = 1000;

/// What there is, by name.
#[derive(Debug, Default)]
pub(super) struct Names(RefCell<BTreeMap<String, Named>>);

#[derive(Debug)]
struct Named {
    kind: String,
    fds: Vec<OwnedFd>,
}

impl Names {
    /// Gives what has that name to `take`: what is there, or else what is brought. An error if that
    /// is of another kind.
    fn share<R>(
        &self,
        (name, kind): (&str, &str),
        brought: Vec<OwnedFd>,
        take: impl FnOnce(&[BorrowedFd<'_>]) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut names = self.0.borrow_mut();
        let named = names.entry(name.to_owned()).or_insert_with(|| Named {
            kind: kind.to_owned(),
            fds: brought,
        });
        if named.kind != kind {
            return Err(other_kind(name, &named.kind, kind));
        }
        let fds: Vec<_> = named.fds.iter().map(AsFd::as_fd).collect();
        take(&fds)
    }

    /// Answers a worker that asks; if what it has brought is lost, with an error.
    pub(super) fn answer(&self, link: &Link, message: Message, is_cut: bool) -> io::Result<()> {
        let Message { text, fds } = message;
        let (kind, name) = (wire::field(&text, "kind")?, wire::last(&text, "name")?);
        let number: u64 = wire::number(&text, "number")?;
        let answer = Line::new("shared").field("number", number);
        let sent = match is_cut {
            true => Err(wire::cut()),
            false => self.share((name, kind), fds, |fds| link.send(answer.text(), fds)),
        };
        sent.or_else(|error| {
            let refusal = Line::new("unshared").field("number", number);
            link.send(refusal.last("why", error).text(), &[])
        })
    }

    /// Puts all there is on a line, for another launcher.
    pub(super) fn hand_over(&self, link: &Link) -> io::Result<()> {
        for (name, named) in self.0.borrow().iter() {
            let line = Line::new("name").field("kind", &named.kind);
            let fds: Vec<_> = named.fds.iter().map(AsFd::as_fd).collect();
            link.send(line.last("name", name).text(), &fds)?;
        }
        Ok(())
    }

    /// Takes what another launcher has put on the line.
    pub(super) fn inherit(&self, message: Message) -> io::Result<()> {
        let Message { text, fds } = message;
        let named = Named {
            kind: wire::field(&text, "kind")?.to_owned(),
            fds,
        };
        let name = wire::last(&text, "name")?.to_owned();
        self.0.borrow_mut().insert(name, named);
        Ok(())
    }

    /// Takes all of the others.
    pub(super) fn extend(&self, others: Names) {
        self.0.borrow_mut().append(&mut others.0.take());
    }
}

fn other_kind(name: &str, there: &str, wanted: &str) -> io::Error {
    let message = format!("{name:?} is shared already, as {there} and not as {wanted}");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

type Answer = io::Result<Vec<OwnedFd>>;

/// What a worker has asked the launcher for.
#[derive(Default)]
pub(super) struct Questions {
    next: Cell<u64>,
    open: RefCell<BTreeMap<u64, Sender<Answer>>>,
    /// What there is, where there is no launcher.
    own: Names,
}

impl Questions {
    /// What all share under that name; `ours` if nobody has asked before.
    pub(super) fn ask(
        &self,
        link: Option<&Link>,
        (name, kind): (&str, &str),
        ours: Vec<OwnedFd>,
    ) -> Answer {
        let kind: String = kind.split(' ').collect();
        if name.len() > MOST_BYTES || kind.len() > MOST_BYTES {
            let message = format!("a name of more than {MOST_BYTES} bytes, or a type's");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let Some(link) = link else {
            return self.own.share((name, &kind), ours, |fds| {
                fds.iter().map(|fd| fd.try_clone_to_owned()).collect()
            });
        };
        let number = self.next.replace(self.next.get() + 1);
        let (answer, answered) = bounded(1);
        self.open.borrow_mut().insert(number, answer);
        let _question = Question {
            questions: self,
            number,
        };
        let line = Line::new("share").field("number", number);
        let line = line.field("kind", kind).last("name", name);
        let fds: Vec<_> = ours.iter().map(AsFd::as_fd).collect();
        link.send(line.text(), &fds)?;
        drop(fds);
        drop(ours);
        answered.recv().map_err(io::Error::other)?
    }

    /// Hears the launcher's answer, or that what was shared is lost on its way.
    pub(super) fn answered(&self, message: Message, is_cut: bool) -> io::Result<()> {
        let Message { text, fds } = message;
        let number: u64 = wire::number(&text, "number")?;
        let answer = if text.starts_with("unshared ") {
            Err(io::Error::other(wire::last(&text, "why")?.to_owned()))
        } else if is_cut {
            Err(wire::cut())
        } else {
            Ok(fds)
        };
        let question = self.open.borrow_mut().remove(&number);
        if let Some(question) = question {
            // There is room for it, or he who has asked is gone.
            let _ = question.try_send(answer);
        }
        Ok(())
    }
}

/// A question that is open, until it is answered or given up.
struct Question<'a> {
    questions: &'a Questions,
    number: u64,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let question = self.questions.open.borrow_mut().remove(&self.number);
        drop(question);
    }
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions")
            .field("open", &self.open.borrow().len())
            .finish_non_exhaustive()
    }
}
