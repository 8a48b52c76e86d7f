//! The paths to one's peer gateways, and which of them is used.
//!
//! A candidate is an address where a peer may be: of its roster, of a beacon, told by itself or by a relay, or where
//! something authenticated came from; and a relay's channel, and a connection of TLS. It is probed by a Ping that is sealed
//! in the session with the peer, and a Pong of the same size comes back: nobody can be made to answer who has no session,
//! and nobody is sent more than a few datagrams because somebody said so ([`is_probeable`]).
//!
//! Traffic never waits for a better path: it begins where the handshake got through. There both tell each other where
//! else they are, and probe at once, so that each opens its NAT for the other. The best path has the shortest round trip,
//! lengthened by its loss and, if it is a detour, by more. It is moved to when it has answered twice and is better by a
//! fifth; or at once, when [`MISSES`] probes of the path in use came to nothing. What leaves a packet unanswered for a
//! second is probed at once ([`Paths::handle_silent`]), and with it, from the second probe on, every other path. When all
//! are silent that is [`Wish::Lost`], and only handshakes help.
//!
//! While packets come and go the path in use is probed every few seconds and the others now and then; those that never
//! answered with longer and longer pauses. When none do, only the path in use is, as seldom as keeps a NAT open, and that
//! for half an hour.

mod path;
mod peer;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::dice::Dice;
use crate::table::PeerId;
pub use path::{Kind, MISSES};
use peer::Peer;
pub use told::is_probeable;

/// What the paths want from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A Ping of this number, to this address.
    Probe { peer: PeerId, at: SocketAddr, id: u32 },
    /// The peer's packets go here from now on.
    Move { peer: PeerId, at: SocketAddr },
    /// The peer is told where we may be.
    Introduce(PeerId),
    /// The path in use may be silent: other ways may be needed soon.
    Doubt(PeerId),
    /// Every path that is known is silent.
    Lost(PeerId),
    /// One works again, in the same session: what was said meanwhile was not heard.
    Found(PeerId),
}

/// What the tunnels know of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Where its packets go.
    pub at: SocketAddr,
    /// It has a session.
    pub connected: bool,
    /// Datagrams that came and went so far.
    pub packets: u64,
}

/// Why a path is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The session was made there.
    Session,
    /// The peer was found there by a handshake.
    Found,
    /// It is better than the one before.
    Better,
    /// The one before fell silent.
    Silent,
}

impl Why {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Found => "found",
            Self::Better => "better",
            Self::Silent => "silent",
        }
    }
}

/// All peers' paths.
#[derive(Debug)]
pub struct Paths {
    peers: BTreeMap<PeerId, Peer>,
    wakes: BTreeSet<(Instant, PeerId)>,
    wishes: Vec<Wish>,
    ids: u32,
    dice: Dice,
}

/// One candidate, as `peers` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathView {
    pub at: SocketAddr,
    pub kind: Kind,
    pub in_use: bool,
    /// `None`: it never answered, or is silent now.
    pub round_trip: Option<Duration>,
    /// Of 1,000 probes.
    pub loss: u32,
}

/// A peer's paths, as `peers` shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Why the path in use is, and since when.
    pub why: Why,
    pub moved: Instant,
    pub paths: Vec<PathView>,
}

