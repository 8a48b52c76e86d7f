//! Stations of a gateway that died are called by another one of the room, where that one last said that they are: to them
//! the room is one peer, which they find wherever it speaks from last.
//!
//! Only where the room has a key. Of the gateways that live the first one in the roster's order calls, three times within
//! [`PATIENCE`], as fast as handshakes go that nobody's packets wait for. A station that does not answer (a NAT in front of
//! it lets nobody else in) is left to its own timers. That a gateway died is noticed within seconds: the gateways of the
//! room ask each other for a sign while one has stations that another could call.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::attaching::is_alive;
use super::paths::may_be_told;
use super::world::{PeerKind, World};
use super::{Engine, Outbox};
use crate::roster::NodeId;
use crate::table::{PeerId, Via};

/// How long an answer is waited for: boringtun asks anew after five seconds, and after ten.
const PATIENCE: Duration = Duration::from_secs(12);
/// A station that was called is not called again for so long, whatever its gateway does meanwhile.
const REST: Duration = Duration::from_secs(60);
/// How often it is called at most, when gateways come and go, while its own says nothing anew.
const ROUNDS: u8 = 3;
/// How often gateways of the room are asked for a sign.
const SIGN: Duration = Duration::from_secs(2);
/// How long others have their turn, and how long what moved waits to be told with more of it.
const TURN: Duration = Duration::from_millis(200);
const MOVED: Duration = Duration::from_secs(1);

/// Where stations at other gateways of the room are, in the order of their addresses; and who is called.
#[derive(Debug)]
pub(super) struct Calling {
    places: Vec<Place>,
    /// When the first of them is to be called, or given up.
    next: Option<Instant>,
    /// Stations here that others are to be told the new place of, and when.
    moved: Vec<Ipv6Addr>,
    tell: Instant,
    sign: Instant,
}

#[derive(Debug)]
struct Place {
    station: Ipv6Addr,
    at: SocketAddr,
    rounds: u8,
    rest: Instant,
    call: Call,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    None,
    /// From then on, when handshakes may go out.
    Due(Instant),
    /// Called, and given up then.
    Until(Instant),
}

impl Call {
    fn at(self) -> Option<Instant> {
        match self {
            Self::None => None,
            Self::Due(at) | Self::Until(at) => Some(at),
        }
    }
}

impl Calling {
    pub(super) fn new(now: Instant) -> Self {
        Self { places: Vec::new(), next: None, moved: Vec::new(), tell: now, sign: now }
    }

    pub(super) fn retain(&mut self, stays: impl Fn(Ipv6Addr) -> bool) {
        self.places.retain(|place| stays(place.station));
    }
}

impl Engine {
    /// Where a station is that is here, if this peer may know: another gateway of a room with a key.
    pub(super) fn place_of(&self, peer: PeerId, station: Ipv6Addr) -> Option<SocketAddr> {
        let world =
            self.world.as_ref().filter(|world| self.tunnels.has_room_key() && world.is_sister(peer))?;
        let claim = self.sharing.claims.get(station)?;
        let slot = *world.slots.get(&world.shared_host(station.into())?.1)?;
        let at = self.tunnels.endpoint(slot)?.address;
        (Some(claim.gateway) == world.own_address() && self.tunnels.is_connected(slot)).then_some(at)
    }

    /// A gateway of the room says where a station of its own is.
    pub(super) fn handle_place(&mut self, station: Ipv6Addr, at: SocketAddr, now: Instant) {
        let allowed = self.world.as_ref().is_some_and(|world| may_be_told(world, at));
        if self.tunnels.has_room_key() && allowed {
            let places = &mut self.sharing.calling.places;
            match places.binary_search_by_key(&station, |place| place.station) {
                Ok(known) => (places[known].at, places[known].rounds) = (at, 0),
                Err(new) => places.insert(new, Place { station, at, rounds: 0, rest: now, call: Call::None }),
            }
        }
    }

    /// Stations that another gateway has from now on are not here any more: what they had here could only lead them back.
    pub(super) fn let_go(&mut self, hosts: &[NodeId]) {
        let Some(world) = self.world.as_ref().filter(|_| self.tunnels.has_room_key()) else { return };
        let own = world.own_address();
        let elsewhere = |&&host: &&NodeId| {
            let claim = world.model.node(host).ipv6.and_then(|station| self.sharing.claims.get(station));
            claim.is_some_and(|claim| Some(claim.gateway) != own)
        };
        for host in hosts.iter().filter(elsewhere) {
            if let Some(&slot) = world.slots.get(host) {
                self.tunnels.let_go(slot);
            }
        }
    }

