//! How a file is to be opened.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::File;
use crate::io::offload;

/// How a file is to be opened, as [`std::fs::OpenOptions`].
///
/// [`OpenOptionsExt`] is std's own.
///
/// ```
/// use sedge::fs::OpenOptions;
/// use std::io::Write;
///
/// # fn main() -> std::io::Result<()> {
/// let path = std::env::temp_dir().join(format!("sedge-options-{}", std::process::id()));
/// sedge::run(|| {
///     let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
///     writeln!(file, "one more line")
/// })?;
/// # std::fs::remove_file(path)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(std::fs::OpenOptions);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, $name: bool) -> &mut OpenOptions {
            self.0.$name($name);
            self
        }
    )*};
}

impl OpenOptions {
    /// Nothing is allowed yet.
    #[expect(clippy::new_without_default, reason = "as std's")]
    #[must_use]
    pub fn new() -> OpenOptions {
        OpenOptions(std::fs::OpenOptions::new())
    }

    flags! {
        /// Whether it may be read.
        read;
        /// Whether it may be written.
        write;
        /// Whether each write goes to the end.
        append;
        /// Whether it is emptied.
        truncate;
        /// Whether it is made if it is not there.
        create;
        /// Whether it must not be there and is made.
        create_new;
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        offload(move || options.open(path)).map(File::from)
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.0.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.0.custom_flags(flags);
        self
    }
}
