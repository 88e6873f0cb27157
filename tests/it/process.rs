//! Child processes: what is read and written, how they end, and what is left of those that nobody
//! waits for.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use sedge::os::unix::process::CommandExt;
use sedge::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use sedge::signal::SIGKILL;
use sedge::{Reason, State, thread};

use crate::util::{FOREVER, ms, panic_of, run, until};

const PARKED: State = State::Parked(Reason::Read);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// One that does not end by itself.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("3600");
    command
}

/// Whether the process table has it, as a zombie or otherwise.
fn is_there(id: u32) -> bool {
    Path::new("/proc").join(id.to_string()).exists()
}

fn is_zombie(id: u32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
        let (_, state) = stat.rsplit_once(") ").unwrap();
        state.starts_with('Z')
    })
}

/// Waits, outside of sedge, until it has left the process table.
#[track_caller]
fn leaves(id: u32) {
    let begin = Instant::now();
    while is_there(id) {
        assert!(begin.elapsed() < ms(10_000), "{id} is still there");
        std::thread::sleep(ms(1));
    }
}

/// In the child: plays the scene and ends. In the parent: how the child has ended, which is this
/// test again.
fn in_a_process(name: &str, scene: fn()) -> ExitStatus {
    const CHILD: &str = "SEDGE_TEST_PROCESS";
    if std::env::var_os(CHILD).is_some() {
        run(scene);
        std::process::exit(0);
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args([&format!("process::{name}"), "--exact", "--nocapture"]);
    child
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .status()
        .unwrap()
}

fn kill(id: u32) {
    let id = rustix::process::Pid::from_raw(id.try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn status_says_how_the_child_has_ended() {
    run(|| {
        assert!(Command::new("true").status().unwrap().success());
        assert_eq!(sh("exit 3").status().unwrap().code(), Some(3));
        assert_eq!(sh("kill -9 $$").status().unwrap().signal(), Some(SIGKILL));
    });
}

#[test]
fn output_has_what_both_streams_printed() {
    run(|| {
        let output = sh("echo out; echo err >&2; exit 2").output().unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(2));
    });
}

#[test]
fn output_gives_no_input_and_captures_what_is_not_set() {
    run(|| {
        let output = Command::new("cat").output().unwrap();
        assert_eq!(output.stdout, b"");
        let mut to_null = sh("echo out; echo err >&2");
        let Output { stdout, stderr, .. } = to_null.stdout(Stdio::null()).output().unwrap();
        assert_eq!((&stdout[..], &stderr[..]), (&b""[..], &b"err\n"[..]));
        let mut to_null = sh("echo out; echo err >&2");
        let Output { stdout, stderr, .. } = to_null.stderr(Stdio::null()).output().unwrap();
        assert_eq!((&stdout[..], &stderr[..]), (&b"out\n"[..], &b""[..]));
    });
}

#[test]
fn what_output_set_is_not_kept_for_the_next_child() {
    run(|| {
        let mut command = sh("exit 0");
        command.output().unwrap();
        let mut child = command.spawn().unwrap();
        assert!(child.stdout.is_none() && child.stderr.is_none() && child.stdin.is_none());
        child.wait().unwrap();
    });
}

#[test]
fn a_child_that_reads_and_prints_much_on_both_streams_ends() {
    const SIZE: usize = 1 << 20;
    run(|| {
        let mut child = sh("tee /dev/stderr")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input: Vec<u8> = (0..SIZE).map(|i| i as u8).collect();
        let expected = input.clone();
        let mut stdin = child.stdin.take().unwrap();
        let writer = thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        assert!(output.stdout == expected && output.stderr == expected);
    });
}

#[test]
fn children_run_at_the_same_time() {
    const COUNT: usize = 50;
    run(|| {
        // None ends before all have begun: each says so, and waits for the end of its input.
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut inputs = Vec::new();
        let mut waiters = Vec::new();
        for _ in 0..COUNT {
            let mut command = sh("echo begun; read line; echo ended");
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            inputs.push(child.stdin.take().unwrap());
            let log = Rc::clone(&log);
            waiters.push(thread::spawn(move || {
                let mut stdout = io::BufReader::new(child.stdout.take().unwrap());
                let mut line = String::new();
                while io::BufRead::read_line(&mut stdout, &mut line).unwrap() > 0 {
                    log.borrow_mut().push(std::mem::take(&mut line));
                }
                child.wait().unwrap();
            }));
        }
        while log.borrow().len() < COUNT {
            sedge::sleep(ms(1));
        }
        assert!(log.borrow().iter().all(|line| line == "begun\n"));
        drop(inputs);
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert!(log.borrow()[COUNT..].iter().all(|line| line == "ended\n"));
        assert_eq!(log.borrow().len(), 2 * COUNT);
    });
}

#[test]
fn fifty_that_sleep_take_no_longer_than_a_few() {
    run(|| {
        let begin = Instant::now();
        let waiters: Vec<_> = (0..50)
            .map(|_| thread::spawn(|| Command::new("sleep").arg("0.2").status().unwrap()))
            .collect();
        for waiter in waiters {
            assert!(waiter.join().unwrap().success());
        }
        // One after the other takes ten seconds.
        assert!(begin.elapsed() < ms(5000), "{:?}", begin.elapsed());
    });
}

#[test]
fn a_thousand_children_are_waited_for_at_once() {
    run(|| {
        let children: Vec<Child> = (0..1000)
            .map(|_| Command::new("true").spawn().unwrap())
            .collect();
        let ids: Vec<u32> = children.iter().map(Child::id).collect();
        let waiters: Vec<_> = children
            .into_iter()
            .map(|mut child| thread::spawn(move || child.wait().unwrap()))
            .collect();
        for waiter in waiters {
            assert!(waiter.join().unwrap().success());
        }
        assert!(!ids.into_iter().any(is_zombie));
    });
}

#[test]
fn a_status_stays_known() {
    run(|| {
        let mut child = sh("exit 5").spawn().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(5));
        assert_eq!(child.wait().unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
        assert_eq!(child.wait_timeout(FOREVER).unwrap(), Some(status));
        child.kill().unwrap(); // nobody, and no error
    });
}

#[test]
fn a_wait_closes_the_standard_input() {
    run(|| {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(cat.wait().unwrap().success());
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(cat.try_wait().unwrap(), None);
        assert!(cat.stdin.is_some());
        assert!(cat.wait_timeout(FOREVER).unwrap().unwrap().success());
    });
}

#[test]
fn wait_timeout_gives_up_and_can_be_called_again() {
    run(|| {
        let mut child = sleeper().spawn().unwrap();
        assert_eq!(child.wait_timeout(ms(0)).unwrap(), None);
        assert_eq!(child.wait_timeout(ms(5)).unwrap(), None);
        assert_eq!(child.wait_timeout(ms(5)).unwrap(), None);
        child.kill().unwrap();
        let status = child.wait_timeout(FOREVER).unwrap().unwrap();
        assert_eq!(status.signal(), Some(SIGKILL));
    });
}

#[test]
fn try_wait_asked_again_and_again_lets_others_run() {
    run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        thread::spawn(move || drop(stdin));
        while child.try_wait().unwrap().is_none() {}
    });
}

