//! What happens when a stack overflows: a report with the green thread's name, then abort.
//!
//! The fault arrives as `SIGSEGV` with an address inside a guard page. The handler runs on a stack
//! of its own, finds the slot in a table of plain atomics, and reads the label at the slot's top;
//! it takes no lock and allocates nothing. Going on is not possible: the frames that overflowed
//! hold locks and half-changed data, and nothing can be unwound without stack. Every other fault
//! goes to the handler that was there before, so std still reports the overflow of an OS thread and
//! a debugger or sanitizer still sees its signals.

use std::fmt::{self, Write};
use std::io;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::guard::guard_size;
use super::{CONTROL_SIZE, Label, NAME_BYTES, Name, depth, name_in};

/// Regions that can be watched at once. A million default stacks take about 25.
const REGIONS: usize = 1024;
const HANDLER_STACK: usize = 64 << 10;
/// The id in the label of a generator's stack: no green thread has it.
pub(crate) const GENERATOR: u64 = 0;

struct Watched {
    start: AtomicUsize,
    len: AtomicUsize,
    stride: AtomicUsize,
}

/// Where stacks are, readable from a signal handler. A free entry has `start == 0`; `start` is
/// written last and cleared first. With the table full, an overflow is a bare `SIGSEGV` as without
/// us.
static WATCHED: [Watched; REGIONS] = [const {
    Watched {
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        stride: AtomicUsize::new(0),
    }
}; REGIONS];

/// Held while an entry of `WATCHED` is claimed or given up; never taken by the handler.
static CLAIM: std::sync::Mutex<()> = std::sync::Mutex::new(());

static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

pub(super) fn watch_region(start: usize, len: usize, stride: usize) {
    let _claim = CLAIM
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(entry) = WATCHED
        .iter()
        .find(|entry| entry.start.load(Ordering::Relaxed) == 0)
    {
        entry.len.store(len, Ordering::Relaxed);
        entry.stride.store(stride, Ordering::Relaxed);
        entry.start.store(start, Ordering::Release);
    }
}

pub(super) fn forget_region(start: usize) {
    let _claim = CLAIM
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(entry) = WATCHED
        .iter()
        .find(|entry| entry.start.load(Ordering::Relaxed) == start)
    {
        entry.start.store(0, Ordering::Release);
    }
}

/// A signal stack of one OS thread. If it is still the current one when it is dropped, what was
/// there before comes back.
pub(crate) struct SignalStack {
    memory: *mut libc::c_void,
    before: libc::stack_t,
}

impl fmt::Debug for SignalStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalStack").finish_non_exhaustive()
    }
}

impl SignalStack {
    /// Installs the handler (once a process) and a signal stack for the calling OS thread.
    pub(crate) fn install() -> io::Result<SignalStack> {
        PREVIOUS.get_or_init(install_handler);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping touches nothing.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                HANDLER_STACK,
                protection,
                flags,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let ours = libc::stack_t {
            ss_sp: memory,
            ss_flags: 0,
            ss_size: HANDLER_STACK,
        };
        let mut before = MaybeUninit::uninit();
        // SAFETY: both pointers are to live values of the right type; the memory stays mapped until
        // `drop` has put the previous stack back.
        let done = unsafe { libc::sigaltstack(&raw const ours, before.as_mut_ptr()) };
        if done != 0 {
            let error = io::Error::last_os_error();
            // SAFETY: the kernel refused the stack, so nothing uses the memory.
            unsafe { libc::munmap(memory, HANDLER_STACK) };
            return Err(error);
        }
        // SAFETY: the call succeeded, so it has written the old value.
        let before = unsafe { before.assume_init() };
        Ok(SignalStack { memory, before })
    }

    /// As [`install`](SignalStack::install), to be kept until the OS thread ends: whatever was
    /// there before may be gone by then, and does not come back.
    pub(crate) fn install_for_good() -> io::Result<SignalStack> {
        let mut stack = SignalStack::install()?;
        stack.before.ss_flags = libc::SS_DISABLE;
        Ok(stack)
    }

    fn is_current(&self) -> bool {
        let mut current = MaybeUninit::uninit();
        // SAFETY: the pointer is to a live place of the right type; nothing is changed.
        unsafe { libc::sigaltstack(std::ptr::null(), current.as_mut_ptr()) };
        // SAFETY: asking cannot fail, so the call has written the value.
        let current: libc::stack_t = unsafe { current.assume_init() };
        current.ss_sp == self.memory
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        if self.is_current() {
            // SAFETY: `before` came from the kernel. The value is neither sent nor shared (raw
            // pointer), so this is the OS thread that installed it, and it does not run on the
            // signal stack now.
            unsafe { libc::sigaltstack(&raw const self.before, std::ptr::null_mut()) };
        }
        // SAFETY: mapped by `install` with this length, and no longer the signal stack.
        unsafe { libc::munmap(self.memory, HANDLER_STACK) };
    }
}

