//! What mesh nodes say to each other inside of a tunnel: UDP and TCP between two link-local addresses.
//!
//! Such a packet is never forwarded ([`Packet::parse`](super::Packet::parse) refuses it); who takes it has checked
//! both addresses. It has no extension headers, and what is not whole is refused.

use std::net::Ipv6Addr;

use smoltcp::wire::{IpAddress, IpProtocol, Ipv6Packet, TcpPacket, UdpPacket};

use crate::base::{DropReason, LINK_PORT};

const IPV6_HEADER: usize = 40;
/// Octets in front of a message.
pub const MESSAGE_OFFSET: usize = IPV6_HEADER + 8;
/// Octets of the largest packet that mesh nodes send each other: it goes through any path.
pub const LINK_MTU: usize = 1_200;
/// Octets of the longest message.
pub const MESSAGE_MAX: usize = LINK_MTU - MESSAGE_OFFSET;

/// A packet between two link-local addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link<'a> {
    /// A message of the mesh.
    Message(&'a [u8]),
    /// A whole IPv6 packet with TCP in it.
    Tcp(&'a [u8]),
}

impl<'a> Link<'a> {
    /// Reads a packet that is `from` one mesh node `to` another; `None` when it is between others.
    ///
    /// # Errors
    /// [`DropReason::Malformed`] or [`DropReason::NotControl`].
    pub fn read(bytes: &'a [u8], from: Ipv6Addr, to: Ipv6Addr) -> Option<Result<Self, DropReason>> {
        let packet = Ipv6Packet::new_checked(bytes).ok()?;
        let ours = packet.version() == 6 && packet.src_addr() == from && packet.dst_addr() == to;
        ours.then(|| Self::read_inside(&bytes[..packet.total_len()], from, to))
    }

    fn read_inside(bytes: &'a [u8], from: Ipv6Addr, to: Ipv6Addr) -> Result<Self, DropReason> {
        let inside = &bytes[IPV6_HEADER..];
        let (from, to) = (IpAddress::from(from), IpAddress::from(to));
        match bytes[6].into() {
            IpProtocol::Udp => {
                let udp = UdpPacket::new_checked(inside).map_err(|_| DropReason::Malformed)?;
                // No checksum is none of IPv6's (RFC 8200, section 8.1).
                if udp.checksum() == 0 || !udp.verify_checksum(&from, &to) {
                    return Err(DropReason::Malformed);
                }
                if udp.dst_port() != LINK_PORT {
                    return Err(DropReason::NotControl);
                }
                Ok(Self::Message(udp.payload()))
            }
            IpProtocol::Tcp => {
                let tcp = TcpPacket::new_checked(inside).map_err(|_| DropReason::Malformed)?;
                if tcp.verify_checksum(&from, &to) {
                    Ok(Self::Tcp(bytes))
                } else {
                    Err(DropReason::Malformed)
                }
            }
            _ => Err(DropReason::NotControl),
        }
    }
}

/// Puts headers around the `len` octets of a message that lie at [`MESSAGE_OFFSET`]; the packet's length. `len` is at
/// most [`MESSAGE_MAX`], and `buffer` holds it.
pub fn wrap_message(buffer: &mut [u8], len: usize, from: Ipv6Addr, to: Ipv6Addr) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "a message has at most MESSAGE_MAX octets")]
    let udp_len = (len + 8) as u16;
    let mut packet = Ipv6Packet::new_unchecked(&mut buffer[..MESSAGE_OFFSET + len]);
    packet.set_version(6);
    packet.set_traffic_class(0);
    packet.set_flow_label(0);
    packet.set_payload_len(udp_len);
    packet.set_next_header(IpProtocol::Udp);
    packet.set_hop_limit(1);
    packet.set_src_addr(from);
    packet.set_dst_addr(to);
    let mut udp = UdpPacket::new_unchecked(packet.payload_mut());
    udp.set_src_port(LINK_PORT);
    udp.set_dst_port(LINK_PORT);
    udp.set_len(udp_len);
    udp.fill_checksum(&IpAddress::from(from), &IpAddress::from(to));
    MESSAGE_OFFSET + len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::craft::Craft;

    const A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const B: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

    fn wrapped(message: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0xff; LINK_MTU];
        buffer[MESSAGE_OFFSET..][..message.len()].copy_from_slice(message);
        let len = wrap_message(&mut buffer, message.len(), A, B);
        buffer.truncate(len);
        buffer
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        for message in [&b""[..], b"1", &[7; MESSAGE_MAX]] {
            assert_eq!(Link::read(&wrapped(message), A, B), Some(Ok(Link::Message(message))));
        }
    }

    #[test]
    fn what_is_between_others_or_not_whole_is_not_read() {
        let packet = wrapped(b"message");
        assert_eq!(Link::read(&packet, B, A), None);
        assert_eq!(Link::read(&packet, A, A), None);
        for end in 0..packet.len() {
            assert!(!matches!(Link::read(&packet[..end], A, B), Some(Ok(_))), "{end}");
        }
        for at in 40..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 4;
            assert!(!matches!(Link::read(&changed, A, B), Some(Ok(_))), "{at}");
        }
    }

    #[test]
    fn tcp_is_read_whole_and_other_ports_and_protocols_are_not() {
        let craft = Craft::between(A.into(), B.into());
        let syn = craft.syn(1, LINK_PORT);
        assert_eq!(Link::read(&syn, A, B), Some(Ok(Link::Tcp(&syn))));
        assert_eq!(Link::read(&craft.udp(1, 53, b"x"), A, B), Some(Err(DropReason::NotControl)));
        assert_eq!(Link::read(&craft.echo(true, 1, 1, b""), A, B), Some(Err(DropReason::NotControl)));
    }
}
