//! Asks a launcher, or tells it what to do, at its control socket.
//!
//! ```text
//! cargo run --example sedgectl -- status                # a table of the workers
//! cargo run --example sedgectl -- metrics               # the same for Prometheus
//! cargo run --example sedgectl -- reload                # replaces them one by one
//! cargo run --example sedgectl -- kill 3                # another takes its place
//! cargo run --example sedgectl -- add|remove            # one worker more, one less
//! cargo run --example sedgectl -- upgrade               # replaces the program
//! cargo run --example sedgectl -- stop --socket PATH    # drains, and ends
//! ```
//!
//! Without `--socket` it looks where a launcher listens by default: `sedge.sock` in
//! `$RUNTIME_DIRECTORY` or `$XDG_RUNTIME_DIR`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sedge::os::unix::net::UnixStream;

const USAGE: &str =
    "usage: sedgectl status|metrics|reload|stop|add|remove|kill ID|upgrade [--socket PATH]";

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1);
    match read(arguments).and_then(|(path, command)| sedge::run(|| ask(&path, &command))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("sedgectl: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The path of the socket, and the command.
fn read(arguments: impl Iterator<Item = String>) -> Result<(PathBuf, String), String> {
    let mut path = None;
    let mut command = Vec::new();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--socket" => {
                let value = arguments.next().ok_or("--socket needs a path")?;
                path = Some(PathBuf::from(value));
            }
            option if option.starts_with('-') => return Err(USAGE.to_owned()),
            _ => command.push(argument),
        }
    }
    if command.is_empty() {
        return Err(USAGE.to_owned());
    }
    let path = path.or_else(sedge::launch::default_control_path);
    let path = path.ok_or("where is the launcher? Give --socket PATH, or set XDG_RUNTIME_DIR")?;
    Ok((path, command.join(" ")))
}

/// Sends the command and prints the answer.
fn ask(path: &Path, command: &str) -> Result<(), String> {
    let place = path.display();
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("no launcher listens at {place}"),
        io::ErrorKind::ConnectionRefused => {
            format!("the launcher that listened at {place} is gone")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{place} is another user's: {error}")
        }
        _ => format!("{place}: {error}"),
    })?;
    let lost = |error| format!("lost the launcher at {place}: {error}");
    writeln!(&stream, "{command}").map_err(lost)?;
    let mut stream = BufReader::new(stream);
    let mut verdict = String::new();
    stream.read_line(&mut verdict).map_err(lost)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(lost)?;
    match verdict.trim_end() {
        "ok" => {
            print!("{text}");
            Ok(())
        }
        "" => Err("the launcher has gone away without an answer".to_owned()),
        error => Err(error.trim_start_matches("error: ").to_owned()),
    }
}
