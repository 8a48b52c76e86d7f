//! Paths through relays, both sides of them joined to the tunnels.
//!
//! On a gateway a channel of a relay is an endpoint like any other: what goes there is put into the relay's frames on
//! its last step to the outbox, what comes out of a frame is taken as if it came from there. On a relay frames go from
//! one gateway's leg to the other's, and nothing else of them is looked at. Both register, open and refuse by messages in
//! their own tunnel.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};

use super::world::{PeerKind, World};
use super::{Engine, Outbox};
use crate::base::{DropReason, PublicKey, VirtualEndpoint, is_virtual};
use crate::mesh::frame::{FRAME_OVERHEAD, FrameKey, frame_channel, frame_index};
use crate::mesh::legs::{Due, Legs};
use crate::mesh::relay::{Quota, Relay};
use crate::mesh::relaying::{Introduction, Refusal, Relaying as Said, Terms};
use crate::mesh::wire::Message;
use crate::packet::{Ecn, TokenBucket};
use crate::roster::NodeId;
use crate::table::PeerId;
use crate::tunnel::Endpoint;

/// How often relays are asked for a channel to one peer.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Verdicts about pairs that are remembered.
const JUDGED_MAX: usize = 65_536;
/// How often a gateway is told that a channel is closed, a second and at once, all gateways together.
const CLOSED_PER_SECOND: u32 = 50;

/// What an engine has of relays.
#[derive(Debug, Default)]
pub(super) struct Relaying {
    /// This node is one.
    relay: Option<Relay>,
    legs: Legs,
    /// What relays were asked for.
    asked: HashMap<PeerId, Asked>,
    /// Of rooms, as long as the rosters stay: whether there could be a flow.
    judged: HashMap<(u32, u32), bool>,
    closed: Option<TokenBucket>,
    keys: u64,
}

/// That relays were asked for a channel to a gateway.
#[derive(Debug)]
struct Asked {
    at: Instant,
    /// How many said that it is not there.
    not_here: usize,
}

