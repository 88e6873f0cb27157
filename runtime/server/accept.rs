//! The loop of every server: wait for a place, take what comes, give it to a green thread.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Shutdown;
use super::failure::{Report, is_final};
use super::handle::{Alive, Place, ServerHandle};
use crate::thread::Builder;

/// The first pause after a failure, and the longest: each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How many are taken after the word to stop: as many as the default budget of I/O calls lets
/// through, and an end for listeners that never wait.
const MOST_LATE: u32 = 64;

/// What a server is apart from what it accepts and does with it.
pub(super) struct Frame<A> {
    pub(super) alive: Alive<A>,
    pub(super) report: Report<A>,
    /// How many may be served at once.
    pub(super) most: usize,
    pub(super) threads: Builder,
}

impl<A: fmt::Debug + 'static> Frame<A> {
    pub(super) fn new(local_addr: Option<A>) -> Frame<A> {
        Frame {
            alive: Alive(ServerHandle::new(local_addr)),
            report: Report::print(),
            most: usize::MAX,
            threads: Builder::new(),
        }
    }

    pub(super) fn handle(&self) -> ServerHandle<A> {
        self.alive.0.clone()
    }

    fn stopping(&self) -> &Shutdown {
        self.alive.0.stopping()
    }

    /// A builder with the server's name.
    pub(super) fn acceptor(&self) -> Builder {
        let name = match self.alive.0.local_addr() {
            Some(addr) => format!("server at {addr:?}"),
            None => "server".to_owned(),
        };
        Builder::new().name(name)
    }

    /// Serves until it is stopped or can accept no more; what is at work then is not waited for.
    pub(super) fn accept_all(
        &self,
        mut accept_one: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let shared = &self.alive.0.0;
        let stopping = self.stopping();
        let mut pause = FIRST_PAUSE;
        let mut late = 0;
        // When the word is given, the next wait ends the call: what is there is taken until then.
        while late < MOST_LATE {
            late += u32::from(stopping.is_set());
            let accepted = stopping.run_until_set(|| {
                shared.wait_for_place(self.most);
                accept_one()
            });
            match accepted {
                None => break,
                Some(Ok(())) => pause = FIRST_PAUSE,
                Some(Err(error)) if is_final(&error) => return Err(error),
                Some(Err(error)) => {
                    self.report.tell(None, error);
                    // A listener may fail at once and for ever, and must not keep the others out.
                    stopping.wait_timeout(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Serves one on a green thread of its own.
    pub(super) fn serve(&self, work: impl FnOnce(Place<A>) + 'static) -> io::Result<()> {
        let shared = &self.alive.0.0;
        let place = shared.take_place();
        let key = place.key;
        let handle = self.threads.clone().spawn(move || work(place))?;
        shared.give_place(key, handle.thread());
        Ok(())
    }

    /// The listener is gone: tells those at work, and waits for them.
    pub(super) fn finish(&self) {
        self.alive.closed();
        self.alive.0.stop();
        self.alive.0.0.wait_for_all();
    }
}
