//! The internet checksum (RFC 1071): mended in place, and made anew.

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

/// A ones' complement sum of 16-bit words (RFC 1071), in the byte order of the host until it is folded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// With `bytes` added, as words from the first on; an odd last octet counts as a word with a zero. So whatever is
    /// added before the last has an even length, and all together at most some gigabytes.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut total: u64 = words.iter().map(|&word| u64::from(u32::from_ne_bytes(word))).sum();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        total += u64::from(u32::from_ne_bytes(last));
        Self(self.0 + total)
    }

    /// With one word added.
    #[must_use]
    pub fn with_word(self, word: u16) -> Self {
        self.with(&word.to_be_bytes())
    }

    /// The sum as it would lie in a packet.
    #[must_use]
    pub fn folded(self) -> [u8; 2] {
        let mut total = self.0;
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the carries are folded in")]
        let folded = total as u16;
        folded.to_ne_bytes()
    }

    /// The checksum as it lies in a packet: the complement of the sum.
    #[must_use]
    pub fn checksum(self) -> [u8; 2] {
        self.folded().map(|octet| !octet)
    }

    /// Whether what was added holds its own checksum, and that is right.
    #[must_use]
    pub fn is_right(self) -> bool {
        self.folded() == [0xff; 2]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sum_is_that_of_smoltcp_however_it_is_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000), cut: u16
        ) {
            let cut = (usize::from(cut) % (bytes.len() + 1)) & !1;
            let sum = Sum::default().with(&bytes[..cut]).with(&bytes[cut..]);
            prop_assert_eq!(u16::from_be_bytes(sum.folded()), smoltcp::wire::checksum::data(&bytes));
        }
    }
}
