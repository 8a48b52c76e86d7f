//! Packets for tests, whole and right: lengths and checksums are filled in. Allocates; not for the packet path.

use std::net::IpAddr;

use smoltcp::wire::{Icmpv6Packet, IpAddress, Ipv4Packet, TcpPacket, UdpPacket, checksum};

use super::{TcpFlags, protocol};

/// The IP header of the packets to make.
#[derive(Debug, Clone, Copy)]
pub struct Craft {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub hop_limit: u8,
    pub traffic_class: u8,
    pub dont_fragment: bool,
    pub id: u16,
}

/// A TCP header without its ports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Segment<'a> {
    pub flags: TcpFlags,
    pub seq: u32,
    pub ack: u32,
    /// Octets of options, a multiple of four.
    pub options: &'a [u8],
    pub data: &'a [u8],
}

impl Craft {
    /// # Panics
    /// When a text is no address, or they are of two families.
    #[must_use]
    pub fn new(src: &str, dst: &str) -> Self {
        Self::between(src.parse().expect("an address"), dst.parse().expect("an address"))
    }

    /// # Panics
    /// When the addresses are of two families.
    #[must_use]
    pub fn between(src: IpAddr, dst: IpAddr) -> Self {
        assert_eq!(src.is_ipv6(), dst.is_ipv6(), "one family");
        Self { src, dst, hop_limit: 64, traffic_class: 0, dont_fragment: false, id: 1 }
    }

