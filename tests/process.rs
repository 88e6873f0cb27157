//! What takes a process of its own: overflows, faults, forks, limits, and what is left afterwards.
//!
//! Each test starts this binary again with its own name as the filter; the child plays the scene,
//! and the parent looks at how it ended and what it has said.

#![expect(unsafe_code, reason = "signals, forks and faults")]

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::panic::AssertUnwindSafe;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sedge::generator::{self, Generator};
use sedge::pool::ThreadPool;
use sedge::sync::{Mutex, TryLockError};
use sedge::thread::{self, Builder, Remote};
use sedge::{Config, Reason, StackGuard, State};

const CHILD: &str = "SEDGE_TEST_CHILD";

/// A child that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// How a child ended, and what it said on standard error.
struct End {
    signal: Option<i32>,
    code: Option<i32>,
    stderr: String,
}

/// In the parent: plays the scene of test `name` in a child. In the child: plays it, and goes away.
fn play(name: &str, scene: fn()) -> End {
    play_as(name, "1", scene)
}

/// As [`play`], for a test of several scenes: the child sees in its environment which it is.
fn play_as(name: &str, child: &str, scene: fn()) -> End {
    if std::env::var_os(CHILD).is_some() {
        no_core_file();
        scene();
        std::process::exit(0);
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, child)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{name} hangs; it said: {}", reader.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    End {
        signal: status.signal(),
        code: status.code(),
        stderr: reader.join().unwrap(),
    }
}

impl End {
    #[track_caller]
    fn by_signal(&self, signal: i32) -> &End {
        assert_eq!(
            self.signal,
            Some(signal),
            "code {:?}; it said: {}",
            self.code,
            self.stderr
        );
        self
    }

    #[track_caller]
    fn with_code(&self, code: i32) -> &End {
        assert_eq!(
            self.code,
            Some(code),
            "signal {:?}; it said: {}",
            self.signal,
            self.stderr
        );
        self
    }

    #[track_caller]
    fn says(&self, text: &str) -> &End {
        assert!(
            self.stderr.contains(text),
            "no {text:?} in: {}",
            self.stderr
        );
        self
    }

    #[track_caller]
    fn says_once(&self, text: &str) -> &End {
        assert_eq!(
            self.stderr.matches(text).count(),
            1,
            "{text:?} in: {}",
            self.stderr
        );
        self
    }

    #[track_caller]
    fn says_nothing_of(&self, text: &str) -> &End {
        assert!(!self.stderr.contains(text), "{text:?} in: {}", self.stderr);
        self
    }
}

fn no_core_file() {
    limit(libc::RLIMIT_CORE, 0);
}

/// Sets a soft limit and returns what it was.
fn limit(what: libc::__rlimit_resource_t, most: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live value of the right type.
    assert_eq!(unsafe { libc::getrlimit(what, &raw mut limit) }, 0);
    let before = limit.rlim_cur;
    limit.rlim_cur = most;
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(what, &raw const limit) }, 0);
    before
}

/// Uses about this many bytes of stack, or all there is.
#[inline(never)]
fn dig(bytes: usize) -> usize {
    let start = here();
    dig_from(start, bytes)
}

#[inline(never)]
fn dig_from(start: usize, bytes: usize) -> usize {
    let block = black_box([1_u8; 256]);
    let used = start - here();
    if used < bytes {
        dig_from(start, bytes).max(usize::from(block[3]))
    } else {
        used
    }
}

/// An address on the caller's stack.
#[inline(always)]
fn here() -> usize {
    let local = 0_u8;
    black_box(&raw const local) as usize
}

fn fault() {
    // SAFETY: none; the fault is what the test is about.
    unsafe { black_box(std::ptr::null_mut::<u64>().wrapping_add(1)).write_volatile(1) };
}

