//! The wait-for graph: who waits for what, and who has that. A cycle in it is a deadlock, whatever
//! the rest of the program does, and is found at the moment it closes.
//!
//! ```text
//!    green thread ── wants ──> Mutex ── held by ──> green thread
//!          ^                                             │ wants
//!          └──────────── which is ────────────────── its end (a join)
//! ```
//!
//! Nobody keeps the graph. A green thread that parks for something that others have leaves a
//! [`Want`] on its stack, and its record points there for as long as it is parked. Whoever is about
//! to park follows these pointers from what he wants; if they lead back to him, it would be for
//! ever.
//!
//! Who can still give up is no part of a cycle: one that waits with a deadline, or inside of a
//! `timeout`. Nor need those be looked at from whom nobody wants anything: a record says whether
//! somebody ever did, so that a long chain of joins is not walked at every link.

use std::collections::HashSet;
use std::io::Write;
use std::panic::Location;
use std::ptr::NonNull;
use std::time::Duration;

use super::report::{Blocked, Deadlock, HeldBy, Role, State, Stuck};
use super::table::{Record, ThreadId};
use super::{Scheduler, with};
use crate::stats::Reason;

/// Something that green threads have and others wait for.
pub(crate) trait Held {
    /// What it is called.
    fn kind(&self) -> &'static str;
    /// Why somebody parks who waits for it.
    fn reason(&self) -> Reason;
    /// Calls `each` with those who have it.
    fn each_holder(&self, each: &mut dyn FnMut(Holder));
}

/// Somebody who has something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    /// `None` if it was taken outside of `run`.
    pub(crate) thread: Option<ThreadId>,
    pub(crate) role: Role,
    /// Where it took that, or asked for it; `None` if its end is waited for.
    pub(crate) at: Option<&'static Location<'static>>,
}

/// What a green thread waits for.
#[derive(Clone, Copy)]
pub(crate) struct Want<'a> {
    pub(crate) what: &'a dyn Held,
    /// Where it waits.
    pub(crate) at: &'static Location<'static>,
}

/// A join waits for a green thread.
impl Held for ThreadId {
    fn kind(&self) -> &'static str {
        "the end of a green thread"
    }

    fn reason(&self) -> Reason {
        Reason::Join
    }

    #[inline]
    fn each_holder(&self, each: &mut dyn FnMut(Holder)) {
        each(Holder {
            thread: Some(*self),
            role: Role::Awaited,
            at: None,
        });
    }
}

/// Where on its stack a parked green thread has its [`Want`].
pub(super) type WantOnStack = NonNull<Want<'static>>;

/// Notes that the running green thread is about to park for `what`, which is that of `want`; it
/// parks at once after this, without a deadline. If that would be for ever, because those who have
/// it wait for this green thread, it is told so and must not park.
///
/// One that unwinds cannot be told: the report goes to standard error, and it parks.
#[inline(always)]
pub(crate) fn want<H: Held>(what: &H, want: &Want<'_>, unwinding: bool) -> Result<(), Deadlock> {
    let is_wanted = with(|scheduler| {
        what.each_holder(&mut |holder| {
            if let Some(id) = holder.thread {
                scheduler.mark_wanted(id);
            }
        });
        let record = scheduler.running();
        record.want = Some(NonNull::from(want).cast());
        record.wanted
    });
    if is_wanted {
        refuse_cycle(want, unwinding)
    } else {
        Ok(())
    }
}

/// Somebody wants something of the running green thread, so that a cycle may have closed.
#[cold]
fn refuse_cycle(want: &Want<'_>, unwinding: bool) -> Result<(), Deadlock> {
    let cycle = with(|scheduler| {
        let cycle = scheduler.find_cycle(want);
        if cycle.is_some() && !unwinding {
            scheduler.running().want = None;
        }
        cycle
    });
    match cycle {
        None => Ok(()),
        Some(deadlock) if unwinding => {
            // Nothing can be done about a standard error that is closed.
            let _ = writeln!(std::io::stderr(), "sedge: {deadlock}");
            Ok(())
        }
        Some(deadlock) => Err(deadlock),
    }
}

impl Scheduler {
    /// Notes that somebody waits for something which that green thread has.
    #[inline]
    pub(crate) fn mark_wanted(&mut self, id: ThreadId) {
        if let Some(record) = self.table.get(id) {
            record.wanted = true;
        }
    }

