//! The ways in which tasks end.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sedge::ipc::Bytes;
use sedge::pool::process::{Builder, TaskError};
use sedge::pool::{Future, JobError, ProcessPool};
use serde::{Deserialize, Serialize};

use crate::harness::children;

crate::tests![
    every_task_of_many_resolves_and_says_why,
    tasks_can_be_joined_in_every_order,
    an_argument_that_cannot_be_read_or_written_fails_its_task_at_once,
    a_type_that_panics_when_it_is_read_fails_its_task_alone,
    a_waiting_task_that_is_cancelled_unwinds_in_its_worker,
    a_computing_task_that_is_cancelled_is_killed_alone,
    a_queued_task_that_is_cancelled_never_begins,
    a_task_that_takes_too_long_fails_and_no_other,
    a_task_sent_ahead_survives_the_death_of_its_worker,
    a_task_that_is_taken_back_without_a_descriptor_left_fails_and_is_not_forgotten,
    an_idempotent_task_is_begun_twice_and_not_more,
    a_panic_tells_its_place_and_can_be_resumed,
    a_caller_that_runs_out_of_time_cancels_its_task,
];

#[derive(Debug, Serialize, Deserialize, PartialEq)]
enum Answer {
    Number(u64),
    Huge(Bytes),
    Odd(Odd),
}

/// Can be written whatever it is, and read only if it is odd.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(try_from = "u64", into = "u64")]
struct Odd(u64);

impl TryFrom<u64> for Odd {
    type Error = &'static str;

    fn try_from(n: u64) -> Result<Odd, &'static str> {
        assert!(n != 666, "the number of the beast");
        if n % 2 == 1 { Ok(Odd(n)) } else { Err("even") }
    }
}

impl From<Odd> for u64 {
    fn from(odd: Odd) -> u64 {
        odd.0
    }
}

impl Clone for Odd {
    fn clone(&self) -> Odd {
        Odd(self.0)
    }
}

/// One in ten comes to a bad end.
fn misbehave(n: u64) -> Answer {
    if n % 10 != 7 {
        return Answer::Number(n);
    }
    match n / 10 % 5 {
        0 => panic!("task {n} panics"),
        1 => std::process::exit(3),
        2 => kill_me(),
        3 => Answer::Huge(Bytes(vec![0; 17 << 20])),
        _ => Answer::Odd(Odd(n * 2)),
    }
}

fn kill_me() -> ! {
    let me = rustix::process::getpid();
    rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
    loop {
        std::thread::park();
    }
}

fn check(n: u64, result: Result<Answer, JobError>) {
    if n % 10 != 7 {
        return assert_eq!(result.unwrap(), Answer::Number(n));
    }
    let error = result.expect_err("a bad end");
    let ends = (n / 10 % 5, error.task().expect("a cause"));
    match ends {
        (0, TaskError::Panicked { message, .. }) => {
            assert_eq!(message.as_deref(), Some(&*format!("task {n} panics")));
        }
        (1, TaskError::WorkerLost { exit, signal, .. }) => {
            assert_eq!((*exit, *signal), (Some(3), None));
        }
        (2, TaskError::WorkerLost { exit, signal, .. }) => {
            assert_eq!((*exit, *signal), (None, Some(9)));
        }
        (3, TaskError::Value(why)) => assert!(why.contains("more than 16777216 bytes"), "{why}"),
        (4, TaskError::Value(_)) => {}
        other => panic!("task {n} ended otherwise: {other:?}"),
    }
}

fn every_task_of_many_resolves_and_says_why() {
    let count = if cfg!(debug_assertions) {
        1_500
    } else {
        10_000
    };
    let pool = ProcessPool::new(4).unwrap();
    let jobs = (0..count).map(|n| (n, pool.submit(misbehave, n)));
    let mut jobs: Vec<_> = jobs.collect();
    // In any order: by the bits of their numbers, backwards.
    jobs.sort_by_key(|(n, _)| n.reverse_bits());
    for (n, job) in jobs {
        check(n, job.result());
    }
    assert_eq!(children().len(), 4);
}

fn tasks_can_be_joined_in_every_order() {
    let pool = ProcessPool::new(2).unwrap();
    for order in permutations(&[0, 1, 2, 3]) {
        let submit = |n| Some(pool.submit(|n: usize| n * n, n));
        let mut jobs: Vec<Option<Future<usize>>> = (0..4).map(submit).collect();
        for n in order {
            assert_eq!(jobs[n].take().unwrap().result().unwrap(), n * n);
        }
    }
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let begin = |&first: &usize| {
        let rest: Vec<_> = items.iter().copied().filter(|&n| n != first).collect();
        let rest = permutations(&rest).into_iter();
        rest.map(move |rest| [vec![first], rest].concat()).collect()
    };
    items.iter().flat_map::<Vec<Vec<usize>>, _>(begin).collect()
}

