//! What a packet for the kernel says about joining it with others.

use super::layout::{Layout, Transport};
use crate::packet::protocol;

/// TCP's flags (RFC 9293, 3.1).
pub(super) const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// A packet of TCP or UDP that is no fragment and has neither options nor extension headers of IP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) packet: &'a [u8],
    pub(super) layout: Layout,
    /// It has payload, and nothing that has to arrive by itself.
    pub(super) may_be_joined: bool,
    /// PSH: nothing may follow it in a super packet.
    pub(super) is_last: bool,
}

impl<'a> Segment<'a> {
    /// `None` for any other packet.
    pub(super) fn read(packet: &'a [u8]) -> Option<Self> {
        let (is_v6, protocol, start) = match packet.first()? {
            0x45 if packet.len() >= 20 => {
                let is_fragment = word(packet, 6) & 0x3fff != 0;
                let is_whole = usize::from(word(packet, 2)) == packet.len();
                (is_whole && !is_fragment).then_some((false, packet[9], 20))?
            }
            0x60..=0x6f if packet.len() >= 40 => {
                let is_whole = usize::from(word(packet, 4)) + 40 == packet.len();
                is_whole.then_some((true, packet[6], 40))?
            }
            _ => return None,
        };
        let transport = match protocol {
            protocol::TCP => Transport::Tcp,
            protocol::UDP => Transport::Udp,
            _ => return None,
        };
        let layout = Layout::at(packet, is_v6, transport, start)?;
        let (is_plain, is_last) = match transport {
            Transport::Tcp => {
                let flags = packet[start + 13];
                (flags & !PSH == ACK, flags & PSH != 0)
            }
            // A datagram without a checksum (RFC 768) would be given one.
            Transport::Udp => {
                let is_whole = usize::from(word(packet, start + 4)) == packet.len() - start;
                (is_whole && word(packet, start + 6) != 0, false)
            }
        };
        let may_be_joined = is_plain && packet.len() > layout.payload;
        Some(Self { packet, layout, may_be_joined, is_last })
    }

    /// Which of the four kinds of super packet it may be part of.
    pub(super) fn kind(&self) -> usize {
        usize::from(self.layout.is_v6) + if self.layout.transport == Transport::Udp { 2 } else { 0 }
    }

    /// Addresses and ports, which lie next to each other.
    fn ends(&self) -> &'a [u8] {
        let first = if self.layout.is_v6 { 8 } else { 12 };
        &self.packet[first..self.layout.start + 4]
    }

    /// Whether both are of one flow, in the same direction.
    pub(super) fn is_of_flow(&self, other: &Segment<'_>) -> bool {
        self.kind() == other.kind() && self.ends() == other.ends()
    }

    /// Octets of payload.
    pub(super) fn size(&self) -> usize {
        self.packet.len() - self.layout.payload
    }

    /// Whether the headers of two of one flow are the same, but for what is made anew when they are cut apart and PSH.
    pub(super) fn has_headers_of(&self, other: &Segment<'_>) -> bool {
        if self.layout != other.layout {
            return false;
        }
        let start = self.layout.start;
        let are_same = |from: usize, to: usize| self.packet[from..to] == other.packet[from..to];
        let ip = if self.layout.is_v6 {
            are_same(0, 4) && are_same(6, 8)
        } else {
            are_same(1, 2) && are_same(6, 10)
        };
        let transport = || match self.layout.transport {
            // Acknowledgement; data offset; window; urgent pointer and options.
            Transport::Tcp => {
                are_same(start + 8, start + 13)
                    && are_same(start + 14, start + 16)
                    && are_same(start + 18, self.layout.payload)
            }
            Transport::Udp => true,
        };
        ip && transport()
    }

    /// Whether it has the sequence number and the identification that the kernel gives a segment that comes `count`
    /// segments and `octets` of payload after `first`. Where DF is set the identification means nothing (RFC 6864,
    /// 4.1).
    pub(super) fn comes_after(&self, first: &Segment<'_>, count: usize, octets: usize) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "both numbers wrap")]
        let (count, octets) = (count as u16, octets as u32);
        let is_next = match self.layout.transport {
            Transport::Tcp => self.sequence() == first.sequence().wrapping_add(octets),
            Transport::Udp => true,
        };
        let has_no_id = || self.layout.is_v6 || self.packet[6] & 0x40 != 0;
        is_next && (has_no_id() || word(self.packet, 4) == word(first.packet, 4).wrapping_add(count))
    }

    fn sequence(&self) -> u32 {
        let at = self.layout.start + 4;
        u32::from(word(self.packet, at)) << 16 | u32::from(word(self.packet, at + 2))
    }

    /// Whether its checksums are right.
    pub(super) fn is_intact(&self) -> bool {
        self.layout.is_intact(self.packet)
    }
}

/// The big-endian word at `at`.
fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
