//! The one UDP port, in both families: datagrams come in by the batch and in trains (GRO), and go out in trains (GSO).
//!
//! IPv4 comes through the dual-stack socket as v4-mapped addresses; they are translated at this door, so that nobody
//! else sees one. Tunnels must be fragmentable where a path is narrow, so what quinn-udp sets against fragments is
//! undone. Nothing here waits: a full socket buffer fills the backlog, and a full backlog is a counted drop.
//!
//! One socket is opened first. Once it is known what comes ([`UdpPort::steer`]), others share its port, one for each
//! kind of datagram, so that none of them pushes another out of its buffer.

mod codel;
mod gso;
mod queue;
mod receive;
mod send;
mod steer;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::time::Instant;

use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

use super::sockopt;
use crate::engine::Steering;
use crate::engine::backlog::Backlog;
use gso::RefusedPaths;
use queue::Queue;

pub use receive::ReceiveSlots;
pub use send::Losses;

/// Bytes of the handshakes' buffer: more than are worked on in a second.
const HANDSHAKES_BUFFER: u32 = 512 * 1024;

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
    options: UdpOptions,
    family: Family,
    /// As `steer` numbers them; all but the first, from which is also sent, may be missing.
    queues: Vec<Queue>,
    /// The group's socket that nobody reads.
    refused: Option<Socket>,
    renewed: Option<Instant>,
    /// Segments in one train at most, as found when the socket was opened; 1 without GSO.
    segments_max: usize,
    no_trains: RefusedPaths,
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
        let sending = Interest::READABLE | Interest::WRITABLE;
        let queue = Queue::new(socket, family, sending).map_err(other)?;
        Ok(Self {
            options: *options,
            family,
            segments_max: if cfg!(feature = "no-offload") { 1 } else { queue.state.max_gso_segments() },
            queues: vec![queue],
            refused: None,
            renewed: None,
            no_trains: RefusedPaths::default(),
            stale_local: None,
            backlog: Backlog::default(),
            losses: Losses::default(),
        })
    }

    /// Has the kernel sort what comes, from now on like this. Where it can't, everything waits in one queue.
    ///
    /// # Errors
    /// The kernel's.
    pub fn steer(&mut self, steering: &Steering) -> io::Result<()> {
        let sorted =
            self.open_queues().and_then(|()| self.queues[0].choose_by(&mut steer::program(steering)));
        if sorted.is_err() {
            // A program that is out of date would turn peers away. The group is the first socket alone again.
            self.queues.truncate(1);
            self.refused = None;
        }
        sorted
    }

    /// Opens the sockets that share the port, unless they are open.
    fn open_queues(&mut self) -> io::Result<()> {
        if self.refused.is_some() {
            return Ok(());
        }
        // The first one was bound alone, so that a port that another program has was seen to be taken.
        let options = UdpOptions { port: self.port()?, ..self.options };
        self.queues[0].share()?;
        let domain = if self.family == Family::Dual { Domain::IPV6 } else { Domain::IPV4 };
        let sharing = || {
            let socket = new_socket(domain)?;
            socket.set_reuse_port(true)?;
            Ok::<_, io::Error>(socket)
        };
        let bound = |socket: Socket, options: &UdpOptions| {
            set_buffers(&socket, options)?;
            socket.bind(&any(domain, options.port).into())?;
            Ok::<_, io::Error>(socket)
        };
        for receive_buffer in [options.receive_buffer, HANDSHAKES_BUFFER] {
            let socket = bound(sharing()?, &UdpOptions { receive_buffer, ..options })?;
            self.queues.push(Queue::new(socket, self.family, Interest::READABLE)?);
        }
        let refused = sharing()?;
        // Classic BPF once more: a program of one instruction that keeps nothing.
        sockopt::keep_nothing(refused.as_fd())?;
        self.refused = Some(bound(refused, &UdpOptions { receive_buffer: 0, ..options })?);
        Ok(())
    }

    /// The port that was opened (asked for or, with port 0, chosen by the kernel).
    ///
    /// # Errors
    /// The kernel's.
    pub fn port(&self) -> io::Result<u16> {
        self.queues[0].port()
    }

    /// The queues that [`UdpPort::receive`] reads, by number.
    #[must_use]
    pub fn queues(&self) -> std::ops::Range<usize> {
        0..self.queues.len()
    }

    /// Datagrams that the kernel turned away because nobody read a socket's buffer fast enough, since it was opened.
    /// Wraps around.
    #[must_use]
    pub fn overflows(&self) -> u32 {
        self.queues.iter().map(Queue::drops).fold(0, u32::wrapping_add)
    }

    /// Datagrams that the kernel turned away because they can be no message for this gateway. Wraps around.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.refused.as_ref().map_or(0, |socket| queue::drops(socket.as_fd()))
    }
}

/// Whether the kernel was built or booted without IPv6.
fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}

fn new_socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

fn any(domain: Domain, port: u16) -> SocketAddr {
    if domain == Domain::IPV6 {
        (Ipv6Addr::UNSPECIFIED, port).into()
    } else {
        (Ipv4Addr::UNSPECIFIED, port).into()
    }
}

fn open(domain: Domain, options: &UdpOptions) -> Result<Socket, BindError> {
    let port = options.port;
    let other = |error| BindError::Other { port, error };
    let socket = new_socket(domain).map_err(other)?;
    if let Some(mark) = options.fwmark {
        socket.set_mark(mark.get()).map_err(|_| BindError::Mark)?;
    }
    set_buffers(&socket, options).map_err(other)?;
    socket.bind(&any(domain, port).into()).map_err(|error| match error.kind() {
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
        // quinn-udp goes on without this one where it is unknown (qemu-user): then there is nothing to undo.
        let _ = sockopt::set(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0);
        // The address that a datagram was sent to comes with IPv6's option in both families: once is enough.
        sockopt::set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 0)?;
    }
    if cfg!(feature = "no-offload") {
        sockopt::set(fd, libc::SOL_UDP, libc::UDP_GRO, 0)?;
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
