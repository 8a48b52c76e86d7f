//! Paths through relays, both sides of them joined to the tunnels.
//!
//! On a gateway a channel of a relay is an endpoint like any other: what goes there is put into the relay's frames on
//! its last step to the outbox, what comes out of a frame is taken as if it came from there. On a relay frames go from
//! one gateway's leg to the other's, and nothing else of them is looked at. Both register, open and refuse by messages in
//! their own tunnel.

mod chain;
mod gateway;
mod relay;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use hashbrown::HashMap;

use super::world::World;
use super::{Engine, Line, Outbox};
use crate::base::{DropReason, VirtualEndpoint, is_virtual};
use crate::mesh::frame::{FRAME_OVERHEAD, FrameKey, frame_index};
use crate::mesh::legs::{Due, Legs};
use crate::mesh::relay::Relay;
use crate::mesh::relaying::{Refusal, Relaying as Said, Terms};
use crate::mesh::wire::Message;
use crate::packet::{Ecn, TokenBucket};
use crate::roster::NodeId;
use crate::table::PeerId;
use crate::tunnel::Endpoint;

/// Verdicts about pairs that are remembered.
const JUDGED_MAX: usize = 65_536;
/// Where somebody is whom this node does not see.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

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
    /// How many have none.
    refused: usize,
    /// They were asked for a chain of two.
    further: bool,
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
        line: Line,
        to: Endpoint,
        ecn: u8,
        len: usize,
        now: Instant,
        out: &mut Outbox,
    ) {
        if is_virtual(to.address.ip()) {
            self.commit_virtual(line, to, ecn, len, now, out);
        } else {
            out.push_datagram(line, to, ecn, len);
        }
    }

    #[cold]
    fn commit_virtual(
        &mut self,
        line: Line,
        to: Endpoint,
        ecn: u8,
        len: usize,
        now: Instant,
        out: &mut Outbox,
    ) {
        match VirtualEndpoint::of(to.address) {
            None | Some(VirtualEndpoint::Tls { .. }) => out.push_datagram(line, to, ecn, len),
            Some(VirtualEndpoint::Relay { slot, channel }) => {
                if let Err(reason) = self.commit_relayed((slot, channel), line, ecn, len, now, out) {
                    self.counters.drop(reason);
                    if let Some(peer) = line.peer() {
                        self.ask_relays(peer, now, out);
                    }
                }
            }
        }
    }

    fn commit_relayed(
        &mut self,
        (slot, channel): (u16, u32),
        line: Line,
        ecn: u8,
        len: usize,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let relay = PeerId(u32::from(slot));
        let to = self.tunnels.endpoint(relay).ok_or(DropReason::NoSession)?;
        let space = out.space(0).ok_or(DropReason::QueueFull)?;
        let len = self.relaying.legs.wrap(relay, channel, space, len, now)?;
        out.push_datagram(line, to, ecn, len);
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
                if why == Refusal::NotRegistered {
                    self.relaying.legs.handle_moved(peer, now);
                }
                self.ask_further(wanted, now, out);
                Ok(())
            }
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
        seen.unwrap_or(NOWHERE)
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
