//! Signals that wait until there is somebody to hear them.
//!
//! The mask of an OS thread stays as it is over an `execve`, and a signal that it holds back stays
//! pending. rustix and signal-hook have no word for it.

use std::mem::MaybeUninit;
use std::ptr;

use libc::{SIG_BLOCK, SIG_UNBLOCK, c_int};

/// Holds them back from this OS thread.
pub(super) fn hold(signals: &[c_int]) {
    change(SIG_BLOCK, signals);
}

/// Lets them through again, those first that came meanwhile.
pub(super) fn release(signals: &[c_int]) {
    change(SIG_UNBLOCK, signals);
}

fn change(how: c_int, signals: &[c_int]) {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: it may write to the whole set, and makes it an empty one.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for &signal in signals {
        // SAFETY: the set was made above. What is no signal is refused.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: the set was made above, and the old mask is not asked for. A signal that is let
    // through runs its handler here, as it may at any place of the program.
    unsafe { libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut()) };
}
