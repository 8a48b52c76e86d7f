//! What goes through netlink: this project's addresses and routes as messages, and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{AddressAddRequest, RouteMessageBuilder};

use super::{PROTOCOL, source_for};

/// The route into the interface, from the host's address of its family.
pub(super) fn route(index: u32, to: IpNetwork, addresses: &[IpNetwork]) -> RouteMessage {
    let source = source_for(to, addresses);
    match to {
        IpNetwork::V4(to) => {
            let mut builder = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(to.network(), to.prefix())
                .output_interface(index)
                .protocol(RouteProtocol::Other(PROTOCOL))
                .scope(RouteScope::Link);
            if let Some(IpAddr::V4(source)) = source {
                builder = builder.pref_source(source);
            }
            builder.build()
        }
        IpNetwork::V6(to) => {
            let mut builder = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(to.network(), to.prefix())
                .output_interface(index)
                .protocol(RouteProtocol::Other(PROTOCOL));
            if let Some(IpAddr::V6(source)) = source {
                builder = builder.pref_source(source);
            }
            builder.build()
        }
    }
}

/// A request for every route of a family.
pub(super) fn all_routes(family: AddressFamily) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message
}

/// Whether a route is this project's, into this interface, in the main table.
pub(super) fn is_ours(route: &RouteMessage, index: u32) -> bool {
    route.header.protocol == RouteProtocol::Other(PROTOCOL)
        && route.header.table == RouteHeader::RT_TABLE_MAIN
        && route.header.kind == RouteType::Unicast
        && route.attributes.contains(&RouteAttribute::Oif(index))
}

/// Whether two routes are one: from the same address to the same prefix.
pub(super) fn is_same_route(a: &RouteMessage, b: &RouteMessage) -> bool {
    destination(a) == destination(b) && preferred_source(a) == preferred_source(b)
}

/// The prefix that a route is to.
pub(super) fn destination(route: &RouteMessage) -> IpNetwork {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => ip(address),
        _ => None,
    });
    let any = match route.header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let address = address.unwrap_or(any);
    IpNetwork::new(address, route.header.destination_prefix_length).unwrap_or_else(|_| address.into())
}

fn preferred_source(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(address) => ip(address),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

/// Puts this project's mark on an address that is to be added. Kernels before 5.18 don't keep it.
pub(super) fn marked(mut request: AddressAddRequest) -> AddressAddRequest {
    let message = request.message_mut();
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(PROTOCOL)));
    // Nobody else can have the address (RFC 4862's detection has no link to ask on), and a route may come from it at
    // once.
    message.header.flags |= AddressHeaderFlags::Nodad;
    request
}

/// Whether an address carries this project's mark.
pub(super) fn is_marked(message: &AddressMessage) -> bool {
    message.attributes.contains(&AddressAttribute::Protocol(AddressProtocol::from(PROTOCOL)))
}

/// The address in a message, with the length of its prefix.
pub(super) fn address(message: &AddressMessage) -> Option<IpNetwork> {
    // IPv4 has the host's own address in `Local`; IPv6 has `Address` alone.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let plain = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    IpNetwork::new(local.or(plain)?, message.header.prefix_len).ok()
}
