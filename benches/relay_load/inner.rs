//! The packets inside the tunnels: IPv4 with UDP to iperf3's port, and a number in the payload.

use std::net::Ipv4Addr;

const HEADERS: usize = 28;
const PORT: u16 = 5201;
/// The first source port.
const FROM_PORT: u16 = 40_000;

/// A packet of `size` bytes in all (`size` is 32 or more). `number` stands at the start of its payload, and `flow` is
/// added to its source port.
pub fn packet(from: Ipv4Addr, to: Ipv4Addr, size: usize, number: u32, flow: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    bytes.extend([0x45, 0]);
    bytes.extend((size as u16).to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    let checksum = checksum(&bytes);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    // A UDP checksum of zero means none.
    for word in [FROM_PORT + flow, PORT, (size - 20) as u16, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(number.to_be_bytes());
    bytes.resize(size, 0x55);
    bytes
}

/// Whether this is such a packet for `to`.
pub fn is_for(packet: &[u8], to: Ipv4Addr) -> bool {
    packet.len() >= HEADERS + 4 && packet[0] == 0x45 && packet[16..20] == to.octets()
}

/// The number in the payload.
pub fn number(packet: &[u8]) -> Option<u32> {
    let bytes = packet.get(HEADERS..HEADERS + 4)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// RFC 1071, over the header with its checksum field zero.
fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
