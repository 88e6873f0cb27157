//! Unix sockets, in the words of [`std::os::unix::net`]. [`sedge::net`](crate::net) says what
//! differs.

mod datagram;
mod listener;
mod stream;

pub use std::os::unix::net::SocketAddr;

pub use self::datagram::UnixDatagram;
pub use self::listener::{Incoming, UnixListener};
pub use self::stream::UnixStream;
