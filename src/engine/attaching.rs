//! Rooms with several gateways: which of them has which station, and who is told.
//!
//! A station is attached to this gateway when it sends a packet of its own through its own tunnel, which nobody else can;
//! and when it has a session here while no living gateway of the room has it. Then it is claimed with an epoch above all
//! that is known ([`crate::mesh::attached`]), and every gateway that could have something to say to the room is told, at
//! once and three times more. What a gateway says of a station counts if both are of one room; another room's word is a
//! question at most. Nothing is passed on between gateways of a room for others: who sends here what is for a station
//! elsewhere is told where.
//!
//! All of it is off the packet path: it begins where a packet is refused for its source, or for being at the wrong
//! gateway.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::calling::Calling;
use super::copying::Copying;
use super::report::AttachedRow;
use super::rooms::Seats;
use super::world::{PeerKind, World};
use super::{Engine, Outbox};
use crate::base::DropReason;
use crate::mesh::attached::{Attached, Claim, Entry};
use crate::mesh::paths::Paths;
use crate::mesh::wire::{ATTACHED_MAX, Message};
use crate::packet::{Packet, TokenBucket};
use crate::policy::Place;
use crate::roster::NodeId;
use crate::roster::model::NodeKind;
use crate::table::{Keep, PeerId, State, Via};
use crate::tunnel::Tunnels;

/// A claim is told again after each of these.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];
/// A station is claimed so often at most, and a silent gateway looked at so often.
const SECOND: Duration = Duration::from_secs(1);
/// Messages about stations that are taken of one gateway, a second and at once.
const TAKEN: (u32, u32) = (10, 40);
/// Answers, and questions, of which others are the cause, a second and at once.
const ANSWERS: (u32, u32) = (10, 20);
/// How far another gateway may push an epoch in one step: nobody gets to the end of them.
const LEAP: u64 = 1 << 16;

/// What is known of stations that could be at several gateways.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) claims: Attached,
    /// Stations that were claimed here, in the order of their addresses.
    mine: Vec<Mine>,
    /// When the first of them is told again.
    again: Option<Instant>,
    /// Gateways that were found silent, and when they are looked at again.
    silent: Vec<PeerId>,
    look: Instant,
    /// Which rooms have several gateways has changed, and nobody was told yet.
    anew: bool,
    taken: HashMap<PeerId, TokenBucket>,
    answers: TokenBucket,
    pub(super) copying: Copying,
    pub(super) calling: Calling,
}

#[derive(Debug)]
struct Mine {
    station: Ipv6Addr,
    since: Instant,
    /// How often it was told again, and when it is next.
    told: usize,
    next: Option<Instant>,
}

impl Sharing {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            claims: Attached::default(),
            mine: Vec::new(),
            again: None,
            silent: Vec::new(),
            look: now,
            anew: false,
            taken: HashMap::new(),
            answers: TokenBucket::new(ANSWERS.0, ANSWERS.1, now),
            copying: Copying::new(now),
            calling: Calling::new(now),
        }
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        self.silent.retain(|&other| other != peer);
        self.taken.remove(&peer);
        self.copying.forget(peer);
    }
}

/// Whether a gateway has a session and is not silent.
pub(super) fn is_alive(tunnels: &Tunnels, paths: &Paths, peer: PeerId) -> bool {
    tunnels.is_connected(peer) && !paths.is_lost(peer)
}

impl Engine {
    /// Where every address is, for rosters that come into force.
    pub(super) fn route_world(&mut self, world: &mut World) {
        self.sharing.claims.retain(|station, claim| stands(world, station, claim));
        let claims = &self.sharing.claims;
        self.sharing.mine.retain(|mine| claims.get(mine.station).is_some());
        self.sharing.calling.retain(|station| claims.get(station).is_some());
        let (tunnels, paths) = (&self.tunnels, &self.paths);
        world.route(claims, &|peer| is_alive(tunnels, paths, peer));
    }

    /// Hosts of a room (`None`: all) may be somewhere else: their routes, and their flows.
    fn route_again(&mut self, room: NodeId, hosts: Option<&[NodeId]>, now: Instant) {
        let Self { world: Some(world), tunnels, paths, sharing, flows, .. } = self else { return };
        let alive = |peer| is_alive(tunnels, paths, peer);
        let changed = world.route_hosts(room, hosts, &sharing.claims, &alive);
        if changed.is_empty() || flows.is_empty() {
            return;
        }
        flows.retain(now, |flow| {
            let (src, dst) = (flow.tuple.src, flow.tuple.dst);
            if flow.state == State::Cut {
                return Keep::Cut;
            }
            if [src, dst].iter().all(|address| changed.binary_search(address).is_err()) {
                return Keep::Keep { from: flow.from, to: flow.to };
            }
            world.carriers(src, dst).map_or(Keep::Cut, |(from, to)| Keep::Keep { from, to })
        });
    }

