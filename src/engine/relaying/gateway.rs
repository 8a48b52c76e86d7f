//! The gateway's side: it registers with relays and asks them for channels to gateways.

use std::time::{Duration, Instant};

use super::{Asked, channel_endpoint};
use crate::base::{DropReason, PublicKey, VirtualEndpoint};
use crate::engine::world::{PeerKind, World};
use crate::engine::{Engine, Outbox};
use crate::mesh::relaying::{Introduction, Relaying as Said};
use crate::table::PeerId;

/// How often relays are asked for a channel to one peer.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Who is asked for again within this time was not found.
const NOT_FOUND: Duration = Duration::from_secs(120);

impl Engine {
    /// A relay says that a channel leads to a gateway.
    pub(super) fn handle_introduction(
        &mut self,
        relay: PeerId,
        introduction: &Introduction,
        asked: bool,
        now: Instant,
    ) -> Result<(), DropReason> {
        let world = self.world.as_ref().ok_or(DropReason::NoRoute)?;
        let peer = self.tunnels.peer_by_key(&introduction.peer);
        let peer = peer.filter(|peer| world.room_behind(*peer).is_some()).ok_or(DropReason::NoRoute)?;
        if !self.relaying.legs.handle_channel(relay, introduction.channel, peer) {
            return Err(DropReason::NoLeg);
        }
        self.handle_channel(relay, peer, introduction, now);
        let path = channel_endpoint(relay, introduction.channel);
        if self.is_stranded(peer) {
            // The session stays: the other end follows what comes to it.
            self.tunnels.place(peer, path.address);
        } else {
            self.tunnels.try_at(peer, path, asked, now);
        }
        Ok(())
    }

    /// There is a session with a mesh node: if it is a relay it is registered with.
    pub(in crate::engine) fn register_with(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        let is_relay = |world: &World| {
            world.roles.get(&peer).is_some_and(|role| matches!(role.kind, PeerKind::Relay { .. }))
        };
        if self.world.as_ref().is_some_and(is_relay)
            && let Some(ours) = self.terms(peer)
        {
            self.relaying.legs.begin(peer, ours, now);
            self.handle_relays_timeout(now, out);
        }
    }

    /// Asks every relay for a channel to a gateway that is not to be found, now and then. Where that did not help, they are
    /// asked for chains of two at once: a relay may not know yet that it lost the other gateway, or not answer at all.
    pub(in crate::engine) fn ask_relays(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        let Some(key) = self.world.as_ref().and_then(|world| {
            world.room_behind(peer)?;
            world.roles.get(&peer).map(|role| role.key)
        }) else {
            return;
        };
        let since = self.relaying.asked.get(&peer).map(|asked| now.saturating_duration_since(asked.at));
        if self.relaying.relay.is_some() || since.is_some_and(|since| since < ASK_EVERY) {
            return;
        }
        let is_cut_off = !self.tunnels.is_connected(peer) || self.paths.is_lost(peer);
        let further = is_cut_off && since.is_some_and(|since| since < NOT_FOUND);
        let relays: Vec<_> = self.relaying.legs.registered().collect();
        if relays.is_empty() {
            return;
        }
        self.relaying.asked.insert(peer, Asked { at: now, refused: 0, further });
        for relay in relays {
            self.say(relay, Said::Open { peer: key }, now, out);
            if further {
                self.say(relay, Said::OpenFar { peer: key }, now, out);
            }
        }
    }

    /// A peer did not answer where it was tried: it is asked on every channel to it at once.
    pub(in crate::engine) fn seek_by_relays(&mut self, peer: PeerId, now: Instant) {
        let channels = self.relaying.channels_to(peer);
        if channels.len() > 1 && !self.tunnels.is_connected(peer) {
            let place = |(relay, channel)| channel_endpoint(relay, channel).address;
            let places: Vec<_> = channels.into_iter().map(place).collect();
            self.tunnels.seek(peer, &places, now);
        }
    }

    /// A relay has no channel to a gateway. When none has, they are asked for a chain of two.
    pub(super) fn ask_further(&mut self, wanted: PublicKey, now: Instant, out: &mut Outbox) {
        let Some(asked) =
            self.tunnels.peer_by_key(&wanted).and_then(|peer| self.relaying.asked.get_mut(&peer))
        else {
            return;
        };
        asked.refused += 1;
        let relays: Vec<_> = self.relaying.legs.registered().collect();
        if !asked.further && asked.refused >= relays.len() {
            asked.further = true;
            for relay in relays {
                self.say(relay, Said::OpenFar { peer: wanted }, now, out);
            }
        }
    }

    /// A relay took the registration: gateways without a session are looked for through it, and those that were reached
    /// through it before it forgot.
    pub(super) fn ask_for_missed(&mut self, relay: PeerId, now: Instant, out: &mut Outbox) {
        let Some(world) = &self.world else { return };
        let is_missed = |peer: PeerId| {
            let at = self.tunnels.endpoint(peer).and_then(|at| VirtualEndpoint::of(at.address));
            let was_here =
                matches!(at, Some(VirtualEndpoint::Relay { slot, .. }) if u32::from(slot) == relay.0);
            was_here || !self.tunnels.is_connected(peer)
        };
        let gateways = world.roles.iter().filter(|(_, role)| matches!(role.kind, PeerKind::Gateway { .. }));
        let mut missed: Vec<_> =
            gateways.filter(|(peer, _)| is_missed(**peer)).map(|(&peer, role)| (role.key, peer)).collect();
        missed.sort_unstable();
        for (key, peer) in missed {
            self.relaying.asked.entry(peer).or_insert(Asked { at: now, refused: 0, further: false });
            self.say(relay, Said::Open { peer: key }, now, out);
        }
    }

    /// A relay does not answer: who is reached through it is looked for at the others.
    pub(super) fn leave_relay(&mut self, lost: PeerId, now: Instant, out: &mut Outbox) {
        if let Some(relay) = &mut self.relaying.relay {
            return relay.forget_onward(lost);
        }
        let Some(world) = &self.world else { return };
        let mut stranded: Vec<_> =
            world.roles.keys().copied().filter(|&peer| self.is_stranded(peer)).collect();
        stranded.sort_unstable();
        for peer in stranded {
            if let Some(at) = self.tunnels.endpoint(peer) {
                self.paths.remove(peer, at.address, now);
            }
            self.relaying.asked.remove(&peer);
            self.ask_relays(peer, now, out);
        }
    }

    /// Whether the way to a peer is through a relay that does not answer, or on a channel that was closed.
    fn is_stranded(&self, peer: PeerId) -> bool {
        let at = self.tunnels.endpoint(peer).and_then(|at| VirtualEndpoint::of(at.address));
        matches!(at, Some(VirtualEndpoint::Relay { slot, channel })
            if !self.relaying.legs.is_open(PeerId(u32::from(slot)), channel))
    }
}
