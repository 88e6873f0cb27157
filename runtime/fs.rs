//! Files and directories, in the words of [`std::fs`].
//!
//! A regular file has no readiness: a call on it blocks until the disk, or the server of a network
//! file system, has answered. So each call here is made on the OS threads of
//! [`blocking`](crate::blocking()), and only the green thread waits. That costs some 7 microseconds
//! a call. What the system has in memory already is read in place (`RWF_NOWAIT`; 0.3 microseconds
//! for 4 KiB), and so are seeking within a file and what needs no system call.
//!
//! ```
//! use sedge::fs;
//!
//! # fn main() -> std::io::Result<()> {
//! sedge::run(|| {
//!     let dir = std::env::temp_dir().join(format!("sedge-fs-{}", std::process::id()));
//!     fs::create_dir_all(&dir)?;
//!     fs::write(dir.join("a"), "some text")?;
//!     fs::rename(dir.join("a"), dir.join("b"))?;
//!     assert_eq!(fs::read_to_string(dir.join("b"))?, "some text");
//!     let names = fs::read_dir(&dir)?.map(|entry| Ok(entry?.file_name()));
//!     assert_eq!(names.collect::<std::io::Result<Vec<_>>>()?, ["b"]);
//!     fs::remove_dir_all(&dir)
//! })
//! # }
//! ```
//!
//! # Cancellation
//!
//! A green thread that is cancelled, or whose [`timeout`](crate::timeout) passes, while it waits
//! for a call here unwinds at once. The call is not made if no OS thread has begun it; otherwise it
//! goes on to its end, for nothing stops a system call on a file. So what was cancelled is done
//! wholly or not at all, perhaps a moment later, and a read or write that was under way has moved
//! the position of its [`File`]: seek before going on with it. What must not be left in doubt,
//! [`shield`](crate::shield) keeps from being interrupted.
//!
//! # What differs from std
//!
//! * Paths and bytes are copied for the OS thread that makes the call. [`File`] does so 256 KiB at
//!   a time: a longer read or write is cut short, as every [`Read`](std::io::Read) and
//!   [`Write`](std::io::Write) may. A read also ends where what is in memory ends.
//! * `Read`, `Write` and `Seek` are implemented for [`File`] and `&File`, not for `Arc<File>`,
//!   which nobody but std can.
//! * The methods of `Path` (`exists`, `metadata`, `read_dir` ...) are std's and block the OS
//!   thread. The functions of that name here do not.
//! * Outside [`run`](crate::run), and while a green thread unwinds, everything is done in place, as
//!   in std.
//! * A file that was opened with `O_DIRECT` cannot be read or written, except in place: the copies
//!   are not aligned as it wants.
//! * A terminal or a named pipe that is open as a [`File`] is read when it is ready. If another
//!   process takes the bytes at that moment, the OS thread blocks until there are more.
//! * What blocks for ever, such as opening a named pipe that nobody writes to, keeps one of the 64
//!   OS threads of the pool even if its green thread is cancelled.

use std::io;
use std::path::{Path, PathBuf};

mod dir;
mod file;
mod lock;
mod options;

pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

pub use self::dir::{DirBuilder, DirEntry, ReadDir, read_dir};
pub use self::file::File;
pub use self::lock::TryLockError;
pub use self::options::OpenOptions;

use crate::io::offload;

macro_rules! of_one_path {
    ($($(#[$doc:meta])* $name:ident -> $result:ty;)*) => {$(
        $(#[$doc])*
        #[doc = concat!("\n\nAs [`std::fs::", stringify!($name), "`].\n\n# Errors\n\nAs std's.")]
        pub fn $name<P: AsRef<Path>>(path: P) -> io::Result<$result> {
            let path = path.as_ref().to_owned();
            offload(move || std::fs::$name(path))
        }
    )*};
}

of_one_path! {
    /// The absolute path, without links and dots.
    canonicalize -> PathBuf;
    /// Makes a directory.
    create_dir -> ();
    /// Makes a directory and those above it that are missing.
    create_dir_all -> ();
    /// Whether there is something at the path. An error says that it cannot be found out.
    exists -> bool;
    /// What is known of the file, or of what a link points to.
    metadata -> Metadata;
    /// The whole file.
    read -> Vec<u8>;
    /// What a symbolic link points to.
    read_link -> PathBuf;
    /// The whole file as text.
    read_to_string -> String;
    /// Removes an empty directory.
    remove_dir -> ();
    /// Removes a directory and all that is in it.
    remove_dir_all -> ();
    /// Removes a file.
    remove_file -> ();
    /// What is known of the file, or of the link itself.
    symlink_metadata -> Metadata;
}

macro_rules! of_two_paths {
    ($($(#[$doc:meta])* $name:ident -> $result:ty;)*) => {$(
        $(#[$doc])*
        #[doc = concat!("\n\nAs [`std::fs::", stringify!($name), "`].\n\n# Errors\n\nAs std's.")]
        pub fn $name<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<$result> {
            let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
            offload(move || std::fs::$name(from, to))
        }
    )*};
}

of_two_paths! {
    /// Copies contents and permissions and returns the length.
    copy -> u64;
    /// Gives a file a second name.
    hard_link -> ();
    /// Gives a file another name; what had that name is replaced.
    rename -> ();
}

/// Makes a symbolic link.
///
/// As [`std::fs::soft_link`].
///
/// # Errors
///
/// As std's.
#[deprecated(note = "replaced with sedge::os::unix::fs::symlink")]
pub fn soft_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    offload(move || std::os::unix::fs::symlink(original, link))
}

/// Sets who may do what.
///
/// As [`std::fs::set_permissions`].
///
/// # Errors
///
/// As std's.
pub fn set_permissions<P: AsRef<Path>>(path: P, perm: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::set_permissions(path, perm))
}

/// Makes a file of these contents, or replaces those of the file that is there.
///
/// As [`std::fs::write`].
///
/// # Errors
///
/// As std's.
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    offload(move || std::fs::write(path, contents))
}
