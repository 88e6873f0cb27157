//! The life of a worker, told from inside.
//!
//! It does one task at a time, on a green thread of its own, so a task may use everything that is
//! green; meanwhile another green thread listens for words of the pool. A task that is computing
//! lets that one wait: nobody unwinds what does not wait, and the pool kills the process then.
//!
//! A worker ends with the pool: by the end of its orders, in order; by the end of the line, at
//! once, should the parent be gone in a way that its death signal does not tell.

use std::cell::RefCell;
use std::io;
use std::process;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use signal_hook::consts::SIGINT;

use super::builder::Told;
use super::codec::{self, Answers, Arguments};
use super::message::{Order, PREPARE, Reply, Word};
use super::panics;
use super::ship::{Code, SameProgram};
use crate::ipc::{Bytes, Receiver, Sender};
use crate::launch::door;
use crate::launch::wire::{self, Link, Message};
use crate::thread::{self, Builder, Config, Thread};

/// What a worker says with its exit code when it cannot go on: `EX_SOFTWARE`.
const FAILED: i32 = 70;

static WAS_CALLED: AtomicBool = AtomicBool::new(false);

/// Lets this process be a worker of a [`ProcessPool`](crate::pool::ProcessPool), if it was started
/// to be one; it then does not return. To be called as the first thing in `main`.
///
/// A worker is this program, executed once more, so it begins at `main` as well. What stands before
/// this call is done in every worker, what stands behind it is not. In Python, this is
/// `if __name__ == "__main__":`.
///
/// Nobody but the process that has made the worker's standard input for it is believed, so calling
/// this in a program that was started in another way does nothing.
///
/// ```
/// use sedge::pool::{ProcessPool, process};
///
/// fn main() -> std::io::Result<()> {
///     process::init();
///     sedge::run(|| {
///         let pool = ProcessPool::new(2)?;
///         assert_eq!(pool.map(|n: u64| n * n, 1..=3), [1, 4, 9]);
///         Ok(())
///     })
/// }
/// ```
pub fn init() {
    match door::pool_worker() {
        Ok(None) => WAS_CALLED.store(true, Ordering::Relaxed),
        Ok(Some((link, hello))) => {
            // A task may have a pool of its own.
            WAS_CALLED.store(true, Ordering::Relaxed);
            let code = serve(link, hello).map_or(FAILED, |()| 0);
            process::exit(code)
        }
        // Its parent is gone, and nobody is left to be told.
        Err(_) => process::exit(FAILED),
    }
}

pub(super) fn was_called() -> bool {
    WAS_CALLED.load(Ordering::Relaxed)
}

fn serve(link: Link, hello: Message) -> io::Result<()> {
    let told = Told::read(&hello.text)?;
    let same = SameProgram::verify(wire::field(&hello.text, "file")?);
    let same = same.ok_or_else(|| io::Error::other("another program than the pool's"))?;
    let mut fds = hello.fds.into_iter();
    let (Some(orders), Some(replies)) = (fds.next(), fds.next()) else {
        return Err(wire::malformed("no channels"));
    };
    // Ctrl-C goes to the workers too, but what becomes of them is the parent's to say. A handler
    // that does nothing, unlike SIG_IGN, is not passed on to what a task may execute.
    signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    panics::watch();
    Config::new().stack_size(told.stack_size).run(|| {
        let worker = Worker {
            orders: Receiver::from(orders),
            replies: Sender::from(replies),
            same,
            limit: told.limit,
            current: Rc::default(),
        };
        worker.orders.set_limit(usize::MAX);
        worker.replies.set_limit(usize::MAX);
        let current = Rc::clone(&worker.current);
        let ear = Builder::new().name("listens to the pool".to_owned());
        ear.daemon(true).spawn(move || listen(&link, &current))?;
        worker.work(told.prepare)
    })
}

/// The task that is running.
type Current = Rc<RefCell<Option<(u64, Thread)>>>;

fn listen(link: &Link, current: &Current) {
    while let Ok(Some(message)) = link.recv() {
        let wanted = wire::number::<u64>(&message.text, "task").ok();
        let running = current.borrow().clone();
        match running {
            Some((id, task)) if wanted == Some(id) && cfg!(panic = "unwind") => task.cancel(),
            _ => {}
        }
    }
    process::exit(FAILED)
}

struct Worker {
    orders: Receiver<Order>,
    replies: Sender<Reply>,
    same: SameProgram,
    limit: usize,
    current: Current,
}

impl Worker {
    fn work(&self, prepare: bool) -> io::Result<()> {
        if !prepare {
            self.reply(Word::Ready, PREPARE, 0, Vec::new())?;
        }
        loop {
            match self.orders.recv() {
                Ok(Order(code, id, count, arguments)) => {
                    let code = Code::from_bytes(&self.same, code);
                    self.answer(code, id, count, arguments)?;
                }
                Err(error) if error.is_closed() => break,
                Err(error) => return Err(error.into()),
            }
        }
        // What tasks have left running is not waited for.
        let me = thread::current().id();
        if cfg!(panic = "unwind") {
            let left = thread::all();
            left.iter()
                .filter(|thread| thread.id() != me)
                .for_each(Thread::cancel);
        }
        Ok(())
    }

    fn answer(&self, code: Code, id: u64, count: u32, arguments: Bytes) -> io::Result<()> {
        let limit = self.limit;
        let run = move || {
            let mut answers = Answers::new(limit);
            code.call(Arguments::new(&arguments, count), &mut answers);
            answers
        };
        let begun = Instant::now();
        let task = Builder::new().name(format!("task {id}")).spawn(run)?;
        self.current.replace(Some((id, task.thread().clone())));
        let answers = task.join();
        self.current.replace(None);
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        match answers {
            Ok(answers) if id == PREPARE => self.prepared(&answers),
            Ok(answers) => self.reply(Word::Done, id, nanos, answers.into_bytes()),
            Err(error) if error.is_cancelled() && id != PREPARE => {
                self.reply(Word::Cancelled, id, nanos, Vec::new())
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// What the initializer says.
    fn prepared(&self, answers: &Answers) -> io::Result<()> {
        let answer = codec::read_answers(answers.bytes(), 1, process::id()).pop();
        let why = match answer {
            Some(Ok(Ok(()))) => return self.reply(Word::Ready, PREPARE, 0, Vec::new()),
            Some(Ok(Err(why))) => why,
            Some(Err(error)) => format!("the initializer {error}"),
            None => String::new(),
        };
        self.reply(Word::Unfit, PREPARE, 0, why.into_bytes())?;
        Err(io::Error::other("the initializer has failed"))
    }

    fn reply(&self, word: Word, id: u64, nanos: u64, bytes: Vec<u8>) -> io::Result<()> {
        let reply = Reply(word, id, nanos, Bytes(bytes));
        Ok(self.replies.send(&reply)?)
    }
}
