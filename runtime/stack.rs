//! Guarded stacks, cut from large regions and reused while they are hot.
//!
//! A region is one `MAP_NORESERVE` mapping that is cut into equal slots. A slot costs address space
//! until it is touched, and one page once a coroutine has run on it:
//!
//! ```text
//!   low addresses                                                     high addresses
//!   | guard |          stack, grows this way <----- | control | label | colour gap |
//!   ^ slot start       usable: 32 KiB << class      ^ base
//! ```
//!
//! * The **guard** faults. `MADV_GUARD_INSTALL` (Linux 6.13) marks it inside the page tables, so a
//!   million guarded stacks live in some 25 mappings. Older kernels get `mprotect`, which costs two
//!   mappings a stack and therefore ends near half of `vm.max_map_count`; [`Pool::take`] refuses
//!   before that, because a process without spare mappings cannot even print a backtrace.
//! * The **label** says whose stack it is. The overflow handler (`overflow`) reads it, for that is
//!   the only thing it may trust when a stack is gone.
//! * **Control** is room for what `coroutine` must remember while the stack is suspended. Here its
//!   address is stable, and its first bytes share a cache line with the outermost of the stack,
//!   where corosensei writes at every switch too.
//! * The **colour gap** differs from slot to slot: without it the hot ends of all stacks would
//!   share one cache set, and a hundred green threads would evict each other.
//!
//! Slots are reused last-in, first-out, with whatever pages they have: where a switch takes 7 ns,
//! reusing a dirty page costs 14, giving it back and faulting it in again 2,400. Memory goes back
//! to the kernel only when the scheduler is idle and more than [`HOT_BYTES`] of free stacks are
//! waiting ([`Pool::cool`]).
//!
//! Invariants: a slot is either in one `Stack` or on one shelf, never both. A `Stack` that is not
//! given back keeps every region mapped, for ever: a stack that was neither finished nor unwound
//! may still be borrowed from, so it is never freed.
//!
//! Not here: when a stack is finished. `coroutine` knows that.

mod guard;
pub(crate) mod overflow;
#[cfg(test)]
mod tests;

use std::io;
use std::num::NonZeroUsize;
use std::panic::Location;

pub use self::guard::StackGuard;
use self::guard::{guard_size, no_memory};

/// The smallest usable stack. A panic that prints a backtrace needs 22 KiB.
pub(crate) const MIN_SIZE: usize = 32 << 10;
/// Bytes of a name that an overflow report can show.
const NAME_BYTES: usize = 40;
const CACHE_LINE: usize = 64;
/// Bytes below the base in which corosensei keeps the way back to whoever resumed.
const LINK_SIZE: usize = 16;
/// Bytes at the top of each stack that are its owner's: one cache line together with the link, and
/// one more, for under AddressSanitizer corosensei remembers more.
pub(crate) const CONTROL_SIZE: usize = 2 * CACHE_LINE - LINK_SIZE;
/// Slots in a row whose stacks begin on different cache lines of a page. They leave 2 KiB of the
/// first page to each stack, and most are no deeper.
const COLOURS: usize = 30;
/// The largest usable stack.
pub(crate) const MAX_SIZE: usize = 1 << 30;
/// Free stacks of a pool beyond this many bytes of address space are given back when idle.
pub(crate) const HOT_BYTES: usize = 256 << 20;
/// Stacks that one call of [`Pool::cool`] gives back at most, so that idling stays short.
const COOL_BATCH: usize = 128;

const CLASSES: usize = (MAX_SIZE / MIN_SIZE).ilog2() as usize + 1;
const REGION_MIN: usize = 16 << 20;
const REGION_MAX: usize = 16 << 30;

/// Whose stack it is, written at the top of the slot for the overflow handler, before the name's
/// bytes.
///
/// All zeroes are a valid label too: the handler may read one that was never written. It holds no
/// pointer that could dangle: the name is copied, and cut at [`NAME_BYTES`].
#[derive(Clone, Copy)]
#[repr(C)]
struct Label {
    spawned_at: Option<&'static Location<'static>>,
    id: u64,
    name_len: usize,
}

type Name = [u8; NAME_BYTES];

const LABEL_SIZE: usize = size_of::<Label>() + NAME_BYTES;
const _: () = assert!(LABEL_SIZE == 64);

/// The name in these bytes, without a character that the cut went through.
fn name_in(bytes: &[u8]) -> Option<&str> {
    let valid = match std::str::from_utf8(bytes) {
        Ok(name) => name,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
    };
    Some(valid).filter(|name| !name.is_empty())
}

/// A slot in use: exclusive right to the memory between guard and label.
#[derive(Debug)]
pub(crate) struct Stack {
    /// The highest address of the coroutine's part, below control.
    base: NonZeroUsize,
    shape: Shape,
}

