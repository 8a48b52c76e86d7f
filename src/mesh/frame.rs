//! The relay frame: what is in front of a sealed datagram on its way between a gateway and a relay.
//!
//! It is laid out as WireGuard's data message (type, receiver index, counter), so that the kernel sorts both alike. The
//! index is the receiver's, for the leg; the channel says whose datagram it is; the tag says that the other end of the
//! leg sent it (SipHash-2-4-128, cut short, of the header, the payload's length and its first 32 octets). The tag keeps
//! strangers from spending a relay's bandwidth; it hides nothing, and need not: the payload is WireGuard's own.
//!
//! ```text
//!  0  5 0 0 0 │ 4  receiver index │ 8  counter │ 16  channel │ 20  tag │ 32  payload
//!             all numbers little-endian, as WireGuard's
//! ```

use std::hash::Hasher;

use blake2::{Blake2s256, Digest};
use siphasher::sip128::{Hasher128, SipHasher24};

/// Octets in front of the payload.
pub const FRAME_OVERHEAD: usize = 32;
/// The first octet; the next three are zero.
pub const FRAME_TYPE: u8 = 5;
/// The shortest message of WireGuard's, and so the shortest payload, in octets.
pub const PAYLOAD_MIN: usize = 32;
/// Octets of the payload that the tag is made with.
const TAGGED: usize = 32;
const TAG: std::ops::Range<usize> = 20..32;

/// What tags the frames of one direction of a leg: 16 secret octets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FrameKey([u8; 16]);

impl FrameKey {
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key of this number, of all that follow from a secret.
    #[must_use]
    pub fn derive(secret: &[u8; 32], number: u64) -> Self {
        let hash = Blake2s256::new().chain_update(b"vpmesh leg").chain_update(secret);
        let hash = hash.chain_update(number.to_le_bytes()).finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&hash[..16]);
        Self(key)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Debug for FrameKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameKey(…)")
    }
}

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The receiver's index for the leg.
    pub index: u32,
    /// Never twice with one key.
    pub counter: u64,
    pub channel: u32,
}

/// Writes a frame around the payload that lies from [`FRAME_OVERHEAD`] on.
pub fn write_frame(frame: &mut [u8], header: FrameHeader, key: &FrameKey) {
    let Some((head, payload)) = frame.split_at_mut_checked(FRAME_OVERHEAD) else { return };
    head[..4].copy_from_slice(&[FRAME_TYPE, 0, 0, 0]);
    head[4..8].copy_from_slice(&header.index.to_le_bytes());
    head[8..16].copy_from_slice(&header.counter.to_le_bytes());
    head[16..20].copy_from_slice(&header.channel.to_le_bytes());
    let tag = tag(head, payload, key);
    head[TAG].copy_from_slice(&tag);
}

/// The receiver index of what may be a frame; nothing else is known of it yet.
#[must_use]
pub fn frame_index(datagram: &[u8]) -> Option<u32> {
    match *datagram {
        [FRAME_TYPE, 0, 0, 0, a, b, c, d, ..] if datagram.len() >= FRAME_OVERHEAD + PAYLOAD_MIN => {
            Some(u32::from_le_bytes([a, b, c, d]))
        }
        _ => None,
    }
}

