//! Socket options of Linux, in the words of [`std::os::linux::net`].

use std::io;

pub use std::os::linux::net::SocketAddrExt;

use rustix::net::sockopt;

use crate::net::TcpStream;

mod sealed {
    #[expect(unnameable_types, reason = "nobody else may implement the extension")]
    pub trait Sealed {}

    impl Sealed for crate::net::TcpStream {}
}

/// Options of a TCP connection that only Linux has. As std's trait of that name.
pub trait TcpStreamExt: sealed::Sealed {
    /// Whether segments are acknowledged at once, not later together with data (`TCP_QUICKACK`).
    /// The kernel switches it off again as it sees fit.
    fn set_quickack(&self, quickack: bool) -> io::Result<()>;

    /// Whether segments are acknowledged at once just now.
    fn quickack(&self) -> io::Result<bool>;
}

impl TcpStreamExt for TcpStream {
    fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_quickack(self, quickack)?)
    }

    fn quickack(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_quickack(self)?)
    }
}
