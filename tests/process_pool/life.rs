//! The life of pools and of workers.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sedge::pool::process::{Builder, TaskError};
use sedge::pool::{ProcessPool, Shutdown, process};

use crate::harness::{children, is_alive};

crate::tests![
    no_worker_outlives_a_parent_that_is_killed,
    a_pool_that_is_dropped_leaves_no_process,
    a_pool_that_is_dropped_while_unwinding_leaves_no_process,
    a_pool_that_is_closed_does_its_tasks_and_ends,
    shutdown_with_cancel_unwinds_its_tasks,
    a_worker_that_is_killed_while_idle_is_replaced,
    workers_are_replaced_when_they_have_done_enough,
    workers_are_replaced_when_they_are_too_old_or_too_large,
    an_initializer_prepares_every_worker,
    an_initializer_that_fails_breaks_the_pool,
    a_program_without_init_is_refused,
    an_error_that_nobody_looks_at_is_printed,
    a_worker_ignores_ctrl_c,
    run_ends_although_a_pool_is_leaked,
];

fn spin((): ()) {
    loop {
        std::hint::spin_loop();
    }
}

fn pid_of(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed()).unwrap()
}

/// A process of this program that is no worker, nor a test.
fn child_command(which: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["child", which]).stdin(Stdio::null());
    command
}

/// What such a process does. Its own workers come by here too.
pub(crate) fn child(which: &str) {
    if which == "uninitialized" {
        sedge::run(|| drop(ProcessPool::new(1)));
        return;
    }
    process::init();
    sedge::run(|| {
        let pool = ProcessPool::new(2).unwrap();
        if which == "unseen" {
            drop(pool.submit(|()| -> () { std::process::exit(5) }, ()));
            pool.join();
            return;
        }
        // One computes, one waits.
        let _jobs = [
            pool.submit(spin, ()),
            pool.submit(|()| sedge::sleep(Duration::from_secs(3600)), ()),
        ];
        sedge::sleep(Duration::from_millis(200));
        println!("{:?}", pool.pids());
        sedge::sleep(Duration::from_secs(3600));
    });
}

