//! The socket under every channel: whole packets, in or out, with the descriptors that go along.
//!
//! ```text
//!   'm' bytes...                          a message
//!   'L' its length, eight bytes           a large one: its bytes are in a memfd that goes along,
//!                                         before the descriptors of the message itself
//! ```
//!
//! A packet is taken by one reader whole, or not at all, so any number of processes may read from
//! one socket without a lock, and a reader that dies holds nothing. Reading and writing are told
//! not to wait by each call (`MSG_DONTWAIT`): the mode of the socket is shared with whoever has a
//! duplicate.
//!
//! Whoever is parked is woken by each packet that comes, in every process: of several that are
//! woken one finds it, the others park again. `EPOLLEXCLUSIVE` would wake only one, but then a
//! wake-up could be lost: with a process that is killed before it reads, and in one whose green
//! threads are busy elsewhere.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg,
    send, sendmsg, socketpair,
};

use super::error::{RecvError, SendError};
use crate::coroutine;
use crate::io::Source;
use crate::scheduler;

/// Bytes of a message that goes in a packet; a larger one goes in a memfd. Two to three of the
/// largest fit into a socket's buffer.
pub(super) const MOST_INLINE: usize = 64 << 10;
/// Descriptors that one packet carries at most: the kernel's `SCM_MAX_FD`.
const MOST_FDS: usize = 253;
/// Bytes of a message at most, unless somebody wants another limit.
pub(super) const LIMIT: usize = 16 << 20;

const SMALL: u8 = b'm';
const LARGE: u8 = b'L';
const LARGE_PACKET: usize = 1 + size_of::<u64>();

/// What nobody can change any more, so that who has checked it can believe it.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE);

/// One end.
#[derive(Debug)]
pub(super) struct Packets {
    source: Source<OwnedFd>,
    /// Bytes of a message at most.
    pub(super) limit: Cell<usize>,
}

/// Two ends that are connected; they are alike.
pub(super) fn pair() -> io::Result<(Packets, Packets)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((Packets::new(one, LIMIT), Packets::new(other, LIMIT)))
}

impl Packets {
    pub(super) fn new(fd: OwnedFd, limit: usize) -> Packets {
        Packets {
            source: Source::new(fd),
            limit: Cell::new(limit),
        }
    }

    /// Takes the descriptor out; a duplicate if others use this end too.
    pub(super) fn into_fd(self: Rc<Packets>) -> io::Result<OwnedFd> {
        match Rc::try_unwrap(self) {
            Ok(packets) => Ok(packets.source.into_inner()),
            Err(shared) => shared.as_fd().try_clone_to_owned(),
        }
    }

