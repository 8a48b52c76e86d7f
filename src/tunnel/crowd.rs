//! Who crowds the others out, while more comes than is read.
//!
//! Data messages are counted by peer, and those that come from where the peer is apart from those that come from
//! elsewhere: what was copied off the wire is sent again in the name of somebody who can't help it. When the socket has
//! more than is read for a while, whoever sends more than half of an even share has to wait apart from the others.

use std::time::{Duration, Instant};

use super::peer::Peer;
use super::slots::Slots;
use super::steering::{CROWDING_MAX, Crowding};
use crate::table::PeerId;

/// How long more must wait than is read until somebody is held to crowd. A socket's buffer lasts longer.
const STANDING: Duration = Duration::from_millis(1);
/// How long what was counted counts.
const WINDOW: Duration = Duration::from_millis(10);
/// How long who crowded waits apart.
const APART: Duration = Duration::from_secs(1);
/// The list is told anew this often at most.
const TELL: Duration = Duration::from_millis(20);
/// What a datagram costs besides its bytes, in bytes.
const PER_DATAGRAM: u32 = 512;

/// What a peer sent in the running window, in bytes of cost: from where it is, and from elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard([u32; 2]);

#[derive(Debug)]
pub(super) struct Crowd {
    /// Peers heard in the running window.
    heard: Vec<PeerId>,
    window: Instant,
    /// Since when more waits than is read.
    standing: Option<Instant>,
    apart: Vec<Apart>,
    changed: bool,
    told: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Apart {
    peer: PeerId,
    elsewhere: bool,
    until: Instant,
}

impl Crowd {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: Vec::new(), window: now, standing: None, apart: Vec::new(), changed: false, told: None }
    }

    /// Makes room for this many peers, so that no packet has to.
    pub(super) fn reserve(&mut self, peers: usize) {
        self.heard.reserve(peers.saturating_sub(self.heard.len()));
    }

    /// Counts a data message of `len` bytes.
    pub(super) fn note(&mut self, id: PeerId, heard: &mut Heard, elsewhere: bool, len: usize) {
        if *heard == Heard::default() {
            self.heard.push(id);
        }
        let count = &mut heard.0[usize::from(elsewhere)];
        *count = count.saturating_add(u32::try_from(len).unwrap_or(u32::MAX).saturating_add(PER_DATAGRAM));
    }

    /// The peer is at another place, or gone.
    pub(super) fn handle_change(&mut self, id: PeerId, gone: bool) {
        if self.apart.iter().any(|apart| apart.peer == id) {
            self.changed = true;
            self.apart.retain(|apart| apart.peer != id || !gone);
        }
        if gone {
            self.heard.retain(|heard| *heard != id);
        }
    }

    /// After every batch: whether more waits to be read.
    pub(super) fn handle_batch(&mut self, more: bool, slots: &mut Slots<Peer>, now: Instant) {
        if !more {
            self.standing = None;
            if now.saturating_duration_since(self.window) >= WINDOW {
                self.turn(slots, now);
            }
            return;
        }
        let since = *self.standing.get_or_insert(now);
        if now.saturating_duration_since(since) >= STANDING {
            self.judge(slots, now);
            self.standing = Some(now);
            self.turn(slots, now);
        }
    }

    /// Begins a new window.
    fn turn(&mut self, slots: &mut Slots<Peer>, now: Instant) {
        for id in self.heard.drain(..) {
            if let Some(peer) = slots.get_mut(id) {
                peer.heard = Heard::default();
            }
        }
        self.window = now;
        let before = self.apart.len();
        self.apart.retain(|apart| apart.until > now);
        self.changed |= self.apart.len() < before;
    }

    fn judge(&mut self, slots: &Slots<Peer>, now: Instant) {
        let counts = || {
            let peers = self.heard.iter().filter_map(|&id| Some((id, slots.get(id)?.heard)));
            peers.flat_map(|(id, heard)| [(id, false, heard.0[0]), (id, true, heard.0[1])])
        };
        let (total, senders) = counts().fold((0, 0), |(total, senders), (_, _, count)| {
            (total + u64::from(count), senders + u64::from(count > 0))
        });
        let most = total / (2 * senders.max(1));
        let mut crowding = [(0, PeerId(0), false); CROWDING_MAX];
        for (id, elsewhere, count) in counts().filter(|&(_, _, count)| u64::from(count) > most) {
            // The largest ones stay; the smallest is first.
            if count > crowding[0].0 {
                crowding[0] = (count, id, elsewhere);
                crowding.sort_unstable_by_key(|entry| entry.0);
            }
        }
        for &(_, peer, elsewhere) in crowding.iter().rev().filter(|entry| entry.0 > 0) {
            let until = now + APART;
            let known = |apart: &&mut Apart| apart.peer == peer && apart.elsewhere == elsewhere;
            if let Some(apart) = self.apart.iter_mut().find(known) {
                apart.until = until;
            } else if self.apart.len() < CROWDING_MAX {
                self.apart.push(Apart { peer, elsewhere, until });
                self.changed = true;
            }
        }
    }

    /// Whether the list is to be told; then it is taken to be.
    pub(super) fn take_change(&mut self, now: Instant) -> bool {
        let due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL);
        let tell = self.changed && due;
        if tell {
            self.changed = false;
            self.told = Some(now);
        }
        tell
    }

    /// Who waits apart. A peer that crowds by itself comes before what is sent in its name.
    pub(super) fn list(&self, slots: &Slots<Peer>) -> Vec<Crowding> {
        let of = |elsewhere: bool| self.apart.iter().filter(move |apart| apart.elsewhere == elsewhere);
        let ordered = of(false).chain(of(true));
        let crowding = ordered.filter_map(|apart| {
            let peer = slots.get(apart.peer)?;
            let home = peer.endpoint().map(|endpoint| endpoint.address);
            Some(Crowding { index: peer.index(), except_from: home.filter(|_| apart.elsewhere) })
        });
        crowding.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::identity::Identity;
    use super::*;
    use crate::base::{PrivateKey, PublicKey};

    struct Port {
        crowd: Crowd,
        slots: Slots<Peer>,
        now: Instant,
    }

    impl Port {
        #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
        fn new(peers: u8) -> Self {
            let now = Instant::now();
            let identity = Identity::new(&PrivateKey::from_random([1; 32]));
            let mut slots = Slots::new(0);
            for n in 0..peers {
                let key = PublicKey::from_bytes([n + 2; 32]).unwrap();
                slots.insert(|index| Peer::new(key, Arc::clone(&identity), index, false, now)).unwrap();
            }
            Self { crowd: Crowd::new(now), slots, now }
        }

        /// A millisecond in which these peers send so many datagrams of 1,000 bytes: (peer, elsewhere, datagrams).
        fn pass(&mut self, sent: &[(u32, bool, usize)], more: bool) {
            for &(peer, elsewhere, count) in sent {
                for _ in 0..count {
                    let heard = &mut self.slots.get_mut(PeerId(peer)).unwrap().heard;
                    self.crowd.note(PeerId(peer), heard, elsewhere, 1_000);
                }
            }
            self.crowd.handle_batch(more, &mut self.slots, self.now);
            self.now += Duration::from_millis(1);
        }

        fn apart(&self) -> Vec<u32> {
            self.crowd.list(&self.slots).iter().map(|crowding| crowding.index).collect()
        }
    }

    #[test]
    fn who_sends_most_while_more_waits_than_is_read_waits_apart_and_only_for_a_while() {
        let mut port = Port::new(20);
        let sent: Vec<_> = (0..20).map(|peer| (peer, false, if peer == 7 { 500 } else { 2 })).collect();
        port.pass(&sent, true);
        assert!(port.apart().is_empty(), "one batch is no crowd");
        port.pass(&sent, true);
        assert_eq!(port.apart(), [7]);
        assert!(port.crowd.take_change(port.now) && !port.crowd.take_change(port.now));
        for _ in 0..1_100 {
            port.pass(&[(3, false, 1)], false);
        }
        assert!(port.apart().is_empty() && port.crowd.take_change(port.now));
    }

    #[test]
    fn nobody_waits_apart_while_all_is_read() {
        let mut port = Port::new(3);
        for _ in 0..100 {
            port.pass(&[(1, false, 500), (2, false, 1)], false);
        }
        assert!(port.apart().is_empty() && !port.crowd.take_change(port.now));
    }

    #[test]
    fn many_that_send_much_wait_apart_from_one_that_sends_little() {
        let mut port = Port::new(11);
        let sent: Vec<_> = (0..11).map(|peer| (peer, false, if peer == 4 { 1 } else { 100 })).collect();
        port.pass(&sent, true);
        port.pass(&sent, true);
        let mut apart = port.apart();
        apart.sort_unstable();
        assert_eq!(apart, [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn what_is_sent_in_a_peers_name_from_elsewhere_is_not_held_against_it() {
        let mut port = Port::new(3);
        let home = ([192, 0, 2, 1], 7).into();
        port.slots.get_mut(PeerId(1)).unwrap().set_candidates(vec![home]);
        for _ in 0..2 {
            port.pass(&[(0, false, 5), (1, true, 500), (1, false, 5)], true);
        }
        assert_eq!(port.crowd.list(&port.slots), [Crowding { index: 1, except_from: Some(home) }]);
    }

    #[test]
    fn the_list_is_bounded_and_has_the_largest() {
        let mut port = Port::new(100);
        let sent: Vec<_> = (0..100).map(|peer| (peer, false, 100 + peer as usize)).collect();
        port.pass(&sent, true);
        port.pass(&sent, true);
        let apart = port.apart();
        assert_eq!(apart.len(), CROWDING_MAX);
        assert!(apart.iter().all(|&index| index >= 68), "{apart:?}");
    }

    #[test]
    fn a_peer_that_goes_takes_its_entry_along() {
        let mut port = Port::new(2);
        port.pass(&[(0, false, 500)], true);
        port.pass(&[(0, false, 500)], true);
        assert_eq!(port.apart(), [0]);
        port.crowd.handle_change(PeerId(0), true);
        assert!(port.apart().is_empty() && port.crowd.take_change(port.now));
    }
}
