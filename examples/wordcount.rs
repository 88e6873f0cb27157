//! Counts words in files on all cores: `cargo run --release --example wordcount [FILE]...`.
//!
//! Map and reduce: the files are cut into pieces, a pool of processes counts the words of each
//! piece, and the parent adds the counts up as they come. A worker reads its piece itself; what
//! goes there is a path and two numbers, and what comes back is a table. Without arguments it
//! writes some files first, and removes them at the end.
//!
//! On a terminal it shows how far it is.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Instant;

use indicatif::ProgressBar;
use sedge::pool::{ProcessPool, process};

const PIECE: u64 = 1 << 20;
const WORDS: &str = "green thread stack park wake switch reactor timer queue worker socket signal \
                     coroutine scheduler channel future lock wait run spawn join cancel";

/// Of a file, the words that begin between two places.
type Piece = (PathBuf, u64, u64);
type Counts = HashMap<String, u64>;

fn main() -> io::Result<()> {
    process::init();
    let given: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let own = given.is_empty().then(Folder::with_texts).transpose()?;
    let files = match &own {
        Some(folder) => folder.files()?,
        None => given,
    };
    sedge::run(|| count(&files))
}

fn count(files: &[PathBuf]) -> io::Result<()> {
    let mut pieces = Vec::new();
    for file in files {
        let length = fs::metadata(file)?.len();
        let starts = (0..length).step_by(PIECE as usize);
        pieces.extend(starts.map(|start| (file.clone(), start, length.min(start + PIECE))));
    }
    let workers = available_parallelism().map_or(1, NonZero::get);
    let pool = ProcessPool::new(workers)?;
    let bar = ProgressBar::new(pieces.len() as u64);
    let begun = Instant::now();
    let mut total = Counts::new();
    for counts in pool.imap_unordered(count_piece, pieces) {
        let counts = counts.map_err(io::Error::other)?;
        for (word, count) in counts {
            *total.entry(word).or_default() += count;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();

    let mut total: Vec<(String, u64)> = total.into_iter().collect();
    total.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    for (word, count) in total.iter().take(10) {
        println!("{count:10} {word}");
    }
    let words: u64 = total.iter().map(|(_, count)| count).sum();
    let took = begun.elapsed();
    println!(
        "{words} words in {} files, in {took:.2?} by {workers} workers",
        files.len()
    );
    Ok(())
}

/// In a worker. An error goes home as its text, for `io::Error` cannot be encoded.
fn count_piece((path, start, end): Piece) -> Result<Counts, String> {
    let text = read_piece(&path, start, end);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let mut counts = Counts::new();
    for word in text.split(|byte| !byte.is_ascii_alphanumeric()) {
        if !word.is_empty() {
            let word = String::from_utf8_lossy(word).to_ascii_lowercase();
            *counts.entry(word).or_default() += 1;
        }
    }
    Ok(counts)
}

/// The piece from its first word that begins in it to the end of its last one.
fn read_piece(path: &Path, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let is_in_word = |byte: &u8| byte.is_ascii_alphanumeric();
    // One byte more in front: whether a word begins at the start, that one tells.
    let from = start.saturating_sub(1);
    let mut file = BufReader::new(File::open(path)?);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.by_ref().take(end - from).read_to_end(&mut text)?;
    if text.last().is_some_and(is_in_word) {
        for byte in file.bytes() {
            match byte? {
                byte if is_in_word(&byte) => text.push(byte),
                _ => break,
            }
        }
    }
    if start > 0 {
        let word = text.iter().take_while(|byte| is_in_word(byte)).count();
        text.drain(..word);
    }
    Ok(text)
}

/// A folder that is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn with_texts() -> io::Result<Folder> {
        let name = format!("sedge-wordcount-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir(&folder.0)?;
        let words: Vec<&str> = WORDS.split_whitespace().collect();
        let mut random = 1_u64;
        for number in 0..4 {
            let mut text = String::new();
            while text.len() < 4 << 20 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let word = words[(random >> 33) as usize % words.len()];
                let _ = write!(text, "{word} ");
            }
            fs::write(folder.0.join(format!("{number}.txt")), text)?;
        }
        Ok(folder)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.0)?;
        entries.map(|entry| Ok(entry?.path())).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
