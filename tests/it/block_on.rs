//! Futures on green threads, and green threads as futures.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_channel::{mpsc, oneshot};
use futures_lite::{FutureExt, StreamExt, future, pin};
use sedge::generator::Generator;
use sedge::sync::Mutex;
use sedge::{Reason, State, block_on, spawn, thread, yield_now};

use crate::util::{FOREVER, Log, OnDrop, Watchdog, ms, panic_of, run, until};

/// A future that is ready when it is polled for the second time; keeps its waker in `place`.
fn second_poll(place: &RefCell<Option<Waker>>) -> impl Future<Output = ()> + '_ {
    let mut polled = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        *place.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    })
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Count>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_future_that_is_ready_gives_its_value_without_a_wait() {
    run(|| {
        assert_eq!(block_on(async { 42 }), 42);
        assert_eq!(sedge::stats().parks[Reason::Future], 0);
    });
}

#[test]
fn it_need_be_neither_send_nor_static() {
    run(|| {
        let count = Rc::new(Cell::new(1));
        let borrowed = &count;
        block_on(async { borrowed.set(borrowed.get() + 1) });
        assert_eq!(count.get(), 2);
    });
}

#[test]
fn on_its_own_os_thread_it_makes_no_system_call() {
    sedge::run(|| {
        let polls = sedge::stats().polls;
        for i in 0..200 {
            assert_eq!(block_on(async { spawn(|| 1).await.unwrap() + i }), i + 1);
            block_on(future::yield_now());
        }
        // A wake of the loop would have been looked for by its next turn.
        assert_eq!(sedge::stats().polls, polls);
    });
}

#[test]
fn it_parks_until_the_waker_is_called_and_others_run_meanwhile() {
    run(|| {
        let place = Rc::new(RefCell::new(None::<Waker>));
        let inner = Rc::clone(&place);
        let waiter = spawn(move || block_on(second_poll(&inner)));
        until(waiter.thread(), State::Parked(Reason::Future));
        place.take().unwrap().wake();
        waiter.join().unwrap();
    });
}

