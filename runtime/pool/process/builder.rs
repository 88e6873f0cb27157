//! How a pool of processes is made.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ProcessPool;
use super::codec;
use super::ship::Code;
use crate::launch::wire::{self, Line};

const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// What std gives an OS thread: tasks are written for that.
const STACK: usize = 2 << 20;
const LIMIT: usize = 16 << 20;

/// Makes a [`ProcessPool`] that is not as others.
///
/// ```
/// use sedge::pool::process::{self, Builder};
/// use std::time::Duration;
///
/// process::init();
/// sedge::run(|| {
///     let pool = Builder::new(1)
///         .task_timeout(Duration::from_secs(10))
///         .max_tasks(1000)
///         .start()?;
///     assert_eq!(pool.apply(|n: u32| n + 1, 41), 42);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Clone)]
#[must_use = "a Builder does nothing until it starts a pool"]
pub struct Builder {
    settings: Settings,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) workers: usize,
    queue_limit: Option<usize>,
    pub(super) task_timeout: Option<Duration>,
    pub(super) ready_timeout: Duration,
    pub(super) max_tasks: Option<u64>,
    pub(super) max_age: Option<Duration>,
    pub(super) max_memory: Option<u64>,
    pub(super) idempotent: bool,
    /// Bytes of an argument, or of a value.
    pub(super) limit: usize,
    pub(super) stack_size: usize,
    /// What prepares a worker, and its encoded argument.
    pub(super) initializer: Option<(Code, Vec<u8>)>,
}

impl Builder {
    /// For a pool of so many processes, with the defaults that each method names.
    ///
    /// # Panics
    ///
    /// If `workers` is zero.
    #[track_caller]
    pub fn new(workers: usize) -> Builder {
        assert!(workers > 0, "a pool of no processes would never run a task");
        Builder {
            settings: Settings {
                workers,
                queue_limit: None,
                task_timeout: None,
                ready_timeout: READY_TIMEOUT,
                max_tasks: None,
                max_age: None,
                max_memory: None,
                idempotent: false,
                limit: LIMIT,
                stack_size: STACK,
                initializer: None,
            },
        }
    }

    /// Calls `f` in every worker before its first task, on the OS thread that runs all its tasks:
    /// to open a connection or to load a model, say, into a `thread_local!` or a `static`. Python's
    /// `initializer` and `initargs`.
    ///
    /// A worker for which it fails ends. After three in a row the pool is broken: all its tasks,
    /// now and later, fail with [`TaskError::Broken`](super::TaskError::Broken) and the text of
    /// the error.
    ///
    /// # Panics
    ///
    /// If the argument cannot be encoded.
    #[track_caller]
    pub fn initializer<A, E>(mut self, f: fn(A) -> Result<(), E>, argument: A) -> Builder
    where
        A: Serialize + DeserializeOwned,
        E: fmt::Display,
    {
        let mut encoded = Vec::new();
        if let Err(why) = codec::encode(&argument, &mut encoded, self.settings.limit) {
            panic!("the initializer's argument cannot be encoded: {why}");
        }
        self.settings.initializer = Some((Code::of_initializer(f), encoded));
        self
    }

    /// How many tasks may wait that no worker has been sent; who submits one more waits. Default:
    /// four for each worker; zero counts as one.
    pub fn queue_limit(mut self, tasks: usize) -> Builder {
        self.settings.queue_limit = Some(tasks.max(1));
        self
    }

    /// How long a task may take from when it begins. It is then cancelled, as by
    /// [`Future::cancel`](crate::pool::Future::cancel), and fails with
    /// [`TaskError::TimedOut`](super::TaskError::TimedOut). Of `map` and its like, the limit holds
    /// for all items together that go to a worker at once. Default: as long as it likes.
    pub fn task_timeout(mut self, limit: Duration) -> Builder {
        self.settings.task_timeout = Some(limit);
        self
    }

    /// How long a worker may take to start, with its initializer. Default: 60 s.
    pub fn ready_timeout(mut self, limit: Duration) -> Builder {
        self.settings.ready_timeout = limit;
        self
    }

    /// Replaces a worker when it has done so many tasks: Python's `maxtasksperchild`. It goes on
    /// until the one that takes its place is ready, and then ends in order. Default: never.
    pub fn max_tasks(mut self, tasks: u64) -> Builder {
        self.settings.max_tasks = Some(tasks);
        self
    }

    /// Replaces a worker when it is so old, in the same way. Default: never.
    pub fn max_age(mut self, age: Duration) -> Builder {
        self.settings.max_age = Some(age);
        self
    }

    /// Replaces a worker, in the same way, when it has so many bytes of memory after a task.
    /// Default: never.
    pub fn max_memory(mut self, bytes: u64) -> Builder {
        self.settings.max_memory = Some(bytes);
        self
    }

    /// Says that it does no harm if a task is begun twice. Then one whose worker ends is given to
    /// another; if that ends too, the task has killed two workers, and fails. Default: no, a task
    /// is begun at most once.
    pub fn idempotent(mut self, idempotent: bool) -> Builder {
        self.settings.idempotent = idempotent;
        self
    }

    /// How many bytes an argument or a value may have when it is encoded. Default: 16 MiB.
    pub fn message_limit(mut self, bytes: usize) -> Builder {
        self.settings.limit = bytes;
        self
    }

    /// Stack of a task, as of [`Config::stack_size`](crate::Config::stack_size). Default: 2 MiB,
    /// as std gives to OS threads.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.settings.stack_size = bytes;
        self
    }

    /// Starts the processes; it does not wait until they are ready.
    ///
    /// # Errors
    ///
    /// If the system gives no process, or no descriptors: each worker needs six.
    ///
    /// # Panics
    ///
    /// If [`init`](super::init) was not called in this process; outside [`run`](crate::run).
    #[track_caller]
    pub fn start(self) -> io::Result<ProcessPool> {
        ProcessPool::start(self.settings)
    }
}

impl Settings {
    pub(super) fn queue_limit(&self) -> usize {
        self.queue_limit.unwrap_or(4 * self.workers)
    }

    /// Adds what a worker must know.
    pub(super) fn tell(&self, line: Line) -> Line {
        line.field("limit", self.limit)
            .field("stack", self.stack_size)
            .field("prepare", u8::from(self.initializer.is_some()))
    }
}

/// What a worker was told.
pub(super) struct Told {
    pub(super) limit: usize,
    pub(super) stack_size: usize,
    pub(super) prepare: bool,
}

impl Told {
    pub(super) fn read(line: &str) -> io::Result<Told> {
        Ok(Told {
            limit: wire::number(line, "limit")?,
            stack_size: wire::number(line, "stack")?,
            prepare: wire::number::<u8>(line, "prepare")? > 0,
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
