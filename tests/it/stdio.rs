//! Standard input, output and error: what they are connected to, and who else uses them.
//!
//! Most tests start this binary again with their own name as the filter: the child plays the scene
//! with what the parent has given it as standard streams.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::tcgetattr;
use sedge::io::{self, pipe};
use sedge::{Reason, State};

use crate::util::{self, FOREVER, OnDrop, ms, until};

const CHILD: &str = "SEDGE_TEST_CHILD";
/// Ends what libtest has printed before the scene.
const BEGIN: &str = "<scene>";
const DEADLINE: Duration = Duration::from_secs(30);

/// In the child: plays the scene and ends. In the parent: how to start that child.
fn child(name: &str, scene: fn()) -> Command {
    if std::env::var_os(CHILD).is_some() {
        std::println!("{BEGIN}");
        scene();
        std::process::exit(0);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([&format!("stdio::{name}"), "--exact", "--nocapture"])
        .arg("--test-threads=1")
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    command
}

/// Waits for a child, which must not hang.
#[track_caller]
fn end(mut child: Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the child hangs");
        }
        std::thread::sleep(ms(2));
    }
}

#[track_caller]
fn succeeds(child: Child) {
    assert!(end(child).success());
}

/// Everything a child has printed, without what libtest has.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let text = rest(child.stdout.take().unwrap());
    succeeds(child);
    text
}

fn rest(mut stdout: impl Read) -> String {
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    scene_of(&text).to_owned()
}

fn scene_of(text: &str) -> &str {
    let (_, scene) = text.split_once(BEGIN).expect("the scene has begun");
    scene.trim_start_matches('\r').strip_prefix('\n').unwrap()
}

/// Reads lines until the scene begins.
fn skip_to_scene(stdout: &mut impl BufRead) {
    let mut line = String::new();
    while !line.trim_end().ends_with(BEGIN) {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0);
    }
}

fn line_of(stdout: &mut impl BufRead) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Counts its turns until it is dropped.
struct Ticker(sedge::JoinHandle<()>, Rc<Cell<u64>>);

impl Ticker {
    fn new() -> Ticker {
        let ticks = Rc::new(Cell::new(0));
        let count = Rc::clone(&ticks);
        let thread = sedge::spawn(move || {
            loop {
                count.set(count.get() + 1);
                sedge::sleep(ms(1));
            }
        });
        Ticker(thread, ticks)
    }

