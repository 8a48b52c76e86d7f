//! Passages: connections that carry datagrams to a peer where UDP doesn't (`tunnel::standby` says when one is used).
//!
//! A passage is asked for when a peer is silent or not to be found, by an event; at most one a peer, and with pauses that
//! grow while nobody answers. It ends by itself when nothing comes through it any more, on both sides.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::{Engine, Event, Now};
use crate::mesh::paths::Kind;
use crate::table::PeerId;
use crate::tunnel::Endpoint;

/// From one attempt to the next, if it failed; doubled as long as they do.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// An answer that takes longer was lost with its event.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Passages {
    by_peer: HashMap<PeerId, Passage>,
}

#[derive(Debug)]
struct Passage {
    state: State,
    /// Attempts that failed, one after the other.
    failed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Since then.
    Dialling(Instant),
    Open(SocketAddr),
    /// Nobody answered; not again before then.
    Pause(Instant),
}

impl Passages {
    /// The passage that there is to a peer.
    pub(super) fn open(&self, peer: PeerId) -> Option<SocketAddr> {
        match self.by_peer.get(&peer)?.state {
            State::Open(address) => Some(address),
            State::Dialling(_) | State::Pause(_) => None,
        }
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        self.by_peer.remove(&peer);
    }
}

impl Engine {
    /// Asks for a passage to the peer, unless there is one, or one was asked for a moment ago.
    pub(super) fn ask_for_passage(&mut self, peer: PeerId, now: Instant) {
        let endpoints = self.endpoints_of(peer).to_vec();
        if endpoints.is_empty() {
            return;
        }
        let passage =
            self.passages.by_peer.entry(peer).or_insert(Passage { state: State::Pause(now), failed: 0 });
        let due = match passage.state {
            State::Dialling(since) => now.saturating_duration_since(since) >= LOST_AFTER,
            State::Open(_) => false,
            State::Pause(until) => until <= now,
        };
        if due {
            passage.state = State::Dialling(now);
            self.push_event(Event::Dial { peer, endpoints });
        }
    }

    /// What came of an [`Event::Dial`]; `None`: nobody answered.
    pub fn handle_dialled(&mut self, peer: PeerId, endpoint: Option<SocketAddr>, now: Now) {
        let Some(passage) = self.passages.by_peer.get_mut(&peer) else { return };
        match endpoint {
            Some(address) => {
                *passage = Passage { state: State::Open(address), failed: 0 };
                self.paths.add(peer, address, Kind::Tls, now.instant);
                self.tunnels.set_passage(peer, Endpoint { address, local: None }, now.instant);
            }
            None => passage.fail(now.instant),
        }
    }

    /// The connection is no more, whoever made it.
    pub fn handle_hung_up(&mut self, endpoint: SocketAddr, now: Now) {
        for passage in self.passages.by_peer.values_mut() {
            if passage.state == State::Open(endpoint) {
                passage.fail(now.instant);
            }
        }
        self.paths.remove_everywhere(endpoint, now.instant);
        self.tunnels.forget_passage(Endpoint { address: endpoint, local: None }, now.instant);
    }
}

impl Passage {
    fn fail(&mut self, now: Instant) {
        let pause = PAUSE * 2_u32.saturating_pow(self.failed.min(6));
        self.failed += 1;
        self.state = State::Pause(now + pause.min(PAUSE_MAX));
    }
}
