//! What the kernel knows of the MTU of a path.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::sockopt;

/// The MTU of the path to `endpoint` in bytes of IP packet: the interface's, or less where a router said so. Asks the
/// kernel only; sends nothing and never waits.
///
/// # Errors
/// The kernel's: most often that there is no route to the endpoint.
pub fn path_mtu(endpoint: SocketAddr, fwmark: Option<NonZeroU32>) -> io::Result<u16> {
    let socket = Socket::new(Domain::for_address(endpoint), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(mark) = fwmark {
        socket.set_mark(mark.get())?;
    }
    socket.connect(&endpoint.into())?;
    let [mtu] = match endpoint {
        SocketAddr::V4(_) => sockopt::get::<1>(socket.as_fd(), libc::IPPROTO_IP, libc::IP_MTU)?,
        SocketAddr::V6(_) => sockopt::get::<1>(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_MTU)?,
    };
    Ok(u16::try_from(mtu).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_the_largest_mtu() {
        assert!(path_mtu("127.0.0.1:9".parse().unwrap(), None).unwrap() >= 1500);
    }
}