    fn ticks(&self) -> u64 {
        self.1.get()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[test]
fn many_printers_and_a_slow_reader_leave_every_line_whole_and_in_order() {
    const PRINTERS: usize = 40;
    const LINES: usize = 100;
    let scene = || {
        util::run(|| {
            let ticker = Ticker::new();
            let threads: Vec<_> = (0..PRINTERS)
                .map(|who| {
                    sedge::spawn(move || {
                        for line in 0..LINES {
                            let padding = "x".repeat(who * 7 + line + 1);
                            if line % 3 == 0 {
                                let mut out = io::stdout().lock();
                                out.write_all(format!("{who} ").as_bytes()).unwrap();
                                sedge::yield_now();
                                writeln!(out, "{line} {padding}").unwrap();
                            } else {
                                sedge::println!("{who} {line} {padding}");
                            }
                        }
                    })
                })
                .collect();
            sedge::wait_all(&threads);
            assert!(ticker.ticks() > 50, "{} ticks", ticker.ticks());
        });
    };
    let mut command = child(
        "many_printers_and_a_slow_reader_leave_every_line_whole_and_in_order",
        scene,
    );
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::with_capacity(4096, child.stdout.take().unwrap());
    skip_to_scene(&mut stdout);
    let mut next = [0; PRINTERS];
    for number in 0..PRINTERS * LINES {
        if number % 25 == 0 {
            std::thread::sleep(ms(1));
        }
        let line = line_of(&mut stdout);
        let words: Vec<_> = line.split(' ').collect();
        let [who, count, padding] = words[..] else {
            panic!("torn: {line}");
        };
        let (who, count): (usize, usize) = (who.parse().unwrap(), count.parse().unwrap());
        assert_eq!(count, next[who], "{line}");
        assert_eq!(padding, "x".repeat(who * 7 + count + 1));
        next[who] += 1;
    }
    assert_eq!(line_of(&mut stdout), "");
    succeeds(child);
}

#[test]
fn a_line_without_an_end_is_written_when_the_process_ends() {
    let scene = || {
        util::run(|| {
            sedge::print!("first ");
            io::stdout().flush().unwrap();
            sedge::print!("and last");
        });
    };
    let mut command = child(
        "a_line_without_an_end_is_written_when_the_process_ends",
        scene,
    );
    assert_eq!(printed(&mut command), "first and last");
}

#[test]
fn standard_output_may_be_a_file() {
    let scene = || {
        util::run(|| {
            let threads: Vec<_> = (0..20)
                .map(|i| sedge::spawn(move || (0..20).for_each(|_| sedge::println!("line {i}"))))
                .collect();
            sedge::wait_all(&threads);
            sedge::print!("no end");
        });
    };
    let mut command = child("standard_output_may_be_a_file", scene);
    let path = std::env::temp_dir().join(format!("sedge-stdout-{}", std::process::id()));
    let child = command
        .stdout(File::create(&path).unwrap())
        .spawn()
        .unwrap();
    succeeds(child);
    let text = rest(File::open(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("line "))
            .count(),
        400
    );
    assert!(text.ends_with("\nno end"), "{text}");
}

#[test]
fn a_cancelled_printer_leaves_its_line_whole() {
    let scene = || {
        util::run(|| {
            // Fills the pipe, so the rest of some line waits.
            let long = "y".repeat(20_000);
            let printer = sedge::spawn(move || {
                loop {
                    sedge::println!("{long}");
                }
            });
            until(printer.thread(), State::Parked(Reason::Write));
            let waits = sedge::spawn(|| sedge::println!("never said"));
            until(waits.thread(), State::Parked(Reason::Lock));
            waits.cancel();
            printer.cancel();
            assert!(printer.join().unwrap_err().is_cancelled());
            assert!(waits.join().unwrap_err().is_cancelled());
            sedge::eprintln!("go");
            sedge::println!("the end");
        });
    };
    let mut command = child("a_cancelled_printer_leaves_its_line_whole", scene);
    command.stderr(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    assert_eq!(line_of(&mut stderr), "go");
    let text = rest(child.stdout.take().unwrap());
    succeeds(child);
    let (long, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(last, "the end");
    for line in long.lines() {
        assert!(
            line.len() == 20_000 && line.bytes().all(|byte| byte == b'y'),
            "torn"
        );
    }
}

/// Prints under time limits that pass at any point.
fn hasty_printers() {
    util::run(|| {
        let threads: Vec<_> = (0..20)
            .map(|who| {
                sedge::spawn(move || {
                    let mut late = 0;
                    for line in 0..40_usize {
                        let padding = "p".repeat(1 + who * line * 97 % 9000);
                        let limit = Duration::from_micros((who * 37 + line * 11) as u64 % 400);
                        let printed = sedge::timeout(limit, || {
                            sedge::println!("{who} {line} {padding}");
                        });
                        late += usize::from(printed.is_err());
                        sedge::yield_now();
                    }
                    late
                })
            })
            .collect();
        let late: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert!(late > 0, "no limit has passed");
        sedge::println!("the end");
    });
}

/// A reader that lets the other side wait.
struct Slow<R>(R);

impl<R: Read> Read for Slow<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(ms(1));
        let most = buf.len().min(16 << 10);
        self.0.read(&mut buf[..most])
    }
}

/// Each line of [`hasty_printers`] came whole, once, and in order, or not at all.
fn check_hasty(text: &str) {
    let (lines, end) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(end.trim_end(), "the end");
    let mut next = [0; 20];
    for line in lines.lines() {
        let words: Vec<_> = line.trim_end().split(' ').collect();
        let [who, line, padding] = words[..] else {
            panic!("torn: {line}");
        };
        let (who, line): (usize, usize) = (who.parse().unwrap(), line.parse().unwrap());
        assert!(line >= next[who], "{who} {line} again");
        next[who] = line + 1;
        assert_eq!(padding, "p".repeat(1 + who * line * 97 % 9000));
    }
}

#[test]
fn hasty_printers_leave_lines_whole_in_a_pipe() {
    let mut command = child("hasty_printers_leave_lines_whole_in_a_pipe", hasty_printers);
    let (reader, output) = std::io::pipe().unwrap();
    let child = command.stdout(output).spawn().unwrap();
    drop(command);
    check_hasty(&rest(Slow(reader)));
    succeeds(child);
}

#[test]
fn hasty_printers_leave_lines_whole_in_a_socket() {
    let name = "hasty_printers_leave_lines_whole_in_a_socket";
    let mut command = child(name, hasty_printers);
    let (reader, output) = UnixStream::pair().unwrap();
    let child = command.stdout(OwnedFd::from(output)).spawn().unwrap();
    drop(command);
    check_hasty(&rest(Slow(reader)));
    succeeds(child);
}

#[test]
fn hasty_printers_leave_lines_whole_in_a_file() {
    let name = "hasty_printers_leave_lines_whole_in_a_file";
    let mut command = child(name, hasty_printers);
    let path = std::env::temp_dir().join(format!("sedge-hasty-{}", std::process::id()));
    let child = command
        .stdout(File::create(&path).unwrap())
        .spawn()
        .unwrap();
    succeeds(child);
    let text = rest(File::open(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    check_hasty(&text);
}

#[test]
fn hasty_printers_leave_lines_whole_in_a_named_pipe() {
    let name = "hasty_printers_leave_lines_whole_in_a_named_pipe";
    let mut command = child(name, hasty_printers);
    let path = std::env::temp_dir().join(format!("sedge-fifo3-{}", std::process::id()));
    let (reader, output) = named_pipe(&path);
    let child = command.stdout(output).spawn().unwrap();
    drop(command);
    check_hasty(&rest(Slow(reader)));
    succeeds(child);
}

/// Both ends of a named pipe, which has no name any more.
fn named_pipe(path: &std::path::Path) -> (File, File) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
    // An open for one direction waits for the other.
    let both = File::options().read(true).write(true).open(path).unwrap();
    let reader = File::open(path).unwrap();
    let writer = File::options().write(true).open(path).unwrap();
    drop(both);
    std::fs::remove_file(path).unwrap();
    (reader, writer)
}

#[test]
fn a_reader_that_has_gone_is_an_error_and_nothing_is_kept() {
    let scene = || {
        util::run(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).unwrap();
            for _ in 0..3 {
                let error = io::stdout().write_all(b"to nobody\n").unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            }
            let text = util::panic_of(|| sedge::println!("to nobody"));
            assert!(text.starts_with("failed printing to stdout"), "{text}");
            sedge::eprintln!("done");
        });
    };
    let mut command = child(
        "a_reader_that_has_gone_is_an_error_and_nothing_is_kept",
        scene,
    );
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    skip_to_scene(&mut stdout);
    drop(stdout);
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(said.ends_with("done\n"), "{said}");
    succeeds(child);
}

#[test]
fn what_was_said_to_have_failed_does_not_come_later() {
    let scene = || {
        util::run(|| {
            let ours = io::stdout().as_fd().try_clone_to_owned().unwrap();
            let full = File::options().write(true).open("/dev/full").unwrap();
            rustix::stdio::dup2_stdout(&full).unwrap();
            let error = io::stdout().write_all(b"lost\n").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            sedge::print!("kept ");
            assert!(io::stdout().flush().is_err());
            rustix::stdio::dup2_stdout(&ours).unwrap();
            sedge::println!("and printed");
        });
    };
    let mut command = child("what_was_said_to_have_failed_does_not_come_later", scene);
    assert_eq!(printed(&mut command), "kept and printed\n");
}

#[test]
fn a_standard_stream_that_was_closed_swallows_and_is_empty() {
    #[expect(unsafe_code, reason = "closes what others use")]
    fn close(fd: i32) {
        use std::os::fd::FromRawFd;
        // SAFETY: this process is a scene that uses the descriptor no more, except for the calls
        // that are to fail.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    let scene = || {
        util::run(|| {
            close(0);
            close(1);
            sedge::println!("to nobody");
            let mut text = String::new();
            assert_eq!(io::stdin().read_line(&mut text).unwrap(), 0);
        });
    };
    let name = "a_standard_stream_that_was_closed_swallows_and_is_empty";
    succeeds(child(name, scene).spawn().unwrap());
}

#[test]
fn null_swallows_and_is_empty() {
    let scene = || {
        util::run(|| {
            sedge::println!("to nobody");
            let mut text = String::new();
            assert_eq!(io::stdin().read_to_string(&mut text).unwrap(), 0);
            assert_eq!(io::stdin().read_line(&mut text).unwrap(), 0);
        });
    };
    succeeds(child("null_swallows_and_is_empty", scene).spawn().unwrap());
}

#[test]
fn standard_input_may_be_a_file() {
    let scene = || {
        util::run(|| {
            let mut first = String::new();
            assert_eq!(io::stdin().read_line(&mut first).unwrap(), 4);
            assert_eq!(first, "one\n");
            let lines: Vec<_> = io::stdin().lines().map(Result::unwrap).collect();
            assert_eq!(lines.len(), 3000);
            assert!(
                lines
                    .iter()
                    .enumerate()
                    .all(|(i, line)| *line == format!("line {i}"))
            );
        });
    };
    let mut command = child("standard_input_may_be_a_file", scene);
    let path = std::env::temp_dir().join(format!("sedge-stdin-{}", std::process::id()));
    let lines: String = (0..3000).map(|i| format!("line {i}\n")).collect();
    std::fs::write(&path, format!("one\n{lines}")).unwrap();
    let child = command.stdin(File::open(&path).unwrap()).spawn().unwrap();
    std::fs::remove_file(&path).unwrap();
    succeeds(child);
}

/// Gives up in the middle of a line, and reads on. Others run meanwhile.
fn impatient_reader() {
    util::run(|| {
        let ticker = Ticker::new();
        let mut line = String::from("kept: ");
        let early = sedge::timeout(ms(60), || io::stdin().read_line(&mut line));
        assert!(early.is_err());
        let reader = sedge::spawn(|| io::stdin().lines().next());
        sedge::sleep(ms(20));
        reader.cancel();
        assert!(reader.join().unwrap_err().is_cancelled());
        assert_eq!(line, "kept: ");
        assert!(ticker.ticks() > 10, "{} ticks", ticker.ticks());
        sedge::println!("gave up");
        io::stdin().read_line(&mut line).unwrap();
        assert_eq!(line, "kept: first half\n");
        assert_eq!(io::stdin().lines().next().unwrap().unwrap(), "second");
        sedge::println!("well read");
    });
}

/// The other side of [`impatient_reader`].
fn feed(mut command: Command, input: impl Into<Stdio>, mut writer: impl Write) {
    let mut child = command.stdin(input).stdout(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    skip_to_scene(&mut stdout);
    writer.write_all(b"first ha").unwrap();
    assert_eq!(line_of(&mut stdout), "gave up");
    writer.write_all(b"lf\nsecond\n").unwrap();
    assert_eq!(line_of(&mut stdout), "well read");
    succeeds(child);
}

#[test]
fn a_reader_of_a_pipe_that_gives_up_leaves_all_to_the_next() {
    let name = "a_reader_of_a_pipe_that_gives_up_leaves_all_to_the_next";
    let command = child(name, impatient_reader);
    let (reader, writer) = std::io::pipe().unwrap();
    feed(command, reader, writer);
}

#[test]
fn a_reader_of_a_socket_that_gives_up_leaves_all_to_the_next() {
    let name = "a_reader_of_a_socket_that_gives_up_leaves_all_to_the_next";
    let command = child(name, impatient_reader);
    let (reader, writer) = UnixStream::pair().unwrap();
    feed(command, OwnedFd::from(reader), writer);
}

#[test]
fn a_reader_of_a_named_pipe_that_gives_up_leaves_all_to_the_next() {
    let name = "a_reader_of_a_named_pipe_that_gives_up_leaves_all_to_the_next";
    let command = child(name, impatient_reader);
    let path = std::env::temp_dir().join(format!("sedge-fifo-{}", std::process::id()));
    let (reader, writer) = named_pipe(&path);
    feed(command, reader, writer);
}

/// A terminal: the side of the program and the other.
fn terminal() -> (File, File) {
    let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&outer).unwrap();
    unlockpt(&outer).unwrap();
    let name = ptsname(&outer, Vec::new()).unwrap();
    let path = name.to_str().unwrap();
    let noctty = OFlags::RDWR | OFlags::NOCTTY;
    let inner = rustix::fs::open(path, noctty, rustix::fs::Mode::empty()).unwrap();
    (inner.into(), outer.into())
}

/// What a program may have changed of an open file and of the terminal behind it.
fn flags(terminal: &File) -> (OFlags, String) {
    let modes = format!("{:?}", tcgetattr(terminal).unwrap());
    (fcntl_getfl(terminal).unwrap(), modes)
}

#[test]
fn a_reader_of_a_terminal_that_gives_up_leaves_all_to_the_next() {
    let name = "a_reader_of_a_terminal_that_gives_up_leaves_all_to_the_next";
    let command = child(name, impatient_reader);
    let (inner, outer) = terminal();
    let ours = inner.try_clone().unwrap();
    let before = flags(&ours);
    feed(command, inner, &outer);
    assert_eq!(flags(&ours), before);
}

#[test]
fn the_flags_of_a_terminal_stay_as_they_are() {
    let scene = || {
        util::run(|| {
            assert!(io::stdin().is_terminal() && io::stdout().is_terminal());
            let reader = sedge::spawn(|| io::stdin().lines().next().unwrap().unwrap());
            until(reader.thread(), State::Parked(Reason::Read));
            let threads: Vec<_> = (0..50)
                .map(|i| sedge::spawn(move || sedge::println!("line {i} {}", "z".repeat(500))))
                .collect();
            sedge::wait_all(&threads);
            sedge::eprintln!("printed");
            sedge::println!("read {}", reader.join().unwrap());
        });
    };
    let mut command = child("the_flags_of_a_terminal_stay_as_they_are", scene);
    let (inner, mut outer) = terminal();
    let before = flags(&inner);
    let clone = || inner.try_clone().unwrap();
    let child = command
        .stdin(clone())
        .stdout(clone())
        .stderr(clone())
        .spawn()
        .unwrap();
    drop(command);
    let mut lines = BufReader::new(outer.try_clone().unwrap());
    skip_to_scene(&mut lines);
    std::thread::sleep(ms(30));
    // The terminal is full, and the child waits for it.
    assert_eq!(flags(&inner), before);
    for _ in 0..50 {
        let line = line_of(&mut lines);
        assert!(
            line.starts_with("line ") && line.ends_with(&"z".repeat(500)),
            "{line}"
        );
    }
    assert_eq!(line_of(&mut lines), "printed");
    assert_eq!(flags(&inner), before);
    outer.write_all(b"typed\n").unwrap();
    assert_eq!(line_of(&mut lines), "typed"); // the echo
    assert_eq!(line_of(&mut lines), "read typed");
    succeeds(child);
    assert_eq!(flags(&inner), before);
}

#[test]
fn a_pipe_that_others_have_put_into_non_blocking_mode_is_waited_for() {
    let scene = || {
        util::run(|| {
            assert_eq!(
                io::stdin().read_to_string(&mut String::new()).unwrap(),
                300_000
            );
            sedge::println!("{}", "w".repeat(300_000));
        });
    };
    let name = "a_pipe_that_others_have_put_into_non_blocking_mode_is_waited_for";
    let mut command = child(name, scene);
    let (input, mut writer) = std::io::pipe().unwrap();
    let (reader, output) = std::io::pipe().unwrap();
    for pipe in [input.as_fd(), output.as_fd()] {
        rustix::io::ioctl_fionbio(pipe, true).unwrap();
    }
    let ours = output.try_clone().unwrap();
    let child = command.stdin(input).stdout(output).spawn().unwrap();
    drop(command);
    writer.write_all("v".repeat(300_000).as_bytes()).unwrap();
    drop(writer);
    assert!(fcntl_getfl(&ours).unwrap().contains(OFlags::NONBLOCK));
    drop(ours);
    assert_eq!(rest(reader).trim_end(), "w".repeat(300_000));
    succeeds(child);
}

#[test]
fn os_threads_and_green_threads_print_one_after_the_other() {
    let scene = || {
        let print = |who: &'static str| {
            for i in 0..200 {
                let mut out = io::stdout().lock();
                write!(out, "{who} {i} ").unwrap();
                if i % 50 == 0 {
                    std::thread::yield_now();
                }
                writeln!(io::stdout().lock(), "{who}").unwrap(); // it is ours already
            }
        };
        let outside = std::thread::spawn(move || print("outside"));
        let other = std::thread::spawn(move || sedge::run(|| print("other")));
        util::run(|| {
            let threads = ["one", "two", "three"].map(|who| sedge::spawn(move || print(who)));
            sedge::blocking(move || print("pool"));
            sedge::wait_all(&threads);
        });
        outside.join().unwrap();
        other.join().unwrap();
    };
    let mut command = child(
        "os_threads_and_green_threads_print_one_after_the_other",
        scene,
    );
    let text = printed(&mut command);
    assert_eq!(text.lines().count(), 6 * 200);
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        assert!(words.len() == 3 && words[0] == words[2], "torn: {line}");
    }
}