fn no_worker_outlives_a_parent_that_is_killed() {
    let mut command = child_command("busy");
    let mut parent = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(parent.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let pids: Vec<u32> = line
        .trim_matches(['[', ']', '\n'])
        .split(", ")
        .map(|id| id.parse().unwrap())
        .collect();
    assert!(pids.len() == 2 && pids.iter().all(|&pid| is_alive(pid)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    while pids.iter().any(|&pid| is_alive(pid)) {
        assert!(Instant::now() < deadline, "some live on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn a_pool_that_is_dropped_leaves_no_process() {
    for workers in [1, 2, 5] {
        let pool = ProcessPool::new(workers).unwrap();
        let jobs = [
            pool.submit(spin, ()),
            pool.submit(|()| sedge::sleep(Duration::from_secs(3600)), ()),
        ];
        if workers > 1 {
            sedge::sleep(Duration::from_millis(50));
        }
        let begun = Instant::now();
        drop(pool);
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!(children(), [0; 0]);
        for job in jobs {
            assert!(job.result().unwrap_err().is_cancelled());
        }
    }
}

fn a_pool_that_is_dropped_while_unwinding_leaves_no_process() {
    let owner = sedge::spawn(|| {
        let pool = ProcessPool::new(2).unwrap();
        let _job = pool.submit(|()| sedge::sleep(Duration::from_secs(3600)), ());
        sedge::sleep(Duration::from_secs(3600));
    });
    sedge::sleep(Duration::from_millis(50));
    assert_eq!(children().len(), 2);
    owner.cancel();
    assert!(owner.join().unwrap_err().is_cancelled());
    while !children().is_empty() {
        sedge::sleep(Duration::from_millis(1));
    }
}

fn a_pool_that_is_closed_does_its_tasks_and_ends() {
    let pool = ProcessPool::new(2).unwrap();
    let jobs: Vec<_> = (0..8).map(|n| pool.submit(|n: u32| n, n)).collect();
    pool.close();
    pool.join();
    assert_eq!(children(), [0; 0]);
    let sum: u32 = jobs.into_iter().map(|job| job.result().unwrap()).sum();
    assert_eq!(sum, 28);
    let refused = sedge::spawn(move || drop(pool.submit(|n: u32| n, 1))).join();
    assert!(refused.unwrap_err().to_string().contains("was shut down"));
}

fn shutdown_with_cancel_unwinds_its_tasks() {
    let pool = ProcessPool::new(2).unwrap();
    let wait = |()| sedge::sleep(Duration::from_secs(3600));
    let jobs: Vec<_> = (0..8).map(|_| pool.submit(wait, ())).collect();
    sedge::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    pool.shutdown(Shutdown::Cancel);
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "nobody had to be killed"
    );
    assert!(
        jobs.into_iter()
            .all(|job| job.result().unwrap_err().is_cancelled())
    );
    assert_eq!(children(), [0; 0]);
}

fn a_worker_that_is_killed_while_idle_is_replaced() {
    let pool = ProcessPool::new(2).unwrap();
    pool.map(|n: u32| n, 0..10);
    for _ in 0..5 {
        let before = pool.pids();
        kill_process(pid_of(before[0]), Signal::KILL).unwrap();
        while pool.pids().contains(&before[0]) {
            sedge::sleep(Duration::from_millis(1));
        }
        assert_eq!(pool.pids().len(), 2);
        assert_eq!(pool.map(|n: u32| n + 1, 0..10).len(), 10);
    }
}

fn my_pid((): ()) -> u32 {
    sedge::sleep(Duration::from_millis(1));
    std::process::id()
}

fn workers_are_replaced_when_they_have_done_enough() {
    let pool = Builder::new(2).max_tasks(5).start().unwrap();
    let mut pids: Vec<_> = (0..100).map(|_| pool.apply(my_pid, ())).collect();
    let tasks = pids.len();
    pids.sort_unstable();
    pids.dedup();
    // Each goes on for a little while, until the next one is ready.
    assert!(pids.len() > 2 && tasks / pids.len() >= 5, "{}", pids.len());
}

fn workers_are_replaced_when_they_are_too_old_or_too_large() {
    let old = Builder::new(1)
        .max_age(Duration::from_millis(100))
        .start()
        .unwrap();
    let first = old.apply(my_pid, ());
    while old.apply(my_pid, ()) == first {}

    thread_local! {
        static HOARD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let large = Builder::new(1).max_memory(64 << 20).start().unwrap();
    let first = large.apply(my_pid, ());
    large.apply(|()| HOARD.set(vec![1; 100 << 20]), ());
    while large.apply(my_pid, ()) == first {}
}

thread_local! {
    static PREPARED: Cell<u32> = const { Cell::new(0) };
}

fn an_initializer_prepares_every_worker() {
    let prepare = |n: u32| {
        PREPARED.set(n);
        Ok::<(), String>(())
    };
    let pool = Builder::new(3).initializer(prepare, 42).start().unwrap();
    assert!(
        pool.map(|()| PREPARED.get(), [(); 20])
            .iter()
            .all(|&n| n == 42)
    );
}

fn an_initializer_that_fails_breaks_the_pool() {
    let fail = |name: String| Err::<(), _>(format!("{name} is not there"));
    let panic = |_: String| -> Result<(), String> { panic!("it is not there") };
    let exit = |_: String| -> Result<(), String> { std::process::exit(9) };
    let cases = [
        (fail as fn(String) -> _, "the model is not there"),
        (panic, "panicked"),
        (exit, "exited with code 9"),
    ];
    for (initializer, text) in cases {
        let builder = Builder::new(2).initializer(initializer, "the model".to_owned());
        let pool = builder.start().unwrap();
        // More than the queue holds: who waits for a place is told too.
        let jobs: Vec<_> = (0..20).map(|n| pool.submit(|n: u32| n, n)).collect();
        for job in jobs {
            let error = job.result().unwrap_err();
            assert!(
                matches!(error.task(), Some(TaskError::Broken(_))),
                "{error}"
            );
            assert!(error.to_string().contains(text), "{error}");
        }
        pool.join();
    }
}

fn a_program_without_init_is_refused() {
    let output = child_command("uninitialized").output().unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("call `sedge::pool::process::init()`"),
        "{stderr}"
    );
}

fn an_error_that_nobody_looks_at_is_printed() {
    let mut command = child_command("unseen");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    child.wait().unwrap();
    assert!(stderr.contains("exited with code 5"), "{stderr}");
    assert!(stderr.contains("life.rs"), "{stderr}");
}

fn a_worker_ignores_ctrl_c() {
    let pool = ProcessPool::new(1).unwrap();
    let pid = pool.apply(my_pid, ());
    kill_process(pid_of(pid), Signal::INT).unwrap();
    assert_eq!(pool.apply(my_pid, ()), pid);
}

fn run_ends_although_a_pool_is_leaked() {
    let pool = Rc::new(ProcessPool::new(2).unwrap());
    let _job = pool.submit(|()| sedge::sleep(Duration::from_secs(3600)), ());
    std::mem::forget(pool);
}
