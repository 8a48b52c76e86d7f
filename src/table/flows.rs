//! The flow table: what was let pass, bound to the peers that carry it.
//!
//! It holds so many flows and no more. Each peer may begin a quarter of them; who is at its share, or has the most
//! when the table is full, gives up one of its own for a new one: first those that nobody answered, then those that
//! are over, then the longest silent. So a peer that scans loses its own flows and nobody else's.

use std::time::{Duration, Instant};

use hashbrown::HashTable;

use super::copies::Changed;
use super::flow::{Direction, Entry, Flow};
use super::fragments::Fragments;
use super::key::Key;
use super::lists::{Link, List, NIL};
use super::routes::{PeerId, Via};
use super::shares::Shares;
use super::state::{Late, Seen, State, late, may_begin, reopens};
use crate::base::DropReason;
use crate::packet::{Packet, Transport, Tuple};

/// A peer may begin one flow in so many of the table's.
pub(super) const SHARE: usize = 4;
/// Flows ended in one call for their silence.
const EXPIRE_AT_ONCE: usize = 1_024;

/// Flows by their packets.
#[derive(Debug)]
pub struct FlowTable {
    pub(super) max: usize,
    seed: [u64; 4],
    base: Instant,
    /// The running second of the table's time, and when the next one begins.
    second: u32,
    second_ends: Instant,
    pub(super) index: HashTable<u32>,
    pub(super) entries: Vec<Entry>,
    free: Vec<u32>,
    /// All flows of a state, the longest silent first.
    by_state: [List; State::ALL.len()],
    shares: Shares,
    /// How many of the entries are flows no more, only cut.
    cut: usize,
    fragments: Fragments,
    pub(super) changed: Changed,
}

/// What the table knows of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Its flow was let pass; `to` carries it on.
    Hit { to: Via, direction: Direction },
    /// It may begin a flow.
    New,
    /// Its flow is carried by another peer.
    OtherPeer,
    /// It can only belong to a flow, and does not.
    Stray,
}

/// What becomes of a flow that is judged again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It goes on, carried by these (the side that began first).
    Keep {
        from: Via,
        to: Via,
    },
    Cut,
}

impl FlowTable {
    /// At most `max` flows; `seed` is random. Memory is taken as flows come.
    #[must_use]
    pub fn new(max: usize, seed: [u8; 32], now: Instant) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(seed.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        Self {
            max: max.clamp(SHARE, NIL as usize - 1),
            seed: words,
            base: now,
            second: 0,
            second_ends: now + Duration::from_secs(1),
            index: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            by_state: Default::default(),
            shares: Shares::default(),
            cut: 0,
            fragments: Fragments::default(),
            changed: Changed::default(),
        }
    }

    /// How many flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len() - self.cut
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many flows this peer began.
    #[must_use]
    pub fn count_of(&self, via: Via) -> usize {
        self.shares.get(via).map_or(0, |share| share.count)
    }

