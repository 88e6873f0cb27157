//! Between green threads and futures: `block_on` runs a future on a green thread, and a
//! [`JoinHandle`] is a future for whoever polls it.
//!
//! The waker of a `block_on` may go anywhere, to other OS threads too, so it holds a door: as long
//! as a clone of it exists, somebody may wake the green thread, and the scheduler waits. The call
//! itself keeps none while it is parked; when the last clone goes away without having woken it, it
//! is part of a deadlock, and reported. What belongs to this OS thread, as the packet of a green
//! thread does, keeps a [`LocalWaker`], which holds no door.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, RawWakerVTable, Wake, Waker};

use super::unwind;
use super::{JoinError, JoinHandle, Result, ThreadId};
use crate::coroutine;
use crate::scheduler::{self, Door, Message};
use crate::stats::Reason;

/// Runs a future on this green thread, which is parked while the future is not ready, and returns
/// its value. The other green threads run meanwhile. As `block_on` of the `futures` crate.
///
/// The future is polled again when its waker was called, from whatever OS thread, and perhaps
/// without. It need be neither `Send` nor `'static`. What it polls may use green threads and wait
/// as these do, even call `block_on`; that parks this green thread, and all of the future with it.
/// If the green thread is cancelled, or a [`timeout`](crate::timeout) around the call passes, the
/// future is dropped.
///
/// There is no reactor of another runtime here: a socket of tokio's or async-io's works if its
/// runtime's own OS threads look after it. The futures of sedge are [`JoinHandle`]s and the
/// messages of a channel (`Receiver::recv_async`).
///
/// While a clone of the waker exists, somebody may still wake this green thread, as with a
/// [`Remote`](crate::thread::Remote), so that no deadlock is reported. sedge's own futures keep
/// none: waiting for a green thread that waits for this one is a deadlock as ever.
///
/// ```
/// sedge::run(|| {
///     let six = sedge::spawn(|| 6);
///     let product = async {
///         let seven = sedge::spawn(|| 7);
///         six.await.unwrap() * seven.await.unwrap()
///     };
///     assert_eq!(sedge::block_on(product), 42);
/// });
/// ```
///
/// # Panics
///
/// With a panic of the future; outside [`run`](crate::run).
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let mut wakers = Wakers::new();
    loop {
        wakers.call.woken.store(false, Ordering::SeqCst);
        let waker = wakers.waker();
        let poll = {
            let _stretch = Stretch::new();
            future.as_mut().poll(&mut Context::from_waker(&waker))
        };
        // If nobody else has one, nobody can wake this green thread, and the loop may know it.
        drop(waker);
        if let Poll::Ready(value) = poll {
            return value;
        }
        if wakers.call.is_woken() {
            // Woken while it was polled, again perhaps: the others first. This also lets the loop
            // read what another OS thread has left in the inbox for each time.
            give_way();
        }
        while !wakers.call.is_woken() {
            unwind::park_always(Reason::Future, None);
        }
    }
}

/// Lets the others run; while unwinding too, for they may be who is waited for.
fn give_way() {
    if scheduler::is_unwinding() {
        scheduler::yield_unwinding();
    } else {
        unwind::yield_now();
    }
}

/// A poll: what is in there must not leave for another tower.
struct Stretch;

impl Stretch {
    fn new() -> Stretch {
        coroutine::enter_stretch();
        Stretch
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        coroutine::leave_stretch();
    }
}

/// One `block_on` that is going on.
struct Call {
    woken: AtomicBool,
    thread: ThreadId,
    /// The number of its scheduler.
    scheduler: u64,
}

impl Call {
    fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// Notes that it is to poll again, and wakes it through `door` if it is on another OS thread.
    /// Many that come before it polls are as one.
    fn wake(&self, door: Option<&Door>) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        let woken = scheduler::try_with(|scheduler| {
            let here = scheduler.number() == self.scheduler;
            if here {
                scheduler.wake(self.thread);
            }
            here
        });
        if let (None | Some(false), Some(door)) = (woken, door) {
            // If its scheduler has ended, so has the call.
            let _ = door.send(Message::Wake(self.thread));
        }
    }
}

