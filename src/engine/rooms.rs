//! What carries packets to every place: its own tunnel, its station's, a gateway of its room, or the kernel.
//!
//! Of a room with several gateways each host has one that it is behind: a gateway's own host that gateway, a station the
//! one that claimed it last, everybody else (hosts on the LAN, stations that nobody has claimed yet) the first one in the
//! roster's order that is alive. In the room that is served here a station that is nowhere is [`Via::AWAY`], so that its
//! first packet is noticed.

use std::net::{IpAddr, Ipv6Addr};

use hashbrown::HashMap;
use ipnetwork::IpNetwork;

use super::world::World;
use crate::mesh::attached::Attached;
use crate::policy::Place;
use crate::roster::model::NodeKind;
use crate::roster::{Model, NodeId};
use crate::table::{PeerId, Routes, Via};

/// One gateway of a room that has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) address: Ipv6Addr,
    /// The kernel: it is this one.
    pub(super) via: Via,
}

/// The gateways of every room that has several, in the rosters' order.
pub(super) type Seats = HashMap<NodeId, Vec<Seat>>;

pub(super) fn seats(model: &Model, me: NodeId, slots: &HashMap<NodeId, PeerId>) -> Seats {
    let mut seats = Seats::new();
    for (id, node) in model.iter().filter(|(_, node)| matches!(node.kind, NodeKind::Gateway { .. })) {
        let via = if id == me { Some(Via::Kernel) } else { slots.get(&id).copied().map(Via::Peer) };
        if let (Some(room), Some(address), Some(via)) = (model.room_of(id), node.ipv6, via) {
            seats.entry(room).or_default().push(Seat { address, via });
        }
    }
    seats.retain(|_, seats| seats.len() > 1);
    seats
}

impl World {
    /// Where every address is.
    pub(super) fn route(&mut self, attached: &Attached, alive: &dyn Fn(PeerId) -> bool) {
        self.routes = Routes::default();
        let Some(_) = self.model.room_of(self.me) else { return };
        self.routes.insert_default(Via::Kernel);
        for (_, prefix) in self.model.prefixes() {
            self.routes.insert_unreachable(prefix);
        }
        let is_room = |id: &NodeId| matches!(self.model.node(*id).kind, NodeKind::Room { .. });
        let rooms: Vec<_> = self.model.iter().map(|(id, _)| id).filter(is_room).collect();
        for room in rooms {
            self.route_hosts(room, None, attached, alive);
        }
    }

    /// Where these hosts of a room, or all, and what is inside them, are; the addresses that were
    /// elsewhere before, in order.
    pub(super) fn route_hosts(
        &mut self,
        room: NodeId,
        only: Option<&[NodeId]>,
        attached: &Attached,
        alive: &dyn Fn(PeerId) -> bool,
    ) -> Vec<IpAddr> {
        let mut changed = Vec::new();
        let first = self.first_alive(room, alive);
        for host in self.model.children(room).filter(|host| only.is_none_or(|only| only.contains(host))) {
            let Some(via) = self.via(room, host, first, attached) else { continue };
            for id in self.model.range(host) {
                for address in self.model.nodes[id as usize].addresses() {
                    if self.routes.lookup(address) != Some(via) {
                        changed.push(address);
                    }
                    self.routes.insert(IpNetwork::from(address), via);
                }
            }
        }
        changed.sort_unstable();
        changed
    }

    /// The gateway of another room that has what no gateway claimed.
    fn first_alive(&self, room: NodeId, alive: &dyn Fn(PeerId) -> bool) -> Option<Via> {
        let gateways = || self.model.gateways_of(room).filter_map(|id| self.slots.get(&id).copied());
        let first = match self.seats.get(&room) {
            Some(_) => gateways().find(|&peer| alive(peer)),
            None => None,
        };
        first.or_else(|| gateways().next()).map(Via::Peer)
    }

    fn via(&self, room: NodeId, host: NodeId, first: Option<Via>, attached: &Attached) -> Option<Via> {
        if host == self.me {
            return Some(Via::Kernel);
        }
        let is_here = self.room.start == room.0;
        let own = self.slots.get(&host).copied().map(Via::Peer);
        let node = self.model.node(host);
        match (&node.kind, self.seats.get(&room)) {
            (NodeKind::LanStation, _) if is_here => Some(Via::Kernel),
            (NodeKind::Gateway { .. }, Some(_)) => own,
            (NodeKind::Station { .. }, Some(seats)) => {
                let claim = node.ipv6.and_then(|address| attached.get(address));
                let seat = claim.and_then(|claim| seats.iter().find(|seat| seat.address == claim.gateway));
                match seat.map(|seat| seat.via) {
                    Some(Via::Kernel) => own,
                    None if is_here => Some(Via::AWAY),
                    None => first,
                    sister => sister,
                }
            }
            _ if is_here => own,
            _ => first,
        }
    }

    /// The room, and the host in it, that an address is at, of a room with several gateways.
    pub(super) fn shared_host(&self, address: IpAddr) -> Option<(NodeId, NodeId)> {
        let Place::Node(id) = self.judge.place(address) else { return None };
        let room = self.model.room_of(id)?;
        let host = self.model.ancestors(id).find(|&id| self.model.node(id).parent == Some(room))?;
        self.seats.contains_key(&room).then_some((room, host))
    }

    /// The room that is served here, if others serve it too.
    pub(super) fn shared_room(&self) -> Option<NodeId> {
        let room = NodeId(self.room.start);
        (!self.room.is_empty() && self.seats.contains_key(&room)).then_some(room)
    }

    /// The address of this gateway's own.
    pub(super) fn own_address(&self) -> Option<Ipv6Addr> {
        self.model.node(self.me).ipv6
    }

    /// Who carries the two sides of a flow. `None`: it can't be one of this gateway's. A side that is at another gateway
    /// of the room, whose flow is none of ours meanwhile, nobody carries.
    pub(super) fn carriers(&self, src: IpAddr, dst: IpAddr) -> Option<(Via, Via)> {
        let (mut from, mut to) = (self.routes.lookup(src)?, self.routes.lookup(dst)?);
        let [ours, theirs] = [src, dst].map(|address| self.serves(self.judge.place(address)));
        let gateways = (self.is_gateway(from), self.is_gateway(to));
        if gateways.0 && ours && (gateways.1 || !theirs) {
            from = Via::AWAY;
        }
        if gateways.1 && theirs && (gateways.0 || !ours) {
            to = Via::AWAY;
        }
        let served = (!self.is_gateway(from) || theirs) && (!self.is_gateway(to) || ours);
        (served && (from != to || from == Via::AWAY)).then_some((from, to))
    }
}
