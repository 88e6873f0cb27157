//! Drives the small servers among the examples from outside, where what matters are bytes and the
//! order of their ends. Each test starts a server of its own; whatever is read has a time limit.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// An example in a process of its own, killed when this is dropped.
struct Example {
    child: Child,
    addr: SocketAddr,
}

impl Example {
    /// Starts a server, whose first line names its address.
    fn start(name: &str, arguments: &[&str]) -> Example {
        let mut command = example(name);
        command.args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let addr = line.split_whitespace().find_map(|word| word.parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("no address in the first line: {line:?}"));
        Example { child, addr }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
    }

    /// Waits for the process to end by itself.
    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, which Cargo has built beside this one: this is `target/PROFILE/deps/examples-HASH`.
fn example(name: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap().join("examples");
    let program: PathBuf = folder.join(name);
    assert!(
        program.exists(),
        "{} is missing: `cargo test` builds it, `cargo test --test examples` alone does not",
        program.display()
    );
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

fn output(name: &str) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = example(name).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Starts a proxy to a listener that the test keeps.
fn proxy() -> (Example, TcpListener) {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = target.local_addr().unwrap().to_string();
    (Example::start("proxy", &["127.0.0.1:0", &addr]), target)
}

/// Closes so that the other side sees an error.
fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn accept(target: &TcpListener) -> TcpStream {
    let (stream, _) = target.accept().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

#[test]
fn a_client_of_the_proxy_that_has_sent_all_still_gets_the_answer() {
    let (proxy, target) = proxy();
    let mut client = proxy.connect();
    client.write_all(b"a question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut server = accept(&target);
    assert_eq!(
        read_to_end(&mut server),
        "a question",
        "the end comes through"
    );
    server.write_all(b"an answer").unwrap();
    drop(server);
    assert_eq!(read_to_end(&mut client), "an answer");
}

#[test]
fn a_server_behind_the_proxy_that_has_sent_all_still_hears_the_client() {
    let (proxy, target) = proxy();
    let mut client = proxy.connect();
    let mut server = accept(&target);
    server.write_all(b"a greeting").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), "a greeting");
    client.write_all(b"thanks").unwrap();
    drop(client);
    assert_eq!(read_to_end(&mut server), "thanks");
}

#[test]
fn a_client_of_the_proxy_that_is_gone_is_gone_for_the_server_too() {
    let (proxy, target) = proxy();
    let client = proxy.connect();
    let mut server = accept(&target);
    reset(client);
    assert_eq!(read_to_end(&mut server), "");
}

#[test]
fn many_bytes_go_through_the_proxy_both_ways_at_once() {
    const COUNT: usize = 5_000_000;
    fn exchange(stream: TcpStream, byte: u8) -> Vec<u8> {
        let mut writer = stream.try_clone().unwrap();
        let sender = thread::spawn(move || {
            writer.write_all(&vec![byte; COUNT]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut bytes = Vec::new();
        (&stream).read_to_end(&mut bytes).unwrap();
        sender.join().unwrap();
        bytes
    }
    let (proxy, target) = proxy();
    let client = proxy.connect();
    let server = accept(&target);
    let client = thread::spawn(move || exchange(client, b'q'));
    assert!(exchange(server, b'a') == vec![b'q'; COUNT]);
    assert!(client.join().unwrap() == vec![b'a'; COUNT]);
}

#[test]
fn the_proxy_ends_with_its_last_connection_when_it_is_told_to() {
    let (mut proxy, target) = proxy();
    let mut client = proxy.connect();
    let mut server = accept(&target);
    proxy.terminate();
    let deadline = Instant::now() + LIMIT;
    while let Ok(late) = TcpStream::connect(proxy.addr) {
        reset(late);
        assert!(Instant::now() < deadline, "it still accepts");
    }
    server.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    drop(server);
    assert_eq!(read_to_end(&mut client), "");
    drop(client);
    assert_eq!(proxy.exit_code(), Some(0));
}

/// One who chats, line by line.
struct Chatter {
    lines: BufReader<TcpStream>,
    name: SocketAddr,
}

impl Chatter {
    fn new(chat: &Example) -> Chatter {
        let stream = chat.connect();
        let name = stream.local_addr().unwrap();
        Chatter {
            lines: BufReader::new(stream),
            name,
        }
    }

    fn say(&mut self, line: &str) {
        self.lines
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "cut off: {line:?}");
        line.truncate(line.len() - 1);
        line
    }
}

#[test]
fn what_one_writes_in_the_chat_all_others_read() {
    let chat = Example::start("chat", &["127.0.0.1:0"]);
    let mut first = Chatter::new(&chat);
    first.say(""); // is there when the others come
    let mut second = Chatter::new(&chat);
    assert_eq!(first.hear(), format!("{}: * is here", second.name));
    let mut third = Chatter::new(&chat);
    assert_eq!(first.hear(), format!("{}: * is here", third.name));
    assert_eq!(second.hear(), format!("{}: * is here", third.name));
    second.say("hello");
    let hello = format!("{}: hello", second.name);
    assert_eq!([first.hear(), third.hear()], [hello.clone(), hello]);
    let name = second.name;
    drop(second);
    let gone = format!("{name}: * has gone");
    assert_eq!([first.hear(), third.hear()], [gone.clone(), gone]);
}

#[test]
fn a_slow_reader_of_the_chat_holds_nobody_up_and_misses_whole_lines_only() {
    // Together more than what the kernel keeps for one who does not read.
    const LINES: u32 = 10_000;
    let text = "x".repeat(1000);
    let chat = Example::start("chat", &["127.0.0.1:0"]);
    let mut slow = Chatter::new(&chat);
    slow.say("");
    let mut quick = Chatter::new(&chat);
    let mut talker = Chatter::new(&chat);
    assert_eq!(quick.hear(), format!("{}: * is here", talker.name));
    for number in 0..LINES {
        talker.say(&format!("{number} {text}"));
        assert_eq!(quick.hear(), format!("{}: {number} {text}", talker.name));
    }
    let name = quick.name;
    drop(quick);
    assert_eq!(talker.hear(), format!("{name}: * has gone"));

    assert!(slow.hear().ends_with(": * is here"));
    assert!(slow.hear().ends_with(": * is here"));
    let mut heard = 0;
    talker.say("wake up");
    loop {
        let line = slow.hear();
        if line.ends_with("wake up") {
            break;
        }
        if !line.ends_with("* has gone") {
            assert!(line.ends_with(&text), "{line}");
            heard += 1;
        }
        talker.say("wake up");
    }
    assert!((100..LINES).contains(&heard), "{heard} lines");
}

#[test]
fn datagrams_come_back() {
    let server = Example::start("udp_echo", &["127.0.0.1:0"]);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.connect(server.addr).unwrap();
    for text in ["hello", "", "again"] {
        client.send(text.as_bytes()).unwrap();
        let mut answer = [0; 16];
        let count = client.recv(&mut answer).unwrap();
        assert_eq!(&answer[..count], text.as_bytes());
    }
}

#[test]
fn a_busy_address_is_an_error() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = busy.local_addr().unwrap().to_string();
    for name in ["echo", "chat", "proxy"] {
        let output = example(name).arg(&addr).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        let text = String::from_utf8(output.stderr).unwrap();
        let expected = format!("{:?}", ErrorKind::AddrInUse);
        assert!(text.contains(&expected), "{name} says {text}");
    }
}

#[test]
fn the_daemon_outlives_the_others_and_not_run() {
    let text = output("daemon");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "heartbeat");
    let ends = &lines[lines.len() - 3..];
    let expected = [
        "straggler: main has returned, and run waits for me",
        "heartbeat: the last one",
        "run has returned, and nobody is left",
    ];
    assert_eq!(ends, expected);
}

#[test]
fn every_item_that_is_produced_is_consumed_once() {
    let text = output("producer_consumer");
    let mut lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.pop(), Some("all 20 items are done"));
    let item = |line: &&str| line.rsplit(' ').next()?.parse().ok();
    let mut items: Vec<u32> = lines.iter().filter_map(item).collect();
    items.sort_unstable();
    assert!(items.into_iter().eq(0..20));
}

#[cfg(feature = "ipc")]
#[test]
fn the_shared_queue_loses_one_job_at_most_with_the_consumer_that_is_killed() {
    let text = output("shared_queue");
    assert!(text.starts_with("after 1000 jobs, consumer "), "{text}");
    let end = text.lines().last().unwrap_or_default();
    let ends = ["0 of 6000 jobs lost", "1 of 6000 jobs lost"];
    assert!(ends.contains(&end), "{text}");
}

/// What `sedgectl` makes of an answer: its output, its error text, and whether it was content.
fn sedgectl(arguments: &[&str], answer: Option<&'static str>) -> (String, String, bool) {
    let name = format!(
        "sedgectl-{}-{}.sock",
        std::process::id(),
        arguments.join("-")
    );
    let path = std::env::temp_dir().join(name);
    let launcher = UnixListener::bind(&path).unwrap();
    let expected = format!("{}\n", arguments.join(" "));
    let launcher = thread::spawn(move || {
        let (mut client, _) = launcher.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&client).read_line(&mut line).unwrap();
        assert_eq!(line, expected);
        client.write_all(answer.unwrap_or("").as_bytes()).unwrap();
    });
    let mut command = example("sedgectl");
    let output = command.args(arguments).arg("--socket").arg(&path).output();
    launcher.join().unwrap();
    std::fs::remove_file(&path).unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.success())
}

