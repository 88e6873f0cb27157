//! Attacks that nobody has asked for: signals in the worst order and at the worst time.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::proc::{children, is_alive, is_zombie, try_signal};
use crate::program;
use crate::replace::Installed;
use crate::runner::{Chance, eventually, pause, pick, say};
use crate::server::{Server, http};

crate::tests![
    kills_during_roll_overs_end_with_all_workers_there,
    kills_during_upgrades_end_with_all_workers_there,
    signals_by_chance_fail_no_request,
    a_storm_of_hup_fails_no_request,
    a_storm_of_ttin_and_ttou_fails_no_request,
    many_usr2_at_once_fail_no_request,
    term_during_an_upgrade_ends_it,
    a_removed_worker_s_queue_is_served_after_an_upgrade,
    a_worker_started_again_is_no_test_of_the_new_program,
    children_of_workers_hold_nobody_up,
    a_full_pipe_holds_up_no_signal,
    a_closed_output_ends_nobody,
    starting_a_worker_copies_no_page_tables,
    a_launcher_of_a_gibibyte_replaces_a_worker_at_once,
    a_closed_terminal_ends_the_launcher,
];

const REST: Duration = Duration::from_millis(4);

/// All is well again: so many workers, no zombie, and a roll-over works.
#[track_caller]
fn assert_sound(server: &Server, workers: usize) {
    eventually("all workers", || {
        server.workers().len() == workers && !server.workers().into_iter().any(is_zombie)
    });
    server.replace("-HUP");
    // One of before may still have had another roll-over to do.
    eventually("all workers", || server.workers().len() == workers);
}

fn kills_during_roll_overs_end_with_all_workers_there() {
    let server = Server::http(2);
    let load = Load::begin(server.addr(), 8, REST);
    let mut chance = Chance::new(7);
    for _ in 0..pick(10, 60) {
        server.signal("-HUP");
        for _ in 0..3 {
            pause(chance.below(120) as u64);
            let workers = server.workers();
            if let Some(&victim) = workers.get(chance.below(workers.len().max(1))) {
                try_signal(victim, "-KILL");
            }
        }
    }
    pause(1000);
    assert_sound(&server, 2);
    let report = load.end();
    say(format_args!("{report}"));
    let refused = report
        .failures
        .iter()
        .find(|failure| failure.port.is_none());
    assert!(refused.is_none(), "{refused:?}");
    server.terminate();
}

fn kills_during_upgrades_end_with_all_workers_there() {
    let server = Server::http(3);
    let load = Load::begin(server.addr(), 8, REST);
    let mut chance = Chance::new(11);
    let upgrades = pick(10, 60);
    for _ in 0..upgrades {
        server.signal("-USR2");
        for _ in 0..4 {
            pause(chance.below(150) as u64);
            let workers = server.workers();
            if let Some(&victim) = workers.get(chance.below(workers.len().max(1))) {
                try_signal(victim, "-KILL");
            }
        }
    }
    pause(1000);
    assert_sound(&server, 3);
    let report = load.end();
    let executed = server.said("this is the new program now");
    say(format_args!("{executed} upgrades of {upgrades}: {report}"));
    let refused = report
        .failures
        .iter()
        .find(|failure| failure.port.is_none());
    assert!(refused.is_none(), "{refused:?}");
    server.terminate();
}

fn signals_by_chance_fail_no_request() {
    let server = Server::http(2);
    let load = Load::begin(server.addr(), 8, REST);
    let seed = std::process::id();
    let mut chance = Chance::new(seed.into());
    let end = Instant::now() + Duration::from_secs(pick(8, 60));
    let mut sent = Vec::new();
    while Instant::now() < end {
        let all = [
            "-HUP", "-USR2", "-TTIN", "-TTOU", "-USR1", "-WINCH", "-CHLD",
        ];
        let name = all[chance.below(all.len())];
        sent.push(name);
        assert!(try_signal(server.pid(), name), "after {sent:?}");
        pause(chance.below(60) as u64);
    }
    let report = load.end();
    say(format_args!(
        "{} signals, seed {seed}: {report}",
        sent.len()
    ));
    report.assert_no_failure();
    eventually("it is through", || {
        let through = server.said("all workers are replaced") + server.said("has ended: the");
        pause(1500);
        through == server.said("all workers are replaced") + server.said("has ended: the")
    });
    server.terminate();
}

