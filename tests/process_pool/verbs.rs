//! What a pool is asked to do.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sedge::ipc::Bytes;
use sedge::net::{TcpListener, TcpStream};
use sedge::pool::process::Builder;
use sedge::pool::{Executor, Pool, ProcessPool, ThreadPool};

crate::tests![
    map_keeps_the_order,
    map_ends_with_the_first_failure_and_cancels_the_rest,
    try_map_has_a_result_for_each_item,
    imap_pulls_no_more_than_it_needs,
    imap_goes_on_after_a_panic,
    imap_unordered_gives_what_is_ready,
    all_pools_are_executors,
    large_arguments_do_not_hold_up_who_submits,
    submit_waits_while_the_queue_is_full,
    an_argument_that_cannot_be_sent_takes_no_place_in_the_queue,
    callbacks_run_here_and_may_panic,
    a_short_task_does_not_wait_behind_a_long_one,
    a_task_may_use_green_sockets,
    a_task_may_have_a_pool_of_its_own,
];

fn map_keeps_the_order() {
    let pool = ProcessPool::new(3).unwrap();
    for count in [0, 1, 10, 100_000] {
        let squares = pool.map(|n: u64| n * n, 0..count);
        assert_eq!(squares.len() as u64, count);
        assert!(squares.iter().zip(0..).all(|(&square, n)| square == n * n));
    }
}

fn map_ends_with_the_first_failure_and_cancels_the_rest() {
    let pool = ProcessPool::new(2).unwrap();
    let begun = Instant::now();
    let map = || {
        let one_fails = |n: u32| match n {
            1 => panic!("the second"),
            _ => sedge::sleep(Duration::from_secs(3600)),
        };
        pool.map(one_fails, 0..8)
    };
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(map)).unwrap_err();
    assert_eq!(payload.downcast_ref::<String>().unwrap(), "the second");
    pool.join();
    assert!(begun.elapsed() < Duration::from_secs(10));
}

fn try_map_has_a_result_for_each_item() {
    let pool = ProcessPool::new(2).unwrap();
    let results = pool.try_map(
        |n: u32| match n % 5 {
            3 => panic!("three"),
            4 => std::process::exit(1),
            n => n,
        },
        0..20,
    );
    let good = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!((results.len(), good), (20, 12));
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(result.is_ok(), n % 5 < 3);
    }
}

fn imap_pulls_no_more_than_it_needs() {
    let pool = ProcessPool::new(2).unwrap();
    let pulled = Rc::new(Cell::new(0));
    let count = Rc::clone(&pulled);
    let slow = |n: u64| {
        sedge::sleep(Duration::from_millis(3));
        n
    };
    let mut results = pool.imap(slow, (0..).inspect(move |_| count.set(count.get() + 1)));
    for n in 0..10 {
        assert_eq!(results.next(), Some(n));
        assert!(pulled.get() <= n + 1 + 4, "{} after {n}", pulled.get());
    }
}

fn imap_goes_on_after_a_panic() {
    let pool = ProcessPool::new(2).unwrap();
    let odd_panics = |n: u32| {
        assert!(n.is_multiple_of(2), "odd");
        n
    };
    let results = RefCell::new(pool.imap(odd_panics, 0..6));
    let next = || results.borrow_mut().next();
    let catch = |_| std::panic::catch_unwind(std::panic::AssertUnwindSafe(next)).ok();
    let seen: Vec<_> = (0..7).map(catch).collect();
    let expected = [
        Some(Some(0)),
        None,
        Some(Some(2)),
        None,
        Some(Some(4)),
        None,
        Some(None),
    ];
    assert_eq!(seen, expected);
}

fn imap_unordered_gives_what_is_ready() {
    let pool = ProcessPool::new(2).unwrap();
    let sleep = |ms: u64| {
        sedge::sleep(Duration::from_millis(ms));
        ms
    };
    let order: Vec<_> = pool.imap_unordered(sleep, [800, 1, 2, 3]).collect();
    assert_eq!(*order.last().unwrap(), 800);
    assert_eq!(order.iter().sum::<u64>(), 806);
}

fn all_pools_are_executors() {
    fn squares(pool: &impl Executor<u64, u64>) -> Vec<u64> {
        assert_eq!(pool.submit(|n| n + 1, 1).result().unwrap(), 2);
        pool.map(|n| n * n, 1..=3)
    }
    assert_eq!(squares(&Pool::new(2)), [1, 4, 9]);
    assert_eq!(squares(&ThreadPool::new(2)), [1, 4, 9]);
    assert_eq!(squares(&ProcessPool::new(2).unwrap()), [1, 4, 9]);
}

