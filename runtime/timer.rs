//! A timer wheel: deadlines in, expired keys out, O(1) to arm and to cancel.
//!
//! Nearly every timer guards an I/O call and is cancelled before it fires, so arming and cancelling
//! must cost nothing, and a heap's `log n` is the wrong trade. This is the hierarchical wheel of
//! Varghese and Lauck (*Hashed and Hierarchical Timing Wheels*, 1987; scheme 6, as in Linux and
//! tokio):
//!
//! ```text
//!   level 0   64 slots of 65 us   |#|#|.|#| ... |     the next 4.2 ms
//!   level 1   64 slots of 4.2 ms  |.|#|#|.| ... |     the next 268 ms
//!   ...                                               each level 64 times as coarse
//!   level 7   64 slots of 9 years
//! ```
//!
//! A timer is put on the level whose slots can still tell its deadline from now: the highest group
//! of six bits in which the two differ. When time enters a slot of a higher level, its timers are
//! dealt out to the levels below, so a timer moves at most seven times in its life. A bit per slot
//! says which are occupied, so finding the next one is a `trailing_zeros`.
//!
//! Time is what the caller says it is: nanoseconds since an epoch of the caller's, never going
//! back. Slots are 2^16 ns wide, but a timer keeps its exact deadline and never fires before it.
//! What is due in a slot is taken out of it together and sorted, so timers fire in the order of
//! their deadlines, and those of one deadline in the order in which they were armed.
//!
//! The timers of a slot are a ring, linked by their places in one vector. Its *head*, which is no
//! timer, stands between the last and the first, so taking a timer out is the same wherever it
//! stands, and asks neither for its slot nor whether it has neighbours.
//!
//! Invariants: a timer is linked into exactly one ring, or stands in `due`; `elapsed` is the slot
//! number (on level 0) up to which everything has been dealt with; every linked timer's slot number
//! is at least `elapsed`; every deadline in `due` has passed.
//!
//! Not here: clocks, waiting, and what a key means.

#[cfg(test)]
mod tests;

use std::num::NonZeroU64;

/// One slot of level 0 lasts `1 << TICK_BITS` nanoseconds, 65.5 us.
const TICK_BITS: u32 = 16;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Eight levels of six bits over sixteen bits of tick: all of `u64`.
const LEVELS: usize = 8;
const NIL: u32 = u32::MAX;
/// The heads stand before all timers, level by level.
const HEADS: usize = LEVELS * SLOTS;

/// Names an armed timer. Stale once the timer has fired or was cancelled, and harmless then.
///
/// The index and, above it, the generation. One word, for it is written when the timer is armed and
/// read a moment later: a load of two halves that were stored apart waits for both to reach the
/// cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId(NonZeroU64);

impl TimerId {
    #[inline]
    fn new(index: u32, generation: u32) -> TimerId {
        let id = NonZeroU64::new(u64::from(generation) << 32 | u64::from(index));
        TimerId(id.expect("the first entry is no timer"))
    }

    #[inline]
    fn index(self) -> u32 {
        self.0.get() as u32
    }

    #[inline]
    fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

/// The timers of one scheduler, each with a key that comes out when it expires.
#[derive(Debug)]
pub(crate) struct Wheel<K> {
    /// The heads, then the timers.
    entries: Vec<Entry<K>>,
    vacant: u32,
    armed: usize,
    occupied: [u64; LEVELS],
    elapsed: u64,
    /// Timers to fire, the last one first.
    due: Vec<u32>,
}

#[derive(Debug)]
struct Entry<K> {
    deadline: u64,
    /// `None` while the entry is vacant, when `next` links the vacant ones, and once it was
    /// cancelled while it was due.
    key: Option<K>,
    generation: u32,
    /// The one before it in its ring; of one that is due, nobody.
    previous: u32,
    next: u32,
}

impl<K> Wheel<K> {
    /// An empty wheel, at time zero.
    pub(crate) fn new() -> Wheel<K> {
        Wheel {
            entries: (0..HEADS as u32).map(Entry::alone).collect(),
            vacant: NIL,
            armed: 0,
            occupied: [0; LEVELS],
            elapsed: 0,
            due: Vec::new(),
        }
    }

    /// Timers that are armed and have not fired.
    pub(crate) fn len(&self) -> usize {
        self.armed
    }

    /// Arms a timer. A deadline in the past expires at the next [`Wheel::expire`].
    #[inline(always)]
    pub(crate) fn arm(&mut self, deadline: u64, key: K) -> TimerId {
        let mut index = self.vacant;
        if index == NIL {
            index = self.grow();
        }
        let entry = &mut self.entries[index as usize];
        let generation = entry.generation;
        let next_vacant = entry.next;
        entry.deadline = deadline;
        entry.key = Some(key);
        self.vacant = next_vacant;
        self.armed += 1;
        self.link(index, deadline);
        TimerId::new(index, generation)
    }

    /// Takes a timer back before it fires. `None` if it already has, or was cancelled before.
    #[inline(always)]
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<K> {
        let index = id.index();
        let entry = self.entries.get_mut(index as usize)?;
        if entry.generation != id.generation() {
            return None;
        }
        let key = entry.key.take();
        self.armed -= usize::from(key.is_some());
        if entry.previous != NIL {
            self.unlink(index);
            self.free(index);
        }
        key
    }

