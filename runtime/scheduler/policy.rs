//! The run queue, and the one place that chooses who runs next.

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
///
/// A ring whose size is a power of two, so that places wrap with a mask.
#[derive(Debug)]
pub(super) struct RunQueue<T> {
    ring: Box<[Option<T>]>,
    /// Places of the first and behind the last, before masking.
    head: usize,
    tail: usize,
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
            ring: std::iter::repeat_with(|| None).take(64).collect(),
            head: 0,
            tail: 0,
            policy,
            random,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.tail.wrapping_sub(self.head)
    }

    /// Makes room for so many, before there are: a wake need not look whether there is room.
    #[inline]
    pub(super) fn reserve(&mut self, count: usize) {
        if count > self.ring.len() {
            self.grow();
        }
    }

    /// Adds one that has become ready.
    #[inline]
    pub(super) fn push(&mut self, ready: T) {
        debug_assert!(self.len() < self.ring.len(), "a place is reserved for each");
        *self.at(self.tail) = Some(ready);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Adds one that gave way to the others.
    pub(super) fn push_yielded(&mut self, ready: T) {
        self.push(ready);
        if self.policy == Policy::Lifo {
            self.put_last_first();
        }
    }

    /// Takes out the one to run next: the choice.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        match self.policy {
            Policy::Fifo => {}
            Policy::Lifo => self.put_last_first(),
            Policy::Random(_) => self.put_any_first(),
        }
        self.pop_first()
    }

    /// Adds one that gave way and takes out the one to run next.
    #[inline]
    pub(super) fn exchange(&mut self, ready: T) -> Option<T> {
        if self.policy != Policy::Fifo || self.is_empty() {
            self.push_yielded(ready);
            return self.pop();
        }
        // First out, then in, so that there is room.
        let first = self.pop_first();
        *self.at(self.tail) = Some(ready);
        self.tail = self.tail.wrapping_add(1);
        first
    }

    /// The one at a place, counted from the one that has been ready for longest.
    #[inline]
    pub(super) fn peek(&mut self, place: usize) -> Option<&T> {
        if place >= self.len() {
            return None;
        }
        self.at(self.head.wrapping_add(place)).as_ref()
    }

    /// Takes it out, whatever the policy. There must be one.
    #[inline]
    pub(super) fn pop_first(&mut self) -> Option<T> {
        let first = self.at(self.head).take();
        self.head = self.head.wrapping_add(1);
        first
    }

    #[inline]
    fn at(&mut self, place: usize) -> &mut Option<T> {
        let mask = self.ring.len() - 1;
        &mut self.ring[place & mask]
    }

    #[cold]
    fn put_last_first(&mut self) {
        self.tail = self.tail.wrapping_sub(1);
        let last = self.at(self.tail).take();
        self.head = self.head.wrapping_sub(1);
        *self.at(self.head) = last;
    }

    #[cold]
    fn put_any_first(&mut self) {
        let pick = (self.next_random() % self.len() as u64) as usize;
        let mask = self.ring.len() - 1;
        let picked = self.head.wrapping_add(pick) & mask;
        self.ring.swap(self.head & mask, picked);
    }

    #[cold]
    fn grow(&mut self) {
        let length = self.len();
        let mut ring: Vec<_> = (0..length)
            .map(|offset| self.at(self.head.wrapping_add(offset)).take())
            .collect();
        ring.resize_with(self.ring.len() * 2, || None);
        self.ring = ring.into();
        self.head = 0;
        self.tail = length;
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
        queue.reserve(100);
        (40..100).for_each(|index| queue.push(index));
        queue.reserve(200);
        (100..200).for_each(|index| queue.push(index));
        (30..200).for_each(|index| assert_eq!(queue.pop(), Some(index)));
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
