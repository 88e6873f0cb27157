//! Channels that the clock sends into: `after`, `tick`, and `never`, into which nobody does.
//!
//! Nothing runs for them: who receives looks at the clock, and parks until the next message is due.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::Receiver;

/// Makes the messages of a channel when they are due.
pub(crate) struct Timer<T> {
    next: Cell<Option<Instant>>,
    period: Option<Duration>,
    make: fn(Instant) -> T,
}

impl<T> Timer<T> {
    /// When the next message is due, if there is one.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.get()
    }

    pub(super) fn is_due(&self) -> bool {
        self.next().is_some_and(|next| next <= Instant::now())
    }

    /// Takes the message that is due.
    pub(super) fn take(&self) -> Option<T> {
        let due = self.next()?;
        let now = Instant::now();
        if now < due {
            return None;
        }
        // Ticks that were missed are dropped.
        self.next
            .set(self.period.and_then(|period| now.checked_add(period)));
        Some((self.make)(due))
    }
}

fn clock(first: Option<Instant>, period: Option<Duration>) -> Receiver<Instant> {
    Receiver::of_timer(Timer {
        next: Cell::new(first),
        period,
        make: |instant| instant,
    })
}

/// A channel that delivers one message, `duration` from now, and then nothing: the instant at which
/// it was due. It is never disconnected.
///
/// ```
/// use sedge::channel::{after, select, unbounded};
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let (_sender, receiver) = unbounded::<i32>();
///     select! {
///         recv(receiver) -> _ => unreachable!("nobody sends"),
///         recv(after(Duration::from_millis(2))) -> _ => println!("timed out"),
///     }
/// });
/// ```
#[must_use]
pub fn after(duration: Duration) -> Receiver<Instant> {
    clock(Instant::now().checked_add(duration), None)
}

/// A channel that delivers one message, at `when`, and then nothing.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// sedge::run(|| {
///     let when = Instant::now() + Duration::from_millis(2);
///     assert_eq!(sedge::channel::at(when).recv(), Ok(when));
///     assert!(Instant::now() >= when);
/// });
/// ```
#[must_use]
pub fn at(when: Instant) -> Receiver<Instant> {
    clock(Some(when), None)
}

/// A channel that delivers a message every `period`. Who comes late gets one message, however many
/// would have come meanwhile, and the next a period later.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// sedge::run(|| {
///     let begin = Instant::now();
///     let ticks = sedge::channel::tick(Duration::from_millis(2));
///     ticks.iter().take(3).for_each(drop);
///     assert!(begin.elapsed() >= Duration::from_millis(6));
/// });
/// ```
#[must_use]
pub fn tick(period: Duration) -> Receiver<Instant> {
    clock(Instant::now().checked_add(period), Some(period))
}

/// A channel that never delivers anything and is never disconnected: the place of an operation that
/// a [`select!`](crate::channel::select) has no use for at that moment. Who waits for it alone is
/// deadlocked.
///
/// ```
/// use sedge::channel::{never, select, unbounded};
///
/// let (sender, receiver) = unbounded();
/// let second: Option<&sedge::channel::Receiver<i32>> = None;
/// sender.send(1).unwrap();
/// select! {
///     recv(receiver) -> message => assert_eq!(message, Ok(1)),
///     recv(second.unwrap_or(&never())) -> _ => unreachable!(),
/// }
/// ```
#[must_use]
pub fn never<T>() -> Receiver<T> {
    Receiver::of_timer(Timer {
        next: Cell::new(None),
        period: None,
        make: |_| unreachable!("it is never due"),
    })
}