#[test]
fn a_destructor_may_print_while_its_green_thread_unwinds() {
    let scene = || {
        util::run(|| {
            let thread = sedge::spawn(|| {
                let _guard = OnDrop(|| sedge::println!("farewell"));
                sedge::sleep(FOREVER);
            });
            sedge::yield_now();
            thread.cancel();
            assert!(thread.join().unwrap_err().is_cancelled());
        });
    };
    let mut command = child(
        "a_destructor_may_print_while_its_green_thread_unwinds",
        scene,
    );
    assert_eq!(printed(&mut command), "farewell\n");
}

#[test]
fn what_is_printed_with_std_and_here_keeps_its_order_line_by_line() {
    let scene = || {
        util::run(|| {
            for i in 0..100 {
                std::println!("std {i}");
                sedge::println!("ours {i}");
            }
        });
    };
    let name = "what_is_printed_with_std_and_here_keeps_its_order_line_by_line";
    let lines: String = (0..100).map(|i| format!("std {i}\nours {i}\n")).collect();
    assert_eq!(printed(&mut child(name, scene)), lines);
}

#[test]
fn text_that_prints_while_it_is_formatted_comes_first() {
    struct Chatty;
    impl std::fmt::Display for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            sedge::println!("inner");
            sedge::yield_now();
            f.write_str("outer")
        }
    }
    let scene = || util::run(|| sedge::println!("{Chatty}"));
    let mut command = child("text_that_prints_while_it_is_formatted_comes_first", scene);
    assert_eq!(printed(&mut command), "inner\nouter\n");
}

