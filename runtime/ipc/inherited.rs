//! The end that a parent has given to this process.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use rustix::stdio::{dup2_stdin, stdin};

/// Takes the end that stands in the place of the standard input, where the parent has put it with
/// `to_stdio`. The type must be that of the end. From then on the standard input is `/dev/null`.
///
/// See [the module](super#ends-go-to-other-processes) for an example.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] if the standard input is something else; if there are no descriptors
/// left.
pub fn inherited<E: From<OwnedFd>>() -> io::Result<E> {
    let stdin = stdin();
    let is_end = socket_domain(stdin).is_ok_and(|domain| domain == AddressFamily::UNIX)
        && socket_type(stdin).is_ok_and(|kind| kind == SocketType::SEQPACKET);
    if !is_end {
        let message = "the standard input is no end of a channel: this process was not given one";
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let nothing = File::open("/dev/null")?;
    let end = fcntl_dupfd_cloexec(stdin, 3)?;
    dup2_stdin(nothing)?;
    Ok(E::from(end))
}
