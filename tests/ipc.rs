//! Queues and what is shared, among processes that are stopped, killed and orphaned.
//!
//! Each test starts this binary again with its own name as the filter. A child has a part to play,
//! named by its environment, and finds an end of a pipe in the place of its standard input.

use std::collections::HashSet;
use std::io::{Write, stderr};
use std::os::fd::AsFd;
use std::process::ExitStatus;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use sedge::ipc::{self, Counter, Event, Queue, Receiver, RecvError, Semaphore, Sender};
use sedge::process::{Child, Command, Stdio};
use sedge::thread;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const PART: &str = "SEDGE_TEST_PART";

/// A test that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// Which part this process is to play; none in the one that tests.
fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// Runs a test, with a deadline.
fn test(body: impl FnOnce()) {
    let (ended, end) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if end.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
            let _ = writeln!(stderr(), "a test of several processes hangs");
            std::process::abort();
        }
    });
    sedge::run(body);
    drop(ended);
}

/// Plays a part in this process, which ends with it.
fn play<T: DeserializeOwned>(part: impl FnOnce(T)) -> ! {
    sedge::run(|| {
        let stage: Receiver<T> = ipc::inherited().unwrap();
        part(stage.recv().unwrap());
    });
    std::process::exit(0);
}

/// Starts a child that plays a part of a test, and tells it what it needs.
fn start<T: Serialize>(test: &str, part: &str, props: &T) -> Child {
    let (sender, receiver) = ipc::channel().unwrap();
    sender.send(props).unwrap();
    Command::new("/proc/self/exe")
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .stdin(receiver.to_stdio().unwrap())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn wait(mut child: Child) -> ExitStatus {
    let status = sedge::timeout(Duration::from_secs(30), || child.wait());
    status.expect("it ends in time").unwrap()
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn is_stopped(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    // After the name, which is in brackets.
    status
        .rsplit(')')
        .next()
        .unwrap()
        .trim_start()
        .starts_with('T')
}

const MESSAGES: u64 = 400_000;
const PRODUCERS: u64 = 4;
const CONSUMERS: u64 = 4;
const KILLS: u64 = 40;

#[test]
fn consumers_that_are_killed_lose_one_message_each_at_most() {
    const TEST: &str = "consumers_that_are_killed_lose_one_message_each_at_most";
    type Produces = (u64, Sender<u64>);
    type Consumes = (Receiver<u64>, Sender<u64>);
    match part().as_deref() {
        Some("producer") => play(|(first, sender): Produces| {
            for number in 0..MESSAGES / PRODUCERS {
                sender.send(&(first + number)).unwrap();
            }
        }),
        Some(_) => play(|(receiver, results): Consumes| {
            for number in &receiver {
                results.send(&number.unwrap()).unwrap();
            }
        }),
        None => {}
    }
    test(|| {
        let begin = Instant::now();
        let (sender, receiver) = ipc::channel::<u64>().unwrap();
        let (results_sender, results) = ipc::channel::<u64>().unwrap();
        let consumes: Consumes = (receiver, results_sender);
        let mut consumers: Vec<_> = (0..CONSUMERS)
            .map(|_| start(TEST, "consumer", &consumes))
            .collect();
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|index| {
                let produces: Produces = (index * MESSAGES / PRODUCERS, sender.clone());
                start(TEST, "producer", &produces)
            })
            .collect();
        drop(sender);

        let mut seen = HashSet::new();
        let mut killed = 0;
        let mut consumes = Some(consumes);
        for number in &results {
            assert!(seen.insert(number.unwrap()), "one message came twice");
            let due = (seen.len() as u64) * KILLS / (MESSAGES * 19 / 20);
            if killed < due && killed < KILLS {
                // Another one each time, at whatever it is doing just then.
                let index = (killed * 7 % CONSUMERS) as usize;
                consumers[index].kill().unwrap();
                killed += 1;
                match &consumes {
                    Some(consumes) => consumers[index] = start(TEST, "consumer", consumes),
                    None => unreachable!("the last kill comes before"),
                }
            }
            if killed == KILLS {
                // From now on the results end when the consumers do.
                consumes = None;
            }
        }
        assert_eq!(killed, KILLS);
        let lost = MESSAGES - seen.len() as u64;
        assert!(lost <= KILLS, "{lost} messages are lost by {KILLS} kills");
        for child in producers.into_iter().chain(consumers) {
            assert!(wait(child).success());
        }
        let _ = writeln!(
            stderr(),
            "{MESSAGES} messages, {lost} lost by {KILLS} kills, in {:?}",
            begin.elapsed()
        );
    });
}

#[test]
fn a_consumer_that_was_woken_and_does_not_read_holds_nobody_up() {
    const TEST: &str = "a_consumer_that_was_woken_and_does_not_read_holds_nobody_up";
    type Consumes = (u32, Receiver<u64>, Sender<(u32, u64)>);
    if part().is_some() {
        play(|(id, receiver, results): Consumes| {
            results.send(&(id, 0)).unwrap();
            for number in &receiver {
                results.send(&(id, number.unwrap())).unwrap();
            }
        });
    }
    test(|| {
        let (sender, receiver) = ipc::channel::<u64>().unwrap();
        let (results_sender, results) = ipc::channel().unwrap();
        let mut consumers: Vec<_> = (0..4)
            .map(|id| {
                let consumes: Consumes = (id, receiver.clone(), results_sender.clone());
                start(TEST, "consumer", &consumes)
            })
            .collect();
        drop((receiver, results_sender));
        for _ in 0..4 {
            assert_eq!(results.recv().unwrap().1, 0);
        }
        // They all wait by now, or soon. Those that are stopped are woken by each message.
        sedge::sleep(Duration::from_millis(50));
        for consumer in &consumers[..3] {
            signal(consumer, Signal::STOP);
        }
        // The signal is on its way when it is sent, and no more.
        while !consumers[..3].iter().all(is_stopped) {
            sedge::sleep(Duration::from_millis(1));
        }
        for number in 1..100 {
            sender.send(&number).unwrap();
            let result = sedge::timeout(Duration::from_secs(5), || results.recv());
            assert_eq!(result.expect("somebody takes it").unwrap(), (3, number));
        }
        // The one that worked goes; the others, woken long ago, find what comes.
        consumers.pop().unwrap().kill().unwrap();
        sender.send(&100).unwrap();
        signal(&consumers[1], Signal::CONT);
        assert_eq!(results.recv().unwrap(), (1, 100));
        consumers[1].kill().unwrap();
        signal(&consumers[0], Signal::CONT);
        sender.send(&101).unwrap();
        assert_eq!(results.recv().unwrap(), (0, 101));
        signal(&consumers[2], Signal::CONT);
        drop(sender);
        assert!(results.recv().unwrap_err().is_closed());
    });
}

#[test]
fn producers_that_are_killed_leave_whole_messages() {
    const TEST: &str = "producers_that_are_killed_leave_whole_messages";
    if part().is_some() {
        play(|sender: Sender<Vec<u32>>| {
            for length in 0_u32.. {
                // Every tenth of them in a memory of its own.
                let length = if length % 10 == 9 {
                    40_000
                } else {
                    length % 1000
                };
                let message = (0..length).collect();
                if sender.send(&message).is_err() {
                    break;
                }
            }
        });
    }
    test(|| {
        let (sender, receiver) = ipc::channel::<Vec<u32>>().unwrap();
        let check = |message: &[u32]| {
            assert!(message.iter().zip(0..).all(|(one, other)| *one == other));
        };
        for _ in 0..10 {
            let mut producers = [(); 2].map(|()| start(TEST, "producer", &sender));
            for _ in 0..100 {
                check(&receiver.recv().unwrap());
            }
            for producer in &mut producers {
                producer.kill().unwrap();
            }
        }
        drop(sender);
        for message in &receiver {
            check(&message.unwrap());
        }
    });
}

#[test]
fn without_a_descriptor_for_it_a_message_is_an_error_for_itself() {
    const TEST: &str = "without_a_descriptor_for_it_a_message_is_an_error_for_itself";
    type Props = (Receiver<(Vec<u8>, Option<Sender<u8>>)>, Sender<String>);
    if part().is_some() {
        play(|(receiver, told): Props| {
            told.send(&"ready".to_owned()).unwrap();
            // The reactor knows the receiver from here on, so that a wait needs no more.
            assert!(receiver.recv().unwrap().1.is_none());
            let mut limit = getrlimit(Resource::Nofile);
            limit.current = Some(64);
            setrlimit(Resource::Nofile, limit).unwrap();
            let mut all = Vec::new();
            while let Ok(fd) = receiver.as_fd().try_clone_to_owned() {
                all.push(fd);
            }
            for _ in 0..2 {
                let received = receiver.recv();
                assert!(
                    matches!(received, Err(RecvError::Truncated)),
                    "{received:?}"
                );
            }
            let (small, _) = receiver.recv().unwrap();
            drop(all);
            let (large, sender) = receiver.recv().unwrap();
            told.send(&format!("{} {}", small.len(), large.len()))
                .unwrap();
            sender.unwrap().send(&1).unwrap();
        });
    }
    test(|| {
        let (sender, receiver) = ipc::channel().unwrap();
        let (teller, told) = ipc::channel::<String>().unwrap();
        let (end, other_end) = ipc::channel::<u8>().unwrap();
        let props: Props = (receiver, teller);
        let child = start(TEST, "child", &props);
        drop(props);
        assert_eq!(told.recv().unwrap(), "ready");
        sender.send(&(vec![], None)).unwrap();
        sedge::sleep(Duration::from_millis(100));
        sender.send(&(vec![1; 10], Some(end.clone()))).unwrap();
        sender.send(&(vec![2; 100_000], None)).unwrap();
        sender.send(&(vec![3; 30], None)).unwrap();
        sender.send(&(vec![4; 100_000], Some(end))).unwrap();
        assert_eq!(told.recv().unwrap(), "30 100000");
        assert_eq!(other_end.recv().unwrap(), 1);
        assert!(other_end.recv().unwrap_err().is_closed());
        assert!(wait(child).success());
    });
}

#[test]
fn no_child_stays_when_its_parent_is_killed() {
    const TEST: &str = "no_child_stays_when_its_parent_is_killed";
    type Waits = (Receiver<u8>, Queue<u8>, Sender<u32>);
    match part().as_deref() {
        Some("parent") => play(|alive: Sender<u32>| {
            let (sender, receiver) = ipc::channel::<u8>().unwrap();
            let queue = Queue::new().unwrap();
            let waits: Waits = (receiver, queue, alive);
            let _children = [(); 3].map(|()| start(TEST, "child", &waits));
            drop(waits);
            sedge::sleep(DEADLINE);
            drop(sender);
        }),
        Some(_) => play(|(receiver, queue, alive): Waits| {
            alive.send(&std::process::id()).unwrap();
            // Its own queue never ends, nor does a green thread that waits for it; the channel
            // does.
            let forever = thread::spawn(move || queue.get().is_ok());
            assert!(receiver.recv().unwrap_err().is_closed());
            forever.cancel();
        }),
        None => {}
    }
    test(|| {
        let (alive_sender, alive) = ipc::channel::<u32>().unwrap();
        let mut parent = start(TEST, "parent", &alive_sender);
        drop(alive_sender);
        let children = [(); 3].map(|()| alive.recv().unwrap());
        assert!(children.iter().all(|&child| child != parent.id()));
        parent.kill().unwrap();
        let ended = sedge::timeout(Duration::from_secs(2), || alive.recv());
        assert!(ended.expect("all have ended").unwrap_err().is_closed());
    });
}

#[derive(Serialize, Deserialize)]
struct Things {
    begin: Event,
    seats: Semaphore,
    seated: Counter,
    most: Counter,
    turns: Counter,
    left: Queue<i64>,
}

#[test]
fn events_semaphores_and_counters_are_the_same_in_all_processes() {
    const TEST: &str = "events_semaphores_and_counters_are_the_same_in_all_processes";
    const TURNS: i64 = 300;
    if part().is_some() {
        play(|things: Things| {
            things.begin.wait().unwrap();
            for _ in 0..TURNS {
                let seat = things.seats.acquire().unwrap();
                let seated = things.seated.add(1);
                if seated > things.most.get() {
                    things.most.set(seated);
                }
                sedge::yield_now();
                things.seated.add(-1);
                things.turns.add(1);
                drop(seat);
            }
            things.left.put(&things.turns.get()).unwrap();
        });
    }
    test(|| {
        let things = Things {
            begin: Event::new().unwrap(),
            seats: Semaphore::new(2).unwrap(),
            seated: Counter::new(0).unwrap(),
            most: Counter::new(0).unwrap(),
            turns: Counter::new(0).unwrap(),
            left: Queue::new().unwrap(),
        };
        let children = [(); 4].map(|()| start(TEST, "child", &things));
        sedge::sleep(Duration::from_millis(20));
        assert_eq!(things.turns.get(), 0);
        things.begin.set().unwrap();
        let mut last = 0;
        for _ in &children {
            last = last.max(things.left.get().unwrap());
        }
        assert_eq!(last, 4 * TURNS);
        assert_eq!((things.seated.get(), things.turns.get()), (0, 4 * TURNS));
        assert!((1..=2).contains(&things.most.get()));
        for child in children {
            assert!(wait(child).success());
        }
    });
}

#[test]
fn a_process_that_was_given_no_end_is_told_so() {
    const TEST: &str = "a_process_that_was_given_no_end_is_told_so";
    if part().is_some() {
        let error = ipc::inherited::<Sender<u8>>().unwrap_err();
        std::process::exit(i32::from(error.kind() == std::io::ErrorKind::NotFound));
    }
    test(|| {
        let child = Command::new("/proc/self/exe")
            .args([TEST, "--exact", "--test-threads=1"])
            .env(PART, "child")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(wait(child).code(), Some(1));
    });
}
