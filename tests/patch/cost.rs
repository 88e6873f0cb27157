//! What a patched call costs, beside the plain one: `cargo bench -p sedge-patch-tests`.
//!
//! Each figure is the best of several rounds, which take turns, so that what disturbs one disturbs
//! the others as well. With an argument it only runs one thing, for `perf stat -e instructions:u`
//! or `valgrind --tool=callgrind`.

#![expect(unsafe_code, reason = "makes the calls of libc that are measured")]

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const CALLS: u32 = 200_000;
const ROUNDS: usize = 9;
const CONNECTIONS: u32 = 64;
const ROUND_TRIPS: u32 = 2_000;

type Recv = unsafe extern "C" fn(i32, *mut libc::c_void, usize, i32) -> isize;

/// libc's own, past the patch.
fn real_recv() -> Recv {
    // SAFETY: a string; the result is looked at.
    let address = unsafe { libc::dlsym(libc::RTLD_NEXT, c"recv".as_ptr()) };
    assert!(!address.is_null());
    // SAFETY: libc's function of that name has this type.
    unsafe { std::mem::transmute::<*mut libc::c_void, Recv>(address) }
}

/// A socket that has a byte, for ever.
fn ready() -> i32 {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"x").unwrap();
    let fd = near.as_raw_fd();
    std::mem::forget((near, far));
    fd
}

/// Receives one byte again and again from a socket that has it, without taking it.
fn peek(recv: Recv, fd: i32) {
    let mut byte = [0u8];
    for _ in 0..CALLS {
        // SAFETY: room for a byte.
        let count = unsafe { recv(fd, byte.as_mut_ptr().cast(), 1, libc::MSG_PEEK) };
        assert_eq!(black_box(count), 1);
    }
}

/// The CPU time of this OS thread, which the server's is not part of.
fn cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a place for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn taken(count: u32, f: impl FnOnce()) -> f64 {
    let begun = cpu();
    f();
    (cpu() - begun).as_nanos() as f64 / f64::from(count)
}

fn trips(stream: &mut (impl Read + Write)) {
    let mut bytes = [0; 64];
    for _ in 0..ROUND_TRIPS {
        stream.write_all(&bytes).unwrap();
        stream.read_exact(&mut bytes).unwrap();
    }
}

/// The best of several rounds, which take turns.
fn best<const N: usize>(mut measure: [Box<dyn FnMut() -> f64>; N]) -> [f64; N] {
    let mut best = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for (best, measure) in best.iter_mut().zip(&mut measure) {
            *best = best.min(measure());
        }
    }
    best
}

fn calls() {
    let (fd, real) = (ready(), real_recv());
    let passed = best([
        Box::new(move || taken(CALLS, || peek(real, fd))),
        Box::new(move || taken(CALLS, || peek(libc::recv, fd))),
    ]);
    println!("recv that does not block, ns a call, and that of libc's own");
    println!("  libc's own                    {:7.1}", passed[0]);
    print("  passed on, nothing is patched ", passed[1], passed[0]);
    sedge::patch::all();
    let [off] = best([Box::new(move || taken(CALLS, || peek(libc::recv, fd)))]);
    print("  passed on, no green thread    ", off, passed[0]);
    sedge::run(|| {
        let green = best([
            Box::new(move || taken(CALLS, || peek(real, fd))),
            Box::new(move || taken(CALLS, || peek(libc::recv, fd))),
        ]);
        print("  patched, on a green thread    ", green[1], green[0]);
    });
}

fn print(what: &str, cost: f64, plain: f64) {
    println!("{what}{cost:7.1}  {:.3}", cost / plain);
}

/// An echo server on this OS thread, with a green thread for each of some connections; the clients
/// are on another. Nanoseconds of CPU of the server for a round trip.
macro_rules! server {
    ($net:ident) => {{
        use $net::net::TcpListener;

        let (send, receive) = std::sync::mpsc::channel();
        let clients = std::thread::spawn(move || {
            let address = receive.recv().unwrap();
            sedge::run(|| {
                for _ in 0..CONNECTIONS {
                    sedge::spawn(move || {
                        let mut stream = sedge::net::TcpStream::connect(address).unwrap();
                        trips(&mut stream);
                    });
                }
            });
        });
        let taken = taken(CONNECTIONS * ROUND_TRIPS, || {
            sedge::run(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                for _ in 0..CONNECTIONS {
                    let mut stream = listener.accept().unwrap().0;
                    sedge::spawn(move || {
                        let mut bytes = [0; 4096];
                        while let Ok(count @ 1..) = stream.read(&mut bytes) {
                            stream.write_all(&bytes[..count]).unwrap();
                        }
                    });
                }
            });
        });
        clients.join().unwrap();
        taken
    }};
}

fn keep_alive(plain: f64) {
    let [ours, std] = best([Box::new(|| server!(sedge)), Box::new(|| server!(std))]);
    println!("echo of 64 bytes, {CONNECTIONS} connections, ns of CPU of the server, and that of");
    println!("sedge's own");
    println!("  sedge::net, nothing is patched{plain:7.0}");
    print("  sedge::net, patched           ", ours, plain);
    print("  std::net, patched             ", std, plain);
}

fn main() {
    let argument = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with("--"));
    match argument.as_deref() {
        Some("real") => sedge::run(|| peek(real_recv(), ready())),
        Some("passed") => peek(libc::recv, ready()),
        Some("patched") => {
            sedge::patch::all();
            sedge::run(|| peek(libc::recv, ready()));
        }
        Some(other) => panic!("{other}: one of real, passed, patched"),
        None => {
            let [plain] = best([Box::new(|| server!(sedge))]);
            calls(); // patches
            keep_alive(plain);
        }
    }
}