fn large_arguments_do_not_hold_up_who_submits() {
    let pool = Builder::new(2).queue_limit(8).start().unwrap();
    let slow = |bytes: Bytes| {
        std::thread::sleep(Duration::from_millis(500));
        bytes.len()
    };
    pool.map(|n: u32| n, 0..10);
    let large = || Bytes(vec![1; 1 << 20]);
    let begun = Instant::now();
    let jobs: Vec<_> = (0..10).map(|_| pool.submit(slow, large())).collect();
    assert!(
        begun.elapsed() < Duration::from_millis(450),
        "{:?}",
        begun.elapsed()
    );
    assert!(jobs.into_iter().all(|job| job.result().unwrap() == 1 << 20));
}

fn submit_waits_while_the_queue_is_full() {
    let pool = Rc::new(Builder::new(1).queue_limit(2).start().unwrap());
    let slow = |n: u32| {
        sedge::sleep(Duration::from_millis(200));
        n
    };
    let first = pool.submit(slow, 0);
    while pool.queued() > 0 {
        sedge::sleep(Duration::from_millis(1));
    }
    let queued = [pool.submit(slow, 1), pool.submit(slow, 2)];
    assert_eq!(pool.try_submit(slow, 3).unwrap_err(), 3);
    let begun = Instant::now();
    let last = pool.submit(slow, 4);
    assert!(begun.elapsed() > Duration::from_millis(20));
    assert_eq!(last.result().unwrap(), 4);
    for (n, job) in queued.into_iter().enumerate() {
        assert_eq!(job.result().unwrap(), n as u32 + 1);
    }
    assert_eq!(first.result().unwrap(), 0);
}

fn an_argument_that_cannot_be_sent_takes_no_place_in_the_queue() {
    let builder = Builder::new(1).queue_limit(1).message_limit(16);
    let pool = builder.start().unwrap();
    let length = |text: String| text.len();
    for _ in 0..3 {
        let job = pool.try_submit(length, "x".repeat(100)).unwrap();
        assert!(job.result().is_err());
    }
    let job = pool.try_submit(length, "short".to_owned()).unwrap();
    assert_eq!(job.result().unwrap(), 5);
}

fn callbacks_run_here_and_may_panic() {
    let pool = ProcessPool::new(1).unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (values, errors) = (Rc::clone(&seen), Rc::clone(&seen));
    let value = pool.apply_async(
        |n: u32| n + 1,
        1,
        move |n| values.borrow_mut().push(n.to_string()),
        |_| unreachable!(),
    );
    let error = pool.apply_async(
        |n: u32| assert!(n == 0, "not nought"),
        1,
        |()| unreachable!(),
        move |error| {
            errors
                .borrow_mut()
                .push(error.message().unwrap().to_owned())
        },
    );
    let panics = pool.apply_async(|n: u32| n, 1, |_| panic!("in a callback"), |_| ());
    assert_eq!(value.result().unwrap(), 2);
    assert!(error.result().is_err());
    assert_eq!(panics.result().unwrap(), 1);
    assert_eq!(*seen.borrow(), ["2", "not nought"]);
    assert_eq!(pool.apply(|n: u32| n, 3), 3);
}

fn a_short_task_does_not_wait_behind_a_long_one() {
    let pool = ProcessPool::new(2).unwrap();
    for _ in 0..5 {
        // So short that tasks are sent ahead.
        pool.map(|n: u32| n, 0..200);
        let long = pool.submit(|()| std::thread::sleep(Duration::from_millis(500)), ());
        let begun = Instant::now();
        let short: Vec<_> = (0..20).map(|n| pool.submit(|n: u32| n, n)).collect();
        for job in short {
            job.result().unwrap();
        }
        assert!(
            begun.elapsed() < Duration::from_millis(400),
            "{:?}",
            begun.elapsed()
        );
        long.result().unwrap();
    }
}

fn a_task_may_use_green_sockets() {
    let pool = ProcessPool::new(1).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = sedge::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
    });
    let fetch = |addr: String| {
        let mut text = String::new();
        let fetch = sedge::spawn(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        fetch.join().unwrap()
    };
    assert_eq!(pool.apply(fetch, addr), "hello");
    server.join().unwrap();
}

fn a_task_may_have_a_pool_of_its_own() {
    let pool = ProcessPool::new(1).unwrap();
    let sum_of_squares = |n: u64| {
        let inner = ProcessPool::new(2).unwrap();
        inner.map(|n: u64| n * n, 1..=n).iter().sum::<u64>()
    };
    assert_eq!(pool.apply(sum_of_squares, 10), 385);
}
