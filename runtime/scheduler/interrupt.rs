//! What may unwind a green thread from outside: its cancellation, and the time limits it is inside
//! of.
//!
//! They nest like the calls that made them:
//!
//! ```text
//!   cancelled? | timeout 1 | timeout 2 | shield | timeout 4 | ...
//!                                        ^ nothing to the left of the last shield is due
//! ```
//!
//! Of all that has come to pass to the right of the last shield, the outermost is due: unwinding to
//! it ends what is inside of it too. Nothing is ever consumed, so one that user code catches is
//! still due at the next suspension, and a time limit that came to pass behind a shield is due when
//! that ends.

/// Which frame to unwind to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// The root: the green thread is cancelled.
    Cancel,
    /// The time limit on this level.
    Timeout(Level),
}

/// Names a frame of one green thread: how many it had entered before. No two limits have the same,
/// for user code can keep an unwinding that it caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(u64);

impl Level {
    /// That of a shield which only `outer` shields enclose, and before which nothing was entered
    /// but them.
    #[inline]
    pub(crate) fn of_shield(outer: u8) -> Level {
        Level(outer.into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Limit,
    Expired,
    Shield,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: Kind,
    level: Level,
}

/// The interrupts of one green thread.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    cancelled: bool,
    frames: Vec<Frame>,
    due: Option<Interrupt>,
    /// How many limits have passed that are not left yet.
    expired: usize,
    entered: u64,
}

impl Interrupts {
    /// What to unwind to at a suspension, if anything.
    #[inline]
    pub(crate) fn due(&self) -> Option<Interrupt> {
        self.due
    }

    pub(crate) fn cancel(&mut self) {
        self.cancelled = true;
        self.update();
    }

    pub(crate) fn enter_timeout(&mut self) -> Level {
        self.enter(Kind::Limit)
    }

    pub(crate) fn enter_shield(&mut self) -> Level {
        self.enter(Kind::Shield)
    }

    /// Ends the frame that is innermost, which is on `level`.
    pub(crate) fn leave(&mut self, level: Level) {
        let left = self.frames.pop();
        debug_assert_eq!(
            left.map(|frame| frame.level),
            Some(level),
            "frames are left as they were entered"
        );
        self.expired -= usize::from(left.is_some_and(|frame| frame.kind == Kind::Expired));
        self.update();
    }

    /// The limit on `level` has passed.
    pub(crate) fn expire(&mut self, level: Level) {
        let frame = self.frames.iter_mut().find(|frame| frame.level == level);
        if let Some(frame) = frame {
            self.expired += usize::from(frame.kind == Kind::Limit);
            frame.kind = Kind::Expired;
            self.update();
        }
    }

    /// Whether a limit is running that would unwind it when it passes.
    pub(crate) fn is_limited(&self) -> bool {
        let inside = self.frames.iter().rev();
        let mut inside = inside.take_while(|frame| frame.kind != Kind::Shield);
        inside.any(|frame| frame.kind == Kind::Limit)
    }

    fn enter(&mut self, kind: Kind) -> Level {
        let level = Level(self.entered);
        self.entered += 1;
        self.frames.push(Frame { kind, level });
        self.update();
        level
    }

    fn update(&mut self) {
        self.due = if self.cancelled || self.expired > 0 {
            self.find_due()
        } else {
            None
        };
    }

    #[cold]
    fn find_due(&self) -> Option<Interrupt> {
        let shield = self
            .frames
            .iter()
            .rposition(|frame| frame.kind == Kind::Shield);
        let first = shield.map_or(0, |level| level + 1);
        let expired = self.frames[first..]
            .iter()
            .find(|frame| frame.kind == Kind::Expired);
        match expired {
            _ if self.cancelled && shield.is_none() => Some(Interrupt::Cancel),
            Some(frame) => Some(Interrupt::Timeout(frame.level)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Interrupt, Interrupts};

    #[test]
    fn the_outermost_expired_limit_is_due() {
        let mut interrupts = Interrupts::default();
        let outer = interrupts.enter_timeout();
        let inner = interrupts.enter_timeout();
        interrupts.expire(inner);
        assert_eq!(interrupts.due(), Some(Interrupt::Timeout(inner)));
        interrupts.expire(outer);
        assert_eq!(interrupts.due(), Some(Interrupt::Timeout(outer)));
        interrupts.cancel();
        assert_eq!(interrupts.due(), Some(Interrupt::Cancel));
    }

    #[test]
    fn a_shield_hides_what_is_outside_and_only_that() {
        let mut interrupts = Interrupts::default();
        let outer = interrupts.enter_timeout();
        let shield = interrupts.enter_shield();
        let inner = interrupts.enter_timeout();
        interrupts.cancel();
        interrupts.expire(outer);
        assert_eq!(interrupts.due(), None);
        interrupts.expire(inner);
        assert_eq!(interrupts.due(), Some(Interrupt::Timeout(inner)));
        interrupts.leave(inner);
        assert_eq!(interrupts.due(), None);
        interrupts.leave(shield);
        assert_eq!(interrupts.due(), Some(Interrupt::Cancel));
    }

    #[test]
    fn a_limit_that_is_left_is_forgotten() {
        let mut interrupts = Interrupts::default();
        let level = interrupts.enter_timeout();
        interrupts.expire(level);
        interrupts.leave(level);
        assert_eq!(interrupts.due(), None);
        interrupts.expire(level);
        assert_eq!(interrupts.due(), None);
    }
}
