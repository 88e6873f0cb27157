//! Workers and programs are replaced under load, and no client notices.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::proc;
use crate::runner::{pause, pick, say};
use crate::server::{Server, http};

crate::tests![
    roll_overs_under_load_fail_no_request,
    upgrades_under_load_fail_no_request,
    an_upgrade_to_what_does_not_start_fails_no_request,
    term_under_load_answers_every_request_in_flight,
];

/// Rests between two requests of a client, at most.
const REST: Duration = Duration::from_millis(4);

/// A copy of the example that can be replaced.
pub(crate) struct Installed(pub(crate) PathBuf);

impl Installed {
    pub(crate) fn new(name: &str) -> Installed {
        let file = format!("sedge-chaos-{name}-{}", std::process::id());
        let installed = Installed(std::env::temp_dir().join(file));
        installed.replace(http());
        installed
    }

    /// As an installation does it: a new file under the old name.
    pub(crate) fn replace(&self, by: &Path) {
        let next = self.0.with_extension("next");
        fs::copy(by, &next).unwrap();
        fs::rename(next, &self.0).unwrap();
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn roll_overs_under_load_fail_no_request() {
    let server = Server::http(2);
    let load = Load::begin(server.addr(), 12, REST);
    pause(300);
    let begin = Instant::now();
    let rounds = pick(5, 20);
    for _ in 0..rounds {
        let before = server.workers();
        server.replace("-HUP");
        let after = server.workers();
        assert!(!after.iter().any(|pid| before.contains(pid)), "{after:?}");
        assert_eq!(after.len(), 2);
    }
    let taken = begin.elapsed();
    pause(300);
    let report = load.end();
    say(format_args!("{rounds} roll-overs in {taken:.1?}: {report}"));
    report.assert_no_failure();
    assert!(report.polite + report.crossed > 0, "nobody was replaced");
    server.terminate();
}

fn upgrades_under_load_fail_no_request() {
    let installed = Installed::new("upgrade");
    let server = Server::http_file(&installed.0, 2);
    let mut descriptors = None;
    let load = Load::begin(server.addr(), 12, REST);
    pause(300);
    let rounds = pick(2, 5);
    for round in 1..=rounds {
        let before = server.workers();
        installed.replace(http());
        server.replace("-USR2");
        let after = server.workers();
        assert!(!after.iter().any(|pid| before.contains(pid)), "{after:?}");
        assert_eq!(server.said("this is the new program now"), round);
        descriptors.get_or_insert_with(|| proc::descriptors(server.pid()));
    }
    pause(300);
    let report = load.end();
    say(format_args!("{rounds} upgrades: {report}"));
    report.assert_no_failure();
    // A worker that has just ended may still be known.
    let now = proc::descriptors(server.pid());
    assert!(
        now <= descriptors.unwrap() + 4,
        "{now}, {descriptors:?} at first"
    );
    server.terminate();
}

fn an_upgrade_to_what_does_not_start_fails_no_request() {
    let installed = Installed::new("broken");
    let server = Server::http_file(&installed.0, 2);
    let load = Load::begin(server.addr(), 8, REST);
    pause(300);
    let before = server.workers();
    let broken = installed.0.with_extension("text");
    for program in [Path::new("/bin/false"), &broken] {
        let words = "the roll-over has ended";
        let count = server.said(words);
        fs::write(&broken, "no program").unwrap();
        installed.replace(program);
        server.signal("-USR2");
        crate::runner::eventually(words, || server.said(words) == count + 1);
        assert_eq!(server.workers(), before);
    }
    fs::remove_file(broken).unwrap();
    load.end().assert_no_failure();
    server.terminate();
}

fn term_under_load_answers_every_request_in_flight() {
    let (mut slowest, mut answered, mut refused) = (Duration::ZERO, 0, 0);
    for round in 0..pick(3, 20) {
        let server = Server::http(2);
        let load = Load::begin(server.addr(), 12, REST);
        pause(300 + round * 7);
        load.may_be_refused();
        let begin = Instant::now();
        server.signal("-TERM");
        let (code, output) = server.end();
        slowest = slowest.max(begin.elapsed());
        assert_eq!(code, Some(0), "{output}");
        let report = load.end();
        report.assert_no_failure();
        answered += report.new + report.kept;
        refused += report.refused;
    }
    say(format_args!(
        "ended within {slowest:.1?}: {answered} requests answered; {refused} connections reset \
         that nobody had accepted"
    ));
    // A moment's, of a load of thousands a second.
    assert!(refused <= pick(3, 20), "{refused}");
}
