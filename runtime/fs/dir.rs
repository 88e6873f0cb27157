//! Directories: making and listing them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, DirEntryExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{FileType, Metadata};
use crate::io::offload;

/// Entries that one call on the pool reads. The kernel is asked for as many as fit into 32 KiB.
const BATCH: usize = 256;

/// Lists a directory.
///
/// As [`std::fs::read_dir`].
///
/// # Errors
///
/// As std's.
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    offload(move || {
        let mut listing = Listing {
            entries: Some(std::fs::read_dir(&path)?),
            ready: VecDeque::new(),
        };
        listing.fill();
        Ok(ReadDir {
            path,
            listing: Arc::new(Mutex::new(listing)),
        })
    })
}

/// The entries of a directory, from [`read_dir`]; as [`std::fs::ReadDir`].
///
/// They are read 256 at a time, so what happens to the directory meanwhile may not be seen.
pub struct ReadDir {
    path: PathBuf,
    /// Shared with the call that reads on. If its green thread is unwound, what it has read stays
    /// here.
    listing: Arc<Mutex<Listing>>,
}

struct Listing {
    /// `None` at the end.
    entries: Option<std::fs::ReadDir>,
    ready: VecDeque<io::Result<DirEntry>>,
}

impl Listing {
    fn fill(&mut self) {
        while self.ready.len() < BATCH {
            let Some(entries) = &mut self.entries else {
                return;
            };
            match entries.next() {
                None => self.entries = None,
                Some(entry) => self.ready.push_back(entry.map(DirEntry::new)),
            }
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        loop {
            // It is locked while a call reads on of which the green thread was unwound.
            if let Ok(mut listing) = self.listing.try_lock() {
                if !listing.ready.is_empty() || listing.entries.is_none() {
                    return listing.ready.pop_front();
                }
            }
            let listing = Arc::clone(&self.listing);
            offload(move || {
                let mut listing = lock(&listing);
                if listing.ready.is_empty() {
                    listing.fill();
                }
            });
        }
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.path).finish()
    }
}

fn lock(listing: &Mutex<Listing>) -> MutexGuard<'_, Listing> {
    listing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry of a directory, from [`ReadDir`]; as [`std::fs::DirEntry`].
pub struct DirEntry {
    entry: Arc<std::fs::DirEntry>,
    /// As the directory has it. `None` if it has not, and the file could not be asked.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// Called where it may block: some file systems must be asked for the type.
    fn new(entry: std::fs::DirEntry) -> DirEntry {
        DirEntry {
            file_type: entry.file_type().ok(),
            entry: Arc::new(entry),
        }
    }

    /// The path of the directory, as it was given, and the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// What is known of the file, or of the link itself.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        let entry = Arc::clone(&self.entry);
        offload(move || entry.metadata())
    }

    /// Whether it is a file, a directory, a link ...
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => self.metadata().map(|metadata| metadata.file_type()),
        }
    }

    /// The name alone.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.entry.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}

/// How directories are to be made, as [`std::fs::DirBuilder`].
///
/// [`DirBuilderExt`] is std's own.
#[derive(Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: Option<u32>,
}

impl DirBuilder {
    /// One directory, in one that is there.
    #[expect(clippy::new_without_default, reason = "as std's")]
    #[must_use]
    pub fn new() -> DirBuilder {
        DirBuilder {
            recursive: false,
            mode: None,
        }
    }

    /// Whether those above it are made too, and it is no error if it is there.
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.recursive = recursive;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let path = path.as_ref().to_owned();
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        if let Some(mode) = self.mode {
            builder.mode(mode);
        }
        offload(move || builder.create(path))
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.mode = Some(mode);
        self
    }
}
