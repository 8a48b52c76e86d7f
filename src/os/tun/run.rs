//! Packets of one flow that make one super packet.

use std::array;
use std::io::{self, IoSlice};

use super::layout::Transport;
use super::segment::{PSH, Segment};
use super::vnet_header::{Gso, VnetHeader};

/// Packets of one run: what every kernel takes of UDP (`UDP_MAX_SEGMENTS` was 64 before 6.9), and more full ones than
/// 64 KiB hold.
const PACKETS: usize = 64;
/// Octets of a super packet: what the length in an IPv4 header tells.
const OCTETS: usize = 65_535;
/// IPv6 and TCP with all options.
const HEADERS: usize = 100;

/// One packet, or several that the kernel may have as one. They are not copied.
#[derive(Debug)]
pub(super) struct Run<'a> {
    first: Segment<'a>,
    packets: [&'a [u8]; PACKETS],
    count: usize,
    /// Octets of payload, in all.
    octets: usize,
    /// Of the first, once somebody asked.
    is_intact: Option<bool>,
    is_closed: bool,
    has_push: bool,
    /// Its place in the batch.
    pub(super) number: usize,
}

impl<'a> Run<'a> {
    /// Begins with a segment that may be joined and that others may follow.
    pub(super) fn begin(first: Segment<'a>, number: usize) -> Self {
        let mut packets = [&[][..]; PACKETS];
        packets[0] = first.packet;
        Self {
            octets: first.size(),
            first,
            packets,
            count: 1,
            is_intact: None,
            is_closed: false,
            has_push: false,
            number,
        }
    }

    pub(super) fn is_of_flow(&self, segment: &Segment<'_>) -> bool {
        self.first.is_of_flow(segment)
    }

    /// Takes a segment of its flow, if it may follow.
    pub(super) fn take(&mut self, segment: &Segment<'a>) -> bool {
        let size = self.first.size();
        let follows = segment.may_be_joined
            && !self.is_closed
            && segment.size() <= size
            && segment.has_headers_of(&self.first)
            && segment.comes_after(&self.first, self.count, self.octets)
            && self.length() + segment.size() <= OCTETS
            && *self.is_intact.get_or_insert_with(|| self.first.is_intact())
            && segment.is_intact();
        if follows {
            self.packets[self.count] = segment.packet;
            self.count += 1;
            self.octets += segment.size();
            self.has_push = segment.is_last;
            self.is_closed = segment.is_last || segment.size() < size || self.count == PACKETS;
        }
        follows
    }

    /// Whether nothing may follow any more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn packets(&self) -> &[&'a [u8]] {
        &self.packets[..self.count]
    }

    /// See [`Segment::kind`].
    pub(super) fn kind(&self) -> usize {
        self.first.kind()
    }

    /// Octets of the super packet.
    fn length(&self) -> usize {
        self.first.layout.payload + self.octets
    }

    /// Writes it as one super packet: headers made anew, payloads where they lie.
    pub(super) fn write(&self, write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<()>) -> io::Result<()> {
        let layout = self.first.layout;
        let mut head = [0; VnetHeader::LENGTH + HEADERS];
        let (header, packet) = head.split_at_mut(VnetHeader::LENGTH);
        header.copy_from_slice(&self.header().to_bytes());
        packet[..layout.payload].copy_from_slice(&self.first.packet[..layout.payload]);
        layout.set_length(packet, self.length());
        if self.has_push {
            packet[layout.start + 13] |= PSH;
        }
        // The kernel adds what follows to the pseudo-header.
        let field = layout.start + layout.checksum_offset();
        let partial = layout.pseudo_header(packet, self.length()).folded();
        packet[field..field + 2].copy_from_slice(&partial);
        let head = &head[..VnetHeader::LENGTH + layout.payload];
        let slices: [IoSlice<'_>; 1 + PACKETS] = array::from_fn(|at| match at.checked_sub(1) {
            None => IoSlice::new(head),
            Some(at) => IoSlice::new(self.packets[at].get(layout.payload..).unwrap_or_default()),
        });
        write(&slices[..=self.count])
    }

    fn header(&self) -> VnetHeader {
        let layout = self.first.layout;
        #[expect(clippy::cast_possible_truncation, reason = "these are lengths of headers and of a packet")]
        let word = |length: usize| length as u16;
        VnetHeader {
            needs_checksum: true,
            gso: match (layout.transport, layout.is_v6) {
                (Transport::Tcp, false) => Gso::TcpV4,
                (Transport::Tcp, true) => Gso::TcpV6,
                (Transport::Udp, _) => Gso::Udp,
            },
            header_len: word(layout.payload),
            gso_size: word(self.first.size()),
            checksum_start: word(layout.start),
            checksum_offset: word(layout.checksum_offset()),
        }
    }
}
