//! Why a task in another process gives no value.

use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::pool::JobError;

/// What has become of a task of a [`ProcessPool`](crate::pool::ProcessPool) that has no value and
/// was not cancelled: [`JobError::task`].
///
/// An `Err` that the function returns is a value as any other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked. The worker has printed that, and goes on.
    Panicked {
        /// The text of the panic; none if the payload was no text.
        message: Option<String>,
        /// File, line and column; none if the program's panic hook does not call the one before.
        location: Option<String>,
        /// With `RUST_BACKTRACE` in the environment.
        backtrace: Option<String>,
        /// The worker's process id.
        worker: u32,
    },
    /// Its worker ended while it ran. Other tasks are not affected, and the worker is replaced.
    WorkerLost {
        /// The exit code, if the process has exited.
        exit: Option<i32>,
        /// The signal that has killed the process, if one did. The kernel, when memory runs out,
        /// sends `SIGKILL`, which is 9.
        signal: Option<i32>,
        /// The number of the task, in the order in which they were submitted.
        task: u64,
        /// The worker's process id.
        pid: u32,
    },
    /// It took longer than [`task_timeout`](super::Builder::task_timeout) says, and was cancelled.
    TimedOut(Duration),
    /// Its argument could not be encoded here, or decoded in the worker.
    Argument(String),
    /// Its value could not be encoded in the worker, or decoded here.
    Value(String),
    /// The pool has no workers: three in a row did not start, the last one for this reason. The
    /// task was not begun.
    Broken(String),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Panicked {
                message,
                location,
                worker,
                ..
            } => {
                write!(f, "panicked in worker {worker}")?;
                if let Some(location) = location {
                    write!(f, " at {location}")?;
                }
                let message = message.as_deref();
                write!(
                    f,
                    ": {}",
                    message.unwrap_or("with a payload that is no text")
                )
            }
            TaskError::WorkerLost {
                exit,
                signal,
                task,
                pid,
            } => {
                let how = how(*exit, *signal);
                write!(f, "was lost: worker {pid} {how} during its task {task}")
            }
            TaskError::TimedOut(limit) => write!(f, "took longer than {limit:?}"),
            TaskError::Argument(why) => {
                write!(
                    f,
                    "failed: its argument cannot go to another process: {why}"
                )
            }
            TaskError::Value(why) => {
                write!(
                    f,
                    "failed: its value cannot come from another process: {why}"
                )
            }
            TaskError::Broken(why) => {
                write!(f, "was not begun: no worker of its pool starts: {why}")
            }
        }
    }
}

/// How a process has ended, in words.
pub(super) fn how(exit: Option<i32>, signal: Option<i32>) -> String {
    match (exit, signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("was killed by {name}"),
            None => format!("was killed by signal {signal}"),
        },
        (None, None) => "ended, nobody knows how,".to_owned(),
    }
}

impl Error for TaskError {}

impl JobError {
    /// What has become of it, if it was in another process and not cancelled.
    ///
    /// ```no_run
    /// # use sedge::pool::{Future, process::TaskError};
    /// # fn f(job: Future<u32>) {
    /// match job.result() {
    ///     Ok(value) => println!("{value}"),
    ///     Err(error) => match error.task() {
    ///         Some(TaskError::WorkerLost { pid, .. }) => println!("{pid} is no more"),
    ///         _ => println!("{error}"),
    ///     },
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn task(&self) -> Option<&TaskError> {
        self.source()?.downcast_ref()
    }

    pub(super) fn of_task(error: TaskError, submitted_at: &'static Location<'static>) -> JobError {
        let panic = match &error {
            TaskError::Panicked { message, .. } => {
                let message = message.as_deref();
                Some(message.unwrap_or("a payload that is no text").to_owned())
            }
            _ => None,
        };
        JobError::failed(submitted_at, Box::new(error), panic)
    }
}