#[test]
fn an_overflow_names_the_green_thread_its_stack_and_its_origin() {
    let scene = || {
        sedge::run(|| {
            let digger = Builder::new()
                .name("digger".to_owned())
                .stack_size(64 << 10);
            let body = || dig(usize::MAX);
            let digger = digger.spawn(body).unwrap();
            eprintln!("{}:{}: the origin", file!(), line!() - 1);
            eprintln!("(#{}): the id", digger.thread().id().as_u64());
            digger.join().unwrap();
        });
    };
    let end = play(
        "an_overflow_names_the_green_thread_its_stack_and_its_origin",
        scene,
    );
    let told = |mark: &str| {
        let line = end
            .stderr
            .lines()
            .find(|line| line.ends_with(mark))
            .unwrap();
        line.strip_suffix(mark).unwrap().to_owned()
    };
    end.by_signal(libc::SIGABRT)
        .says(&format!(
            "green thread 'digger' {} has overflowed",
            told(": the id")
        ))
        .says("its stack of 64 KiB")
        .says(&format!("spawned at {}", told(" the origin")))
        .says("sedge::thread::Builder::stack_size");
}

#[test]
fn an_overflow_is_told_with_the_older_kind_of_guard_too() {
    let scene = || {
        Config::new().stack_guard(StackGuard::Protect).run(|| {
            sedge::spawn(|| dig(usize::MAX)).join().unwrap();
        });
    };
    play(
        "an_overflow_is_told_with_the_older_kind_of_guard_too",
        scene,
    )
    .by_signal(libc::SIGABRT)
    .says("has overflowed its stack of 256 KiB");
}

#[test]
fn an_overflow_of_main_and_on_another_os_thread_is_told_too() {
    let scene = || {
        let other = std::thread::spawn(|| {
            sedge::run(|| sedge::spawn(|| dig(usize::MAX)).join().unwrap());
        });
        sedge::run(|| sedge::blocking(|| other.join()).unwrap());
    };
    play(
        "an_overflow_of_main_and_on_another_os_thread_is_told_too",
        scene,
    )
    .by_signal(libc::SIGABRT)
    .says("green thread '<unnamed>' (#")
    .says("its stack of 256 KiB");
}

#[test]
fn an_overflow_of_main_is_told() {
    let scene = || {
        sedge::run(|| dig(usize::MAX));
    };
    play("an_overflow_of_main_is_told", scene)
        .by_signal(libc::SIGABRT)
        .says("green thread 'main' (#");
}

#[test]
fn recursion_that_ends_just_before_the_guard_does_no_harm() {
    let scene = || {
        sedge::run(|| {
            for size in [32 << 10, 256 << 10, 4 << 20_usize] {
                for _ in 0..40 {
                    let digger = Builder::new().stack_size(size);
                    let used = digger
                        .spawn(move || dig(size - (8 << 10)))
                        .unwrap()
                        .join()
                        .unwrap();
                    assert!(used >= size - (8 << 10) && used < size);
                }
            }
        });
    };
    play(
        "recursion_that_ends_just_before_the_guard_does_no_harm",
        scene,
    )
    .with_code(0);
}

#[test]
fn a_null_dereference_on_a_green_thread_is_a_plain_fault() {
    let scene = || sedge::run(|| sedge::spawn(fault).join().unwrap());
    play(
        "a_null_dereference_on_a_green_thread_is_a_plain_fault",
        scene,
    )
    .by_signal(libc::SIGSEGV)
    .says_nothing_of("overflowed");
}

#[test]
fn a_null_dereference_on_an_os_thread_is_a_plain_fault() {
    let scene = || sedge::run(|| std::thread::spawn(fault).join().unwrap());
    play("a_null_dereference_on_an_os_thread_is_a_plain_fault", scene)
        .by_signal(libc::SIGSEGV)
        .says_nothing_of("overflowed");
}

#[test]
fn the_overflow_of_an_os_thread_is_still_told_by_std() {
    let scene = || {
        sedge::run(|| {
            let named = std::thread::Builder::new().name("os digger".to_owned());
            named.spawn(|| dig(usize::MAX)).unwrap().join().unwrap();
        });
    };
    play("the_overflow_of_an_os_thread_is_still_told_by_std", scene)
        .by_signal(libc::SIGABRT)
        .says("thread 'os digger'")
        .says("has overflowed its stack")
        .says_nothing_of("green thread");
}

