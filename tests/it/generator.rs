//! Generators: values one by one, from a stack of their own.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use sedge::generator::{Builder, Generator, State, Yielder};
use sedge::sync::Mutex;
use sedge::{spawn, thread, yield_now};

use crate::util::{FOREVER, Log, OnDrop, ms, panic_of, run};

fn count(to: u32) -> Generator<u32> {
    Generator::new(move |y| (0..to).for_each(|i| y.yield_(i)))
}

#[test]
fn an_iteration_ends_when_the_body_returns_and_stays_ended() {
    let mut numbers = count(3);
    assert_eq!(numbers.by_ref().collect::<Vec<_>>(), [0, 1, 2]);
    assert!(numbers.is_done());
    assert_eq!(numbers.next(), None);
}

#[test]
fn the_same_works_inside_of_run() {
    run(|| assert_eq!(count(1000).sum::<u32>(), 499_500));
}

#[test]
fn send_passes_values_both_ways_and_the_first_is_the_argument() {
    let echo = Generator::receiving(|y, mut text: String| {
        while text != "stop" {
            text = y.yield_(text.to_uppercase());
        }
        text.len()
    });
    assert_eq!(echo.send("a".into()), Some("A".into()));
    assert_eq!(echo.resume("b".into()), State::Yielded("B".into()));
    assert_eq!(echo.send("stop".into()), None);
    assert_eq!(echo.take_value(), Some(4));
    assert_eq!(echo.take_value(), None);
    assert_eq!(echo.send("late".into()), None);
}

#[test]
fn large_values_and_large_bodies_pass() {
    let big = [7_u64; 300];
    let generator = Generator::receiving(move |y, first: [u64; 100]| {
        let second = y.yield_(big);
        first[99] + second[99] + big[299]
    });
    assert_eq!(generator.resume([1; 100]), State::Yielded([7; 300]));
    assert_eq!(generator.resume([2; 100]), State::Complete(10));
}

#[test]
fn a_body_does_not_begin_before_it_is_resumed() {
    let log = Log::default();
    let inner = log.clone();
    let generator: Generator<()> = Generator::new(move |_| inner.add("begun"));
    assert_eq!(log.take(), [""; 0]);
    assert_eq!(generator.send(()), None);
    assert_eq!(log.take(), ["begun"]);
}

#[test]
fn dropped_half_way_it_is_unwound() {
    let log = Log::default();
    let inner = log.clone();
    let mut generator = Generator::new(move |y| {
        let _outer = inner.on_drop("outer");
        let _inner = inner.on_drop("inner");
        y.yield_(1);
        inner.add("never");
    });
    assert_eq!(generator.next(), Some(1));
    drop(generator);
    assert_eq!(log.take(), ["inner", "outer"]);
}

#[test]
fn dropped_before_it_began_the_body_is_dropped_only() {
    let log = Log::default();
    let captured = log.on_drop("captured");
    let generator: Generator<()> = Generator::new(move |_| drop(captured));
    drop(generator);
    assert_eq!(log.take(), ["captured"]);
}

#[test]
fn it_may_be_dropped_while_its_owner_unwinds() {
    let log = Log::default();
    let inner = log.clone();
    let text = panic_of(move || {
        let generator = Generator::new(move |y| {
            let _guard = inner.on_drop("unwound");
            y.yield_(1);
        });
        generator.send(());
        panic!("the owner's");
    });
    assert_eq!(text, "the owner's");
    assert_eq!(log.take(), ["unwound"]);
    assert!(!std::thread::panicking());
}

#[test]
fn it_may_be_used_in_a_destructor_while_its_owner_unwinds() {
    struct Owner(Generator<u32>, Log);

    impl Drop for Owner {
        fn drop(&mut self) {
            let values: Vec<u32> = self.0.by_ref().collect();
            self.1.add(format!("{values:?}"));
        }
    }

    let log = Log::default();
    let owner = Owner(count(2), log.clone());
    assert_eq!(
        panic_of(move || {
            let _owner = owner;
            panic!("the owner's");
        }),
        "the owner's"
    );
    assert_eq!(log.take(), ["[0, 1]"]);
}

#[test]
fn close_ends_it_and_a_second_close_does_nothing() {
    let generator = count(3);
    generator.send(());
    generator.close();
    generator.close();
    assert!(generator.is_done());
    assert_eq!(generator.send(()), None);
}