    /// Sends a message that stands behind the first of these bytes. If `waits`, until there is room
    /// for it; else it may come back as `WouldBlock`.
    pub(super) fn send(
        &self,
        framed: &mut [u8],
        fds: &[BorrowedFd<'_>],
        waits: bool,
    ) -> Result<(), SendError> {
        if framed.len() - 1 <= MOST_INLINE {
            framed[0] = SMALL;
            match self.send_packet(framed, fds, waits) {
                // The buffers of this system are so small that this one never fits.
                Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {}
                sent => return sent.map_err(SendError::from_io),
            }
        }
        let message = &framed[1..];
        let memory = fill_memory(message).map_err(SendError::Io)?;
        let mut packet = [LARGE; LARGE_PACKET];
        packet[1..].copy_from_slice(&(message.len() as u64).to_le_bytes());
        let fds: Vec<_> = std::iter::once(memory.as_fd())
            .chain(fds.iter().copied())
            .collect();
        let sent = self.send_packet(&packet, &fds, waits);
        sent.map_err(SendError::from_io)
    }

    fn send_packet(&self, packet: &[u8], fds: &[BorrowedFd<'_>], waits: bool) -> io::Result<()> {
        let send = || send_now(&self.source, packet, fds);
        if !waits || !is_inside() {
            let sent = send();
            if !waits || !would_block(&sent) {
                return sent;
            }
        }
        self.source.write_with(|_| send())
    }

    /// Waits for a packet; `None` if there is none and it shall not wait.
    pub(super) fn recv(&self, waits: bool) -> Result<Option<Packet>, RecvError> {
        let recv = || recv_now(self.source.get_ref());
        let received = if !waits || !is_inside() {
            let received = recv();
            match would_block(&received) {
                true if !waits => return Ok(None),
                true => self.source.read_with(|_| recv()),
                false => received,
            }
        } else {
            self.source.read_with(|_| recv())
        };
        let received = received.map_err(RecvError::Io)?.ok_or(RecvError::Closed)?;
        received.into_packet(self.limit.get()).map(Some)
    }
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.get_ref().as_fd()
    }
}

/// Whether a wait parks a green thread. If not, what need not wait is done all the same.
pub(super) fn is_inside() -> bool {
    coroutine::is_running() && scheduler::try_with(|_| ()).is_some()
}

pub(super) fn would_block<R>(result: &io::Result<R>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn send_now(fd: impl AsFd, packet: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        let sent = if fds.is_empty() {
            send(&fd, packet, flags)
        } else {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if fds.len() > MOST_FDS || !control.push(SendAncillaryMessage::ScmRights(fds)) {
                let message = "a message can carry 252 ends and descriptors, not more";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            sendmsg(&fd, &[IoSlice::new(packet)], &mut control, flags)
        };
        match sent {
            Err(Errno::INTR) => {}
            sent => return Ok(sent.map(drop)?),
        }
    }
}

/// A packet as it came.
struct Received {
    buffer: Buffer,
    len: usize,
    fds: Vec<OwnedFd>,
    /// Bytes or descriptors of it are lost.
    is_cut: bool,
}

/// What the packet says.
pub(super) struct Packet {
    message: Message,
    pub(super) fds: Vec<OwnedFd>,
}

enum Message {
    Small(Buffer, usize),
    Large(Vec<u8>),
}

/// The next packet; `None` is the end, when there are no writers any more.
fn recv_now(fd: &OwnedFd) -> io::Result<Option<Received>> {
    let mut buffer = Buffer::take();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = loop {
        match recvmsg(
            fd,
            &mut [IoSliceMut::new(&mut buffer.0)],
            &mut control,
            flags,
        ) {
            Err(Errno::INTR) => {}
            // The other side has gone with packets of ours unread. What it sent is still here.
            Err(Errno::CONNRESET) => {}
            received => break received?,
        }
    };
    if received.bytes == 0 && is_end(fd) {
        return Ok(None);
    }
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok(Some(Received {
        buffer,
        len: received.bytes,
        fds: rights.flatten().collect(),
        is_cut: (received.flags).intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC),
    }))
}

/// Whether nothing can come any more. A packet without bytes, which nobody here sends, looks the
/// same to who receives it.
fn is_end(fd: &OwnedFd) -> bool {
    let now = Timespec::default();
    let mut polled = [PollFd::new(fd, PollFlags::RDHUP)];
    let hung_up = poll(&mut polled, Some(&now)).is_ok_and(|count| count > 0);
    let mut byte = [0; 1];
    let peeked = recv(fd, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    hung_up && peeked.is_ok_and(|(_, len)| len == 0)
}

impl Received {
    fn into_packet(self, limit: usize) -> Result<Packet, RecvError> {
        let Received {
            buffer,
            len,
            mut fds,
            is_cut,
        } = self;
        if is_cut {
            return Err(RecvError::Truncated);
        }
        let message = match buffer.0[..len].first() {
            Some(&SMALL) if len - 1 <= limit => Message::Small(buffer, len),
            Some(&SMALL) => {
                return Err(RecvError::TooLarge {
                    bytes: len - 1,
                    limit,
                });
            }
            Some(&LARGE) if len == LARGE_PACKET && !fds.is_empty() => {
                let length = buffer.0[1..len].try_into().expect("eight bytes");
                let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
                if length > limit {
                    return Err(RecvError::TooLarge {
                        bytes: length,
                        limit,
                    });
                }
                Message::Large(read_memory(fds.remove(0), length)?)
            }
            _ => return Err(RecvError::Truncated),
        };
        Ok(Packet { message, fds })
    }
}

impl Packet {
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.message {
            Message::Small(buffer, len) => &buffer.0[1..*len],
            Message::Large(bytes) => bytes,
        }
    }
}

/// Memory with these bytes in it, for good.
fn fill_memory(bytes: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = File::from(memfd_create("sedge-message", flags)?);
    memory.write_all_at(bytes, 0)?;
    fcntl_add_seals(&memory, SEALS | SealFlags::SEAL)?;
    Ok(memory)
}

/// What is in that memory. It is read, not mapped: a copy is needed for decoding anyway, and a read
/// cannot end in `SIGBUS`.
fn read_memory(memory: OwnedFd, length: usize) -> Result<Vec<u8>, RecvError> {
    let is_sealed = fcntl_get_seals(&memory).is_ok_and(|seals| seals.contains(SEALS));
    let size = fstat(&memory).map_or(0, |stat| stat.st_size);
    if !is_sealed || u64::try_from(size).ok() != Some(length as u64) {
        return Err(RecvError::Truncated);
    }
    let mut bytes = vec![0; length];
    let read = File::from(memory).read_exact_at(&mut bytes, 0);
    read.map_err(RecvError::Io)?;
    Ok(bytes)
}

/// Room for a packet. One is kept by each OS thread: wiping 64 KiB costs more than most packets.
struct Buffer(Box<[u8]>);

thread_local! {
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

impl Buffer {
    fn take() -> Buffer {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        Buffer(spare.unwrap_or_else(|| vec![0; 1 + MOST_INLINE].into()))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        let _ = SPARE.try_with(|spare| spare.set(Some(buffer)));
    }
}
