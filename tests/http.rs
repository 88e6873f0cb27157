//! Drives `examples/http.rs` from outside: raw bytes over sockets, and curl.
//!
//! Each test starts a server of its own on a port of its own, so that they run in parallel and one
//! that is killed harms no other. Whatever is read has a time limit.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const HELLO: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

/// The example in a process of its own, killed when this is dropped.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start() -> Server {
        let mut child = example(&["--addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let addr = line
            .trim()
            .rsplit('/')
            .next()
            .and_then(|addr| addr.parse().ok());
        let addr =
            addr.unwrap_or_else(|| panic!("no address in the server's first line: {line:?}"));
        Server { child, addr }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// Many connections. The kernel queues few that are not accepted yet and lets the next wait for
    /// a second, so every now and then this waits until all are.
    fn connect_many(&self, count: usize) -> Vec<TcpStream> {
        let connect = |number: usize| {
            let mut stream = self.connect();
            if number % 100 == 99 {
                round_trip(&mut stream);
            }
            stream
        };
        (0..count).map(connect).collect()
    }

    /// Sends bytes on a connection of their own and returns all that comes until its end.
    fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes.as_ref()).unwrap();
        read_to_end(&mut stream)
    }

    /// As [`Server::ask`], when the last request is one that closes the connection.
    fn ask_then_close(&self, bytes: &str) -> String {
        self.ask(format!(
            "{bytes}GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        ))
    }

    fn curl(&self, arguments: &[&str], path: &str) -> String {
        let url = format!("http://{}{path}", self.addr);
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--include"])
            .args(arguments)
            .arg(url)
            .output()
            .unwrap_or_else(|error| panic!("these tests need curl, which cannot be run: {error}"));
        assert!(
            output.status.success(),
            "curl: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the process to end by itself.
    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the server does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, which Cargo has built beside this one: this is `target/PROFILE/deps/http-HASH`.
fn example(arguments: &[&str]) -> Command {
    let this = std::env::current_exe().unwrap();
    let program: PathBuf = this.ancestors().nth(2).unwrap().join("examples/http");
    assert!(
        program.exists(),
        "{} is missing: `cargo test` builds it, `cargo test --test http` alone does not",
        program.display()
    );
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn round_trip(stream: &mut TcpStream) {
    stream.write_all(GET.as_bytes()).unwrap();
    assert_eq!(read_exactly(stream, HELLO.len()), HELLO);
}

fn read_exactly(stream: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "wanted {status}: {answer:?}"
    );
}

/// Asserts that each of these is refused with `status` and a closed connection.
#[track_caller]
fn assert_refused<T: AsRef<[u8]> + Debug>(requests: &[T], status: u16) {
    let server = Server::start();
    for request in requests {
        let answer = server.ask(request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?} got {answer:?} instead of {status}"
        );
        assert!(
            answer.contains("\r\nConnection: close\r\n"),
            "{request:?} got {answer:?}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{request:?} got {answer:?}"
        );
    }
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

// ---- answers ------------------------------------------------------------------------------------

#[test]
fn the_root_says_hello() {
    let server = Server::start();
    assert_eq!(server.curl(&[], "/"), HELLO);
    assert_eq!(server.curl(&[], "/?query#fragment"), HELLO);
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let server = Server::start();
    for path in ["/", "/delay/0", "/stream/3", "/nowhere"] {
        let get = server.curl(&["--raw"], path);
        let head = server.curl(&["--head"], path);
        let end = get.find("\r\n\r\n").unwrap() + 4;
        assert_eq!(head, get[..end], "{path}");
    }
    let head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(server.ask_then_close(head).matches("Hello").count(), 1);
}

#[test]
fn unknown_paths_are_404_and_unknown_methods_405_with_allow() {
    let server = Server::start();
    for path in [
        "/nowhere",
        "/delay/",
        "/delay/x",
        "/delay/+5",
        "/delay/1/2",
        "/stream/-1",
        "/echo/",
    ] {
        assert_status(&server.curl(&[], path), 404);
    }
    for (method, path, allow) in [
        ("DELETE", "/", "GET, HEAD"),
        ("POST", "/delay/1", "GET, HEAD"),
        ("get", "/", "GET, HEAD"),
        ("GET", "/echo", "POST"),
        ("PUT", "/echo", "POST"),
    ] {
        let answer = server.curl(&["--request", method], path);
        assert_status(&answer, 405);
        assert!(
            answer.contains(&format!("\r\nAllow: {allow}\r\n")),
            "{method} {path}: {answer}"
        );
    }
    assert_status(
        &server.ask_then_close("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
        404,
    );
}

#[test]
fn a_whole_url_is_a_target_too() {
    let server = Server::start();
    for target in [
        "http://h/",
        "http://h",
        "http://h?x=/echo",
        "HTTP://h:80/?a=b",
    ] {
        let answer = server.ask(format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        ));
        assert!(
            answer.ends_with("\r\n\r\nHello, World!"),
            "{target}: {answer}"
        );
    }
}

#[test]
fn a_delay_is_slept_while_others_are_served() {
    let server = Server::start();
    let mut slow = server.connect();
    let start = Instant::now();
    slow.write_all(b"GET /delay/500 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(server.curl(&[], "/"), HELLO);
    assert!(
        start.elapsed() < Duration::from_millis(450),
        "the sleep held others up"
    );
    assert_status(&read_to_end(&mut slow), 200);
    assert!(start.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_stream_has_as_many_chunks_as_asked_for() {
    let server = Server::start();
    let raw = server.curl(&["--raw"], "/stream/2");
    assert!(raw.contains("\r\nTransfer-Encoding: chunked\r\n"), "{raw}");
    assert!(
        raw.ends_with("\r\n\r\n8\r\nchunk 1\n\r\n8\r\nchunk 2\n\r\n0\r\n\r\n"),
        "{raw}"
    );
    let empty = server.curl(&["--raw"], "/stream/0");
    assert!(empty.ends_with("\r\n\r\n0\r\n\r\n"), "{empty}");
    assert!(
        server
            .curl(&[], "/stream/10000")
            .ends_with("chunk 9999\nchunk 10000\n")
    );
}

#[test]
fn a_stream_to_http_1_0_has_no_chunks_and_ends_with_the_connection() {
    let server = Server::start();
    let answer = server.ask("GET /stream/2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nchunk 1\nchunk 2\n"), "{answer}");
    assert!(
        !answer.contains("chunked") && !answer.contains("keep-alive"),
        "{answer}"
    );
}

// ---- bodies -------------------------------------------------------------------------------------

#[test]
fn a_body_of_any_size_comes_back() {
    let server = Server::start();
    for length in [0, 1, 1000, 5000, 100_000, 1 << 20] {
        let body: String = "0123456789".chars().cycle().take(length).collect();
        let path = std::env::temp_dir().join(format!("sedge-{}-{length}", std::process::id()));
        std::fs::write(&path, &body).unwrap();
        let data = format!("@{}", path.display());
        for extra in ["Expect: 100-continue", "Transfer-Encoding: chunked", "X: y"] {
            let answer = server.curl(&["--data-binary", &data, "-H", extra], "/echo");
            assert!(
                answer.ends_with(&body) && answer.contains("200 OK"),
                "{length} {extra}"
            );
        }
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_chunked_body_comes_back_wherever_it_is_cut() {
    let server = Server::start();
    let body = "5;name=\"v\"\r\nhello\r\n00A \t\r\n, chunked \r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n";
    let request = chunked(body) + GET;
    let wanted = HELLO
        .replace("13", "16")
        .replace("Hello, World!", "hello, chunked !")
        + HELLO;
    let mut stream = server.connect();
    stream.set_nodelay(true).unwrap();
    for cut in 1..request.len() {
        stream.write_all(&request.as_bytes()[..cut]).unwrap();
        thread::sleep(Duration::from_micros(200));
        stream.write_all(&request.as_bytes()[cut..]).unwrap();
        assert_eq!(
            read_exactly(&mut stream, wanted.len()),
            wanted,
            "cut at {cut}"
        );
    }
}

#[test]
fn continue_is_said_once_and_only_if_the_body_is_wanted_and_has_not_come() {
    let server = Server::start();
    let expecting = post("Content-Length: 2\r\nExpect: 100-continue\r\n", "");
    let mut stream = server.connect();
    stream.write_all(expecting.as_bytes()).unwrap();
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(read_exactly(&mut stream, go_on.len()), go_on);
    stream.write_all(b"ab").unwrap();
    let answer = HELLO.replace("13", "2").replace("Hello, World!", "ab");
    assert_eq!(read_exactly(&mut stream, answer.len()), answer);

    assert_eq!(
        server
            .ask_then_close(&(expecting.clone() + "ab"))
            .matches(" 100 ")
            .count(),
        0
    );
    // Not a word of it to whom it would not help, and then the connection cannot be used any more.
    for (path, status) in [("/nowhere", 404), ("/", 405)] {
        let answer = server.ask(expecting.replace("/echo", path));
        assert_status(&answer, status);
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    let too_large = expecting.replace("Length: 2", "Length: 2000000");
    assert_status(&server.ask(too_large), 413);
    let old = expecting.replace("HTTP/1.1", "HTTP/1.0") + "ab";
    assert_eq!(server.ask(old).matches("HTTP/1.1 ").count(), 1);
}

#[test]
fn a_body_that_nobody_wants_is_not_taken_for_a_request() {
    let server = Server::start();
    for request in [
        format!(
            "POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{GET}",
            GET.len()
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{GET}",
            GET.len()
        ),
    ] {
        let answer = server.ask_then_close(&request);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
    }
}

// ---- connections --------------------------------------------------------------------------------

#[test]
fn pipelined_requests_are_answered_in_order_wherever_they_are_cut() {
    let server = Server::start();
    let four = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n"
        .to_owned()
        + &post("Content-Length: 3\r\n", "abc")
        + GET;
    let wanted = HELLO.replace("Hello, World!", "")
        + &HELLO
            .replace("200 OK", "404 Not Found")
            .replace("Hello, World!", "no such page\n")
        + &HELLO.replace("13", "3").replace("Hello, World!", "abc")
        + HELLO;
    let mut stream = server.connect();
    stream.set_nodelay(true).unwrap();
    for cut in 1..four.len() {
        stream.write_all(&four.as_bytes()[..cut]).unwrap();
        thread::sleep(Duration::from_micros(200));
        stream.write_all(&four.as_bytes()[cut..]).unwrap();
        assert_eq!(
            read_exactly(&mut stream, wanted.len()),
            wanted,
            "cut at {cut}"
        );
    }
}

#[test]
fn a_batch_of_requests_is_answered_in_one_write() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(GET.repeat(16).as_bytes()).unwrap();
    let mut first = vec![0; 1 << 16];
    let count = stream.read(&mut first).unwrap();
    assert_eq!(
        count,
        16 * HELLO.len(),
        "the first read shows less than all"
    );
}

#[test]
fn answers_before_a_slow_one_do_not_wait_for_it() {
    let server = Server::start();
    let mut stream = server.connect();
    let start = Instant::now();
    let slow = "GET /delay/1000 HTTP/1.1\r\nHost: h\r\n\r\n";
    stream
        .write_all(format!("{GET}{slow}{GET}").as_bytes())
        .unwrap();
    assert_eq!(read_exactly(&mut stream, HELLO.len()), HELLO);
    assert!(start.elapsed() < Duration::from_millis(900));
    let rest = read_exactly(&mut stream, 2 * HELLO.len() + 3);
    assert!(rest.ends_with(HELLO), "{rest}");
}

#[test]
fn a_connection_is_kept_unless_one_side_says_close() {
    let server = Server::start();
    for (version, field, wanted) in [
        ("HTTP/1.1", "Connection: close\r\n", "Connection: close\r\n"),
        (
            "HTTP/1.1",
            "Connection: foo, CLOSE\r\n",
            "Connection: close\r\n",
        ),
        (
            "HTTP/1.1",
            "Connection: keep-alive\r\nConnection: close\r\n",
            "Connection: close\r\n",
        ),
        ("HTTP/1.0", "", ""),
        ("HTTP/1.0", "Connection: closed\r\n", ""),
    ] {
        let answer = server.ask(format!("GET / {version}\r\nHost: h\r\n{field}\r\n{GET}"));
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{version} {field}");
        assert_eq!(
            answer.contains("Connection: "),
            !wanted.is_empty(),
            "{version} {field}"
        );
        assert!(answer.contains(wanted), "{version} {field}");
    }
    let kept = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    let answer = server.ask(format!("{kept}GET / HTTP/1.0\r\n\r\n"));
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2);
    assert_eq!(answer.matches("\r\nConnection: keep-alive\r\n").count(), 1);
}

#[test]
fn a_client_that_only_stops_sending_still_gets_its_answers() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(GET.repeat(2).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), HELLO.repeat(2));
}

#[test]
fn a_thousand_clients_are_served_at_once() {
    let server = Server::start();
    let mut clients = server.connect_many(1000);
    for _ in 0..3 {
        clients
            .iter_mut()
            .for_each(|client| client.write_all(GET.as_bytes()).unwrap());
        for client in &mut clients {
            assert_eq!(read_exactly(client, HELLO.len()), HELLO);
        }
    }
}

#[test]
fn resets_harm_nobody_else() {
    let server = Server::start();
    for round in 0..300 {
        let mut stream = server.connect();
        let bytes = [
            "",
            "GET / HT",
            GET,
            "GET /stream/100000 HTTP/1.1\r\nHost: h\r\n\r\n",
        ][round % 4];
        stream.write_all(bytes.as_bytes()).unwrap();
        if round % 3 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(server.curl(&[], "/"), HELLO);
}

// ---- what is refused ----------------------------------------------------------------------------

#[test]
fn what_is_no_request_is_400() {
    let with = |field: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n{GET}");
    assert_refused(
        &[
            "nonsense\r\n\r\n".into(),
            "GET /\r\n\r\n".into(),
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n".into(),
            "GET / HTTP/2.0\r\nHost: h\r\n\r\n".into(),
            "GET / HTTP/1.1 \r\nHost: h\r\n\r\n".into(),
            "G\0T / HTTP/1.1\r\nHost: h\r\n\r\n".into(),
            "GET / HTTP/1.1\r\n\r\n".into(),
            "\u{16}\u{3}\u{1}\u{2}".into(),
            with("Host: other\r\n"),
            with("No colon\r\n"),
            with("Space : before\r\n"),
            with(": nameless\r\n"),
            with("X: a\r\n folded\r\n"),
            with("X: bare\rreturn\r\n"),
            with("X: \0\r\n"),
        ],
        400,
    );
}

#[test]
fn a_body_whose_end_is_in_doubt_is_400() {
    let fields = [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 3 3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ];
    let requests: Vec<_> = fields
        .iter()
        .map(|fields| post(fields, "3\r\nabc\r\n0\r\n\r\n"))
        .collect();
    assert_refused(&requests, 400);
    assert_refused(&[chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0")], 400);
}

#[test]
fn a_bad_chunk_is_400() {
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300));
    let bodies = [
        "x\r\n",
        "\r\n\r\n",
        ";a\r\n\r\n",
        "-1\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1 1\r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\rXa\r\n0\r\n\r\n",
        "1;a\nb\r\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "10000000000000001\r\na\r\n",
        "0\r\nNo colon\r\n\r\n",
        &long,
    ];
    assert_refused(&bodies.map(chunked), 400);
}

#[test]
fn a_head_over_16_kib_or_64_fields_is_431() {
    let head = |size: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(size));
    assert_refused(
        &[
            head(17 << 10) + "\r\n\r\n",
            head(17 << 10),
            head(16 << 10),
            format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(17 << 10)),
            format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(64)),
            chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(65))),
            chunked(&format!("0\r\nX: {}\r\n\r\n", "x".repeat(17 << 10))),
        ],
        431,
    );
    let server = Server::start();
    assert_status(&server.ask_then_close(&(head(15 << 10) + "\r\n\r\n")), 200);
}

#[test]
fn a_body_over_1_mib_is_413_and_the_answer_arrives() {
    let size = (1 << 20) + 1;
    let large = "x".repeat(size);
    assert_refused(
        &[
            post(&format!("Content-Length: {size}\r\n"), ""),
            post(&format!("Content-Length: {size}\r\n"), &large),
            post("Content-Length: 99999999999999999999999999\r\n", ""),
            chunked(&format!("{size:x}\r\n")),
            chunked("ffffffffffffffff\r\n"),
            chunked(&format!("100000\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", &large[1..])),
        ],
        413,
    );
}

#[test]
fn a_head_that_drips_is_408_after_ten_seconds() {
    let server = Server::start();
    let mut stream = server.connect();
    let mut dripping = stream.try_clone().unwrap();
    let start = Instant::now();
    let drip = thread::spawn(move || {
        for byte in GET.trim_end().bytes() {
            if dripping.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(500));
        }
    });
    let answer = read_to_end(&mut stream);
    assert_status(&answer, 408);
    let elapsed = start.elapsed();
    assert!(
        (10.0..12.5).contains(&elapsed.as_secs_f64()),
        "after {elapsed:?}"
    );
    drip.join().unwrap();
}

