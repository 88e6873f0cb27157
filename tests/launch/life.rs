//! Workers die, hang, are stopped and replaced, and the launcher sees to it.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Client, Launched, eventually, is_alive, signal, within};
use crate::program::{COUNT, DRAIN, HANG, RECYCLE};

crate::tests![
    a_killed_worker_is_replaced_within_300_ms,
    a_killed_launcher_leaves_nobody,
    term_lets_requests_finish,
    term_cancels_what_takes_too_long_and_unwinds_it,
    ctrl_c_three_times_kills,
    term_to_a_worker_drains_it_and_another_comes,
    a_worker_that_drains_by_itself_is_replaced_before_it_has_ended,
    workers_that_end_at_once_come_with_longer_and_longer_pauses,
    a_roll_over_replaces_each_worker,
    a_worker_more_and_a_worker_fewer,
    a_removed_worker_s_queue_is_served_by_the_others,
    a_stopped_worker_s_queue_is_served_by_the_others,
    a_hog_is_named_and_killed,
    a_worker_is_recycled_after_so_many_requests,
    an_upgrade_keeps_the_process_and_its_sockets,
    an_upgrade_follows_a_symbolic_link,
    an_upgrade_to_what_does_not_start_changes_nothing,
    an_upgrade_passes_workers_on_that_are_ending,
    lines_of_workers_have_their_names,
    in_this_process_term_drains,
];

fn a_killed_worker_is_replaced_within_300_ms() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let killed = launched.workers()[0];
    signal(killed, "-KILL");
    within(Duration::from_millis(300), "another worker", || {
        let workers = launched.workers();
        workers.len() == 2 && !workers.contains(&killed)
    });
    launched.says("ended (SIGKILL)");
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
}

fn a_killed_launcher_leaves_nobody() {
    let launched = Launched::serving(&[(COUNT, "3")]);
    let workers = launched.workers();
    assert_eq!(workers.len(), 3);
    launched.signal("-KILL");
    within(Duration::from_secs(2), "no worker", || {
        !workers.iter().any(|&pid| is_alive(pid))
    });
}

fn term_lets_requests_finish() {
    for name in ["-TERM", "-QUIT", "-INT"] {
        let launched = Launched::serving(&[(COUNT, "2")]);
        let mut clients: Vec<_> = (0..8).map(|_| launched.connect()).collect();
        for client in &mut clients {
            client.who();
            client.send("sleep 500").unwrap();
        }
        thread::sleep(Duration::from_millis(100));
        launched.signal(name);
        for client in &mut clients {
            assert_eq!(client.receive().unwrap(), "slept");
        }
        assert_eq!(launched.end().0, Some(0));
    }
}

fn term_cancels_what_takes_too_long_and_unwinds_it() {
    let launched = Launched::serving(&[(COUNT, "1"), (DRAIN, "300")]);
    let mut client = launched.connect();
    client.send("sleep 60000").unwrap();
    thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    launched.signal("-TERM");
    let (code, output) = launched.end();
    assert_eq!(code, Some(0));
    assert!(output.contains("unwound"), "{output}");
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
}

fn ctrl_c_three_times_kills() {
    let launched = Launched::serving(&[(COUNT, "1")]);
    let mut client = launched.connect();
    client.send("hog").unwrap();
    thread::sleep(Duration::from_millis(200));
    for _ in 0..3 {
        launched.signal("-INT");
        thread::sleep(Duration::from_millis(100));
    }
    let begin = Instant::now();
    assert_eq!(launched.end().0, Some(1));
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
}

fn term_to_a_worker_drains_it_and_another_comes() {
    let launched = Launched::serving(&[(COUNT, "1")]);
    let mut client = launched.connect();
    let (_, pid) = client.who();
    for ignored in ["-INT", "-HUP", "-QUIT", "-USR1", "-USR2"] {
        signal(pid, ignored);
    }
    client.send("sleep 300").unwrap();
    thread::sleep(Duration::from_millis(100));
    signal(pid, "-TERM");
    assert_eq!(client.receive().unwrap(), "slept");
    let mut next = launched.connect();
    assert_ne!(next.who().1, pid);
}

