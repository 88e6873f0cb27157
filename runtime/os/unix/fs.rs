//! What files have on Unix, in the words of [`std::os::unix::fs`].
//!
//! The traits are std's own: sedge's types have them. So are `fchown`, `chroot` and whatever std
//! has besides; those functions are called in place.
//!
//! ```
//! use sedge::fs::File;
//! use sedge::os::unix::fs::FileExt;
//!
//! # fn main() -> std::io::Result<()> {
//! sedge::run(|| {
//!     let mut bytes = [0; 9];
//!     File::open("Cargo.toml")?.read_exact_at(&mut bytes, 0)?;
//!     assert_eq!(&bytes, b"[package]");
//!     Ok(())
//! })
//! # }
//! ```

use std::io;
use std::path::Path;

pub use std::os::unix::fs::*;

use crate::io::offload;

/// Makes a symbolic link. As [`std::os::unix::fs::symlink`].
///
/// # Errors
///
/// As std's.
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    offload(move || std::os::unix::fs::symlink(original, link))
}

/// Gives a file, or what a link points to, to another owner. As [`std::os::unix::fs::chown`].
///
/// # Errors
///
/// As std's.
pub fn chown<P: AsRef<Path>>(dir: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let path = dir.as_ref().to_owned();
    offload(move || std::os::unix::fs::chown(path, uid, gid))
}

/// Gives a file, or the link itself, to another owner. As [`std::os::unix::fs::lchown`].
///
/// # Errors
///
/// As std's.
pub fn lchown<P: AsRef<Path>>(dir: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let path = dir.as_ref().to_owned();
    offload(move || std::os::unix::fs::lchown(path, uid, gid))
}