fn an_argument_that_cannot_be_read_or_written_fails_its_task_at_once() {
    let pool = Builder::new(1).message_limit(1000).start().unwrap();
    let error = pool.submit(|odd: Odd| odd.0, Odd(2)).result().unwrap_err();
    assert!(
        matches!(error.task(), Some(TaskError::Argument(_))),
        "{error}"
    );
    let large = Bytes(vec![0; 1001]);
    let error = pool.submit(|bytes: Bytes| bytes.len(), large).result();
    let error = error.unwrap_err().to_string();
    assert!(error.contains("more than 1000 bytes"), "{error}");
    assert_eq!(pool.apply(|odd: Odd| odd.0, Odd(3)), 3);
}

fn a_type_that_panics_when_it_is_read_fails_its_task_alone() {
    let pool = ProcessPool::new(1).unwrap();
    let error = pool
        .submit(|odd: Odd| odd.0, Odd(666))
        .result()
        .unwrap_err();
    assert_eq!(error.message(), Some("the number of the beast"));
    let error = pool.submit(|()| Odd(666), ()).result().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("panicked: the number of the beast"),
        "{error}"
    );
    assert_eq!(pool.apply(|odd: Odd| odd.0, Odd(3)), 3);
}

/// A file that is made when this is dropped.
struct Touch(PathBuf);

impl Drop for Touch {
    fn drop(&mut self) {
        fs::write(&self.0, "dropped").unwrap();
    }
}

fn path(name: &str) -> PathBuf {
    let name = format!("sedge-process-pool-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = fs::remove_file(&path);
    path
}

/// Waits until a task says, by a file, that it has begun.
fn wait_for(path: &PathBuf) {
    while !path.exists() {
        sedge::sleep(Duration::from_millis(1));
    }
    fs::remove_file(path).unwrap();
}

fn a_waiting_task_that_is_cancelled_unwinds_in_its_worker() {
    let pool = ProcessPool::new(1).unwrap();
    let path = path("unwinds");
    let wait = |path: PathBuf| {
        fs::write(&path, "begun").unwrap();
        let _touch = Touch(path);
        sedge::sleep(Duration::from_secs(3600));
    };
    let job = pool.submit(wait, path.clone());
    wait_for(&path);
    let before = pool.pids();
    assert!(job.cancel());
    assert!(job.result().unwrap_err().is_cancelled());
    assert!(path.exists(), "its destructors have run");
    fs::remove_file(&path).unwrap();
    assert_eq!(pool.apply(|n: u32| n, 1), 1);
    assert_eq!(pool.pids(), before);
}

fn spin((): ()) {
    loop {
        std::hint::spin_loop();
    }
}

fn a_computing_task_that_is_cancelled_is_killed_alone() {
    let pool = ProcessPool::new(2).unwrap();
    let other = pool.submit(|()| sedge::sleep(Duration::from_millis(2500)), ());
    let job = pool.submit(spin, ());
    sedge::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    job.cancel();
    assert!(job.result().unwrap_err().is_cancelled());
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(2),
        "{took:?}"
    );
    other.result().unwrap();
    assert_eq!(pool.map(|n: u32| n, 0..10).len(), 10);
}

fn a_queued_task_that_is_cancelled_never_begins() {
    let pool = ProcessPool::new(1).unwrap();
    let (begun, path) = (path("first"), path("never"));
    // Short ones, so that the next ones are sent ahead.
    pool.map(|n: u32| n, 0..100);
    let sleep = |begun: PathBuf| {
        fs::write(begun, "begun").unwrap();
        sedge::sleep(Duration::from_millis(300));
    };
    let first = pool.submit(sleep, begun.clone());
    wait_for(&begun);
    let touch = |path: PathBuf| fs::write(path, "begun").unwrap();
    let sent = pool.submit(touch, path.clone());
    let queued = pool.submit(touch, path.clone());
    let last = pool.submit(|n: u32| n, 5);
    assert!(queued.cancel() && sent.cancel());
    assert!(queued.result().unwrap_err().is_cancelled());
    assert!(sent.result().unwrap_err().is_cancelled());
    assert!(!first.done(), "nobody has waited for the first");
    assert_eq!(last.result().unwrap(), 5);
    assert!(!path.exists());
}

fn a_task_that_takes_too_long_fails_and_no_other() {
    let limit = Duration::from_millis(300);
    let pool = Builder::new(2).task_timeout(limit).start().unwrap();
    let waits = pool.submit(|()| sedge::sleep(Duration::from_secs(3600)), ());
    let spins = pool.submit(spin, ());
    for n in 0..50 {
        let short = |n: u32| {
            sedge::sleep(Duration::from_millis(2));
            n
        };
        assert_eq!(pool.apply(short, n), n);
    }
    for job in [waits, spins] {
        let error = job.result().unwrap_err();
        assert_eq!(error.task(), Some(&TaskError::TimedOut(limit)));
    }
}

