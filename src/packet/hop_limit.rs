//! TTL and hop limit: what a router takes from a packet.

use super::checksum::{update_v4, word};

/// Takes one from the TTL or hop limit; IPv4's checksum follows. False, and nothing changed, when the packet has no hop
/// left (it was 0 or 1), or when `packet` is no IP packet.
#[must_use]
pub fn decrement_hop_limit(packet: &mut [u8]) -> bool {
    let Some(version) = packet.first().map(|octet| octet >> 4) else { return false };
    match version {
        4 if packet.len() >= 20 && packet[8] > 1 => {
            let old = word(packet, 8);
            packet[8] -= 1;
            update_v4(packet, old, word(packet, 8));
            true
        }
        6 if packet.len() >= 40 && packet[7] > 1 => {
            packet[7] -= 1;
            true
        }
        _ => false,
    }
}