    /// Every flow, in no order.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = Flow> + '_ {
        let second = self.second(now);
        let entries = self.index.iter().map(|&slot| &self.entries[slot as usize]);
        entries.filter(|entry| entry.state != State::Cut).map(move |entry| entry.tell(second))
    }

    pub(super) fn second(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.base).as_secs()).unwrap_or(u32::MAX - 100_000)
    }

    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        let same = |&slot: &u32| self.entries[slot as usize].key == *key;
        self.index.find(key.hash(&self.seed), same).copied()
    }

    /// Finds the flow of a packet that `from` brought, and counts the packet to it.
    pub fn lookup(&mut self, packet: &Packet, from: Via, now: Instant) -> Found {
        if let Transport::IcmpError { embedded, .. } = &packet.transport {
            return self.lookup_error(packet, embedded, from);
        }
        if now >= self.second_ends {
            self.second = self.second(now);
            self.second_ends = self.base + Duration::from_secs(u64::from(self.second) + 1);
        }
        let second = self.second;
        let tuple = packet.tuple();
        let (mut key, mut side) = Key::new(&tuple);
        let mut found = self.find(&key);
        // A later fragment whose first one's flow is gone is as one with no first.
        if let Some((first, of, overwrites)) = self.fragments.find(packet, from, second)
            && let Some(slot) = self.find(&first)
            && self.entries[slot as usize].state != State::Cut
        {
            if overwrites {
                return Found::Stray;
            }
            (key, side, found) = (first, of, Some(slot));
        }
        let Some(slot) = found else {
            return if may_begin(&packet.transport, tuple.ports) { Found::New } else { Found::Stray };
        };
        let entry = &mut self.entries[slot as usize];
        let direction = side.direction(entry.initiator);
        if entry.state == State::Cut {
            return self.lookup_cut(slot, &packet.transport, direction);
        }
        let (expected, to) = match direction {
            Direction::Forward => (entry.from, entry.to),
            Direction::Reply => (entry.to, entry.from),
        };
        if expected != from {
            return Found::OtherPeer;
        }
        if reopens(entry.state, &packet.transport, direction) {
            return Found::New;
        }
        entry.packets[direction as usize] += 1;
        entry.bytes[direction as usize] += packet.total_len as u64;
        let state = entry.seen.advance(entry.state, packet, direction);
        if state != entry.state || second != entry.last {
            self.touch(slot, state, second);
        }
        self.fragments.remember(packet, from, key, side, second);
        Found::Hit { to, direction }
    }

    /// What came late for a flow that was cut. TCP's silence begins anew, as its sender tries on.
    #[cold]
    fn lookup_cut(&mut self, slot: u32, transport: &Transport, direction: Direction) -> Found {
        let second = self.second;
        let silent = second.saturating_sub(self.entries[slot as usize].last);
        match late(transport, direction, silent) {
            Late::Begin => return Found::New,
            Late::Nothing if matches!(transport, Transport::Tcp(_)) => self.touch(slot, State::Cut, second),
            Late::Nothing => {}
        }
        Found::Stray
    }

    /// An ICMP error follows the flow that it quotes, towards who sent the quoted packet, and keeps nothing alive.
    fn lookup_error(&self, packet: &Packet, embedded: &Tuple, from: Via) -> Found {
        let (key, side) = Key::new(embedded);
        let Some(slot) = self.find(&key) else { return Found::Stray };
        let entry = &self.entries[slot as usize];
        if entry.state == State::Cut {
            return Found::Stray;
        }
        let (reporter, to, direction) = match side.direction(entry.initiator) {
            Direction::Forward => (entry.to, entry.from, Direction::Reply),
            Direction::Reply => (entry.from, entry.to, Direction::Forward),
        };
        if packet.dst != embedded.src {
            Found::Stray
        } else if reporter == from {
            Found::Hit { to, direction }
        } else {
            Found::OtherPeer
        }
    }

    /// Puts in the flow that this packet begins; it was judged and found [`Found::New`]. It takes the place of one that
    /// was before it between the same ports.
    ///
    /// # Errors
    /// [`DropReason::FlowsFull`] when there is no room and nothing of the peer's own to give up.
    pub fn open(&mut self, packet: &Packet, from: Via, to: Via, now: Instant) -> Result<(), DropReason> {
        let (key, side) = Key::new(&packet.tuple());
        if let Some(before) = self.find(&key) {
            self.remove(before);
        }
        self.make_room(from)?;
        let second = self.second(now);
        let mut seen = Seen::default();
        let entry = Entry {
            key,
            initiator: side,
            state: seen.advance(State::New, packet, Direction::Forward),
            seen,
            from,
            to,
            opened: second,
            last: second,
            packets: [1, 0],
            bytes: [packet.total_len as u64, 0],
            by_state: Link::UNLINKED,
            by_share: Link::UNLINKED,
        };
        self.insert(entry)?;
        self.fragments.remember(packet, from, key, side, second);
        Ok(())
    }

    /// Puts in an entry that is not there, where room was made for it.
    pub(super) fn insert(&mut self, entry: Entry) -> Result<(), DropReason> {
        let (key, from) = (entry.key, entry.from);
        let slot = self.put(entry)?;
        let (entries, seed) = (&self.entries, &self.seed);
        self.index.insert_unique(key.hash(seed), slot, |&slot| entries[slot as usize].key.hash(seed));
        self.shares.get_mut(from).count += 1;
        self.link(slot);
        Ok(())
    }

    fn put(&mut self, entry: Entry) -> Result<u32, DropReason> {
        if let Some(slot) = self.free.pop() {
            self.entries[slot as usize] = entry;
            return Ok(slot);
        }
        let slot = u32::try_from(self.entries.len()).map_err(|_| DropReason::FlowsFull)?;
        self.entries.push(entry);
        Ok(slot)
    }

    /// Room for one more flow of `from`.
    fn make_room(&mut self, from: Via) -> Result<(), DropReason> {
        let own = self.count_of(from);
        let donor = if own >= self.max / SHARE {
            from
        } else if self.index.len() >= self.max {
            // The largest gives up one, unless that would only turn the two round.
            match self.shares.largest() {
                Some((largest, count)) if count > own => largest,
                _ => from,
            }
        } else {
            return Ok(());
        };
        let share = self.shares.get(donor).ok_or(DropReason::FlowsFull)?;
        let victim = share.lists.iter().map(|list| list.head).find(|&slot| slot != NIL);
        self.remove(victim.ok_or(DropReason::FlowsFull)?);
        Ok(())
    }

    /// Moves a flow to the end of its lists: something of it was seen in this second.
    pub(super) fn touch(&mut self, slot: u32, state: State, second: u32) {
        self.unlink(slot);
        let entry = &mut self.entries[slot as usize];
        if entry.state != state {
            self.changed.note(slot);
        }
        entry.state = state;
        entry.last = second;
        self.link(slot);
    }

    fn link(&mut self, slot: u32) {
        let state = self.entries[slot as usize].state as usize;
        self.by_state[state].push(&mut self.entries, slot, |entry| &mut entry.by_state);
        self.link_share(slot);
    }

    fn unlink(&mut self, slot: u32) {
        let state = self.entries[slot as usize].state as usize;
        self.by_state[state].remove(&mut self.entries, slot, |entry| &mut entry.by_state);
        self.unlink_share(slot);
    }

    fn link_share(&mut self, slot: u32) {
        let (state, from) = (self.entries[slot as usize].state as usize, self.entries[slot as usize].from);
        self.shares.get_mut(from).lists[state].push(&mut self.entries, slot, |entry| &mut entry.by_share);
    }

    fn unlink_share(&mut self, slot: u32) {
        let (state, from) = (self.entries[slot as usize].state as usize, self.entries[slot as usize].from);
        self.shares.get_mut(from).lists[state].remove(&mut self.entries, slot, |entry| &mut entry.by_share);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        let entry = &self.entries[slot as usize];
        let (hash, from) = (entry.key.hash(&self.seed), entry.from);
        self.cut -= usize::from(entry.state == State::Cut);
        if let Ok(found) = self.index.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        self.shares.get_mut(from).count -= 1;
        self.shares.shrink(from);
        self.free.push(slot);
    }

    /// Ends flows that were silent for too long: a bounded number a call, the rest at the next.
    pub fn expire(&mut self, now: Instant) {
        let second = self.second(now);
        let mut left = EXPIRE_AT_ONCE;
        for state in State::ALL {
            while left > 0
                && let slot = self.by_state[state as usize].head
                && slot != NIL
                && self.entries[slot as usize].last + state.timeout() <= second
            {
                self.remove(slot);
                left -= 1;
            }
        }
    }

    /// When the next flow has been silent for too long.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        let heads = State::ALL.iter().map(|&state| (state, self.by_state[state as usize].head));
        let ends = heads.filter(|&(_, slot)| slot != NIL);
        let ends = ends.map(|(state, slot)| self.entries[slot as usize].last + state.timeout());
        ends.min().map(|second| self.base + Duration::from_secs(u64::from(second)))
    }

    /// Judges every flow again, and what was cut before: one that would be allowed now may be picked up.
    pub fn retain(&mut self, now: Instant, mut judge: impl FnMut(&Flow) -> Keep) {
        let second = self.second(now);
        for slot in self.index.iter().copied().collect::<Vec<_>>() {
            let entry = &self.entries[slot as usize];
            match judge(&entry.tell(second)) {
                Keep::Cut if entry.state == State::Cut => {}
                Keep::Keep { .. } if entry.state == State::Cut => self.remove(slot),
                Keep::Keep { from, to } if from == entry.from => self.entries[slot as usize].to = to,
                Keep::Keep { from, to } => self.rebind(slot, from, to),
                Keep::Cut => {
                    self.cut += 1;
                    self.touch(slot, State::Cut, second);
                }
            }
        }
    }

    /// Gives a flow to another peer's share. Its place among all flows stays: it has been silent as long as before.
    fn rebind(&mut self, slot: u32, from: Via, to: Via) {
        let old = self.entries[slot as usize].from;
        self.unlink_share(slot);
        self.shares.get_mut(old).count -= 1;
        self.shares.shrink(old);
        let entry = &mut self.entries[slot as usize];
        (entry.from, entry.to) = (from, to);
        self.shares.get_mut(from).count += 1;
        self.link_share(slot);
    }

    /// Ends every flow that this peer carries on either side; how many there were.
    pub fn remove_peer(&mut self, peer: PeerId) -> usize {
        let via = Via::Peer(peer);
        self.fragments.remove_peer(via);
        let carried = |&&slot: &&u32| {
            let entry = &self.entries[slot as usize];
            entry.from == via || entry.to == via
        };
        let before = self.len();
        for slot in self.index.iter().filter(carried).copied().collect::<Vec<_>>() {
            self.remove(slot);
        }
        before - self.len()
    }
}
