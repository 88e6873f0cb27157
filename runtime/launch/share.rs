//! The things that a worker shares with its siblings.

use std::any::type_name;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::worker::Worker;
use crate::ipc::{Counter, Event, Queue, Receiver, Semaphore, Sender};

/// What the workers of one launcher share by name. It is made by the first who asks for it, and
/// stays until the launcher ends: also when all workers were replaced, and over an upgrade. A
/// worker that [runs here](super::Launcher::run_here) shares it with itself.
///
/// # Errors
///
/// All of these fail if the name is used for something else already, or is longer than 1000 bytes;
/// if there are no descriptors left.
impl Worker {
    /// A queue that all workers put into and get from.
    ///
    /// ```no_run
    /// use sedge::launch::Launcher;
    ///
    /// # fn main() -> std::io::Result<std::process::ExitCode> {
    /// Launcher::new().run(|worker| {
    ///     let jobs = worker.queue::<String>("jobs")?;
    ///     worker.ready();
    ///     if worker.id() == 0 {
    ///         jobs.put(&"the first job".to_owned())?;
    ///     }
    ///     while let Some(job) = worker.draining().run_until_set(|| jobs.get()) {
    ///         sedge::println!("worker {} does {}", worker.id(), job?);
    ///     }
    ///     std::io::Result::Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the name is used for something else already, also for a queue of another type; if there
    /// are no descriptors left.
    pub fn queue<T>(&self, name: &str) -> io::Result<Queue<T>> {
        let (sender, receiver) = Queue::<T>::new()?.split();
        let ours = [sender.into_fd()?, receiver.into_fd()?];
        let kind = format!("queue<{}>", type_name::<T>());
        let [sender, receiver] = self.shared((name, &kind), ours)?;
        Ok((Sender::from(sender), Receiver::from(receiver)).into())
    }

    /// A flag that all workers wait for.
    ///
    /// # Errors
    ///
    /// As [`queue`](Worker::queue).
    pub fn event(&self, name: &str) -> io::Result<Event> {
        self.one(name, "event", &Event::new()?).map(Event::from)
    }

    /// Permits that all workers take from; so many of them, if this is the first who asks.
    ///
    /// # Errors
    ///
    /// As [`queue`](Worker::queue).
    pub fn semaphore(&self, name: &str, permits: u32) -> io::Result<Semaphore> {
        let ours = Semaphore::new(permits)?;
        self.one(name, "semaphore", &ours).map(Semaphore::from)
    }

    /// A number that all workers count with. It begins at zero.
    ///
    /// # Errors
    ///
    /// As [`queue`](Worker::queue).
    pub fn counter(&self, name: &str) -> io::Result<Counter> {
        let ours = Counter::new(0)?;
        self.one(name, "counter", &ours).and_then(Counter::try_from)
    }

    fn one(&self, name: &str, kind: &str, ours: &impl AsFd) -> io::Result<OwnedFd> {
        let ours = [ours.as_fd().try_clone_to_owned()?];
        let [fd] = self.shared((name, kind), ours)?;
        Ok(fd)
    }

    fn shared<const COUNT: usize>(
        &self,
        name: (&str, &str),
        ours: [OwnedFd; COUNT],
    ) -> io::Result<[OwnedFd; COUNT]> {
        let (questions, link) = self.questions();
        let fds = questions.ask(link, name, ours.into())?;
        let other = |_| io::Error::other("the launcher shares other descriptors than it should");
        fds.try_into().map_err(other)
    }
}
