//! When a worker is replaced although it is well: it has answered so many requests, has lived for
//! so long, or has grown so large. Each limit is up to a tenth more or less for each worker, so
//! that they are not all replaced at once.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::child::Child;
use super::config::Recycling;
use super::slot::jitter;
use super::status::memory;

const SHARE: f64 = 0.1;
/// Before the next try, after a replacement failed.
const PUT_OFF: Duration = Duration::from_secs(30);

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
            not_before: Instant::now(),
        }
    }

    /// Whether there is any limit.
    pub(super) fn is_ever(&self) -> bool {
        let Recycling {
            requests,
            age,
            memory,
        } = self.limits;
        requests.is_some() || age.is_some() || memory.is_some()
    }

    pub(super) fn put_off(&mut self) {
        self.not_before = Instant::now() + PUT_OFF;
    }

    /// Why it is to be replaced now, if it is.
    pub(super) fn why(&self, child: &Child) -> Option<String> {
        if Instant::now() < self.not_before {
            return None;
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
