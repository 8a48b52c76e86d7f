//! TTL and hop limit: what a router takes from a packet.

/// Takes one from the TTL or hop limit; IPv4's checksum follows. False, and nothing changed, when the packet has no hop
/// left (it was 0 or 1), or when `packet` is no IP packet.
#[must_use]
pub fn decrement_hop_limit(packet: &mut [u8]) -> bool {
    let Some(version) = packet.first().map(|octet| octet >> 4) else { return false };
    match version {
        4 if packet.len() >= 20 && packet[8] > 1 => {
            let old = u16::from_be_bytes([packet[8], packet[9]]);
            packet[8] -= 1;
            update_v4_checksum(packet, old, u16::from_be_bytes([packet[8], packet[9]]));
            true
        }
        6 if packet.len() >= 40 && packet[7] > 1 => {
            packet[7] -= 1;
            true
        }
        _ => false,
    }
}

/// Mends an IPv4 header's checksum after one of its words changed.
pub(super) fn update_v4_checksum(packet: &mut [u8], old: u16, new: u16) {
    let sum = updated_checksum(u16::from_be_bytes([packet[10], packet[11]]), old, new);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The checksum after one word of what it covers changed: `HC' = ~(~HC + ~m + m')` (RFC 1624, equation 3).
pub(super) fn updated_checksum(sum: u16, old: u16, new: u16) -> u16 {
    let mut total = u32::from(!sum) + u32::from(!old) + u32::from(new);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "carries were folded in")]
    let folded = total as u16;
    !folded
}