    /// Hands out one key whose deadline is `now` or earlier. Call until `None`, or as often as the
    /// round allows: what is left comes out at the next call.
    pub(crate) fn expire(&mut self, now: u64) -> Option<K> {
        let now_tick = now >> TICK_BITS;
        while self.armed > 0 {
            if let Some(index) = self.due.pop() {
                let key = self.entries[index as usize].key.take();
                self.free(index);
                self.armed -= usize::from(key.is_some());
                if key.is_some() {
                    return key;
                }
                continue;
            }
            let Some((level, slot, tick)) = self.next_slot() else {
                break;
            };
            if tick > now_tick {
                break;
            }
            self.elapsed = self.elapsed.max(tick);
            if level > 0 {
                self.deal_out(level, slot);
            } else if !self.collect(slot, now) {
                return None;
            }
        }
        self.elapsed = self.elapsed.max(now_tick);
        None
    }

    /// When to call [`Wheel::expire`] next: never after the earliest deadline, at times before it.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if let Some(&index) = self.due.last() {
            return Some(self.entries[index as usize].deadline);
        }
        let (level, slot, tick) = self.next_slot()?;
        if level > 0 {
            return Some(tick << TICK_BITS);
        }
        self.ring(head(0, slot))
            .map(|index| self.entries[index as usize].deadline)
            .min()
    }

    /// The occupied slot that time enters first: level, slot, and the tick at which it begins.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        // A slot on a lower level always begins before the next one of a higher level.
        (0..LEVELS).find_map(|level| {
            let shift = SLOT_BITS * level as u32;
            let here = (self.elapsed >> shift) as u32 & (SLOTS as u32 - 1);
            let ahead = self.occupied[level].rotate_right(here);
            if ahead == 0 {
                return None;
            }
            let distance = u64::from(ahead.trailing_zeros());
            let tick = ((self.elapsed >> shift) + distance) << shift;
            let slot = (here as usize + distance as usize) % SLOTS;
            Some((level, slot, tick.max(self.elapsed)))
        })
    }

    /// Moves what is due in a slot of level 0 to `due`; in the slot of this very tick that need not
    /// be all. Says whether there was something.
    fn collect(&mut self, slot: usize, now: u64) -> bool {
        let mut due = std::mem::take(&mut self.due);
        due.extend(
            self.ring(head(0, slot))
                .filter(|&i| self.entries[i as usize].deadline <= now),
        );
        for &index in &due {
            self.unlink(index);
            self.entries[index as usize].previous = NIL;
        }
        due.reverse();
        due.sort_by_key(|&index| std::cmp::Reverse(self.entries[index as usize].deadline));
        self.due = due;
        !self.due.is_empty()
    }

    /// The timers behind a head, in the order in which they came.
    fn ring(&self, head: u32) -> impl Iterator<Item = u32> + '_ {
        let next = move |&index: &u32| {
            let next = self.entries[index as usize].next;
            (next != head).then_some(next)
        };
        std::iter::successors(next(&head), next)
    }

    /// Moves the timers of a slot that time has entered to the levels below.
    fn deal_out(&mut self, level: usize, slot: usize) {
        let head = head(level, slot);
        let mut index = self.entries[head as usize].next;
        self.entries[head as usize] = Entry::alone(head);
        self.occupied[level] &= !(1 << slot);
        while index != head {
            let Entry { next, deadline, .. } = self.entries[index as usize];
            self.link(index, deadline);
            index = next;
        }
    }

    /// Puts a timer behind the last one of the slot for its deadline.
    #[inline]
    fn link(&mut self, index: u32, deadline: u64) {
        let tick = (deadline >> TICK_BITS).max(self.elapsed);
        let differing = (tick ^ self.elapsed) | 1;
        let level = (differing.ilog2() / SLOT_BITS) as usize;
        let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        self.occupied[level] |= 1 << slot;
        let head = head(level, slot);
        let last = std::mem::replace(&mut self.entries[head as usize].previous, index);
        self.entries[last as usize].next = index;
        let entry = &mut self.entries[index as usize];
        entry.previous = last;
        entry.next = head;
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let Entry { previous, next, .. } = self.entries[index as usize];
        self.entries[previous as usize].next = next;
        self.entries[next as usize].previous = previous;
        if previous == next {
            // That is the head, which is alone now.
            let (level, slot) = (next as usize / SLOTS, next as usize % SLOTS);
            self.occupied[level] &= !(1 << slot);
        }
    }

    /// One more entry, which is vacant.
    #[cold]
    fn grow(&mut self) -> u32 {
        let index = u32::try_from(self.entries.len()).expect("four billion timers are enough");
        self.entries.push(Entry::alone(NIL));
        index
    }

    #[inline]
    fn free(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.vacant;
        self.vacant = index;
    }
}

impl<K> Entry<K> {
    /// An entry that is no timer, and has nobody but this one beside it.
    fn alone(neighbour: u32) -> Entry<K> {
        Entry {
            deadline: 0,
            key: None,
            generation: 0,
            previous: neighbour,
            next: neighbour,
        }
    }
}

/// The head of a slot's ring.
#[inline]
fn head(level: usize, slot: usize) -> u32 {
    (level * SLOTS + slot) as u32
}
