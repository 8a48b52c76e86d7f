//! Packets made by hand, honest or not: whatever source, whatever protocol, checksums right.

use std::net::{IpAddr, Ipv6Addr};

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// Two ends of one family. A v4-mapped address is an IPv6 one here.
#[derive(Debug, Clone, Copy)]
pub struct Forge {
    source: IpAddr,
    destination: IpAddr,
}

impl Forge {
    /// # Panics
    /// When the two ends are of different families.
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        assert!(
            source.is_ipv4() == destination.is_ipv4(),
            "{source} and {destination} are of different families"
        );
        Self { source, destination }
    }

    pub fn udp(self, source_port: u16, port: u16, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(8 + payload.len()).expect("a datagram fits 64 KiB");
        let mut segment = Vec::with_capacity(length.into());
        for field in [source_port, port, length, 0] {
            segment.extend(field.to_be_bytes());
        }
        segment.extend(payload);
        self.checked(UDP, segment, 6)
    }

    /// A segment that opens a connection.
    pub fn tcp_syn(self, source_port: u16, port: u16) -> Vec<u8> {
        self.tcp(source_port, port, 0x02)
    }

    /// A segment with these flags and nothing in it.
    pub fn tcp(self, source_port: u16, port: u16, flags: u8) -> Vec<u8> {
        let mut segment = Vec::with_capacity(20);
        segment.extend(source_port.to_be_bytes());
        segment.extend(port.to_be_bytes());
        segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.checked(TCP, segment, 16)
    }

    /// An echo request.
    pub fn ping(self, id: u16, sequence: u16) -> Vec<u8> {
        let (protocol, kind) = if self.source.is_ipv4() { (ICMP, 8) } else { (ICMPV6, 128) };
        let mut message = vec![kind, 0, 0, 0];
        message.extend(id.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        message.extend(b"vpmesh lab");
        self.checked(protocol, message, 2)
    }

    /// Fills in a checksum: over the pseudo-header too, except in ICMP over IPv4.
    fn checked(self, protocol: u8, mut segment: Vec<u8>, at: usize) -> Vec<u8> {
        let mut covered = Vec::new();
        if protocol != ICMP {
            let length = u32::try_from(segment.len()).expect("a segment fits 64 KiB");
            for address in [self.source, self.destination] {
                match address {
                    IpAddr::V4(v4) => covered.extend(v4.octets()),
                    IpAddr::V6(v6) => covered.extend(v6.octets()),
                }
            }
            covered.extend(length.to_be_bytes());
            covered.extend([0, 0, 0, protocol]);
        }
        covered.extend(&segment);
        segment[at..at + 2].copy_from_slice(&checksum(&covered).to_be_bytes());
        self.packet(protocol, &segment)
    }

    /// Any protocol by its number.
    pub fn packet(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).expect("a payload fits 64 KiB");
        let mut packet = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header = vec![0x45, 0];
                header.extend((20 + length).to_be_bytes());
                // Don't fragment.
                header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                let sum = checksum(&header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                header
            }
            (source, destination) => {
                let mut header = vec![0x60, 0, 0, 0];
                header.extend(length.to_be_bytes());
                header.extend([protocol, 64]);
                header.extend(v6(source).octets());
                header.extend(v6(destination).octets());
                header
            }
        };
        packet.extend(payload);
        packet
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The Internet checksum (RFC 1071).
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
