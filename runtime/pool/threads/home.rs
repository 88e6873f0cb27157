//! Where the results of jobs on OS threads come home to: the scheduler that submitted them.
//!
//! A job on its way has a number. Its OS thread [posts](Post) that number when the job has ended,
//! and a green thread of the scheduler, the *collector*, completes the future that belongs to it.
//! The collector is there as long as jobs are on their way, and no daemon, so `run` does not return
//! before they have come home and their callbacks have run. A job that is dropped unrun comes home
//! too.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::stats::Reason;
use crate::thread::{self, Builder, Wake, contain, shield};

/// Completes a future.
type Finish = Box<dyn FnOnce()>;

thread_local! {
    /// That of the scheduler on this OS thread, as long as jobs are on their way.
    static HOME: RefCell<Option<Rc<Home>>> = const { RefCell::new(None) };
}

struct Home {
    expected: RefCell<HashMap<u64, Finish>>,
    mailbox: Arc<Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    letters: Mutex<Letters>,
}

#[derive(Default)]
struct Letters {
    posted: Vec<u64>,
    last: u64,
    /// The collector, if it is parked.
    collector: Option<Wake>,
}

/// Tells the scheduler that a job has ended, when it is dropped.
pub(super) struct Post {
    mailbox: Arc<Mailbox>,
    number: u64,
}

/// Expects the job that gets the [`Post`]; runs `finish` on this scheduler when it has come home.
///
/// # Panics
///
/// Outside [`run`](crate::run), and if there is no memory for a stack.
#[track_caller]
pub(super) fn expect(finish: impl FnOnce() + 'static) -> Post {
    let home = HOME.with_borrow(Option::clone).unwrap_or_else(begin);
    let number = {
        let mut letters = lock(&home.mailbox.letters);
        letters.last += 1;
        letters.last
    };
    home.expected.borrow_mut().insert(number, Box::new(finish));
    Post {
        mailbox: Arc::clone(&home.mailbox),
        number,
    }
}

/// Completes the futures of the jobs that have come home, before the collector gets to it.
pub(super) fn collect() {
    if let Some(home) = HOME.with_borrow(Option::clone) {
        home.collect_posted();
    }
}

#[track_caller]
fn begin() -> Rc<Home> {
    let home = Rc::new(Home {
        expected: RefCell::default(),
        mailbox: Arc::default(),
    });
    let collector = Collector(Rc::clone(&home));
    let body = move || shield(|| collector.collect());
    let spawned = Builder::new().name("thread-pool".to_owned()).spawn(body);
    drop(spawned.expect("failed to spawn green thread"));
    HOME.set(Some(Rc::clone(&home)));
    home
}

impl Drop for Post {
    fn drop(&mut self) {
        let mut letters = lock(&self.mailbox.letters);
        letters.posted.push(self.number);
        let collector = letters.collector.take();
        drop(letters);
        if let Some(collector) = collector {
            // If its scheduler has ended, nobody wants to know any more.
            collector.wake();
        }
    }
}

/// The collector's hold on its home.
struct Collector(Rc<Home>);

impl Collector {
    /// Until all jobs have come home.
    fn collect(self) {
        while !self.0.expected.borrow().is_empty() {
            if !self.0.open_letters() {
                // It is never unwinding here.
                let _ = thread::park_for(Reason::Pool, None);
            }
        }
    }
}

impl Home {
    /// Says whether there were letters; if not, the caller, who is the collector, is woken when
    /// there are.
    fn open_letters(&self) -> bool {
        {
            let mut letters = lock(&self.mailbox.letters);
            if letters.posted.is_empty() {
                letters.collector = Some(Wake::current());
                return false;
            }
        }
        self.collect_posted();
        true
    }

    /// Completes the futures of the jobs that have come home.
    fn collect_posted(&self) {
        let posted = std::mem::take(&mut lock(&self.mailbox.letters).posted);
        for number in posted {
            let finish = self.expected.borrow_mut().remove(&number);
            if let Some(finish) = finish {
                contain(finish);
            }
        }
    }
}

impl Drop for Collector {
    /// Those who are still expected, because the collector was cancelled before it began, have
    /// nobody to collect them: they come home empty-handed.
    fn drop(&mut self) {
        let home = HOME.take();
        drop(home);
        let left = self.0.expected.take();
        for finish in left.into_values() {
            contain(finish);
        }
    }
}