fn a_task_sent_ahead_survives_the_death_of_its_worker() {
    let pool = ProcessPool::new(1).unwrap();
    pool.map(|n: u32| n, 0..100);
    for _ in 0..10 {
        let dies = pool.submit(
            |()| {
                sedge::sleep(Duration::from_millis(2));
                std::process::exit(1)
            },
            (),
        );
        let ahead: Vec<_> = (0..3).map(|n| pool.submit(|n: u32| n, n)).collect();
        let died: Result<(), _> = dies.result();
        let lost = died.unwrap_err();
        assert!(
            matches!(lost.task(), Some(TaskError::WorkerLost { .. })),
            "{lost}"
        );
        for (n, job) in ahead.into_iter().enumerate() {
            assert_eq!(job.result().unwrap(), n as u32);
        }
    }
}

fn an_idempotent_task_is_begun_twice_and_not_more() {
    let pool = Builder::new(2).idempotent(true).start().unwrap();
    let path = path("twice");
    // The first attempt leaves a file, the second finds it.
    let dies_once = |path: PathBuf| {
        if !path.exists() {
            fs::write(&path, "").unwrap();
            kill_me();
        }
        fs::remove_file(path).unwrap();
        7
    };
    assert_eq!(pool.apply(dies_once, path.clone()), 7);
    let dies_always = |path: PathBuf| -> u32 {
        let before = fs::read(&path).unwrap_or_default();
        fs::write(path, [before, vec![b'x']].concat()).unwrap();
        kill_me()
    };
    let error = pool.submit(dies_always, path.clone()).result().unwrap_err();
    let is_lost = matches!(
        error.task(),
        Some(TaskError::WorkerLost {
            signal: Some(9),
            ..
        })
    );
    assert!(is_lost, "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"xx");
    fs::remove_file(path).unwrap();
}

fn a_panic_tells_its_place_and_can_be_resumed() {
    let pool = ProcessPool::new(1).unwrap();
    let job = pool.submit(|n: u32| assert_eq!(n, 1, "not one"), 2);
    let line = line!() - 1;
    let error = job.result().unwrap_err();
    let Some(TaskError::Panicked {
        location, worker, ..
    }) = error.task()
    else {
        panic!("{error}");
    };
    let place = format!("{}:{line}:", file!());
    assert!(
        location.as_ref().unwrap().starts_with(&place),
        "{location:?}"
    );
    assert_eq!([*worker], *pool.pids());
    assert!(error.message().unwrap().contains("not one"));
    let resumed = sedge::spawn(move || -> () { error.resume() })
        .join()
        .unwrap_err();
    assert!(resumed.to_string().contains("not one"), "{resumed}");
}

fn a_caller_that_runs_out_of_time_cancels_its_task() {
    let pool = ProcessPool::new(1).unwrap();
    let path = path("caller");
    let wait = |path: PathBuf| {
        let _touch = Touch(path);
        sedge::sleep(Duration::from_secs(3600));
    };
    let limit = Duration::from_millis(300);
    sedge::timeout(limit, || pool.apply(wait, path.clone())).unwrap_err();
    pool.join();
    assert!(path.exists());
    fs::remove_file(path).unwrap();
}

fn nap(millis: u64) -> u32 {
    sedge::sleep(Duration::from_millis(millis));
    std::process::id()
}

fn a_task_that_is_taken_back_without_a_descriptor_left_fails_and_is_not_forgotten() {
    let pool = ProcessPool::new(2).unwrap();
    // Until both are ready, and tasks are short.
    while {
        let [one, other] = [pool.submit(nap, 5), pool.submit(nap, 5)].map(|job| job.result());
        one.unwrap() == other.unwrap()
    } {}
    for _ in 0..40 {
        pool.submit(nap, 0).result().unwrap();
    }
    let (long, short) = (pool.submit(nap, 400), pool.submit(nap, 50));
    let ahead = pool.submit(|bytes: Bytes| bytes.len(), Bytes(vec![0; 100_000]));
    assert_eq!(pool.queued(), 0);
    let limit = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..limit
    };
    setrlimit(Resource::Nofile, none).unwrap();
    // The short one ends meanwhile, and its worker could do what waits behind the long one.
    sedge::sleep(Duration::from_millis(200));
    setrlimit(Resource::Nofile, limit).unwrap();
    let result = sedge::timeout(Duration::from_secs(5), || ahead.result());
    let error = result.expect("it ends").unwrap_err().to_string();
    assert!(error.contains("open files"), "{error}");
    long.result().unwrap();
    short.result().unwrap();
}
