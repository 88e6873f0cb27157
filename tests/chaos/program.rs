//! Programs that are launched where the example would be too well-behaved: each says on a
//! connection who it is, and does what its mode says.

use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::time::Duration;

use sedge::launch::{Launcher, Worker, Workers};
use sedge::net::TcpStream;
use sedge::server::Server;

/// What the program is to do; without it this is the test binary.
const MODE: &str = "CHAOS_MODE";

/// The program in that mode, with so many workers.
pub(crate) fn command(mode: &str, workers: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(MODE, mode).arg(workers.to_string());
    command
}

/// The program, if this process is to be that.
pub(crate) fn main() -> Option<ExitCode> {
    let mode = std::env::var(MODE).ok()?;
    let workers = std::env::args().nth(1)?.parse().ok()?;
    // The launcher alone: what a worker touches is its own affair.
    let is_worker = std::env::args().next()?.contains(": w");
    let large = mode == "large" && !is_worker;
    let heap = vec![1_u8; if large { 1 << 30 } else { 0 }];
    std::hint::black_box(&heap);
    let launcher = Launcher::new()
        .bind("127.0.0.1:0")
        .workers(Workers::Exactly(workers))
        .on_ready(|addrs| println!("listening on {}", addrs[0]));
    let result = match mode.as_str() {
        "panic" => launcher.run(|_| -> () { panic!("no tea, no service") }),
        "at once" => launcher.run(|worker| {
            worker.ready();
            io::Result::<()>::Err(io::Error::other("no tea"))
        }),
        "parent" => launcher.run(|worker| {
            // They outlive the worker, with its output open.
            let child = Command::new("sleep").arg("3").spawn()?;
            println!("has a child {}", child.id());
            serve(worker)
        }),
        // What it has not written when it ends, keeps it from ending.
        "chatty" => launcher
            .drain_timeout(Duration::from_millis(500))
            .run(|worker| {
                let chat = sedge::thread::Builder::new().daemon(true);
                chat.spawn(|| {
                    loop {
                        let _ = writeln!(sedge::io::stdout(), "{}", "words ".repeat(200));
                        sedge::sleep(Duration::from_millis(1));
                    }
                })?;
                serve(worker)
            }),
        _ => launcher.run(serve),
    };
    Some(result.unwrap_or_else(|error| {
        eprintln!("the launcher failed: {error}");
        ExitCode::from(99)
    }))
}

fn serve(worker: Worker) -> io::Result<()> {
    let listener = worker.listener(0);
    worker.serve(Server::new(listener, |mut stream: TcpStream| {
        writeln!(stream, "{}", std::process::id())
    }))
}
