//! Who listens to the workers' heartbeats: one green thread for all.
//!
//! A worker whose loop has not turned for half a second is stalled, and its siblings empty its
//! queue. One that has not for the `hang_timeout` hangs: it is asked by a signal which green thread
//! keeps it from turning, then aborted, which leaves a core file where those are wanted, then
//! killed. One that somebody has stopped (`SIGSTOP`, a debugger) is left alone, but for its queue.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::process::Signal;

use super::beat::hog::{Cause, why};
use super::beat::{LOOK, Limits, Verdict, Watch};
use super::board::now;
use super::child::{Child, Urgency};
use super::supervisor::Supervisor;
use crate::thread::Builder;

/// Between `SIGABRT` and `SIGKILL`: for a core file to be written.
const ABORT_TIME: Duration = Duration::from_secs(5);

/// Begins to watch.
pub(super) fn start(boss: &Rc<Supervisor>) -> io::Result<()> {
    let boss = Rc::clone(boss);
    let watcher = Builder::new()
        .name("watches heartbeats".into())
        .daemon(true);
    watcher.spawn(move || {
        let mut watches = HashMap::new();
        loop {
            crate::sleep(LOOK);
            look(&boss, &mut watches);
        }
    })?;
    Ok(())
}

fn look(boss: &Rc<Supervisor>, watches: &mut HashMap<usize, Watch>) {
    let serving = boss.serving();
    // A record has another owner when this one has ended.
    watches.retain(|record, _| serving.iter().any(|child| child.record.index == *record));
    let limits = Limits {
        hang: boss.settings.hang_timeout,
        ..Limits::default()
    };
    for child in serving {
        let now = now();
        let watch = watches.entry(child.record.index);
        let watch = watch.or_insert_with(|| Watch::new(limits, now));
        match watch.look(now, child.record.heartbeat.load(Relaxed)) {
            None => {}
            Some(Verdict::Fresh) => boss.orphans.remove(boss, child.id),
            Some(Verdict::Stalled) => boss.orphans.add(boss, child.id),
            Some(Verdict::Hung) => {
                let silence = watch.silence();
                let name = format!("{} hangs", child.name());
                if let Err(error) = boss.look_after(name, move |boss| abort(boss, &child, silence))
                {
                    boss.log.say(format_args!("cannot abort a worker: {error}"));
                }
            }
        }
    }
}

/// Says why a worker hangs, and makes an end of it.
fn abort(boss: &Supervisor, child: &Child, silence: Duration) {
    let pid = child.record.pid.load(Relaxed);
    let cause = why(pid, &child.record);
    boss.log.say(cause.report(child.id, pid, silence));
    if cause != Cause::Stopped {
        child.signal(Signal::ABORT);
        boss.changes.wait(ABORT_TIME, || child.has_ended());
        child.hurry(Urgency::Kill);
    }
}