#[test]
fn another_os_thread_may_wake_it() {
    run(|| {
        for _ in 0..200 {
            let (sender, receiver) = oneshot::channel();
            let thread = std::thread::spawn(move || sender.send(7).unwrap());
            assert_eq!(block_on(receiver), Ok(7));
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_stream_from_another_os_thread_arrives_whole() {
    run(|| {
        let (sender, mut receiver) = mpsc::unbounded();
        let thread = std::thread::spawn(move || {
            for i in 0..10_000 {
                sender.unbounded_send(i).unwrap();
            }
        });
        let sum = block_on(async {
            let mut sum = 0_u64;
            while let Some(i) = receiver.next().await {
                sum += i;
            }
            sum
        });
        assert_eq!(sum, 49_995_000);
        thread.join().unwrap();
    });
}

#[test]
fn without_a_remote_a_waker_elsewhere_keeps_it_from_being_a_deadlock() {
    let _watchdog = Watchdog::new();
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(ms(20));
        sender.send(7).unwrap();
    });
    assert_eq!(sedge::run(|| block_on(receiver)), Ok(7));
    thread.join().unwrap();
}

#[test]
fn a_future_that_nobody_can_wake_is_a_deadlock() {
    let _watchdog = Watchdog::new();
    let text = panic_of(|| sedge::run(|| block_on(pending::<()>())));
    assert!(text.contains("parked (future)"), "{text}");
}

#[test]
fn a_waker_that_goes_away_unused_leaves_a_deadlock() {
    let _watchdog = Watchdog::new();
    let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
    let thread = std::thread::spawn(move || {
        let waker = receiver.recv().unwrap();
        std::thread::sleep(ms(10));
        drop(waker);
    });
    let lost = poll_fn(move |context| {
        sender.send(context.waker().clone()).unwrap();
        Poll::<()>::Pending
    });
    let text = panic_of(|| sedge::run(|| block_on(lost)));
    assert!(text.contains("parked (future)"), "{text}");
    thread.join().unwrap();
}

#[test]
fn waiting_for_a_green_thread_that_waits_for_ever_is_a_deadlock() {
    let _watchdog = Watchdog::new();
    let text = panic_of(|| sedge::run(|| block_on(spawn(thread::park))));
    assert!(text.contains("parked (future)") && text.contains("parked (park)"));
}

#[test]
fn a_wake_before_the_park_is_not_lost() {
    run(|| {
        let mut left = 1000;
        block_on(poll_fn(|context| {
            context.waker().wake_by_ref();
            left -= 1;
            if left == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        assert_eq!(sedge::stats().parks[Reason::Future], 0);
    });
}

#[test]
fn a_wake_while_the_poll_itself_waits_is_not_lost() {
    run(|| {
        let mut polls = 0;
        block_on(poll_fn(|context| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            spawn(move || waker.wake());
            sedge::sleep(ms(2));
            Poll::Pending
        }));
    });
}

#[test]
fn a_future_that_wakes_itself_lets_others_run() {
    run(|| {
        let done = Rc::new(Cell::new(false));
        let inner = Rc::clone(&done);
        spawn(move || inner.set(true));
        block_on(poll_fn(|context| {
            context.waker().wake_by_ref();
            if done.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
    });
}

#[test]
fn a_wake_of_nothing_new_polls_again_and_waits_on() {
    run(|| {
        let place = RefCell::new(None::<Waker>);
        let polls = Cell::new(0);
        sedge::scope(|s| {
            s.spawn(|| {
                block_on(poll_fn(|context| {
                    polls.set(polls.get() + 1);
                    *place.borrow_mut() = Some(context.waker().clone());
                    if polls.get() == 5 {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                }));
            });
            while polls.get() < 5 {
                yield_now();
                place.take().iter().for_each(Waker::wake_by_ref);
            }
        });
    });
}

#[test]
fn wakes_of_what_keeps_its_waker_are_equal() {
    run(|| {
        let place = RefCell::new(None::<Waker>);
        let mut polls = 0;
        block_on(poll_fn(|context| {
            polls += 1;
            if let Some(before) = &*place.borrow() {
                assert!(before.will_wake(context.waker()));
            }
            place.replace(Some(context.waker().clone()));
            context.waker().wake_by_ref();
            if polls == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
    });
}

#[test]
fn a_storm_of_wakes_counts_as_few() {
    run(|| {
        let (give, take) = std::sync::mpsc::channel::<Waker>();
        let storm = std::thread::spawn(move || {
            let waker = take.recv().unwrap();
            (0..1_000_000).for_each(|_| waker.wake_by_ref());
            drop(take);
        });
        let mut polls = 0;
        block_on(poll_fn(|context| {
            polls += 1;
            if polls == 1 {
                give.send(context.waker().clone()).unwrap();
                // Whatever comes now is one wake.
                while !storm.is_finished() {
                    std::thread::yield_now();
                }
                return Poll::Pending;
            }
            Poll::Ready(())
        }));
        assert_eq!(polls, 2);
        assert!(sedge::stats().wakes < 1000);
        storm.join().unwrap();
    });
}

#[test]
fn a_waker_outlives_its_future_and_its_run() {
    let place = Rc::new(RefCell::new(None::<Waker>));
    let inner = Rc::clone(&place);
    run(move || {
        let kept = inner.borrow().clone();
        assert!(kept.is_none());
        spawn(move || {
            let _ = sedge::timeout(ms(1), || block_on(second_poll(&inner)));
            inner.borrow().as_ref().unwrap().wake_by_ref();
            yield_now();
        });
    });
    let waker = place.take().unwrap();
    waker.wake_by_ref();
    run(|| waker.wake_by_ref());
    std::thread::spawn(move || waker.wake()).join().unwrap();
}

#[test]
fn outside_of_run_it_panics_and_drops_the_future() {
    let log = Log::default();
    let guard = log.on_drop("dropped");
    let text = panic_of(move || {
        block_on(async move {
            let _guard = guard;
            pending::<()>().await;
        })
    });
    assert!(text.contains("inside sedge::run"), "{text}");
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn a_panic_of_the_future_comes_out() {
    run(|| {
        assert_eq!(
            panic_of(|| block_on(async { panic!("its own") })),
            "its own"
        )
    });
}

#[test]
fn cancelled_or_timed_out_it_drops_the_future() {
    run(|| {
        let log = Log::default();
        let wait = |log: Log, name| {
            block_on(async move {
                let _guard = log.on_drop(name);
                pending::<()>().await;
            });
        };
        let inner = log.clone();
        let waiter = spawn(move || wait(inner, "cancelled"));
        yield_now();
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is_cancelled());
        assert!(sedge::timeout(ms(1), || wait(log.clone(), "timed out")).is_err());
        assert_eq!(log.take(), ["cancelled", "timed out"]);
    });
}

#[test]
fn a_future_may_wait_as_green_threads_do_and_block_on_another() {
    run(|| {
        let lock = Mutex::new(1);
        let value = block_on(async {
            sedge::sleep(ms(1));
            let sum = *lock.lock().unwrap() + block_on(spawn(|| 2)).unwrap();
            sum + spawn(|| 3).await.unwrap()
        });
        assert_eq!(value, 6);
    });
}

#[test]
fn while_it_unwinds_a_destructor_may_wait_for_a_future() {
    run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = spawn(move || {
            let _guard = OnDrop(|| {
                let value = block_on(spawn(|| 5)).unwrap();
                let mut left = 3;
                block_on(poll_fn(|context| {
                    context.waker().wake_by_ref();
                    left -= 1;
                    if left == 0 {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                }));
                inner.add(format!("{value}"));
            });
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert_eq!(log.take(), ["5"]);
    });
}

#[test]
fn a_generator_must_not_yield_out_of_a_future() {
    run(|| {
        let generator = Generator::new(|y| {
            y.yield_(1);
            let text = panic_of(|| block_on(async { y.yield_(2) }));
            assert!(text.contains("block_on"), "{text}");
            y.yield_(block_on(spawn(|| 3)).unwrap());
        });
        assert_eq!(generator.collect::<Vec<_>>(), [1, 3]);
    });
}

#[test]
fn a_join_handle_gives_its_value_panic_or_cancellation() {
    run(|| {
        block_on(async {
            assert_eq!(spawn(|| 1).await.unwrap(), 1);
            let error = spawn(|| panic!("on purpose")).await.unwrap_err();
            assert_eq!(error.message(), Some("on purpose"));
            let sleeper = spawn(|| sedge::sleep(FOREVER));
            sleeper.cancel();
            assert!(sleeper.await.unwrap_err().is_cancelled());
        });
    });
}

#[test]
fn several_join_handles_are_awaited_at_once() {
    run(|| {
        let sleep = |time| spawn(move || sedge::sleep(ms(time)));
        block_on(async {
            let (slow, fast) = future::zip(sleep(2), sleep(1)).await;
            assert!(slow.is_ok() && fast.is_ok());
            let slow = spawn(|| {
                sedge::sleep(FOREVER);
                "slow"
            });
            let slow_thread = slow.thread().clone();
            let first = slow.or(spawn(|| "fast")).await;
            assert_eq!(first.unwrap(), "fast");
            // The one that lost is detached and goes on.
            assert_eq!(slow_thread.state(), State::Parked(Reason::Sleep));
            slow_thread.cancel();
        });
    });
}

#[test]
fn another_executor_of_the_same_os_thread_may_poll_a_join_handle() {
    run(|| {
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut handle = spawn(|| 5);
        for count in [&first, &last] {
            let waker = Waker::from(Arc::clone(count));
            let poll = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
        }
        yield_now();
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        assert_eq!(last.0.load(Ordering::SeqCst), 1);
        let waker = Waker::from(first);
        let poll = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
        assert!(matches!(poll, Poll::Ready(Ok(5))));
        let again = panic_of(|| Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)));
        assert!(again.contains("polled after"), "{again}");
    });
}

#[test]
fn a_join_handle_that_is_dropped_gives_its_waker_back() {
    run(|| {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut handle = spawn(yield_now);
        let _ = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 2);
        drop(handle);
        assert_eq!(Arc::strong_count(&count), 1);
    });
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    struct Bad;

    impl Wake for Bad {
        fn wake(self: Arc<Bad>) {
            panic!("the waker's");
        }
    }

    run(|| {
        let mut handle = spawn(|| 5);
        let waker = Waker::from(Arc::new(Bad));
        let _ = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
        let linked = Rc::new(Cell::new(false));
        let inner = Rc::clone(&linked);
        handle.link(move || inner.set(true));
        assert_eq!(handle.join().unwrap(), 5);
        yield_now();
        assert!(linked.get());
    });
}

#[test]
fn many_green_threads_pass_a_token_through_futures() {
    run(|| {
        let (first, mut receiver) = oneshot::channel();
        for _ in 0..100 {
            let (sender, next) = oneshot::channel();
            spawn(move || sender.send(block_on(receiver).unwrap() + 1).unwrap());
            receiver = next;
        }
        spawn(move || {
            sedge::sleep(ms(1));
            first.send(0).unwrap();
        });
        assert_eq!(block_on(receiver), Ok(100));
    });
}

#[test]
fn a_future_is_finished_by_another_call_than_began_it() {
    run(|| {
        let (sender, receiver) = oneshot::channel::<u32>();
        let handle = spawn(move || block_on(receiver).unwrap());
        pin!(handle);
        assert!(sedge::timeout(ms(1), || block_on(&mut handle)).is_err());
        spawn(move || sender.send(8).unwrap());
        assert_eq!(block_on(handle).unwrap(), 8);
    });
}

#[test]
fn waiting_for_a_message_that_nobody_can_send_is_a_deadlock() {
    let text = panic_of(|| {
        sedge::run(|| {
            let (_sender, receiver) = sedge::channel::unbounded::<()>();
            block_on(receiver.recv_async())
        })
    });
    assert!(text.contains("deadlock"), "{text}");
}
