//! The launcher, as its own program may ask and tell it.

use std::cell::OnceCell;
use std::fmt;
use std::rc::{Rc, Weak};

use super::commands;
use super::spawn::Program;
use super::status::Status;
use super::supervisor::Supervisor;

/// The launcher that runs in this process; from [`Launcher::control`](super::Launcher::control).
/// Clones are the same.
///
/// It is for what runs in the launcher itself, the hook of [`on_ready`](super::Launcher::on_ready)
/// and daemons that it spawns. From other processes, workers too, the [control
/// socket](super#the-control-socket) does the same and more.
///
/// ```no_run
/// use sedge::launch::Launcher;
/// use sedge::thread::Builder;
/// use std::process::ExitCode;
/// use std::time::Duration;
///
/// fn main() -> std::io::Result<ExitCode> {
///     let launcher = Launcher::new().bind("127.0.0.1:7000");
///     let control = launcher.control();
///     let report = move || loop {
///         sedge::sleep(Duration::from_secs(60));
///         if let Some(status) = control.status() {
///             sedge::eprintln!("{status}");
///         }
///     };
///     launcher
///         .on_ready(|_| drop(Builder::new().daemon(true).spawn(report)))
///         .run(|worker| {
///             worker.ready();
///             worker.draining().wait();
///             Ok(())
///         })
/// }
/// ```
#[derive(Clone, Default)]
pub struct Control(Rc<OnceCell<Weak<Supervisor>>>);

impl Control {
    /// Now it runs.
    pub(super) fn attach(&self, boss: &Rc<Supervisor>) {
        // A Launcher runs once.
        let _ = self.0.set(Rc::downgrade(boss));
    }

    fn boss(&self) -> Option<Rc<Supervisor>> {
        self.0.get()?.upgrade()
    }

    /// The launcher and its workers at this moment. `None` where no launcher runs: before
    /// [`run`](super::Launcher::run), after it, and in the workers.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.boss().map(|boss| commands::status(&boss))
    }

    /// Replaces the workers one by one, as `HUP` does. It does not wait for that; where no launcher
    /// runs, nothing happens.
    pub fn reload(&self) {
        if let Some(boss) = self.boss() {
            boss.roll_over.start(&boss, Program::Same);
        }
    }

    /// Ends in order, as `TERM` does. It does not wait for that; where no launcher runs, nothing
    /// happens.
    pub fn stop(&self) {
        if let Some(boss) = self.boss() {
            boss.stop(boss.settings.pre_drain_delay, boss.settings.drain_timeout);
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("runs", &self.boss().is_some())
            .finish_non_exhaustive()
    }
}