#[test]
fn after_run_the_os_thread_has_its_signal_stack_again() {
    let scene = || {
        let named = std::thread::Builder::new().name("afterwards".to_owned());
        let digger = named.spawn(|| {
            sedge::run(|| sedge::spawn(|| ()).join().unwrap());
            dig(usize::MAX)
        });
        digger.unwrap().join().unwrap();
    };
    play("after_run_the_os_thread_has_its_signal_stack_again", scene)
        .by_signal(libc::SIGABRT)
        .says("thread 'afterwards'")
        .says("has overflowed its stack");
}

extern "C" fn with_information(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel, or sedge's handler, passes a pointer to a valid value.
    let info = unsafe { &*info };
    // SAFETY: the signal is SIGSEGV, for which the kernel sets the address.
    let address = unsafe { info.si_addr() } as usize;
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(if address == 8 { 41 } else { 1 }) };
}

extern "C" fn plain(_: i32) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(42) };
}

fn handle_faults(handler: usize, flags: i32) {
    // SAFETY: all-zero bytes are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the pointer is to a live value, and the handler has the type that the flags ask for.
    let done = unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()) };
    assert_eq!(done, 0);
}

#[test]
fn a_handler_from_before_run_gets_the_faults_of_green_threads() {
    let scene = || {
        let handler = with_information as extern "C" fn(_, _, _);
        handle_faults(handler as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
        sedge::run(|| sedge::spawn(fault).join().unwrap());
    };
    play(
        "a_handler_from_before_run_gets_the_faults_of_green_threads",
        scene,
    )
    .with_code(41);
}

#[test]
fn a_plain_handler_from_before_run_gets_the_faults_of_os_threads() {
    let scene = || {
        handle_faults(plain as extern "C" fn(i32) as usize, 0);
        sedge::run(|| std::thread::spawn(fault).join().unwrap());
    };
    play(
        "a_plain_handler_from_before_run_gets_the_faults_of_os_threads",
        scene,
    )
    .with_code(42);
}

#[test]
fn an_overflow_is_told_although_there_is_a_handler_from_before() {
    let scene = || {
        handle_faults(plain as extern "C" fn(i32) as usize, libc::SA_ONSTACK);
        sedge::run(|| sedge::spawn(|| dig(usize::MAX)).join().unwrap());
    };
    play(
        "an_overflow_is_told_although_there_is_a_handler_from_before",
        scene,
    )
    .by_signal(libc::SIGABRT)
    .says("has overflowed its stack");
}

#[test]
fn run_does_not_return_over_frames_that_cannot_be_unwound() {
    let end = play(
        "run_does_not_return_over_frames_that_cannot_be_unwound",
        || {
            let borrowed = vec![1; 1000];
            let deadlock = Config::new().on_deadlock(|_| panic!("in the hook"));
            deadlock.run(|| {
                std::thread::scope(|scope| {
                    scope.spawn(|| black_box(&borrowed).len());
                    sedge::shield(thread::park)
                })
            });
        },
    );
    end.by_signal(libc::SIGABRT)
        .says("deadlock: 1 green thread waits")
        .says("run cannot end: 1 of its green threads");
}

#[test]
fn a_panic_hook_may_wait_while_a_cycle_is_reported_and_no_lock_is_lost() {
    thread_local! {
        static LOG: Mutex<u32> = const { Mutex::new(0) };
    }
    let end = play(
        "a_panic_hook_may_wait_while_a_cycle_is_reported_and_no_lock_is_lost",
        || {
            std::panic::set_hook(Box::new(|_| LOG.with(|log| *log.lock().unwrap() += 1)));
            let (one, other) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
            sedge::run(|| {
                let (first, second) = (Rc::clone(&one), Rc::clone(&other));
                let waits = thread::spawn(move || {
                    let _guard = first.lock();
                    thread::yield_now();
                    drop(second.lock());
                });
                let (first, second) = (Rc::clone(&one), Rc::clone(&other));
                let closes = thread::spawn(move || {
                    let _guard = second.lock();
                    thread::yield_now();
                    thread::yield_now();
                    drop(first.lock());
                });
                LOG.with(|log| {
                    let log = log.lock().unwrap();
                    (0..5).for_each(|_| thread::yield_now());
                    assert_eq!(closes.thread().state(), State::Parked(Reason::Lock));
                    waits.cancel();
                    assert!(waits.join().unwrap_err().is_cancelled());
                    drop(log);
                });
                assert!(closes.join().is_err());
            });
            assert_eq!(LOG.with(|log| *log.lock().unwrap()), 1);
            assert!(!matches!(one.try_lock(), Err(TryLockError::WouldBlock)));
        },
    );
    assert_eq!(end.code, Some(0), "{}", end.stderr);
}

#[test]
fn a_panic_hook_may_ask_for_the_green_thread_when_run_is_misused() {
    let end = play(
        "a_panic_hook_may_ask_for_the_green_thread_when_run_is_misused",
        || {
            std::panic::set_hook(Box::new(|_| eprintln!("in {:?}", thread::current().name())));
            sedge::run(|| assert!(std::panic::catch_unwind(|| sedge::run(|| ())).is_err()));
        },
    );
    end.with_code(0).says("in Some(\"main\")");
}

#[test]
fn a_daemon_that_waits_for_ever_in_a_destructor_keeps_run_from_returning() {
    let end = play(
        "a_daemon_that_waits_for_ever_in_a_destructor_keeps_run_from_returning",
        || {
            struct Waits(sedge::sync::Mutex<()>);
            impl Drop for Waits {
                fn drop(&mut self) {
                    std::mem::forget(self.0.lock());
                    drop(self.0.lock());
                }
            }
            sedge::run(|| {
                let body = || {
                    let _waits = Waits(sedge::sync::Mutex::new(()));
                    thread::park();
                };
                Builder::new().daemon(true).spawn(body).unwrap();
                sedge::yield_now();
            });
        },
    );
    end.by_signal(libc::SIGABRT)
        .says("run cannot end: 1 of its green threads");
}

#[test]
fn a_panic_that_nobody_joins_is_printed_once_with_the_name() {
    let scene = || {
        sedge::run(|| {
            let lonely = Builder::new().name("lonely".to_owned());
            drop(lonely.spawn(|| panic!("nobody listens")).unwrap());
            let joined = Builder::new().name("joined".to_owned());
            let joined = joined.spawn(|| panic!("somebody listens")).unwrap();
            assert!(joined.join().is_err());
            Remote::new().spawn(|| panic!("from afar")).unwrap();
            sedge::sleep(Duration::from_millis(5));
        });
    };
    play(
        "a_panic_that_nobody_joins_is_printed_once_with_the_name",
        scene,
    )
    .with_code(0)
    .says_once("green thread 'lonely' (#")
    .says_once("nobody listens")
    .says_once("green thread 'joined' (#")
    .says_once("somebody listens")
    .says_once("from afar");
}

#[test]
fn cancellations_limits_and_shutdown_print_nothing() {
    let scene = || {
        sedge::run(|| {
            let daemon = Builder::new().daemon(true);
            drop(daemon.spawn(thread::park).unwrap());
            let cancelled = sedge::spawn(thread::park);
            sedge::yield_now();
            cancelled.cancel();
            assert!(cancelled.join().is_err());
            assert!(sedge::timeout(Duration::from_millis(1), thread::park).is_err());
            eprintln!("the end");
        });
    };
    let end = play("cancellations_limits_and_shutdown_print_nothing", scene);
    end.with_code(0)
        .says("the end")
        .says_nothing_of("panicked")
        .says_nothing_of("green thread");
}

/// Forks, lets the child do `action` and leave with 0, and returns its wait status.
fn forked(action: fn()) -> i32 {
    // SAFETY: the child either leaves at once or is what the test is about.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        action();
        // SAFETY: ends this process, and touches nothing of the parent.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a live value.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

#[test]
fn a_forked_child_that_goes_on_with_green_threads_dies_and_says_why() {
    let scene = || {
        let rest = sedge::run(|| {
            let ticker = sedge::spawn(|| {
                for _ in 0..10 {
                    sedge::sleep(Duration::from_millis(2));
                }
                "the parent is unharmed"
            });
            sedge::yield_now();
            let actions: [fn(); 5] = [
                sedge::yield_now,
                || sedge::sleep(Duration::from_millis(1)),
                || drop(sedge::spawn(|| ()).join()),
                thread::park,
                || sedge::blocking(|| std::thread::sleep(Duration::from_millis(200))),
            ];
            for action in actions {
                let status = forked(action);
                assert!(libc::WIFSIGNALED(status), "the child went on: {status}");
                assert_eq!(libc::WTERMSIG(status), libc::SIGABRT);
            }
            // Leaving at once is allowed.
            assert_eq!(forked(|| ()), 0);
            ticker.join().unwrap()
        });
        eprintln!("{rest}");
    };
    let name = "a_forked_child_that_goes_on_with_green_threads_dies_and_says_why";
    let end = play(name, scene);
    end.with_code(0)
        .says("the parent is unharmed")
        .says("std::process::Command");
    assert_eq!(
        end.stderr.matches("reached in a forked child").count(),
        5,
        "{}",
        end.stderr
    );
}

#[test]
fn a_thread_pool_in_a_forked_child_says_so_and_is_dropped_without_a_wait() {
    static POOL: std::sync::Mutex<Option<ThreadPool>> = std::sync::Mutex::new(None);
    let scene = || {
        let pool = ThreadPool::new(1);
        sedge::run(|| pool.apply(|| ()));
        *POOL.lock().unwrap() = Some(pool);
        let status = forked(|| {
            let pool = POOL.lock().unwrap().take().unwrap();
            let submit = AssertUnwindSafe(|| sedge::run(|| pool.apply(|| ())));
            assert!(std::panic::catch_unwind(submit).is_err());
            drop(pool);
        });
        assert_eq!(status, 0);
    };
    let name = "a_thread_pool_in_a_forked_child_says_so_and_is_dropped_without_a_wait";
    play(name, scene).with_code(0).says("make a new pool here");
}

#[test]
fn without_descriptors_run_says_so_and_works_again_later() {
    let scene = || {
        let before = limit(libc::RLIMIT_NOFILE, 3);
        let panicked = std::panic::catch_unwind(|| sedge::run(|| ()));
        limit(libc::RLIMIT_NOFILE, before);
        let message = panicked.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("cannot start a scheduler"), "{message}");
        assert!(message.contains("Too many open files"), "{message}");
        let next = sedge::run(|| sedge::spawn(|| dig(1000)).join().is_ok());
        assert!(next);
    };
    play(
        "without_descriptors_run_says_so_and_works_again_later",
        scene,
    )
    .with_code(0);
}

#[test]
fn near_the_mapping_limit_spawn_fails_with_its_name_and_all_go_on() {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    if limit.trim().parse::<usize>().unwrap() > 300_000 {
        // It would take a million stacks to get there.
        return;
    }
    let scene = || {
        let config = Config::new()
            .stack_guard(StackGuard::Protect)
            .stack_size(32 << 10);
        config.run(|| {
            let mut threads = Vec::new();
            let error = loop {
                match Builder::new().spawn(sedge::yield_now) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => break error,
                }
            };
            assert!(threads.len() > 1_000);
            assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
            assert!(
                error.to_string().contains("vm.max_map_count allows"),
                "{error}"
            );
            // Even a panic can be printed, and what needs mappings works.
            let panicked = std::panic::catch_unwind(|| sedge::spawn(|| ())).unwrap_err();
            let message = panicked.downcast::<String>().unwrap();
            assert!(message.contains("vm.max_map_count"), "{message}");
            Remote::new()
                .spawn(|| unreachable!("there is no stack for it"))
                .unwrap();
            drop(black_box(vec![1_u8; 64 << 20]));
            std::thread::spawn(|| ()).join().unwrap();
            for thread in threads {
                thread.join().unwrap();
            }
            // There is room again.
            sedge::spawn(|| ()).join().unwrap();
        });
        // And a second run has all of it.
        let config = Config::new().stack_guard(StackGuard::Protect);
        config.run(|| (0..1_000).for_each(|_| drop(sedge::spawn(|| ()))));
    };
    play(
        "near_the_mapping_limit_spawn_fails_with_its_name_and_all_go_on",
        scene,
    )
    .with_code(0);
}