impl Paths {
    /// `seed` repeats the jitter in tests.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            peers: BTreeMap::new(),
            wakes: BTreeSet::new(),
            wishes: Vec::new(),
            ids: 0,
            dice: Dice::new(seed),
        }
    }

    /// There is a session with the peer, and it goes here.
    pub fn begin(&mut self, id: PeerId, at: SocketAddr, kind: Kind, now: Instant) {
        match self.peers.get_mut(&id) {
            Some(peer) => peer.begin(at, kind, now),
            None => drop(self.peers.insert(id, Peer::new(at, kind, now))),
        }
        self.wake(id, now);
    }

    /// The peer may be here too, as we know by ourselves.
    pub fn add(&mut self, id: PeerId, at: SocketAddr, kind: Kind, now: Instant) {
        self.with(id, now, |peer| {
            peer.add(at, kind, now);
        });
    }

    /// A relay sees the peer there.
    pub fn handle_introduced(&mut self, id: PeerId, at: SocketAddr, now: Instant) {
        self.with(id, now, |peer| peer.consider(at, Kind::Reflexive, now));
    }

    /// Nobody is here any more.
    pub fn remove_everywhere(&mut self, at: SocketAddr, now: Instant) {
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.remove(id, at, now);
        }
    }

    /// It is not here any more.
    pub fn remove(&mut self, id: PeerId, at: SocketAddr, now: Instant) {
        self.with(id, now, |peer| peer.paths.retain(|path| path.at != at));
    }

    pub fn remove_peer(&mut self, id: PeerId) {
        if let Some(at) = self.peers.remove(&id).and_then(|peer| peer.wake) {
            self.wakes.remove(&(at, id));
        }
    }

    /// This peer's packets go where the paths say.
    #[must_use]
    pub fn follows(&self, id: PeerId) -> bool {
        self.peers.contains_key(&id)
    }

    /// Every path to the peer that is known is silent.
    #[must_use]
    pub fn is_lost(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.lost > 0)
    }

    /// The peer says where else it is. `false`: too often, and nothing came of it.
    pub fn handle_told(
        &mut self,
        id: PeerId,
        told: impl IntoIterator<Item = (SocketAddr, Kind)>,
        now: Instant,
    ) -> bool {
        let mut takes = false;
        self.with(id, now, |peer| {
            takes = peer.allowance.take_list(now);
            if takes {
                peer.answer_introduction(now);
                told.into_iter().for_each(|(at, kind)| peer.consider(at, kind, now));
            }
        });
        takes
    }

    /// A Ping of the peer's came from here. Whether it is answered: so many a second are.
    pub fn handle_ping(&mut self, id: PeerId, from: SocketAddr, kind: Kind, now: Instant) -> bool {
        let mut answers = false;
        self.with(id, now, |peer| {
            peer.own += 2;
            peer.consider(from, kind, now);
            answers = peer.pongs.take(now);
        });
        answers
    }

    /// A Pong of the peer's came; whether it answers what was sent on the path in use. It may come from elsewhere: routers
    /// that give a host another port for each whom it speaks to make it so.
    pub fn handle_pong(&mut self, id: PeerId, number: u32, now: Instant) -> bool {
        let mut of_used = false;
        self.with(id, now, |peer| {
            peer.own += 1;
            for at in 0..peer.paths.len() {
                let worth = peer.worth(peer.paths[at].at, now);
                if peer.paths[at].answer(number, worth, now) {
                    of_used = peer.paths[at].at == peer.used;
                    break;
                }
            }
        });
        of_used
    }

    /// The peer's packets come from here, and not from where they go to.
    pub fn handle_elsewhere(&mut self, id: PeerId, from: SocketAddr, kind: Kind, now: Instant) {
        self.with(id, now, |peer| {
            peer.hear(from, kind, now);
        });
    }

    /// What the peer was sent is unanswered for a while.
    pub fn handle_silent(&mut self, id: PeerId, now: Instant) {
        self.with(id, now, |peer| peer.miss(now));
    }

    /// We may be somewhere else from now on: everybody who is spoken with is told, and every path is looked at.
    pub fn handle_change(&mut self, now: Instant) {
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.with(id, now, |peer| peer.change(now));
        }
    }

    /// When [`Paths::poll`] has something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wakes.first().map(|&(at, _)| at)
    }

    /// What is wanted now. Call until `None`.
    pub fn poll(&mut self, now: Instant, seen: impl Fn(PeerId) -> Option<Seen>) -> Option<Wish> {
        while self.wishes.is_empty() {
            let &(at, id) = self.wakes.first().filter(|(at, _)| *at <= now)?;
            self.wakes.remove(&(at, id));
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.wake = None;
            peer.step(id, seen(id), &mut self.ids, &mut self.dice, &mut self.wishes, now);
            // The first wish is done first.
            self.wishes.reverse();
            let due = peer.due(now);
            self.wake(id, due);
        }
        self.wishes.pop()
    }

    /// The candidates of a peer, and which is in use.
    #[must_use]
    pub fn view(&self, id: PeerId, now: Instant) -> Option<PeerView> {
        let peer = self.peers.get(&id)?;
        let paths = peer.paths.iter().map(|path| PathView {
            at: path.at,
            kind: path.kind,
            in_use: peer.used == path.at,
            round_trip: path.is_alive(now).then_some(path.round_trip),
            loss: path.loss,
        });
        Some(PeerView { why: peer.why, moved: peer.moved, paths: paths.collect() })
    }

    fn with(&mut self, id: PeerId, now: Instant, act: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers.get_mut(&id) {
            act(peer);
            self.wake(id, now);
        }
    }

    /// Has the peer looked at then, or sooner if it is to be sooner already.
    fn wake(&mut self, id: PeerId, at: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.wake.is_some_and(|wake| wake <= at) {
            return;
        }
        if let Some(wake) = peer.wake.replace(at) {
            self.wakes.remove(&(wake, id));
        }
        self.wakes.insert((at, id));
    }
}
