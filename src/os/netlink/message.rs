//! What goes through netlink: this project's links, addresses and routes as messages (`linux/rtnetlink.h`), and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::{PROTOCOL, source_for};
use crate::os::line::{Attributes, Data, Request};

/// Bytes of `struct ifinfomsg`: family, padding, device type, index, flags, flags that change.
const LINK: usize = 16;
/// Bytes of `struct ifaddrmsg`: family, length of the prefix, flags, scope, index.
const ADDRESS: usize = 8;
/// Bytes of `struct rtmsg`: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
const ROUTE: usize = 12;

/// `IFLA_MTU`.
const LINK_MTU: u16 = 4;
/// `IFA_…`.
const PLAIN: u16 = 1;
const LOCAL: u16 = 2;
const MARK: u16 = 11;
/// `RTA_…`.
const DESTINATION: u16 = 1;
const INTO: u16 = 4;
const GATEWAY: u16 = 5;
const METRIC: u16 = 6;
const SOURCE: u16 = 7;

pub(super) const V4: u8 = family(libc::AF_INET);
pub(super) const V6: u8 = family(libc::AF_INET6);

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the kernel has one byte for it too"
)]
const fn family(number: libc::c_int) -> u8 {
    number as u8
}

/// A network device.
pub(super) struct Link {
    pub(super) index: u32,
    /// `IFF_…`.
    flags: u32,
    pub(super) mtu: Option<u32>,
}

impl Link {
    /// A request for one, or with index 0 and NLM_F_DUMP for all.
    pub(super) fn get(index: u32, flags: i32) -> Request {
        Request::new(libc::RTM_GETLINK, flags, &link_head(index, 0, 0))
    }

    pub(super) fn set(index: u32, up: bool, mtu: Option<u32>) -> Request {
        let flag = bits(libc::IFF_UP);
        let head = link_head(index, if up { flag } else { 0 }, flag);
        let request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &head);
        match mtu {
            Some(mtu) => request.attribute(LINK_MTU, &mtu.to_ne_bytes()),
            None => request,
        }
    }

    pub(super) fn read(data: Data<'_>) -> Option<Self> {
        let (head, attributes) = data.split::<LINK>().filter(|_| data.kind == libc::RTM_NEWLINK)?;
        let mtu = attributes.array(LINK_MTU).map(u32::from_ne_bytes);
        Some(Self { index: word(&head, 4), flags: word(&head, 8), mtu })
    }

    /// Whether it has every one of these flags (`IFF_…`).
    pub(super) fn is(&self, flags: libc::c_int) -> bool {
        self.flags & bits(flags) == bits(flags)
    }
}

fn link_head(index: u32, flags: u32, change: u32) -> [u8; LINK] {
    let mut head = [0; LINK];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..].copy_from_slice(&change.to_ne_bytes());
    head
}

/// An address that is there.
pub(super) struct Address {
    pub(super) index: u32,
    /// With the length of its prefix.
    pub(super) network: IpNetwork,
    /// Whether it carries this project's mark.
    pub(super) is_marked: bool,
    body: Vec<u8>,
}

impl Address {
    /// A request for every one.
    pub(super) fn all() -> Request {
        Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; ADDRESS])
    }

    /// A request to add one, with this project's mark. Kernels before 5.18 don't keep it.
    pub(super) fn add(index: u32, network: IpNetwork) -> Request {
        let mut head = [0; ADDRESS];
        head[0] = family_of(network.ip());
        head[1] = network.prefix();
        // Nobody else can have the address (RFC 4862's detection has no link to ask on), and a route may come from it at
        // once.
        head[2] = libc::IFA_F_NODAD as u8;
        head[4..].copy_from_slice(&index.to_ne_bytes());
        let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let ip = octets(network.ip());
        Request::new(libc::RTM_NEWADDR, flags, &head)
            .attribute(PLAIN, &ip)
            .attribute(LOCAL, &ip)
            .attribute(MARK, &[PROTOCOL])
    }

    pub(super) fn delete(&self) -> Request {
        Request::new(libc::RTM_DELADDR, libc::NLM_F_ACK, &self.body)
    }

    pub(super) fn read(data: Data<'_>) -> Option<Self> {
        let (head, attributes) = data.split::<ADDRESS>().filter(|_| data.kind == libc::RTM_NEWADDR)?;
        // IPv4 has the host's own address in `IFA_LOCAL`; IPv6 has `IFA_ADDRESS` alone.
        let own = ip(attributes, LOCAL).or_else(|| ip(attributes, PLAIN))?;
        Some(Self {
            index: word(&head, 4),
            network: IpNetwork::new(own, head[1]).ok()?,
            is_marked: attributes.array(MARK) == Some([PROTOCOL]),
            body: data.body.to_vec(),
        })
    }
}