fn a_storm_of_hup_fails_no_request() {
    let server = Server::http(2);
    let load = Load::begin(server.addr(), 8, REST);
    for _ in 0..pick(200, 2000) {
        server.signal("-HUP");
    }
    pause(500);
    assert_sound(&server, 2);
    let report = load.end();
    say(format_args!("{report}"));
    report.assert_no_failure();
    server.terminate();
}

fn a_storm_of_ttin_and_ttou_fails_no_request() {
    let server = Server::http(2);
    let load = Load::begin(server.addr(), 8, REST);
    let mut chance = Chance::new(3);
    for _ in 0..pick(100, 1000) {
        server.signal(["-TTIN", "-TTOU"][chance.below(2)]);
        pause(chance.below(20) as u64);
    }
    for _ in 0..20 {
        server.signal("-TTOU");
        pause(5);
    }
    eventually("the last stays", || server.workers().len() == 1);
    server.signal("-TTIN");
    pause(300);
    assert_sound(&server, 2);
    let report = load.end();
    say(format_args!("{report}"));
    report.assert_no_failure();
    server.terminate();
}

fn many_usr2_at_once_fail_no_request() {
    let server = Server::http(2);
    let load = Load::begin(server.addr(), 8, REST);
    let end = Instant::now() + Duration::from_secs(pick(5, 30));
    // One after the other, also in the moment when the new program takes the place of the old.
    while Instant::now() < end {
        try_signal(server.pid(), "-USR2");
        assert!(is_alive(server.pid()), "{}", server.output());
    }
    pause(2000);
    assert_sound(&server, 2);
    let report = load.end();
    let executed = server.said("this is the new program now");
    say(format_args!("{executed} upgrades: {report}"));
    report.assert_no_failure();
    server.terminate();
}

fn term_during_an_upgrade_ends_it() {
    for round in 0..pick(12, 100) {
        let server = Server::http(2);
        server.signal("-USR2");
        // The new program is there after some 30 to 300 ms.
        pause(round * 37 % 300);
        server.terminate();
    }
}

fn a_removed_worker_s_queue_is_served_after_an_upgrade() {
    let server = Server::http(2);
    server.signal("-TTOU");
    eventually("one worker", || server.workers().len() == 1);
    server.replace("-USR2");
    assert_eq!(server.workers().len(), 1);
    // The kernel puts half of them into the queue of the one that is gone.
    let load = Load::begin(server.addr(), 8, REST);
    pause(500);
    let report = load.end();
    say(format_args!("{report}"));
    report.assert_no_failure();
    assert!(report.slowest < Duration::from_secs(2), "{report}");
    server.terminate();
}

fn a_worker_started_again_is_no_test_of_the_new_program() {
    let installed = Installed::new("untested");
    let server = Server::http_file(&installed.0, 1);
    installed.replace(std::path::Path::new("/bin/false"));
    // At each moment in the life of the worker that is started again.
    for after in (80..160).step_by(4) {
        let workers = server.workers();
        if let Some(&worker) = workers.first() {
            try_signal(worker, "-KILL");
        }
        pause(after);
        server.signal("-USR2");
        pause(300);
        assert!(is_alive(server.pid()), "{}", server.output());
        assert_eq!(server.said("new program now"), 0);
    }
    installed.replace(http());
    pause(3000);
    assert_sound(&server, 1);
    server.terminate();
}

fn children_of_workers_hold_nobody_up() {
    let server = Server::start(program::command("parent", 2));
    server.addr();
    server.replace("-HUP");
    server.replace("-USR2");
    let worker = server.workers()[0];
    try_signal(worker, "-KILL");
    server.replace("-HUP");
    let begin = Instant::now();
    server.signal("-TERM");
    let (code, output) = server.end();
    assert_eq!(code, Some(0), "{output}");
    // The readers of this test wait for the last of them.
    say(format_args!("ended after {:.1?}", begin.elapsed()));
}

