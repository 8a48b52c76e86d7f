//! The one UDP port, in both families: datagrams come in by the batch and in trains (GRO), and go out in trains (GSO).
//!
//! IPv4 comes through the dual-stack socket as v4-mapped addresses; they are translated at this door, so that nobody
//! else sees one. Tunnels must be fragmentable where a path is narrow, so what quinn-udp sets against fragments is
//! undone. Nothing here waits: a full socket buffer fills the backlog, and a full backlog is a counted drop.

mod backlog;
mod gso;
mod receive;
mod send;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{ready, sockopt};
use backlog::Backlog;
use gso::RefusedPaths;

pub use receive::ReceiveSlots;
pub use send::Losses;

/// How the port is opened.
#[derive(Debug, Clone, Copy)]
pub struct UdpOptions {
    pub port: u16,
    /// The mark on what is sent (`SO_MARK`).
    pub fwmark: Option<NonZeroU32>,
    /// Bytes of the socket's buffers.
    pub receive_buffer: u32,
    pub send_buffer: u32,
}

/// Why the port can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("UDP port {port} is in use; stop the other program (`ss -ulpn`) or write another `listen`")]
    Taken { port: u16 },
    #[error("not permitted to open UDP port {port}; ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    Port { port: u16 },
    #[error("not permitted to mark packets; `fwmark` needs root or CAP_NET_ADMIN")]
    Mark,
    #[error("cannot open UDP port {port}: {error}")]
    Other { port: u16, error: io::Error },
}

/// Which families the socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// IPv6, and IPv4 as v4-mapped addresses.
    Dual,
    /// The kernel has no IPv6.
    V4,
}

/// The open port. Made inside a tokio runtime.
#[derive(Debug)]
pub struct UdpPort {
    socket: AsyncFd<UdpSocket>,
    family: Family,
    /// quinn-udp's view of the socket; made anew when a refusal made it give up on offloads for good.
    state: UdpSocketState,
    renewed: Option<Instant>,
    /// Segments in one train at most, as found when the socket was opened; 1 without GSO.
    segments_max: usize,
    refused: RefusedPaths,
    /// An address of this host that it has no more, and until when it is left out.
    stale_local: Option<(IpAddr, Instant)>,
    backlog: Backlog,
    losses: Losses,
}

impl UdpPort {
    /// Opens the port on every address of the host, in both families where the kernel has them.
    ///
    /// # Errors
    /// [`BindError`], with the mend.
    pub fn bind(options: &UdpOptions) -> Result<Self, BindError> {
        let (socket, family) = match open(Domain::IPV6, options) {
            Ok(socket) => (socket, Family::Dual),
            Err(BindError::Other { error, .. }) if has_no_ipv6(&error) => {
                (open(Domain::IPV4, options)?, Family::V4)
            }
            Err(error) => return Err(error),
        };
        let other = |error| BindError::Other { port: options.port, error };
        let socket = UdpSocket::from(socket);
        let state = view(&socket, family).map_err(other)?;
        Ok(Self {
            segments_max: state.max_gso_segments(),
            socket: ready::watch(socket, Interest::READABLE | Interest::WRITABLE).map_err(other)?,
            family,
            state,
            renewed: None,
            refused: RefusedPaths::default(),
            stale_local: None,
            backlog: Backlog::default(),
            losses: Losses::default(),
        })
    }

    /// The port that was opened (asked for or, with port 0, chosen by the kernel).
    ///
    /// # Errors
    /// The kernel's.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.socket.get_ref().local_addr()?.port())
    }

    /// Datagrams that the kernel turned away because nobody read the socket's buffer fast enough, since it was
    /// opened. Wraps around.
    #[must_use]
    pub fn overflows(&self) -> u32 {
        // sock_diag(7): SK_MEMINFO_DROPS is the ninth word of SO_MEMINFO.
        sockopt::get::<9>(self.fd(), libc::SOL_SOCKET, libc::SO_MEMINFO).map_or(0, |words| words[8])
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

/// Whether the kernel was built or booted without IPv6.
fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}

fn open(domain: Domain, options: &UdpOptions) -> Result<Socket, BindError> {
    let port = options.port;
    let other = |error| BindError::Other { port, error };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(other)?;
    let any: SocketAddr = if domain == Domain::IPV6 {
        socket.set_only_v6(false).map_err(other)?;
        (Ipv6Addr::UNSPECIFIED, port).into()
    } else {
        (Ipv4Addr::UNSPECIFIED, port).into()
    };
    if let Some(mark) = options.fwmark {
        socket.set_mark(mark.get()).map_err(|_| BindError::Mark)?;
    }
    set_buffers(&socket, options).map_err(other)?;
    socket.bind(&any.into()).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { port },
        io::ErrorKind::PermissionDenied => BindError::Port { port },
        _ => other(error),
    })?;
    Ok(socket)
}

/// Sets the buffers' sizes: beyond the system's bound where that is permitted, else up to it.
fn set_buffers(socket: &Socket, options: &UdpOptions) -> io::Result<()> {
    let int = |bytes: u32| libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let fd = socket.as_fd();
    if sockopt::set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, int(options.receive_buffer)).is_err() {
        sockopt::set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, int(options.receive_buffer))?;
    }
    if sockopt::set(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, int(options.send_buffer)).is_err() {
        sockopt::set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, int(options.send_buffer))?;
    }
    Ok(())
}

/// quinn-udp's view of the socket, less what is wrong for tunnels.
fn view(socket: &UdpSocket, family: Family) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(UdpSockRef::from(socket))?;
    let fd = socket.as_fd();
    // A sealed packet that is larger than a hop's MTU must arrive in fragments rather than not at all.
    sockopt::set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)?;
    if family == Family::Dual {
        sockopt::set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)?;
        sockopt::set(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0)?;
    }
    // Time stamps would crowd ECN out of quinn-udp's control buffer on 64-bit machines. Some kernels have none.
    let _ = sockopt::set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 0);
    Ok(state)
}

/// The address as everybody else has it.
fn from_socket(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddrV4::new(v4, v6.port()).into(),
            None => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        },
    }
}

/// The address as this socket has it; `None` where it can't reach it.
fn to_socket(address: SocketAddr, family: Family) -> Option<SocketAddr> {
    match (address, family) {
        (SocketAddr::V4(_), Family::V4) | (SocketAddr::V6(_), Family::Dual) => Some(address),
        (SocketAddr::V4(v4), Family::Dual) => Some((v4.ip().to_ipv6_mapped(), v4.port()).into()),
        (SocketAddr::V6(_), Family::V4) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_sees_a_v4_mapped_address() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:51888".parse().unwrap();
        let plain: SocketAddr = "192.0.2.1:51888".parse().unwrap();
        assert_eq!(from_socket(mapped), plain);
        assert_eq!(to_socket(plain, Family::Dual), Some(mapped));
        assert_eq!(to_socket(plain, Family::V4), Some(plain));
        assert_eq!(to_socket("[2001:db8::1]:1".parse().unwrap(), Family::V4), None);
    }

    #[test]
    fn a_link_local_address_keeps_its_interface() {
        let link_local: SocketAddr = SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 7, 3).into();
        assert_eq!(from_socket(link_local), SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 0, 3).into());
    }
}
