//! Datagrams that wait for room in the socket's buffer: a line for each peer; on a relay, one for each owner.
//!
//! The lines take turns, so that a peer or owner with much to be sent does not make the others wait (deficit round robin,
//! Shreedhar and Varghese 1995). What nodes say to each other, and handshakes, go ahead of all of them; handshakes that a
//! relay forwards go ahead of the other frames of their owner. Small on purpose: what waits here is late. When it is full
//! the longest line loses what it got last, and whoever has less keeps all.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::{Line, Transmit};
use crate::roster::OwnerId;
use crate::table::PeerId;

/// What the lines may cost together, in bytes; a short entry costs as much as one of [`COST_MIN`].
const COST_MAX: usize = 256 * 1024;
const COST_MIN: usize = 512;
/// Bytes that wait ahead of the lines at most.
const AHEAD_MAX: usize = 32 * 1024;
/// Bytes of one turn.
const QUANTUM: i64 = 8 * 1024;

/// What waits.
#[derive(Debug, Default)]
pub struct Backlog {
    ahead: VecDeque<Entry>,
    ahead_bytes: usize,
    /// None of them is empty. The first has its turn.
    waiting: VecDeque<Waiting>,
    cost: usize,
}

/// Whose a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Peer(PeerId),
    Owner(OwnerId),
}

#[derive(Debug)]
struct Waiting {
    whose: Whose,
    /// Handshakes, and the rest.
    ahead: VecDeque<Entry>,
    entries: VecDeque<Entry>,
    cost: usize,
    /// Bytes that may still go out in this turn; less than none where one train was longer.
    deficit: i64,
}

#[derive(Debug)]
struct Entry {
    line: Line,
    destination: SocketAddr,
    local: Option<IpAddr>,
    ecn: u8,
    segment: usize,
    bytes: Box<[u8]>,
    /// Bytes that went out already.
    sent: usize,
}

impl Backlog {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ahead.is_empty() && self.waiting.is_empty()
    }

    /// Puts a datagram or train at the end of its line; how many datagrams, of whoever has most, had to go.
    pub fn push(&mut self, transmit: &Transmit<'_>) -> u64 {
        let length = transmit.bytes.len();
        let Some(whose) = Whose::of(transmit.line) else {
            if self.ahead_bytes + length > AHEAD_MAX {
                return count(length, transmit.segment);
            }
            self.ahead_bytes += length;
            self.ahead.push_back(Entry::new(transmit));
            return 0;
        };
        let cost = length.max(COST_MIN);
        let mut dropped = 0;
        while self.cost + cost > COST_MAX {
            let own = self.waiting.iter().find(|line| line.whose == whose).map_or(0, |line| line.cost);
            let Some(longest) = (0..self.waiting.len()).max_by_key(|&line| self.waiting[line].cost) else {
                break;
            };
            if self.waiting[longest].cost < own + cost {
                return dropped + count(length, transmit.segment);
            }
            dropped += self.drop_last(longest);
        }
        let at = self.waiting.iter().position(|line| line.whose == whose).unwrap_or_else(|| {
            self.waiting.push_back(Waiting::new(whose));
            self.waiting.len() - 1
        });
        let line = &mut self.waiting[at];
        line.cost += cost;
        self.cost += cost;
        let is_ahead = matches!(transmit.line, Line::OwnerAhead(_));
        let entries = if is_ahead { &mut line.ahead } else { &mut line.entries };
        entries.push_back(Entry::new(transmit));
        dropped
    }

    /// What is to go out next.
    #[must_use]
    pub fn first(&self) -> Option<Transmit<'_>> {
        let line = || self.waiting.front().and_then(|line| line.ahead.front().or(line.entries.front()));
        self.ahead.front().or_else(line).map(Entry::transmit)
    }

    /// Takes `sent` bytes off the front of [`Backlog::first`]; all of it, and it is gone.
    pub fn advance(&mut self, sent: usize) {
        if let Some(entry) = self.ahead.front_mut() {
            if entry.advance(sent) {
                self.ahead_bytes -= entry.bytes.len();
                self.ahead.pop_front();
            }
            return;
        }
        let Some(line) = self.waiting.front_mut() else { return };
        let entries = if line.ahead.is_empty() { &mut line.entries } else { &mut line.ahead };
        let Some(entry) = entries.front_mut() else { return };
        line.deficit -= i64::try_from(sent).unwrap_or(i64::MAX);
        if entry.advance(sent) {
            let cost = entry.cost();
            entries.pop_front();
            line.cost -= cost;
            self.cost -= cost;
        }
        if line.is_empty() {
            self.waiting.pop_front();
        }
        // Who had more than its turn waits for several.
        while let Some(line) = self.waiting.front_mut().filter(|line| line.deficit <= 0) {
            line.deficit += QUANTUM;
            self.waiting.rotate_left(1);
        }
    }

    /// Drops what a line got last; how many datagrams.
    fn drop_last(&mut self, at: usize) -> u64 {
        let line = &mut self.waiting[at];
        let Some(entry) = line.entries.pop_back().or_else(|| line.ahead.pop_back()) else { return 0 };
        line.cost -= entry.cost();
        self.cost -= entry.cost();
        if line.is_empty() {
            self.waiting.remove(at);
        }
        count(entry.bytes.len() - entry.sent, entry.segment)
    }
}

