//! `waitpid`, `wait4`, `waitid` and `wait`.
//!
//! A descriptor of the process becomes readable when it ends. Who waits for any child, or for one
//! to be stopped, has no such descriptor, and looks again and again, 20 ms apart at most.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::call::fail;
use super::count::Symbol;
use super::descriptors::opened;
use super::gate::{Family, may_park};
use super::raw::{errno, set_errno};
use super::real::libc;
use super::wait::{self, Pauses, Refusal};
use crate::reactor::Direction;

/// Whom a caller waits for.
#[derive(Clone, Copy)]
enum Whom {
    /// The end of this one.
    Process(pid_t),
    /// What this descriptor stands for.
    Descriptor(RawFd),
    /// One of several, or something else than an end.
    Other,
}

/// Asks until there is an answer, which is not 0.
///
/// `ask` does not wait. `real` is the call as it was made, for what cannot be waited for.
fn until_answered(
    symbol: Symbol,
    whom: Whom,
    ask: &dyn Fn() -> c_int,
    real: &dyn Fn() -> c_int,
) -> c_int {
    let before = errno();
    let first = ask();
    if first != 0 {
        symbol.count_at_once();
        return first;
    }
    let answer = wait::guard(|| {
        symbol.count_parked();
        let mut signal = Signal::of(whom);
        loop {
            signal.wait()?;
            let answer = ask();
            if answer != 0 {
                return Ok(answer);
            }
        }
    });
    match answer {
        Ok(answer) => {
            if answer > 0 {
                set_errno(before);
            }
            answer
        }
        Err(Refusal::Impossible) => {
            symbol.count_passed();
            real()
        }
        Err(refusal) => fail(refusal.errno()),
    }
}

/// What says that it is time to ask again.
enum Signal {
    /// A descriptor made for this wait. Nobody else closes it.
    Own(OwnedFd),
    Theirs(RawFd),
    Pauses(Pauses),
}

impl Signal {
    fn of(whom: Whom) -> Signal {
        let open = |pid| {
            let fd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
            opened(fd.as_raw_fd());
            Some(fd)
        };
        match whom {
            Whom::Process(pid) => open(pid).map(Signal::Own),
            Whom::Descriptor(fd) => Some(Signal::Theirs(fd)),
            Whom::Other => None,
        }
        .unwrap_or(Signal::Pauses(Pauses::new()))
    }

    fn wait(&mut self) -> Result<(), Refusal> {
        match self {
            Signal::Own(fd) => wait::wait(fd.as_raw_fd(), Direction::Read, None).map(drop),
            Signal::Theirs(fd) => wait::wait(*fd, Direction::Read, None).map(drop),
            Signal::Pauses(pauses) => pauses.pause(None).map(drop),
        }
    }
}

fn whom(pid: pid_t, options: c_int) -> Whom {
    if pid > 0 && options & (libc::WUNTRACED | libc::WCONTINUED) == 0 {
        Whom::Process(pid)
    } else {
        Whom::Other
    }
}

fn may_wait(options: c_int) -> bool {
    options & libc::WNOHANG == 0 && may_park(Family::PROCESS)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
    let with = |options| libc!(waitpid(pid, status, options));
    if !may_wait(options) {
        return with(options);
    }
    let ask = || with(options | libc::WNOHANG);
    until_answered(Symbol::Waitpid, whom(pid, options), &ask, &|| with(options))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wait(status: *mut c_int) -> pid_t {
    let with = |options| libc!(waitpid(-1, status, options));
    if !may_wait(0) {
        return with(0);
    }
    until_answered(Symbol::Wait, Whom::Other, &|| with(libc::WNOHANG), &|| {
        with(0)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wait4(
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    let with = |options| libc!(wait4(pid, status, options, usage));
    if !may_wait(options) {
        return with(options);
    }
    let ask = || with(options | libc::WNOHANG);
    until_answered(Symbol::Wait4, whom(pid, options), &ask, &|| with(options))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn waitid(
    kind: idtype_t,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
) -> c_int {
    let with = |options| libc!(waitid(kind, id, info, options));
    // Without a place for the answer it cannot be told from none.
    if !may_wait(options) || info.is_null() {
        return with(options);
    }
    let ends = options & (libc::WSTOPPED | libc::WCONTINUED) == 0;
    let whom = match kind {
        libc::P_PID if ends => pid_t::try_from(id).map_or(Whom::Other, Whom::Process),
        libc::P_PIDFD if ends => RawFd::try_from(id).map_or(Whom::Other, Whom::Descriptor),
        _ => Whom::Other,
    };
    // 1 for an answer, 0 for none yet.
    let ask = || {
        // SAFETY: the caller's, who wants to have it filled. Zeros mean nobody.
        unsafe { info.write_bytes(0, 1) };
        match with(options | libc::WNOHANG) {
            0 => {
                // SAFETY: as above, and initialised.
                let info = unsafe { &*info };
                // SAFETY: libc has filled it for the end of a child, or left the zeros.
                c_int::from(unsafe { info.si_pid() } != 0)
            }
            error => error,
        }
    };
    match until_answered(Symbol::Waitid, whom, &ask, &|| with(options)) {
        1 => 0,
        other => other,
    }
}
