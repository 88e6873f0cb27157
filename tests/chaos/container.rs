//! The launcher as the first process of a container.

use std::process::Command;
use std::time::Duration;

use crate::load::Load;
use crate::proc::{children, is_zombie, try_signal};
use crate::runner::{eventually, pause, pick, say};
use crate::server::{Server, http};

crate::tests![as_process_1_it_reaps_strangers_and_stops_on_term];

/// `unshare` into a namespace of processes, if this user may.
fn unshare() -> Option<Command> {
    let mut command = Command::new("unshare");
    if !rustix::process::getuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    let mut trial = Command::new("unshare");
    trial.args(command.get_args()).arg("true");
    match trial.output() {
        Ok(output) if output.status.success() => Some(command),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            say(format_args!("skipped: {}", why.trim()));
            None
        }
        Err(error) => {
            say(format_args!("skipped: unshare: {error}"));
            None
        }
    }
}

fn as_process_1_it_reaps_strangers_and_stops_on_term() {
    let Some(mut command) = unshare() else { return };
    // Some it has from before it was the launcher, some become its own when their parents end.
    let script = "sleep 0.1 & sleep 1 & (sleep 0.5 & sleep 1.5 &) ; sleep 0.3; exec \"$0\" \"$@\"";
    command.args(["sh", "-c", script]).arg(http());
    command.args(["--addr", "127.0.0.1:0", "--workers", "2"]);
    let server = Server::start(command);
    let load = Load::begin(server.addr(), 8, Duration::from_millis(4));
    let first = children(server.pid())[0];
    assert!(children(first).len() >= 2);
    eventually("no stranger is left", || children(first).len() == 2);
    // Strangers in numbers.
    for _ in 0..pick(3, 20) {
        let strangers = "for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.0$i &) ; done";
        let mut enter = Command::new("nsenter");
        if !rustix::process::getuid().is_root() {
            enter.args(["--user", "--preserve-credentials"]);
        }
        enter.args(["--target", &first.to_string(), "--pid", "--mount"]);
        assert!(
            enter
                .args(["sh", "-c", strangers])
                .status()
                .unwrap()
                .success()
        );
        let workers = children(first);
        assert!(try_signal(workers[0], "-KILL"));
        pause(300);
    }
    eventually("two workers", || children(first).len() == 2);
    assert!(!children(first).into_iter().any(is_zombie));
    load.may_be_refused();
    assert!(try_signal(first, "-TERM"));
    let (code, output) = server.end();
    assert_eq!(code, Some(0), "{output}");
    say(format_args!("{}", load.end()));
}