/// The channel that a frame names, if it is as long as one; 0 if not.
#[must_use]
pub fn frame_channel(datagram: &[u8]) -> u32 {
    datagram.get(16..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Reads a frame that was tagged with `key`. `None`: it was not.
#[must_use]
pub fn read_frame(datagram: &[u8], key: &FrameKey) -> Option<FrameHeader> {
    let index = frame_index(datagram)?;
    let (head, payload) = datagram.split_at_checked(FRAME_OVERHEAD)?;
    let differs = tag(head, payload, key).iter().zip(&head[TAG]).fold(0, |bits, (a, b)| bits | (a ^ b));
    if differs != 0 {
        return None;
    }
    let counter = u64::from_le_bytes(*head[8..].first_chunk()?);
    let channel = u32::from_le_bytes(*head[16..].first_chunk()?);
    Some(FrameHeader { index, counter, channel })
}

fn tag(head: &[u8], payload: &[u8], key: &FrameKey) -> [u8; 12] {
    let mut hasher = SipHasher24::new_with_key(key.as_bytes());
    let mut input = [0; 20 + 4 + TAGGED];
    input[..20].copy_from_slice(&head[..20]);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    input[20..24].copy_from_slice(&length.to_le_bytes());
    let tagged = payload.len().min(TAGGED);
    input[24..24 + tagged].copy_from_slice(&payload[..tagged]);
    hasher.write(&input);
    let hash = hasher.finish128();
    let mut tag = [0; 12];
    tag[..8].copy_from_slice(&hash.h1.to_le_bytes());
    tag[8..].copy_from_slice(&hash.h2.to_le_bytes()[..4]);
    tag
}

/// Which counters came already: the newest ones one by one, all older ones as one.
#[derive(Debug, Clone)]
pub struct ReplayWindow {
    /// One more than the newest; 0: none came.
    next: u64,
    /// A bit for each of the newest counters, in a ring.
    seen: [u64; Self::WORDS],
}

impl ReplayWindow {
    const WORDS: usize = 32;
    /// How much older than the newest a counter may be: several trains that overtake each other.
    pub const LENGTH: u64 = (Self::WORDS as u64 - 1) * 64;

    #[must_use]
    pub fn new() -> Self {
        Self { next: 0, seen: [0; Self::WORDS] }
    }

    /// Takes a counter; `false`: it came before, or may have. Only for frames whose tag is good.
    pub fn take(&mut self, counter: u64) -> bool {
        if counter == u64::MAX {
            return false;
        }
        let (word, bit) = ((counter / 64) as usize % Self::WORDS, 1 << (counter % 64));
        if counter >= self.next {
            // The words between are of counters that are now older than the window.
            let newest = self.next.saturating_sub(1) / 64;
            let skipped = (counter / 64 - newest).min(Self::WORDS as u64);
            for step in 0..skipped {
                self.seen[((counter / 64 - step) % Self::WORDS as u64) as usize] = 0;
            }
            self.next = counter + 1;
        } else if self.next - counter > Self::LENGTH || self.seen[word] & bit != 0 {
            return false;
        }
        self.seen[word] |= bit;
        true
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const KEY: FrameKey = FrameKey([7; 16]);
    const HEADER: FrameHeader = FrameHeader { index: 0x0102_0304, counter: 9, channel: 0xa0b0_c0d0 };

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut frame = [&[0; FRAME_OVERHEAD], payload].concat();
        write_frame(&mut frame, HEADER, &KEY);
        frame
    }

    #[test]
    fn a_frame_comes_out_as_it_went_in_and_lies_as_wireguards_data_does() {
        for len in [PAYLOAD_MIN, 33, 148, 1_452] {
            let payload = vec![len as u8; len];
            let frame = framed(&payload);
            assert_eq!(read_frame(&frame, &KEY), Some(HEADER));
            assert_eq!(frame[..8], [5, 0, 0, 0, 4, 3, 2, 1]);
            assert_eq!(frame[FRAME_OVERHEAD..], payload);
            assert_eq!(frame_index(&frame), Some(HEADER.index));
        }
    }

    #[test]
    fn a_change_of_any_bit_that_is_tagged_is_seen() {
        let frame = framed(&[3; 100]);
        for bit in 0..8 * (FRAME_OVERHEAD + TAGGED) {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_frame(&changed, &KEY), None, "{bit}");
        }
        for len in 0..frame.len() {
            assert_eq!(read_frame(&frame[..len], &KEY), None, "{len}");
        }
        assert_eq!(read_frame(&frame, &FrameKey([8; 16])), None);
    }

    #[test]
    fn the_windows_edges_are_where_it_says() {
        let mut window = ReplayWindow::new();
        assert!(window.take(0) && !window.take(0));
        let newest = 1_000_000;
        assert!(window.take(newest) && !window.take(newest));
        assert!(!window.take(newest + 1 - ReplayWindow::LENGTH - 1));
        assert!(window.take(newest + 1 - ReplayWindow::LENGTH));
        assert!(!window.take(newest + 1 - ReplayWindow::LENGTH));
        assert!(window.take(newest - 1) && window.take(newest + 1));
        assert!(!window.take(u64::MAX) && window.take(u64::MAX - 1) && !window.take(u64::MAX - 1));
    }

    proptest! {
        #[test]
        fn no_counter_is_taken_twice_and_recent_ones_are_taken_once(
            steps in proptest::collection::vec(-2_500_i64..2_500, 1..400),
        ) {
            let (mut window, mut taken, mut at, mut next) = (ReplayWindow::new(), HashSet::new(), 3_000_u64, 0);
            for step in steps {
                at = at.saturating_add_signed(step);
                let recent = at >= next || next - at <= ReplayWindow::LENGTH;
                prop_assert_eq!(window.take(at), recent && taken.insert(at));
                next = next.max(at + 1);
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(read_frame(&bytes, &KEY), None);
        }
    }
}
