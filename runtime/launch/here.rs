//! The same closure without a launcher, in this process: for a debugger, a profiler, a test.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use super::config::{Balance, Bind, Settings};
use super::duty::{cancel_all, finish};
use super::master::{OnReady, Refusal, open};
use super::worker::{Socket, Worker};
use crate::server::Outcome;
use crate::signal::{SIGINT, SIGQUIT, SIGTERM, Signals};
use crate::thread::{Builder, Config};

/// Opens the sockets.
pub(super) fn prepare(binds: Vec<Bind>) -> Result<(Vec<Socket>, Vec<String>), Refusal> {
    let mut sockets = Vec::new();
    let mut addrs = Vec::new();
    for (index, bind) in binds.into_iter().enumerate() {
        // One worker needs one queue.
        for bound in open(index, bind, Balance::Shared, None)? {
            addrs.push(bound.addr.clone());
            let fd = bound.with_fds(|fds| fds[0].try_clone_to_owned())?;
            sockets.push(Socket::new(bound.kind, fd));
        }
    }
    Ok((sockets, addrs))
}

/// Runs the closure until it returns.
pub(super) fn run<F, R>(
    settings: &Settings,
    (sockets, addrs): (Vec<Socket>, Vec<String>),
    on_ready: OnReady,
    serve: F,
) -> io::Result<ExitCode>
where
    F: FnOnce(Worker) -> R,
    R: Outcome,
{
    let patience = (settings.drain_timeout, settings.interrupt_drain);
    Config::new().try_run(|| {
        let worker = Worker::alone(sockets);
        let signals = Signals::new([SIGTERM, SIGINT, SIGQUIT])?;
        let hearer = worker.clone();
        let daemon = Builder::new().name("hears signals".into()).daemon(true);
        daemon.spawn(move || hear(&hearer, &signals, patience))?;
        on_ready(&addrs);
        Ok(finish(&worker, serve))
    })?
}

/// The first signal drains; the second one, or the end of its time, cancels.
fn hear(worker: &Worker, signals: &Signals, (drain, interrupt): (Duration, Duration)) {
    let Ok(first) = signals.recv() else { return };
    worker.drain();
    let time = if first == SIGINT { interrupt } else { drain };
    let _ = crate::timeout(time, || signals.recv());
    cancel_all();
}
