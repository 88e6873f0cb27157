//! What stands around a launcher: systemd, an operator, a container.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{LIMIT, Launched, children, eventually, is_alive, signal};
use crate::program::{BIND, CONTROL, COUNT, DELAY, HANG, MODE, PID_FILE};

crate::tests![
    systemd_hears_of_ready_reload_and_stop,
    systemd_hands_over_its_sockets,
    the_control_socket_answers,
    the_launcher_s_own_hooks_can_ask_and_stop_it,
    a_given_listener_is_served_through_roll_over_and_upgrade,
    a_pid_file_keeps_a_second_launcher_out,
    a_unix_socket_is_served_and_its_file_removed,
    before_it_drains_a_worker_says_that_it_is_not_ready,
    the_launcher_s_own_stall_counts_against_nobody,
    as_process_1_it_reaps_strangers_and_stops_on_term,
];

/// A name of one's own in the folder for such.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let id = std::process::id();
        Place(std::env::temp_dir().join(format!("sedge-{name}-{id}")))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn systemd_hears_of_ready_reload_and_stop() {
    let place = Place::new("notify");
    let systemd = UnixDatagram::bind(&place.0).unwrap();
    systemd.set_read_timeout(Some(LIMIT)).unwrap();
    let hears = |word: &str| {
        let mut bytes = [0; 4096];
        loop {
            let count = systemd.recv(&mut bytes).unwrap();
            let text = std::str::from_utf8(&bytes[..count]).unwrap();
            if text.lines().any(|line| line.starts_with(word)) {
                return text.to_owned();
            }
        }
    };
    let launched = Launched::start(
        "serve",
        &[
            ("NOTIFY_SOCKET", place.path()),
            ("WATCHDOG_USEC", "200000"),
            (COUNT, "2"),
        ],
    );
    assert!(hears("READY=1").contains("STATUS=2 workers serve"));
    hears("WATCHDOG=1");
    launched.signal("-HUP");
    assert!(hears("RELOADING=1").contains("MONOTONIC_USEC="));
    hears("READY=1");
    launched.signal("-TERM");
    hears("STOPPING=1");
    assert_eq!(launched.end().0, Some(0));
}

fn systemd_hands_over_its_sockets() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // As systemd does: it is descriptor 3, and the environment names the process.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\"";
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap());
    command.env(MODE, "activated").env(COUNT, "2");
    let stdin = Stdio::from(OwnedFd::from(listener));
    let launched = Launched::start_command_with(command, stdin);
    assert_eq!(launched.addr(), addr);
    launched.connect().who();
    launched.signal("-HUP");
    launched.says("all workers are replaced");
    launched.connect().who();
    launched.signal("-USR2");
    launched.says("this is the new program now");
    launched.connect().who();
}

fn ask(place: &Place, command: &str) -> (String, String) {
    let mut stream = UnixStream::connect(&place.0).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    writeln!(stream, "{command}").unwrap();
    let mut stream = BufReader::new(stream);
    let (mut verdict, mut text) = (String::new(), String::new());
    stream.read_line(&mut verdict).unwrap();
    stream.read_to_string(&mut text).unwrap();
    (verdict.trim_end().to_owned(), text)
}

fn the_control_socket_answers() {
    let place = Place::new("control");
    let launched = Launched::serving(&[(COUNT, "2"), (CONTROL, place.path())]);
    let (id, pid) = launched.connect().who();
    let (verdict, table) = ask(&place, "status");
    assert_eq!(verdict, "ok");
    let head = format!("launcher {}, ", launched.pid());
    assert!(table.starts_with(&head), "{table}");
    assert!(table.contains(&format!(" {id}  {pid}  ready ")), "{table}");
    let (_, metrics) = ask(&place, "metrics");
    assert!(metrics.contains("sedge_worker_requests_total"), "{metrics}");
    assert_eq!(ask(&place, "kill 9").0, "error: there is no worker 9");
    assert_eq!(ask(&place, &format!("kill {id}")).0, "ok");
    eventually("it is dead", || !is_alive(pid));
    eventually("another", || launched.workers().len() == 2);
    assert_eq!(ask(&place, "add").1, "worker 2 is started\n");
    eventually("three", || launched.workers().len() == 3);
    let before = launched.workers();
    assert_eq!(ask(&place, "reload").1, "all workers are replaced\n");
    assert!(!launched.workers().iter().any(|pid| before.contains(pid)));
    assert_eq!(ask(&place, "remove").1, "worker 2 drains\n");
    assert_eq!(ask(&place, "stop").0, "ok");
    assert_eq!(launched.end().0, Some(0));
    assert!(!place.0.exists());
}