/// Resident bytes, open descriptors and mappings of this process.
fn usage() -> (usize, usize, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mappings = std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count();
    (pages * 4096, descriptors, mappings)
}

/// A run that uses a bit of everything, and ends threads in every way there is.
fn busy_run() {
    sedge::run(|| {
        let threads: Vec<_> = (0..2_000_u32)
            .map(|i| {
                sedge::spawn(move || {
                    dig(32 << 10);
                    match i % 8 {
                        0 => sedge::sleep(Duration::from_millis(3)),
                        1 => thread::park(),
                        2 => drop(sedge::timeout(Duration::from_millis(2), thread::park)),
                        3 => std::panic::resume_unwind(Box::new("quietly")),
                        4 => _ = sedge::scope(|s| s.spawn(|| i).join()),
                        5 if i % 80 == 5 => pipe_once(),
                        6 if i % 80 == 6 => sedge::blocking(|| ()),
                        _ => sedge::yield_now(),
                    }
                })
            })
            .collect();
        sedge::sleep(Duration::from_millis(4));
        threads.iter().for_each(|thread| thread.cancel());
        sedge::wait_all(&threads);
        drop(Builder::new().daemon(true).spawn(thread::park).unwrap());
    });
}

/// Waits for a byte from another green thread.
fn pipe_once() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let reader = sedge::io::Source::new(reader);
    drop(sedge::spawn(move || writer.write_all(b"x").unwrap()));
    reader.wait_readable().unwrap();
}

