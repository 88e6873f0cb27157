//! A value with several owners: an `Rc` without weak references, in memory that is kept for the
//! next.
//!
//! Every spawn makes a packet and every join ends one, and a sixth of both together went into
//! `malloc` and `free`. So each OS thread keeps a few blocks of one size. What does not fit into a
//! block has memory of its own.
//!
//! Invariants: `count` is the number of `Shared` that name an `Inner`, and its value is initialised
//! until that is zero. Memory goes back exactly once, by [`Memory`].

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ops::Deref;
use std::ptr::NonNull;

/// Memory that most values fit into.
type Block = Box<Words>;
type Words = MaybeUninit<[u64; 16]>;

/// Free blocks that an OS thread keeps at most.
const MOST: usize = 64;

thread_local! {
    static KEPT: Kept = const {
        Kept {
            blocks: [const { Cell::new(None) }; MOST],
            count: Cell::new(0),
        }
    };
}

/// Free blocks, the first so many of the places; the last one given back is the first one taken.
struct Kept {
    blocks: [Cell<Option<Block>>; MOST],
    count: Cell<usize>,
}

impl Kept {
    #[inline]
    fn take(&self) -> Option<Block> {
        let count = self.count.get().checked_sub(1)?;
        self.count.set(count);
        self.blocks.get(count)?.take()
    }

    /// Keeps a block, or frees it if there are enough.
    #[inline]
    fn give_back(&self, block: Block) {
        let count = self.count.get();
        if let Some(place) = self.blocks.get(count) {
            self.count.set(count + 1);
            place.set(Some(block));
        }
    }
}

/// One of the owners of a value.
pub(super) struct Shared<T> {
    inner: NonNull<Inner<T>>,
    owns: PhantomData<Inner<T>>,
}

struct Inner<T> {
    count: Cell<usize>,
    value: T,
}

impl<T> Shared<T> {
    /// The first owner of what `make` makes. That is made where it will be: a copy would read with
    /// wide loads what narrow stores have just written, and wait for them to reach the cache.
    #[inline(always)]
    pub(super) fn new(make: impl FnOnce() -> T) -> Shared<T> {
        let memory = Memory::take();
        let inner = Inner {
            count: Cell::new(1),
            value: make(),
        };
        // SAFETY: the memory was just taken: it is large enough, aligned, and nobody else's.
        unsafe { memory.0.write(inner) };
        let inner = memory.0;
        mem::forget(memory);
        Shared {
            inner,
            owns: PhantomData,
        }
    }

    /// The value, if this is its last owner.
    pub(super) fn into_inner(self) -> Option<T> {
        if self.inner().count.get() > 1 {
            return None;
        }
        let memory = Memory(self.inner);
        mem::forget(self);
        // SAFETY: this was the last owner and has been forgotten, so that nobody reads it again,
        // nor drops it.
        let inner = unsafe { memory.0.read() };
        Some(inner.value)
    }

    /// Drops the value, for its last owner. Not inlined, so that all others save no registers.
    #[inline(never)]
    fn destroy(&mut self) {
        // Gives the memory back even if the destructor panics.
        let _memory = Memory(self.inner);
        // SAFETY: the last owner goes, so nobody reads the value again.
        unsafe { self.inner.drop_in_place() };
    }

    #[inline]
    fn inner(&self) -> &Inner<T> {
        // SAFETY: `self` is an owner, so the count is not zero, and the value initialised. Nobody
        // has it mutably.
        unsafe { self.inner.as_ref() }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Shared<T> {
        let count = &self.inner().count;
        // This cannot overflow: nobody here forgets one, and so many do not fit into memory.
        count.set(count.get() + 1);
        Shared {
            inner: self.inner,
            owns: PhantomData,
        }
    }
}

impl<T> Drop for Shared<T> {
    #[inline(always)]
    fn drop(&mut self) {
        let count = &self.inner().count;
        count.set(count.get() - 1);
        if count.get() == 0 {
            self.destroy();
        }
    }
}

/// Room for an `Inner` in which there is none, to be given back.
struct Memory<T>(NonNull<Inner<T>>);

impl<T> Memory<T> {
    const FITS_BLOCK: bool = size_of::<Inner<T>>() <= size_of::<Words>()
        && align_of::<Inner<T>>() <= align_of::<Words>();

    #[inline(always)]
    fn take() -> Memory<T> {
        let memory = if Self::FITS_BLOCK {
            let block = KEPT.try_with(Kept::take);
            let block = block.ok().flatten().unwrap_or_else(Box::new_uninit);
            Box::into_raw(block).cast()
        } else {
            Box::into_raw(Box::<Inner<T>>::new_uninit()).cast()
        };
        Memory(NonNull::new(memory).expect("a Box is somewhere"))
    }
}

impl<T> Drop for Memory<T> {
    #[inline(always)]
    fn drop(&mut self) {
        let memory = self.0.as_ptr();
        if !Self::FITS_BLOCK {
            // SAFETY: `take` had it from a `Box` of this type, and nobody else names it any more.
            drop(unsafe { Box::from_raw(memory.cast::<MaybeUninit<Inner<T>>>()) });
            return;
        }
        // SAFETY: as above.
        let block = unsafe { Box::from_raw(memory.cast::<Words>()) };
        // If the OS thread is ending and the blocks are gone, it goes too.
        let _ = KEPT.try_with(|kept| kept.give_back(block));
    }
}
