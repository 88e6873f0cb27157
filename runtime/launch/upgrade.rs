//! Replacing the program: the launcher executes the new one in its own place, and nothing ends.
//!
//! ```text
//!   old launcher, pid 7                                new program, pid 7
//!     starts worker 0 of the new program, READY          reads what it inherits (door, here)
//!     puts all it has on a line, and the line's          takes charge of sockets, board, workers
//!       end in the place of standard input               replaces the workers that are left,
//!     execve ───────────────────────────────────────>      one by one
//! ```
//!
//! The process id stays, so the children stay children, and systemd, a pid file or a container's
//! runtime see nothing. That the new program can start, is seen before: its first worker has become
//! ready, by the same way through `main` that the launcher will go. If it does not, or `execve`
//! fails, the old launcher has lost nothing and goes on.
//!
//! What is handed over are descriptors, in messages that wait in the line's queue meanwhile. They
//! stay marked to be closed at an exec, and none can leak into somebody else.
//!
//! What does not pass: signals that come in the milliseconds between `execve` and the new program's
//! handlers do what they do by default.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::rc::Rc;

use rustix::process::Pid;
use rustix::stdio::dup2_stdin;

use super::board::Board;
use super::child::Child;
use super::config::Kind;
use super::door;
use super::listen::Bound;
use super::names::Names;
use super::output::Stream;
use super::records::Records;
use super::spawn::Program;
use super::supervisor::Supervisor;
use super::systemd;
use super::wire::{self, Line, Link, Message};
use crate::io::PipeReader;

/// The slot whose worker is the first of the new program.
pub(super) const FIRST: usize = 0;

/// Executes the new program in the place of this one. Comes back only if that fails.
pub(super) fn execute(boss: &Supervisor) -> io::Error {
    boss.log.flush();
    let _ = crate::io::stdout().flush();
    // Nothing waits from here on: what is handed over must be so until the end.
    let before = match hand_over(boss) {
        Ok(before) => before,
        Err(error) => return error,
    };
    let mut command = boss.origin.command(Program::New, "");
    for name in systemd::ACTIVATION {
        command.env_remove(name);
    }
    let error = command.exec();
    let _ = dup2_stdin(before);
    error
}

/// Puts all there is on a line, and that in the place of standard input, which it gives back.
fn hand_over(boss: &Supervisor) -> io::Result<OwnedFd> {
    let (link, end) = wire::pair()?;
    let slots = boss.slots.borrow().len();
    let hello = door::to_heir()
        .field("started", boss.started)
        .field("slots", slots);
    let stdin = rustix::stdio::stdin();
    link.send(hello.text(), &[stdin.as_fd(), boss.records.board.fd()])?;
    for bound in boss.sockets.borrow().all() {
        let kind = if bound.kind == Kind::Unix { 'U' } else { 'T' };
        let line = Line::new("bound")
            .field("kind", kind)
            .last("name", &bound.name);
        bound.with_fds(|fds| link.send(line.text(), fds))?;
    }
    boss.records.names.hand_over(&link)?;
    let serving = boss.serving();
    for child in boss.children() {
        let serves = serving.iter().any(|other| Rc::ptr_eq(other, &child));
        let line = Line::new("child")
            .field("id", child.id)
            .field("pid", child.pid)
            .field("record", child.record.index)
            .field("serves", u8::from(serves));
        link.send(line.text(), &child.fds())?;
    }
    door::put(end)
}

/// What a launcher has from the one before it.
#[derive(Debug)]
pub(super) struct Inheritance {
    pub(super) started: u64,
    slots: usize,
    board: Board,
    bound: Vec<Bound>,
    names: Names,
    children: Vec<Heirloom>,
}

#[derive(Debug)]
struct Heirloom {
    id: usize,
    pid: Pid,
    record: usize,
    serves: bool,
    fds: Vec<OwnedFd>,
}

