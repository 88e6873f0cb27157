//! `queue`: items come out in order, none is lost, and user code may do what it likes.

use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use sedge::queue::{GetError, LifoQueue, PriorityQueue, PutError, Queue};
use sedge::queue::{TryGetError, TryPutError};
use sedge::sync::Event;
use sedge::{JoinHandle, Reason, State, thread, timeout};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::{self, Dice, FOREVER, Log, OnDrop, ms, panic_of, until};

/// Spawns `f` and lets it run until it waits for a queue.
fn waits<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let thread = sedge::spawn(f);
    until(thread.thread(), State::Parked(Reason::Queue));
    thread
}

#[test]
fn each_queue_has_its_order() {
    let items = [3, 1, 4, 1, 5, 9, 2, 6];
    let (fifo, lifo, smallest) = (Queue::new(), LifoQueue::new(), PriorityQueue::new());
    let largest = PriorityQueue::default();
    for item in items {
        fifo.put(item).unwrap();
        lifo.put(item).unwrap();
        smallest.put(item).unwrap();
        largest.put(Reverse(item)).unwrap();
    }
    assert_eq!(
        (fifo.len(), fifo.is_empty(), fifo.is_full()),
        (8, false, false)
    );
    fifo.shutdown();
    lifo.shutdown();
    smallest.shutdown();
    largest.shutdown();
    assert_eq!(fifo.iter().collect::<Vec<_>>(), items);
    assert_eq!(lifo.iter().collect::<Vec<_>>(), [6, 2, 9, 5, 1, 4, 1, 3]);
    assert_eq!(
        smallest.iter().collect::<Vec<_>>(),
        [1, 1, 2, 3, 4, 5, 6, 9]
    );
    let largest: Vec<_> = largest.iter().map(|Reverse(item)| item).collect();
    assert_eq!(largest, [9, 6, 5, 4, 3, 2, 1, 1]);
    assert!(fifo.is_empty());
}

#[test]
fn equal_priorities_come_out_as_they_were_put() {
    #[derive(Debug)]
    struct Job(u32, usize);
    impl Ord for Job {
        fn cmp(&self, other: &Job) -> Ordering {
            self.0.cmp(&other.0)
        }
    }
    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Job) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl PartialEq for Job {
        fn eq(&self, other: &Job) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Job {}
    let queue = PriorityQueue::new();
    let mut dice = Dice::new(1);
    for number in 0..200 {
        queue.put(Job(dice.throw(5) as u32, number)).unwrap();
        if number % 3 == 0 {
            queue.get().unwrap();
        }
    }
    queue.shutdown();
    let jobs: Vec<_> = queue.iter().map(|job| (job.0, job.1)).collect();
    assert!(jobs.is_sorted(), "{jobs:?}");
}

#[test]
fn who_waits_for_longest_gets_the_first_item_and_nobody_barges_in() {
    util::run(|| {
        let (queue, log) = (Rc::new(Queue::new()), Log::default());
        let getters = ["first", "second"].map(|name| {
            let (queue, log) = (Rc::clone(&queue), log.clone());
            waits(move || log.add(format!("{name} gets {}", queue.get().unwrap())))
        });
        queue.put("a").unwrap();
        queue.put("b").unwrap();
        queue.put("c").unwrap();
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.try_get(), Ok("c"));
        assert_eq!(queue.try_get(), Err(TryGetError::Empty));
        sedge::wait_all(&getters);
        assert_eq!(log.take(), ["first gets a", "second gets b"]);
    });
}

#[test]
fn who_waits_for_room_puts_in_turn_and_nobody_barges_in() {
    util::run(|| {
        let queue = Rc::new(Queue::bounded(1));
        queue.put(0).unwrap();
        let putters = [1, 2].map(|item| {
            let queue = Rc::clone(&queue);
            waits(move || queue.put(item).unwrap())
        });
        assert_eq!(queue.try_put(3), Err(TryPutError::Full(3)));
        assert_eq!(queue.get(), Ok(0));
        assert!(queue.is_full(), "the first who waited has put its item");
        assert_eq!(queue.try_put(3), Err(TryPutError::Full(3)));
        assert_eq!((queue.get(), queue.get()), (Ok(1), Ok(2)));
        sedge::wait_all(&putters);
        assert!(queue.is_empty());
    });
}