fn a_worker_that_drains_by_itself_is_replaced_before_it_has_ended() {
    let launched = Launched::serving(&[(COUNT, "1")]);
    let mut client = launched.connect();
    let (_, pid) = client.who();
    client.send("sleep 3000").unwrap();
    thread::sleep(Duration::from_millis(50));
    signal(pid, "-TERM");
    within(Duration::from_millis(1500), "another serves", || {
        launched.connect().who().1 != pid
    });
    assert!(is_alive(pid));
    assert_eq!(client.receive().unwrap(), "slept");
}

fn workers_that_end_at_once_come_with_longer_and_longer_pauses() {
    let launched = Launched::start("brief", &[(COUNT, "1")]);
    launched.says("the next in 0.8 s");
    let said = launched.output();
    assert_eq!(said.matches("ended (exit code 0)").count(), 4, "{said}");
}

fn a_roll_over_replaces_each_worker() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let before = launched.workers();
    let mut idle = launched.connect();
    idle.who();
    launched.signal("-HUP");
    launched.says("all workers are replaced");
    let after = launched.workers();
    assert_eq!(after.len(), 2);
    assert!(
        !after.iter().any(|pid| before.contains(pid)),
        "{before:?} {after:?}"
    );
    assert_eq!(idle.receive().unwrap(), "");
}

fn a_worker_more_and_a_worker_fewer() {
    let launched = Launched::serving(&[(COUNT, "1")]);
    launched.signal("-TTIN");
    eventually("two workers", || launched.workers().len() == 2);
    launched.signal("-TTOU");
    eventually("one worker", || launched.workers().len() == 1);
    launched.signal("-TTOU");
    launched.says("the last worker stays");
    launched.connect().who();
}

fn a_removed_worker_s_queue_is_served_by_the_others() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    launched.signal("-TTOU");
    eventually("one worker", || launched.workers().len() == 1);
    // The kernel puts half of them into the queue of the one that is gone.
    for _ in 0..32 {
        assert_eq!(launched.connect().who().0, 0);
    }
    launched.signal("-TTIN");
    eventually("two workers", || launched.workers().len() == 2);
    eventually("it is served", || launched.connect().who().0 == 1);
}

fn a_stopped_worker_s_queue_is_served_by_the_others() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let mut client = launched.connect();
    let (stopped, pid) = client.who();
    signal(pid, "-STOP");
    thread::sleep(Duration::from_millis(1000));
    for _ in 0..32 {
        assert_ne!(launched.connect().who().0, stopped);
    }
    signal(pid, "-CONT");
    assert_eq!(client.who(), (stopped, pid));
    eventually("it takes part again", || {
        launched.connect().who().0 == stopped
    });
}

fn a_hog_is_named_and_killed() {
    let launched = Launched::serving(&[(COUNT, "2"), (HANG, "700")]);
    let mut client = launched.connect();
    let (_, pid) = client.who();
    client.send("hog").unwrap();
    launched.says("hogs it");
    eventually("it is gone", || !is_alive(pid));
    launched.says("ended (SIGABRT)");
    eventually("another", || launched.workers().len() == 2);
}

fn a_worker_is_recycled_after_so_many_requests() {
    let launched = Launched::serving(&[(COUNT, "1"), (RECYCLE, "100")]);
    let mut client = launched.connect();
    let (_, pid) = client.who();
    let mut answered = 1;
    while client.ask("who").is_ok_and(|line| !line.is_empty()) {
        answered += 1;
    }
    assert!(answered >= 90, "{answered}");
    launched.says("is replaced: it has answered");
    eventually("the old one is gone", || !is_alive(pid));
    assert_ne!(launched.connect().who().1, pid);
}

