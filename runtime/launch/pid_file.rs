//! The pid file: whose launcher runs, and a lock that says that it does.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::{FlockOperation, flock, ftruncate};
use rustix::io::Errno;

/// A file with the process id in it, locked as long as this lives, and removed then.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    _file: File,
}

impl PidFile {
    /// A file that is left over from a launcher that was killed is not locked any more.
    pub(super) fn lock(path: &Path) -> io::Result<PidFile> {
        let named = |error: io::Error| {
            let message = format!("pid file {}: {error}", path.display());
            io::Error::new(error.kind(), message)
        };
        let options = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .clone();
        let mut file = options.open(path).map_err(named)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN) => {
                let message = "another launcher has it";
                return Err(named(io::Error::new(io::ErrorKind::AlreadyExists, message)));
            }
            Err(error) => return Err(named(error.into())),
        }
        ftruncate(&file, 0)?;
        writeln!(file, "{}", process::id()).map_err(named)?;
        Ok(PidFile {
            path: path.to_owned(),
            _file: file,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody may have removed it before.
        let _ = fs::remove_file(&self.path);
    }
}
