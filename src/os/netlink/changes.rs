//! News of the interface, or of the way to the internet, from the kernel.
//!
//! A socket of its own: on a router whose routes change by the thousand, news of other interfaces cost a read and
//! nothing else.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::protocols::NETLINK_ROUTE;

use crate::os::news::News;

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
    news: News,
    subject: Subject,
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
        let groups = groups.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
        Ok(Self { news: News::open(NETLINK_ROUTE, groups)?, subject })
    }

    /// Waits until what this is about changed, by whomever: an address, a route, the interface's state.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn changed(&mut self) -> io::Result<()> {
        let subject = self.subject;
        self.news.heard(|bytes| is_about(bytes, subject)).await
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
