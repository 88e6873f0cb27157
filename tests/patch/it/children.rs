//! `std::process`.

use std::process::Command;
use std::time::{Duration, Instant};

use sedge_patch_tests::{parks, run};

#[test]
fn fifty_outputs_of_commands_take_as_long_as_one() {
    run(|| {
        let begun = Instant::now();
        let sleep = || {
            let output = Command::new("sh")
                .args(["-c", "sleep 0.2; echo done"])
                .output();
            assert_eq!(output.unwrap().stdout, b"done\n");
        };
        let threads: Vec<_> = (0..50).map(|_| sedge::spawn(sleep)).collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(2), "{taken:?}");
    });
}

#[test]
fn a_wait_for_a_status_lets_others_run() {
    run(|| {
        let parked = parks(&["waitpid", "waitid"], || {
            let script = ["-c", "sleep 0.1; exit 7"];
            let waits = sedge::spawn(move || Command::new("sh").args(script).status());
            sedge::sleep(Duration::from_millis(1));
            assert!(!waits.is_finished());
            assert_eq!(waits.join().unwrap().unwrap().code(), Some(7));
        });
        assert_eq!(parked, 1);
    });
}

#[test]
fn waitid_of_a_child_lets_others_run_and_tells_who_ended() {
    run(|| {
        let mut child = Command::new("sleep").arg("0.05").spawn().unwrap();
        let id = child.id();
        let waits = sedge::spawn(move || {
            // SAFETY: zeros are valid, and it is filled by the call.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            // SAFETY: the place for the answer is valid.
            let result = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, libc::WEXITED) };
            // SAFETY: it was filled for the end of a child.
            (result, unsafe { info.si_pid() })
        });
        sedge::yield_now();
        assert!(!waits.is_finished());
        assert_eq!(waits.join().unwrap(), (0, id.cast_signed()));
        assert!(child.wait().is_err(), "it was waited for");
    });
}

#[test]
fn a_wait_for_nobody_fails_at_once() {
    run(|| {
        // SAFETY: null is for no status.
        let result = unsafe { libc::waitpid(1, std::ptr::null_mut(), 0) };
        assert_eq!(result, -1);
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
    });
}
