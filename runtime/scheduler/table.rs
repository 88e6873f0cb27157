//! The table of green threads, and their ids.
//!
//! A slot stays where it is and is filled again by later green threads, last vacated first, since
//! it is still in the cache. An id holds the slot's index for the look-up and a number that is
//! never given twice, so an id that outlives its green thread finds nobody.

use std::any::Any;
use std::fmt;
use std::num::NonZeroU64;
use std::ops::Range;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::Nanos;
use super::interrupt::{Interrupt, Interrupts, Level};
use super::report::State;
use crate::coroutine::Coroutine;

/// Ids are taken from the process-wide counter in blocks, so that a spawn costs no atomic.
const ID_BLOCK: u64 = 1 << 10;

/// Names a green thread. Unique in the process for as long as it runs.
#[derive(Clone, Copy)]
pub struct ThreadId {
    number: NonZeroU64,
    /// Where in its scheduler's table it is, or was.
    index: u32,
}

impl ThreadId {
    /// The number that reports show after `#`.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.number.get()
    }

    #[inline]
    pub(super) fn index(self) -> u32 {
        self.index
    }
}

impl PartialEq for ThreadId {
    #[inline]
    fn eq(&self, other: &ThreadId) -> bool {
        self.number == other.number
    }
}

impl Eq for ThreadId {}

impl std::hash::Hash for ThreadId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadId({})", self.number)
    }
}

/// Name and origin of a green thread.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) spawned_at: &'static Location<'static>,
}

/// A green thread in the table: one cache line, for a switch touches it twice.
#[repr(align(64))]
pub(super) struct Record {
    /// `None` while it runs, and once it is done.
    pub(super) coroutine: Option<Coroutine>,
    /// Never `Running`: that is told by the scheduler's `running`, and would cost two writes a
    /// switch.
    pub(super) state: State,
    pub(super) daemon: bool,
    /// Given by `unpark`, taken by `park`.
    pub(super) token: bool,
    /// It is in the middle of unwinding, as far as is known; then nothing may unwind it again.
    pub(super) unwinding: bool,
    /// It is suspended in there, and counts among the scheduler's `unwinders`.
    pub(super) unwinder: bool,
    /// Shields that were entered while there was no `extra`, which counts them from then on: with
    /// one around every request of a server, they should cost no more than this.
    shields: u8,
    /// When it parked, by the cached clock.
    pub(super) since: Nanos,
    pub(super) id: ThreadId,
    spawned_at: &'static Location<'static>,
    extra: Option<Box<Extra>>,
}

const _: () = assert!(size_of::<Record>() == 64);

/// What most green threads do without.
#[derive(Default)]
struct Extra {
    name: Option<Rc<str>>,
    interrupts: Interrupts,
    locals: Option<Rc<dyn Any>>,
}

impl Record {
    /// Whether something is due that may unwind it from its next suspension on.
    #[inline(always)]
    pub(super) fn is_interruptible(&mut self) -> bool {
        self.extra.is_some() && self.is_interruptible_by_due()
    }

    #[cold]
    fn is_interruptible_by_due(&mut self) -> bool {
        self.due().is_some() && {
            self.unwinding &= std::thread::panicking();
            !self.unwinding
        }
    }

    /// What it is to unwind to at a suspension.
    pub(super) fn due(&self) -> Option<Interrupt> {
        self.extra.as_ref().and_then(|extra| extra.interrupts.due())
    }

    pub(super) fn interrupts(&mut self) -> &mut Interrupts {
        &mut self.extra().interrupts
    }

    /// Begins a stretch in which nothing from outside of it is due.
    #[inline]
    pub(super) fn enter_shield(&mut self) -> Level {
        if self.extra.is_none() && self.shields < u8::MAX {
            self.shields += 1;
            Level::of_shield(self.shields - 1)
        } else {
            self.interrupts().enter_shield()
        }
    }

    /// Ends it.
    #[inline]
    pub(super) fn leave_shield(&mut self, level: Level) {
        if self.extra.is_none() {
            self.shields -= 1;
        } else {
            self.interrupts().leave(level);
        }
    }

