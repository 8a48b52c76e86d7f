//! TCP, UDP and ICMP headers: what they say of the packet's conversation.
//!
//! A first fragment holds the whole transport header or is refused (RFC 1858, RFC 7112).

use smoltcp::wire::{TcpPacket, UdpPacket};

use super::checksum::word;
use super::header::{Extent, Header};
use super::{IcmpErrorKind, Ports, Tcp, TcpFlags, Transport, Tuple, protocol};
use crate::base::DropReason;

/// What every TCP, UDP and ICMP header has at least, and every ICMP error quotes (RFC 792).
const QUOTED_MIN: usize = 8;

/// Reads the transport of a whole packet; `packet` ends where the packet does.
pub(super) fn read(packet: &[u8], header: &Header) -> Result<Transport, DropReason> {
    if header.is_later_fragment() {
        return Ok(Transport::Opaque);
    }
    let bytes = &packet[header.transport_offset..];
    match (header.protocol, header.src.is_ipv6()) {
        (protocol::TCP, _) => tcp(bytes).map(Transport::Tcp),
        (protocol::UDP, _) => udp(bytes, header.fragment.is_some()),
        (protocol::ICMP, false) => icmpv4(bytes),
        (protocol::ICMPV6, true) => icmpv6(bytes),
        _ => Ok(Transport::Opaque),
    }
}

fn tcp(bytes: &[u8]) -> Result<Tcp, DropReason> {
    let segment = TcpPacket::new_checked(bytes).map_err(|_| DropReason::Malformed)?;
    let flags = TcpFlags::from_bits(bytes[13]);
    let opens = flags.has(TcpFlags::SYN);
    let ends = flags.has(TcpFlags::FIN) || flags.has(TcpFlags::RST);
    if (opens && ends) || flags == TcpFlags::default() {
        return Err(DropReason::Malformed);
    }
    Ok(Tcp {
        src_port: segment.src_port(),
        dst_port: segment.dst_port(),
        flags,
        #[expect(clippy::cast_sign_loss, reason = "the same 32 bits")]
        seq: segment.seq_number().0 as u32,
        #[expect(clippy::cast_sign_loss, reason = "the same 32 bits")]
        ack: segment.ack_number().0 as u32,
        seq_len: u32::try_from(segment.segment_len()).map_err(|_| DropReason::Malformed)?,
    })
}

/// A datagram may be longer than UDP says (options, RFC 9868), a first fragment shorter.
fn udp(bytes: &[u8], is_fragment: bool) -> Result<Transport, DropReason> {
    if bytes.len() < smoltcp::wire::UDP_HEADER_LEN {
        return Err(DropReason::Malformed);
    }
    let datagram = UdpPacket::new_unchecked(bytes);
    let len = usize::from(datagram.len());
    if len < smoltcp::wire::UDP_HEADER_LEN || (len > bytes.len() && !is_fragment) {
        return Err(DropReason::Malformed);
    }
    Ok(Transport::Udp { src_port: datagram.src_port(), dst_port: datagram.dst_port() })
}

/// RFC 792; which types a router forwards: RFC 1812, 4.3, and RFC 6633 (source quench).
fn icmpv4(bytes: &[u8]) -> Result<Transport, DropReason> {
    if bytes.len() < QUOTED_MIN {
        return Err(DropReason::Malformed);
    }
    let (kind, code) = (bytes[0], bytes[1]);
    match kind {
        0 | 8 => Ok(Transport::IcmpEcho { request: kind == 8, ident: word(bytes, 4) }),
        3 if code == 4 => error(bytes, false, IcmpErrorKind::TooBig { mtu: u32::from(word(bytes, 6)) }),
        3 => error(bytes, false, IcmpErrorKind::Unreachable { code }),
        11 => error(bytes, false, IcmpErrorKind::TimeExceeded),
        12 => error(bytes, false, IcmpErrorKind::ParameterProblem),
        // source quench, redirect, router discovery
        4 | 5 | 9 | 10 => Err(DropReason::NotForwarded),
        _ => Ok(Transport::IcmpOther { kind, code }),
    }
}

/// RFC 4443; which types a router forwards: RFC 4890, 4.3.
fn icmpv6(bytes: &[u8]) -> Result<Transport, DropReason> {
    if bytes.len() < QUOTED_MIN {
        return Err(DropReason::Malformed);
    }
    let (kind, code) = (bytes[0], bytes[1]);
    match kind {
        1 => error(bytes, true, IcmpErrorKind::Unreachable { code }),
        2 => {
            let mtu = u32::from(word(bytes, 4)) << 16 | u32::from(word(bytes, 6));
            error(bytes, true, IcmpErrorKind::TooBig { mtu })
        }
        3 => error(bytes, true, IcmpErrorKind::TimeExceeded),
        4 => error(bytes, true, IcmpErrorKind::ParameterProblem),
        128 | 129 => Ok(Transport::IcmpEcho { request: kind == 128, ident: word(bytes, 4) }),
        // errors that nobody knows; multicast listeners, neighbours and routers of one link, renumbering
        ..=127 | 130..=138 | 141..=143 | 148 | 149 | 151..=153 | 155 => Err(DropReason::NotForwarded),
        _ => Ok(Transport::IcmpOther { kind, code }),
    }
}

fn error(bytes: &[u8], is_v6: bool, kind: IcmpErrorKind) -> Result<Transport, DropReason> {
    let embedded = quoted(&bytes[QUOTED_MIN..], is_v6)?;
    Ok(Transport::IcmpError { kind, embedded })
}

/// The conversation of a packet that an ICMP error of the same family quotes.
fn quoted(bytes: &[u8], is_v6: bool) -> Result<Tuple, DropReason> {
    let header = Header::read(bytes, Extent::Quoted)?;
    let is_mapped = |address: std::net::IpAddr| address.to_canonical() != address;
    if header.src.is_ipv6() != is_v6 || is_mapped(header.src) || is_mapped(header.dst) {
        return Err(DropReason::Malformed);
    }
    let ports = if header.is_later_fragment() {
        Ports::Unknown
    } else {
        quoted_ports(&bytes[header.transport_offset..header.total_len], &header)?
    };
    Ok(Tuple { src: header.src, dst: header.dst, protocol: header.protocol, ports })
}

fn quoted_ports(bytes: &[u8], header: &Header) -> Result<Ports, DropReason> {
    let is_v6 = header.src.is_ipv6();
    let has_ports = match header.protocol {
        protocol::TCP | protocol::UDP => true,
        protocol::ICMP if !is_v6 => false,
        protocol::ICMPV6 if is_v6 => false,
        _ => return Ok(Ports::None),
    };
    if bytes.len() < QUOTED_MIN {
        return Err(DropReason::Malformed);
    }
    if has_ports {
        return Ok(Ports::Known { src: word(bytes, 0), dst: word(bytes, 2) });
    }
    let echo = |request| Ports::Echo { request, ident: word(bytes, 4) };
    Ok(match (bytes[0], is_v6) {
        (8, false) | (128, true) => echo(true),
        (0, false) | (129, true) => echo(false),
        _ => Ports::OneWay,
    })
}
