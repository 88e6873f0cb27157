//! Receiving as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::Slot;
use super::{Receiver, RecvError, TryRecvError};
use crate::thread::LocalWaker;

/// The next message of a channel; see [`Receiver::recv_async`].
///
/// If it is dropped when it was handed a message already, that goes to the next.
#[must_use = "a future does nothing unless it is polled"]
pub struct Recv<'a, T> {
    receiver: &'a Receiver<T>,
    /// Its place among those who wait.
    key: Option<u32>,
}

impl<'a, T> Recv<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> Recv<'a, T> {
        Recv {
            receiver,
            key: None,
        }
    }
}

impl<T> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let core = &*self.receiver.core;
        if let Some(key) = self.key {
            let place = core.to_receive.place(key);
            if place.is_granted() {
                self.key = None;
                return Poll::Ready(place.leave().message.ok_or(RecvError));
            }
            place.into_key();
            let waker = LocalWaker::new(context.waker());
            let place = core.to_receive.place(key);
            let old = place.change(|slot| slot.waker.replace(waker));
            place.into_key();
            drop(old);
            return Poll::Pending;
        }
        match core.try_recv() {
            Ok(message) => return Poll::Ready(Ok(message)),
            Err(TryRecvError::Disconnected) => return Poll::Ready(Err(RecvError)),
            Err(TryRecvError::Empty) => {}
        }
        assert!(
            core.timer.is_none(),
            "a future waits in vain for a channel of after, at, tick or never, for nobody sends \
             there: call recv on a green thread"
        );
        let slot = Slot {
            message: None,
            waker: Some(LocalWaker::new(context.waker())),
        };
        self.key = Some(core.to_receive.enter_task(slot).into_key());
        core.settle();
        core.notify();
        Poll::Pending
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let core = &*self.receiver.core;
            if let Some(message) = core.to_receive.place(key).leave().message {
                core.put_back(message);
            }
        }
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").finish_non_exhaustive()
    }
}