    /// What floors above keep with it.
    pub(super) fn locals(&mut self) -> &mut Option<Rc<dyn Any>> {
        &mut self.extra().locals
    }

    fn extra(&mut self) -> &mut Extra {
        let shields = std::mem::take(&mut self.shields);
        let extra = self.extra.get_or_insert_default();
        for _ in 0..shields {
            extra.interrupts.enter_shield();
        }
        extra
    }

    #[inline]
    pub(super) fn has_locals(&self) -> bool {
        self.extra
            .as_ref()
            .is_some_and(|extra| extra.locals.is_some())
    }

    #[inline]
    fn set_label(&mut self, label: &Label) {
        self.spawned_at = label.spawned_at;
        if label.name.is_some() {
            self.extra().name.clone_from(&label.name);
        }
    }

    pub(super) fn label(&self) -> Label {
        let name = self.extra.as_ref().and_then(|extra| extra.name.clone());
        Label {
            name,
            spawned_at: self.spawned_at,
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.extra.as_ref().and_then(|extra| extra.name.as_deref())
    }
}

/// The green threads of one scheduler.
#[derive(Default)]
pub(super) struct Table {
    records: Vec<Record>,
    vacant: Vec<u32>,
    numbers: Range<u64>,
}

impl Table {
    /// Green threads that are not done.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.records.len() - self.vacant.len()
    }

    /// Enters a green thread that is ready to begin.
    #[inline]
    pub(super) fn insert(&mut self, label: &Label, daemon: bool) -> &mut Record {
        let number = self.next_number();
        let Some(index) = self.vacant.pop() else {
            return self.append(number, label, daemon);
        };
        let record = &mut self.records[index as usize];
        record.state = State::Ready;
        record.daemon = daemon;
        record.id = ThreadId { number, index };
        record.set_label(label);
        record
    }

    #[cold]
    fn append(&mut self, number: NonZeroU64, label: &Label, daemon: bool) -> &mut Record {
        let index = self.records.len();
        let index = u32::try_from(index).expect("four billion stacks do not fit into memory");
        self.records.push(Record {
            coroutine: None,
            state: State::Ready,
            daemon,
            token: false,
            unwinding: false,
            unwinder: false,
            shields: 0,
            since: 0,
            id: ThreadId { number, index },
            spawned_at: label.spawned_at,
            extra: None,
        });
        let record = self.records.last_mut().expect("just pushed");
        record.set_label(label);
        record
    }

    /// Vacates a slot whose green thread is done, and says whether it was a daemon.
    #[inline]
    pub(super) fn remove(&mut self, index: u32) -> bool {
        let record = &mut self.records[index as usize];
        record.state = State::Done;
        record.token = false;
        record.unwinding = false;
        record.extra = None;
        self.vacant.push(index);
        record.daemon
    }

    /// The green thread of that name, unless it is done.
    #[inline]
    pub(super) fn get(&mut self, id: ThreadId) -> Option<&mut Record> {
        let record = self.records.get_mut(id.index as usize);
        record.filter(|record| record.id == id && record.state != State::Done)
    }

    /// The green thread in that slot.
    #[inline]
    pub(super) fn at(&mut self, index: u32) -> &mut Record {
        &mut self.records[index as usize]
    }

    pub(super) fn forget_unwindings(&mut self) {
        self.records
            .iter_mut()
            .for_each(|record| record.unwinding = false);
    }

    /// Forgets who is suspended unwinding, and names those who may be interrupted.
    pub(super) fn forget_unwinders(&mut self) -> Vec<ThreadId> {
        let mut due = Vec::new();
        for record in &mut self.records {
            record.unwinder = false;
            if record.is_interruptible() {
                due.push(record.id);
            }
        }
        due
    }

    /// All that are not done.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(|record| record.state != State::Done)
    }

    #[inline]
    fn next_number(&mut self) -> NonZeroU64 {
        static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);
        if self.numbers.is_empty() {
            let first = NEXT_BLOCK.fetch_add(ID_BLOCK, Ordering::Relaxed);
            self.numbers = first..first + ID_BLOCK;
        }
        let number = self.numbers.next().and_then(NonZeroU64::new);
        number.expect("numbers begin with one, and 64 bits of them do not run out")
    }
}