/// Nobody reads what the launcher and the workers print. What is not written then, is waited for at
/// the end of a process, as std does; so a worker ends by force.
fn a_full_pipe_holds_up_no_signal() {
    let mut command = Command::new("sh");
    // One line is read, so that all begins.
    let script = "\"$0\" \"$@\" 2>&1 | { read line; echo \"$line\"; exec sleep 60; }";
    let chatty = program::command("chatty", 1);
    command.args(["-c", script]).arg(chatty.get_program());
    command.args(chatty.get_args());
    for (name, value) in chatty.get_envs() {
        command.env(name, value.unwrap());
    }
    let server = Server::start(command);
    let find = |words: &str| {
        let is_it = |pid: &u32| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with(words) && !line.contains(": w")
        };
        server.everybody().into_iter().find(is_it)
    };
    let program = chatty.get_program().to_str().unwrap();
    let worker = |launcher: u32| children(launcher).first().copied();
    eventually("a worker", || find(program).and_then(worker).is_some());
    let launcher = find(program).unwrap();
    pause(1000);
    for name in ["-HUP", "-USR2"] {
        let before = children(launcher);
        try_signal(launcher, name);
        eventually(&format!("they are replaced after {name}"), || {
            let after = children(launcher);
            after.len() == 1 && after != before
        });
    }
    try_signal(launcher, "-TERM");
    eventually("the worker has ended", || worker(launcher).is_none());
    try_signal(find("sleep").unwrap(), "-KILL");
    eventually("the launcher has ended", || !is_alive(launcher));
}

fn a_closed_output_ends_nobody() {
    let mut command = Command::new("sh");
    let script = "\"$0\" \"$@\" 2>&1 | { read line; echo \"$line\"; }; echo over";
    command.args(["-c", script]).arg(http());
    command.args(["--addr", "127.0.0.1:0", "--workers", "2"]);
    let server = Server::start(command);
    let load = Load::begin(server.addr(), 4, REST);
    pause(300);
    let launcher = children(server.pid());
    let launcher = launcher[0];
    for name in ["-HUP", "-USR1", "-USR2"] {
        try_signal(launcher, name);
        pause(1000);
        assert!(is_alive(launcher), "after {name}");
    }
    load.end().assert_no_failure();
    try_signal(launcher, "-TERM");
    server.says("over");
}

/// How a worker is started decides what that costs, however large the launcher is.
fn starting_a_worker_copies_no_page_tables() {
    let Ok(output) = Command::new("strace").arg("-V").output() else {
        say("skipped: there is no strace");
        return;
    };
    assert!(output.status.success());
    let mut command = Command::new("strace");
    command.args(["-e", "trace=clone,clone3,fork,vfork", "-e", "signal=none"]);
    let program = program::command("large", 1);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap());
    }
    let server = Server::start(command);
    server.addr();
    let output = server.output();
    let mut starts = output
        .lines()
        .filter(|line| line.contains("clone") || line.contains("fork("));
    let start = starts.next().expect("a start");
    say(start);
    let shares = start.contains("CLONE_VM") && start.contains("CLONE_VFORK");
    assert!(shares || start.contains("vfork("), "{start}");
    assert!(starts.next().is_none(), "{output}");
}

fn a_launcher_of_a_gibibyte_replaces_a_worker_at_once() {
    let server = Server::start(program::command("large", 1));
    server.addr();
    let taken = (0..pick(10, 100)).map(|_| {
        let begin = Instant::now();
        server.replace("-HUP");
        begin.elapsed()
    });
    let mut taken: Vec<_> = taken.collect();
    taken.sort();
    let (best, middle) = (taken[0], taken[taken.len() / 2]);
    // From the signal to the end of the old one, with the start of `kill` and of the worker in it.
    say(format_args!(
        "replaced in {best:.1?} at best, {middle:.1?} in the middle"
    ));
    assert!(best < Duration::from_millis(pick(100, 5)), "{taken:?}");
    server.terminate();
}

/// HUP means another thing to who had a terminal.
fn a_closed_terminal_ends_the_launcher() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new())
        .unwrap()
        .into_string()
        .unwrap();
    let mut command = Command::new("setsid");
    let script = "exec \"$0\" \"$@\" < \"$TERMINAL\"";
    command
        .args(["sh", "-c", script])
        .arg(http())
        .env("TERMINAL", name);
    command.args(["--addr", "127.0.0.1:0", "--workers", "2"]);
    let server = Server::start(command);
    server.addr();
    // While it is open, HUP is what it is without one.
    server.replace("-HUP");
    drop(terminal);
    let (code, output) = server.end();
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("stopping"), "{output}");
}
