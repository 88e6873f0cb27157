//! What the suspended are resumed for only to suspend again: to write down where they are.
//!
//! A stack can be walked from inside alone. So each is resumed with [`Resume::Dump`], and writes
//! its own backtrace, or only the line of the program in which it waits, before it waits on.
//!
//! [`Resume::Dump`]: crate::coroutine::Resume::Dump

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

use super::interrupt::Interrupt;
use super::suspend::yield_now;
use super::table::ThreadId;
use super::{Ready, Scheduler, Stuck, with};
use crate::coroutine::Coroutine;

/// Backtraces of suspended green threads.
pub(crate) type Backtraces = Vec<(ThreadId, Backtrace)>;

/// What the suspended are to write down when they are resumed for that, and where it goes.
#[derive(Default)]
pub(super) struct Dumps {
    /// Who has asked for backtraces, which are still to be taken.
    pub(super) asker: Option<u32>,
    taken: Rc<RefCell<Backtraces>>,
    /// There while it is asked only where they wait.
    place: Option<Option<Place>>,
}

/// A line of the program.
pub(super) type Place = &'static Location<'static>;

/// Every suspended green thread's own backtrace.
#[track_caller]
pub(crate) fn dump() -> Result<Backtraces, Interrupt> {
    let taken = with(|scheduler| {
        let asker = Some(scheduler.current().index());
        scheduler.dumps = Dumps {
            asker,
            taken: Rc::default(),
            place: None,
        };
        scheduler.next_turn = 0;
        Rc::clone(&scheduler.dumps.taken)
    });
    yield_now()?;
    Ok(taken.take())
}

/// The suspended one's part: it was resumed at `place`, to write down what is asked.
#[cold]
#[inline(never)]
pub(super) fn here(place: Place) {
    let is_answered = with(|scheduler| {
        let asked = scheduler.dumps.place.as_mut();
        asked.map(|answer| *answer = Some(place)).is_some()
    });
    if is_answered {
        return;
    }
    let backtrace = Backtrace::force_capture();
    with(|scheduler| {
        let id = scheduler.running().id;
        scheduler.dumps.taken.borrow_mut().push((id, backtrace));
    });
}

/// Resumes those whose backtraces are wanted; each takes its own and suspends again, as it was.
#[cold]
pub(super) fn take() {
    let (asker, parked, ready) = with(Scheduler::begin_dumps);
    for index in parked {
        if let Some(mut coroutine) = with(|scheduler| scheduler.lend_parked(index)) {
            coroutine.dump();
            with(|scheduler| scheduler.table.at(index).coroutine = Some(coroutine));
        }
    }
    // Each leaves the head of the run queue for its tail: in the end they stand as before.
    for _ in 0..ready {
        if let Some(mut ready) = with(Scheduler::lend_ready) {
            if Some(ready.index) != asker {
                ready.coroutine.dump();
            }
            with(|scheduler| scheduler.ready.push(ready));
        }
    }
}

/// Has one that is parked say where. Nobody notes that while he parks: it is asked once, in the
/// end.
#[cold]
pub(super) fn locate(stuck: &mut Stuck) {
    let index = stuck.id.index();
    if let Some(mut coroutine) = with(|scheduler| scheduler.lend_parked(index)) {
        with(|scheduler| scheduler.dumps.place = Some(None));
        coroutine.dump();
        with(|scheduler| {
            stuck.waits_at = scheduler.dumps.place.take().flatten();
            scheduler.table.at(index).coroutine = Some(coroutine);
        });
    }
}

impl Scheduler {
    /// Who asked for backtraces, the slots of those who are parked, and how many are ready.
    fn begin_dumps(&mut self) -> (Option<u32>, Vec<u32>, usize) {
        let parked = self
            .table
            .iter()
            .filter(|record| record.coroutine.is_some());
        let parked = parked.map(|record| record.id.index()).collect();
        (self.dumps.asker.take(), parked, self.ready.len())
    }

    fn lend_parked(&mut self, index: u32) -> Option<Coroutine> {
        self.running = index;
        self.table.at(index).coroutine.take()
    }

    fn lend_ready(&mut self) -> Option<Ready> {
        let ready = self.ready.pop_first()?;
        self.running = ready.index;
        Some(ready)
    }
}
