//! What the launcher says, and what its workers do: lines, with the name of who speaks.
//!
//! Whoever reads them may stop doing so (a full pipe, a terminal at Ctrl-S). A worker's lines then
//! wait, and in the end the worker, as it would without a launcher. The launcher's own are put into
//! a queue, and dropped when that is full: it must go on watching.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::getpid;

use crate::channel::{self, Receiver, Sender};
use crate::io::{PipeReader, stderr, stdout};
use crate::thread::{Builder, JoinHandle};

/// Lines of the launcher that wait to be written.
const MOST_WAITING: usize = 1024;
/// A longer line is broken: a worker that never ends one must not fill the launcher's memory.
const LONGEST_LINE: u64 = 64 << 10;

/// The launcher's voice, to standard error.
#[derive(Clone)]
pub(super) struct Log {
    lines: Sender<String>,
    waiting: Rc<Cell<usize>>,
}

impl Log {
    /// Begins to write, on a green thread of its own.
    pub(super) fn start() -> io::Result<Log> {
        let (lines, receiver) = channel::bounded(MOST_WAITING);
        let waiting = Rc::new(Cell::new(0));
        let written = Rc::clone(&waiting);
        Builder::new()
            .name("launcher's log".into())
            .daemon(true)
            .spawn(move || write_all(&receiver, &written))?;
        Ok(Log { lines, waiting })
    }

    /// Says a line.
    pub(super) fn say(&self, line: impl fmt::Display) {
        let line = format!("[launcher {}] {line}\n", getpid());
        if self.lines.try_send(line).is_ok() {
            self.waiting.set(self.waiting.get() + 1);
        }
    }

    /// Waits until all is written; not for long, for perhaps nobody reads.
    pub(super) fn flush(&self) {
        for _ in 0..100 {
            if self.waiting.get() == 0 {
                return;
            }
            crate::sleep(Duration::from_millis(2));
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

fn write_all(lines: &Receiver<String>, waiting: &Cell<usize>) {
    for line in lines {
        // Nothing can be done about a standard error that is closed.
        let _ = stderr().write_all(line.as_bytes());
        waiting.set(waiting.get().saturating_sub(1));
    }
}

/// One of the two that a worker prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Carries a worker's lines on until it has closed the pipe.
pub(super) fn pump(from: Rc<PipeReader>, to: Stream, prefix: String) -> io::Result<JoinHandle<()>> {
    Builder::new()
        .name(format!("{}output", prefix.trim_start()))
        .daemon(true)
        .spawn(move || {
            let mut reader = BufReader::new(&*from);
            let mut line = Vec::new();
            loop {
                line.clear();
                line.extend_from_slice(prefix.as_bytes());
                let read = reader
                    .by_ref()
                    .take(LONGEST_LINE)
                    .read_until(b'\n', &mut line);
                if !matches!(read, Ok(1..)) {
                    return;
                }
                if line.last() != Some(&b'\n') {
                    line.push(b'\n');
                }
                // Nothing can be done about an output that is closed, and the worker must not stop
                // for it.
                let _ = match to {
                    Stream::Stdout => stdout().write_all(&line),
                    Stream::Stderr => stderr().write_all(&line),
                };
            }
        })
}
