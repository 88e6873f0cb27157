//! Workers and launchers are stopped, which is how a machine under pressure looks from inside.

use std::time::Duration;

use crate::load::Load;
use crate::proc::{accepted, signal};
use crate::runner::{eventually, pause, pick, say, within};
use crate::server::Server;

crate::tests![
    a_stopped_worker_costs_less_than_half_the_throughput,
    a_launcher_that_was_stopped_takes_no_worker_for_hung,
];

fn a_stopped_worker_costs_less_than_half_the_throughput() {
    let server = Server::http(2);
    let addr = server.addr();
    // They rest for long beside what an answer takes, so that few are at the worker when it stops,
    // where they will wait for it.
    let load = Load::begin(addr, 40, Duration::from_millis(20));
    pause(500);
    let whole = load.rate(Duration::from_secs(1));
    let stopped = server.workers()[0];
    signal(stopped, "-STOP");
    let waiting = accepted(stopped, addr.port()).len();
    pause(pick(2500, 1500));
    let rest = load.rate(Duration::from_secs(2));
    signal(stopped, "-CONT");
    eventually("it takes part again", || {
        let before = accepted(stopped, addr.port());
        pause(50);
        let after = accepted(stopped, addr.port());
        after.difference(&before).count() > 0
    });
    pause(500);
    let again = load.rate(Duration::from_secs(1));
    let report = load.end();
    say(format_args!(
        "{whole:.0} answers/s; one stopped, with {waiting} connections: {rest:.0}; then {again:.0}"
    ));
    say(format_args!("{report}"));
    assert!(rest > whole / 2.0, "{rest:.0} of {whole:.0} answers/s");
    report.assert_no_failure();
    server.terminate();
}

fn a_launcher_that_was_stopped_takes_no_worker_for_hung() {
    let server = Server::http(2);
    let load = Load::begin(server.addr(), 8, Duration::from_millis(4));
    let workers = server.workers();
    // The default after which a worker hangs is 30 s.
    let span = pick(2, 40);
    server.signal("-STOP");
    pause(span * 1000);
    server.signal("-CONT");
    pause(1500);
    assert_eq!(server.workers(), workers, "{}", server.output());
    // All together: the load goes on, so does the launcher.
    signal(workers[0], "-STOP");
    server.signal("-STOP");
    pause(pick(500, 3000));
    server.signal("-CONT");
    signal(workers[0], "-CONT");
    within(Duration::from_secs(5), "a roll-over", || {
        server.replace("-HUP");
        true
    });
    let report = load.end();
    say(format_args!("the launcher stopped for {span} s: {report}"));
    report.assert_no_failure();
    assert_eq!(server.said("hang"), 0, "{}", server.output());
    server.terminate();
}