fn install_handler() -> libc::sigaction {
    // SAFETY: all-zero bytes are a valid `sigaction`: default handler, empty mask, no flags.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = handle as extern "C" fn(_, _, _) as usize;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    let mut previous = MaybeUninit::uninit();
    // SAFETY: both pointers are to live values; `handle` has the signature that `SA_SIGINFO` asks
    // for and calls only what a signal handler may call.
    let done = unsafe { libc::sigaction(libc::SIGSEGV, &raw const ours, previous.as_mut_ptr()) };
    assert_eq!(
        done,
        0,
        "sigaction(SIGSEGV): {}",
        io::Error::last_os_error()
    );
    // SAFETY: the call succeeded, so it has written the old value.
    unsafe { previous.assume_init() }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t`.
    let sent = unsafe { &*info };
    // SAFETY: the signal is SIGSEGV, for which the address field is set.
    let address = unsafe { sent.si_addr() } as usize;
    match Owner::at(address).filter(|owner| owner.offset < guard_size()) {
        Some(owner) => {
            report(&owner);
            // SAFETY: async-signal-safe, and has no obligations.
            unsafe { libc::abort() }
        }
        None => pass_on(signal, info, context),
    }
}

/// Whose stack an address is on: what the label says. Found and printed async-signal-safely.
pub(crate) struct Owner {
    label: Label,
    name: Name,
    /// Usable bytes of the stack.
    size: usize,
    /// Where in its slot the address is; the guard comes first.
    offset: usize,
}

impl Owner {
    /// Of the slot that holds `address`, which a coroutine has run on; none if there is no such.
    pub(crate) fn at(address: usize) -> Option<Owner> {
        WATCHED.iter().find_map(|entry| entry.owner(address))
    }

    /// Where it was spawned or made.
    pub(crate) fn spawned_at(&self) -> Option<&'static Location<'static>> {
        self.label.spawned_at
    }

    fn name(&self) -> &str {
        let name = name_in(&self.name[..self.label.name_len.min(NAME_BYTES)]);
        name.unwrap_or("<unnamed>")
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `green thread 'name' (#7)`
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.label.id == GENERATOR {
            write!(f, "generator '{}'", self.name())
        } else {
            write!(f, "green thread '{}' (#{})", self.name(), self.label.id)
        }
    }
}

impl Watched {
    fn owner(&self, address: usize) -> Option<Owner> {
        let start = self.start.load(Ordering::Acquire);
        let len = self.len.load(Ordering::Relaxed);
        if start == 0 || !(start..start + len).contains(&address) {
            return None;
        }
        let stride = self.stride.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if self.start.load(Ordering::Relaxed) != start {
            // Another OS thread gave the entry up meanwhile: it was not for this address.
            return None;
        }
        let offset = (address - start) % stride;
        let slot = address - offset;
        let index = (slot - start) / stride;
        let label = (slot + depth(stride, index) + CONTROL_SIZE) as *const Label;
        let name = (label as usize + size_of::<Label>()) as *const Name;
        // SAFETY: the region is mapped while it is watched, and the address is aligned. A slot is
        // labelled before a coroutine runs on it; of one that never was, zeroes are read, and they
        // are a label too.
        let label = unsafe { label.read_volatile() };
        // SAFETY: as above, and any bytes are a name.
        let name = unsafe { name.read_volatile() };
        Some(Owner {
            label,
            name,
            size: stride - guard_size(),
            offset,
        })
    }
}

fn report(owner: &Owner) {
    let mut text = Text::new();
    let (made, advice) = if owner.label.id == GENERATOR {
        ("made", "sedge::generator::Builder::stack_size")
    } else {
        let advice = "sedge::thread::Builder::stack_size or sedge::Config::stack_size";
        ("spawned", advice)
    };
    let size = owner.size >> 10;
    let _ = writeln!(text, "\n{owner} has overflowed its stack of {size} KiB");
    if let Some(place) = owner.spawned_at() {
        let _ = writeln!(text, "{made} at {place}");
    }
    let _ = writeln!(text, "ask for more with {advice}");
    text.print();
}

/// Hands the signal to whoever had it before.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let previous = PREVIOUS.get();
    let handler = previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction);
    let flags = previous.map_or(0, |previous| previous.sa_flags);
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
        // Returning repeats the fault, which then does what it would have done without us.
        // SAFETY: all-zero bytes are a valid `sigaction`, the default one.
        let default: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live value.
        unsafe { libc::sigaction(signal, &raw const default, std::ptr::null_mut()) };
    } else if flags & libc::SA_SIGINFO != 0 {
        type Action = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
        // SAFETY: the kernel held this address as a handler with SA_SIGINFO, so it has this type.
        let action = unsafe { std::mem::transmute::<usize, Action>(handler) };
        action(signal, info, context);
    } else {
        // SAFETY: the kernel held this address as a plain handler, so it has this type.
        let action = unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler) };
        action(signal);
    }
}

/// A text buffer that needs no allocator; what does not fit is cut.
pub(crate) struct Text {
    bytes: [u8; 1024],
    len: usize,
}

impl Text {
    pub(crate) const fn new() -> Text {
        Text {
            bytes: [0; 1024],
            len: 0,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Writes it to standard error.
    pub(crate) fn print(&self) {
        // SAFETY: the pointer and length are those of a live buffer.
        unsafe { libc::write(libc::STDERR_FILENO, self.bytes.as_ptr().cast(), self.len) };
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let len = text.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..][..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}