#[test]
fn a_limit_that_passes_gives_the_item_back_or_none() {
    util::run(|| {
        let queue = Rc::new(Queue::bounded(1));
        assert_eq!(queue.get_timeout(ms(1)), Err(TryGetError::Empty));
        queue.put_timeout(1, ms(1)).unwrap();
        assert_eq!(queue.put_timeout(2, ms(1)), Err(TryPutError::Full(2)));
        assert_eq!(queue.get_timeout(Duration::ZERO), Ok(1));
        let inner = Rc::clone(&queue);
        let getter = waits(move || inner.get_timeout(FOREVER));
        queue.put(3).unwrap();
        queue.put(4).unwrap();
        assert_eq!(getter.join().unwrap(), Ok(3));
        let inner = Rc::clone(&queue);
        let putter = waits(move || inner.put_timeout(5, FOREVER));
        assert_eq!((queue.get(), queue.get()), (Ok(4), Ok(5)));
        assert_eq!(putter.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_queue_needs_no_scheduler_unless_it_waits() {
    let queue = Queue::bounded(1);
    queue.join();
    queue.put_timeout(1, FOREVER).unwrap();
    assert_eq!(queue.peek(|&item| item), Ok(1));
    assert_eq!(
        format!("{queue:?}"),
        "Queue { len: 1, maxsize: Some(1), .. }"
    );
    const TEXT: &str = "no sedge scheduler";
    assert!(panic_of(|| queue.put(2)).contains(TEXT));
    assert!(panic_of(|| queue.join()).contains(TEXT));
    assert_eq!(queue.get_timeout(FOREVER), Ok(1));
    assert!(panic_of(|| queue.get()).contains(TEXT));
    assert!(panic_of(|| queue.peek(|_| ())).contains(TEXT));
    assert_eq!(queue.try_get(), Err(TryGetError::Empty));
    assert_eq!(queue.try_peek(|_| ()), Err(TryGetError::Empty));
    queue.try_put(3).unwrap();
    assert_eq!(queue.try_get(), Ok(3));
    assert!(panic_of(|| Queue::<u32>::bounded(0)).contains("without room"));
}

#[test]
fn a_peek_shows_the_next_item_and_leaves_it() {
    util::run(|| {
        let queue = Rc::new(PriorityQueue::new());
        let inner = Rc::clone(&queue);
        let peeker = waits(move || inner.peek(|&item| item));
        queue.put(2).unwrap();
        assert_eq!(peeker.join().unwrap(), Ok(2));
        queue.put(1).unwrap();
        assert_eq!(queue.try_peek(|&item| item), Ok(1));
        assert_eq!((queue.get(), queue.get()), (Ok(1), Ok(2)));

        let stack = LifoQueue::new();
        stack.put("a").unwrap();
        stack.put("b").unwrap();
        assert_eq!(stack.peek(|&item| item), Ok("b"));
        assert_eq!(stack.get(), Ok("b"));
        assert_eq!(stack.peek(|&item| item), Ok("a"));
    });
}

#[test]
fn a_peek_that_finds_the_item_taken_waits_for_the_next() {
    util::run(|| {
        let queue = Rc::new(Queue::new());
        let inner = Rc::clone(&queue);
        let peeker = waits(move || inner.peek(|&item| item));
        queue.put(1).unwrap();
        assert_eq!(queue.try_get(), Ok(1));
        until(peeker.thread(), State::Parked(Reason::Queue));
        queue.put(2).unwrap();
        assert_eq!(peeker.join().unwrap(), Ok(2));
        let inner = Rc::clone(&queue);
        assert_eq!(inner.get(), Ok(2));
        let peeker = waits(move || inner.peek(|&item| item));
        queue.shutdown();
        assert_eq!(peeker.join().unwrap(), Err(GetError));
    });
}

#[test]
fn while_a_look_waits_others_can_put_and_getters_wait_in_turn() {
    util::run(|| {
        let queue = Rc::new(LifoQueue::new());
        queue.put(1).unwrap();
        let looked = Rc::new(Event::new());
        let (inner, event) = (Rc::clone(&queue), Rc::clone(&looked));
        let peeker = sedge::spawn(move || {
            let look = |&item: &i32| {
                event.wait();
                item
            };
            inner.peek(look)
        });
        until(peeker.thread(), State::Parked(Reason::Event));
        let getters = [(); 2].map(|()| {
            let queue = Rc::clone(&queue);
            waits(move || queue.get().unwrap())
        });
        queue.put(2).unwrap();
        assert_eq!(queue.try_get(), Err(TryGetError::Empty));
        assert_eq!(queue.get_timeout(ms(1)), Err(TryGetError::Empty));
        assert!(timeout(ms(1), || queue.get()).is_err());
        assert_eq!(queue.len(), 2);
        looked.set();
        assert_eq!(peeker.join().unwrap(), Ok(1));
        assert_eq!(getters.map(|getter| getter.join().unwrap()), [2, 1]);
    });
}

#[test]
fn a_look_or_a_comparison_that_waits_for_its_own_queue_is_told_so() {
    let queue = Queue::new();
    queue.put(1).unwrap();
    let text = panic_of(|| queue.peek(|_| queue.get()));
    assert!(text.contains("same queue"), "{text}");
    assert_eq!(queue.peek(|_| queue.try_get()), Ok(Err(TryGetError::Empty)));
    assert_eq!(queue.peek(|_| queue.put(2)), Ok(Ok(())));
    assert_eq!((queue.get(), queue.get()), (Ok(1), Ok(2)));
}

#[test]
fn after_shutdown_nothing_can_be_put_and_what_is_left_can_be_taken() {
    util::run(|| {
        let queue = Rc::new(Queue::bounded(2));
        queue.put(1).unwrap();
        queue.put(2).unwrap();
        let inner = Rc::clone(&queue);
        let putter = waits(move || inner.put(3));
        assert!(!queue.is_shutdown());
        queue.shutdown();
        assert!(queue.is_shutdown());
        assert_eq!(putter.join().unwrap(), Err(PutError(3)));
        assert_eq!(queue.put(4), Err(PutError(4)));
        assert_eq!(queue.try_put(4), Err(TryPutError::Shutdown(4)));
        assert_eq!(queue.put_timeout(4, ms(1)).unwrap_err().into_inner(), 4);
        assert_eq!(queue.into_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(queue.get(), Err(GetError));
        assert_eq!(queue.try_get(), Err(TryGetError::Shutdown));
        assert_eq!(queue.get_timeout(ms(1)), Err(TryGetError::Shutdown));
        assert_eq!(queue.try_peek(|_| ()), Err(TryGetError::Shutdown));
    });
}

#[test]
fn shutdown_tells_those_who_wait_for_an_item() {
    util::run(|| {
        let queue: Rc<Queue<u32>> = Rc::default();
        let getters = [(); 3].map(|()| {
            let queue = Rc::clone(&queue);
            waits(move || queue.get())
        });
        // One that has been handed an item keeps it.
        queue.put(7).unwrap();
        queue.shutdown();
        queue.shutdown();
        let got = getters.map(|getter| getter.join().unwrap());
        assert_eq!(got, [Ok(7), Err(GetError), Err(GetError)]);
    });
}

#[test]
fn immediate_shutdown_drops_what_is_left_and_its_tasks() {
    util::run(|| {
        let log = Log::default();
        let queue = Rc::new(Queue::new());
        for name in ["taken", "left", "left too"] {
            queue.put(log.on_drop(name)).unwrap_or_else(|_| panic!());
        }
        let taken = queue.get();
        let inner = Rc::clone(&queue);
        let joiner = waits(move || inner.join());
        queue.shutdown_now();
        assert_eq!(log.take(), ["left", "left too"]);
        assert!(queue.is_empty() && queue.get().is_err());
        sedge::yield_now();
        assert!(!joiner.is_finished(), "one task is not done");
        drop(taken);
        queue.task_done();
        joiner.join().unwrap();
        queue.shutdown_now();
        queue.shutdown();
        assert_eq!(queue.try_get().err(), Some(TryGetError::Shutdown));
    });
}

#[test]
fn immediate_shutdown_in_the_middle_of_a_look_waits_for_its_end_and_drops_then() {
    util::run(|| {
        let log = Log::default();
        let queue = Rc::new(Queue::new());
        for name in ["looked at", "behind"] {
            queue.put(log.on_drop(name)).unwrap_or_else(|_| panic!());
        }
        let (inner, notes) = (Rc::clone(&queue), log.clone());
        let peeker = sedge::spawn(move || {
            let look = |_: &_| {
                thread::park();
                notes.add("looked");
            };
            inner.peek(look)
        });
        until(peeker.thread(), State::Parked(Reason::Park));
        let inner = Rc::clone(&queue);
        let getter = waits(move || inner.get().is_err());
        queue.shutdown_now();
        queue.join();
        assert_eq!(log.take(), [""; 0]);
        peeker.thread().unpark();
        assert!(getter.join().unwrap());
        assert_eq!(log.take(), ["looked", "looked at", "behind"]);
    });
}

#[test]
fn join_waits_until_all_tasks_are_done() {
    util::run(|| {
        let queue = Rc::new(Queue::new());
        (0..3).for_each(|item| queue.put(item).unwrap());
        let inner = Rc::clone(&queue);
        let joiner = waits(move || inner.join());
        for _ in 0..3 {
            queue.get().unwrap();
            sedge::yield_now();
            assert!(!joiner.is_finished());
            queue.task_done();
        }
        // Who has waited is let go even if there is a new task by now.
        queue.put(4).unwrap();
        joiner.join().unwrap();
        queue.get().unwrap();
        queue.task_done();
        queue.join();
        assert!(panic_of(|| queue.task_done()).contains("more often"));
    });
}

#[test]
fn an_item_counts_as_a_task_even_if_a_getter_was_waiting_for_it() {
    util::run(|| {
        let queue = Rc::new(Queue::new());
        let inner = Rc::clone(&queue);
        let getter = waits(move || {
            inner.get().unwrap();
            sedge::yield_now();
            inner.task_done();
        });
        queue.put(1).unwrap();
        queue.join();
        assert!(timeout(Duration::ZERO, || getter.join().unwrap()).is_ok());
    });
}

#[test]
fn who_is_interrupted_has_neither_put_nor_taken() {
    util::run(|| {
        let log = Log::default();
        let queue = Rc::new(Queue::bounded(1));
        assert!(timeout(ms(1), || queue.get()).is_err());
        queue.put(None).unwrap_or_else(|_| panic!());
        let (inner, item) = (Rc::clone(&queue), log.on_drop("the item is dropped"));
        let putter = waits(move || inner.put(Some(item)).is_ok());
        putter.cancel();
        assert!(putter.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["the item is dropped"]);
        assert!(matches!(queue.get(), Ok(None)));
        assert!(queue.is_empty());
        queue.task_done();
        queue.join();
    });
}

#[test]
fn an_item_that_was_handed_over_is_returned_to_who_is_cancelled_then() {
    util::run(|| {
        let log = Log::default();
        let queue = Rc::new(Queue::new());
        let (inner, notes) = (Rc::clone(&queue), log.clone());
        let getter = waits(move || {
            notes.add(format!("got {}", inner.get().unwrap()));
            sedge::yield_now();
            notes.add("too far");
        });
        queue.put(1).unwrap();
        getter.cancel();
        assert!(getter.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["got 1"]);
    });
}

#[test]
fn a_destructor_of_an_item_may_use_the_queue() {
    type Shared = Rc<RefCell<Option<Rc<Queue<Item>>>>>;
    struct Item(Shared, Log);
    impl Drop for Item {
        fn drop(&mut self) {
            let queue = self.0.borrow().clone();
            if let Some(queue) = queue {
                let put = queue.try_put(Item(Rc::default(), self.1.clone())).is_ok();
                let got = queue.try_get().is_ok();
                self.1.add(format!("{put} {got} {}", queue.len()));
            }
        }
    }
    let (shared, log) = (Shared::default(), Log::default());
    let queue = Rc::new(Queue::new());
    *shared.borrow_mut() = Some(Rc::clone(&queue));
    for _ in 0..2 {
        let put = queue.put(Item(Rc::clone(&shared), log.clone()));
        assert!(put.is_ok());
    }
    queue.shutdown_now();
    assert_eq!(log.take(), ["false false 0", "false false 0"]);
    shared.take();
}

/// An item whose comparison does what it is told.
struct Odd {
    key: u32,
    compare: Rc<dyn Fn()>,
}

impl Ord for Odd {
    fn cmp(&self, other: &Odd) -> Ordering {
        (self.compare)();
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Odd {
    fn partial_cmp(&self, other: &Odd) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Odd {
    fn eq(&self, other: &Odd) -> bool {
        self.key == other.key
    }
}

impl Eq for Odd {}

fn put_odd(queue: &PriorityQueue<Odd>, keys: &[u32], compare: &Rc<dyn Fn()>) {
    for &key in keys {
        let compare = Rc::clone(compare);
        assert!(queue.put(Odd { key, compare }).is_ok());
    }
}

fn drain(queue: &PriorityQueue<Odd>) -> Vec<u32> {
    std::iter::from_fn(|| queue.try_get().ok().map(|item| item.key)).collect()
}

const KEYS: [u32; 9] = [5, 3, 8, 1, 9, 2, 7, 6, 4];

#[test]
fn a_comparison_that_panics_at_any_point_loses_no_item() {
    for fuse in 0..40 {
        let left = Rc::new(Cell::new(usize::MAX));
        let inner = Rc::clone(&left);
        let compare: Rc<dyn Fn()> = Rc::new(move || {
            inner.set(inner.get() - 1);
            if inner.get() == 0 {
                // Without the hook: it would print dozens.
                std::panic::resume_unwind(Box::new("in a comparison"));
            }
        });
        let queue = PriorityQueue::new();
        put_odd(&queue, &KEYS, &compare);
        left.set(fuse + 1);
        let mut taken = Vec::new();
        while let Ok(Ok(item)) = catch_unwind(AssertUnwindSafe(|| queue.try_get())) {
            taken.push(item.key);
        }
        assert_eq!(queue.len() + taken.len(), KEYS.len());
        left.set(usize::MAX);
        put_odd(&queue, &[0], &compare);
        let rest = drain(&queue);
        assert!(taken.is_sorted() && rest.is_sorted(), "{taken:?} {rest:?}");
        let mut all = [taken, rest].concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn while_a_comparison_waits_others_put_and_the_order_is_right() {
    util::run(|| {
        let compare: Rc<dyn Fn()> = Rc::new(sedge::yield_now);
        let queue = Rc::new(PriorityQueue::new());
        put_odd(&queue, &KEYS, &compare);
        let getters: Vec<_> = (0..9)
            .map(|_| {
                let queue = Rc::clone(&queue);
                sedge::spawn(move || queue.get().ok().unwrap().key)
            })
            .collect();
        sedge::yield_now();
        put_odd(&queue, &[10, 11], &compare);
        let got: Vec<_> = getters.into_iter().map(|g| g.join().unwrap()).collect();
        assert_eq!(got, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(drain(&queue), [10, 11]);
    });
}

#[test]
fn a_comparison_may_put_and_may_shut_down() {
    let queue = Rc::new(PriorityQueue::new());
    let (weak, once) = (Rc::downgrade(&queue), Cell::new(true));
    let compare: Rc<dyn Fn()> = Rc::new(move || {
        if once.replace(false) {
            let queue: Rc<PriorityQueue<Odd>> = weak.upgrade().unwrap();
            put_odd(&queue, &[0], &(Rc::new(|| ()) as Rc<dyn Fn()>));
            assert!(panic_of(|| queue.get().is_ok()).contains("same queue"));
        }
    });
    put_odd(&queue, &[2, 1], &compare);
    assert_eq!(drain(&queue), [1, 0, 2]);

    let weak = Rc::downgrade(&queue);
    let compare: Rc<dyn Fn()> = Rc::new(move || weak.upgrade().unwrap().shutdown_now());
    put_odd(&queue, &[2, 1], &compare);
    assert!(queue.get().is_err());
    (0..3).for_each(|_| queue.task_done());
    queue.join();
}

#[test]
fn whenever_a_getter_is_cancelled_no_item_is_lost() {
    cancel_at_each_moment(|aim| {
        let queue = Rc::new(Queue::bounded(2));
        let taken = Rc::new(Cell::new(0));
        let take = |count| {
            let (queue, taken) = (Rc::clone(&queue), Rc::clone(&taken));
            sedge::spawn(move || {
                for _ in 0..count {
                    let item: u32 = queue.get().unwrap();
                    taken.set(taken.get() + item);
                    queue.task_done();
                }
            })
        };
        let victim = take(3);
        aim.at(&victim);
        let other = take(2);
        let inner = Rc::clone(&queue);
        let putter = sedge::spawn(move || {
            for i in 0..5 {
                sedge::yield_now();
                inner.put(1 << i).unwrap();
            }
        });
        let _ = victim.join();
        other.join().unwrap();
        while taken.get() != 0b1_1111 {
            taken.set(taken.get() + queue.get_timeout(FOREVER).unwrap());
            queue.task_done();
        }
        queue.join();
        putter.join().unwrap();
        assert_eq!(queue.try_get(), Err(TryGetError::Empty));
    });
}

#[test]
fn whenever_a_putter_is_cancelled_its_item_is_put_whole_or_not_at_all() {
    cancel_at_each_moment(|aim| {
        let live = Rc::new(Cell::new(0));
        let item = |name: usize| {
            live.set(live.get() + 1);
            let live = Rc::clone(&live);
            (name, OnDrop(move || live.set(live.get() - 1)))
        };
        let queue = Rc::new(Queue::bounded(1));
        let inner = Rc::clone(&queue);
        let put = Rc::new(Cell::new(0));
        let (items, count) = ([item(0), item(1), item(2), item(3)], Rc::clone(&put));
        let victim = sedge::spawn(move || {
            for item in items {
                assert!(inner.put(item).is_ok());
                count.set(count.get() + 1);
            }
        });
        aim.at(&victim);
        let (inner, last) = (Rc::clone(&queue), item(9));
        let other = sedge::spawn(move || assert!(inner.put(last).is_ok()));
        let mut got = Vec::new();
        while !(victim.is_finished() && other.is_finished() && queue.is_empty()) {
            while let Ok(item) = queue.try_get() {
                got.push(item.0);
                queue.task_done();
            }
            sedge::yield_now();
        }
        queue.join();
        let own: Vec<_> = got.iter().copied().filter(|&name| name != 9).collect();
        // One whose put had succeeded when the cancellation came may not have been counted.
        assert!(own.len() - put.get() <= 1);
        assert_eq!(own, (0..own.len()).collect::<Vec<_>>());
        assert_eq!(got.len(), own.len() + 1);
        let _ = victim.join();
        assert_eq!(live.get(), 0);
    });
}

#[test]
fn whenever_a_getter_is_cancelled_in_a_comparison_no_item_is_lost() {
    cancel_at_each_moment(|aim| {
        let compare: Rc<dyn Fn()> = Rc::new(|| {
            // Whoever looks on at the end must not wait.
            if thread::current().name() != Some("main") {
                sedge::yield_now();
            }
        });
        let queue = Rc::new(PriorityQueue::new());
        put_odd(&queue, &[3, 1, 2, 5, 4], &compare);
        let taken: Rc<RefCell<Vec<u32>>> = Rc::default();
        let take = |count| {
            let (queue, taken) = (Rc::clone(&queue), Rc::clone(&taken));
            sedge::spawn(move || {
                for _ in 0..count {
                    let key = queue.get().ok().unwrap().key;
                    taken.borrow_mut().push(key);
                }
            })
        };
        let victim = take(2);
        aim.at(&victim);
        let other = take(2);
        let _ = victim.join();
        other.join().unwrap();
        let mut taken = taken.take();
        taken.extend(drain(&queue));
        assert!(taken[..2].iter().all(|&key| key <= 4), "{taken:?}");
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3, 4, 5]);
    });
}

/// The obvious queue, with those who wait for it.
struct Model {
    most: usize,
    items: Vec<u64>,
    getters: VecDeque<usize>,
    putters: VecDeque<(usize, u64)>,
    /// What each getter got.
    got: Vec<(usize, u64)>,
    /// Position of the next item.
    next: fn(&[u64]) -> usize,
}

impl Model {
    fn settle(&mut self) {
        loop {
            if self.items.len() < self.most && !self.putters.is_empty() {
                let (_, item) = self.putters.pop_front().unwrap();
                self.items.push(item);
            } else if !self.items.is_empty() && !self.getters.is_empty() {
                let item = self.items.remove((self.next)(&self.items));
                self.got.push((self.getters.pop_front().unwrap(), item));
            } else {
                return;
            }
        }
    }
}

/// A queue of some type, and which of its items is next.
struct Subject<Q> {
    make: fn(usize) -> Q,
    put: fn(&Q, u64),
    get: fn(&Q) -> u64,
    len: fn(&Q) -> usize,
    next: fn(&[u64]) -> usize,
}

/// One random program over a queue and over its model.
fn compare_with_model<Q: 'static>(seed: u64, subject: Subject<Q>) {
    let Subject { put, get, .. } = subject;
    let mut dice = Dice::new(seed);
    let most = 1 + dice.throw(4) as usize;
    let queue = Rc::new((subject.make)(most));
    let got: Rc<RefCell<Vec<(usize, u64)>>> = Rc::default();
    let mut model = Model {
        most,
        items: Vec::new(),
        getters: VecDeque::new(),
        putters: VecDeque::new(),
        got: Vec::new(),
        next: subject.next,
    };
    let mut threads: Vec<(usize, JoinHandle<()>)> = Vec::new();
    for name in 0..80 {
        let inner = Rc::clone(&queue);
        let thread = match dice.throw(5) {
            0 if !threads.is_empty() => {
                let pick = dice.throw(threads.len() as u64) as usize;
                let (name, thread) = threads.swap_remove(pick);
                thread.cancel();
                let _ = thread.join();
                model.getters.retain(|&other| other != name);
                model.putters.retain(|&(other, _)| other != name);
                continue;
            }
            0..=2 => {
                let item = dice.throw(10);
                model.putters.push_back((name, item));
                sedge::spawn(move || put(&inner, item))
            }
            _ => {
                model.getters.push_back(name);
                let got = Rc::clone(&got);
                sedge::spawn(move || {
                    let item = get(&inner);
                    got.borrow_mut().push((name, item));
                })
            }
        };
        while thread.thread().state() == State::Ready {
            sedge::yield_now();
        }
        threads.push((name, thread));
        model.settle();
        assert_eq!((subject.len)(&queue), model.items.len());
    }
    for (_, thread) in threads.iter().rev() {
        thread.cancel();
    }
    sedge::wait_all(threads.iter().map(|(_, thread)| thread));
    let mut got = got.take();
    got.sort_unstable();
    model.got.sort_unstable();
    assert_eq!(got, model.got);
}

#[test]
fn random_programs_over_a_queue_do_what_the_model_does() {
    seeds(|seed| {
        let subject = Subject {
            make: Queue::bounded,
            put: |queue, item| queue.put(item).unwrap(),
            get: |queue| queue.get().unwrap(),
            len: Queue::len,
            next: |_| 0,
        };
        compare_with_model(seed, subject);
    });
}

#[test]
fn random_programs_over_a_lifo_queue_do_what_the_model_does() {
    seeds(|seed| {
        let subject = Subject {
            make: LifoQueue::bounded,
            put: |queue, item| queue.put(item).unwrap(),
            get: |queue| queue.get().unwrap(),
            len: LifoQueue::len,
            next: |items| items.len() - 1,
        };
        compare_with_model(seed, subject);
    });
}

#[test]
fn random_programs_over_a_priority_queue_do_what_the_model_does() {
    seeds(|seed| {
        let subject = Subject {
            make: PriorityQueue::bounded,
            put: |queue, item| queue.put(item).unwrap(),
            get: |queue| queue.get().unwrap(),
            len: PriorityQueue::len,
            next: |items| {
                let smallest = items.iter().enumerate().min_by_key(|&(_, item)| item);
                smallest.unwrap().0
            },
        };
        compare_with_model(seed, subject);
    });
}

#[test]
fn what_was_put_is_taken_or_left_in_any_order_whichever_limits_pass() {
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let queue = Rc::new(PriorityQueue::bounded(2));
        let count = Rc::new(Cell::new((0, 0)));
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (queue, mut dice) = (Rc::clone(&queue), dice.child());
                let count = Rc::clone(&count);
                sedge::spawn(move || {
                    for item in 0..8 {
                        let limit = Duration::from_micros(dice.throw(3) * 10);
                        let way = dice.throw(3);
                        let success = if number % 2 == 0 {
                            match way {
                                0 => queue.put_timeout(item, limit).is_ok(),
                                1 => queue.try_put(item).is_ok(),
                                _ => timeout(limit, || queue.put(item)).is_ok(),
                            }
                        } else {
                            match way {
                                0 => queue.get_timeout(limit).is_ok(),
                                1 => queue.try_peek(|_| sedge::yield_now()).is_err(),
                                _ => timeout(limit, || queue.get()).is_ok(),
                            }
                        };
                        let (put, got) = count.get();
                        if number % 2 == 0 {
                            count.set((put + usize::from(success), got));
                        } else if way != 1 {
                            count.set((put, got + usize::from(success)));
                        }
                    }
                })
            })
            .collect();
        sedge::wait_all(&threads);
        let (put, got) = count.get();
        assert_eq!(put - got, queue.len());
        (0..put).for_each(|_| queue.task_done());
        queue.join();
    });
}
