//! IP packets made by hand, with good checksums, and read back.

use std::net::IpAddr;

pub const UDP: u8 = 17;
pub const TCP: u8 = 6;

/// The Internet checksum (RFC 1071) over these parts, each of even length but the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// An IP packet with this protocol and payload, of the addresses' family. Hop limit 64; DF set.
pub fn packet(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16;
    let mut bytes = match src {
        IpAddr::V4(_) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0];
            header[2..4].copy_from_slice(&(len + 20).to_be_bytes());
            header.extend(octets(src));
            header.extend(octets(dst));
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        IpAddr::V6(_) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            header[4..6].copy_from_slice(&len.to_be_bytes());
            header.extend(octets(src));
            header.extend(octets(dst));
            header
        }
    };
    bytes.extend_from_slice(payload);
    bytes
}

fn transport_sum(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let len = (payload.len() as u32).to_be_bytes();
    checksum(&[&octets(src), &octets(dst), &len, &[0, 0, 0, protocol], payload])
}

/// A UDP packet with `len` bytes of data.
pub fn udp(src: IpAddr, src_port: u16, dst: IpAddr, dst_port: u16, len: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.extend(src_port.to_be_bytes());
    payload.extend(dst_port.to_be_bytes());
    payload.extend((len as u16 + 8).to_be_bytes());
    payload.extend([0, 0]);
    payload.extend(std::iter::repeat_n(0x5a, len));
    let sum = transport_sum(src, dst, UDP, &payload);
    payload[6..8].copy_from_slice(&sum.to_be_bytes());
    packet(src, dst, UDP, &payload)
}

/// A TCP segment without data; a SYN says an MSS of 1,460.
pub fn tcp(src: IpAddr, src_port: u16, dst: IpAddr, dst_port: u16, flags: u8) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.extend(src_port.to_be_bytes());
    payload.extend(dst_port.to_be_bytes());
    payload.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x60, flags, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0x05, 0xb4]);
    let sum = transport_sum(src, dst, TCP, &payload);
    payload[16..18].copy_from_slice(&sum.to_be_bytes());
    packet(src, dst, TCP, &payload)
}

fn header_len(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 { 20 } else { 40 }
}

/// The MSS that a SYN says.
pub fn mss(packet: &[u8]) -> u16 {
    let at = header_len(packet) + 22;
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

/// Whether the checksums of header and transport are good.
pub fn is_sound(bytes: &[u8]) -> bool {
    let header = header_len(bytes);
    let (src, dst): (IpAddr, IpAddr) = if header == 20 {
        let at = |i: usize| <[u8; 4]>::try_from(&bytes[i..i + 4]).unwrap();
        (at(12).into(), at(16).into())
    } else {
        let at = |i: usize| <[u8; 16]>::try_from(&bytes[i..i + 16]).unwrap();
        (at(8).into(), at(24).into())
    };
    let protocol = if header == 20 { bytes[9] } else { bytes[6] };
    let transport = match protocol {
        1 => checksum(&[&bytes[20..]]),
        _ => transport_sum(src, dst, protocol, &bytes[header..]),
    };
    (header == 40 || checksum(&[&bytes[..20]]) == 0) && transport == 0
}

/// Hop limit or TTL.
pub fn hop_limit(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 { packet[8] } else { packet[7] }
}

/// The MTU that an ICMP "too big" tells, if the packet is one.
pub fn told_mtu(packet: &[u8]) -> Option<u32> {
    match packet {
        [0x45, ..] if packet[9] == 1 && packet[20..22] == [3, 4] => {
            Some(u32::from(u16::from_be_bytes([packet[26], packet[27]])))
        }
        [first, ..] if first >> 4 == 6 && packet[6] == 58 && packet[40] == 2 => {
            Some(u32::from_be_bytes([packet[44], packet[45], packet[46], packet[47]]))
        }
        _ => None,
    }
}