#[test]
fn printers_that_wait_for_each_other_are_a_deadlock() {
    let scene = || {
        let text = util::panic_of(|| {
            sedge::run(|| {
                let _lock = io::stdout().lock();
                sedge::spawn(|| sedge::println!("never")).join().unwrap();
            });
        });
        assert!(text.contains("lock"), "{text}");
        sedge::println!("reported");
    };
    let mut command = child("printers_that_wait_for_each_other_are_a_deadlock", scene);
    command.stderr(Stdio::null()); // the report
    assert_eq!(printed(&mut command), "reported\n");
}

#[test]
fn a_printer_that_waits_for_code_around_run_is_a_deadlock() {
    let scene = || {
        let _lock = io::stdout().lock();
        let text = util::panic_of(|| sedge::run(|| sedge::println!("never")));
        assert!(text.contains("lock"), "{text}");
        sedge::println!("reported");
    };
    let mut command = child(
        "a_printer_that_waits_for_code_around_run_is_a_deadlock",
        scene,
    );
    command.stderr(Stdio::null()); // the report
    assert_eq!(printed(&mut command), "reported\n");
}

#[test]
fn standard_input_locked_twice_says_so() {
    util::run(|| {
        let lock = io::stdin().lock();
        let text = util::panic_of(|| io::stdin().lock());
        assert!(text.contains("locked stdin already"), "{text}");
        let other = sedge::spawn(|| drop(io::stdin().lock()));
        until(other.thread(), State::Parked(Reason::Lock));
        drop(lock);
        other.join().unwrap();
    });
}