#[test]
fn a_wait_that_is_cut_short_has_no_effect() {
    run(|| {
        let mut child = sleeper().spawn().unwrap();
        assert!(sedge::timeout(ms(5), || child.wait()).is_err());
        let child = Rc::new(RefCell::new(child));
        let ours = Rc::clone(&child);
        let waiter = thread::spawn(move || ours.borrow_mut().wait());
        until(waiter.thread(), PARKED);
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is_cancelled());
        let mut child = Rc::into_inner(child).unwrap().into_inner();
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));
    });
}

#[test]
fn output_that_is_cut_short_waits_for_nobody() {
    run(|| {
        let begin = Instant::now();
        let cut = sedge::timeout(ms(20), || sleeper().kill_on_drop(true).output());
        assert!(cut.is_err());
        assert!(begin.elapsed() < ms(10_000));
        assert_eq!(
            thread::all().len(),
            1,
            "the reader of standard error is gone"
        );
    });
}

#[test]
fn a_dropped_child_is_killed_if_that_was_said() {
    run(|| {
        let child = sleeper().kill_on_drop(true).spawn().unwrap();
        let id = child.id();
        assert!(is_there(id));
        drop(child);
        leaves(id);

        let child = sleeper().kill_on_drop(true).spawn().unwrap();
        let id = child.id();
        let waiter = thread::spawn(move || {
            let mut child = child;
            child.wait()
        });
        until(waiter.thread(), PARKED);
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is_cancelled());
        leaves(id);
    });
}

#[test]
fn a_dropped_child_goes_on_and_leaves_no_zombie() {
    run(|| {
        let child = sleeper().spawn().unwrap();
        let id = child.id();
        drop(child);
        sedge::sleep(ms(5));
        assert!(is_there(id) && !is_zombie(id));
        kill(id);
        leaves(id);
    });
}