    /// Stations of the room are here from now on. `false`: all were so a moment ago, or there are no higher epochs.
    fn attach(&mut self, hosts: &[NodeId], above: u64, now: Instant, out: &mut Outbox) -> bool {
        let Some(world) = &self.world else { return false };
        let (Some(room), Some(own)) = (world.shared_room(), world.own_address()) else { return false };
        let (sharing, next) = (&mut self.sharing, now + AGAIN[0]);
        let mut stations: Vec<_> = hosts.iter().filter_map(|&host| world.model.node(host).ipv6).collect();
        stations.sort_unstable();
        stations.retain(|&station| {
            let at = sharing.mine.binary_search_by_key(&station, |mine| mine.station);
            let rests = at.is_ok_and(|at| now < sharing.mine[at].since + SECOND);
            if rests || !sharing.claims.claim(station, own, above) {
                return false;
            }
            let mine = Mine { station, since: now, told: 0, next: Some(next) };
            match at {
                Ok(at) => sharing.mine[at] = mine,
                Err(at) => sharing.mine.insert(at, mine),
            }
            true
        });
        if stations.is_empty() {
            return false;
        }
        sharing.again = Some(sharing.again.map_or(next, |at| at.min(next)));
        self.route_again(room, Some(hosts), now);
        self.tell_gateways(&stations, now, out);
        true
    }

    /// A packet's source is not the sender's, as far as is known here. Whether that was mended: it is a station's own.
    pub(super) fn handle_sender(
        &mut self,
        peer: PeerId,
        bytes: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let (Some(world), Ok(packet)) = (&self.world, Packet::parse(bytes)) else { return false };
        let (Some(role), Some((room, host))) = (world.roles.get(&peer), world.shared_host(packet.src)) else {
            return false;
        };
        match role.kind {
            PeerKind::Station => role.node == host && self.attach(&[host], 0, now, out),
            _ => {
                let station = world.model.node(host).ipv6.unwrap_or(Ipv6Addr::UNSPECIFIED);
                if world.room_behind(peer) == Some(room) && self.sharing.answers.take(now) {
                    self.ask(peer, station, now, out);
                }
                false
            }
        }
    }

    /// Asks a gateway of a station's room who has it, if not who is known to.
    fn ask(&mut self, peer: PeerId, station: Ipv6Addr, now: Instant, out: &mut Outbox) {
        let epoch = self.sharing.claims.get(station).map_or(0, |claim| claim.epoch);
        let entry = Entry::question(station, epoch).to_bytes();
        let sent = self.send_control(peer, &Message::Attached(&[entry]), now, out);
        self.count(sent);
    }

    /// A gateway sent what is for a station that is at another one: it is told at which.
    pub(super) fn tell_where(&mut self, peer: PeerId, bytes: &[u8], now: Instant, out: &mut Outbox) {
        let (Some(world), Ok(packet)) = (&self.world, Packet::parse(bytes)) else { return };
        let Some((room, host)) = world.shared_host(packet.dst) else { return };
        let station = world.model.node(host).ipv6.unwrap_or(Ipv6Addr::UNSPECIFIED);
        if world.room_behind(peer).is_some()
            && world.shared_room() == Some(room)
            && self.sharing.answers.take(now)
        {
            self.tell_one(peer, &[station], now, out);
        }
    }

    /// Tells one gateway what is known of stations.
    pub(super) fn tell_one(&mut self, peer: PeerId, stations: &[Ipv6Addr], now: Instant, out: &mut Outbox) {
        let entry = |&station: &Ipv6Addr| {
            let claim = self.sharing.claims.get(station)?;
            Some(Entry { station, claim, seen: self.place_of(peer, station) }.to_bytes())
        };
        let entries: Vec<_> = stations.iter().filter_map(entry).collect();
        for entries in entries.chunks(ATTACHED_MAX) {
            let sent = self.send_control(peer, &Message::Attached(entries), now, out);
            self.count(sent);
        }
    }

    /// Tells every gateway that could have something to say to the room.
    fn tell_gateways(&mut self, stations: &[Ipv6Addr], now: Instant, out: &mut Outbox) {
        let mut peers: Vec<_> = self.tunnels.ids().filter(|&id| self.tunnels.is_connected(id)).collect();
        peers.sort_unstable();
        for peer in peers {
            if self.is_paired(peer) {
                self.tell_one(peer, stations, now, out);
            }
        }
    }

    /// Stations that are here.
    fn own_stations(&self) -> Vec<Ipv6Addr> {
        let own = self.world.as_ref().and_then(World::own_address);
        let claims = self.sharing.claims.iter();
        claims.filter(|(_, claim)| Some(claim.gateway) == own).map(|(station, _)| station).collect()
    }

