//! The paths to peer gateways: what `mesh::paths` wants, done with tunnels, relays and passages; and what this gateway
//! tells of where it is.
//!
//! Only a peer gateway that the rosters could let talk to this room is told anything, and only such a one's word is
//! taken. What it says is an address of the underlay, or is nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::relaying::{channel_endpoint, could_flow};
use super::report::{PathRow, PathsRow};
use super::world::World;
use super::{Engine, Line, Now, Outbox};
use crate::base::{DropReason, VirtualEndpoint};
use crate::mesh::accept::hash;
use crate::mesh::paths::{Kind, PathView, Paths, Seen, Wish, is_probeable};
use crate::mesh::probing::{Candidates, Probing};
use crate::mesh::relaying::{GOES_ON, Introduction};
use crate::mesh::wire::Message;
use crate::table::PeerId;
use crate::tunnel::Endpoint;

/// Addresses of interfaces that are kept; more are not told to anybody.
const INTERFACES_MAX: usize = 32;
/// Relays whose word of where this gateway is seen is told to others.
const OBSERVERS_MAX: usize = 3;

/// Where this gateway may be reached.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    interfaces: Vec<IpAddr>,
    /// Where each relay sees it.
    observed: BTreeMap<PeerId, SocketAddr>,
}

impl Whereabouts {
    pub(super) fn forget(&mut self, relay: PeerId) {
        self.observed.remove(&relay);
    }
}