#[test]
fn everything_is_freed_when_run_returns() {
    let scene = || {
        (0..3).for_each(|_| busy_run());
        let (bytes, descriptors, mappings) = usage();
        (0..10).for_each(|_| busy_run());
        let (bytes_then, descriptors_then, mappings_then) = usage();
        assert_eq!(descriptors_then, descriptors, "descriptors are left open");
        // Ten runs have touched 640 MB of stacks.
        assert!(
            bytes_then < bytes + (8 << 20),
            "{bytes} bytes became {bytes_then}"
        );
        // The pool of `blocking` may have started OS threads, of two mappings and an arena each.
        assert!(
            mappings_then < mappings + 60,
            "{mappings} mappings became {mappings_then}"
        );
    };
    play("everything_is_freed_when_run_returns", scene).with_code(0);
}

#[test]
fn a_long_run_reuses_its_stacks_and_gives_the_cold_ones_back() {
    let scene = || {
        sedge::run(|| {
            (0..1_000).for_each(|_| _ = sedge::spawn(|| dig(64 << 10)).join());
            let (bytes, _, mappings) = usage();
            (0..50_000).for_each(|_| _ = sedge::spawn(|| dig(1 << 10)).join());
            let (bytes_then, _, mappings_then) = usage();
            assert!(
                bytes_then < bytes + (4 << 20),
                "{bytes} bytes became {bytes_then}"
            );
            assert!(mappings_then < mappings + 5);

            let threads: Vec<_> = (0..2_000).map(|_| sedge::spawn(|| dig(64 << 10))).collect();
            sedge::wait_all(&threads);
            drop(threads);
            let (hot, _, _) = usage();
            assert!(hot > bytes + (60 << 20), "the stacks were used: {hot}");
            // Idle now: beyond 256 MiB of address space, that is 1,024 stacks, they are given back.
            sedge::sleep(Duration::from_millis(100));
            let (cold, _, _) = usage();
            assert!(cold < hot - (50 << 20), "{hot} bytes became {cold}");
        });
    };
    play(
        "a_long_run_reuses_its_stacks_and_gives_the_cold_ones_back",
        scene,
    )
    .with_code(0);
}

