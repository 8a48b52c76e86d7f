//! What the engine gives out: memory that is filled by the engine, drained by the loop, and used again.

use std::net::{IpAddr, SocketAddr};

use crate::table::PeerId;

/// One datagram to send, or a train of them.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Whom it is for; `None` for an answer to a stranger (a cookie).
    pub peer: Option<PeerId>,
    pub destination: SocketAddr,
    /// The address of this host to send from.
    pub local: Option<IpAddr>,
    /// The two bits of ECN (RFC 3168).
    pub ecn: u8,
    pub bytes: &'a [u8],
    /// `bytes.len()` for one datagram; else a train of equal segments, of which the last may be shorter.
    pub segment: usize,
}

/// Datagrams and packets that go out, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    transmits: Vec<(Head, usize, usize)>,
    packets: Vec<(usize, usize)>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    destination: SocketAddr,
    segment: usize,
}

impl Outbox {
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds one datagram or train. The stand-in's own; the engine fills its outbox as it likes.
    pub fn push_transmit(&mut self, destination: SocketAddr, bytes: &[u8], segment: usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.transmits.push((Head { destination, segment }, start, self.bytes.len()));
    }

    pub fn transmits(&self) -> impl Iterator<Item = Transmit<'_>> {
        self.transmits.iter().map(|(head, start, end)| Transmit {
            peer: None,
            destination: head.destination,
            local: None,
            ecn: 0,
            bytes: &self.bytes[*start..*end],
            segment: head.segment,
        })
    }

    pub fn tun_packets(&self) -> impl Iterator<Item = &[u8]> {
        self.packets.iter().map(|(start, end)| &self.bytes[*start..*end])
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.transmits.clear();
        self.packets.clear();
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty() && self.packets.is_empty()
    }
}