// ---- the process --------------------------------------------------------------------------------

#[test]
fn ctrl_c_closes_idle_connections_and_finishes_requests() {
    for signal in ["-INT", "-TERM"] {
        let mut server = Server::start();
        let mut idle = server.connect();
        round_trip(&mut idle);
        let mut busy = server.connect();
        busy.write_all(b"GET /delay/1000 HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        // Half a head and half a body are requests in flight too.
        let mut head = server.connect();
        head.write_all(&GET.as_bytes()[..9]).unwrap();
        let mut body = server.connect();
        body.write_all(post("Content-Length: 2\r\n", "a").as_bytes())
            .unwrap();
        thread::sleep(Duration::from_millis(200));
        let start = Instant::now();
        server.signal(signal);
        assert_eq!(read_to_end(&mut idle), "");
        assert!(
            start.elapsed() < Duration::from_millis(700),
            "{:?}",
            start.elapsed()
        );
        let refused = TcpStream::connect(server.addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        head.write_all(&GET.as_bytes()[9..]).unwrap();
        body.write_all(b"b").unwrap();
        for (stream, end) in [
            (&mut head, "Hello, World!"),
            (&mut body, "ab"),
            (&mut busy, "last!\n"),
        ] {
            let answer = read_to_end(stream);
            assert!(
                answer.ends_with(end) && answer.contains("\r\nConnection: close\r\n"),
                "{answer}"
            );
        }
        assert_eq!(server.exit_code(), Some(0));
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn ctrl_c_waits_five_seconds_at_most() {
    let mut server = Server::start();
    let mut delayed = server.connect();
    delayed
        .write_all(b"GET /delay/60000 HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let mut deaf = server.connect();
    deaf.write_all(b"GET /stream/100000000 HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    server.signal("-INT");
    assert_eq!(server.exit_code(), Some(0));
    let elapsed = start.elapsed();
    assert!(
        (4.9..6.0).contains(&elapsed.as_secs_f64()),
        "after {elapsed:?}"
    );
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let mut server = Server::start();
    let mut delayed = server.connect();
    delayed
        .write_all(b"GET /delay/60000 HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    server.signal("-INT");
    thread::sleep(Duration::from_millis(200));
    server.signal("-INT");
    assert_eq!(server.exit_code(), Some(1));
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[track_caller]
fn assert_fails_with_one_line(arguments: &[&str], word: &str) {
    let Output {
        status,
        stdout,
        stderr,
    } = example(arguments).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    assert!(stderr.contains(word), "{arguments:?}: {stderr}");
    assert!(stdout.is_empty());
}

#[test]
fn a_bad_or_busy_address_is_one_line_and_exit_code_1() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = busy.local_addr().unwrap().to_string();
    assert_fails_with_one_line(&["--addr", &addr], &addr);
    assert_fails_with_one_line(&["--addr", "127.0.0.1"], "127.0.0.1");
    assert_fails_with_one_line(&["--addr", "127.0.0.1:99999"], "127.0.0.1:99999");
    assert_fails_with_one_line(&["--addr", "256.1.1.1:x"], "256.1.1.1:x");
    assert_fails_with_one_line(&["--addr"], "usage");
    assert_fails_with_one_line(&["--port", "80"], "usage");
}

#[test]
fn ten_thousand_connections_with_one_in_ten_active() {
    // Inherited by the server.
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    if maximum.is_some_and(|maximum| maximum < 20_000) {
        eprintln!("skipped: this needs 20,000 descriptors, and the hard limit is {maximum:?}");
        return;
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(20_000),
            maximum,
        },
    )
    .unwrap();
    let server = Server::start();
    let mut clients = server.connect_many(10_000);
    for _ in 0..3 {
        for client in clients.iter_mut().step_by(10) {
            client.write_all(GET.as_bytes()).unwrap();
        }
        for client in clients.iter_mut().step_by(10) {
            assert_eq!(read_exactly(client, HELLO.len()), HELLO);
        }
    }
    clients.iter_mut().for_each(round_trip);
}
