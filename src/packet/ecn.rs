//! Explicit congestion notification (RFC 3168), across a tunnel (RFC 6040).

use super::checksum::{update_v4, word};

/// The two low bits of the traffic class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Ecn {
    NotCapable = 0,
    Capable1 = 1,
    Capable0 = 2,
    Congested = 3,
}

impl Ecn {
    /// From a traffic class, or any octet with the mark in its two low bits.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotCapable,
            1 => Self::Capable1,
            2 => Self::Capable0,
            _ => Self::Congested,
        }
    }
}

/// Writes the mark into the packet's header; IPv4's checksum follows. False when `packet` is no IP packet.
pub fn set_ecn(packet: &mut [u8], ecn: Ecn) -> bool {
    let Some(version) = packet.first().map(|octet| octet >> 4) else { return false };
    match version {
        4 if packet.len() >= 20 => {
            let old = word(packet, 0);
            packet[1] = packet[1] & !3 | ecn as u8;
            update_v4(packet, old, word(packet, 0));
            true
        }
        6 if packet.len() >= 40 => {
            packet[1] = packet[1] & !0x30 | (ecn as u8) << 4;
            true
        }
        _ => false,
    }
}
