//! TCP, UDP and names, in the words of [`std::net`]: change the `use` line, and what blocked an OS
//! thread parks a green thread.
//!
//! What differs from std:
//!
//! * A socket belongs to the OS thread it is used on: it is not `Send`. To carry one across,
//!   convert it to the std type and back (`std::net::TcpStream::from(stream)`).
//! * It may be made anywhere, but what can wait (reading, writing, accepting, connecting) panics
//!   outside [`run`](crate::run).
//! * The descriptor is in non-blocking mode, which [`AsFd`](std::os::fd::AsFd) shows;
//!   `set_nonblocking` says whether calls wait. Conversions restore what was set.
//! * A write takes what there is room for, where std's would wait until all of it has gone. Both
//!   may write less than they are given; `write_all` does not.
//! * `accept` does not fail when the process is out of descriptors: it waits until there is one.
//! * Names are looked up on the [`blocking`](crate::blocking()) pool.

mod addr;
pub(crate) mod adoption;
pub(crate) mod shared;
pub(crate) mod socket;
mod tcp;
mod udp;

pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};

pub use self::addr::{ToSocketAddrs, lookup};
pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::udp::UdpSocket;