#[test]
fn a_body_that_catches_its_end_meets_it_at_the_next_yield() {
    let log = Log::default();
    let inner = log.clone();
    let generator = Generator::new(move |y| {
        for i in 0..3 {
            if catch_unwind(AssertUnwindSafe(|| y.yield_(i))).is_err() {
                inner.add("caught");
            }
        }
        inner.add("returned");
    });
    generator.send(());
    generator.close();
    assert_eq!(log.take(), ["caught", "caught", "caught", "returned"]);
    assert_eq!(generator.take_value(), None);
}

#[test]
fn a_panic_of_the_body_comes_out_of_the_call_that_resumed_it() {
    let mut generator = Generator::new(|y| {
        y.yield_(1);
        panic!("the body's");
    });
    assert_eq!(generator.next(), Some(1));
    assert_eq!(panic_of(|| generator.next()), "the body's");
    assert!(generator.is_done());
    assert_eq!(generator.next(), None);
    assert!(!std::thread::panicking());
}

#[test]
fn a_panic_while_it_is_unwound_comes_out_of_the_drop() {
    struct Bad;

    impl Drop for Bad {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("the destructor's");
            }
        }
    }

    let generator = Generator::new(|y| {
        let _ = catch_unwind(AssertUnwindSafe(|| y.yield_(1)));
        drop(Bad);
    });
    generator.send(());
    assert_eq!(panic_of(|| drop(generator)), "the destructor's");
}

#[test]
fn what_is_thrown_comes_out_of_the_yield_and_may_be_caught() {
    let generator = Generator::new(|y| {
        let caught = catch_unwind(AssertUnwindSafe(|| y.yield_(1))).unwrap_err();
        y.yield_(*caught.downcast::<i32>().unwrap());
    });
    generator.send(());
    assert_eq!(generator.throw(Box::new(5)), State::Yielded(5));
    assert_eq!(generator.send(()), None);
}

#[test]
fn what_is_thrown_and_not_caught_comes_out_of_throw() {
    let half_way = count(3);
    half_way.send(());
    let fresh = count(3);
    let ended = count(0);
    ended.send(());
    for generator in [half_way, fresh, ended] {
        assert_eq!(panic_of(|| generator.throw(Box::new("thrown"))), "thrown");
        assert!(generator.is_done());
    }
}

#[test]
fn resuming_after_the_end_panics() {
    let generator = count(0);
    assert_eq!(generator.resume(()), State::Complete(()));
    assert!(panic_of(|| generator.resume(())).contains("after its end"));
}

#[test]
fn resuming_it_from_its_own_body_panics() {
    let own: Rc<RefCell<Option<Rc<Generator<u32>>>>> = Rc::default();
    let inner = Rc::clone(&own);
    let generator = Rc::new(Generator::new(move |y| {
        let own = inner.borrow().clone().unwrap();
        y.yield_(1);
        assert!(panic_of(|| own.send(())).contains("resumed while it runs"));
        assert!(panic_of(|| own.close()).contains("resumed while it runs"));
        y.yield_(2);
    }));
    *own.borrow_mut() = Some(Rc::clone(&generator));
    assert_eq!((&*generator).collect::<Vec<_>>(), [1, 2]);
    own.take();
}

#[test]
fn yield_from_passes_values_throws_and_the_end_through() {
    let log = Log::default();
    let inner_log = log.clone();
    let outer = Generator::receiving(move |y, first: u32| {
        let log = inner_log.clone();
        let inner = Generator::receiving(move |y: &Yielder<'_, u32, u32>, first| {
            let _guard = log.on_drop("inner ended");
            let second = y.yield_(first + 1);
            let thrown = catch_unwind(AssertUnwindSafe(|| y.yield_(second + 1))).unwrap_err();
            y.yield_(*thrown.downcast::<u32>().unwrap());
        });
        let _guard = inner_log.on_drop("outer ended");
        y.yield_from(&inner, first);
    });
    assert_eq!(outer.send(10), Some(11));
    assert_eq!(outer.send(20), Some(21));
    assert_eq!(outer.throw(Box::new(7_u32)), State::Yielded(7));
    outer.close();
    assert_eq!(log.take(), ["inner ended", "outer ended"]);
}