/// A copy of the program that can be replaced.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Copy {
        let path = std::env::temp_dir().join(format!("sedge-{name}-{}", std::process::id()));
        let copy = Copy(path);
        copy.replace(&std::env::current_exe().unwrap());
        copy
    }

    /// As an installation does it: a new file under the old name.
    fn replace(&self, by: &std::path::Path) {
        let next = self.0.with_extension("next");
        fs::copy(by, &next).unwrap();
        fs::rename(next, &self.0).unwrap();
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn exes(addr: std::net::SocketAddr) -> Vec<String> {
    let ask = |_| Client::connect(addr).unwrap().ask("exe").unwrap();
    let mut exes: Vec<_> = (0..16).map(ask).collect();
    exes.sort();
    exes.dedup();
    exes
}

fn an_upgrade_keeps_the_process_and_its_sockets() {
    let copy = Copy::new("upgraded");
    let launched = Launched::start_file(&copy.0, "serve", &[(COUNT, "2")]);
    let addr = launched.addr();
    for round in 1..=3 {
        let before = exes(addr);
        let workers = launched.workers();
        copy.replace(&std::env::current_exe().unwrap());
        launched.signal("-USR2");
        eventually("all workers are new", || {
            let said = launched.output();
            said.matches("all workers are replaced").count() == round
                && !launched.workers().iter().any(|pid| workers.contains(pid))
        });
        let after = exes(addr);
        assert_eq!(after.len(), 1);
        assert_ne!(after, before);
    }
    // The new program is a launcher like any other.
    let pid = launched.workers()[0];
    signal(pid, "-KILL");
    launched.says("ended (SIGKILL)");
    eventually("another", || launched.workers().len() == 2);
    launched.signal("-TERM");
    let (code, output) = launched.end();
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(output.matches("listening on").count(), 1, "{output}");
}

fn an_upgrade_follows_a_symbolic_link() {
    let (old, new) = (Copy::new("old"), Copy::new("new"));
    let link = Copy(old.0.with_extension("current"));
    std::os::unix::fs::symlink(&old.0, &link.0).unwrap();
    let launched = Launched::start_file(&link.0, "serve", &[(COUNT, "1")]);
    let before = exes(launched.addr());
    fs::remove_file(&link.0).unwrap();
    std::os::unix::fs::symlink(&new.0, &link.0).unwrap();
    launched.signal("-USR2");
    launched.says("this is the new program now");
    assert_ne!(exes(launched.addr()), before);
}

fn an_upgrade_to_what_does_not_start_changes_nothing() {
    let copy = Copy::new("broken");
    let launched = Launched::start_file(&copy.0, "serve", &[(COUNT, "2")]);
    let addr = launched.addr();
    let before = (exes(addr), launched.workers());
    copy.replace(std::path::Path::new("/bin/false"));
    launched.signal("-USR2");
    launched.says("the roll-over has ended");
    assert_eq!((exes(addr), launched.workers()), before);
    // Another worker of the old program can still be started, though its file is gone.
    signal(before.1[0], "-KILL");
    eventually("another", || {
        launched.workers().len() == 2 && !launched.workers().contains(&before.1[0])
    });
    assert_eq!(exes(addr), before.0);
}

fn an_upgrade_passes_workers_on_that_are_ending() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let addr = launched.addr();
    // A worker whose slot is removed, and that has a request still.
    let mut busy = Client::connect(addr).unwrap();
    while busy.who().0 != 1 {
        busy = Client::connect(addr).unwrap();
    }
    busy.send("sleep 1500").unwrap();
    thread::sleep(Duration::from_millis(50));
    launched.signal("-TTOU");
    launched.says("removing worker 1");
    launched.signal("-USR2");
    launched.says("this is the new program now");
    assert_eq!(busy.receive().unwrap(), "slept");
    for _ in 0..32 {
        assert_eq!(Client::connect(addr).unwrap().who().0, 0);
    }
    eventually("one worker is left", || launched.workers().len() == 1);
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
}

fn lines_of_workers_have_their_names() {
    let launched = Launched::serving(&[(COUNT, "1")]);
    let mut client = launched.connect();
    let (id, pid) = client.who();
    client.ask("print hello").unwrap();
    launched.says(&format!("[w{id} {pid}] hello\n"));
}

fn in_this_process_term_drains() {
    let launched = Launched::start("here", &[]);
    let mut client = launched.connect();
    assert_eq!(client.who(), (0, launched.pid()));
    client.send("sleep 300").unwrap();
    thread::sleep(Duration::from_millis(100));
    launched.signal("-TERM");
    assert_eq!(client.receive().unwrap(), "slept");
    assert_eq!(launched.end().0, Some(0));
}