#[test]
fn sedgectl_prints_what_the_launcher_answers() {
    let (stdout, stderr, done) = sedgectl(&["status"], Some("ok\nlauncher 1\nID\n"));
    assert_eq!(
        (stdout.as_str(), stderr.as_str(), done),
        ("launcher 1\nID\n", "", true)
    );
    let (stdout, stderr, done) = sedgectl(&["kill", "9"], Some("error: there is no worker 9\n"));
    let expected = ("", "sedgectl: there is no worker 9\n", false);
    assert_eq!((stdout.as_str(), stderr.as_str(), done), expected);
}

#[test]
fn sedgectl_says_what_is_wrong() {
    let (_, stderr, done) = sedgectl(&["add"], None);
    assert!(
        !done && stderr.contains("gone away without an answer"),
        "{stderr}"
    );
    for (arguments, expected) in [
        (
            &["status", "--socket", "/nowhere/x"][..],
            "no launcher listens at /nowhere/x",
        ),
        (&["status", "--socket"], "--socket needs a path"),
        (&[], "usage: sedgectl status|"),
    ] {
        let output = example("sedgectl").args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && stderr.contains(expected),
            "{stderr}"
        );
    }
}

/// Those lines of a piece of a diff that are in one of its files.
fn side(piece: &[&str], not_there: char) -> String {
    let lines = piece.iter().filter(|line| !line.starts_with(not_there));
    lines.map(|line| format!("{}\n", &line[1..])).collect()
}