#[test]
fn yield_all_yields_each_of_an_iterator() {
    let outer = Generator::new(|y| {
        y.yield_all(count(2));
        y.yield_all([7]);
    });
    assert_eq!(outer.collect::<Vec<_>>(), [0, 1, 7]);
}

#[test]
fn generators_nest_deeply() {
    fn nested(depth: u32) -> Generator<u32> {
        Generator::new(move |y| {
            if depth > 0 {
                y.yield_(depth);
                y.yield_from(&nested(depth - 1), ());
            }
        })
    }
    assert_eq!(nested(50).sum::<u32>(), 50 * 51 / 2);
    run(|| assert_eq!(nested(50).take(20).count(), 20));
}

#[test]
fn outside_of_run_a_body_that_waits_panics() {
    let generator: Generator<()> = Generator::new(|_| sedge::sleep(ms(1)));
    assert!(panic_of(|| generator.send(())).contains("inside sedge::run"));
}

#[test]
fn a_body_may_wait_and_others_run_meanwhile() {
    run(|| {
        let log = Log::default();
        let inner = log.clone();
        let generator = Generator::new(move |y| {
            for i in 0..2 {
                sedge::sleep(ms(2));
                inner.add(format!("body {i}"));
                y.yield_(i);
            }
        });
        let other = log.clone();
        let other = spawn(move || other.add("other"));
        assert_eq!(generator.sum::<i32>(), 1);
        other.join().unwrap();
        assert_eq!(log.take(), ["other", "body 0", "body 1"]);
    });
}

#[test]
fn towers_of_several_green_threads_wait_at_once() {
    fn slow(id: u64) -> Generator<u64> {
        let inner = Generator::new(move |y| {
            for i in 0..20 {
                sedge::sleep(ms((i * 7 + id) % 3));
                yield_now();
                y.yield_(i);
            }
        });
        Generator::new(move |y| {
            for value in inner {
                yield_now();
                y.yield_(value * 2);
            }
        })
    }
    run(|| {
        let threads: Vec<_> = (0..20)
            .map(|id| spawn(move || slow(id).sum::<u64>()))
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 380);
        }
    });
}

#[test]
fn locks_and_joins_work_inside_of_a_body() {
    run(|| {
        let lock = Rc::new(Mutex::new(0));
        let guard = lock.lock().unwrap();
        let inner = Rc::clone(&lock);
        let taker = spawn(move || {
            let generator = Generator::new(move |y| {
                *inner.lock().unwrap() += 1;
                y.yield_(spawn(|| 41).join().unwrap() + *inner.lock().unwrap());
            });
            generator.send(())
        });
        yield_now();
        drop(guard);
        assert_eq!(taker.join().unwrap(), Some(42));
    });
}

#[test]
fn a_cancelled_green_thread_unwinds_the_body_first_and_then_the_caller() {
    run(|| {
        let log = Log::default();
        let inner = log.clone();
        let waiter = spawn(move || {
            let _caller = inner.on_drop("caller");
            let body = inner.clone();
            let mut generator: Generator<()> = Generator::new(move |_| {
                let _body = body.on_drop("body");
                sedge::sleep(FOREVER);
            });
            generator.next();
        });
        yield_now();
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["body", "caller"]);
    });
}

#[test]
fn a_timeout_around_next_ends_the_body_that_waits() {
    run(|| {
        let generator: Generator<()> = Generator::new(|_| sedge::sleep(FOREVER));
        assert!(sedge::timeout(ms(2), || generator.send(())).is_err());
        assert!(generator.is_done());
        assert_eq!(sedge::timeout(ms(2), || 1), Ok(1));
    });
}

#[test]
fn a_timeout_in_the_body_around_a_wait_works_and_around_a_yield_panics() {
    run(|| {
        let generator = Generator::new(|y| {
            assert!(sedge::timeout(ms(1), || sedge::sleep(FOREVER)).is_err());
            y.yield_(1);
            let text = panic_of(|| sedge::timeout(FOREVER, || y.yield_(2)));
            assert!(text.contains("inside of a sedge::timeout"), "{text}");
            let text = panic_of(|| sedge::shield(|| y.yield_(3)));
            assert!(text.contains("inside of a sedge::timeout"), "{text}");
            y.yield_(4);
        });
        // The caller's own are no hindrance.
        let values = sedge::timeout(FOREVER, || sedge::shield(|| generator.collect::<Vec<_>>()));
        assert_eq!(values.unwrap(), [1, 4]);
    });
}

