//! Mesh nodes on the same link: beacons go out, and what is heard is tried.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Engine, Event, Now};
use crate::base::DropReason;
use crate::mesh::beacon::Heard;
use crate::mesh::paths::Kind;

impl Engine {
    /// A datagram that came to the beacons' port from a neighbour.
    pub fn handle_beacon(&mut self, source: SocketAddr, bytes: &[u8], now: Now) {
        match self.beacons.handle(source, bytes, now.instant) {
            Heard::New { peer, address } => {
                self.tunnels.add_candidate(peer, address, now.instant);
                self.paths.add(peer, address, Kind::Neighbour, now.instant);
            }
            Heard::Known => {}
            Heard::Nobody | Heard::Malformed | Heard::Limited => self.counters.drop(DropReason::BadBeacon),
        }
    }

    /// A link of this host came up.
    pub fn handle_link_up(&mut self, now: Now) {
        self.beacons.handle_link(now.instant);
    }

    pub(super) fn send_beacon(&mut self, now: Instant) {
        if let Some(beacon) = self.beacons.poll(now) {
            self.push_event(Event::Beacon(beacon));
        }
    }

    /// Listens for those who are mesh nodes now.
    pub(super) fn listen_for_neighbours(&mut self, now: Instant) {
        let ids: Vec<_> = self.tunnels.ids().filter(|&id| self.link_of(id).is_some()).collect();
        let keys = ids.into_iter().filter_map(|id| self.tunnels.stats(id).map(|stats| (stats.key, id)));
        self.beacons.set_peers(keys, now);
    }
}