/// A route into the interface: two are one when they are to the same prefix from the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: IpNetwork,
    source: Option<IpAddr>,
}

impl Route {
    /// From the host's address of its family.
    pub(super) fn to(to: IpNetwork, addresses: &[IpNetwork]) -> Self {
        let to = IpNetwork::new(to.network(), to.prefix()).unwrap_or(to);
        Self { to, source: source_for(to, addresses) }
    }

    /// A request to add it.
    pub(super) fn add(&self, index: u32) -> Request {
        let scope = if self.to.is_ipv4() { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE };
        let (family, length) = (family_of(self.to.ip()), self.to.prefix());
        let head =
            [family, length, 0, 0, libc::RT_TABLE_MAIN, PROTOCOL, scope, libc::RTN_UNICAST, 0, 0, 0, 0];
        let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let request = Request::new(libc::RTM_NEWROUTE, flags, &head)
            .attribute(DESTINATION, &octets(self.to.ip()))
            .attribute(INTO, &index.to_ne_bytes());
        match self.source {
            Some(source) => request.attribute(SOURCE, &octets(source)),
            None => request,
        }
    }
}

/// A route of the main table that is there.
#[cfg_attr(not(feature = "portmap"), expect(dead_code, reason = "who looks for a gateway asks for ports"))]
pub(super) struct Found {
    pub(super) route: Route,
    /// The device it leads into.
    pub(super) into: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) metric: u32,
    protocol: u8,
    body: Vec<u8>,
}

impl Found {
    /// A request for every one of a family.
    pub(super) fn all(family: u8) -> Request {
        let mut head = [0; ROUTE];
        head[0] = family;
        Request::new(libc::RTM_GETROUTE, libc::NLM_F_DUMP, &head)
    }

    pub(super) fn delete(&self) -> Request {
        Request::new(libc::RTM_DELROUTE, libc::NLM_F_ACK, &self.body)
    }

    /// `None` for one of another table or that leads nowhere. It is asked of every route that the router has.
    pub(super) fn read(data: Data<'_>) -> Option<Self> {
        let (head, attributes) = data.split::<ROUTE>().filter(|_| data.kind == libc::RTM_NEWROUTE)?;
        let [family, length, _, _, table, protocol, _, kind, ..] = head;
        if table != libc::RT_TABLE_MAIN || kind != libc::RTN_UNICAST {
            return None;
        }
        let any = match family {
            V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let to = IpNetwork::new(ip(attributes, DESTINATION).unwrap_or(any), length).ok()?;
        Some(Self {
            route: Route { to, source: ip(attributes, SOURCE) },
            into: interface(attributes),
            gateway: ip(attributes, GATEWAY),
            metric: attributes.array(METRIC).map_or(0, u32::from_ne_bytes),
            protocol,
            body: data.body.to_vec(),
        })
    }

    /// Whether it is this project's, into this interface.
    pub(super) fn is_ours(&self, index: u32) -> bool {
        self.protocol == PROTOCOL && self.into == Some(index)
    }
}

/// What a message of news is about.
pub(super) enum News {
    /// A link or an address, by its interface.
    Link(u32),
    Address(u32),
    Route {
        into: Option<u32>,
        is_default: bool,
    },
}

impl News {
    pub(super) fn read(data: Data<'_>) -> Option<Self> {
        Some(match data.kind {
            libc::RTM_NEWLINK | libc::RTM_DELLINK => Self::Link(word(&data.split::<LINK>()?.0, 4)),
            libc::RTM_NEWADDR | libc::RTM_DELADDR => Self::Address(word(&data.split::<ADDRESS>()?.0, 4)),
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
                let (head, attributes) = data.split::<ROUTE>()?;
                Self::Route { into: interface(attributes), is_default: head[1] == 0 }
            }
            _ => return None,
        })
    }
}

fn interface(attributes: Attributes<'_>) -> Option<u32> {
    attributes.array(INTO).map(u32::from_ne_bytes)
}

fn ip(attributes: Attributes<'_>, kind: u16) -> Option<IpAddr> {
    let v4 = attributes.array(kind).map(|bytes: [u8; 4]| IpAddr::from(bytes));
    v4.or_else(|| attributes.array(kind).map(|bytes: [u8; 16]| IpAddr::from(bytes)))
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn family_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { V4 } else { V6 }
}

/// Four bytes of a structure as a number.
fn word(head: &[u8], at: usize) -> u32 {
    head[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn bits(flags: libc::c_int) -> u32 {
    flags.cast_unsigned()
}
