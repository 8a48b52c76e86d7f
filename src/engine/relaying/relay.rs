//! The relay's side: it forwards frames, and opens channels between gateways that are registered here.

use std::time::Instant;

use hashbrown::HashMap;

use super::{Relaying, could_talk};
use crate::base::{DropReason, PublicKey};
use crate::engine::world::World;
use crate::engine::{Engine, Line, Outbox};
use crate::mesh::frame::{FRAME_OVERHEAD, frame_channel, frame_index};
use crate::mesh::legs::Legs;
use crate::mesh::relay::{Passed, Quota, Relay};
use crate::mesh::relaying::{Introduction, Refusal, Relaying as Said, Terms};
use crate::packet::{Ecn, TokenBucket};
use crate::table::PeerId;

/// How often a gateway is told that a channel is closed, a second and at once, all gateways together.
const CLOSED_PER_SECOND: u32 = 50;

/// What a relay opens channels by.
pub(super) struct Side<'a> {
    pub world: &'a World,
    pub relay: &'a mut Relay,
    pub judged: &'a mut HashMap<(u32, u32), bool>,
    pub legs: &'a mut Legs,
}

impl Engine {
    /// This node's, if it is a relay.
    pub(super) fn relay_side(&mut self) -> Result<Side<'_>, DropReason> {
        let world = self.world.as_ref().ok_or(DropReason::NoRoute)?;
        let Relaying { relay: Some(relay), judged, legs, .. } = &mut self.relaying else {
            return Err(DropReason::NotControl);
        };
        Ok(Side { world, relay, judged, legs })
    }

    pub(super) fn relay_frame(
        &mut self,
        from: PeerId,
        outer: Ecn,
        datagram: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let Relaying { relay: Some(relay), legs, closed, .. } = &mut self.relaying else {
            return Err(DropReason::NoLeg);
        };
        let is_far = frame_index(datagram).is_some_and(|index| legs.has_index(from, index));
        let accepted = if is_far {
            let channel = legs.read(from, datagram, now)?;
            relay.accept_far(from, channel, datagram.len(), now).map_err(|reason| (reason, channel))
        } else {
            relay.accept(from, datagram, now).map_err(|reason| (reason, frame_channel(datagram)))
        };
        let Passed { onward, owner } = match accepted {
            Ok(passed) => passed,
            Err((reason, channel)) => {
                let limit = || TokenBucket::new(CLOSED_PER_SECOND, CLOSED_PER_SECOND, now);
                if reason == DropReason::NoChannel && closed.get_or_insert_with(limit).take(now) {
                    let said = if is_far { Said::Ended { channel } } else { Said::Closed { channel } };
                    self.say(from, said, now, out);
                }
                return Err(reason);
            }
        };
        let to = self.tunnels.endpoint(onward.node).ok_or(DropReason::NoSession)?;
        let space = out.space(datagram.len()).ok_or(DropReason::QueueFull)?;
        let len = if onward.is_far {
            let payload = &datagram[FRAME_OVERHEAD..];
            space[..payload.len()].copy_from_slice(payload);
            legs.wrap(onward.node, onward.channel, space, payload.len(), now)?
        } else {
            relay.write(onward, datagram, space)?
        };
        let is_handshake = is_handshake(&datagram[FRAME_OVERHEAD..]);
        let line = if is_handshake { Line::OwnerAhead(owner) } else { Line::Owner(owner) };
        self.commit(line, to, outer as u8, len, now, out);
        Ok(())
    }

    pub(super) fn handle_register(
        &mut self,
        gateway: PeerId,
        theirs: Terms,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let ours = self.terms(gateway).ok_or(DropReason::NoRoute)?;
        let observed = self.observed(gateway);
        let Side { world, relay, legs, .. } = self.relay_side()?;
        let owner = world.owner_behind(gateway).ok_or(DropReason::NotControl)?;
        match relay.handle_register(gateway, owner, theirs, ours, now)? {
            Some(terms) => {
                if terms == ours {
                    // A relay that begins anew knows nothing of this one either.
                    legs.handle_moved(gateway, now);
                }
                self.say(gateway, Said::Registered { terms, observed }, now, out);
            }
            None => self.say(gateway, Said::Refused { peer: self.own_key, why: Refusal::Full }, now, out),
        }
        Ok(())
    }

    pub(super) fn handle_open(
        &mut self,
        gateway: PeerId,
        wanted: PublicKey,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let other = self.tunnels.peer_by_key(&wanted);
        let Side { world, relay, judged, .. } = self.relay_side()?;
        let opened = relay.handle_open(gateway, other, now, || {
            other.is_some_and(|other| could_talk(world, judged, gateway, other))
        });
        let key = world.roles.get(&gateway).map(|role| role.key).ok_or(DropReason::NoRoute)?;
        match (opened, other) {
            (Ok(channel), Some(other)) => {
                let to_other = Introduction { peer: key, channel, observed: self.observed(gateway) };
                let to_asker = Introduction { peer: wanted, channel, observed: self.observed(other) };
                self.say(other, Said::Incoming(to_other), now, out);
                self.say(gateway, Said::Opened(to_asker), now, out);
            }
            (opened, _) => {
                let why = opened.err().unwrap_or(Refusal::NotHere);
                self.say(gateway, Said::Refused { peer: wanted, why }, now, out);
            }
        }
        Ok(())
    }

    /// Rosters are in force: this node is a relay, or is none, and judges its pairs again.
    pub(in crate::engine) fn relay_anew(&mut self, now: Instant) {
        let Some(world) = &self.world else { return };
        let Relaying { relay, judged, .. } = &mut self.relaying;
        judged.clear();
        if !world.is_relay() {
            *relay = None;
            return;
        }
        let relay = relay.get_or_insert_with(|| Relay::new(Quota::default(), now));
        let owner_of = |peer| world.owner_behind(peer);
        let mut pairs = relay.pairs();
        pairs.retain(|&(a, b)| could_talk(world, judged, a, b));
        relay.handle_reload(owner_of, |a, b| pairs.contains(&(a, b)), now);
    }

    /// What this relay has: how many gateways are registered, and which pairs of them have a channel. A gateway has none.
    #[must_use]
    pub fn relayed(&self) -> (usize, Vec<[PublicKey; 2]>) {
        let Some(relay) = &self.relaying.relay else { return (0, Vec::new()) };
        let key = |peer| self.tunnels.stats(peer).map(|stats| stats.key);
        let pairs = relay.pairs().into_iter().filter_map(|(a, b)| Some([key(a)?, key(b)?]));
        (relay.size().0, pairs.collect())
    }
}

/// Whether a sealed datagram is a handshake, or a cookie: nothing of a session can come before it.
fn is_handshake(sealed: &[u8]) -> bool {
    matches!(sealed, [1..=3, 0, 0, 0, ..])
}