#[test]
fn a_deadlock_leaves_the_process_with_a_report_on_standard_error() {
    let scene = || sedge::run(thread::park);
    play(
        "a_deadlock_leaves_the_process_with_a_report_on_standard_error",
        scene,
    )
    .with_code(101)
    .says("deadlock: 1 green thread waits")
    .says("'main'")
    .says(file!());
}

#[test]
fn unparkers_that_are_made_and_dropped_leave_nothing() {
    let scene = || {
        sedge::run(|| {
            let remote = Remote::new();
            let me = thread::current().id();
            let kept = remote.unparker(me);
            (0..10_000).for_each(|_| drop(remote.unparker(me)));
            let (bytes, _, _) = usage();
            (0..1_000_000).for_each(|_| drop(remote.unparker(me)));
            let (bytes_then, _, _) = usage();
            assert!(
                bytes_then < bytes + (8 << 20),
                "{bytes} bytes became {bytes_then}"
            );
            // One that is raised counts although it is dropped, and one that is kept still works.
            remote.unparker(me).unpark();
            (0..1_000).for_each(|_| drop(remote.unparker(me)));
            thread::park();
            kept.unpark();
            thread::park();
        });
    };
    play("unparkers_that_are_made_and_dropped_leave_nothing", scene).with_code(0);
}

