//! The run queue, and the one place that chooses who runs next.

use std::collections::VecDeque;

/// Which of the ready green threads runs next. `Fifo` is for programs, the others for study and
/// tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The one that has been ready for longest. Fair, and the default.
    #[default]
    Fifo,
    /// The one that became ready last, while its data is in the cache. One that yields goes behind
    /// all others; beyond that nothing is fair.
    Lifo,
    /// Any, chosen by a generator with this seed: the same program with the same seed and the same
    /// input takes the same turns. For finding what only works in one order.
    Random(u64),
}

/// The ready green threads, each exactly as long as its state is `Ready` and it does not run.
#[derive(Debug)]
pub(super) struct RunQueue<T> {
    queue: VecDeque<T>,
    policy: Policy,
    random: u64,
}

impl<T> RunQueue<T> {
    pub(super) fn new(policy: Policy) -> RunQueue<T> {
        let random = if let Policy::Random(seed) = policy {
            seed
        } else {
            0
        };
        RunQueue {
            queue: VecDeque::with_capacity(64),
            policy,
            random,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds one that has become ready.
    #[inline]
    pub(super) fn push(&mut self, ready: T) {
        self.queue.push_back(ready);
    }

    /// Adds one that gave way to the others.
    #[inline]
    pub(super) fn push_yielded(&mut self, ready: T) {
        if self.policy == Policy::Lifo {
            self.queue.push_front(ready);
        } else {
            self.queue.push_back(ready);
        }
    }

    /// Takes out the one to run next: the choice.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        match self.policy {
            Policy::Fifo => self.queue.pop_front(),
            Policy::Lifo => self.queue.pop_back(),
            Policy::Random(_) => self.pop_any(),
        }
    }

    /// The one that has been ready for longest.
    #[inline]
    pub(super) fn peek(&self) -> Option<&T> {
        self.queue.front()
    }

    /// Takes it out, whatever the policy.
    pub(super) fn pop_first(&mut self) -> Option<T> {
        self.queue.pop_front()
    }

    #[cold]
    fn pop_any(&mut self) -> Option<T> {
        if self.queue.is_empty() {
            // Looking costs no number: the turns that bring nobody must not change the order.
            return None;
        }
        let pick = self.next_random() % self.queue.len() as u64;
        self.queue.swap_remove_front(pick as usize)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::{Policy, RunQueue};

    fn order(policy: Policy) -> Vec<u32> {
        let mut queue = RunQueue::new(policy);
        (0..8).for_each(|index| queue.push(index));
        queue.push_yielded(8);
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn growing_keeps_the_order() {
        let mut queue = RunQueue::new(Policy::Fifo);
        (0..40).for_each(|index| queue.push(index));
        (0..30).for_each(|index| assert_eq!(queue.pop(), Some(index)));
        (40..400).for_each(|index| queue.push(index));
        (30..400).for_each(|index| assert_eq!(queue.pop(), Some(index)));
        assert_eq!(queue.pop(), None);
        assert!(queue.is_empty());
    }

    #[test]
    fn fifo_is_first_come_first_served() {
        assert_eq!(order(Policy::Fifo), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn lifo_is_last_come_first_served_and_yielded_last() {
        assert_eq!(order(Policy::Lifo), [7, 6, 5, 4, 3, 2, 1, 0, 8]);
    }

    #[test]
    fn random_is_a_permutation_that_its_seed_repeats() {
        assert_eq!(order(Policy::Random(1)), order(Policy::Random(1)));
        assert_ne!(order(Policy::Random(1)), order(Policy::Random(2)));
        let mut sorted = order(Policy::Random(3));
        sorted.sort_unstable();
        assert_eq!(sorted, order(Policy::Fifo));
    }
}
