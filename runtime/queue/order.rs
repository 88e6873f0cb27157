//! Which item of a queue comes next.

use std::collections::VecDeque;

/// Where the items of a queue lie, and which of them is next.
pub(super) trait Order<T>: Default {
    /// Takes in some of what was put since, all if there is nothing else. Runs no user code.
    fn add(&mut self, put: &mut VecDeque<T>);

    /// Puts what was added in order. It may run the user's comparisons; one that unwinds leaves
    /// work for the next call.
    fn sort(&mut self) {}

    /// The next item, after `sort`.
    fn first(&self) -> Option<&T>;

    /// Takes the next item out, after `sort`. If a comparison unwinds, no item is lost.
    fn pop(&mut self) -> Option<T>;
}

/// First in, first out.
pub(super) struct Fifo<T>(VecDeque<T>);

impl<T> Order<T> for Fifo<T> {
    fn add(&mut self, put: &mut VecDeque<T>) {
        if self.0.is_empty() {
            std::mem::swap(&mut self.0, put);
        }
    }

    fn first(&self) -> Option<&T> {
        self.0.front()
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }
}

/// Last in, first out.
pub(super) struct Lifo<T>(Vec<T>);

impl<T> Order<T> for Lifo<T> {
    fn add(&mut self, put: &mut VecDeque<T>) {
        self.0.extend(put.drain(..));
    }

    fn first(&self) -> Option<&T> {
        self.0.last()
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }
}

/// Smallest first; of equal ones, the one that was put first.
///
/// A binary heap that keeps its items through a comparison that unwinds: it moves them by swaps
/// alone, and then knows which of them are in no order any more. std's `BinaryHeap` drops the item
/// that it was taking out.
pub(super) struct Smallest<T> {
    items: Vec<Numbered<T>>,
    /// How many at the front of `items` are a heap.
    heap: usize,
    /// How many items there have been.
    count: u64,
}

struct Numbered<T> {
    item: T,
    number: u64,
}

impl<T: Ord> Numbered<T> {
    fn is_before(&self, other: &Numbered<T>) -> bool {
        let order = self.item.cmp(&other.item);
        order.then(self.number.cmp(&other.number)).is_lt()
    }
}

impl<T: Ord> Order<T> for Smallest<T> {
    fn add(&mut self, put: &mut VecDeque<T>) {
        while let Some(item) = put.pop_front() {
            self.count += 1;
            let number = self.count;
            self.items.push(Numbered { item, number });
        }
    }

    fn sort(&mut self) {
        while self.heap < self.items.len() {
            let heap = std::mem::take(&mut self.heap);
            self.sift_up(heap);
            self.heap = heap + 1;
        }
    }

    fn first(&self) -> Option<&T> {
        self.items.first().map(|first| &first.item)
    }

    fn pop(&mut self) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.heap = 0;
        self.items.swap(0, last);
        self.sift_down(last);
        self.heap = last;
        self.items.pop().map(|last| last.item)
    }
}

impl<T: Ord> Smallest<T> {
    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.items[at].is_before(&self.items[parent]) {
                return;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    /// Finds the place of the first item in a heap of `length`.
    fn sift_down(&mut self, length: usize) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= length {
                return;
            }
            let right_is_first = right < length && self.items[right].is_before(&self.items[left]);
            let child = if right_is_first { right } else { left };
            if !self.items[child].is_before(&self.items[at]) {
                return;
            }
            self.items.swap(at, child);
            at = child;
        }
    }
}

impl<T> Default for Fifo<T> {
    fn default() -> Fifo<T> {
        Fifo(VecDeque::new())
    }
}

impl<T> Default for Lifo<T> {
    fn default() -> Lifo<T> {
        Lifo(Vec::new())
    }
}

impl<T> Default for Smallest<T> {
    fn default() -> Smallest<T> {
        Smallest {
            items: Vec::new(),
            heap: 0,
            count: 0,
        }
    }
}
