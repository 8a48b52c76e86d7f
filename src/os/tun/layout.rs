//! Where the headers of a packet of TCP or UDP are, and what in them follows from its length.

use crate::packet::{Sum, protocol};

/// What segments are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// The headers of one packet, which has them all: `payload` octets at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) is_v6: bool,
    pub(super) transport: Transport,
    /// Where the header of the transport begins.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) payload: usize,
}

impl Layout {
    /// Of a packet whose transport's header is at `start`; `None` when it is not all there, or says too little.
    pub(super) fn at(packet: &[u8], is_v6: bool, transport: Transport, start: usize) -> Option<Self> {
        let length = match transport {
            Transport::Tcp => usize::from(packet.get(start + 12)? >> 4) * 4,
            Transport::Udp => 8,
        };
        let payload = start + length;
        let is_whole = payload <= packet.len() && (transport == Transport::Udp || length >= 20);
        is_whole.then_some(Self { is_v6, transport, start, payload })
    }

    /// Where the transport keeps its checksum, counted from its header.
    pub(super) fn checksum_offset(self) -> usize {
        match self.transport {
            Transport::Tcp => 16,
            Transport::Udp => 6,
        }
    }

    /// The pseudo-header's sum (RFC 9293, 3.1; RFC 8200, 8.1), of a packet of `length` octets in all.
    pub(super) fn pseudo_header(self, packet: &[u8], length: usize) -> Sum {
        let protocol = match self.transport {
            Transport::Tcp => protocol::TCP,
            Transport::Udp => protocol::UDP,
        };
        let addresses = if self.is_v6 { &packet[8..40] } else { &packet[12..20] };
        Sum::default().with(addresses).with_word(protocol.into()).with_word(word(length - self.start))
    }

    /// Writes a packet's length, `length` octets in all, where its headers tell it.
    pub(super) fn set_length(self, packet: &mut [u8], length: usize) {
        if self.is_v6 {
            packet[4..6].copy_from_slice(&word(length - 40).to_be_bytes());
        } else {
            packet[2..4].copy_from_slice(&word(length).to_be_bytes());
            packet[10..12].fill(0);
            let sum = Sum::default().with(&packet[..self.start]).checksum();
            packet[10..12].copy_from_slice(&sum);
        }
        if self.transport == Transport::Udp {
            let at = self.start + 4;
            packet[at..at + 2].copy_from_slice(&word(length - self.start).to_be_bytes());
        }
    }

    /// Whether the checksums of a whole packet are right.
    pub(super) fn is_intact(self, packet: &[u8]) -> bool {
        let transport = self.pseudo_header(packet, packet.len()).with(&packet[self.start..]);
        transport.is_right() && (self.is_v6 || Sum::default().with(&packet[..self.start]).is_right())
    }
}

/// No packet is longer than a word tells: both who read one and who join some see to it.
fn word(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