    /// A station is at another address.
    pub(super) fn handle_station_moved(&mut self, peer: PeerId, now: Instant) {
        let Some(world) = self.world.as_ref().filter(|_| self.tunnels.has_room_key()) else { return };
        let role = world.roles.get(&peer).filter(|role| role.kind == PeerKind::Station);
        let Some(station) = role.and_then(|role| world.model.node(role.node).ipv6) else { return };
        let calling = &mut self.sharing.calling;
        if world.shared_room().is_some() && !calling.moved.contains(&station) {
            if calling.moved.is_empty() {
                calling.tell = now + MOVED;
            }
            calling.moved.push(station);
        }
    }

    /// A gateway of the room may have died: its stations are to be called.
    pub(super) fn call_stations(&mut self, now: Instant) {
        let Some(world) = self.world.as_ref().filter(|_| self.tunnels.has_room_key()) else { return };
        let calling = &mut self.sharing.calling;
        for place in &mut calling.places {
            let slot = world.shared_host(place.station.into()).and_then(|(_, host)| world.slots.get(&host));
            let is_up = slot.is_none_or(|&slot| self.tunnels.is_connected(slot));
            if place.call == Call::None && place.rounds < ROUNDS && place.rest <= now && !is_up {
                place.call = Call::Due(now);
                calling.next = Some(now);
            }
        }
    }

    /// Whether a station has no gateway, and it is on this one to call it.
    fn is_orphan(&self, world: &World, station: Ipv6Addr) -> bool {
        let lives = |via| match via {
            Via::Kernel => true,
            Via::Peer(sister) => is_alive(&self.tunnels, &self.paths, sister),
        };
        let Some(seats) = world.shared_room().and_then(|room| world.seats.get(&room)) else { return false };
        let gateway = self.sharing.claims.get(station).map(|claim| claim.gateway);
        let has_it = seats.iter().find(|seat| Some(seat.address) == gateway);
        has_it.is_some_and(|seat| !lives(seat.via))
            && seats.iter().find(|seat| lives(seat.via)).is_some_and(|seat| seat.via == Via::Kernel)
    }

    pub(super) fn calling_timeout(&self) -> Option<Instant> {
        let calling = &self.sharing.calling;
        let sign = self.watches().then_some(calling.sign);
        let tell = (!calling.moved.is_empty()).then_some(calling.tell);
        [calling.next, sign, tell].into_iter().flatten().min()
    }

    /// Whether there is anybody to call when a gateway dies, or to be called when this one does.
    fn watches(&self) -> bool {
        self.tunnels.has_room_key()
            && !self.sharing.copying.sisters().is_empty()
            && !self.sharing.calling.places.is_empty()
    }

    pub(super) fn handle_calling_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.watches() && self.sharing.calling.sign <= now {
            self.sharing.calling.sign = now + SIGN;
            for &sister in self.sharing.copying.sisters() {
                if is_alive(&self.tunnels, &self.paths, sister) {
                    self.paths.handle_silent(sister, now);
                }
            }
        }
        if self.sharing.calling.tell <= now {
            self.tell_moved(now, out);
        }
        if self.sharing.calling.next.is_some_and(|at| at <= now) {
            let mut places = std::mem::take(&mut self.sharing.calling.places);
            for place in &mut places {
                self.call(place, now);
            }
            self.sharing.calling.next = places.iter().filter_map(|place| place.call.at()).min();
            self.sharing.calling.places = places;
        }
    }

    /// Tells the other gateways of the room which stations here are at other addresses.
    fn tell_moved(&mut self, now: Instant, out: &mut Outbox) {
        let moved = std::mem::take(&mut self.sharing.calling.moved);
        if moved.is_empty() {
            return;
        }
        for sister in self.sharing.copying.sisters().to_vec() {
            let here = moved.iter().copied().filter(|&station| self.place_of(sister, station).is_some());
            let here: Vec<_> = here.collect();
            self.tell_one(sister, &here, now, out);
        }
    }

    fn call(&mut self, place: &mut Place, now: Instant) {
        let found = self.world.as_ref().and_then(|world| {
            let (_, host) = world.shared_host(place.station.into())?;
            Some((world, *world.slots.get(&host)?))
        });
        let Some((world, slot)) = found else {
            place.call = Call::None;
            return;
        };
        match place.call {
            Call::Due(at) if at <= now => {
                if self.tunnels.is_connected(slot) || !self.is_orphan(world, place.station) {
                    place.call = Call::None;
                } else if self.tunnels.call(slot, place.at, now) {
                    place.call = Call::Until(now + PATIENCE);
                    place.rounds += 1;
                    place.rest = now + REST;
                } else {
                    place.call = Call::Due(now + TURN);
                }
            }
            Call::Until(at) if at <= now => {
                if !self.tunnels.is_connected(slot) {
                    self.tunnels.let_go(slot);
                }
                place.call = Call::None;
            }
            _ => {}
        }
    }
}