#[test]
fn a_pipe_carries_more_than_it_holds_and_ends() {
    util::run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
        let sent = bytes.clone();
        sedge::spawn(move || writer.write_all(&sent).unwrap());
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        assert!(received == bytes);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_pipe_without_a_reader_is_broken() {
    util::run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let thread = sedge::spawn(move || writer.write_all(&[0; 200_000]).unwrap_err().kind());
        until(thread.thread(), State::Parked(Reason::Write));
        drop(reader);
        assert_eq!(thread.join().unwrap(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_reader_of_our_pipe_that_gives_up_has_taken_nothing() {
    util::run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let mut buf = [0; 4];
        assert!(sedge::timeout(ms(5), || (&reader).read(&mut buf)).is_err());
        writer.write_all(b"word").unwrap();
        assert_eq!((&reader).read(&mut buf).unwrap(), 4);
        assert_eq!(&buf, b"word");
    });
}

#[test]
fn both_ends_of_a_pipe_stay_in_blocking_mode() {
    util::run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let waits = sedge::spawn(move || {
            (&reader).read_exact(&mut [0]).unwrap();
            reader
        });
        until(waits.thread(), State::Parked(Reason::Read));
        writer.write_all(b"x").unwrap();
        let reader = waits.join().unwrap();
        for end in [reader.as_fd(), writer.as_fd()] {
            assert!(!fcntl_getfl(end).unwrap().contains(OFlags::NONBLOCK));
        }
    });
}