/// Depth and class of a stack. One word: each spawn reads what an end has just written, and if that
/// were two halves, the processor would wait until both are in its cache.
#[derive(Clone, Copy, Debug)]
struct Shape(usize);

impl Shape {
    const CLASS: usize = CLASSES - 1;

    fn new(depth: usize, class: Class) -> Shape {
        Shape(depth | class.index())
    }

    /// Bytes from the base down to the lowest of the guard; a multiple of 16.
    #[inline]
    fn depth(self) -> usize {
        self.0 & !Shape::CLASS
    }

    #[inline]
    fn class(self) -> Class {
        Class((self.0 & Shape::CLASS) as u32)
    }
}

const _: () = assert!(CLASSES == 16);

/// Bytes between a stack's base and its slot's colour gap.
const HEAD: usize = CONTROL_SIZE + LABEL_SIZE;

/// Where the base is in the slot with this index in its region: bytes from the slot's start.
fn depth(class_stride: usize, index: usize) -> usize {
    class_stride - (index % COLOURS) * CACHE_LINE - HEAD
}

/// Which power of two the usable size is: `MIN_SIZE << class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u32);

impl Class {
    /// The class of stacks that have at least `size` usable bytes.
    pub(crate) fn holding(size: usize) -> io::Result<Class> {
        if !(MIN_SIZE..=MAX_SIZE).contains(&size) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a stack of {size} bytes is out of range: ask for at least {MIN_SIZE} (32 KiB) \
                     and at most {MAX_SIZE} (1 GiB) bytes"
                ),
            ));
        }
        Ok(Class((size.next_power_of_two() / MIN_SIZE).ilog2()))
    }

    fn index(self) -> usize {
        self.0 as usize
    }

    fn usable(self) -> usize {
        MIN_SIZE << self.0
    }

    /// Bytes from one slot to the next. Not a power of two, which spreads the stacks over the
    /// caches.
    fn stride(self) -> usize {
        self.usable() + guard_size()
    }
}

impl Stack {
    /// The usable bytes, label, control and colour gap included.
    #[cfg(test)]
    fn size(&self) -> usize {
        self.shape.class().usable()
    }

    /// Says whose stack this is, should it overflow.
    #[inline]
    pub(crate) fn set_label(
        &mut self,
        id: u64,
        name: Option<&str>,
        spawned_at: &'static Location<'static>,
    ) {
        let name = name.map_or(&[][..], str::as_bytes);
        let name_len = name.len().min(NAME_BYTES);
        let place = (self.base.get() + CONTROL_SIZE) as *mut Label;
        // SAFETY: `place` is aligned, for it is a multiple of 64; it is mapped and writable and
        // nobody else's, for it lies in the slot that `self` owns, and the coroutine is below
        // `base`. What stood there is plain data, so nothing is leaked.
        unsafe {
            place.write(Label {
                spawned_at: Some(spawned_at),
                id,
                name_len,
            })
        };
        if name_len > 0 {
            let mut bytes: Name = [0; NAME_BYTES];
            bytes[..name_len].copy_from_slice(&name[..name_len]);
            let place = (place as usize + size_of::<Label>()) as *mut Name;
            // SAFETY: as above; these are the label's last bytes.
            unsafe { place.write(bytes) };
        }
    }

    /// The address of [`CONTROL_SIZE`] bytes for the owner of the stack, aligned to 16.
    pub(crate) fn control(&self) -> NonZeroUsize {
        self.base
    }
}

// SAFETY: `base` and `limit` are the same at every call, as long as `self` lives, and bound memory
// that is mapped (from `Pool::carve` until the pool unmaps its regions, which it does only when
// every `Stack` came back) and that only `self` names. `base` is a multiple of 16: page boundary,
// less colour, label and control. `limit` counts the guard in, which has a page at least.
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        self.base
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.base.get() - self.shape.depth())
            .expect("the kernel maps nothing at zero")
    }
}

/// The stacks of one scheduler.
#[derive(Debug)]
pub(crate) struct Pool {
    guard: StackGuard,
    shelves: [Shelf; CLASSES],
    /// Stacks taken and not given back.
    outstanding: usize,
}

/// Slots of one size.
#[derive(Debug, Default)]
struct Shelf {
    /// The last one given back is the first one taken.
    free: Vec<Stack>,
    /// How many at the cold end of `free` hold no memory.
    cooled: usize,
    /// The last region may have slots that were never cut.
    regions: Vec<Region>,
}

#[derive(Debug)]
struct Region {
    start: usize,
    slots: usize,
    cut: usize,
}

impl Pool {
    /// A pool with no memory yet. `StackGuard::Auto` is decided here, by trying.
    pub(crate) fn new(guard: StackGuard) -> Pool {
        Pool {
            guard: guard.resolve(),
            shelves: Default::default(),
            outstanding: 0,
        }
    }