#[test]
fn the_launcher_s_text_shows_what_makes_echo_run_on_all_cores() {
    let read = |path: &str| {
        std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let (one, cores) = (read("examples/echo.rs"), read("examples/echo_cores.rs"));
    let text = read("docs/launcher.md");
    let diff = text.split("```diff\n").nth(1).unwrap();
    let diff: Vec<_> = diff.split("```").next().unwrap().lines().collect();
    assert!(one.contains(&side(&diff, '+')));
    assert!(cores.contains(&side(&diff, '-')));
}

#[test]
fn echo_on_all_cores_answers_and_ends_when_told() {
    let mut echo = Example::start("echo_cores", &["127.0.0.1:0"]);
    let mut client = echo.connect();
    client.write_all(b"hello, cores\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), "hello, cores\n");
    echo.terminate();
    assert_eq!(echo.exit_code(), Some(0));
}

#[cfg(feature = "ipc")]
#[test]
fn primes_counts_them_in_other_processes() {
    let output = example("primes").args(["100000", "2"]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("9592 primes below 100000"), "{stdout}");
}

#[cfg(feature = "ipc")]
#[test]
fn wordcount_counts_each_word_once_wherever_files_are_cut() {
    let name = format!("sedge-words-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    // Three pieces, and words of lengths that the size of a piece is no multiple of.
    std::fs::write(&path, "one three, seventh. ".repeat(150_000)).unwrap();
    let output = example("wordcount").arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    for word in ["one", "three", "seventh"] {
        assert!(stdout.contains(&format!("150000 {word}\n")), "{stdout}");
    }
    assert!(stdout.contains("450000 words in 1 files"), "{stdout}");
}
