//! The internet checksum (RFC 1071), mended in place.

/// The checksum after one word of what it covers changed: `HC' = ~(~HC + ~m + m')` (RFC 1624, equation 3).
pub(super) fn updated(sum: u16, old: u16, new: u16) -> u16 {
    let mut total = u32::from(!sum) + u32::from(!old) + u32::from(new);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "the carries are folded in")]
    let folded = total as u16;
    !folded
}

/// Mends an IPv4 header after one of its words changed. The header is there: at least twenty octets.
pub(super) fn update_v4(packet: &mut [u8], old: u16, new: u16) {
    let sum = updated(word(packet, 10), old, new);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The big-endian word at `at`.
pub(super) fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
