//! When a worker is replaced although it lives: it has answered so many requests, has lived for so
//! long, or has grown so large; or it accepts no more, because somebody has sent it a `SIGTERM` or
//! because its closure has returned. Each limit is up to a tenth more or less for each worker, so
//! that they are not all replaced at once.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::child::Child;
use super::config::Recycling;
use super::slot::jitter;
use super::status::memory;

const SHARE: f64 = 0.1;
/// What is due at once waits for so long: workers that do no more than begin and end must not
/// follow each other without a pause.
const FIRST: Duration = Duration::from_millis(500);
/// Before the next try, after a replacement failed.
const PUT_OFF: Duration = Duration::from_secs(10);
/// How often a worker that has limits is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The limits of one worker.
#[derive(Debug)]
pub(super) struct Due {
    limits: Recycling,
    not_before: Instant,
}

impl Due {
    pub(super) fn new(limits: &Recycling) -> Due {
        let number = |limit: u64| {
            // A chance is as good as any other in seconds.
            let chance = jitter(Duration::from_secs(1), SHARE).as_secs_f64();
            (limit as f64 * chance) as u64
        };
        Due {
            limits: Recycling {
                requests: limits.requests.map(number),
                age: limits.age.map(|age| jitter(age, SHARE)),
                memory: limits.memory.map(number),
            },
            not_before: Instant::now() + FIRST,
        }
    }

    /// When to look at the worker next, if it does not call.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let Recycling {
            requests,
            age,
            memory,
        } = self.limits;
        if self.is_put_off() {
            Some(self.not_before.saturating_duration_since(Instant::now()))
        } else if requests.is_some() || age.is_some() || memory.is_some() {
            Some(LOOK)
        } else {
            None
        }
    }

    fn is_put_off(&self) -> bool {
        Instant::now() < self.not_before
    }

    /// A replacement has failed: not again at once.
    pub(super) fn put_off(&mut self) {
        self.not_before = Instant::now() + PUT_OFF;
    }

    /// Whether it is to be replaced because it accepts no more.
    pub(super) fn drains(&self, child: &Child) -> bool {
        child.is_draining() && !self.is_put_off()
    }

    /// Why it is to be replaced now, if it is.
    pub(super) fn why(&self, child: &Child) -> Option<String> {
        if self.is_put_off() {
            return None;
        }
        if child.is_draining() {
            return Some("it accepts no more".into());
        }
        let requests = child.record.requests.load(Relaxed);
        if self.limits.requests.is_some_and(|most| requests >= most) {
            return Some(format!("it has answered {requests} requests"));
        }
        let age = child.started.elapsed();
        if self.limits.age.is_some_and(|most| age >= most) {
            return Some(format!("it is {} s old", age.as_secs()));
        }
        let most = self.limits.memory?;
        let memory = memory(child.record.pid.load(Relaxed)).filter(|memory| *memory >= most)?;
        Some(format!("it has {} MiB of memory", memory >> 20))
    }
}
