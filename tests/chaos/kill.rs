//! Workers and launchers are killed under load.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::proc::{self, is_zombie, kill_and_count};
use crate::runner::{Chance, pause, pick, say, within};
use crate::server::Server;

crate::tests![
    a_kill_every_second_fails_only_what_the_killed_worker_had,
    a_killed_launcher_under_load_leaves_nobody,
];

fn a_kill_every_second_fails_only_what_the_killed_worker_had() {
    let server = Server::http(2);
    let addr = server.addr();
    let load = Load::begin(addr, 12, Duration::from_millis(4));
    let mut chance = Chance::new(std::process::id().into());
    let mut had = HashSet::new();
    let (mut held, mut slowest) = (0, Duration::ZERO);
    let before = proc::descriptors(server.pid());
    let kills = pick(8, 60);
    for _ in 0..kills {
        let next = Instant::now() + Duration::from_secs(1);
        let workers = server.workers();
        assert_eq!(workers.len(), 2, "{}", server.output());
        let victim = workers[chance.below(2)];
        let connections = kill_and_count(victim, addr.port());
        held += connections.len();
        had.extend(connections);
        let limit = Duration::from_millis(pick(2000, 300));
        let taken = within(limit, "another worker", || {
            let now = server.workers();
            now.len() == 2 && !now.contains(&victim)
        });
        slowest = slowest.max(taken);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let report = load.end();
    say(format_args!(
        "{kills} kills, respawn within {slowest:.0?}; {report}"
    ));
    say(format_args!("the killed workers had {held} connections"));
    for failure in &report.failures {
        let is_theirs = failure.port.is_some_and(|port| had.contains(&port));
        assert!(is_theirs, "not on a killed worker: {failure:?}");
    }
    assert!(report.failures.len() + report.crossed <= held, "{report}");
    assert!(!server.everybody().into_iter().any(is_zombie), "a zombie");
    assert!(!server.workers().into_iter().any(is_zombie), "a zombie");
    let after = proc::descriptors(server.pid());
    assert!(after <= before + 8, "{after} descriptors, {before} before");
    server.terminate();
}

fn a_killed_launcher_under_load_leaves_nobody() {
    for _ in 0..pick(2, 10) {
        let server = Server::http(2);
        let load = Load::begin(server.addr(), 8, Duration::from_millis(4));
        pause(200);
        load.may_be_refused();
        server.signal("-KILL");
        let taken = within(Duration::from_secs(2), "nobody", || {
            server.everybody().into_iter().all(is_zombie)
        });
        say(format_args!("nobody is left after {taken:.0?}"));
        load.end();
    }
}