#[test]
fn a_child_that_ends_after_run_leaves_no_zombie() {
    let id = run(|| {
        let mut child = sleeper().spawn().unwrap();
        assert_eq!(child.wait_timeout(ms(1)).unwrap(), None);
        child.id()
    });
    assert!(is_there(id) && !is_zombie(id));
    kill(id);
    leaves(id);
}

#[test]
fn a_child_that_is_dropped_outside_of_run_leaves_no_zombie() {
    let child = sleeper().spawn().unwrap();
    let id = child.id();
    drop(child);
    kill(id);
    leaves(id);
    // One that is a zombie already when it is dropped.
    let child = sleeper().spawn().unwrap();
    let id = child.id();
    kill(id);
    while !is_zombie(id) {
        std::thread::sleep(ms(1));
    }
    drop(child);
    assert!(!is_there(id));
}

#[test]
fn many_dropped_children_leave_no_zombies() {
    run(|| {
        let ids: Vec<u32> = (0..200)
            .map(|_| Command::new("sleep").arg("0.05").spawn().unwrap().id())
            .collect();
        ids.into_iter().for_each(leaves);
    });
}

#[test]
fn children_dropped_on_several_os_threads_leave_no_zombies() {
    let drop_many = || -> Vec<u32> {
        let mut ids = Vec::new();
        for number in 0..100 {
            // The reaper has nobody left, and ends, again and again.
            let mut command = sh(if number % 2 == 0 {
                "exit 0"
            } else {
                "sleep 0.001"
            });
            ids.push(command.spawn().unwrap().id());
        }
        ids
    };
    let threads: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(move || run(drop_many)))
        .collect();
    for thread in threads {
        thread.join().unwrap().into_iter().for_each(leaves);
    }
}