    /// A packet of any protocol around `payload`.
    #[must_use]
    pub fn raw(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut header = vec![0; 20];
                header[0] = 0x45;
                header[1] = self.traffic_class;
                header[2..4].copy_from_slice(&length(20 + payload.len()));
                header[4..6].copy_from_slice(&self.id.to_be_bytes());
                header[6] = u8::from(self.dont_fragment) << 6;
                header[8] = self.hop_limit;
                header[9] = protocol;
                header[12..16].copy_from_slice(&src.octets());
                header[16..20].copy_from_slice(&dst.octets());
                Ipv4Packet::new_unchecked(&mut header).fill_checksum();
                header
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let mut header = vec![0; 40];
                header[0] = 0x60 | self.traffic_class >> 4;
                header[1] = self.traffic_class << 4;
                header[4..6].copy_from_slice(&length(payload.len()));
                header[6] = protocol;
                header[7] = self.hop_limit;
                header[8..24].copy_from_slice(&src.octets());
                header[24..40].copy_from_slice(&dst.octets());
                header
            }
            _ => unreachable!("one family"),
        };
        packet.extend_from_slice(payload);
        packet
    }

    #[must_use]
    pub fn tcp(&self, src_port: u16, dst_port: u16, segment: Segment<'_>) -> Vec<u8> {
        let header_len = 20 + segment.options.len();
        let mut bytes = vec![0; 20];
        bytes[..2].copy_from_slice(&src_port.to_be_bytes());
        bytes[2..4].copy_from_slice(&dst_port.to_be_bytes());
        bytes[4..8].copy_from_slice(&segment.seq.to_be_bytes());
        bytes[8..12].copy_from_slice(&segment.ack.to_be_bytes());
        bytes[12] = u8::try_from(header_len / 4).expect("at most 40 octets of options") << 4;
        bytes[13] = segment.flags.0;
        bytes[14..16].copy_from_slice(&0xffff_u16.to_be_bytes());
        bytes.extend_from_slice(segment.options);
        bytes.extend_from_slice(segment.data);
        let (src, dst) = (IpAddress::from(self.src), IpAddress::from(self.dst));
        TcpPacket::new_unchecked(&mut bytes).fill_checksum(&src, &dst);
        self.raw(protocol::TCP, &bytes)
    }

    /// A SYN.
    #[must_use]
    pub fn syn(&self, src_port: u16, dst_port: u16) -> Vec<u8> {
        self.tcp(src_port, dst_port, Segment { flags: TcpFlags::SYN, seq: 1000, ..Segment::default() })
    }

    #[must_use]
    pub fn udp(&self, src_port: u16, dst_port: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        bytes[..2].copy_from_slice(&src_port.to_be_bytes());
        bytes[2..4].copy_from_slice(&dst_port.to_be_bytes());
        bytes[4..6].copy_from_slice(&length(8 + data.len()));
        bytes.extend_from_slice(data);
        let (src, dst) = (IpAddress::from(self.src), IpAddress::from(self.dst));
        UdpPacket::new_unchecked(&mut bytes).fill_checksum(&src, &dst);
        self.raw(protocol::UDP, &bytes)
    }

    /// An ICMP echo of the addresses' family.
    #[must_use]
    pub fn echo(&self, request: bool, ident: u16, seq: u16, data: &[u8]) -> Vec<u8> {
        let kind = match (self.src.is_ipv6(), request) {
            (false, true) => 8,
            (false, false) => 0,
            (true, true) => 128,
            (true, false) => 129,
        };
        let [i, j] = ident.to_be_bytes();
        let [s, t] = seq.to_be_bytes();
        self.icmp(kind, 0, [i, j, s, t], data)
    }

    /// Any ICMP message of the addresses' family.
    #[must_use]
    pub fn icmp(&self, kind: u8, code: u8, rest: [u8; 4], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, code, 0, 0];
        bytes.extend_from_slice(&rest);
        bytes.extend_from_slice(data);
        match (self.src, self.dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                Icmpv6Packet::new_unchecked(&mut bytes).fill_checksum(&src, &dst);
                self.raw(protocol::ICMPV6, &bytes)
            }
            _ => {
                let sum = !checksum::data(&bytes);
                bytes[2..4].copy_from_slice(&sum.to_be_bytes());
                self.raw(protocol::ICMP, &bytes)
            }
        }
    }

    /// A packet of `protocol` in fragments that carry at most `size` octets each, a multiple of eight.
    #[must_use]
    pub fn fragments(&self, protocol: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
        let count = payload.len().div_ceil(size);
        let fragment = |(i, data): (usize, &[u8])| self.fragment(protocol, i * size, i + 1 < count, data);
        payload.chunks(size).enumerate().map(fragment).collect()
    }

    /// One fragment: `data` at `offset` octets.
    #[must_use]
    pub fn fragment(&self, protocol: u8, offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
        let units = u16::try_from(offset / 8).expect("a fragment's offset has 13 bits");
        if self.src.is_ipv4() {
            let mut packet = self.raw(protocol, data);
            packet[6..8].copy_from_slice(&(u16::from(more) << 13 | units).to_be_bytes());
            Ipv4Packet::new_unchecked(&mut packet).fill_checksum();
            return packet;
        }
        let mut bytes = vec![protocol, 0, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&(units << 3 | u16::from(more)).to_be_bytes());
        bytes[6..8].copy_from_slice(&self.id.to_be_bytes());
        bytes.extend_from_slice(data);
        self.raw(44, &bytes)
    }
}

fn length(octets: usize) -> [u8; 2] {
    u16::try_from(octets).expect("a packet has at most 65,535 octets").to_be_bytes()
}

/// Whether the checksums of a packet and of its TCP, UDP or ICMP are right.
#[must_use]
pub fn is_intact(packet: &[u8]) -> bool {
    let Ok(summary) = super::Packet::parse(packet) else { return false };
    let (src, dst) = (IpAddress::from(summary.src), IpAddress::from(summary.dst));
    let payload = &packet[summary.transport_offset..summary.total_len];
    match summary.protocol {
        protocol::TCP => TcpPacket::new_unchecked(payload).verify_checksum(&src, &dst),
        protocol::UDP => UdpPacket::new_unchecked(payload).verify_checksum(&src, &dst),
        protocol::ICMP => checksum::data(payload) == !0,
        protocol::ICMPV6 => match (summary.src, summary.dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                Icmpv6Packet::new_unchecked(payload).verify_checksum(&src, &dst)
            }
            _ => false,
        },
        _ => true,
    }
}