#[test]
fn an_overflow_in_a_generator_names_it_and_its_origin_outside_of_run_too() {
    fn dig_in_generator() {
        let deep = generator::Builder::new().name("deep".to_owned());
        let deep: Generator<()> = deep.build(|_, ()| _ = dig(usize::MAX)).unwrap();
        deep.send(());
    }
    for (name, scene) in [
        ("outside", dig_in_generator as fn()),
        ("inside", || sedge::run(dig_in_generator)),
        ("after", || {
            sedge::run(|| Generator::new(|y| y.yield_(1)).send(()));
            dig_in_generator();
        }),
        ("elsewhere", || {
            std::thread::spawn(dig_in_generator).join().unwrap();
        }),
    ] {
        if std::env::var_os(CHILD).is_some_and(|child| child != name) {
            continue;
        }
        play_as(
            "an_overflow_in_a_generator_names_it_and_its_origin_outside_of_run_too",
            name,
            scene,
        )
        .by_signal(libc::SIGABRT)
        .says("generator 'deep' has overflowed its stack of 256 KiB")
        .says(&format!("made at {}", file!()))
        .says("sedge::generator::Builder::stack_size");
    }
}

#[test]
fn a_body_that_always_catches_its_end_aborts_with_a_report() {
    let scene = || {
        let generator = Generator::new(|y| {
            loop {
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| y.yield_(1)));
            }
        });
        let generator: Generator<i32> = generator;
        generator.send(());
    };
    play(
        "a_body_that_always_catches_its_end_aborts_with_a_report",
        scene,
    )
    .by_signal(libc::SIGABRT)
    .says("catches its end and yields again");
}

#[test]
fn a_body_that_yields_from_a_destructor_while_it_unwinds_aborts_with_a_report() {
    struct Yields<'a>(&'a generator::Yielder<'a, u32>);

    impl Drop for Yields<'_> {
        fn drop(&mut self) {
            self.0.yield_(2);
        }
    }

    let scene = || {
        let generator: Generator<u32> = Generator::new(|y| {
            let _yields = Yields(y);
            y.yield_(1);
        });
        generator.send(());
    };
    play(
        "a_body_that_yields_from_a_destructor_while_it_unwinds_aborts_with_a_report",
        scene,
    )
    .by_signal(libc::SIGABRT)
    .says("yields from a destructor while it unwinds");
}
