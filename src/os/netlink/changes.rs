//! News of the interface, or of the way to the internet, from the kernel.
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

const ALL: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
];

/// What the news are to be of.
#[derive(Debug, Clone, Copy)]
enum Subject {
    /// Everything about the interface with this index.
    Interface(u32),
    /// IPv4 default routes, and this host's own addresses.
    WayOut,
}

/// Tells when somebody changed something. Made inside a tokio runtime.
#[derive(Debug)]
pub struct Changes {
    socket: AsyncFd<Socket>,
    subject: Subject,
    buffer: Vec<u8>,
}

impl Changes {
    /// News of one interface.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(index: u32) -> io::Result<Self> {
        Self::of(Subject::Interface(index), &ALL)
    }

    /// News of the way to the internet: IPv4 default routes, and this host's addresses.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of_way_out() -> io::Result<Self> {
        Self::of(Subject::WayOut, &[MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv4Route])
    }

    fn of(subject: Subject, groups: &[MulticastGroup]) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let groups = groups.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
        socket.bind(&SocketAddr::new(0, groups))?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket: ready::watch(socket, Interest::READABLE)?,
            subject,
            buffer: Vec::with_capacity(MESSAGE_MAX),
        })
    }

    /// Waits until what this is about changed, by whomever: an address, a route, the interface's state.
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
                Ok(Ok(_)) if is_about(&self.buffer, self.subject) => return Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }
}

/// Whether one of the messages is about the subject, or can't be read.
fn is_about(mut bytes: &[u8], subject: Subject) -> bool {
    while !bytes.is_empty() {
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else { return true };
        let about = match &message.payload {
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link),
            ) => matches!(subject, Subject::Interface(index) if link.header.index == index),
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address),
            ) => match subject {
                Subject::Interface(index) => address.header.index == index,
                Subject::WayOut => true,
            },
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
            ) => match subject {
                Subject::Interface(index) => is_into(route, index),
                Subject::WayOut => route.header.destination_prefix_length == 0,
            },
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
