//! Datagrams that wait for room in the socket's buffer, a line for each peer.
//!
//! The lines take turns, so that a peer with much to be sent does not make the others wait (deficit round robin,
//! Shreedhar and Varghese 1995). Small on purpose: what waits here is late. When it is full the longest line loses
//! what it got last, and whoever has less keeps all.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::engine::Transmit;
use crate::table::PeerId;

/// Bytes that wait at most.
const BYTES_MAX: usize = 256 * 1024;
/// Datagrams or trains that wait at most.
const ENTRIES_MAX: usize = 512;
/// Bytes of one turn.
const QUANTUM: usize = 8 * 1024;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// None of them is empty. The first has its turn.
    lines: VecDeque<Line>,
    bytes: usize,
    entries: usize,
}

#[derive(Debug)]
struct Line {
    /// `None`: answers to who may be no peer.
    peer: Option<PeerId>,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Bytes that may still go out in this turn.
    deficit: usize,
}

#[derive(Debug)]
struct Entry {
    destination: SocketAddr,
    local: Option<IpAddr>,
    ecn: u8,
    segment: usize,
    bytes: Box<[u8]>,
    /// Bytes that went out already.
    sent: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Puts a datagram or train at the end of its peer's line; how many datagrams, of whoever has most, had to go.
    pub(super) fn push(&mut self, transmit: &Transmit<'_>) -> u64 {
        let length = transmit.bytes.len();
        let mut dropped = 0;
        while self.entries == ENTRIES_MAX || self.bytes + length > BYTES_MAX {
            let own = self.lines.iter().find(|line| line.peer == transmit.peer).map_or(0, |line| line.bytes);
            let Some(longest) = (0..self.lines.len()).max_by_key(|&line| self.lines[line].bytes) else {
                break;
            };
            if self.lines[longest].bytes < own + length {
                return dropped + count(length, transmit.segment);
            }
            dropped += self.drop_last(longest);
        }
        let entry = Entry {
            destination: transmit.destination,
            local: transmit.local,
            ecn: transmit.ecn,
            segment: transmit.segment,
            bytes: transmit.bytes.into(),
            sent: 0,
        };
        self.bytes += length;
        self.entries += 1;
        match self.lines.iter_mut().find(|line| line.peer == transmit.peer) {
            Some(line) => {
                line.bytes += length;
                line.entries.push_back(entry);
            }
            None => self.lines.push_back(Line {
                peer: transmit.peer,
                entries: VecDeque::from([entry]),
                bytes: length,
                deficit: QUANTUM,
            }),
        }
        dropped
    }

    /// What is to go out next.
    pub(super) fn first(&self) -> Option<Transmit<'_>> {
        let line = self.lines.front()?;
        let entry = line.entries.front()?;
        Some(Transmit {
            peer: line.peer,
            destination: entry.destination,
            local: entry.local,
            ecn: entry.ecn,
            bytes: &entry.bytes[entry.sent..],
            segment: entry.segment,
        })
    }

    /// Takes `sent` bytes off the front of [`Backlog::first`]; all of it, and it is gone.
    pub(super) fn advance(&mut self, sent: usize) {
        let Some(line) = self.lines.front_mut() else { return };
        let Some(entry) = line.entries.front_mut() else { return };
        let sent = sent.min(entry.bytes.len() - entry.sent);
        entry.sent += sent;
        line.bytes -= sent;
        self.bytes -= sent;
        line.deficit = line.deficit.saturating_sub(sent);
        if entry.sent == entry.bytes.len() {
            line.entries.pop_front();
            self.entries -= 1;
        }
        if line.entries.is_empty() {
            self.lines.pop_front();
        } else if line.deficit == 0 {
            line.deficit = QUANTUM;
            self.lines.rotate_left(1);
        }
    }

    /// Drops what a line got last; how many datagrams.
    fn drop_last(&mut self, line: usize) -> u64 {
        let Some(entry) = self.lines[line].entries.pop_back() else { return 0 };
        let length = entry.bytes.len() - entry.sent;
        self.lines[line].bytes -= length;
        self.bytes -= length;
        self.entries -= 1;
        if self.lines[line].entries.is_empty() {
            self.lines.remove(line);
        }
        count(length, entry.segment)
    }
}

/// How many datagrams so many bytes are.
pub(super) fn count(length: usize, segment: usize) -> u64 {
    length.div_ceil(segment.max(1)).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(peer: u32, bytes: &[u8], segment: usize) -> Transmit<'_> {
        Transmit {
            peer: Some(PeerId(peer)),
            destination: ([192, 0, 2, 1], 1).into(),
            local: None,
            ecn: 0,
            bytes,
            segment,
        }
    }

    /// Sends all that waits; whose it was, a datagram of a kilobyte at a time.
    fn drain(backlog: &mut Backlog) -> Vec<u32> {
        let mut order = Vec::new();
        while let Some(transmit) = backlog.first() {
            order.push(transmit.peer.unwrap().0);
            let length = transmit.bytes.len().min(1_024);
            backlog.advance(length);
        }
        assert_eq!((backlog.bytes, backlog.entries), (0, 0));
        order
    }

    #[test]
    fn what_waits_leaves_in_order_and_in_part() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.push(&train(1, b"aabb", 2)) + backlog.push(&train(1, b"c", 1)), 0);
        backlog.advance(2);
        assert_eq!(backlog.first().unwrap().bytes, b"bb");
        backlog.advance(2);
        assert_eq!(backlog.first().unwrap().bytes, b"c");
        backlog.advance(1);
        assert!(backlog.is_empty() && backlog.first().is_none());
    }

    #[test]
    fn peers_take_turns() {
        let mut backlog = Backlog::default();
        let kilobyte = [0; 1_024];
        for peer in [1, 2, 3] {
            for _ in 0..if peer == 1 { 60 } else { 10 } {
                assert_eq!(backlog.push(&train(peer, &kilobyte, 1_024)), 0);
            }
        }
        let order = drain(&mut backlog);
        assert_eq!(order[..24].iter().filter(|&&peer| peer == 1).count(), 8);
        assert!(order[..36].iter().filter(|&&peer| peer != 1).count() == 20, "{order:?}");
    }

    #[test]
    fn who_has_most_loses_first_when_it_is_full() {
        let mut backlog = Backlog::default();
        let kilobyte = [0; 1_024];
        let mut dropped = 0;
        for _ in 0..1_000 {
            dropped += backlog.push(&train(1, &kilobyte, 1_024));
        }
        assert_eq!(dropped, 1_000 - 256);
        for _ in 0..20 {
            assert_eq!(backlog.push(&train(2, &kilobyte, 1_024)), 1, "of the other's");
        }
        assert_eq!(drain(&mut backlog).iter().filter(|&&peer| peer == 2).count(), 20);
    }

    #[test]
    fn the_backlog_is_bounded_however_many_come() {
        let mut backlog = Backlog::default();
        let bytes = [0; 60_000];
        for n in 0..5_000 {
            backlog.push(&train(n, &bytes[..1 + n as usize * 7_919 % 60_000], 1_400));
            assert!(backlog.bytes <= BYTES_MAX && backlog.entries <= ENTRIES_MAX);
            let (entries, bytes) = backlog
                .lines
                .iter()
                .fold((0, 0), |(entries, bytes), line| (entries + line.entries.len(), bytes + line.bytes));
            assert_eq!((entries, bytes), (backlog.entries, backlog.bytes));
        }
        drain(&mut backlog);
    }
}