/// What a `Waker` of a call shares with its clones.
struct Signal {
    call: Arc<Call>,
    door: Door,
}

impl Drop for Signal {
    fn drop(&mut self) {
        if scheduler::try_with(|scheduler| scheduler.number()) == Some(self.call.scheduler) {
            self.door.close_at_home();
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Signal>) {
        self.call.wake(Some(&self.door));
    }

    fn wake_by_ref(self: &Arc<Signal>) {
        self.call.wake(Some(&self.door));
    }
}

/// The wakers of a call: those that exist are clones of one.
struct Wakers {
    call: Arc<Call>,
    /// Gone when all clones are. Its place in memory is not used again as long as this is kept.
    signal: Weak<Signal>,
}

/// How wakers of a call look, and which it is.
type Entry = (&'static RawWakerVTable, Arc<Call>);

thread_local! {
    /// The calls on this OS thread, by the address that their wakers hold.
    static CALLS: RefCell<HashMap<usize, Entry>> = RefCell::default();
}

impl Wakers {
    #[track_caller]
    fn new() -> Wakers {
        let call = scheduler::with(|scheduler| Call {
            woken: AtomicBool::new(false),
            thread: scheduler.current(),
            scheduler: scheduler.number(),
        });
        Wakers {
            call: Arc::new(call),
            signal: Weak::new(),
        }
    }

    /// One that wakes as those before it do, as long as one of them is left.
    fn waker(&mut self) -> Waker {
        if let Some(signal) = self.signal.upgrade() {
            return Waker::from(signal);
        }
        self.forget();
        let signal = Arc::new(Signal {
            call: Arc::clone(&self.call),
            door: scheduler::with(|scheduler| scheduler.door()),
        });
        self.signal = Arc::downgrade(&signal);
        let waker = Waker::from(signal);
        let entry = (waker.vtable(), Arc::clone(&self.call));
        let _ = CALLS.try_with(|calls| calls.borrow_mut().insert(waker.data().addr(), entry));
        waker
    }

    fn forget(&self) {
        let address = self.signal.as_ptr().addr();
        let _ = CALLS.try_with(|calls| calls.borrow_mut().remove(&address));
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.forget();
    }
}

/// A waker that stays on this OS thread, for what can only be waited for here.
pub(crate) struct LocalWaker(Kind);

enum Kind {
    /// That of a [`block_on`] of this OS thread, without a door.
    Call(Arc<Call>),
    Other(Waker),
}

impl LocalWaker {
    /// One that wakes as `waker` does. May run code of the user's, as cloning and dropping a
    /// `Waker` does.
    pub(crate) fn new(waker: &Waker) -> LocalWaker {
        let find = |calls: &RefCell<HashMap<usize, Entry>>| {
            let calls = calls.borrow();
            let found = calls.get(&waker.data().addr());
            let found = found.filter(|(vtable, _)| *vtable == waker.vtable());
            found.map(|(_, call)| Arc::clone(call))
        };
        match CALLS.try_with(find) {
            Ok(Some(call)) => LocalWaker(Kind::Call(call)),
            _ => LocalWaker(Kind::Other(waker.clone())),
        }
    }

    /// May run code of the user's.
    pub(crate) fn wake(self) {
        match self.0 {
            Kind::Call(call) => call.wake(None),
            Kind::Other(waker) => waker.wake(),
        }
    }
}

/// Ready when the green thread has ended, with what [`join`](JoinHandle::join) would return. For
/// [`block_on`], and for any executor on the same OS thread. Who polled it last is woken; dropping
/// it detaches the green thread.
///
/// # Panics
///
/// If it is polled again after it was ready.
impl<T> Future for JoinHandle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let packet = self.packet();
        if !packet.is_finished() {
            let before = packet.set_waker(Some(LocalWaker::new(context.waker())));
            drop(before);
            return Poll::Pending;
        }
        let result = packet.take();
        let result = result.expect("a JoinHandle was polled after it had given its result");
        Poll::Ready(result.map_err(|payload| JoinError::new(self.thread(), payload)))
    }
}

/// Takes back the waker, which may be all that keeps somebody waiting.
impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if self.packet().is_observed() {
            drop(self.packet().set_waker(None));
        }
    }
}