    /// A stack of that class.
    #[inline(always)]
    pub(crate) fn take(&mut self, class: Class) -> io::Result<Stack> {
        let shelf = &mut self.shelves[class.index()];
        let stack = match shelf.free.pop() {
            Some(stack) => stack,
            None => shelf.cut(class, self.guard)?,
        };
        shelf.cooled = shelf.cooled.min(shelf.free.len());
        self.outstanding += 1;
        Ok(stack)
    }

    /// Takes back a stack that nothing lives on any more.
    #[inline]
    pub(crate) fn give_back(&mut self, stack: Stack) {
        self.shelves[stack.shape.class().index()].free.push(stack);
        self.outstanding -= 1;
    }

    /// Returns some memory of free stacks to the kernel if more than `hot_bytes` of them are
    /// waiting, coldest first. True if there is more to do.
    pub(crate) fn cool(&mut self, hot_bytes: usize) -> bool {
        let hot: usize = self
            .shelves
            .iter()
            .enumerate()
            .map(|(i, s)| s.hot() << i)
            .sum();
        let mut excess = (hot * MIN_SIZE).saturating_sub(hot_bytes);
        let mut batch = COOL_BATCH;
        for (index, shelf) in self.shelves.iter_mut().enumerate() {
            let class = Class(index as u32);
            while excess >= class.usable() && batch > 0 && shelf.hot() > 0 {
                shelf.cool_one(class);
                excess -= class.usable();
                batch -= 1;
            }
        }
        batch == 0
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.outstanding > 0 {
            return;
        }
        for (index, shelf) in self.shelves.iter_mut().enumerate() {
            let stride = Class(index as u32).stride();
            for region in shelf.regions.drain(..) {
                overflow::forget_region(region.start);
                self.guard.forget(region.cut);
                // SAFETY: the region was mapped with this length by `Region::map`, it is unmapped
                // once (drained), and no `Stack` names a slot of it: none is outstanding.
                let unmapped =
                    unsafe { libc::munmap(region.start as *mut _, region.slots * stride) };
                debug_assert_eq!(unmapped, 0);
            }
        }
    }
}

impl Shelf {
    fn hot(&self) -> usize {
        self.free.len() - self.cooled
    }

    /// Cuts a slot that was never used from the last region, or from a new one.
    #[cold]
    fn cut(&mut self, class: Class, guard: StackGuard) -> io::Result<Stack> {
        if self
            .regions
            .last()
            .is_none_or(|region| region.cut == region.slots)
        {
            self.regions.push(Region::map(class, self.regions.len())?);
        }
        let region = self
            .regions
            .last_mut()
            .expect("a region was just seen or pushed");
        let slot = region.start + region.cut * class.stride();
        guard.install(slot)?;
        let depth = depth(class.stride(), region.cut);
        region.cut += 1;
        // Valgrind must know stacks, or it takes a switch for a giant frame. Dropping the
        // registration would undo it, and a slot is a stack for as long as it is mapped.
        std::mem::forget(corosensei::stack::valgrind::ValgrindStackRegistration::new(
            slot as *mut u8,
            class.stride(),
        ));
        let base = NonZeroUsize::new(slot + depth).expect("the kernel maps nothing at zero");
        Ok(Stack {
            base,
            shape: Shape::new(depth, class),
        })
    }

    /// Gives back the memory of the coldest free slot that still has some.
    fn cool_one(&mut self, class: Class) {
        let stack = &self.free[self.cooled];
        let bottom = stack.base.get() - stack.shape.depth() + guard_size();
        // SAFETY: the slot is free, so nothing in it is alive, and its pages may become zeroes. The
        // range is inside one region, and spares the guard.
        let done = unsafe { libc::madvise(bottom as *mut _, class.usable(), libc::MADV_DONTNEED) };
        debug_assert_eq!(done, 0);
        self.cooled += 1;
    }
}

impl Region {
    /// Maps the region number `index` of a shelf; each is twice as large as the one before it.
    fn map(class: Class, index: usize) -> io::Result<Region> {
        let first = (REGION_MIN / class.stride()).max(1);
        let most = (REGION_MAX / class.stride()).max(1);
        let slots = (first << index.min(16)).min(most);
        let len = slots * class.stride();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh private mapping at an address of the kernel's choice touches nothing.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(no_memory(&format!(
                "mapping {len} bytes for {slots} stacks"
            )));
        }
        // Without this, transparent huge pages would back each stack with up to 2 MiB. A kernel
        // built without them refuses the advice, and then it is not needed.
        // SAFETY: the range is the mapping just made; the advice does not change its contents.
        unsafe { libc::madvise(start, len, libc::MADV_NOHUGEPAGE) };
        overflow::watch_region(start as usize, len, class.stride());
        Ok(Region {
            start: start as usize,
            slots,
            cut: 0,
        })
    }
}