impl Relaying {
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.legs.remove_peer(peer);
        self.asked.remove(&peer);
        if let Some(relay) = &mut self.relay {
            relay.remove_gateway(peer);
        }
    }

    /// The channels to a peer, with their relays, in an order that is the same in every run.
    pub(super) fn channels_to(&self, peer: PeerId) -> Vec<(PeerId, u32)> {
        let mut channels: Vec<_> = self.legs.channels_to(peer).collect();
        channels.sort_unstable();
        channels
    }

    /// Relays are to learn where this gateway is.
    pub(super) fn renew(&mut self, now: Instant) {
        self.legs.renew(now);
    }

    /// A peer is somewhere else.
    pub(super) fn handle_moved(&mut self, peer: PeerId, now: Instant) {
        self.legs.handle_moved(peer, now);
    }

    /// What is known of rooms.
    pub(super) fn judged(&mut self) -> &mut HashMap<(u32, u32), bool> {
        &mut self.judged
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.legs.poll_timeout(), self.relay.as_ref().and_then(Relay::poll_timeout)]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Engine {
    /// Puts out the `len` bytes at the front of the last [`Outbox::space`], whatever kind of endpoint it goes to.
    #[inline]
    pub(super) fn commit(
        &mut self,
        peer: Option<PeerId>,
        to: Endpoint,
        ecn: u8,
        len: usize,
        now: Instant,
        out: &mut Outbox,
    ) {
        if is_virtual(to.address.ip()) {
            self.commit_virtual(peer, to, ecn, len, now, out);
        } else {
            out.push_datagram(peer, to, ecn, len);
        }
    }

    #[cold]
    fn commit_virtual(
        &mut self,
        peer: Option<PeerId>,
        to: Endpoint,
        ecn: u8,
        len: usize,
        now: Instant,
        out: &mut Outbox,
    ) {
        match VirtualEndpoint::of(to.address) {
            None | Some(VirtualEndpoint::Tls { .. }) => out.push_datagram(peer, to, ecn, len),
            Some(VirtualEndpoint::Relay { slot, channel }) => {
                if let Err(reason) = self.commit_relayed((slot, channel), peer, ecn, len, now, out) {
                    self.counters.drop(reason);
                    if let Some(peer) = peer {
                        self.ask_relays(peer, now, out);
                    }
                }
            }
        }
    }

    fn commit_relayed(
        &mut self,
        (slot, channel): (u16, u32),
        peer: Option<PeerId>,
        ecn: u8,
        len: usize,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let relay = PeerId(u32::from(slot));
        let to = self.tunnels.endpoint(relay).ok_or(DropReason::NoSession)?;
        let space = out.space(0).ok_or(DropReason::QueueFull)?;
        let len = self.relaying.legs.wrap(relay, channel, space, len, now)?;
        out.push_datagram(peer, to, ecn, len);
        Ok(())
    }

    /// Takes a frame: on a relay to be sent on; on a gateway it gives back from which path its payload came, which lies
    /// from [`FRAME_OVERHEAD`] on.
    #[cold]
    pub(super) fn handle_frame(
        &mut self,
        source: Endpoint,
        outer: Ecn,
        datagram: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<Option<Endpoint>, DropReason> {
        let index = frame_index(datagram).ok_or(DropReason::BadFrame)?;
        let peer = self.tunnels.find_index(index, source, datagram.len()).ok_or(DropReason::UnknownIndex)?;
        if self.relaying.relay.is_some() {
            return self.relay_frame(peer, outer, datagram, now, out).map(|()| None);
        }
        let channel = self.relaying.legs.read(peer, datagram, now)?;
        Ok(Some(channel_endpoint(peer, channel)))
    }

    fn relay_frame(
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
        let onward = match accepted {
            Ok(onward) => onward,
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
        self.commit(Some(onward.node), to, outer as u8, len, now, out);
        Ok(())
    }

    /// Takes a message about relays.
    pub(super) fn handle_relaying(
        &mut self,
        peer: PeerId,
        said: &Said,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        match *said {
            Said::Register(theirs) => self.handle_register(peer, theirs, now, out),
            Said::Open { peer: wanted } => self.handle_open(peer, wanted, now, out),
            Said::OpenFar { peer: wanted } => self.handle_open_far(peer, wanted, now, out),
            Said::Extend { from, to } => self.handle_extend(peer, from, to, now, out),
            Said::Extended { from, to, channel } => self.handle_extended(peer, (from, to), channel, now, out),
            Said::Registered { terms, observed } => {
                self.handle_observed(peer, observed, now);
                if self.relaying.legs.handle_registered(peer, terms, now) {
                    match &mut self.relaying.relay {
                        Some(relay) => relay.forget_onward(peer),
                        None => self.ask_for_missed(peer, now, out),
                    }
                }
                Ok(())
            }
            Said::Opened(introduction) => self.handle_introduction(peer, &introduction, true, now),
            Said::Incoming(introduction) => self.handle_introduction(peer, &introduction, false, now),
            Said::Ended { channel } => {
                let other = self.relaying.relay.as_mut().and_then(|relay| relay.handle_ended(peer, channel));
                if let Some(other) = other {
                    self.say(other, Said::Closed { channel }, now, out);
                }
                Ok(())
            }
            Said::Closed { channel } => {
                if let Some(relay) = &mut self.relaying.relay {
                    if let Some((gateway, channel)) = relay.handle_closed(peer, channel) {
                        self.say(gateway, Said::Closed { channel }, now, out);
                    }
                } else if let Some(other) = self.relaying.legs.handle_closed(peer, channel) {
                    self.paths.remove(other, channel_endpoint(peer, channel).address, now);
                    self.relaying.asked.remove(&other);
                    self.ask_relays(other, now, out);
                }
                Ok(())
            }
            Said::Refused { peer: wanted, why } => {
                tracing::debug!(peer = %wanted, why = why.sentence(), "relay refused a channel");
                if why == Refusal::NotHere {
                    self.ask_further(wanted, now, out);
                }
                Ok(())
            }
        }
    }

    fn handle_register(
        &mut self,
        gateway: PeerId,
        theirs: Terms,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let ours = self.terms(gateway).ok_or(DropReason::NoRoute)?;
        let world = self.world.as_ref().ok_or(DropReason::NoRoute)?;
        let owner = world.owner_behind(gateway);
        let observed = self.observed(gateway);
        let (Some(relay), Some(owner)) = (&mut self.relaying.relay, owner) else {
            return Err(DropReason::NotControl);
        };
        match relay.handle_register(gateway, owner, theirs, ours, now) {
            Some(terms) => self.say(gateway, Said::Registered { terms, observed }, now, out),
            None => self.say(gateway, Said::Refused { peer: self.own_key, why: Refusal::Full }, now, out),
        }
        Ok(())
    }

    fn handle_open(
        &mut self,
        gateway: PeerId,
        wanted: PublicKey,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let other = self.tunnels.peer_by_key(&wanted);
        let world = self.world.as_ref().ok_or(DropReason::NoRoute)?;
        let Relaying { relay: Some(relay), judged, .. } = &mut self.relaying else {
            return Err(DropReason::NotControl);
        };
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

    fn handle_open_far(
        &mut self,
        gateway: PeerId,
        wanted: PublicKey,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let other = self.tunnels.peer_by_key(&wanted).ok_or(DropReason::NoRoute)?;
        let world = self.world.as_ref().ok_or(DropReason::NoRoute)?;
        let key = world.roles.get(&gateway).map(|role| role.key).ok_or(DropReason::NoRoute)?;
        let Relaying { relay: Some(relay), judged, legs, .. } = &mut self.relaying else {
            return Err(DropReason::NotControl);
        };
        if relay.has_leg(other) {
            return self.handle_open(gateway, wanted, now, out);
        }
        let may = relay.handle_open_far(gateway, other, now, || could_talk(world, judged, gateway, other));
        match may {
            Ok(()) => {
                for relay in legs.registered().collect::<Vec<_>>() {
                    self.say(relay, Said::Extend { from: key, to: wanted }, now, out);
                }
            }
            Err(why) => self.say(gateway, Said::Refused { peer: wanted, why }, now, out),
        }
        Ok(())
    }

    /// Another relay has a gateway that looks for one that may be here.
    fn handle_extend(
        &mut self,
        relay: PeerId,
        from: PublicKey,
        to: PublicKey,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let world = self.world.as_ref().ok_or(DropReason::NoRoute)?;
        let is_relay =
            world.roles.get(&relay).is_some_and(|role| matches!(role.kind, PeerKind::Relay { .. }));
        let (Some(near), Some(far)) = (self.tunnels.peer_by_key(&to), self.tunnels.peer_by_key(&from)) else {
            return Err(DropReason::NoRoute);
        };
        let owner = world.owner_behind(far).ok_or(DropReason::NoRoute)?;
        let Relaying { relay: Some(own), judged, .. } = &mut self.relaying else {
            return Err(DropReason::NotControl);
        };
        if !is_relay {
            return Err(DropReason::NotControl);
        }
        let judge = || could_talk(world, judged, far, near);
        if let Ok(channel) = own.handle_extend(relay, (far, owner), near, now, judge) {
            let nowhere = (Ipv6Addr::UNSPECIFIED, 0).into();
            self.say(near, Said::Incoming(Introduction { peer: from, channel, observed: nowhere }), now, out);
            self.say(relay, Said::Extended { from, to, channel }, now, out);
        }
        Ok(())
    }

    /// Another relay has a channel to a gateway that one here looks for.
    fn handle_extended(
        &mut self,
        relay: PeerId,
        (from, to): (PublicKey, PublicKey),
        onward: u32,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let (Some(near), Some(far)) = (self.tunnels.peer_by_key(&from), self.tunnels.peer_by_key(&to)) else {
            return Err(DropReason::NoRoute);
        };
        let Relaying { relay: Some(own), legs, .. } = &mut self.relaying else {
            return Err(DropReason::NotControl);
        };
        if !legs.handle_channel(relay, onward, near) {
            return Err(DropReason::NoLeg);
        }
        if let Ok(Some(channel)) = own.handle_extended(relay, (near, far), onward, now) {
            let observed = (Ipv6Addr::UNSPECIFIED, 0).into();
            self.say(near, Said::Opened(Introduction { peer: to, channel, observed }), now, out);
        } else {
            legs.handle_closed(relay, onward);
            self.say(relay, Said::Ended { channel: onward }, now, out);
        }
        Ok(())
    }

    /// A relay says that a channel leads to a gateway.
    fn handle_introduction(
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
    pub(super) fn register_with(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
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

    /// Asks every relay for a channel to a gateway that is not to be found, now and then.
    pub(super) fn ask_relays(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        let Some(key) = self.world.as_ref().and_then(|world| {
            world.room_behind(peer)?;
            world.roles.get(&peer).map(|role| role.key)
        }) else {
            return;
        };
        let asked = self.relaying.asked.get(&peer);
        if self.relaying.relay.is_some()
            || asked.is_some_and(|asked| now.saturating_duration_since(asked.at) < ASK_EVERY)
        {
            return;
        }
        let relays: Vec<_> = self.relaying.legs.registered().collect();
        if relays.is_empty() {
            return;
        }
        self.relaying.asked.insert(peer, Asked { at: now, not_here: 0 });
        for relay in relays {
            self.say(relay, Said::Open { peer: key }, now, out);
        }
    }

    /// A relay does not have a gateway. When none has, they are asked for a chain of two.
    fn ask_further(&mut self, wanted: PublicKey, now: Instant, out: &mut Outbox) {
        let Some(asked) =
            self.tunnels.peer_by_key(&wanted).and_then(|peer| self.relaying.asked.get_mut(&peer))
        else {
            return;
        };
        asked.not_here += 1;
        let relays: Vec<_> = self.relaying.legs.registered().collect();
        if asked.not_here == relays.len() {
            for relay in relays {
                self.say(relay, Said::OpenFar { peer: wanted }, now, out);
            }
        }
    }

    /// A relay took the registration: gateways without a session are looked for through it, and those that were reached
    /// through it before it forgot.
    fn ask_for_missed(&mut self, relay: PeerId, now: Instant, out: &mut Outbox) {
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
            self.relaying.asked.entry(peer).or_insert(Asked { at: now, not_here: 0 });
            self.say(relay, Said::Open { peer: key }, now, out);
        }
    }

    /// What is due: registrations, and what a relay lets go of.
    pub(super) fn handle_relays_timeout(&mut self, now: Instant, out: &mut Outbox) {
        while let Some((relay, due)) = self.relaying.legs.poll_due(now) {
            match due {
                Due::Register(terms) => self.say(relay, Said::Register(terms), now, out),
                Due::Renew(terms) => {
                    let place = self.tunnels.endpoint(relay).map(|at| at.address);
                    self.tunnels.seek(relay, place.as_slice(), now);
                    self.say(relay, Said::Register(terms), now, out);
                }
                Due::Lost => self.leave_relay(relay, now, out),
            }
        }
        if let Some(relay) = &mut self.relaying.relay {
            relay.handle_timeout(now);
        }
        while let Some((relay, channel)) = self.relaying.relay.as_mut().and_then(Relay::poll_ended) {
            self.relaying.legs.handle_closed(relay, channel);
            self.say(relay, Said::Ended { channel }, now, out);
        }
    }

    /// A relay does not answer: who is reached through it is looked for at the others.
    fn leave_relay(&mut self, lost: PeerId, now: Instant, out: &mut Outbox) {
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

    /// Rosters are in force: this node is a relay, or is none, and judges its pairs again.
    pub(super) fn relay_anew(&mut self, now: Instant) {
        let Some(world) = &self.world else { return };
        let Relaying { relay, judged, .. } = &mut self.relaying;
        judged.clear();
        if !world.is_relay() {
            *relay = None;
            return;
        }
        let relay = relay.get_or_insert_with(|| Relay::new(Quota::default(), now));
        let owner_of = |peer| world.owner_behind(peer);
        let pairs: HashSet<_> =
            relay.pairs().into_iter().filter(|&(a, b)| could_talk(world, judged, a, b)).collect();
        relay.handle_reload(owner_of, |a, b| pairs.contains(&(a, b)), now);
    }

    /// Where datagrams to the peer really go, and the octets that are put around them besides the tunnel's own.
    pub(super) fn underlay(&self, peer: PeerId) -> Option<(Endpoint, u16)> {
        let endpoint = self.tunnels.endpoint(peer)?;
        match VirtualEndpoint::of(endpoint.address) {
            None | Some(VirtualEndpoint::Tls { .. }) => Some((endpoint, 0)),
            Some(VirtualEndpoint::Relay { slot, .. }) => {
                Some((self.tunnels.endpoint(PeerId(u32::from(slot)))?, FRAME_OVERHEAD as u16))
            }
        }
    }

    /// What this relay has: how many gateways are registered, and which pairs of them have a channel. A gateway has none.
    #[must_use]
    pub fn relayed(&self) -> (usize, Vec<[PublicKey; 2]>) {
        let Some(relay) = &self.relaying.relay else { return (0, Vec::new()) };
        let key = |peer| self.tunnels.stats(peer).map(|stats| stats.key);
        let pairs = relay.pairs().into_iter().filter_map(|(a, b)| Some([key(a)?, key(b)?]));
        (relay.size().0, pairs.collect())
    }

    /// What frames of a mesh node are to have, if they are to have something new.
    fn terms(&mut self, peer: PeerId) -> Option<Terms> {
        let number = self.relaying.keys;
        self.relaying.keys += 1;
        let index = self.tunnels.receiver_index(peer)? | (number & 0xff) as u32;
        Some(Terms { index, key: FrameKey::derive(&self.config.seed, number) })
    }

    /// Where a peer is seen.
    fn observed(&self, peer: PeerId) -> SocketAddr {
        let seen = self.tunnels.endpoint(peer).map(|at| at.address).filter(|at| !is_virtual(at.ip()));
        seen.unwrap_or_else(|| (Ipv6Addr::UNSPECIFIED, 0).into())
    }

    fn say(&mut self, peer: PeerId, said: Said, now: Instant, out: &mut Outbox) {
        if let Err(reason) = self.send_control(peer, &Message::Relaying(said), now, out) {
            self.counters.drop(reason);
        }
    }
}

/// Where a peer is that is reached on a relay's channel.
pub(super) fn channel_endpoint(relay: PeerId, channel: u32) -> Endpoint {
    #[expect(clippy::cast_possible_truncation, reason = "there are 2^16 slots at most")]
    let path = VirtualEndpoint::Relay { slot: relay.0 as u16, channel };
    Endpoint { address: path.address(), local: None }
}

/// Whether the rosters could allow a flow between what is behind two gateways.
fn could_talk(world: &World, judged: &mut HashMap<(u32, u32), bool>, one: PeerId, other: PeerId) -> bool {
    let (Some(one), Some(other)) = (world.room_behind(one), world.room_behind(other)) else { return false };
    could_flow(world, judged, one, other)
}

/// Whether the rosters could allow a flow between two rooms.
pub(super) fn could_flow(
    world: &World,
    judged: &mut HashMap<(u32, u32), bool>,
    one: NodeId,
    other: NodeId,
) -> bool {
    if judged.len() >= JUDGED_MAX {
        judged.clear();
    }
    let pair = (one.0.min(other.0), one.0.max(other.0));
    *judged.entry(pair).or_insert_with(|| world.judge.could_flow(one, other))
}