fn the_launcher_s_own_hooks_can_ask_and_stop_it() {
    let (code, output) = Launched::start("control", &[(COUNT, "2")]).end();
    assert_eq!(code, Some(0), "{output}");
    for words in [", 2 workers", "ID", "stopping"] {
        assert!(output.contains(words), "no {words:?} in {output}");
    }
    let ready = output.lines().filter(|line| line.contains("  ready  "));
    assert_eq!(ready.count(), 2, "{output}");
}

/// The listener that this process was given under that number.
pub(crate) fn given(fd: RawFd) -> TcpListener {
    // SAFETY: who starts the program with such a number has put a listener there, and nobody else
    // takes it.
    #[expect(unsafe_code, reason = "a descriptor that comes from outside")]
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    TcpListener::from(fd)
}

fn a_given_listener_is_served_through_roll_over_and_upgrade() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" 7<&0 0</dev/null"])
        .arg(std::env::current_exe().unwrap())
        .env(crate::program::MODE, "serve")
        .env(crate::program::GIVEN, "7")
        .env("WORKERS", "2");
    let launched = Launched::start_command_with(command, Stdio::from(OwnedFd::from(listener)));
    assert_eq!(launched.addr(), addr);
    let mut pids = launched.workers();
    for (signal, end) in [("-HUP", 1), ("-USR2", 2), ("-HUP", 3)] {
        let mut waiting = launched.connect();
        waiting.who();
        launched.signal(signal);
        eventually("all workers are replaced", || {
            let said = launched.output();
            said.matches("all workers are replaced").count() == end
        });
        let (_, pid) = launched.connect().who();
        assert!(!pids.contains(&pid));
        pids = launched.workers();
        assert_eq!(pids.len(), 2);
    }
    launched.signal("-TERM");
    let (code, output) = launched.end();
    assert_eq!(code, Some(0), "{output}");
    assert!(!output.contains("failed"), "{output}");
}

fn a_pid_file_keeps_a_second_launcher_out() {
    let place = Place::new("pid");
    let launched = Launched::serving(&[(COUNT, "1"), (PID_FILE, place.path())]);
    let said = fs::read_to_string(&place.0).unwrap();
    assert_eq!(said, format!("{}\n", launched.pid()));
    let (code, output) = Launched::start("serve", &[(PID_FILE, place.path())]).end();
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("another launcher has it"), "{output}");
    assert!(place.0.exists());
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
    assert!(!place.0.exists());
}

fn a_unix_socket_is_served_and_its_file_removed() {
    let place = Place::new("unix");
    let bind = format!("127.0.0.1:0 {}", place.path());
    let launched = Launched::serving(&[(COUNT, "2"), (BIND, &bind)]);
    for _ in 0..8 {
        let mut stream = UnixStream::connect(&place.0).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(b"who\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
    }
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
    assert!(!place.0.exists());
}

fn before_it_drains_a_worker_says_that_it_is_not_ready() {
    let launched = Launched::serving(&[(COUNT, "1"), (DELAY, "500")]);
    assert_eq!(launched.connect().ask("ready").unwrap(), "true");
    let begin = Instant::now();
    launched.signal("-TERM");
    launched.says("stopping");
    thread::sleep(Duration::from_millis(50));
    assert_eq!(launched.connect().ask("ready").unwrap(), "false");
    assert_eq!(launched.end().0, Some(0));
    assert!(begin.elapsed() >= Duration::from_millis(500));
}

fn the_launcher_s_own_stall_counts_against_nobody() {
    let launched = Launched::serving(&[(COUNT, "2"), (HANG, "700")]);
    let before = launched.workers();
    launched.signal("-STOP");
    thread::sleep(Duration::from_millis(1500));
    launched.signal("-CONT");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(launched.workers(), before, "{}", launched.output());
}

fn as_process_1_it_reaps_strangers_and_stops_on_term() {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(std::env::current_exe().unwrap());
    command.env(MODE, "serve").env(COUNT, "1");
    let launched = Launched::start_command(command);
    eventually("it serves, or may not", || {
        let said = launched.output();
        said.contains("listening on") || said.contains("unshare:")
    });
    if launched.output().contains("unshare:") {
        println!("not allowed to make a namespace: {}", launched.output());
        return;
    }
    let first = launched.workers()[0];
    // Its parent ends at once, and it does soon after.
    assert_eq!(launched.connect().ask("orphan").unwrap(), "left");
    let strangers = || children(first).len() - 1;
    eventually("the orphan is there", || strangers() == 1);
    eventually("it is reaped", || strangers() == 0);
    signal(first, "-TERM");
    assert_eq!(launched.end().0, Some(0));
}