/// No paths yet. `seed` keeps other secrets too; nothing that is sent tells of it.
pub(super) fn new(seed: &[u8; 32]) -> Paths {
    let seed = hash(&[&seed[..], b"paths"].concat());
    Paths::new(seed.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

impl Engine {
    /// The addresses of this host's interfaces, the mesh's own left out. Whoever is spoken with is told, and paths are
    /// looked at anew.
    pub fn handle_addresses(&mut self, mut addresses: Vec<IpAddr>, now: Now) {
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(INTERFACES_MAX);
        if self.whereabouts.interfaces != addresses {
            self.whereabouts.interfaces = addresses;
            self.relaying.renew(now.instant);
            self.paths.handle_change(now.instant);
        }
    }

    /// A relay sees this gateway here.
    pub(super) fn handle_observed(&mut self, relay: PeerId, observed: SocketAddr, now: Instant) {
        let Some(world) = &self.world else { return };
        if may_be_told(world, observed) && self.whereabouts.observed.insert(relay, observed) != Some(observed)
        {
            self.paths.handle_change(now);
        }
    }

    /// There is a session with a mesh node: if both are gateways, its paths are followed from now on.
    pub(super) fn begin_paths(&mut self, peer: PeerId, now: Instant) {
        if !self.is_paired(peer) || !self.tunnels.is_connected(peer) {
            return;
        }
        let Some(at) = self.tunnels.endpoint(peer) else { return };
        self.tunnels.hold(peer);
        self.paths.begin(peer, at.address, kind_of(at.address, Kind::Session), now);
        let near = self.beacons.address_of(peer, now);
        for address in self.tunnels.candidates(peer).collect::<Vec<_>>() {
            let kind = if near == Some(address) { Kind::Neighbour } else { Kind::Roster };
            self.paths.add(peer, address, kind, now);
        }
        for (relay, channel) in self.relaying.channels_to(peer) {
            self.paths.add(peer, channel_endpoint(relay, channel).address, Kind::Relay, now);
        }
        if let Some(passage) = self.passages.open(peer) {
            self.paths.add(peer, passage, Kind::Tls, now);
        }
    }

    /// Whether a peer is a gateway that the rosters could let talk to this one's room.
    pub(super) fn is_paired(&mut self, peer: PeerId) -> bool {
        let Some(world) = &self.world else { return false };
        let (Some(here), Some(there)) = (world.model.room_of(world.me), world.room_behind(peer)) else {
            return false;
        };
        here == there || could_flow(world, self.relaying.judged(), here, there)
    }

    /// Rosters are in force: only pairs that could talk say where they are.
    pub(super) fn pair_anew(&mut self) {
        for peer in self.tunnels.ids().collect::<Vec<_>>() {
            if self.paths.follows(peer) && !self.is_paired(peer) {
                self.paths.remove_peer(peer);
                self.tunnels.release(peer);
            }
        }
    }

    /// Takes a message about paths, that came from `source`.
    pub(super) fn handle_probing(
        &mut self,
        peer: PeerId,
        source: Endpoint,
        said: &Probing,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        if !self.paths.follows(peer) {
            self.begin_paths(peer, now);
        }
        if !self.paths.follows(peer) {
            return Err(DropReason::NotControl);
        }
        match *said {
            Probing::Ping { id } => {
                let kind = kind_of(source.address, Kind::Heard);
                if !self.paths.handle_ping(peer, source.address, kind, now) {
                    return Err(DropReason::ControlLimited);
                }
                let pong = Message::Probing(Probing::Pong { id });
                self.send_probe(peer, source, &pong, now, out)
            }
            Probing::Pong { id } => {
                if self.paths.handle_pong(peer, id, now) {
                    self.tunnels.handle_answered(peer);
                }
                Ok(())
            }
            Probing::Candidates(told) => {
                let world = self.world.as_ref().ok_or(DropReason::NotControl)?;
                let told = told.iter().filter(|&(at, _)| may_be_told(world, at));
                let takes = self.paths.handle_told(peer, told, now);
                takes.then_some(()).ok_or(DropReason::ControlLimited)
            }
        }
    }

    /// A relay's channel leads to the peer, and the relay sees it there.
    pub(super) fn handle_channel(
        &mut self,
        relay: PeerId,
        peer: PeerId,
        introduction: &Introduction,
        now: Instant,
    ) {
        let at = channel_endpoint(relay, introduction.channel).address;
        // Of one relay, the last one is what it knows, and the last one that goes on at another.
        let views = self.paths.view(peer, now).map(|view| view.paths).unwrap_or_default();
        let through = |at| match VirtualEndpoint::of(at) {
            Some(VirtualEndpoint::Relay { slot, channel }) => Some((slot, channel & GOES_ON)),
            _ => None,
        };
        for old in views.iter().filter(|view| view.at != at && through(view.at) == through(at)) {
            self.paths.remove(peer, old.at, now);
        }
        self.paths.add(peer, at, Kind::Relay, now);
        let observed = introduction.observed;
        if self.world.as_ref().is_some_and(|world| may_be_told(world, observed)) {
            self.paths.handle_introduced(peer, observed, now);
        }
    }

    /// Does what the paths want; whether that was anything.
    pub(super) fn follow_paths(&mut self, now: Instant, out: &mut Outbox) -> bool {
        let mut any = false;
        loop {
            let tunnels = &self.tunnels;
            let seen = |peer| {
                let stats = tunnels.stats(peer)?;
                Some(Seen {
                    at: stats.endpoint?,
                    connected: tunnels.is_connected(peer),
                    packets: stats.rx_packets + stats.tx_packets,
                })
            };
            let Some(wish) = self.paths.poll(now, seen) else { return any };
            any = true;
            match wish {
                Wish::Probe { peer, at, id } => {
                    // From where its packets go from, if they go there.
                    let here = self.tunnels.endpoint(peer).filter(|here| here.address == at);
                    let to = here.unwrap_or(Endpoint { address: at, local: None });
                    let ping = Message::Probing(Probing::Ping { id });
                    let sent = self.send_probe(peer, to, &ping, now, out);
                    self.count(sent);
                }
                Wish::Move { peer, at } => self.tunnels.place(peer, at),
                Wish::Introduce(peer) => {
                    let candidates = self.candidates();
                    let message = Message::Probing(Probing::Candidates(candidates));
                    let sent = self.send_control(peer, &message, now, out);
                    self.count(sent);
                }
                Wish::Doubt(peer) => {
                    self.ask_for_passage(peer, now);
                    self.ask_relays(peer, now, out);
                }
                Wish::Lost(peer) => {
                    self.look_at_gateway(peer, now, out);
                    self.seek(peer, now, out);
                }
                Wish::Found(peer) => self.handle_up_sharing(peer, now, out),
            }
        }
    }

    /// Nothing comes back on any path: the peer has begun anew, or is somewhere else.
    fn seek(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        let mut places: Vec<_> = self.tunnels.candidates(peer).collect();
        places.extend(self.paths.view(peer, now).into_iter().flat_map(|view| view.paths).map(|path| path.at));
        places.sort_unstable();
        places.dedup();
        self.tunnels.seek(peer, &places, now);
        self.ask_for_addresses(peer, now);
        self.ask_for_passage(peer, now);
        self.ask_relays(peer, now, out);
    }

    /// Where this gateway may be reached, what is most likely of use first.
    fn candidates(&self) -> Candidates {
        let mut list = Candidates::default();
        let Some(world) = &self.world else { return list };
        for observed in self.whereabouts.observed.values().take(OBSERVERS_MAX) {
            list.push(*observed, Kind::Reflexive);
        }
        if let Some(mapped) = self.mapped.filter(|&mapped| may_be_told(world, mapped)) {
            list.push(mapped, Kind::Mapped);
        }
        for ip in &self.whereabouts.interfaces {
            let at = SocketAddr::new(*ip, self.config.listen);
            if may_be_told(world, at) {
                list.push(at, Kind::Interface);
            }
        }
        list
    }

    /// Sends a mesh node a message to this place, wherever it is.
    fn send_probe(
        &mut self,
        peer: PeerId,
        to: Endpoint,
        message: &Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let mut packet = [0; crate::packet::link::LINK_MTU];
        let len = self.wrap_control(peer, message, &mut packet)?;
        let space = out.space(len).ok_or(DropReason::QueueFull)?;
        match self.tunnels.seal_probe(peer, &packet[..len], space, now) {
            crate::tunnel::Sealed::Send { len, .. } => {
                self.commit(Line::Ahead(peer), to, 0, len, now, out);
                Ok(())
            }
            crate::tunnel::Sealed::Waits => Ok(()),
            crate::tunnel::Sealed::Drop(reason) => Err(reason),
        }
    }

    pub(super) fn count(&mut self, outcome: Result<(), DropReason>) {
        if let Err(reason) = outcome {
            self.counters.drop(reason);
        }
    }

    /// For `vpmesh peers`.
    pub(super) fn paths_row(&self, peer: PeerId, now: Now) -> Option<PathsRow> {
        let view = self.paths.view(peer, now.instant)?;
        let name = |relay: PeerId| {
            let world = self.world.as_ref()?;
            Some(world.model.node(world.roles.get(&relay)?.node).name.clone())
        };
        let row = |path: &PathView| {
            let relay = match VirtualEndpoint::of(path.at) {
                Some(VirtualEndpoint::Relay { slot, .. }) => Some(PeerId(slot.into())),
                _ => None,
            };
            PathRow {
                address: match relay {
                    Some(relay) => self.tunnels.endpoint(relay).map(|at| at.address),
                    None => Some(path.at),
                },
                kind: path.kind.name().to_owned(),
                relay: relay.and_then(name),
                in_use: path.in_use,
                round_trip: path.round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
                loss: path.loss,
            }
        };
        Some(PathsRow {
            why: view.why.name().to_owned(),
            since: now.instant.saturating_duration_since(view.moved).as_secs(),
            candidates: view.paths.iter().map(row).collect(),
        })
    }
}

/// Whether an address that others tell of is a host's on the underlay, and no node's of the mesh.
pub(super) fn may_be_told(world: &World, at: SocketAddr) -> bool {
    is_probeable(at) && !world.model.prefixes().any(|(_, prefix)| prefix.contains(at.ip()))
}

/// What is inside of something else is that, wherever it was learned.
pub(super) fn kind_of(address: SocketAddr, otherwise: Kind) -> Kind {
    match VirtualEndpoint::of(address) {
        Some(VirtualEndpoint::Relay { .. }) => Kind::Relay,
        Some(VirtualEndpoint::Tls { .. }) => Kind::Tls,
        None => otherwise,
    }
}
