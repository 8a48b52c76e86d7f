//! Datagrams that wait for room in the socket's buffer. Small on purpose: what waits here is late.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::engine::Transmit;
use crate::table::PeerId;

/// Bytes that wait at most.
const BYTES_MAX: usize = 256 * 1024;
/// Datagrams or trains that wait at most.
const ENTRIES_MAX: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// The bytes of all entries in order, from `start` on.
    bytes: Vec<u8>,
    start: usize,
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    peer: Option<PeerId>,
    destination: SocketAddr,
    local: Option<IpAddr>,
    ecn: u8,
    segment: usize,
    length: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts a datagram or train at the end; `false` when there is no room.
    pub(super) fn push(&mut self, transmit: &Transmit<'_>) -> bool {
        let waiting = self.bytes.len() - self.start;
        if self.entries.len() == ENTRIES_MAX || waiting + transmit.bytes.len() > BYTES_MAX {
            return false;
        }
        if self.start > BYTES_MAX {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(transmit.bytes);
        self.entries.push_back(Entry {
            peer: transmit.peer,
            destination: transmit.destination,
            local: transmit.local,
            ecn: transmit.ecn,
            segment: transmit.segment,
            length: transmit.bytes.len(),
        });
        true
    }

    /// What has waited longest.
    pub(super) fn first(&self) -> Option<Transmit<'_>> {
        self.entries.front().map(|entry| Transmit {
            peer: entry.peer,
            destination: entry.destination,
            local: entry.local,
            ecn: entry.ecn,
            bytes: &self.bytes[self.start..self.start + entry.length],
            segment: entry.segment,
        })
    }

    /// Takes `sent` bytes off the front of the first entry; all of it, and the entry goes.
    pub(super) fn advance(&mut self, sent: usize) {
        let Some(first) = self.entries.front_mut() else { return };
        let sent = sent.min(first.length);
        first.length -= sent;
        self.start += sent;
        if first.length == 0 {
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(bytes: &[u8], segment: usize) -> Transmit<'_> {
        Transmit { peer: None, destination: ([192, 0, 2, 1], 1).into(), local: None, ecn: 0, bytes, segment }
    }

    #[test]
    fn what_waits_leaves_in_order_and_in_part() {
        let mut backlog = Backlog::default();
        assert!(backlog.push(&train(b"aabb", 2)) && backlog.push(&train(b"c", 1)));
        backlog.advance(2);
        assert_eq!(backlog.first().unwrap().bytes, b"bb");
        backlog.advance(2);
        assert_eq!(backlog.first().unwrap().bytes, b"c");
        backlog.advance(1);
        assert!(backlog.is_empty() && backlog.first().is_none());
    }

    #[test]
    fn the_backlog_is_bounded_however_long_it_lasts() {
        let mut backlog = Backlog::default();
        let kilobyte = [0; 1024];
        while backlog.push(&train(&kilobyte, 1024)) {}
        for _ in 0..10_000 {
            backlog.advance(1024);
            assert!(backlog.push(&train(&kilobyte, 1024)));
            assert!(!backlog.push(&train(&kilobyte, 1024)));
        }
        assert!(backlog.bytes.len() <= 2 * BYTES_MAX + 1024);
    }
}
