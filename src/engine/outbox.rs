//! What goes out: memory that is filled by the engine, drained by the event loop and used again.
//!
//! Datagrams lie one behind the other. Those that follow each other to the same place with the same length make one
//! train (UDP GSO: equal segments, the last may be shorter), which the loop hands to the kernel in one call.

use std::net::{IpAddr, SocketAddr};

use crate::mesh::frame::FRAME_OVERHEAD;
use crate::roster::OwnerId;
use crate::table::PeerId;
use crate::tunnel::{Endpoint, HANDSHAKE_MAX, SEAL_OVERHEAD};

/// The longest train, in bytes: what one IP packet may be, less its headers.
const TRAIN_BYTES_MAX: usize = 65_000;
/// The most segments of a train: Linux' UDP_MAX_SEGMENTS was 64 before 6.9.
const TRAIN_SEGMENTS_MAX: usize = 64;

/// Datagrams and TUN packets on their way out.
#[derive(Debug)]
pub struct Outbox {
    datagrams: Vec<u8>,
    used: usize,
    trains: Vec<Train>,
    packets: Vec<u8>,
    ends: Vec<usize>,
}

/// Which line a datagram waits in where the socket has no room ([`backlog`](super::backlog)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// An answer to somebody who may be no peer; no train is made of them.
    Answer,
    /// What nodes say to each other, and handshakes.
    Ahead(PeerId),
    /// What a peer is sent.
    Peer(PeerId),
    /// On a relay: frames of this owner's gateways.
    Owner(OwnerId),
    /// Handshakes among them.
    OwnerAhead(OwnerId),
}

impl Line {
    /// Who is to get it.
    pub(super) fn peer(self) -> Option<PeerId> {
        match self {
            Self::Ahead(peer) | Self::Peer(peer) => Some(peer),
            Self::Answer | Self::Owner(_) | Self::OwnerAhead(_) => None,
        }
    }
}

#[derive(Debug)]
struct Train {
    line: Line,
    to: Endpoint,
    ecn: u8,
    start: usize,
    end: usize,
    segment: usize,
    /// A shorter segment ended it.
    closed: bool,
}

/// Datagrams to one place: one, or a train of `segment` bytes each of which the last may be shorter.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    pub line: Line,
    pub destination: SocketAddr,
    /// The address to send from; `None`: the system's choice.
    pub local: Option<IpAddr>,
    /// The two ECN bits of the outer header.
    pub ecn: u8,
    pub bytes: &'a [u8],
    pub segment: usize,
}

impl Outbox {
    /// Room for `datagrams` bytes of sealed datagrams and `packets` bytes of packets for the kernel; neither grows.
    #[must_use]
    pub fn with_capacity(datagrams: usize, packets: usize) -> Self {
        Self {
            datagrams: vec![0; datagrams],
            used: 0,
            trains: Vec::with_capacity(datagrams / 128),
            packets: Vec::with_capacity(packets),
            ends: Vec::with_capacity(packets / 64),
        }
    }

    /// What goes to the network, in order.
    pub fn transmits(&self) -> impl Iterator<Item = Transmit<'_>> {
        self.trains.iter().map(|train| Transmit {
            line: train.line,
            destination: train.to.address,
            local: train.to.local,
            ecn: train.ecn,
            bytes: &self.datagrams[train.start..train.end],
            segment: train.segment,
        })
    }

    /// What goes to the kernel, in order.
    pub fn tun_packets(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.packets[start..end])
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trains.is_empty() && self.ends.is_empty()
    }

    /// Forgets everything; the memory stays.
    pub fn clear(&mut self) {
        self.used = 0;
        self.trains.clear();
        self.packets.clear();
        self.ends.clear();
    }

    /// Room for a sealed packet of `len` bytes and a relay's frame around it, or `None` when the outbox is full.
    pub(super) fn space(&mut self, len: usize) -> Option<&mut [u8]> {
        let need = (len + SEAL_OVERHEAD).max(HANDSHAKE_MAX) + FRAME_OVERHEAD;
        let space = self.datagrams.get_mut(self.used..)?;
        (space.len() >= need && self.trains.len() < self.trains.capacity()).then_some(space)
    }

    /// Takes the `len` bytes at the front of the last [`Outbox::space`], for an address of the underlay.
    #[inline(never)]
    pub(super) fn push_datagram(&mut self, line: Line, to: Endpoint, ecn: u8, len: usize) {
        let (start, end) = (self.used, self.used + len);
        self.used = end;
        if let Some(train) = self.trains.last_mut()
            && train.takes(line, &to, ecn, len)
        {
            train.closed = len < train.segment;
            train.end = end;
            return;
        }
        self.trains.push(Train { line, to, ecn, start, end, segment: len, closed: false });
    }

    /// Takes a packet for the kernel; `false` when the outbox is full.
    pub(super) fn push_packet(&mut self, packet: &[u8]) -> bool {
        let fits = self.packets.len() + packet.len() <= self.packets.capacity();
        let fits = fits && self.ends.len() < self.ends.capacity();
        if fits {
            self.packets.extend_from_slice(packet);
            self.ends.push(self.packets.len());
        }
        fits
    }
}

impl Train {
    fn takes(&self, line: Line, to: &Endpoint, ecn: u8, len: usize) -> bool {
        !self.closed
            && self.line != Line::Answer
            && self.line == line
            && self.to == *to
            && self.ecn == ecn
            && len <= self.segment
            && self.end - self.start + len <= TRAIN_BYTES_MAX
            && self.end - self.start < self.segment * TRAIN_SEGMENTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> Endpoint {
        Endpoint { address: SocketAddr::from(([192, 0, 2, 1], port)), local: None }
    }

    fn put(outbox: &mut Outbox, peer: u32, len: usize) {
        assert!(outbox.space(len).is_some());
        outbox.push_datagram(Line::Peer(PeerId(peer)), to(1), 0, len);
    }

    #[test]
    fn equal_datagrams_to_one_place_make_a_train_and_a_shorter_one_ends_it() {
        let mut outbox = Outbox::with_capacity(65_536, 1_000);
        for len in [1_000, 1_000, 600, 1_000, 1_200] {
            put(&mut outbox, 1, len);
        }
        put(&mut outbox, 2, 1_000);
        let trains: Vec<_> = outbox.transmits().map(|t| (t.bytes.len(), t.segment)).collect();
        assert_eq!(trains, [(2_600, 1_000), (1_000, 1_000), (1_200, 1_200), (1_000, 1_000)]);
    }

    #[test]
    fn a_train_has_at_most_sixty_four_segments() {
        let mut outbox = Outbox::with_capacity(65_536, 1_000);
        for _ in 0..70 {
            put(&mut outbox, 1, 100);
        }
        assert_eq!(outbox.transmits().map(|t| t.bytes.len()).collect::<Vec<_>>(), [6_400, 600]);
    }

    #[test]
    fn a_full_outbox_says_so_and_never_grows() {
        let mut outbox = Outbox::with_capacity(2_048, 128);
        put(&mut outbox, 1, 1_900);
        assert!(outbox.space(200).is_none());
        assert!(outbox.push_packet(&[0; 100]) && !outbox.push_packet(&[0; 100]));
        outbox.clear();
        assert!(outbox.is_empty() && outbox.space(1_900).is_some());
    }
}
