//! Tests of the heartbeat and of the watch.

use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::hog::{Cause, why};
use super::*;
use crate::launch::board::{Board, SLOTS};

const MS: u64 = 1_000_000;

fn slot() -> &'static Slot {
    Board::create(SLOTS).unwrap().into_slot(3)
}

fn watch() -> Watch {
    Watch::new(Limits::default(), 0)
}

#[test]
fn it_beats_while_the_loop_turns() {
    let slot = slot();
    crate::run(|| {
        start(slot, || ()).unwrap();
        crate::yield_now();
        let first = slot.heartbeat.load(Relaxed);
        assert!(first > 0);
        let idle = crate::spawn(|| crate::sleep(Duration::from_secs(60)));
        crate::sleep(BEAT * 3);
        let second = slot.heartbeat.load(Relaxed);
        assert!(second > first && second <= now());
        assert_eq!(slot.green_threads.load(Relaxed), 3);
        idle.cancel();
    });
    // It ends with the run.
    let last = slot.heartbeat.load(Relaxed);
    std::thread::sleep(BEAT * 2);
    assert_eq!(slot.heartbeat.load(Relaxed), last);
}

#[test]
fn a_hog_shows_as_lag() {
    let slot = slot();
    crate::run(|| {
        start(slot, || ()).unwrap();
        crate::yield_now();
        std::thread::sleep(BEAT * 3);
        crate::sleep(Duration::from_millis(1));
        assert!(slot.loop_lag.load(Relaxed) >= BEAT.as_nanos() as u64);
    });
}

#[test]
fn silence_makes_a_worker_stalled_and_then_hung_and_a_beat_fresh() {
    let mut watch = watch();
    assert_eq!(watch.look(0, 1), None);
    let changes = |watch: &mut Watch, from: u64, to: u64| {
        let looks = (from..to).step_by(100);
        let changes = looks.filter_map(|ms| watch.look(ms * MS, 1).map(|verdict| (ms, verdict)));
        changes.collect::<Vec<_>>()
    };
    let expected = [(500, Verdict::Stalled), (30_000, Verdict::Hung)];
    assert_eq!(changes(&mut watch, 0, 40_000), expected);
    assert_eq!(watch.verdict(), Verdict::Hung);
    assert_eq!(watch.look(40_000 * MS, 2), Some(Verdict::Fresh));
    assert_eq!(watch.silence(), Duration::ZERO);
}

#[test]
fn what_the_launcher_has_slept_through_is_nobodys_silence() {
    let mut watch = watch();
    watch.look(0, 1);
    // The launcher was stopped for an hour, and the worker with it.
    assert_eq!(watch.look(3_600_000 * MS, 1), None);
    assert_eq!(watch.look(3_600_100 * MS, 1), None);
    assert_eq!(watch.look(3_600_200 * MS, 2), None);
}

#[test]
fn a_launcher_that_stalls_again_and_again_still_finds_a_hang() {
    let mut watch = watch();
    let looks = (0..1000).filter_map(|look| watch.look(look * 5000 * MS, 1));
    let verdicts: Vec<_> = looks.collect();
    assert_eq!(verdicts, [Verdict::Stalled, Verdict::Hung]);
}

#[test]
fn a_clock_that_goes_back_is_no_silence() {
    let mut watch = watch();
    watch.look(1000 * MS, 1);
    assert_eq!(watch.look(0, 1), None);
    assert!(watch.silence() <= Duration::from_millis(200));
}

proptest! {
    #[test]
    fn the_verdict_follows_from_the_witnessed_silence(
        looks in prop::collection::vec((0u64..2000, prop::bool::weighted(0.1)), 1..500),
    ) {
        let mut watch = watch();
        let (mut now, mut heartbeat, mut silence) = (0, 0, 0);
        let mut verdict = Verdict::Fresh;
        for (gap, beats) in looks {
            now += gap * MS;
            heartbeat += u64::from(beats);
            silence = if beats { 0 } else { silence + gap.min(200) };
            if let Some(change) = watch.look(now, heartbeat) {
                prop_assert_ne!(change, verdict);
                verdict = change;
            }
            prop_assert_eq!(watch.verdict(), verdict);
            let expected = match silence {
                0..500 => Verdict::Fresh,
                500..30_000 => Verdict::Stalled,
                _ => Verdict::Hung,
            };
            prop_assert_eq!(verdict, expected);
        }
    }
}

