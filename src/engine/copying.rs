//! Flows that the gateways of a room tell each other, so that a station's go on where it comes next: inactive replicas
//! ([`crate::table`]'s copies). Only a gateway of the same room is believed who began a flow, and what it tells is judged
//! here as the first packet would be. What is new or changed is told within a tenth of a second, what is in use once a
//! minute, and everything to a gateway that comes up. Flows by way of this host's kernel are not told: the addresses that
//! it gave them are its own.

use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::world::{PeerKind, World};
use super::{Engine, Outbox};
use crate::base::DropReason;
use crate::mesh::copies::FlowCopy;
use crate::mesh::wire::{FLOWS_MAX, Message};
use crate::packet::TokenBucket;
use crate::table::{Flow, PeerId, Via};

/// How often what is new is told, and how much of it.
const TICK: Duration = Duration::from_millis(100);
const TOLD_MAX: usize = 8 * FLOWS_MAX;
/// Places of the table that are looked at in one tick, when all are.
const LOOKED_AT: usize = 256;
/// How often all are, and what is told then was in use since the time before the last.
const ROUND: Duration = Duration::from_secs(60);
/// Messages that are taken of one gateway, a second and at once: more than one of this version sends.
const TAKEN: (u32, u32) = (250, 500);

/// How far the telling is.
#[derive(Debug)]
pub(super) struct Copying {
    /// Gateways of this room with a session.
    sisters: Vec<PeerId>,
    tick: Instant,
    /// The next place to look at, while all are.
    place: Option<usize>,
    /// Whether what is not in use is told too.
    idle: bool,
    round: Instant,
    taken: HashMap<PeerId, TokenBucket>,
}

impl Copying {
    pub(super) fn new(now: Instant) -> Self {
        let (sisters, taken) = Default::default();
        Self { sisters, tick: now, place: None, idle: false, round: now, taken }
    }

    pub(super) fn sisters(&self) -> &[PeerId] {
        &self.sisters
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        self.sisters.retain(|&other| other != peer);
        self.taken.remove(&peer);
    }
}

impl World {
    /// Whether it is another gateway of the room that is served here.
    pub(super) fn is_sister(&self, peer: PeerId) -> bool {
        self.shared_room().is_some() && self.room_behind(peer) == self.shared_room()
    }

    /// The copy of a flow that a station here has, and that goes on without this host's kernel.
    fn copy_of(&self, flow: &Flow) -> Option<[u8; FlowCopy::LENGTH]> {
        let kind = |via| match via {
            Via::Peer(peer) => self.roles.get(&peer).map(|role| &role.kind),
            Via::Kernel => None,
        };
        let kinds = [kind(flow.from)?, kind(flow.to)?];
        if !kinds.contains(&&PeerKind::Station) {
            return None;
        }
        FlowCopy { tuple: flow.tuple, state: flow.state }.to_bytes()
    }
}

impl Engine {
    /// Which sisters there are to be told.
    pub(super) fn copy_to_sisters(&mut self) {
        let Some(world) = &self.world else { return };
        let connected = self.tunnels.ids().filter(|&id| self.tunnels.is_connected(id));
        let mut sisters: Vec<_> = connected.filter(|&id| world.is_sister(id)).collect();
        sisters.sort_unstable();
        if sisters.is_empty() != self.sharing.copying.sisters.is_empty() {
            self.flows.note_changes(!sisters.is_empty());
        }
        self.sharing.copying.sisters = sisters;
    }

    /// This one knows of no flow yet.
    pub(super) fn copy_all(&mut self, peer: PeerId, now: Instant) {
        self.copy_to_sisters();
        let copying = &mut self.sharing.copying;
        if copying.sisters.contains(&peer) {
            (copying.place, copying.idle, copying.tick) = (Some(0), true, now + TICK);
        }
    }

    pub(super) fn copying_timeout(&self) -> Option<Instant> {
        let copying = &self.sharing.copying;
        if copying.sisters.is_empty() || self.flows.places() == 0 {
            None
        } else if copying.place.is_some() || self.flows.has_changed() {
            Some(copying.tick)
        } else {
            Some(copying.round.max(copying.tick))
        }
    }

    pub(super) fn copy_flows(&mut self, now: Instant, out: &mut Outbox) {
        if self.copying_timeout().is_none_or(|at| at > now) {
            return;
        }
        let (Some(world), copying) = (&self.world, &mut self.sharing.copying) else { return };
        copying.tick = now + TICK;
        let mut copies = Vec::new();
        while copies.len() < TOLD_MAX
            && let Some(flow) = self.flows.poll_changed(now)
        {
            copies.extend(world.copy_of(&flow));
        }
        if copying.place.is_none() && copying.round <= now {
            (copying.place, copying.idle) = (Some(0), false);
        }
        if let Some(place) = copying.place {
            let end = place + LOOKED_AT;
            for flow in (place..end).filter_map(|place| self.flows.flow_at(place, now)) {
                if copying.idle || flow.idle < 2 * ROUND {
                    copies.extend(world.copy_of(&flow));
                }
            }
            copying.place = (end < self.flows.places()).then_some(end);
            if copying.place.is_none() {
                copying.round = now + ROUND;
            }
        }
        for sister in copying.sisters.clone() {
            for copies in copies.chunks(FLOWS_MAX) {
                let sent = self.send_control(sister, &Message::Flows(copies), now, out);
                self.count(sent);
            }
        }
    }

    /// Takes what a gateway of the room tells of its stations' flows.
    pub(super) fn handle_flows(
        &mut self,
        peer: PeerId,
        entries: &[[u8; FlowCopy::LENGTH]],
        now: Instant,
    ) -> Result<(), DropReason> {
        let Some(world) = self.world.as_ref().filter(|world| world.is_sister(peer)) else {
            return Err(DropReason::ForeignClaim);
        };
        let taken = self.sharing.copying.taken.entry(peer);
        if !taken.or_insert_with(|| TokenBucket::new(TAKEN.0, TAKEN.1, now)).take(now) {
            return Err(DropReason::ControlLimited);
        }
        let mut outcome = Ok(());
        for copy in entries.iter().filter_map(FlowCopy::read) {
            let tuple = &copy.tuple;
            // What goes on here is known better here.
            let carriers = world
                .carriers(tuple.src, tuple.dst)
                .filter(|&(from, to)| [from, to].contains(&Via::AWAY) && ![from, to].contains(&Via::Kernel));
            let Some((from, to)) = carriers else { continue };
            let taken = if world.judge.judge(&world.judge.question_of(tuple)).is_allowed() {
                self.flows.take_copy(tuple, copy.state, from, to, now)
            } else {
                Err(DropReason::Denied)
            };
            outcome = outcome.and(taken);
        }
        outcome
    }
}