#[test]
fn a_child_process_may_have_an_end_while_we_keep_a_clone() {
    util::run(|| {
        let (to_child, mut ours) = pipe().unwrap();
        let (mut from_child, theirs) = pipe().unwrap();
        let mut command = Command::new("cat");
        command.stdin(to_child).stdout(theirs.try_clone().unwrap());
        let mut cat = command.spawn().unwrap();
        drop((command, theirs));
        let writer = sedge::spawn(move || ours.write_all(&[7; 300_000]).unwrap());
        let mut bytes = Vec::new();
        from_child.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 300_000);
        writer.join().unwrap();
        assert!(cat.wait().unwrap().success());
    });
}

#[test]
fn pipes_and_named_pipes_made_elsewhere_are_waited_for_too() {
    util::run(|| {
        let path = std::env::temp_dir().join(format!("sedge-fifo2-{}", std::process::id()));
        let (reader, writer) = named_pipe(&path);
        let reader = io::PipeReader::from(OwnedFd::from(reader));
        let mut writer = io::PipeWriter::from(OwnedFd::from(writer));
        let sum = sedge::spawn(move || {
            let mut bytes = vec![0; 200_000];
            (&reader).read_exact(&mut bytes).unwrap();
            bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>()
        });
        until(sum.thread(), State::Parked(Reason::Read));
        writer.write_all(&vec![1; 200_000]).unwrap();
        assert_eq!(sum.join().unwrap(), 200_000);
    });
}

#[test]
fn outside_run_pipes_and_standard_streams_are_as_in_std() {
    let (mut reader, mut writer) = pipe().unwrap();
    writer.write_all(b"word").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "word");
    io::stderr().flush().unwrap();
    assert!(io::stdout().lock().flush().is_ok());
}