/// A process that ends when this is dropped.
struct Child(std::process::Child);

impl Child {
    fn spawn(command: &mut Command) -> Child {
        Child(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stopped_worker_is_said_to_be_stopped() {
    use rustix::process::{Pid, Signal, kill_process};
    crate::run(|| {
        let child = Child::spawn(Command::new("sleep").arg("60"));
        let slot = slot();
        // It has no handler, and survives the question.
        assert!(matches!(why(child.0.id(), slot), Cause::Silent(Some(_))));
        kill_process(Pid::from_child(&child.0), Signal::STOP).unwrap();
        while why(child.0.id(), slot) != Cause::Stopped {
            crate::sleep(Duration::from_millis(5));
        }
        let report = Cause::Stopped.report(3, 77, Duration::from_millis(30_049));
        assert_eq!(
            report,
            "worker 3 (pid 77) has not turned for 30 s: it is stopped, by SIGSTOP or a debugger"
        );
    });
}

/// A worker for the test below, which starts this test in a process of its own, as the handler is
/// one for all of it.
#[test]
fn helper_that_hogs() {
    if std::env::var_os("SEDGE_TEST_HOG").is_none() {
        return;
    }
    let fd = rustix::stdio::stdin().try_clone_to_owned().unwrap();
    let slot = Board::open(fd).unwrap().into_slot(3);
    // Not the main one, to which the kernel gives signals: that one must pass it on.
    let worker = std::thread::spawn(move || hog_in_the_loop(slot));
    worker.join().unwrap();
}

fn hog_in_the_loop(slot: &'static Slot) {
    crate::run(|| {
        hog::answer(slot).unwrap();
        start(slot, || ()).unwrap();
        crate::yield_now();
        let hog = Builder::new().name("greedy".to_owned());
        let hog = hog.spawn(|| std::thread::sleep(Duration::from_secs(60)));
        hog.unwrap().join().unwrap();
    });
}

#[test]
fn a_hog_is_named() {
    crate::run(|| {
        let board = Board::create(SLOTS).unwrap();
        let mut worker = Command::new(std::env::current_exe().unwrap());
        let name = "launch::beat::tests::helper_that_hogs";
        worker.args(["--exact", name, "--nocapture", "--test-threads=1"]);
        worker.env("SEDGE_TEST_HOG", "1").stdout(Stdio::null());
        worker.stdin(board.fd().try_clone_to_owned().unwrap());
        worker.stderr(Stdio::piped());
        let mut worker = Child(worker.spawn().unwrap());
        let pid = worker.0.id();
        let slot = board.slot(3);
        while slot.heartbeat.load(Relaxed) == 0 {
            crate::sleep(Duration::from_millis(5));
        }
        let mut watch = Watch::new(Limits::default(), now());
        while watch.look(now(), slot.heartbeat.load(Relaxed)) != Some(Verdict::Stalled) {
            crate::sleep(LOOK);
        }
        let cause = why(pid, slot);
        let report = cause.report(3, pid, Duration::from_secs(30));
        let start =
            format!("worker 3 (pid {pid}) has not turned for 30 s: green thread 'greedy' (#");
        assert!(report.starts_with(&start), "{report}");
        assert!(
            report.contains("(spawned at runtime/launch/beat/tests.rs:"),
            "{report}"
        );
        assert!(report.ends_with(") hogs it"), "{report}");
        worker.0.kill().unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut worker.0.stderr.take().unwrap(), &mut text).unwrap();
        assert!(text.contains("'greedy'"), "{text}");
    });
}
