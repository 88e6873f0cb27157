//! The page below each stack that faults, in two ways, and what the kernel says when it has no
//! more.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Not yet in `libc`; from the kernel's `mman-common.h`.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// How the page below each stack is guarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackGuard {
    /// `Marker` where the kernel has it, else `Protect`. The default.
    #[default]
    Auto,
    /// `MADV_GUARD_INSTALL`: no extra mapping. Linux 6.13 and later.
    Marker,
    /// `mprotect`: works everywhere, two mappings a stack, so some 29,000 stacks under the usual
    /// `vm.max_map_count` of 65,530.
    Protect,
}

impl StackGuard {
    /// The one that is meant, `Auto` decided by trying.
    pub(super) fn resolve(self) -> StackGuard {
        static BEST: OnceLock<StackGuard> = OnceLock::new();
        match self {
            StackGuard::Auto => *BEST.get_or_init(|| {
                if markers_work() {
                    StackGuard::Marker
                } else {
                    StackGuard::Protect
                }
            }),
            chosen => chosen,
        }
    }

    /// Makes the lowest page of the slot at `slot` fault.
    pub(super) fn install(self, slot: usize) -> io::Result<()> {
        let slot = slot as *mut libc::c_void;
        let done = if self == StackGuard::Marker {
            // SAFETY: the page belongs to a slot that was never used, so no live data is lost.
            unsafe { libc::madvise(slot, guard_size(), MADV_GUARD_INSTALL) }
        } else {
            if PROTECTED.fetch_add(1, Ordering::Relaxed) >= max_protected() {
                PROTECTED.fetch_sub(1, Ordering::Relaxed);
                return Err(mapping_limit());
            }
            // SAFETY: as above; the page is inside a mapping of ours.
            unsafe { libc::mprotect(slot, guard_size(), libc::PROT_NONE) }
        };
        if done != 0 {
            let error = no_memory("guarding a stack");
            if self != StackGuard::Marker {
                PROTECTED.fetch_sub(1, Ordering::Relaxed);
            }
            return Err(error);
        }
        Ok(())
    }

    /// Notes that `count` slots with this guard are unmapped.
    pub(super) fn forget(self, count: usize) {
        if self == StackGuard::Protect {
            PROTECTED.fetch_sub(count, Ordering::Relaxed);
        }
    }
}

/// Stacks of this process that are guarded by `mprotect`, each worth two mappings.
static PROTECTED: AtomicUsize = AtomicUsize::new(0);

/// Stacks guarded by `mprotect` that leave a tenth of the process's mappings free: the program
/// needs some too, and so does the printing of a panic.
fn max_protected() -> usize {
    static MAX: OnceLock<usize> = OnceLock::new();
    *MAX.get_or_init(|| max_map_count() / 100 * 45)
}

fn max_map_count() -> usize {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    text.trim().parse().unwrap_or(65_530)
}

fn mapping_limit() -> io::Error {
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        format!(
            "no more guarded stacks: {} are in use, each takes two of the {} mappings that \
             vm.max_map_count allows a process; raise it (sysctl -w vm.max_map_count=1000000), or \
             use Linux 6.13 or later, where guards need no mappings",
            max_protected(),
            max_map_count(),
        ),
    )
}

pub(super) fn no_memory(doing: &str) -> io::Error {
    let cause = io::Error::last_os_error();
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        format!(
            "{doing} failed: {cause}; see vm.max_map_count (now {}), vm.overcommit_memory and \
             `ulimit -v`",
            max_map_count(),
        ),
    )
}

/// Whether this kernel has `MADV_GUARD_INSTALL`, found out on a page of its own.
fn markers_work() -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping touches nothing.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            guard_size(),
            libc::PROT_READ,
            flags,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: the page was mapped above and holds nothing.
    let works = unsafe { libc::madvise(page, guard_size(), MADV_GUARD_INSTALL) } == 0;
    // SAFETY: nothing else knows the page.
    unsafe { libc::munmap(page, guard_size()) };
    works
}

pub(super) fn guard_size() -> usize {
    page_size()
}

pub(super) fn page_size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: asks for a constant.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}
