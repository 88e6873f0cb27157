//! An open file.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::{FileTimes, Metadata, OpenOptions, Permissions};

mod calls;
mod traits;

/// An open file, as [`std::fs::File`].
///
/// [The module](crate::fs) says what it costs and what a cancelled call leaves.
/// [`FileExt`](std::os::unix::fs::FileExt) is std's own. What can be waited for, as a terminal or a
/// named pipe, is waited for without an OS thread. If it was opened in non-blocking mode, calls
/// that would wait fail, as std's do.
///
/// ```
/// use sedge::fs::File;
/// use std::io::{Read, Seek, SeekFrom, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let path = std::env::temp_dir().join(format!("sedge-file-{}", std::process::id()));
/// sedge::run(|| {
///     let mut file = File::options().read(true).write(true).create(true).open(&path)?;
///     file.write_all(b"some words")?;
///     file.seek(SeekFrom::Start(5))?;
///     let mut text = String::new();
///     file.read_to_string(&mut text)?;
///     assert_eq!(text, "words");
///     std::io::Result::Ok(())
/// })?;
/// # std::fs::remove_file(path)
/// # }
/// ```
pub struct File(Arc<Shared>);

/// What calls on the pool keep alive.
struct Shared {
    io: std::fs::File,
    /// Calls on the pool that use the position of the open file, which clones have in common. The
    /// kernel lets one at a time at it; another one that is made in place would block.
    at_position: Arc<AtomicUsize>,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing, makes it if it is not there, and empties it.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    }

    /// Makes a file that must not be there yet, for reading and writing.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
    }

    /// An [`OpenOptions`].
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until contents and metadata are on the disk.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn sync_all(&self) -> io::Result<()> {
        self.offload(std::fs::File::sync_all)
    }

    /// Waits until the contents are on the disk.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn sync_data(&self) -> io::Result<()> {
        self.offload(std::fs::File::sync_data)
    }

    /// Cuts the file, or fills it up with zeros.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.offload(move |io| io.set_len(size))
    }

    /// What is known of the file.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.offload(std::fs::File::metadata)
    }

    /// Another handle to the same open file, with the same position.
    ///
    /// # Errors
    ///
    /// If there is no descriptor left.
    pub fn try_clone(&self) -> io::Result<File> {
        Ok(File(Arc::new(Shared {
            io: self.0.io.try_clone()?,
            at_position: Arc::clone(&self.0.at_position),
        })))
    }

    /// Sets who may do what.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        self.offload(move |io| io.set_permissions(perm))
    }

    /// Sets when it was used.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.offload(move |io| io.set_times(times))
    }

    /// Sets when it was changed.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_modified(&self, time: std::time::SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Whether it is a terminal. [`IsTerminal`] cannot be implemented outside std.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.0.io.is_terminal()
    }
}
