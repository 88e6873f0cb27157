//! What keeps a launcher from starting: one clear line, and an exit code. And what keeps workers
//! from starting: the launcher tries again, each time later, or gives up.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::program;
use crate::runner::{eventually, pause, say};
use crate::server::{Server, http};

crate::tests![
    a_worker_that_panics_at_start_is_tried_with_growing_pauses_and_given_up,
    a_worker_that_fails_as_soon_as_it_is_ready_is_tried_with_growing_pauses,
    what_the_example_cannot_do_is_one_line_and_its_code,
    out_of_descriptors_is_said_and_1_or_3,
    a_privileged_port_is_one_line_and_1,
    a_launcher_of_64_descriptors_serves,
];

fn a_worker_that_panics_at_start_is_tried_with_growing_pauses_and_given_up() {
    let begin = Instant::now();
    let (code, output) = Server::start(program::command("panic", 1)).end();
    assert_eq!(code, Some(3), "{output}");
    assert_eq!(output.matches("no tea, no service").count(), 5, "{output}");
    assert!(output.contains("giving up"), "{output}");
    // 0.1, 0.2, 0.4 and 0.8 s, up to a fifth more or less.
    let taken = begin.elapsed();
    say(format_args!("given up after {taken:.1?}"));
    assert!(taken >= Duration::from_millis(1200), "{taken:?}");
}

fn a_worker_that_fails_as_soon_as_it_is_ready_is_tried_with_growing_pauses() {
    let server = Server::start(program::command("at once", 2));
    server.says("no tea");
    pause(4000);
    // Of each: at 0, 0.1, 0.3, 0.7, 1.5 and 3.1 s.
    let tries = server.said("no tea");
    say(format_args!("{tries} tries of 2 workers in 4 s"));
    assert!((6..=14).contains(&tries), "{tries}: {}", server.output());
    server.terminate();
}

#[track_caller]
fn assert_refused(command: Command, code: i32, words: &str) {
    let (status, output) = Server::start(command).end();
    assert_eq!(status, Some(code), "{output}");
    assert!(output.contains(words), "{output}");
    assert_eq!(output.lines().count(), 1, "{output}");
    say(output.trim());
}

fn example(addr: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(http());
    command
        .args(["--addr", addr])
        .envs(variables.iter().copied());
    command
}

fn what_the_example_cannot_do_is_one_line_and_its_code() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = other.local_addr().unwrap().to_string();
    let words = format!("cannot listen on {busy}: Address already in use");
    assert_refused(example(&busy, &[]), 1, &words);
    // Of a launcher with the same user, which SO_REUSEPORT would let share.
    let server = Server::http(1);
    let busy = server.addr().to_string();
    let words = format!("cannot listen on {busy}: Address already in use");
    assert_refused(example(&busy, &[]), 1, &words);
    for addr in ["127.0.0.1", "127.0.0.1:99999", "no such host:1", ""] {
        assert_refused(example(addr, &[]), 1, "cannot listen on");
    }
}

/// As another program of the user who runs the tests, or of nobody's if that is root.
fn as_a_user(command: &mut Command) {
    if rustix::process::getuid().is_root() {
        command.uid(65534).gid(65534);
    }
}

fn a_privileged_port_is_one_line_and_1() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim() == "0") {
        say("skipped: no port is privileged here");
        return;
    }
    // Where everybody may execute it.
    let copy = crate::replace::Installed::new("privileged");
    let mut command = Command::new(&copy.0);
    command.args(["--addr", "127.0.0.1:81"]);
    as_a_user(&mut command);
    assert_refused(
        command,
        1,
        "cannot listen on 127.0.0.1:81: Permission denied",
    );
}

/// The example with a limit of descriptors.
fn limited(descriptors: usize, workers: usize) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(http());
    command.args(["--addr", "127.0.0.1:0", "--workers"]);
    command.arg(workers.to_string());
    command
}

fn out_of_descriptors_is_said_and_1_or_3() {
    // From none for the sockets to none for the first worker.
    for descriptors in 4..=16 {
        let (code, output) = Server::start(limited(descriptors, 4)).end();
        let last = output.lines().last().unwrap_or_default();
        say(format_args!("{descriptors} descriptors, {code:?}: {last}"));
        // Of those that it needs for itself one line; of the workers', one for each.
        assert!(matches!(code, Some(1 | 3)), "{code:?} {output}");
        assert!(code == Some(3) || output.lines().count() == 1, "{output}");
        assert!(output.contains("Too many open files"), "{output}");
    }
}

fn a_launcher_of_64_descriptors_serves() {
    let server = Server::start(limited(64, 2));
    let addr = server.addr();
    server.replace("-HUP");
    let load = crate::load::Load::begin(addr, 8, Duration::from_millis(4));
    server.replace("-HUP");
    // More than there are descriptors for: what cannot be, is said, and what is there, stays.
    for _ in 0..30 {
        server.signal("-TTIN");
        pause(10);
    }
    eventually("some are there", || server.workers().len() > 2);
    pause(1500);
    let workers = server.workers().len();
    say(format_args!(
        "64 descriptors are enough for {workers} workers"
    ));
    for _ in 0..30 {
        server.signal("-TTOU");
        pause(10);
    }
    eventually("one is left", || server.workers().len() == 1);
    let report = load.end();
    say(format_args!("{report}"));
    report.assert_no_failure();
    server.terminate();
}
