//! What keeps a launcher from starting: a line, and an exit code.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use crate::harness::{Launched, is_alive};
use crate::program::{BIND, COUNT, HEAP};

crate::tests![
    a_worker_that_panics_at_start_ends_the_launcher_with_3_and_its_message,
    a_worker_that_returns_an_error_at_start_ends_the_launcher_with_3_and_its_message,
    a_worker_that_is_not_ready_in_time_has_failed,
    a_port_in_use_is_one_line_and_1,
    a_port_in_use_by_another_launcher_is_one_line_and_1,
    a_missing_folder_for_a_unix_socket_is_one_line_and_1,
    a_unix_socket_in_use_is_one_line_and_1,
    an_address_that_is_none_is_one_line_and_1,
    a_bad_number_of_workers_is_one_line_and_4,
    os_threads_before_run_are_one_line_and_4,
    workers_in_the_environment_has_the_last_word,
    without_descriptors_it_is_one_line_and_1_or_3,
    limits_may_be_for_ever,
    a_stray_standard_input_is_no_launcher,
    a_worker_starts_at_once_however_large_the_launcher_is,
];

#[track_caller]
fn assert_one_line(mode: &str, variables: &[(&str, &str)], code: i32, words: &str) {
    let (status, output) = Launched::start(mode, variables).end();
    assert_eq!(status, Some(code), "{output}");
    assert!(output.contains(words), "{output}");
    assert_eq!(output.lines().count(), 1, "{output}");
}

fn a_worker_that_panics_at_start_ends_the_launcher_with_3_and_its_message() {
    let (code, output) = Launched::start("panic", &[(COUNT, "2")]).end();
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains("no tea, no service"), "{output}");
    assert!(output.contains("giving up"), "{output}");
}

fn a_worker_that_returns_an_error_at_start_ends_the_launcher_with_3_and_its_message() {
    let (code, output) = Launched::start("fail", &[(COUNT, "2")]).end();
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains("no tea"), "{output}");
}

fn a_worker_that_is_not_ready_in_time_has_failed() {
    let (code, output) = Launched::start("late", &[(COUNT, "3")]).end();
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains("was not ready within 200ms"), "{output}");
}

fn a_port_in_use_is_one_line_and_1() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap().to_string();
    let words = format!("cannot listen on {addr}: Address already in use");
    assert_one_line("serve", &[(BIND, &addr)], 1, &words);
}

fn a_port_in_use_by_another_launcher_is_one_line_and_1() {
    let other = Launched::serving(&[(COUNT, "1")]);
    let addr = other.addr().to_string();
    assert_one_line("serve", &[(BIND, &addr)], 1, "Address already in use");
}

fn a_missing_folder_for_a_unix_socket_is_one_line_and_1() {
    let path = "/nowhere/at/all";
    let words = "cannot listen on unix:/nowhere/at/all: No such file or directory";
    assert_one_line("serve", &[(BIND, path)], 1, words);
}

fn a_unix_socket_in_use_is_one_line_and_1() {
    let path = std::env::temp_dir().join(format!("sedge-launch-{}", std::process::id()));
    let other = UnixListener::bind(&path).unwrap();
    let bind = path.to_str().unwrap();
    assert_one_line("serve", &[(BIND, bind)], 1, "somebody answers there");
    drop(other);
    std::fs::remove_file(path).unwrap();
}

fn an_address_that_is_none_is_one_line_and_1() {
    assert_one_line(
        "serve",
        &[(BIND, "127.0.0.1:65536")],
        1,
        "cannot listen on 127.0.0.1:65536",
    );
    // No address of this machine; a privileged port would do if the tests were never run by root.
    assert_one_line(
        "serve",
        &[(BIND, "192.0.2.1:80")],
        1,
        "cannot listen on 192.0.2.1:80",
    );
}

fn a_bad_number_of_workers_is_one_line_and_4() {
    for bad in ["0", "-1", "many", "129"] {
        let words = format!("WORKERS={bad} in the environment is no number from 1 to 128");
        assert_one_line("serve", &[("WORKERS", bad)], 4, &words);
    }
    assert_one_line(
        "serve",
        &[(COUNT, "0")],
        4,
        "0 workers are not from 1 to 128",
    );
}

fn os_threads_before_run_are_one_line_and_4() {
    assert_one_line("threads", &[], 4, "before the program starts OS threads");
}

fn workers_in_the_environment_has_the_last_word() {
    let launched = Launched::serving(&[("WORKERS", "3"), (COUNT, "1")]);
    assert_eq!(launched.workers().len(), 3);
}

fn without_descriptors_it_is_one_line_and_1_or_3() {
    let mut codes = Vec::new();
    for limit in 4..40 {
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", &format!("ulimit -n {limit} && exec \"$0\"")])
            .arg(std::env::current_exe().unwrap())
            .env(crate::program::MODE, "serve")
            .env("WORKERS", "1");
        let launched = Launched::start_command(command);
        if launched.starts() {
            break;
        }
        let (code, output) = launched.end();
        assert!(!output.contains("panicked"), "{limit}: {output}");
        assert!(!output.contains("the launcher failed"), "{limit}: {output}");
        let words = ["Too many open files", "too many are open"];
        assert!(
            words.iter().any(|w| output.contains(w)),
            "{limit}: {output}"
        );
        let starts = output.contains("giving up");
        assert_eq!(code, Some(if starts { 3 } else { 1 }), "{limit}: {output}");
        assert!(starts || output.lines().count() == 1, "{limit}: {output}");
        codes.extend(code);
    }
    codes.dedup();
    assert_eq!(codes, [1, 3]);
}

fn limits_may_be_for_ever() {
    let launched = Launched::start("for ever", &[(COUNT, "1")]);
    let (_, pid) = crate::harness::Client::connect(launched.addr())
        .unwrap()
        .who();
    crate::harness::signal(pid, "-KILL");
    launched.says("ended (SIGKILL); the next in");
    launched.signal("-TERM");
    launched.signal("-INT");
    let (code, output) = launched.end();
    assert!(!output.contains("panicked"), "{output}");
    // It was told twice.
    assert_eq!(code, Some(1), "{output}");
}

fn a_stray_standard_input_is_no_launcher() {
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
    // Made by this process, which is not the one that it names.
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    send(
        &ours,
        b"sedge-worker launcher=1 id=0 record=0 sockets=",
        SendFlags::empty(),
    )
    .unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .env(crate::program::MODE, "serve")
        .env("WORKERS", "1");
    command
        .stdin(std::process::Stdio::from(theirs))
        .stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = [0; 9];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(&line, b"listening");
    child.kill().unwrap();
    child.wait().unwrap();
}

fn a_worker_starts_at_once_however_large_the_launcher_is() {
    let launched = Launched::serving(&[(COUNT, "1"), (HEAP, "256")]);
    let mut client = launched.connect();
    let (_, killed) = client.who();
    let begin = Instant::now();
    crate::harness::signal(killed, "-KILL");
    assert!(client.receive().is_ok_and(|line| line.is_empty()) || !is_alive(killed));
    let (_, pid) = launched.connect().who();
    assert_ne!(pid, killed);
    // The pause before it is 0.1 s.
    assert!(
        begin.elapsed() < Duration::from_millis(900),
        "{:?}",
        begin.elapsed()
    );
}