#[test]
fn what_cannot_be_started_is_an_error_as_in_std() {
    run(|| {
        let error = Command::new("/there/is/no/such/program")
            .spawn()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = Command::new("/there/is/no/such/program")
            .output()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = Command::new("/etc/passwd").status().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let error = sh("")
            .current_dir("/there/is/no/such")
            .status()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn arguments_environment_and_directory_reach_the_child() {
    run(|| {
        let mut command = sh("echo $0 $1 $FIRST $SECOND $HOME; pwd");
        command.args(["name", "arg"]).env_clear();
        command
            .env("FIRST", "1")
            .envs([("SECOND", "2"), ("THIRD", "3")]);
        command.env_remove("THIRD").current_dir("/usr");
        assert_eq!(command.get_program(), "sh");
        assert_eq!(command.get_args().count(), 4);
        assert_eq!(command.get_envs().count(), 2);
        assert_eq!(command.get_current_dir(), Some(Path::new("/usr")));
        assert_eq!(command.output().unwrap().stdout, b"name arg 1 2\n/usr\n");
    });
}

#[test]
fn children_can_be_chained_by_their_pipes() {
    run(|| {
        let mut first = sh("echo one; echo two")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let between = first.stdout.take().unwrap();
        let output = sh("wc -l").stdin(between).output().unwrap();
        assert_eq!(output.stdout.trim_ascii(), b"2");
        first.wait().unwrap();

        let (mut reader, writer) = sedge::io::pipe().unwrap();
        let mut child = sh("echo through").stdout(writer).spawn().unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through\n");
        child.wait().unwrap();
    });
}

#[test]
fn children_and_pipes_go_from_std_and_back() {
    run(|| {
        let mut std = std::process::Command::new("cat");
        std.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Child::from(std.spawn().unwrap());
        let stdin: OwnedFd = child.stdin.take().unwrap().into();
        let mut stdin = ChildStdin::from(stdin);
        (&stdin).write_all(b"x").unwrap();
        stdin.flush().unwrap();
        assert!(stdin.as_fd().try_clone_to_owned().is_ok());
        drop(std::process::ChildStdin::from(stdin));
        let mut child = std::process::Child::from(child);
        let mut stdout = ChildStdout::from(child.stdout.take().unwrap());
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(Child::from(child).wait().unwrap().success());

        let mut command = Command::from(std::process::Command::new("echo"));
        command.as_std_mut().arg("hello");
        assert_eq!(command.output().unwrap().stdout, b"hello\n");
    });
}

#[test]
fn a_command_has_what_unix_knows_of_it() {
    run(|| {
        let mut child = sleeper().process_group(0).spawn().unwrap();
        let id = rustix::process::Pid::from_raw(child.id().try_into().unwrap());
        assert_eq!(rustix::process::getpgid(id).ok(), id);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn who_waits_for_a_child_is_no_deadlock() {
    let watchdog = crate::util::Watchdog::new();
    // Without a `Remote` in the scheduler, so that a deadlock would be reported.
    let status = sedge::run(|| Command::new("sleep").arg("0.02").status().unwrap());
    assert!(status.success());
    drop(watchdog);
}

#[test]
fn outside_of_run_nothing_waits_for_a_child() {
    let mut child = sleeper().spawn().unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    assert!(panic_of(|| child.wait()).contains("sedge::run"));
    assert!(panic_of(|| sleeper().status()).contains("sedge::run"));
    assert!(panic_of(|| sleeper().output()).contains("sedge::run"));
    child.kill().unwrap();
    while child.try_wait().unwrap().is_none() {
        std::thread::sleep(ms(1));
    }
    assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));
}

#[test]
fn a_child_can_be_waited_for_in_one_run_after_the_other() {
    let mut child = sleeper().spawn().unwrap();
    for _ in 0..2 {
        let waited = run(|| child.wait_timeout(ms(1)).unwrap());
        assert_eq!(waited, None);
    }
    child.kill().unwrap();
    assert_eq!(run(|| child.wait().unwrap()).signal(), Some(SIGKILL));
}

/// Drops it in a green thread that is cancelled.
fn drop_while_unwinding(late: impl Sized + 'static) {
    let waiter = thread::spawn(move || {
        let _late = late;
        sedge::sleep(FOREVER);
    });
    thread::yield_now();
    waiter.cancel();
    assert!(waiter.join().unwrap_err().is_cancelled());
}

#[test]
fn nobody_waits_for_a_child_while_unwinding() {
    struct Late(Child, Rc<RefCell<Vec<io::ErrorKind>>>);

    impl Drop for Late {
        fn drop(&mut self) {
            let error = self.0.wait().unwrap_err();
            self.1.borrow_mut().push(error.kind());
        }
    }

    run(|| {
        let kinds = Rc::new(RefCell::new(Vec::new()));
        let child = sleeper().kill_on_drop(true).spawn().unwrap();
        let late = Late(child, Rc::clone(&kinds));
        drop_while_unwinding(late);
        assert_eq!(*kinds.borrow(), [io::ErrorKind::WouldBlock]);
    });
}

#[test]
fn nobody_reads_what_a_child_prints_while_unwinding() {
    struct Late(Rc<RefCell<Vec<io::ErrorKind>>>);

    impl Drop for Late {
        fn drop(&mut self) {
            let error = sleeper().kill_on_drop(true).output().unwrap_err();
            self.0.borrow_mut().push(error.kind());
        }
    }

    run(|| {
        let kinds = Rc::new(RefCell::new(Vec::new()));
        let late = Late(Rc::clone(&kinds));
        drop_while_unwinding(late);
        assert_eq!(*kinds.borrow(), [io::ErrorKind::WouldBlock]);
    });
}

#[test]
fn a_child_starts_with_the_default_action_of_a_signal_that_is_received_here() {
    let signal = libc::SIGRTMIN() + 14;
    run(|| {
        let _signals = sedge::signal::Signals::new([signal]).unwrap();
        let status = sh(&format!("kill -{signal} $$; sleep 3600")).status();
        assert_eq!(status.unwrap().signal(), Some(signal));
    });
}

#[test]
fn exec_puts_a_program_in_the_place_of_this_one() {
    let status = in_a_process("exec_puts_a_program_in_the_place_of_this_one", || {
        let error = Command::new("/there/is/no/such/program").exec();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        panic!("it was not replaced: {}", sh("exit 5").exec());
    });
    assert_eq!(status.code(), Some(5));
}

#[test]
fn a_child_for_which_there_is_no_descriptor_is_waited_for_at_the_next_spawn() {
    let name = "a_child_for_which_there_is_no_descriptor_is_waited_for_at_the_next_spawn";
    let status = in_a_process(name, || {
        let limit = rustix::process::Rlimit {
            current: Some(64),
            maximum: Some(64),
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        let mut child = sleeper().spawn().unwrap();
        let id = child.id();
        let null = || fs::File::open("/dev/null");
        let full: Vec<_> = std::iter::from_fn(|| null().ok()).collect();
        let error = child.wait_timeout(ms(1)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        drop(child);
        drop(full);
        kill(id);
        while !is_zombie(id) {
            std::thread::sleep(ms(1));
        }
        assert!(Command::new("true").status().unwrap().success());
        assert!(!is_there(id));
    });
    assert!(status.success());
}