#[test]
fn a_generator_is_resumed_by_one_green_thread_after_the_other() {
    run(|| {
        let generator = Rc::new(Generator::new(|y| {
            loop {
                let before = thread::current().id();
                yield_now();
                assert_eq!(thread::current().id(), before);
                y.yield_(before);
            }
        }));
        for _ in 0..3 {
            let shared = Rc::clone(&generator);
            let thread = spawn(move || shared.send(()));
            let id = thread.thread().id();
            assert_eq!(thread.join().unwrap(), Some(id));
        }
    });
}

#[test]
fn one_that_waits_cannot_be_resumed_by_another_green_thread() {
    run(|| {
        let generator = Rc::new(Generator::new(|y| {
            sedge::sleep(ms(2));
            y.yield_(1);
        }));
        let shared = Rc::clone(&generator);
        let first = spawn(move || shared.send(()));
        yield_now();
        assert!(panic_of(|| generator.send(())).contains("another green thread"));
        assert_eq!(first.join().unwrap(), Some(1));
        assert_eq!(generator.send(()), None);
    });
}

#[test]
fn a_generator_outlives_run() {
    let log = Log::default();
    let inner = log.clone();
    let generator = run(move || {
        let generator = Generator::new(move |y| {
            let _guard = inner.on_drop("unwound");
            for i in 0.. {
                sedge::sleep(ms(1));
                y.yield_(i);
            }
        });
        assert_eq!(generator.send(()), Some(0));
        generator
    });
    assert_eq!(run(|| generator.send(())), Some(1));
    drop(generator);
    assert_eq!(log.take(), ["unwound"]);
}

#[test]
fn run_may_be_called_inside_of_a_body_and_its_green_threads_must_not_yield_for_it() {
    let generator = Generator::new(|y| {
        run(|| {
            let generator = count(3);
            assert_eq!(generator.send(()), Some(0));
            y.yield_(generator.send(()).unwrap() + 1)
        });
    });
    let text = panic_of(|| generator.send(()));
    assert!(text.contains("another green thread"), "{text}");
    let generator = Generator::new(|y| {
        y.yield_(run(|| spawn(|| 1).join().unwrap()));
        y.yield_(2);
    });
    assert_eq!(generator.collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_green_thread_of_a_scope_must_not_yield_for_the_body() {
    run(|| {
        let generator = Generator::new(|y| {
            let text = sedge::scope(|s| s.spawn(|| panic_of(|| y.yield_(1))).join().unwrap());
            assert!(text.contains("another green thread"), "{text}");
            // Nor while the body is suspended.
            sedge::scope(|s| {
                let child = s.spawn(|| panic_of(|| y.yield_(2)));
                y.yield_(3);
                assert!(child.join().unwrap().contains("another green thread"));
            });
        });
        assert_eq!(generator.send(()), Some(3));
        yield_now();
        assert_eq!(generator.send(()), None);
    });
}

#[test]
fn a_scope_of_the_body_is_left_by_another_green_thread_than_began_it() {
    run(|| {
        let done = Rc::new(Cell::new(0));
        let inner = Rc::clone(&done);
        let generator = Rc::new(Generator::new(move |y| {
            let local = Cell::new(0);
            sedge::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        sedge::sleep(ms(3));
                        local.set(local.get() + 1);
                    });
                }
                y.yield_(());
            });
            inner.set(local.get());
        }));
        let shared = Rc::clone(&generator);
        spawn(move || shared.send(())).join().unwrap();
        assert_eq!(generator.send(()), None);
        assert_eq!(done.get(), 3);
    });
}

#[test]
fn one_dropped_half_way_in_a_scope_cancels_the_children_first() {
    run(|| {
        let log = Log::default();
        let inner = log.clone();
        let generator = Generator::new(move |y| {
            let _body = inner.on_drop("body");
            sedge::scope(|s| {
                s.spawn(|| {
                    let _child = inner.on_drop("child");
                    sedge::sleep(FOREVER);
                });
                yield_now();
                y.yield_(());
            });
        });
        generator.send(());
        drop(generator);
        assert_eq!(log.take(), ["child", "body"]);
    });
}

