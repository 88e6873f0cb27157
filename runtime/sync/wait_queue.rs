//! Green threads that wait for one object, first come, first served.
//!
//! A waiter enters a *ticket*, and leaves when it is *granted* what it waits for. Granting is done
//! by whoever gives the thing up, and says whom it now belongs to, so nobody can barge in between.
//! Whoever leaves early (cancelled, timed out) withdraws his ticket. If it had been granted
//! already, the thing is his to pass on: the withdrawal says so, and no wake-up is lost.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::scheduler::{self, Nanos, Scheduler, ThreadId};
use crate::stats::Reason;
use crate::thread;

/// Who waits for one object.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    tickets: RefCell<VecDeque<Rc<Ticket>>>,
}

#[derive(Debug)]
struct Ticket {
    owner: ThreadId,
    granted: Cell<bool>,
}

impl WaitQueue {
    pub(crate) const fn new() -> WaitQueue {
        WaitQueue {
            tickets: RefCell::new(VecDeque::new()),
        }
    }

    /// Grants the thing to the first who waits. False if there is nobody.
    pub(crate) fn grant_one(&self) -> bool {
        let Some(ticket) = self.tickets.borrow_mut().pop_front() else {
            return false;
        };
        ticket.granted.set(true);
        scheduler::with(|scheduler| scheduler.wake(ticket.owner));
        true
    }

    /// Waits until the thing is granted, or until `deadline`; says whether it was.
    ///
    /// If the green thread is unwound while it waits although it was granted the thing already,
    /// `pass_on` is called to give it to the next.
    pub(crate) fn wait(&self, reason: Reason, deadline: Option<Nanos>, pass_on: impl Fn()) -> bool {
        let owner = scheduler::with(Scheduler::current);
        let ticket = Rc::new(Ticket {
            owner,
            granted: Cell::new(false),
        });
        self.tickets.borrow_mut().push_back(Rc::clone(&ticket));
        let withdrawal = Withdrawal {
            queue: self,
            ticket: &ticket,
            pass_on,
        };
        while !ticket.granted.get() {
            if deadline.is_some_and(|d| scheduler::with(|scheduler| scheduler.has_passed(d))) {
                return false;
            }
            thread::park_always(reason, deadline);
        }
        std::mem::forget(withdrawal);
        true
    }
}

/// Takes a ticket back when its owner leaves without the thing.
struct Withdrawal<'a, F: Fn()> {
    queue: &'a WaitQueue,
    ticket: &'a Rc<Ticket>,
    pass_on: F,
}

impl<F: Fn()> Drop for Withdrawal<'_, F> {
    fn drop(&mut self) {
        if self.ticket.granted.get() {
            return (self.pass_on)();
        }
        let mut tickets = self.queue.tickets.borrow_mut();
        if let Some(place) = tickets
            .iter()
            .position(|other| Rc::ptr_eq(other, self.ticket))
        {
            tickets.remove(place);
        }
    }
}
