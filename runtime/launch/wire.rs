//! The line between the launcher and a worker: whole messages, with descriptors.
//!
//! It is a pair of `SOCK_SEQPACKET` sockets. A message is a line of words, which `strace` shows as
//! they are; descriptors travel with it (`SCM_RIGHTS`). Either side is told by the end of the line
//! when the other is gone.
//!
//! Sending never waits: a worker that reads nothing must not hold up the launcher. What does not
//! fit is an error; the queue takes some 270 messages, and a worker is sent a dozen in its life.

use std::fmt::Write;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

use crate::io::Source;

/// Descriptors that one message carries at most; the kernel's `SCM_MAX_FD`.
pub(super) const MOST_FDS: usize = 253;
/// Bytes of one message at most: the longest has the path of a socket in it.
const MOST_BYTES: usize = 8 << 10;

/// One end of the line.
#[derive(Debug)]
pub(crate) struct Link(Source<OwnedFd>);

/// What comes over it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Makes a line: the ends are alike.
pub(crate) fn pair() -> io::Result<(Link, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((Link::new(ours), theirs))
}

impl Link {
    pub(crate) fn new(fd: OwnedFd) -> Link {
        Link(Source::new(fd))
    }

    /// Sends a message.
    pub(crate) fn send(&self, text: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(
            &self.0,
            &[IoSlice::new(text.as_bytes())],
            &mut control,
            flags,
        )?;
        Ok(())
    }

    /// Waits for a message; `None` is the end of the line.
    pub(crate) fn recv(&self) -> io::Result<Option<Message>> {
        self.0.read_with(|fd| receive(fd)).and_then(whole)
    }

    /// As [`recv`](Link::recv), and says whether descriptors of it are lost, for none was left
    /// here; it then has none. For who can tell the other side.
    pub(crate) fn hear(&self) -> io::Result<Option<(Message, bool)>> {
        self.0.read_with(|fd| receive(fd))
    }

    /// A message that is there already, for outside of a scheduler.
    pub(crate) fn recv_now(&self) -> io::Result<Option<Message>> {
        receive(self.0.get_ref()).and_then(whole)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// What is wrong with a message whose descriptors are lost.
pub(crate) fn cut() -> io::Error {
    io::Error::other("a message came without some of its descriptors: too many are open")
}

fn whole(received: Option<(Message, bool)>) -> io::Result<Option<Message>> {
    match received {
        Some((_, true)) => Err(cut()),
        received => Ok(received.map(|(message, _)| message)),
    }
}

fn receive(fd: impl AsFd) -> io::Result<Option<(Message, bool)>> {
    let mut bytes = vec![0; MOST_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(fd, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let mut fds: Vec<OwnedFd> = rights.flatten().collect();
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(malformed("too much"));
    }
    let is_cut = received.flags.contains(ReturnFlags::CTRUNC);
    if is_cut {
        // Half of them are worth nothing.
        fds.clear();
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(received.bytes);
    let text = String::from_utf8(bytes).map_err(|_| malformed("not text"))?;
    Ok(Some((Message { text, fds }, is_cut)))
}

/// What is wrong with a message of the other side.
pub(crate) fn malformed(what: &str) -> io::Error {
    let message = format!("the launcher's line says what it never says: {what}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// A message in the making: a word, and then fields, `name=value`.
#[derive(Debug)]
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new(word: &str) -> Line {
        Line(word.to_owned())
    }

    pub(crate) fn field(mut self, name: &str, value: impl std::fmt::Display) -> Line {
        // Writing to a string does not fail.
        let _ = write!(self.0, " {name}={value}");
        self
    }

    /// A field whose value may have spaces in it; nothing can follow.
    pub(crate) fn last(self, name: &str, value: impl std::fmt::Display) -> Line {
        self.field(name, value)
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// The value of a field.
pub(crate) fn field<'a>(line: &'a str, name: &str) -> io::Result<&'a str> {
    let value = |word: &'a str| word.strip_prefix(name)?.strip_prefix('=');
    let found = line.split(' ').find_map(value);
    found.ok_or_else(|| malformed(&format!("{line:?} has no {name}")))
}

/// The value of the last field, to the end of the line.
pub(crate) fn last<'a>(line: &'a str, name: &str) -> io::Result<&'a str> {
    let found = line
        .split_once(&format!(" {name}="))
        .map(|(_, value)| value);
    found.ok_or_else(|| malformed(&format!("{line:?} has no {name}")))
}

/// The value of a field that is a number.
pub(crate) fn number<N: std::str::FromStr>(line: &str, name: &str) -> io::Result<N> {
    let number = field(line, name)?.parse();
    number.map_err(|_| malformed(&format!("{name} of {line:?} is no number")))
}