#[test]
fn a_backtrace_of_a_body_that_waits_shows_body_and_caller() {
    #[inline(never)]
    fn the_body() {
        sedge::sleep(FOREVER);
        std::hint::black_box(());
    }
    #[inline(never)]
    fn the_caller() {
        let generator: Generator<()> = Generator::new(|_| the_body());
        generator.send(());
        std::hint::black_box(());
    }
    run(|| {
        let waiter = spawn(the_caller);
        yield_now();
        let dump = thread::dump();
        let text = dump
            .iter()
            .find(|(thread, _)| thread.id() == waiter.thread().id())
            .map(|(_, backtrace)| backtrace.to_string())
            .unwrap();
        let body = text.find("the_body").expect("the body is there");
        let caller = text.find("the_caller").expect("the caller is there");
        assert!(body < caller);
        waiter.cancel();
    });
}

#[test]
fn green_locals_in_a_body_are_those_of_who_resumes_it() {
    sedge::green_local! {
        static NUMBER: Cell<u32> = Cell::new(0);
    }
    run(|| {
        let generator = Rc::new(Generator::new(|y| {
            loop {
                y.yield_(NUMBER.get());
            }
        }));
        let threads: Vec<_> = (1..4)
            .map(|number| {
                let shared = Rc::clone(&generator);
                spawn(move || {
                    NUMBER.set(number);
                    yield_now();
                    shared.send(())
                })
            })
            .collect();
        let seen: Vec<_> = threads
            .into_iter()
            .map(|t| t.join().unwrap().unwrap())
            .collect();
        assert_eq!(seen, [1, 2, 3]);
    });
}

