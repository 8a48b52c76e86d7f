//! What happens because time passed: tunnels' timers, flows that end, names resolved again, paths measured again.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::{Engine, Event, Now, Outbox};
use crate::base::is_virtual;
use crate::mesh::paths::Kind;
use crate::table::PeerId;
use crate::tunnel::SEAL_OVERHEAD;

/// How often one peer's names are resolved again while it does not answer.
const RESOLVE_EVERY: Duration = Duration::from_secs(15);
/// How often the paths of connected peers are measured again: a path's MTU is learned by what did not fit.
const MTU_EVERY: Duration = Duration::from_secs(30);
/// IPv6's smallest MTU (RFC 8200, section 5): a path that carries less of a sealed packet fragments it outside.
const MTU_MIN: u16 = 1_280;

/// When things were last asked for.
#[derive(Debug)]
pub(super) struct Timers {
    mtus: Instant,
    /// When each peer's names were last asked for.
    resolved: HashMap<PeerId, Instant>,
    /// Peers whose names nobody could resolve, and when to ask again.
    nameless: Vec<PeerId>,
    names: Instant,
}

impl Timers {
    pub(super) fn new(now: Instant) -> Self {
        Self { mtus: now + MTU_EVERY, resolved: HashMap::new(), nameless: Vec::new(), names: now }
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        self.resolved.remove(&peer);
        self.nameless.retain(|&other| other != peer);
    }
}

impl Engine {
    /// When [`Engine::handle_timeout`] wants to be called, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let mtus = (!self.mtus.is_empty()).then_some((self.timers.mtus, "path MTU"));
        let names = (!self.timers.nameless.is_empty()).then_some((self.timers.names, "host names"));
        let tunnels = self.tunnels.poll_timeout().map(|at| (at, "tunnel"));
        let flows = self.flows.next_expiry().map(|at| (at, "flow"));
        let beacons = self.beacons.poll_timeout().map(|at| (at, "beacon"));
        let rosters = self.travel.poll_timeout().map(|at| (at, "rosters"));
        let relays = self.relaying.poll_timeout().map(|at| (at, "relays"));
        let paths = self.paths.poll_timeout().map(|at| (at, "paths"));
        let sharing = self.sharing_timeout().map(|at| (at, "stations"));
        let due = [sharing, relays, paths, tunnels, flows, mtus, names, beacons, rosters];
        due.into_iter().flatten().min_by_key(|&(at, _)| at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Outbox) {
        self.flows.expire(now.instant);
        self.handle_relays_timeout(now.instant, out);
        if self.timers.mtus <= now.instant {
            self.timers.mtus = now.instant + MTU_EVERY;
            let mut measured: Vec<_> = self.mtus.keys().copied().collect();
            measured.sort_unstable();
            measured.into_iter().for_each(|peer| self.ask_for_mtu(peer));
        }
        if self.timers.names <= now.instant {
            for peer in std::mem::take(&mut self.timers.nameless) {
                self.ask_for_addresses(peer, now.instant);
            }
        }
        self.send_beacon(now.instant);
        self.handle_travel_timeout(now.instant, out);
        self.handle_sharing_timeout(now.instant, out);
        self.settle(now.instant, out);
    }

    /// Names turned into addresses, in the order in which to try them. None: they are asked for again, and where the
    /// peer was looked for before is looked at still.
    pub fn handle_resolved(&mut self, peer: PeerId, addresses: Vec<SocketAddr>, now: Now) {
        if addresses.is_empty() {
            if self.timers.nameless.is_empty() {
                self.timers.names = now.instant + RESOLVE_EVERY;
            }
            if !self.timers.nameless.contains(&peer) {
                self.timers.nameless.push(peer);
            }
            return;
        }
        for &address in &addresses {
            self.paths.add(peer, address, Kind::Roster, now.instant);
        }
        self.tunnels.set_candidates(peer, addresses, now.instant);
        if let Some(near) = self.beacons.address_of(peer, now.instant) {
            self.tunnels.add_candidate(peer, near, now.instant);
        }
        self.ask_for_mtu(peer);
    }

    /// The path to the peer carries IP packets of `mtu` bytes.
    pub fn handle_path_mtu(&mut self, peer: PeerId, mtu: u16) {
        let Some((endpoint, around)) = self.underlay(peer) else { return };
        if is_virtual(endpoint.address.ip()) {
            return;
        }
        let headers = match endpoint.address.ip() {
            IpAddr::V4(_) => 20 + 8,
            IpAddr::V6(_) => 40 + 8,
        };
        let inside = mtu.saturating_sub(headers + around + SEAL_OVERHEAD as u16);
        self.mtus.insert(peer, inside.clamp(MTU_MIN - 112, self.config.mtu));
    }

    /// The wall clock jumped.
    pub fn handle_clock_step(&mut self, _now: Now) {
        self.tunnels.handle_clock_step();
    }

    pub(super) fn ask_for_addresses(&mut self, peer: PeerId, now: Instant) {
        let due = self
            .timers
            .resolved
            .get(&peer)
            .is_none_or(|&at| now.saturating_duration_since(at) >= RESOLVE_EVERY);
        let endpoints = self.endpoints_of(peer);
        if !endpoints.is_empty() && due {
            let endpoints = endpoints.to_vec();
            self.timers.resolved.insert(peer, now);
            self.push_event(Event::Resolve { peer, endpoints });
        }
    }

    pub(super) fn ask_for_mtu(&mut self, peer: PeerId) {
        let Some((endpoint, _around)) = self.underlay(peer) else { return };
        if is_virtual(endpoint.address.ip()) {
            // A stream carries any.
            self.mtus.remove(&peer);
        } else {
            self.push_event(Event::PathMtu { peer, endpoint: endpoint.address });
        }
    }
}
