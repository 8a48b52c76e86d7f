//! TCP's maximum segment size (RFC 9293, 3.7.1), clamped so that segments fit the tunnel.

use super::checksum::{updated, word};
use super::{Packet, TcpFlags, Transport};

/// Octets of a TCP header without options.
const HEADER_MIN: usize = 20;
/// Where the checksum is in it.
const CHECKSUM: usize = 16;

/// Option kinds (RFC 9293, 3.1).
mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NO_OPERATION: u8 = 1;
    pub(super) const MSS: u8 = 2;
}

/// Lowers the MSS option of a SYN to `mss`; TCP's checksum follows. True when it was changed. `packet` is the summary
/// of `bytes`.
pub fn clamp_mss(bytes: &mut [u8], packet: &Packet, mss: u16) -> bool {
    let Transport::Tcp(tcp) = packet.transport else { return false };
    if !tcp.flags.has(TcpFlags::SYN) {
        return false;
    }
    let Some(segment) = bytes.get_mut(packet.transport_offset..packet.total_len) else { return false };
    let header_len = segment.get(12).map_or(0, |octet| usize::from(octet >> 4) * 4);
    if header_len < HEADER_MIN || header_len > segment.len() {
        return false;
    }
    let mut at = HEADER_MIN;
    let mut changed = false;
    while at < header_len {
        at += match segment[at] {
            option::END => break,
            option::NO_OPERATION => 1,
            kind => {
                // an option that runs out of the header ends the walk
                let Some(len) = segment[..header_len].get(at + 1).map(|len| usize::from(*len)) else { break };
                if len < 2 || at + len > header_len {
                    break;
                }
                if kind == option::MSS && len == 4 {
                    changed |= lower(segment, at + 2, mss);
                }
                len
            }
        };
    }
    changed
}

/// Lowers the word at `at` to `mss`.
fn lower(segment: &mut [u8], at: usize, mss: u16) -> bool {
    let old = word(segment, at);
    if old <= mss {
        return false;
    }
    segment[at..at + 2].copy_from_slice(&mss.to_be_bytes());
    // Behind an odd number of no-operations the word lies across two of the checksum's: its octets count the other way.
    let (old, new) = if at.is_multiple_of(2) { (old, mss) } else { (old.swap_bytes(), mss.swap_bytes()) };
    let sum = updated(word(segment, CHECKSUM), old, new);
    segment[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    true
}