#[test]
fn a_body_that_is_closed_may_wait_in_its_destructors_where_that_is_allowed() {
    run(|| {
        let lock = Rc::new(Mutex::new(()));
        let log = Log::default();
        let (inner, inner_log) = (Rc::clone(&lock), log.clone());
        let generator = Generator::new(move |y| {
            let _guard = OnDrop(|| {
                let _locked = inner.lock().unwrap();
                inner_log.add("locked");
            });
            y.yield_(());
        });
        generator.send(());
        let guard = lock.lock().unwrap();
        let dropper = spawn(move || drop(generator));
        yield_now();
        // Somebody unwinds now, but not who yields here.
        assert_eq!(count(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(log.take(), [""; 0]);
        drop(guard);
        dropper.join().unwrap();
        assert_eq!(log.take(), ["locked"]);
    });
}

#[test]
fn a_body_that_waits_does_not_mind_that_others_begin_or_cease_to_unwind() {
    run(|| {
        let lock = Rc::new(Mutex::new(()));
        let inner = Rc::clone(&lock);
        let guard = lock.lock().unwrap();
        let unwinder = spawn(move || {
            let _guard = OnDrop(|| drop(inner.lock()));
            yield_now();
            resume_unwind(Box::new("quiet"));
        });
        let generator = Generator::new(|y| {
            y.yield_(1);
            yield_now();
            yield_now();
            y.yield_(2);
            sedge::sleep(ms(3));
            y.yield_(3);
        });
        let reader = spawn(move || generator.collect::<Vec<_>>());
        for _ in 0..5 {
            yield_now();
        }
        drop(guard);
        assert_eq!(reader.join().unwrap(), [1, 2, 3]);
        assert!(unwinder.join().is_err());
    });
}

#[test]
fn many_generators_live_at_once() {
    let generators: Vec<_> = (0..2000)
        .map(|i| Generator::new(move |y| y.yield_(i)))
        .collect();
    assert_eq!(
        generators.iter().filter_map(|g| g.send(())).sum::<u32>(),
        1_999_000
    );
}

#[test]
fn a_stack_size_out_of_range_is_an_error() {
    let built = Builder::new()
        .stack_size(1)
        .build(|y: &Yielder<'_, ()>, ()| y.yield_(()));
    assert_eq!(built.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn one_kept_in_a_thread_local_is_unwound_when_its_os_thread_ends() {
    thread_local! {
        static KEPT: RefCell<Option<Generator<u32>>> = const { RefCell::new(None) };
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let guard = OnDrop(move || sender.send(()).unwrap());
        let generator = Generator::new(move |y| {
            let _guard = guard;
            y.yield_(1);
        });
        KEPT.set(Some(generator));
        KEPT.with_borrow(|kept| kept.as_ref().unwrap().send(()));
    });
    receiver.recv().unwrap();
}

/// Numbers from a linear congruential generator.
struct Random(Cell<u64>);

impl Random {
    fn below(&self, end: u64) -> u64 {
        let next = self.0.get().wrapping_mul(6_364_136_223_846_793_005);
        self.0.set(next.wrapping_add(1_442_695_040_888_963_407));
        (self.0.get() >> 33) % end
    }
}

/// A body that waits, locks, nests, yields and panics as `random` says.
fn wild(random: &Rc<Random>, alive: &Rc<Cell<i32>>, lock: &Rc<Mutex<u32>>, depth: u32) -> Wild {
    let (random, alive, lock) = (Rc::clone(random), Rc::clone(alive), Rc::clone(lock));
    Rc::new(Generator::new(move |y| {
        alive.set(alive.get() + 1);
        let _guard = OnDrop(|| alive.set(alive.get() - 1));
        for _ in 0..random.below(12) {
            match random.below(8) {
                0 => sedge::sleep(std::time::Duration::from_micros(random.below(300))),
                1 => yield_now(),
                2 => *lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1,
                3 if depth < 4 => {
                    let inner = wild(&random, &alive, &lock, depth + 1);
                    y.yield_all((&*inner).take(random.below(4) as usize));
                }
                4 if depth < 4 => y.yield_from(&wild(&random, &alive, &lock, depth + 1), ()),
                5 if random.below(6) == 0 => resume_unwind(Box::new("wild")),
                6 => _ = sedge::timeout(ms(1), || sedge::sleep(ms(random.below(3)))),
                _ => y.yield_(random.below(100)),
            }
        }
    }))
}

type Wild = Rc<Generator<u64>>;

/// One of several that work on the same generators.
fn play(random: &Rc<Random>, alive: &Rc<Cell<i32>>, generators: &[RefCell<Wild>]) {
    let lock = Rc::new(Mutex::new(0));
    for _ in 0..60 {
        let place = &generators[random.below(generators.len() as u64) as usize];
        let generator = place.borrow().clone();
        let act = || match random.below(10) {
            0 => generator.close(),
            1 => drop(generator.throw(Box::new("thrown"))),
            2 => drop(place.replace(wild(random, alive, &lock, 0))),
            3 => _ = sedge::timeout(ms(random.below(2)), || generator.send(())),
            _ => _ = generator.send(()),
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(act)) {
            // A cancellation has no text; it goes on.
            if crate::util::message(&*payload) == "no text" {
                resume_unwind(payload);
            }
        }
    }
}

#[test]
fn whatever_is_done_to_towers_every_body_ends() {
    for seed in 0..20 {
        let alive = Rc::new(Cell::new(0));
        let random = Rc::new(Random(Cell::new(seed)));
        let config = sedge::Config::new().policy(sedge::Policy::Random(seed));
        let inner = Rc::clone(&alive);
        crate::util::run_with(config, move || {
            let lock = Rc::new(Mutex::new(0));
            let new = || RefCell::new(wild(&random, &inner, &lock, 0));
            let generators: Rc<[_]> = (0..6).map(|_| new()).collect();
            let player = || {
                let (random, alive) = (Rc::clone(&random), Rc::clone(&inner));
                let generators = Rc::clone(&generators);
                spawn(move || play(&random, &alive, &generators))
            };
            let players: Vec<_> = (0..8).map(|_| player()).collect();
            sedge::sleep(ms(2));
            players[0].cancel();
            players[1].cancel();
            for player in players {
                let _ = player.join();
            }
        });
        assert_eq!(alive.get(), 0, "seed {seed}");
    }
}

#[test]
fn a_scope_in_a_body_may_end_after_run_if_its_green_threads_have() {
    let begin = || {
        run(|| {
            let generator = Generator::new(|y| {
                let child = sedge::scope(|s| {
                    let child = s.spawn(|| 2);
                    y.yield_(1);
                    child.join().unwrap()
                });
                y.yield_(child);
            });
            assert_eq!(generator.send(()), Some(1));
            generator
        })
    };
    drop(begin());
    assert_eq!(begin().collect::<Vec<_>>(), [2]);
}
