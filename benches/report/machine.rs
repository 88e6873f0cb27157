//! Where and with what the figures were taken.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// The peers whose versions are named.
const CRATES: [&str; 8] = [
    "corosensei",
    "criterion",
    "crossbeam-channel",
    "generator",
    "may",
    "mio",
    "sedge",
    "tokio",
];

/// Lines of a list.
pub(crate) fn describe(root: &Path, left: &Path) -> io::Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?;
    let minutes = fs::read_to_string(left.join("minutes.txt")).unwrap_or_default();
    let lines = [
        format!("date: {}", first_line("date", &["-u", "+%Y-%m-%d"], root)),
        format!(
            "machine: {cores} cores of {}, {:.0} GiB, Linux {}",
            field("/proc/cpuinfo", "model name")?,
            gibibytes(&field("/proc/meminfo", "MemTotal")?),
            // What follows is the builder's.
            kernel.trim().split('-').next().unwrap_or_default()
        ),
        format!("compiler: {}", first_line("rustc", &["--version"], root)),
        format!("crates: {}", versions(root)?),
        format!(
            "command: `cargo run --release -p sedge-benches --bin report`, {} minutes",
            if minutes.is_empty() { "?" } else { &minutes }
        ),
    ];
    Ok(lines.map(|line| format!("* {line}\n")).concat())
}

/// Empty if there is no such program.
fn first_line(program: &str, arguments: &[&str], root: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// What stands behind a name in a file of `/proc`.
fn field(file: &str, name: &str) -> io::Result<String> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    Ok(value
        .map_or("unknown", |(_, value)| value.trim())
        .to_owned())
}

fn gibibytes(kibibytes: &str) -> f64 {
    let number = kibibytes.split(' ').next().unwrap_or_default();
    number.parse::<f64>().unwrap_or(0.0) / f64::from(1 << 20)
}

/// From the lock file, where a package is `name = "..."` and then `version = "..."`.
fn versions(root: &Path) -> io::Result<String> {
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    let lines: Vec<&str> = lock.lines().collect();
    let versions = lines.windows(2).filter_map(|pair| {
        let name = pair[0].strip_prefix("name = \"")?.strip_suffix('"')?;
        let version = pair[1].strip_prefix("version = \"")?.strip_suffix('"')?;
        let named = CRATES.contains(&name);
        named.then(|| format!("{name} {version}"))
    });
    Ok(versions.collect::<Vec<_>>().join(", "))
}