impl Inheritance {
    /// Reads it, and puts standard input back.
    pub(super) fn read(link: &Link, hello: Message) -> io::Result<Inheritance> {
        let Message { text: hello, fds } = hello;
        let [stdin, board]: [OwnedFd; 2] = fds
            .try_into()
            .map_err(|_| wire::malformed("other descriptors than two"))?;
        dup2_stdin(stdin)?;
        let mut inheritance = Inheritance {
            started: wire::number(&hello, "started")?,
            slots: wire::number(&hello, "slots")?,
            board: Board::open(board)?,
            bound: Vec::new(),
            names: Names::default(),
            children: Vec::new(),
        };
        // The other end is closed, and what was put on the line before is followed by its end.
        while let Some(Message { text, fds }) = link.recv_now()? {
            if text.starts_with("bound ") {
                let kind = match wire::field(&text, "kind")? {
                    "U" => Kind::Unix,
                    _ => Kind::Tcp,
                };
                let name = wire::last(&text, "name")?;
                inheritance
                    .bound
                    .push(Bound::inherit(name.to_owned(), kind, fds)?);
            } else if text.starts_with("name ") {
                inheritance.names.inherit(Message { text, fds })?;
            } else {
                inheritance.children.push(Heirloom::read(&text, fds)?);
            }
        }
        Ok(inheritance)
    }

    /// The socket that was opened under that name.
    pub(super) fn take_bound(&mut self, name: &str) -> Option<Bound> {
        let place = self.bound.iter().position(|bound| bound.name == name)?;
        Some(self.bound.remove(place))
    }

    /// All that were opened under names that begin so.
    pub(super) fn take_all_bound(&mut self, prefix: &str) -> Vec<Bound> {
        let begins_so = |bound: &mut Bound| bound.name.starts_with(prefix);
        self.bound.extract_if(.., begins_so).collect()
    }

    /// Takes charge of the workers, in a scheduler.
    pub(super) fn take_over(self, records: &Rc<Records>, boss: &Rc<Supervisor>) -> io::Result<()> {
        records.names.extend(self.names);
        let mut serving: Vec<Option<Rc<Child>>> = (0..self.slots).map(|_| None).collect();
        for heirloom in self.children {
            let (id, serves) = (heirloom.id, heirloom.serves);
            let child = heirloom.adopt(records, boss)?;
            boss.keep(Rc::clone(&child));
            match serving.get_mut(id) {
                Some(place) if serves => *place = Some(child),
                _ => boss.retire(child, boss.settings.drain_timeout),
            }
        }
        for (id, child) in serving.into_iter().enumerate() {
            boss.open_slot(id, child)?;
        }
        // Those of slots that were removed.
        let queues = boss.sockets.borrow().queues();
        for id in self.slots..queues {
            boss.orphans.add(boss, id);
        }
        Ok(())
    }

    /// The board, for the workers to come.
    pub(super) fn records(&self) -> io::Result<Rc<Records>> {
        let board = self.board.fd().try_clone_to_owned()?;
        Ok(Records::on(Board::open(board)?))
    }
}

impl Heirloom {
    fn read(text: &str, fds: Vec<OwnedFd>) -> io::Result<Heirloom> {
        let pid = Pid::from_raw(wire::number(text, "pid")?);
        Ok(Heirloom {
            id: wire::number(text, "id")?,
            pid: pid.ok_or_else(|| wire::malformed(text))?,
            record: wire::number(text, "record")?,
            serves: wire::number::<u8>(text, "serves")? == 1,
            fds,
        })
    }

    fn adopt(self, records: &Rc<Records>, boss: &Supervisor) -> io::Result<Rc<Child>> {
        let mut fds = self.fds.into_iter();
        let (Some(link), Some(process)) = (fds.next(), fds.next()) else {
            return Err(wire::malformed("a worker without its line"));
        };
        let link = Link::new(link);
        let streams = [Stream::Stdout, Stream::Stderr].into_iter();
        let outputs = streams
            .zip(fds.map(|fd| Rc::new(PipeReader::from(fd))))
            .collect();
        let record = records.take(self.record);
        let changes = boss.changes.clone();
        let child = Child::adopt(self.id, (self.pid, process), record, link, outputs, changes)?;
        if self.serves {
            child.was_ready();
        }
        Ok(child)
    }
}
