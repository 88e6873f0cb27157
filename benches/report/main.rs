//! Runs every bench and writes docs/benchmarks.md, with a chart for each group:
//! `cargo run --release -p sedge-benches --bin report`.
//!
//! With `-- --no-run` it writes what the last run has left in `target/criterion`.

mod chart;
mod groups;
mod machine;
mod results;
mod text;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use groups::GROUPS;
use results::Results;

fn main() -> io::Result<()> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().expect("the package is in a workspace");
    let left = sedge_benches::criterion_folder();
    if !std::env::args().any(|argument| argument == "--no-run") {
        run(root, &left)?;
    }
    let results = Results::read(&left)?;
    let docs = root.join("docs");
    let charts = docs.join("benchmarks");
    fs::create_dir_all(&charts)?;
    for group in &GROUPS {
        let rows = results.of(group.name);
        if !rows.is_empty() {
            chart::draw(group, &rows, &charts.join(format!("{}.svg", group.name)))?;
        }
    }
    let text = text::write(&results, &machine::describe(root, &left)?);
    fs::write(docs.join("benchmarks.md"), text)
}

/// Runs everything; the results of runs before are deleted, for they do not belong beside these.
fn run(root: &Path, left: &PathBuf) -> io::Result<()> {
    let begin = Instant::now();
    if left.exists() {
        fs::remove_dir_all(left)?;
    }
    fs::create_dir_all(left)?;
    let mut cargo = Command::new(env!("CARGO"));
    succeed(
        cargo.args(["bench", "--locked", "--package", "sedge-benches"]),
        root,
    )?;
    let outside = output(&mut Command::new("benches/outside/run"), root)?;
    fs::write(left.join("outside.txt"), outside)?;
    // It fails if a count has grown, which is for another place to mind.
    let counts = output(&mut Command::new("benches/counts.sh"), root)?;
    fs::write(left.join("counts.txt"), counts)?;
    let minutes = begin.elapsed().as_secs().div_ceil(60);
    fs::write(left.join("minutes.txt"), minutes.to_string())
}

fn succeed(command: &mut Command, root: &Path) -> io::Result<()> {
    match command.current_dir(root).status()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("{command:?}: {status}"))),
    }
}

/// What it prints, which is shown as well.
fn output(command: &mut Command, root: &Path) -> io::Result<String> {
    let output = command.current_dir(root).output()?.stdout;
    let text = String::from_utf8_lossy(&output).into_owned();
    print!("{text}");
    Ok(text)
}
