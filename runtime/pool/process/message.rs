//! What the pool and a worker say to each other.
//!
//! Orders and replies each have a channel of their own. The line that a worker has as its standard
//! input when it starts carries those, and words for a worker that is busy: `cancel task=17`.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

use crate::ipc::Bytes;

/// Function, number of the task, number of arguments, and those.
pub(super) struct Order(
    pub(super) [u8; 16],
    pub(super) u64,
    pub(super) u32,
    pub(super) Bytes,
);

/// Number of the task, how many nanoseconds it took, and the answers or a text.
pub(super) struct Reply(
    pub(super) Word,
    pub(super) u64,
    pub(super) u64,
    pub(super) Bytes,
);

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It takes orders.
    Ready,
    /// Its initializer has failed, and it ends.
    Unfit,
    Done,
    Cancelled,
}

/// The number of the order that prepares a worker.
pub(super) const PREPARE: u64 = 0;

impl Word {
    const ALL: [Word; 4] = [Word::Ready, Word::Unfit, Word::Done, Word::Cancelled];
}

impl Serialize for Order {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.0, self.1, self.2, &self.3).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Order, D::Error> {
        let (code, id, count, arguments) = Deserialize::deserialize(deserializer)?;
        Ok(Order(code, id, count, arguments))
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0 as u8, self.1, self.2, &self.3).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reply, D::Error> {
        let (word, id, nanos, bytes) = <(u8, _, _, _)>::deserialize(deserializer)?;
        let known = Word::ALL.get(usize::from(word));
        let word = *known.ok_or_else(|| D::Error::custom("no such word"))?;
        Ok(Reply(word, id, nanos, bytes))
    }
}
