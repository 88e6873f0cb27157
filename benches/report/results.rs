//! What a run has left in `target/criterion`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The figure of one benchmark.
#[derive(Clone)]
pub(crate) struct Row {
    group: String,
    pub(crate) peer: String,
    /// Empty if the group has no sizes.
    pub(crate) size: String,
    /// Nanoseconds or bytes.
    pub(crate) median: f64,
    /// Further columns: name and value.
    pub(crate) beside: Vec<(String, f64)>,
}

pub(crate) struct Results {
    rows: Vec<Row>,
    /// Verb and instructions.
    pub(crate) counts: Vec<(String, u64)>,
    /// What the peers outside of Cargo say of themselves: versions, and why one is missing.
    pub(crate) notes: Vec<String>,
}

impl Results {
    pub(crate) fn read(left: &Path) -> io::Result<Results> {
        let mut files = Vec::new();
        find(left, &mut files)?;
        let mut rows = Vec::new();
        for file in files {
            rows.push(row(&file)?);
        }
        let outside = fs::read_to_string(left.join("outside.txt")).unwrap_or_default();
        rows.extend(outside.lines().filter_map(outside_row));
        let notes = outside
            .lines()
            .filter_map(|line| line.strip_prefix("note: "));
        let counts = fs::read_to_string(left.join("counts.txt")).unwrap_or_default();
        Ok(Results {
            rows,
            counts: counts.lines().filter_map(count).collect(),
            notes: notes.map(str::to_owned).collect(),
        })
    }

    /// The rows of a group: smaller sizes first, and of a size what costs least.
    pub(crate) fn of(&self, group: &str) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .rows
            .iter()
            .filter(|row| row.group == group)
            .cloned()
            .collect();
        rows.sort_by(|a, b| {
            let sizes = size_key(&a.size).cmp(&size_key(&b.size));
            sizes.then(a.median.total_cmp(&b.median))
        });
        rows
    }
}

/// The benchmarks below `folder`, by the files that name them.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.ends_with("new/benchmark.json") {
            files.push(path);
        }
    }
    Ok(())
}

fn json(path: &Path) -> io::Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

fn row(file: &Path) -> io::Result<Row> {
    let (name, estimates) = (json(file)?, json(&file.with_file_name("estimates.json"))?);
    let word = |key: &str| name[key].as_str().unwrap_or_default().to_owned();
    let median = estimates["median"]["point_estimate"].as_f64();
    let beside = file
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("beside.json"));
    let beside = beside.and_then(|path| json(&path).ok());
    let columns = beside.as_ref().and_then(Value::as_object);
    let columns = columns.into_iter().flatten();
    Ok(Row {
        group: word("group_id"),
        peer: word("function_id"),
        size: word("value_str"),
        median: median.ok_or_else(|| io::Error::other("no median"))?,
        beside: columns
            .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
            .collect(),
    })
}

/// `switch/go/100 53.2`
fn outside_row(line: &str) -> Option<Row> {
    let (name, median) = line.split_once(' ')?;
    let mut words = name.split('/').map(str::to_owned);
    Some(Row {
        group: words.next()?,
        peer: words.next()?,
        size: words.next().unwrap_or_default(),
        median: median.trim().parse().ok()?,
        beside: Vec::new(),
    })
}

/// `switch 88 instructions, ...`
fn count(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

/// By the numbers in a size: `1000` comes before `64x16`.
fn size_key(size: &str) -> (usize, u64) {
    let mut numbers = size.split('x').map(|number| number.parse().unwrap_or(0));
    let first = numbers.next().unwrap_or(0);
    (numbers.count(), first)
}
