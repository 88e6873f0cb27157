//! What systemd is told, by one green thread that looks at the launcher from outside.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::supervisor::{Phase, Supervisor};
use super::systemd::Systemd;
use crate::thread::Builder;

/// How often the line for `systemctl status` is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What cancelling and killing take at most, after all patience.
const END_TIME: Duration = Duration::from_secs(5);

/// Begins to tell, if somebody listens.
pub(super) fn start(boss: &Rc<Supervisor>) -> io::Result<()> {
    let systemd = Systemd::from_env();
    if systemd.listens() {
        let boss = Rc::clone(boss);
        let teller = Builder::new().name("tells systemd".into()).daemon(true);
        teller.spawn(move || tell(&boss, &systemd))?;
    }
    Ok(())
}

fn tell(boss: &Supervisor, systemd: &Systemd) {
    let pause = systemd.watchdog_interval().unwrap_or(LOOK).min(LOOK);
    let (mut phase, mut status) = (Phase::Starting, String::new());
    loop {
        let is = boss.phase();
        let line = status_line(boss);
        let told = match is {
            Phase::Ready if is != phase => systemd.ready(&line),
            Phase::Reloading if is != phase => systemd.reloading(),
            Phase::Stopping if is != phase => {
                let settings = &boss.settings;
                let limit = settings
                    .pre_drain_delay
                    .saturating_add(settings.drain_timeout)
                    .saturating_add(END_TIME);
                systemd.stopping().and_then(|()| systemd.extend(limit))
            }
            _ if line != status => systemd.status(&line),
            _ => Ok(()),
        };
        // This green thread runs, so the launcher's loop turns.
        let is_well = boss.is_stopping() || boss.serving().iter().any(|c| !boss.is_stalled(c));
        let told = match systemd.watchdog_interval() {
            Some(_) if is_well => told.and_then(|()| systemd.watchdog()),
            _ => told,
        };
        if let Err(error) = told {
            boss.log.say(format_args!("cannot tell systemd: {error}"));
        }
        (phase, status) = (is, line);
        boss.changes.wait(pause, || boss.phase() != phase);
    }
}

fn status_line(boss: &Supervisor) -> String {
    let (serving, slots) = (boss.serving().len(), boss.slots.borrow().len());
    match boss.phase() {
        Phase::Stopping => format!("{} workers finish", boss.children().len()),
        _ if serving < slots => format!("degraded: {serving} of {slots} workers serve"),
        _ => format!("{slots} workers serve"),
    }
}
