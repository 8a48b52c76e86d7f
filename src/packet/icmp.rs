//! ICMP errors that a gateway answers with, written into the caller's buffer.
//!
//! Each builder takes the packet that could not go on (`orig`, as it arrived) and the address to answer from (`from`,
//! of the packet's family). It gives the answer's length, or `None` where there must be no answer: about an ICMP
//! error, a later fragment, a multicast or otherwise no unicast address (RFC 1122, 3.2.2; RFC 4443, 2.4 (e)), or about
//! what is no packet. Callers limit their rate with a [`TokenBucket`](super::TokenBucket) (RFC 4443, 2.4 (f)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet,
};

use super::{Packet, Transport};

/// Octets that any answer fits into (RFC 4443, 2.4 (c)).
pub const ANSWER_MAX: usize = 1280;
/// Octets of the longest answer in IPv4 (RFC 1812, 4.3.2.3).
const ANSWER_MAX_V4: usize = 576;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const ICMP_HEADER: usize = 8;

const HOP_LIMIT: u8 = 64;
/// Internetwork control (RFC 1812, 4.3.2.5).
const DSCP: u8 = 48;

/// "Fragmentation needed" (RFC 1191) or "packet too big" (RFC 4443, 3.2): packets up to `mtu` octets would fit.
pub fn packet_too_big(out: &mut [u8], orig: &[u8], from: IpAddr, mtu: u16) -> Option<usize> {
    let message = Message {
        v4: (Icmpv4Message::DstUnreachable, 4),
        v6: (Icmpv6Message::PktTooBig, 0),
        mtu: mtu.to_be_bytes(),
    };
    message.write(out, orig, from)
}

/// "Time exceeded in transit".
pub fn time_exceeded(out: &mut [u8], orig: &[u8], from: IpAddr) -> Option<usize> {
    let message =
        Message { v4: (Icmpv4Message::TimeExceeded, 0), v6: (Icmpv6Message::TimeExceeded, 0), mtu: [0; 2] };
    message.write(out, orig, from)
}

/// Type and code in both families, and the MTU, which both have in the last two octets of their header.
struct Message {
    v4: (Icmpv4Message, u8),
    v6: (Icmpv6Message, u8),
    mtu: [u8; 2],
}

impl Message {
    fn write(&self, out: &mut [u8], orig: &[u8], from: IpAddr) -> Option<usize> {
        let packet = Packet::parse(orig).ok()?;
        let is_later_fragment = packet.fragment.is_some_and(|fragment| fragment.offset > 0);
        if is_later_fragment || matches!(packet.transport, Transport::IcmpError { .. }) {
            return None;
        }
        let orig = &orig[..packet.total_len];
        match (from, packet.src) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.write_v4(out, orig, from, to),
            (IpAddr::V6(from), IpAddr::V6(to)) => self.write_v6(out, orig, from, to),
            _ => None,
        }
    }

    fn write_v4(&self, out: &mut [u8], orig: &[u8], from: Ipv4Addr, to: Ipv4Addr) -> Option<usize> {
        let quote = &orig[..orig.len().min(ANSWER_MAX_V4 - IPV4_HEADER - ICMP_HEADER)];
        let len = IPV4_HEADER + ICMP_HEADER + quote.len();
        let out = out.get_mut(..len)?;
        self.write_icmp(&mut out[IPV4_HEADER..], self.v4.0.into(), self.v4.1, quote);
        Icmpv4Packet::new_unchecked(&mut out[IPV4_HEADER..]).fill_checksum();

        out[..IPV4_HEADER].fill(0);
        let mut header = Ipv4Packet::new_unchecked(out);
        header.set_version(4);
        header.set_header_len(20);
        header.set_dscp(DSCP);
        header.set_total_len(u16::try_from(len).ok()?);
        // an atomic datagram: its identification means nothing (RFC 6864, 4.1)
        header.set_dont_frag(true);
        header.set_hop_limit(HOP_LIMIT);
        header.set_next_header(IpProtocol::Icmp);
        header.set_src_addr(from);
        header.set_dst_addr(to);
        header.fill_checksum();
        Some(len)
    }

    fn write_v6(&self, out: &mut [u8], orig: &[u8], from: Ipv6Addr, to: Ipv6Addr) -> Option<usize> {
        let quote = &orig[..orig.len().min(ANSWER_MAX - IPV6_HEADER - ICMP_HEADER)];
        let len = IPV6_HEADER + ICMP_HEADER + quote.len();
        let out = out.get_mut(..len)?;
        self.write_icmp(&mut out[IPV6_HEADER..], self.v6.0.into(), self.v6.1, quote);
        Icmpv6Packet::new_unchecked(&mut out[IPV6_HEADER..]).fill_checksum(&from, &to);

        out[..IPV6_HEADER].fill(0);
        let mut header = Ipv6Packet::new_unchecked(out);
        header.set_version(6);
        header.set_traffic_class(DSCP << 2);
        header.set_payload_len(u16::try_from(ICMP_HEADER + quote.len()).ok()?);
        header.set_next_header(IpProtocol::Icmpv6);
        header.set_hop_limit(HOP_LIMIT);
        header.set_src_addr(from);
        header.set_dst_addr(to);
        Some(len)
    }

    /// All but the checksum, which is left zero.
    fn write_icmp(&self, out: &mut [u8], kind: u8, code: u8, quote: &[u8]) {
        out[..ICMP_HEADER].copy_from_slice(&[kind, code, 0, 0, 0, 0, self.mtu[0], self.mtu[1]]);
        out[ICMP_HEADER..].copy_from_slice(quote);
    }
}