    /// Depth first, from what the running green thread wants to whoever waits for it.
    fn find_cycle(&mut self, want: &Want<'_>) -> Option<Deadlock> {
        let me = self.current();
        if self.running().is_limited() {
            return None;
        }
        let mut seen = HashSet::new();
        // The way to where the search is: on each step, who has what the one before wants, and
        // still is to be looked at.
        let mut path: Vec<Vec<ThreadId>> = vec![holders(want)];
        while let Some(step) = path.last_mut() {
            let Some(&id) = step.last() else {
                path.pop();
                if let Some(step) = path.last_mut() {
                    step.pop();
                }
                continue;
            };
            if id == me {
                path.pop();
                let others = path.iter().filter_map(|step| step.last().copied());
                let others: Vec<_> = others.collect();
                return Some(self.report_cycle(want, &others));
            }
            let next = if seen.insert(id) {
                self.wants_for_good(id)
            } else {
                None
            };
            match next {
                Some(next) => path.push(holders(&next)),
                None => drop(step.pop()),
            }
        }
        None
    }

    /// What a green thread waits for, if it waits until it has that.
    fn wants_for_good(&mut self, id: ThreadId) -> Option<Want<'_>> {
        let record = self.table.get(id)?;
        if record.is_limited() {
            return None;
        }
        record.want()
    }

    fn report_cycle(&mut self, want: &Want<'_>, others: &[ThreadId]) -> Deadlock {
        let me = self.current();
        let mut stuck = vec![self.stuck(me, Some(want))];
        stuck.extend(others.iter().map(|&id| self.stuck(id, None)));
        Deadlock { stuck, cycle: true }
    }

    /// What a report says of a green thread: one that is parked, or is about to park for `want`.
    pub(super) fn stuck(&mut self, id: ThreadId, want: Option<&Want<'_>>) -> Stuck {
        let now = self.clock.cached();
        let record = self.table.at(id.index());
        let (reason, since) = match record.state {
            State::Parked(reason) => (reason, now.saturating_sub(record.since)),
            // It is about to park.
            _ => (want.map_or(Reason::Park, |want| want.what.reason()), 0),
        };
        let blocked = want.copied().or_else(|| record.want()).map(Blocked::from);
        let mut stuck = Stuck {
            id,
            name: record.name().map(str::to_owned),
            spawned_at: record.label().spawned_at,
            reason,
            since: Duration::from_nanos(since),
            waits_at: blocked.as_ref().map(|blocked| blocked.waits_at),
            daemon: record.daemon,
            blocked,
        };
        let holders = stuck
            .blocked
            .iter_mut()
            .flat_map(|blocked| &mut blocked.holders);
        holders.for_each(|holder| self.name_holder(holder));
        stuck
    }

    fn name_holder(&mut self, holder: &mut HeldBy) {
        if let Some(record) = holder.id.and_then(|id| self.table.get(id)) {
            holder.name = record.name().map(str::to_owned);
            holder.spawned_at = Some(record.label().spawned_at);
        }
    }
}

impl Record {
    /// What it waits for, if that is known and it is parked.
    fn want(&self) -> Option<Want<'_>> {
        let State::Parked(_) = self.state else {
            return None;
        };
        // SAFETY: the pointer was made in `want`, from a reference that its caller keeps until he
        // is woken: a `Want` on his stack, and in it a lock that he borrows. Waking him takes the
        // pointer out of the record (`wake`), and he leaves no frame before; a stack that is
        // suspended is neither freed nor unwound from outside. So while it stands here both are
        // there, and the reference that is made ends with the borrow of the record.
        self.want.map(|want| unsafe { *want.as_ref() })
    }
}

/// Those who have what `want` asks for.
fn holders(want: &Want<'_>) -> Vec<ThreadId> {
    let mut holders = Vec::new();
    want.what
        .each_holder(&mut |holder| holders.extend(holder.thread));
    holders
}

impl From<Want<'_>> for Blocked {
    fn from(want: Want<'_>) -> Blocked {
        let mut holders = Vec::new();
        want.what.each_holder(&mut |holder| {
            holders.push(HeldBy {
                id: holder.thread,
                name: None,
                spawned_at: None,
                role: holder.role,
                at: holder.at,
            });
        });
        Blocked {
            kind: want.what.kind(),
            waits_at: want.at,
            holders,
        }
    }
}
