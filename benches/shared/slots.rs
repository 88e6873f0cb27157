//! Guarded stacks without a runtime: one mapping, cut into slots as sedge's are.
//!
//! What the bare coroutines run on, and what the kernel takes for a million stacks: corosensei's
//! own stacks are two mappings each, of which a process may have some 65,000.

use std::num::NonZeroUsize;
use std::ptr::NonNull;

use corosensei::stack::{Stack, StackPointer};

const PAGE: usize = 4096;
const STRIDE: usize = (256 << 10) + PAGE;

/// Memory for a number of stacks. It stays mapped until the process ends, for so may coroutines
/// that never end.
#[derive(Debug)]
pub struct Slots {
    start: NonNull<u8>,
    count: usize,
}

impl Slots {
    /// Maps and guards them.
    ///
    /// # Panics
    ///
    /// If the kernel refuses.
    #[must_use]
    pub fn new(count: usize) -> Slots {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let len = count * STRIDE;
        // SAFETY: a fresh mapping touches nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED, "no room for {count} stacks");
        // SAFETY: the mapping is ours, and the advice changes nothing in it.
        unsafe { libc::madvise(start, len, libc::MADV_NOHUGEPAGE) };
        let start = NonNull::new(start.cast()).expect("a mapping is not at zero");
        let slots = Slots { start, count };
        (0..count).for_each(|slot| slots.guard(slot));
        slots
    }

    fn guard(&self, slot: usize) {
        const GUARD_INSTALL: libc::c_int = 102;
        let start = self.start.as_ptr().wrapping_add(slot * STRIDE);
        // SAFETY: the page is in the mapping, and nothing is in it yet.
        let refused = unsafe { libc::madvise(start.cast(), PAGE, GUARD_INSTALL) };
        assert_eq!(refused, 0, "guards need Linux 6.13");
    }

    /// Touches the page of each slot that a green thread that does little would touch.
    pub fn touch(&self) {
        for slot in 0..self.count {
            let top = self.start.as_ptr().wrapping_add((slot + 1) * STRIDE);
            // SAFETY: the byte is in the mapping, above the slot's guard, and no stack is in use
            // while the slots are touched: `stacks` takes them away.
            unsafe { top.wrapping_sub(64).write_volatile(1) };
        }
    }

    /// A stack in each slot.
    pub fn stacks(self) -> impl Iterator<Item = Slot> {
        let start = self.start.addr();
        (1..=self.count).map(move |end| Slot {
            base: start.saturating_add(end * STRIDE),
        })
    }
}

/// One stack.
#[derive(Debug)]
pub struct Slot {
    base: StackPointer,
}

// SAFETY: `base` is the end of a slot, which is a multiple of a page; below it are STRIDE bytes
// that stay mapped, the lowest page of them a guard.
unsafe impl Stack for Slot {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.base.get() - STRIDE).expect("a mapping is not at zero")
    }
}