    /// Takes what a gateway says of stations.
    pub(super) fn handle_attached(
        &mut self,
        peer: PeerId,
        entries: &[[u8; Entry::LENGTH]],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        if !self.is_paired(peer) {
            return Err(DropReason::NotControl);
        }
        let taken = self.sharing.taken.entry(peer);
        if !taken.or_insert_with(|| TokenBucket::new(TAKEN.0, TAKEN.1, now)).take(now) {
            return Err(DropReason::ControlLimited);
        }
        let mut moved: Option<(NodeId, Vec<NodeId>)> = None;
        let mut outcome = Ok(());
        for entry in entries.iter().filter_map(Entry::read) {
            if entry.claim.gateway.is_unspecified() {
                self.handle_question(peer, entry, now, out);
                continue;
            }
            let Some(world) = &self.world else { break };
            let host = world.shared_host(entry.station.into());
            let is_rooms = |&(room, _): &(NodeId, NodeId)| world.room_behind(peer) == Some(room);
            let Some((room, host)) =
                host.filter(is_rooms).filter(|_| stands(world, entry.station, entry.claim))
            else {
                outcome = Err(DropReason::ForeignClaim);
                continue;
            };
            let said_of_itself = world.roles.get(&peer).map(|role| world.model.node(role.node).ipv6)
                == Some(Some(entry.claim.gateway));
            let order = self.sharing.claims.take(entry.station, entry.claim);
            let place = entry.seen.filter(|_| said_of_itself && order.is_ge() && world.is_sister(peer));
            match order {
                // Of one room all, the sender's.
                Ordering::Greater => moved.get_or_insert_with(|| (room, Vec::new())).1.push(host),
                // It knows of no newer one, and says what it sees: it is to say it so that it counts.
                Ordering::Less if said_of_itself && self.sharing.answers.take(now) => {
                    self.ask(peer, entry.station, now, out);
                }
                Ordering::Less | Ordering::Equal => {}
            }
            if let Some(at) = place {
                self.handle_place(entry.station, at, now);
            }
        }
        if let Some((room, hosts)) = moved {
            self.route_again(room, Some(&hosts), now);
            self.keep_stations(Some(&hosts), now, out);
            self.let_go(&hosts);
        }
        outcome
    }

    fn handle_question(&mut self, peer: PeerId, asked: Entry, now: Instant, out: &mut Outbox) {
        if !self.sharing.answers.take(now) {
            return self.counters.drop_of(peer, DropReason::ControlLimited);
        }
        if asked == Entry::ALL {
            let stations = self.own_stations();
            self.tell_one(peer, &stations, now, out);
            return self.copy_all(peer, now);
        }
        let Some(world) = &self.world else { return };
        let Some((room, host)) = world.shared_host(asked.station.into()) else { return };
        if world.shared_room() != Some(room) {
            return;
        }
        let known = self.sharing.claims.get(asked.station);
        let connected = world.slots.get(&host).is_some_and(|&slot| self.tunnels.is_connected(slot));
        match known {
            Some(Claim { gateway, epoch })
                if Some(gateway) == world.own_address() && epoch < asked.claim.epoch && connected =>
            {
                let above = asked.claim.epoch.min(epoch.saturating_add(LEAP));
                self.attach(&[host], above, now, out);
            }
            _ => self.tell_one(peer, &[asked.station], now, out),
        }
    }

    /// Stations of the room with a session here (`None`: of all) whose gateway is not alive, or that have none, are here.
    fn keep_stations(&mut self, only: Option<&[NodeId]>, now: Instant, out: &mut Outbox) {
        let Some(world) = &self.world else { return };
        let Some(seats) = world.shared_room().and_then(|room| world.seats.get(&room)) else { return };
        let is_left = |&host: &NodeId| {
            let node = world.model.node(host);
            let Some(station) = node.ipv6.filter(|_| matches!(node.kind, NodeKind::Station { .. })) else {
                return false;
            };
            let gateway = self.sharing.claims.get(station).map(|claim| claim.gateway);
            let seat = seats.iter().find(|seat| Some(seat.address) == gateway);
            let has_it = match seat.map(|seat| seat.via) {
                Some(Via::Kernel) => true,
                Some(Via::Peer(sister)) => is_alive(&self.tunnels, &self.paths, sister),
                None => false,
            };
            !has_it && world.slots.get(&host).is_some_and(|&slot| self.tunnels.is_connected(slot))
        };
        let room = NodeId(world.room.start);
        let hosts = world.model.children(room).filter(|host| only.is_none_or(|only| only.contains(host)));
        let left: Vec<_> = hosts.filter(is_left).collect();
        self.attach(&left, 0, now, out);
    }

