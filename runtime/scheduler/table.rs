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
use super::wait_for::WantOnStack;
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

/// A green thread in the table: one cache line, for a park touches it, and a wake again.
#[repr(align(64))]
pub(super) struct Record {
    /// Here while it is parked. While it is ready it stands in the run queue.
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
    /// Somebody has waited for it, or for a lock that it had.
    pub(super) wanted: bool,
    /// What it is parked for, if others have that.
    pub(super) want: Option<WantOnStack>,
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

impl Extra {
    /// For a green thread that has entered so many shields.
    #[cold]
    fn new(shields: u8) -> Box<Extra> {
        let mut extra = Box::<Extra>::default();
        for _ in 0..shields {
            extra.interrupts.enter_shield();
        }
        extra
    }
}

impl Record {
    /// Whether something is due that may unwind it from its next suspension on.
    fn is_interruptible(&mut self) -> bool {
        self.due().is_some() && {
            self.unwinding &= std::thread::panicking();
            !self.unwinding
        }
    }

    /// What it is to unwind to at a suspension.
    pub(super) fn due(&self) -> Option<Interrupt> {
        self.extra.as_ref().and_then(|extra| extra.interrupts.due())
    }

    /// Whether a time limit may unwind it.
    pub(super) fn is_limited(&self) -> bool {
        let extra = self.extra.as_ref();
        extra.is_some_and(|extra| extra.interrupts.is_limited())
    }

    /// What floors above keep with it.
    pub(super) fn locals(&mut self) -> &mut Option<Rc<dyn Any>> {
        &mut self.extra().locals
    }

    #[inline]
    fn extra(&mut self) -> &mut Extra {
        self.extra
            .get_or_insert_with(|| Extra::new(std::mem::take(&mut self.shields)))
    }

    #[inline]
    pub(super) fn has_locals(&self) -> bool {
        self.extra
            .as_ref()
            .is_some_and(|extra| extra.locals.is_some())
    }

    #[cold]
    fn set_name(&mut self, name: &Rc<str>) {
        self.extra().name = Some(Rc::clone(name));
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
    /// For how many something is due: nearly always none, and then no switch looks at a record.
    due: usize,
}

impl Table {
    /// Green threads that are not done.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.records.len() - self.vacant.len()
    }

    /// Green threads that there have been at most.
    #[inline]
    pub(super) fn slots(&self) -> usize {
        self.records.len()
    }

    /// Enters a green thread that is ready to begin.
    #[inline(always)]
    pub(super) fn insert(
        &mut self,
        name: Option<&Rc<str>>,
        spawned_at: &'static Location<'static>,
        daemon: bool,
    ) -> ThreadId {
        let number = self.next_number();
        let index = self
            .vacant
            .pop()
            .unwrap_or_else(|| self.append(number, spawned_at));
        let record = &mut self.records[index as usize];
        record.state = State::Ready;
        record.daemon = daemon;
        record.id = ThreadId { number, index };
        record.spawned_at = spawned_at;
        if let Some(name) = name {
            record.set_name(name);
        }
        ThreadId { number, index }
    }

    /// A slot that nobody has been in.
    #[cold]
    fn append(&mut self, number: NonZeroU64, spawned_at: &'static Location<'static>) -> u32 {
        let index = self.records.len();
        let index = u32::try_from(index).expect("four billion stacks do not fit into memory");
        self.records.push(Record {
            coroutine: None,
            state: State::Done,
            daemon: false,
            token: false,
            unwinding: false,
            unwinder: false,
            wanted: false,
            want: None,
            shields: 0,
            since: 0,
            id: ThreadId { number, index },
            spawned_at,
            extra: None,
        });
        index
    }

    /// Vacates a slot whose green thread is done, and says whether it was a daemon.
    #[inline]
    pub(super) fn remove(&mut self, index: u32) -> bool {
        let record = &mut self.records[index as usize];
        self.due -= usize::from(record.due().is_some());
        record.state = State::Done;
        record.token = false;
        record.unwinding = false;
        record.wanted = false;
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

    /// Changes what may unwind the green thread in that slot.
    #[inline]
    pub(super) fn interrupts<R>(
        &mut self,
        index: u32,
        change: impl FnOnce(&mut Interrupts) -> R,
    ) -> R {
        let record = &mut self.records[index as usize];
        let interrupts = &mut record.extra().interrupts;
        self.due -= usize::from(interrupts.due().is_some());
        let result = change(interrupts);
        self.due += usize::from(interrupts.due().is_some());
        result
    }

    /// Begins a stretch, for the green thread in that slot, in which nothing from outside of it is
    /// due.
    #[inline]
    pub(super) fn enter_shield(&mut self, index: u32) -> Level {
        let record = self.at(index);
        if record.extra.is_none() && record.shields < u8::MAX {
            record.shields += 1;
            Level::of_shield(record.shields - 1)
        } else {
            self.interrupts(index, Interrupts::enter_shield)
        }
    }

    /// Ends it.
    #[inline]
    pub(super) fn leave_shield(&mut self, index: u32, level: Level) {
        let record = self.at(index);
        if record.extra.is_none() {
            record.shields -= 1;
        } else {
            self.interrupts(index, |interrupts| interrupts.leave(level));
        }
    }

    /// Whether something is due for anybody.
    #[inline]
    pub(super) fn has_due(&self) -> bool {
        self.due > 0
    }

    /// Whether something is due for that green thread that unwinds it at its suspension.
    #[inline]
    pub(super) fn will_unwind(&mut self, id: ThreadId) -> bool {
        self.due > 0 && self.will_unwind_by_due(id)
    }

    #[cold]
    fn will_unwind_by_due(&mut self, id: ThreadId) -> bool {
        self.get(id).is_some_and(Record::is_interruptible)
    }

    /// Whether something is due for the green thread in that slot that may unwind it from its next
    /// suspension on.
    #[inline(always)]
    pub(super) fn is_interruptible(&mut self, index: u32) -> bool {
        self.due > 0 && self.is_interruptible_by_due(index)
    }

    #[cold]
    fn is_interruptible_by_due(&mut self, index: u32) -> bool {
        self.at(index).is_interruptible()
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
