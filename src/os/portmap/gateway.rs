//! The default gateway, and what it calls out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::os::netlink;

/// Where PCP and NAT-PMP call out that a router began anew (RFC 6887, 14.1; RFC 6886, 3.2.1).
const ANNOUNCEMENTS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 5350);
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// PCP's port, to which nothing is sent here.
const PCP: u16 = 5351;

/// The router that leads to the internet, and this host's address towards it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gateway {
    pub address: Ipv4Addr,
    pub own: Ipv4Addr,
}

/// The gateway of the IPv4 default route with the lowest metric, in the main table, that doesn't lead into the interface
/// `except`.
///
/// # Errors
/// The kernel's.
pub async fn default_gateway(except: u32) -> io::Result<Option<Gateway>> {
    let Some(address) = netlink::default_gateway(except).await? else { return Ok(None) };
    // The kernel chooses the address as it will for what is sent there; nothing is sent.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((address, PCP))?;
    match socket.local_addr()? {
        SocketAddr::V4(own) => Ok(Some(Gateway { address, own: *own.ip() })),
        SocketAddr::V6(_) => Ok(None),
    }
}

/// What a gateway calls out to all hosts. Not believed: a reason to ask.
#[derive(Debug)]
pub struct Announcements {
    socket: tokio::net::UdpSocket,
    gateway: IpAddr,
}

impl Announcements {
    /// Listens where the gateway is. Inside a tokio runtime.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(gateway: &Gateway) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Others on this host may listen too.
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(ANNOUNCEMENTS))?;
        socket.join_multicast_v4(&ALL_HOSTS, &gateway.own)?;
        let socket = tokio::net::UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, gateway: gateway.address.into() })
    }

    /// Waits until the gateway calls out.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn heard(&self) -> io::Result<()> {
        let mut buffer = [0; 64];
        loop {
            let (_, from) = self.socket.recv_from(&mut buffer).await?;
            if from.ip() == self.gateway {
                return Ok(());
            }
        }
    }
}