    /// A peer has a session that it had not before.
    pub(super) fn handle_up_sharing(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        let Some(world) = &self.world else { return };
        let Some(role) = world.roles.get(&peer) else { return };
        if role.kind == PeerKind::Station {
            let host = [role.node];
            // One that knows the room has been here since, and nowhere else.
            if self.tunnels.has_room_key() {
                self.attach(&host, 0, now, out);
                return;
            }
            return self.keep_stations(Some(&host), now, out);
        }
        self.meet(peer, now, out);
        self.look_at_gateway(peer, now, out);
    }

    /// Tells a gateway which stations are here, and asks which are there, if one of the rooms has several gateways.
    fn meet(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        let Some(world) = &self.world else { return };
        let there = world.room_behind(peer).is_some_and(|room| world.seats.contains_key(&room));
        if (there || world.shared_room().is_some()) && self.is_paired(peer) {
            let stations = self.own_stations();
            self.tell_one(peer, &stations, now, out);
            let sent = self.send_control(peer, &Message::Attached(&[Entry::ALL.to_bytes()]), now, out);
            self.count(sent);
            self.copy_all(peer, now);
        }
    }

    /// A gateway has come, or fell silent: what is behind it for want of a better one may be behind another.
    pub(super) fn look_at_gateway(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        let Some(world) = &self.world else { return };
        let Some(room) = world.room_behind(peer).filter(|room| world.seats.contains_key(room)) else {
            return;
        };
        if is_alive(&self.tunnels, &self.paths, peer) {
            self.sharing.silent.retain(|&other| other != peer);
        } else if !self.sharing.silent.contains(&peer) {
            self.sharing.silent.push(peer);
            self.sharing.look = now + SECOND;
        }
        if world.shared_room() == Some(room) {
            self.keep_stations(None, now, out);
            self.copy_to_sisters();
            self.call_stations(now);
        } else {
            self.route_again(room, None, now);
        }
    }

    /// Rosters are in force. `old`: what was before.
    pub(super) fn share_anew(&mut self, old: Option<&World>) {
        let (Some(world), none) = (&self.world, Seats::new()) else { return };
        self.sharing.anew |= *old.map_or(&none, |old| &old.seats) != world.seats;
        self.copy_to_sisters();
    }

    pub(super) fn sharing_timeout(&self) -> Option<Instant> {
        let look = (!self.sharing.silent.is_empty()).then_some(self.sharing.look);
        let anew = self.sharing.anew.then_some(self.sharing.look);
        [self.sharing.again, look, anew, self.copying_timeout(), self.calling_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn handle_sharing_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if std::mem::take(&mut self.sharing.anew) {
            self.keep_stations(None, now, out);
            let mut peers: Vec<_> = self.tunnels.ids().filter(|&id| self.tunnels.is_connected(id)).collect();
            peers.sort_unstable();
            peers.into_iter().for_each(|peer| self.meet(peer, now, out));
        }
        if self.sharing.again.is_some_and(|at| at <= now) {
            self.tell_again(now, out);
        }
        if !self.sharing.silent.is_empty() && self.sharing.look <= now {
            self.sharing.look = now + SECOND;
            for peer in self.sharing.silent.clone() {
                if is_alive(&self.tunnels, &self.paths, peer) {
                    self.look_at_gateway(peer, now, out);
                }
            }
        }
        self.copy_flows(now, out);
        self.handle_calling_timeout(now, out);
    }

    fn tell_again(&mut self, now: Instant, out: &mut Outbox) {
        let own = self.own_stations();
        let mut due = Vec::new();
        for mine in &mut self.sharing.mine {
            // A little early, with others.
            if mine.next.is_some_and(|at| at <= now + SECOND / 10) {
                mine.told += 1;
                mine.next = AGAIN.get(mine.told).map(|&pause| now + pause);
                due.push(mine.station);
            }
        }
        self.sharing.again = self.sharing.mine.iter().filter_map(|mine| mine.next).min();
        due.retain(|station| own.binary_search(station).is_ok());
        if !due.is_empty() {
            self.tell_gateways(&due, now, out);
        }
    }

    /// For `vpmesh peers`: which gateway has a station of the room.
    pub(super) fn attached_row(&self, world: &World, host: NodeId) -> Option<AttachedRow> {
        let claim = self.sharing.claims.get(world.model.node(host).ipv6?)?;
        let Place::Node(gateway) = world.judge.place(IpAddr::V6(claim.gateway)) else { return None };
        Some(AttachedRow { gateway: world.model.node(gateway).name.clone(), epoch: claim.epoch })
    }
}

/// Whether both are of one room with several gateways.
fn stands(world: &World, station: Ipv6Addr, claim: Claim) -> bool {
    let host = world.shared_host(station.into());
    host.is_some_and(|(room, host)| {
        matches!(world.model.node(host).kind, NodeKind::Station { .. })
            && world.model.node(host).ipv6 == Some(station)
            && world.seats[&room].iter().any(|seat| seat.address == claim.gateway)
    })
}
