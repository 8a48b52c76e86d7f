//! News of the interface from the kernel.
//!
//! A socket of its own, read into one fixed buffer: on a router whose routes change by the thousand, news of other
//! interfaces cost a read and nothing else. News that were lost count as news.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::os::ready;

/// Bytes of the largest message that Linux sends (`NLMSG_GOODSIZE` is 8 KiB).
const MESSAGE_MAX: usize = 32 * 1024;

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
];

/// Tells when somebody changed the interface. Made inside a tokio runtime.
#[derive(Debug)]
pub struct Changes {
    socket: AsyncFd<Socket>,
    index: u32,
    buffer: Vec<u8>,
}

impl Changes {
    /// # Errors
    /// The kernel's.
    pub fn open(index: u32) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let groups = GROUPS.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
        socket.bind(&SocketAddr::new(0, groups))?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket: ready::watch(socket, Interest::READABLE)?,
            index,
            buffer: Vec::with_capacity(MESSAGE_MAX),
        })
    }

    /// Waits until an address, a route or the state of the interface changed, by whomever.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.socket.readable().await?;
            self.buffer.clear();
            let buffer = &mut self.buffer;
            match guard.try_io(|socket| socket.get_ref().recv(buffer, 0)) {
                // Would block: wait again.
                Err(_) => {}
                Ok(Ok(_)) if is_about(&self.buffer, self.index) => return Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }
}

/// Whether one of the messages is about the interface, or can't be read.
fn is_about(mut bytes: &[u8], index: u32) -> bool {
    while !bytes.is_empty() {
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else { return true };
        let about = match &message.payload {
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link),
            ) => link.header.index == index,
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address),
            ) => address.header.index == index,
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
            ) => is_into(route, index),
            _ => false,
        };
        if about {
            return true;
        }
        let length = (message.header.length as usize).next_multiple_of(4).max(16);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    false
}

fn is_into(route: &RouteMessage, index: u32) -> bool {
    route.attributes.contains(&RouteAttribute::Oif(index))
}
