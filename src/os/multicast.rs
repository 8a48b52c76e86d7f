//! Datagrams to everybody on this host's links: IPv6 multicast of link scope, which no router passes on.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// The group (RFC 4291, section 2.7: link scope, transient). The last octets are "vpmesh".
pub const GROUP: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0x7670, 0x6d65, 0x7368);
/// Datagrams wait in this many bytes.
const BUFFER: usize = 64 * 1024;

/// A socket that is in the group on some links. Made inside a tokio runtime.
#[derive(Debug)]
pub struct LinkSocket {
    socket: UdpSocket,
    joined: BTreeSet<u32>,
}

impl LinkSocket {
    /// In the group on no link yet.
    ///
    /// # Errors
    /// The kernel's: one without IPv6, for one.
    pub fn bind(port: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_only_v6(true)?;
        // Another daemon on this host hears the group as well.
        socket.set_reuse_address(true)?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_recv_buffer_size(BUFFER)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0).into())?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, joined: BTreeSet::new() })
    }

    /// Is in the group on these links from now on, by their index. How many of them are new.
    pub fn join(&mut self, links: &[u32]) -> usize {
        self.joined.retain(|link| links.contains(link));
        let new = links.iter().copied().filter(|link| !self.joined.contains(link)).collect::<Vec<_>>();
        let before = self.joined.len();
        for link in new {
            match self.socket.join_multicast_v6(&GROUP, link) {
                Ok(()) => {}
                // It went away and came back.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    tracing::debug!(link, %error, "a link takes no multicast");
                    continue;
                }
            }
            self.joined.insert(link);
        }
        self.joined.len() - before
    }

    /// Sends to everybody on every link. A link that takes none loses it.
    pub async fn send(&self, bytes: &[u8]) {
        let Ok(local) = self.socket.local_addr() else { return };
        for &link in &self.joined {
            let to = SocketAddrV6::new(GROUP, local.port(), 0, link);
            if let Err(error) = self.socket.send_to(bytes, to).await {
                tracing::debug!(link, %error, "a link took no beacon");
            }
        }
    }

    /// The next datagram of a neighbour, cut off at the buffer's length. What came through a router is passed over.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let (len, source) = self.socket.recv_from(buffer).await?;
            if let SocketAddr::V6(from) = source
                && from.ip().is_unicast_link_local()
            {
                return Ok((len, source));
            }
        }
    }
}
