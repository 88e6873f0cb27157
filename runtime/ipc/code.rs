//! From values to bytes and descriptors, and back.
//!
//! The bytes are postcard's. A descriptor has no bytes: an end that is encoded puts its own aside
//! and writes down which of the message's descriptors that is; one that is decoded takes it from
//! there.
//!
//! ```text
//!   encode(("log", sender))     bytes  3 'l' 'o' 'g' 0 ...     descriptors  [the sender's]
//!                                                    └─────────────────────────┘
//! ```
//!
//! What is put aside belongs to the message that is being encoded by the running green thread. A
//! value's own code runs meanwhile: it may send another message from there, and it may even wait,
//! so others encode in between. Hence a list of open messages, each with its owner, instead of one.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::thread::LocalKey;

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde::ser::{Error as _, Serializer};

use super::error::{CodeError, RecvError, SendError};
use super::packets::{Packet, is_inside};
use crate::scheduler::{self, ThreadId};

/// A descriptor that goes along with a message.
pub(super) type Along = Rc<dyn AsFd>;

/// A message that is being encoded or decoded.
struct Open<D> {
    number: u64,
    owner: Option<ThreadId>,
    descriptors: Vec<D>,
}

type OpenMessages<D> = RefCell<Vec<Open<D>>>;

thread_local! {
    static ENCODING: OpenMessages<Along> = const { RefCell::new(Vec::new()) };
    static DECODING: OpenMessages<Option<OwnedFd>> = const { RefCell::new(Vec::new()) };
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes that a buffer may have to be used again.
const MOST_SPARE: usize = 128 << 10;

/// A message, encoded; the first byte is still free.
pub(super) struct Encoded {
    pub(super) framed: Vec<u8>,
    pub(super) along: Vec<Along>,
}

impl Drop for Encoded {
    fn drop(&mut self) {
        if self.framed.capacity() <= MOST_SPARE {
            let framed = std::mem::take(&mut self.framed);
            let _ = SPARE.try_with(|spare| spare.set(framed));
        }
    }
}

/// Encodes a message of at most that many bytes.
pub(super) fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Encoded, SendError> {
    let mut framed = SPARE.take();
    framed.clear();
    framed.push(0);
    let most = limit.saturating_add(1);
    let scope = Scope::begin(&ENCODING, Vec::new());
    let encoded = postcard::serialize_with_flavor(message, Bounded { framed, most });
    let along = scope.end();
    match encoded {
        Ok(framed) => Ok(Encoded { framed, along }),
        Err(postcard::Error::SerializeBufferFull) => Err(SendError::TooLarge { limit }),
        Err(error) => Err(SendError::Encode(CodeError::postcard(error))),
    }
}

/// Decodes a packet, all of it.
pub(super) fn decode<T: DeserializeOwned>(mut packet: Packet) -> Result<T, RecvError> {
    let fds = std::mem::take(&mut packet.fds);
    let scope = Scope::begin(&DECODING, fds.into_iter().map(Some).collect());
    let decoded = postcard::take_from_bytes(packet.bytes());
    // What nobody has taken is closed.
    drop(scope.end());
    match decoded {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(RecvError::Decode(CodeError::rest(rest.len()))),
        Err(error) => Err(RecvError::Decode(CodeError::postcard(error))),
    }
}

/// Encodes a descriptor, with a number that belongs to it.
pub(super) fn encode_descriptor<S: Serializer>(
    descriptor: Along,
    number: u64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let index = with_open(&ENCODING, |descriptors| {
        descriptors.push(descriptor);
        descriptors.len() as u32 - 1
    });
    let index = index.ok_or_else(|| S::Error::custom(ELSEWHERE))?;
    (index, number).serialize(serializer)
}

/// Decodes a descriptor, and the number that belongs to it.
pub(super) fn decode_descriptor<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<(OwnedFd, u64), D::Error> {
    let (index, number): (u32, u64) = Deserialize::deserialize(deserializer)?;
    let taken = with_open(&DECODING, |descriptors| {
        descriptors.get_mut(index as usize)?.take()
    });
    let taken = taken.ok_or_else(|| D::Error::custom(ELSEWHERE))?;
    let fd = taken.ok_or_else(|| D::Error::custom("its descriptor has not come along"))?;
    Ok((fd, number))
}

const ELSEWHERE: &str = "what is shared by processes is sent through sedge::ipc, and kept nowhere";

/// Collects bytes, up to a limit.
struct Bounded {
    framed: Vec<u8>,
    most: usize,
}

impl Flavor for Bounded {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() > self.most - self.framed.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.framed.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.framed)
    }
}

/// An open message of the running green thread; also closed when a value's own code panics.
struct Scope<D: 'static> {
    open: &'static LocalKey<OpenMessages<D>>,
    number: u64,
}

impl<D> Scope<D> {
    fn begin(open: &'static LocalKey<OpenMessages<D>>, descriptors: Vec<D>) -> Scope<D> {
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        let number = NEXT.replace(NEXT.get() + 1);
        let message = Open {
            number,
            owner: owner(),
            descriptors,
        };
        open.with_borrow_mut(|open| open.push(message));
        Scope { open, number }
    }

    fn end(self) -> Vec<D> {
        let descriptors = self.close();
        std::mem::forget(self);
        descriptors
    }

    fn close(&self) -> Vec<D> {
        self.open.with_borrow_mut(|open| {
            let place = open.iter().rposition(|open| open.number == self.number);
            let place = place.expect("it is closed once");
            open.remove(place).descriptors
        })
    }
}

impl<D> Drop for Scope<D> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// The descriptors of the message that the running green thread has opened last.
fn with_open<D, R>(
    open: &'static LocalKey<OpenMessages<D>>,
    then: impl FnOnce(&mut Vec<D>) -> R,
) -> Option<R> {
    let owner = owner();
    open.with_borrow_mut(|open| {
        let mine = open.iter_mut().rev().find(|open| open.owner == owner);
        mine.map(|open| then(&mut open.descriptors))
    })
}

fn owner() -> Option<ThreadId> {
    if is_inside() {
        scheduler::try_with(|scheduler| scheduler.current())
    } else {
        None
    }
}
