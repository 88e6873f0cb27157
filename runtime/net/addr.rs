//! From what users write as an address to addresses. Only names cost a lookup, on the pool.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{iter, option, slice, vec};

use crate::blocking::blocking;
use crate::coroutine;

/// What can be used as an address: [`std::net::ToSocketAddrs`] with the same implementations. It is
/// a trait of its own because std's waits for the name server on the OS thread that calls it; a
/// green thread that calls this one parks.
///
/// ```
/// use sedge::net::ToSocketAddrs;
///
/// sedge::run(|| {
///     let mut addrs = "localhost:80".to_socket_addrs().unwrap();
///     assert!(addrs.all(|addr| addr.ip().is_loopback() && addr.port() == 80));
/// });
/// ```
pub trait ToSocketAddrs {
    /// The addresses.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses, looked up if need be.
    ///
    /// # Errors
    ///
    /// If the text is no address, or the name is not known.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// The addresses of a host: a name, or an address as text.
///
/// ```
/// sedge::run(|| {
///     let addrs: Vec<_> = sedge::net::lookup("127.0.0.1").unwrap().collect();
///     assert_eq!(addrs, [std::net::Ipv4Addr::LOCALHOST]);
/// });
/// ```
///
/// # Errors
///
/// If the name is not known, or the name server does not answer.
pub fn lookup(host: &str) -> io::Result<impl Iterator<Item = IpAddr> + use<>> {
    Ok((host, 0).to_socket_addrs()?.map(|addr| addr.ip()))
}

/// All addresses of a name.
fn look_up(host: &str, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
    if !coroutine::is_running() {
        return std::net::ToSocketAddrs::to_socket_addrs(&(host, port));
    }
    let host = host.to_owned();
    blocking(move || std::net::ToSocketAddrs::to_socket_addrs(&(host, port)))
}

/// Every address, for the std calls that try one after the other.
pub(super) fn all(addr: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    Ok(addr.to_socket_addrs()?.collect())
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Calls `f` with each address until it succeeds. The error is that of the last one.
pub(super) fn first_that<T>(
    addr: impl ToSocketAddrs,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = invalid("could not resolve to any addresses");
    for addr in addr.to_socket_addrs()? {
        match f(addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        if let Ok(addr) = self.parse() {
            return Ok(vec![addr].into_iter());
        }
        let (host, port) = self
            .rsplit_once(':')
            .ok_or(invalid("invalid socket address"))?;
        look_up(
            host,
            port.parse().map_err(|_| invalid("invalid port value"))?,
        )
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => look_up(host, port),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

/// What is one address already.
macro_rules! one {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<option::IntoIter<SocketAddr>> {
                Ok(Some(SocketAddr::from(*self)).into_iter())
            }
        }
    )*};
}

one!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<T::Iter> {
        (**self).to_socket_addrs()
    }
}