impl Whose {
    /// `None`: it goes ahead of all.
    fn of(line: Line) -> Option<Self> {
        match line {
            Line::Answer | Line::Ahead(_) => None,
            Line::Peer(peer) => Some(Self::Peer(peer)),
            Line::Owner(owner) | Line::OwnerAhead(owner) => Some(Self::Owner(owner)),
        }
    }
}

impl Waiting {
    fn new(whose: Whose) -> Self {
        Self { whose, ahead: VecDeque::new(), entries: VecDeque::new(), cost: 0, deficit: QUANTUM }
    }

    fn is_empty(&self) -> bool {
        self.ahead.is_empty() && self.entries.is_empty()
    }
}

impl Entry {
    fn new(transmit: &Transmit<'_>) -> Self {
        Self {
            line: transmit.line,
            destination: transmit.destination,
            local: transmit.local,
            ecn: transmit.ecn,
            segment: transmit.segment,
            bytes: transmit.bytes.into(),
            sent: 0,
        }
    }

    fn cost(&self) -> usize {
        self.bytes.len().max(COST_MIN)
    }

    fn transmit(&self) -> Transmit<'_> {
        Transmit {
            line: self.line,
            destination: self.destination,
            local: self.local,
            ecn: self.ecn,
            bytes: &self.bytes[self.sent..],
            segment: self.segment,
        }
    }

    /// So many bytes more are gone; whether it is.
    fn advance(&mut self, sent: usize) -> bool {
        self.sent = (self.sent + sent).min(self.bytes.len());
        self.sent == self.bytes.len()
    }
}

/// How many datagrams so many bytes are.
#[must_use]
pub fn count(length: usize, segment: usize) -> u64 {
    length.div_ceil(segment.max(1)).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: u32 = u32::MAX;

    fn train(peer: u32, bytes: &[u8], segment: usize) -> Transmit<'_> {
        Transmit {
            line: Line::Peer(PeerId(peer)),
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
            order.push(match transmit.line {
                Line::Peer(PeerId(number)) | Line::Owner(OwnerId(number)) => number,
                Line::OwnerAhead(OwnerId(number)) => number + 100,
                Line::Answer | Line::Ahead(_) => AHEAD,
            });
            let length = transmit.bytes.len().min(1_024);
            backlog.advance(length);
        }
        assert_eq!((backlog.cost, backlog.ahead_bytes), (0, 0));
        order
    }

    fn cost(backlog: &Backlog) -> usize {
        let entries = backlog.waiting.iter().flat_map(|line| line.entries.iter().chain(&line.ahead));
        entries.map(Entry::cost).sum()
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
            assert!(backlog.cost <= COST_MAX && backlog.cost == cost(&backlog));
            backlog.push(&Transmit { line: Line::Answer, ..train(n, &bytes[..100], 100) });
            assert!(backlog.ahead_bytes <= AHEAD_MAX);
        }
        drain(&mut backlog);
    }

    #[test]
    fn who_sends_trains_has_no_more_than_who_sends_datagrams() {
        let mut backlog = Backlog::default();
        let bytes = [0; 50_000];
        for _ in 0..2 {
            assert_eq!(backlog.push(&train(1, &bytes, 1_000)), 0);
        }
        for _ in 0..100 {
            assert_eq!(backlog.push(&train(2, &bytes[..1_000], 1_000)), 0);
        }
        let mut sent = [0; 3];
        while sent[2] < 60_000 {
            let transmit = backlog.first().unwrap();
            let Line::Peer(PeerId(peer)) = transmit.line else { unreachable!() };
            let length = transmit.bytes.len();
            sent[peer as usize] += length;
            backlog.advance(length);
        }
        assert!(sent[1] <= 100_000, "{sent:?}");
        assert!(sent[1] - 50_000 <= sent[2], "{sent:?}");
    }

    #[test]
    fn what_nodes_say_goes_ahead_of_all_and_handshakes_ahead_of_their_owners() {
        let mut backlog = Backlog::default();
        let kilobyte = [0; 1_024];
        for line in [Line::Owner(OwnerId(1)), Line::Owner(OwnerId(2)), Line::OwnerAhead(OwnerId(2))] {
            for _ in 0..10 {
                assert_eq!(backlog.push(&Transmit { line, ..train(0, &kilobyte, 1_024) }), 0);
            }
        }
        assert_eq!(backlog.push(&Transmit { line: Line::Answer, ..train(0, &kilobyte, 1_024) }), 0);
        let order = drain(&mut backlog);
        assert_eq!(order[0], AHEAD);
        assert_eq!(order[1..17], [[1; 8], [102; 8]].concat());
    }

    #[test]
    fn small_datagrams_do_not_push_out_a_shorter_line() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.push(&train(1, &[0; 40_000], 1_000)), 0);
        for _ in 0..10_000 {
            backlog.push(&train(2, &[0; 64], 64));
        }
        assert_eq!(drain(&mut backlog).iter().filter(|&&peer| peer == 1).count(), 40);
    }
}
