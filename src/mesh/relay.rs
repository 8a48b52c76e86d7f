//! The relay: forwards sealed datagrams between two gateways that registered with it, and can't read them.
//!
//! A gateway registers inside its own tunnel, and so has a leg: frames of it are told by their tag, and frames to it go
//! where its WireGuard session is, never where a frame came from. A channel is between two legs and is there only where
//! the rosters could allow a flow between what is behind them; when they no more do, it is closed. Whoever owns the
//! gateways has a share: so many legs and channels, and so many octets a second, whatever others do.
//!
//! Where no relay has both gateways, two relays do: the one registers with the other like a gateway, and has it extend a
//! channel to the far gateway. Each of the two judges the pair. A chain has two relays and never more: what a relay asks
//! for is not asked for again.
//!
//! Nothing here is sent by itself: what a message comes to is given back. A leg whose gateway is silent for
//! [`LEG_LASTS`] goes, with its channels; so does a channel that carries nothing for [`CHANNEL_LASTS`].

use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::frame::{FRAME_OVERHEAD, FrameHeader, ReplayWindow, read_frame, write_frame};
use super::relaying::{Refusal, Terms};
use crate::base::DropReason;
use crate::packet::TokenBucket;
use crate::roster::OwnerId;
use crate::table::PeerId;

/// How long a leg lasts without being registered again.
pub const LEG_LASTS: Duration = Duration::from_secs(180);
/// How long a channel lasts that carries nothing.
pub const CHANNEL_LASTS: Duration = Duration::from_secs(300);
/// How long another relay may take to extend a channel, and how long one that carries nothing is safe from another way.
const EXTENDS_WITHIN: Duration = Duration::from_secs(10);
/// How often what is past its time is looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// What one owner's gateways may have of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub legs: u32,
    pub channels: u32,
    /// Octets a second, and at once.
    pub octets_per_second: u64,
    pub octets_at_once: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { legs: 1_024, channels: 8_192, octets_per_second: 125_000_000, octets_at_once: 16_000_000 }
    }
}

/// Channels that one gateway may ask for in a second, and at once.
const OPENS_PER_SECOND: u32 = 50;
const OPENS_AT_ONCE: u32 = 2_000;
/// The most channels of all owners.
const CHANNELS_MAX: usize = 1 << 16;

/// One relay.
#[derive(Debug)]
pub struct Relay {
    quota: Quota,
    legs: HashMap<PeerId, Leg>,
    channels: HashMap<u32, Channel>,
    /// The channel between two gateways.
    by_pair: HashMap<Pair, u32>,
    /// Channels of other relays that channels here go on in.
    by_onward: HashMap<(PeerId, u32), u32>,
    /// Pairs for which other relays are asked, and since when.
    asked: HashMap<Pair, Instant>,
    /// Channels of other relays that nothing here goes on in any more.
    ended: Vec<(PeerId, u32)>,
    owners: HashMap<OwnerId, Share>,
    next_channel: u32,
    swept: Instant,
    counts: RelayCounts,
}

/// What a relay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayCounts {
    pub frames: u64,
    pub octets: u64,
    pub refused: u64,
}

/// Two gateways, the lower slot first.
pub type Pair = (PeerId, PeerId);

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Onward {
    pub node: PeerId,
    /// As frames to the node have it.
    pub channel: u32,
    /// The node is a relay that this one registered with, and has frames as it told it.
    pub is_far: bool,
}

#[derive(Debug)]
struct Leg {
    owner: OwnerId,
    /// What frames of the gateway have.
    ours: Terms,
    /// What frames to it have.
    theirs: Terms,
    sent: u64,
    window: ReplayWindow,
    registered: Instant,
    /// Each of its wishes is told to another one.
    wishes: TokenBucket,
}

#[derive(Debug)]
struct Channel {
    pair: Pair,
    ends: [Onward; 2],
    /// Whose share it is in: the one's that opened it.
    owner: OwnerId,
    used: Instant,
}

/// What an owner has in use.
#[derive(Debug)]
struct Share {
    legs: u32,
    channels: u32,
    /// Octets that may go at this instant.
    octets: u64,
    at: Instant,
}

impl Relay {
    #[must_use]
    pub fn new(quota: Quota, now: Instant) -> Self {
        Self {
            quota,
            legs: HashMap::new(),
            channels: HashMap::new(),
            by_pair: HashMap::new(),
            by_onward: HashMap::new(),
            asked: HashMap::new(),
            ended: Vec::new(),
            owners: HashMap::new(),
            next_channel: 0,
            swept: now,
            counts: RelayCounts::default(),
        }
    }

    /// A gateway registers, or another relay. `ours` is what its frames are to have, if it is new; what it has already it keeps, as long
    /// as it asks for the same. `None`: its owner has as many legs as it may.
    pub fn handle_register(
        &mut self,
        gateway: PeerId,
        owner: OwnerId,
        theirs: Terms,
        ours: Terms,
        now: Instant,
    ) -> Option<Terms> {
        if let Some(leg) = self.legs.get_mut(&gateway)
            && leg.theirs == theirs
            && leg.owner == owner
        {
            leg.registered = now;
            return Some(leg.ours);
        }
        let is_new = !self.legs.contains_key(&gateway);
        let share = self.owners.entry(owner).or_insert_with(|| Share::new(self.quota, now));
        if is_new && share.legs >= self.quota.legs {
            self.counts.refused += 1;
            return None;
        }
        share.legs += u32::from(is_new);
        let wishes = TokenBucket::new(OPENS_PER_SECOND, OPENS_AT_ONCE, now);
        let leg = Leg { owner, ours, theirs, sent: 0, window: ReplayWindow::new(), registered: now, wishes };
        self.legs.insert(gateway, leg);
        Some(ours)
    }

    /// A gateway asks for a channel to another; `could_flow` judges the pair, if it comes to that.
    ///
    /// # Errors
    /// Why there is none.
    pub fn handle_open(
        &mut self,
        gateway: PeerId,
        other: Option<PeerId>,
        now: Instant,
        could_flow: impl FnOnce() -> bool,
    ) -> Result<u32, Refusal> {
        let opened = self.open(gateway, other, now, could_flow);
        self.counts.refused += u64::from(opened.is_err());
        opened
    }

    fn open(
        &mut self,
        gateway: PeerId,
        other: Option<PeerId>,
        now: Instant,
        could_flow: impl FnOnce() -> bool,
    ) -> Result<u32, Refusal> {
        let owner = self.wish(gateway, now)?;
        let other = other.filter(|other| *other != gateway && self.legs.contains_key(other));
        let other = other.ok_or(Refusal::NotHere)?;
        let pair = pair(gateway, other);
        // Who is here itself needs no other relay's word for where it is.
        if let Some(&channel) = self.by_pair.get(&pair)
            && self.channels.get(&channel).is_some_and(Channel::is_direct)
        {
            return Ok(channel);
        }
        if !could_flow() {
            return Err(Refusal::Policy);
        }
        self.insert(pair, owner, now, |channel| {
            [gateway, other].map(|node| Onward { node, channel, is_far: false })
        })
    }

    #[must_use]
    pub fn has_leg(&self, node: PeerId) -> bool {
        self.legs.contains_key(&node)
    }

    /// A gateway asks for a channel to one that is not here; whether other relays are to be asked.
    pub fn handle_open_far(
        &mut self,
        gateway: PeerId,
        other: PeerId,
        now: Instant,
        could_flow: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        self.wish(gateway, now)?;
        if other == gateway || !could_flow() {
            return Err(Refusal::Policy);
        }
        if self.asked.len() >= CHANNELS_MAX {
            return Err(Refusal::Full);
        }
        self.asked.insert(pair(gateway, other), now);
        Ok(())
    }

    /// Another relay asks for a channel of a gateway there to one here.
    ///
    /// # Errors
    /// Why there is none.
    pub fn handle_extend(
        &mut self,
        relay: PeerId,
        (from, from_owner): (PeerId, OwnerId),
        to: PeerId,
        now: Instant,
        could_flow: impl FnOnce() -> bool,
    ) -> Result<u32, Refusal> {
        self.wish(relay, now)?;
        if [from, relay].contains(&to) || !self.legs.contains_key(&to) {
            return Err(Refusal::NotHere);
        }
        let pair = pair(from, to);
        if let Some(&channel) = self.by_pair.get(&pair) {
            let known = self.channels.get(&channel).is_some_and(|known| known.has_end(relay));
            if known {
                return Ok(channel);
            }
            if !self.gives_way(channel, now) {
                return Err(Refusal::Full);
            }
        }
        if !could_flow() {
            return Err(Refusal::Policy);
        }
        self.insert(pair, from_owner, now, |channel| {
            [relay, to].map(|node| Onward { node, channel, is_far: false })
        })
    }

    /// Another relay extended a channel that was asked for: the gateway's own, which goes on there. `None`: there is a
    /// better one by now.
    ///
    /// # Errors
    /// Why there is none.
    pub fn handle_extended(
        &mut self,
        relay: PeerId,
        (from, to): (PeerId, PeerId),
        onward: u32,
        now: Instant,
    ) -> Result<Option<u32>, Refusal> {
        let owner = self.legs.get(&from).ok_or(Refusal::NotRegistered)?.owner;
        let pair = pair(from, to);
        let asked = self.asked.remove(&pair);
        if let Some(&known) = self.by_onward.get(&(relay, onward)) {
            // Asked for twice, or the gateway began anew: its channel is what it was, if it is its.
            let is_same = self.by_pair.get(&pair) == Some(&known);
            return Ok(is_same.then_some(known));
        }
        asked.ok_or(Refusal::NotHere)?;
        if let Some(&channel) = self.by_pair.get(&pair)
            && !self.gives_way(channel, now)
        {
            return Ok(None);
        }
        let channel = self.insert(pair, owner, now, |channel| {
            let near = Onward { node: from, channel, is_far: false };
            [near, Onward { node: relay, channel: onward, is_far: true }]
        })?;
        self.by_onward.insert((relay, onward), channel);
        Ok(Some(channel))
    }

    /// The owner of a leg that has a wish left.
    fn wish(&mut self, node: PeerId, now: Instant) -> Result<OwnerId, Refusal> {
        let leg = self.legs.get_mut(&node).ok_or(Refusal::NotRegistered)?;
        if leg.wishes.take(now) { Ok(leg.owner) } else { Err(Refusal::Full) }
    }

    /// Whether a channel may be replaced by another way between the two: it leads through another relay, and carries
    /// nothing.
    fn gives_way(&self, channel: u32, now: Instant) -> bool {
        self.channels.get(&channel).is_none_or(|channel| {
            !channel.is_direct() && now.saturating_duration_since(channel.used) > EXTENDS_WITHIN
        })
    }

    fn insert(
        &mut self,
        pair: Pair,
        owner: OwnerId,
        now: Instant,
        ends: impl FnOnce(u32) -> [Onward; 2],
    ) -> Result<u32, Refusal> {
        if let Some(&before) = self.by_pair.get(&pair) {
            self.close(before);
        }
        let share = self.owners.entry(owner).or_insert_with(|| Share::new(self.quota, now));
        if share.channels >= self.quota.channels || self.channels.len() >= CHANNELS_MAX {
            return Err(Refusal::Full);
        }
        share.channels += 1;
        while self.channels.contains_key(&self.next_channel) {
            self.next_channel = self.next_channel.wrapping_add(1);
        }
        let channel = self.next_channel;
        self.next_channel = channel.wrapping_add(1);
        self.channels.insert(channel, Channel { pair, ends: ends(channel), owner, used: now });
        self.by_pair.insert(pair, channel);
        Ok(channel)
    }

    /// Takes a frame of a gateway's, or of a relay's that registered here; where it goes.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub fn accept(&mut self, node: PeerId, datagram: &[u8], now: Instant) -> Result<Onward, DropReason> {
        let leg = self.legs.get_mut(&node).ok_or(DropReason::NoLeg)?;
        let header = read_frame(datagram, &leg.ours.key).ok_or(DropReason::BadFrame)?;
        if header.index != leg.ours.index {
            return Err(DropReason::BadFrame);
        }
        if !leg.window.take(header.counter) {
            return Err(DropReason::Replayed);
        }
        self.pass(node, header.channel, datagram.len(), now)
    }

    /// Where a frame goes that came on this channel of another relay, with which this one registered.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub fn accept_far(
        &mut self,
        relay: PeerId,
        onward: u32,
        len: usize,
        now: Instant,
    ) -> Result<Onward, DropReason> {
        let channel = *self.by_onward.get(&(relay, onward)).ok_or(DropReason::NoChannel)?;
        self.pass(relay, channel, len, now)
    }

    fn pass(&mut self, node: PeerId, channel: u32, len: usize, now: Instant) -> Result<Onward, DropReason> {
        let channel = self.channels.get_mut(&channel).ok_or(DropReason::NoChannel)?;
        let onward = match channel.ends {
            [a, b] if a.node == node => b,
            [a, b] if b.node == node => a,
            _ => return Err(DropReason::NoChannel),
        };
        channel.used = now;
        // A gateway's frames are in its own owner's share, what comes by another relay in the channel's.
        let own = [channel.pair.0, channel.pair.1].contains(&node).then(|| self.legs.get(&node)).flatten();
        let owner = own.map_or(channel.owner, |leg| leg.owner);
        let share = self.owners.get_mut(&owner).ok_or(DropReason::NoLeg)?;
        if !share.spend(len as u64, self.quota, now) {
            return Err(DropReason::RelayQuota);
        }
        self.counts.frames += 1;
        self.counts.octets += len as u64;
        Ok(onward)
    }

    /// Writes a frame that was accepted to the front of `space`, as the frame to a leg; its length.
    ///
    /// # Errors
    /// Why there is no such leg.
    pub fn write(&mut self, onward: Onward, datagram: &[u8], space: &mut [u8]) -> Result<usize, DropReason> {
        let leg = self.legs.get_mut(&onward.node).ok_or(DropReason::NoLeg)?;
        let frame = space.get_mut(..datagram.len()).ok_or(DropReason::QueueFull)?;
        frame[FRAME_OVERHEAD..].copy_from_slice(&datagram[FRAME_OVERHEAD..]);
        let header = FrameHeader { index: leg.theirs.index, counter: leg.sent, channel: onward.channel };
        leg.sent += 1;
        write_frame(frame, header, &leg.theirs.key);
        Ok(datagram.len())
    }

    /// Another relay closed a channel; the gateway whose channel went on there, and that channel.
    pub fn handle_closed(&mut self, relay: PeerId, onward: u32) -> Option<(PeerId, u32)> {
        let channel = self.by_onward.remove(&(relay, onward))?;
        let near = self.channels.get(&channel)?.ends[0].node;
        self.close(channel);
        Some((near, channel))
    }

    /// Who has frames on this channel says that nothing is behind it any more; who is to be told.
    pub fn handle_ended(&mut self, node: PeerId, channel: u32) -> Option<PeerId> {
        let ends = self.channels.get(&channel)?.ends;
        let other = match ends {
            [a, b] if a.node == node && !a.is_far => b,
            [a, b] if b.node == node && !b.is_far => a,
            _ => return None,
        };
        self.close(channel);
        (!other.is_far).then_some(other.node)
    }

    /// A channel of another relay that nothing goes on in any more. Call until `None`.
    pub fn poll_ended(&mut self) -> Option<(PeerId, u32)> {
        self.ended.pop()
    }

    /// The gateway is no peer any more.
    pub fn remove_gateway(&mut self, gateway: PeerId) {
        self.retain_channels(|channel| !channel.is_of(gateway));
        if let Some(leg) = self.legs.remove(&gateway)
            && let Some(share) = self.owners.get_mut(&leg.owner)
        {
            share.legs -= 1;
            if share.legs == 0 && share.channels == 0 {
                self.owners.remove(&leg.owner);
            }
        }
    }

    /// A relay that this one registered with forgot what it knew: nothing goes on there.
    pub fn forget_onward(&mut self, relay: PeerId) {
        self.retain_channels(|channel| !channel.ends.iter().any(|end| end.is_far && end.node == relay));
    }

    /// The rosters changed: channels between gateways that could have no flow now are closed. Owners are numbered anew
    /// by `owner_of`; a leg of nobody's goes, and so does a channel.
    pub fn handle_reload(
        &mut self,
        owner_of: impl Fn(PeerId) -> Option<OwnerId>,
        could_flow: impl Fn(PeerId, PeerId) -> bool,
        now: Instant,
    ) {
        for gateway in self.legs.keys().copied().collect::<Vec<_>>() {
            if owner_of(gateway).is_none() {
                self.remove_gateway(gateway);
            }
        }
        self.retain_channels(|channel| {
            let (one, other) = channel.pair;
            owner_of(one).is_some() && owner_of(other).is_some() && could_flow(one, other)
        });
        self.asked.clear();
        self.owners.clear();
        for (gateway, leg) in &mut self.legs {
            leg.owner = owner_of(*gateway).unwrap_or(leg.owner);
            self.owners.entry(leg.owner).or_insert_with(|| Share::new(self.quota, now)).legs += 1;
        }
        for channel in self.channels.values_mut() {
            channel.owner = owner_of(channel.pair.0).unwrap_or(channel.owner);
            let share = self.owners.entry(channel.owner).or_insert_with(|| Share::new(self.quota, now));
            share.channels += 1;
        }
    }

    /// When [`Relay::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.legs.is_empty()).then_some(self.swept + SWEEP)
    }

    /// Lets go of what is past its time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        let silent = |leg: &Leg| now.saturating_duration_since(leg.registered) > LEG_LASTS;
        let gone: Vec<_> = self.legs.iter().filter(|(_, leg)| silent(leg)).map(|(&id, _)| id).collect();
        for gateway in gone {
            self.remove_gateway(gateway);
        }
        self.retain_channels(|channel| now.saturating_duration_since(channel.used) <= CHANNEL_LASTS);
        self.asked.retain(|_, since| now.saturating_duration_since(*since) <= EXTENDS_WITHIN);
    }

    fn retain_channels(&mut self, keep: impl Fn(&Channel) -> bool) {
        let gone: Vec<_> =
            self.channels.iter().filter(|(_, channel)| !keep(channel)).map(|(&id, _)| id).collect();
        for channel in gone {
            self.close(channel);
        }
    }

    fn close(&mut self, channel: u32) {
        let Some(gone) = self.channels.remove(&channel) else { return };
        self.by_pair.remove(&gone.pair);
        if let Some(share) = self.owners.get_mut(&gone.owner) {
            share.channels = share.channels.saturating_sub(1);
            if share.legs == 0 && share.channels == 0 {
                self.owners.remove(&gone.owner);
            }
        }
        for end in gone.ends.into_iter().filter(|end| end.is_far) {
            self.by_onward.remove(&(end.node, end.channel));
            self.ended.push((end.node, end.channel));
        }
    }

    /// Pairs of gateways that have a channel.
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        self.by_pair.keys().copied().collect()
    }

    /// Gateways that are registered, and channels that are open.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.legs.len(), self.channels.len())
    }

    #[must_use]
    pub fn counts(&self) -> RelayCounts {
        self.counts
    }
}

impl Channel {
    fn has_end(&self, node: PeerId) -> bool {
        self.ends.iter().any(|end| end.node == node)
    }

    /// Both gateways are here.
    fn is_direct(&self) -> bool {
        self.has_end(self.pair.0) && self.has_end(self.pair.1)
    }

    fn is_of(&self, node: PeerId) -> bool {
        self.has_end(node) || self.pair.0 == node || self.pair.1 == node
    }
}

fn pair(one: PeerId, other: PeerId) -> Pair {
    (one.min(other), one.max(other))
}

impl Share {
    fn new(quota: Quota, now: Instant) -> Self {
        Self { legs: 0, channels: 0, octets: quota.octets_at_once, at: now }
    }

    fn spend(&mut self, octets: u64, quota: Quota, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let earned = micros.saturating_mul(quota.octets_per_second / 1_000) / 1_000;
        self.octets = self.octets.saturating_add(earned).min(quota.octets_at_once);
        let may = self.octets >= octets;
        if may {
            self.octets -= octets;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::frame::FrameKey;

    const A: PeerId = PeerId(1);
    const B: PeerId = PeerId(2);
    const MALLORY: PeerId = PeerId(3);
    const ALICE: OwnerId = OwnerId(0);
    const EVE: OwnerId = OwnerId(1);

    struct Bench {
        relay: Relay,
        now: Instant,
        counter: u64,
    }

    fn terms(index: u32) -> Terms {
        Terms { index, key: FrameKey::from_bytes([index as u8; 16]) }
    }

    /// What a gateway's frames have; frames to it have ten more.
    fn ours(gateway: PeerId) -> Terms {
        terms(gateway.0)
    }

    impl Bench {
        #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
        fn new(quota: Quota) -> Self {
            let now = Instant::now();
            let mut bench = Self { relay: Relay::new(quota, now), now, counter: 0 };
            for (gateway, owner) in [(A, ALICE), (B, ALICE), (MALLORY, EVE)] {
                assert!(bench.register(gateway, owner).is_some());
            }
            bench
        }

        fn register(&mut self, gateway: PeerId, owner: OwnerId) -> Option<Terms> {
            let theirs = terms(gateway.0 + 10);
            self.relay.handle_register(gateway, owner, theirs, ours(gateway), self.now)
        }

        fn open(&mut self, from: PeerId, to: PeerId) -> Result<u32, Refusal> {
            let judged = |pair: (PeerId, PeerId)| pair != (A, MALLORY) && pair != (MALLORY, A);
            self.relay.handle_open(from, Some(to), self.now, || judged((from, to)))
        }

        fn frame(&mut self, terms: Terms, channel: u32, payload: &[u8]) -> Vec<u8> {
            let mut frame = [&[0; FRAME_OVERHEAD], payload].concat();
            self.counter += 1;
            let header = FrameHeader { index: terms.index, counter: self.counter, channel };
            write_frame(&mut frame, header, &terms.key);
            frame
        }

        fn forward(&mut self, from: PeerId, frame: &[u8]) -> Result<(PeerId, Vec<u8>), DropReason> {
            let mut space = vec![0; 2_000];
            let onward = self.relay.accept(from, frame, self.now)?;
            if onward.is_far {
                return Ok((onward.node, Vec::new()));
            }
            let len = self.relay.write(onward, frame, &mut space)?;
            Ok((onward.node, space[..len].to_vec()))
        }

        /// A frame of `from` on this channel.
        fn send(&mut self, from: PeerId, channel: u32) -> Result<PeerId, DropReason> {
            let frame = self.frame(ours(from), channel, &[7; 100]);
            Ok(self.forward(from, &frame)?.0)
        }
    }

    #[test]
    fn a_frame_of_one_gateway_is_a_frame_to_the_other_with_the_same_payload() {
        let mut bench = Bench::new(Quota::default());
        let channel = bench.open(A, B).unwrap();
        assert_eq!(bench.open(B, A), Ok(channel));
        for (from, to) in [(A, B), (B, A)] {
            let frame = bench.frame(ours(from), channel, &[9; 77]);
            let (other, onward) = bench.forward(from, &frame).unwrap();
            assert_eq!(other, to);
            let header = read_frame(&onward, &terms(to.0 + 10).key).unwrap();
            assert_eq!((header.index, header.channel), (to.0 + 10, channel));
            assert_eq!(onward[FRAME_OVERHEAD..], [9; 77]);
        }
    }

    #[test]
    fn a_pair_without_policy_gets_no_channel_and_a_stranger_none_either() {
        let mut bench = Bench::new(Quota::default());
        assert_eq!(bench.open(A, MALLORY), Err(Refusal::Policy));
        assert_eq!(bench.open(MALLORY, A), Err(Refusal::Policy));
        assert_eq!(bench.open(PeerId(9), A), Err(Refusal::NotRegistered));
        assert_eq!(bench.open(A, PeerId(9)), Err(Refusal::NotHere));
        assert_eq!(bench.open(A, A), Err(Refusal::NotHere));
        assert_eq!(bench.relay.size(), (3, 0));
    }

    #[test]
    fn what_is_another_ones_or_forged_or_sent_again_goes_nowhere() {
        let mut bench = Bench::new(Quota::default());
        let channel = bench.open(A, B).unwrap();
        assert_eq!(bench.send(MALLORY, channel), Err(DropReason::NoChannel));
        assert_eq!(bench.send(A, channel + 1), Err(DropReason::NoChannel));
        let forged = bench.frame(terms(5), channel, &[7; 100]);
        assert_eq!(bench.forward(A, &forged), Err(DropReason::BadFrame));
        assert_eq!(bench.forward(PeerId(9), &forged), Err(DropReason::NoLeg));
        let frame = bench.frame(ours(A), channel, &[7; 100]);
        assert!(bench.forward(A, &frame).is_ok());
        assert_eq!(bench.forward(A, &frame), Err(DropReason::Replayed));
        assert_eq!(bench.send(A, channel), Ok(B));
    }

    #[test]
    fn an_owners_flood_takes_its_own_share_alone() {
        let quota = Quota { octets_per_second: 100_000, octets_at_once: 10_000, ..Quota::default() };
        let mut bench = Bench::new(quota);
        let (ours, theirs) = (bench.open(A, B).unwrap(), bench.open(MALLORY, B).unwrap());
        let passed = (0..1_000).filter(|_| bench.send(MALLORY, theirs).is_ok()).count();
        assert_eq!(passed, 10_000 / 132);
        assert_eq!(bench.send(MALLORY, theirs), Err(DropReason::RelayQuota));
        assert_eq!(bench.send(A, ours), Ok(B));
        bench.now += Duration::from_millis(10);
        assert_eq!(bench.send(MALLORY, theirs), Ok(B));
    }

    /// Another relay, which is registered here, and at which this one is.
    const DALE: PeerId = PeerId(40);
    const FAR: PeerId = PeerId(41);

    #[test]
    fn a_channel_goes_on_at_another_relay_and_comes_back_from_there() {
        let mut bench = Bench::new(Quota::default());
        assert_eq!(
            bench.relay.handle_extended(DALE, (A, FAR), 9, bench.now),
            Err(Refusal::NotHere),
            "not asked"
        );
        assert_eq!(bench.relay.handle_open_far(A, FAR, bench.now, || false), Err(Refusal::Policy));
        assert_eq!(
            bench.relay.handle_open_far(PeerId(9), FAR, bench.now, || true),
            Err(Refusal::NotRegistered)
        );
        assert_eq!(bench.relay.handle_open_far(A, FAR, bench.now, || true), Ok(()));
        let channel = bench.relay.handle_extended(DALE, (A, FAR), 9, bench.now).unwrap().unwrap();
        assert_eq!(bench.send(A, channel), Ok(DALE));
        let back = bench.relay.accept_far(DALE, 9, 132, bench.now).unwrap();
        assert_eq!(back, Onward { node: A, channel, is_far: false });
        assert_eq!(bench.relay.accept_far(DALE, 8, 132, bench.now), Err(DropReason::NoChannel));
        assert_eq!(bench.relay.accept_far(FAR, 9, 132, bench.now), Err(DropReason::NoChannel));
        // The gateway began anew, and asks again.
        assert_eq!(bench.relay.handle_open_far(A, FAR, bench.now, || true), Ok(()));
        assert_eq!(bench.relay.handle_extended(DALE, (A, FAR), 9, bench.now), Ok(Some(channel)));
        assert_eq!(bench.relay.handle_extended(DALE, (A, FAR), 9, bench.now), Ok(Some(channel)));
        assert_eq!(bench.relay.handle_open_far(A, PeerId(44), bench.now, || true), Ok(()));
        assert_eq!(
            bench.relay.handle_extended(DALE, (A, PeerId(44)), 9, bench.now),
            Ok(None),
            "another's channel"
        );
        assert_eq!(bench.send(A, channel), Ok(DALE));
        // The other relay forgets; or the rosters deny: then it is told.
        assert_eq!(bench.relay.handle_closed(DALE, 9), Some((A, channel)));
        assert_eq!((bench.send(A, channel), bench.relay.size().1), (Err(DropReason::NoChannel), 0));
        while bench.relay.poll_ended().is_some() {}
        assert_eq!(bench.relay.handle_open_far(A, FAR, bench.now, || true), Ok(()));
        assert!(bench.relay.handle_extended(DALE, (A, FAR), 11, bench.now).unwrap().is_some());
        bench.relay.handle_reload(|id| Some(OwnerId(id.0)), |_, _| false, bench.now);
        assert_eq!((bench.relay.poll_ended(), bench.relay.poll_ended()), (Some((DALE, 11)), None));
    }

    #[test]
    fn a_channel_is_extended_once_and_gives_way_when_it_carries_nothing() {
        let mut bench = Bench::new(Quota::default());
        assert!(bench.register(DALE, EVE).is_some());
        let extend = |bench: &mut Bench, relay, allowed| {
            bench.relay.handle_extend(relay, (FAR, ALICE), A, bench.now, || allowed)
        };
        assert_eq!(extend(&mut bench, PeerId(9), true), Err(Refusal::NotRegistered));
        assert_eq!(extend(&mut bench, DALE, false), Err(Refusal::Policy));
        let channel = extend(&mut bench, DALE, true).unwrap();
        assert_eq!(extend(&mut bench, DALE, true), Ok(channel));
        assert_eq!((bench.send(A, channel), bench.send(DALE, channel)), (Ok(DALE), Ok(A)));
        assert_eq!(bench.send(FAR, channel), Err(DropReason::NoLeg));
        // Another relay says that it has the gateway: so it may be, once the first way is silent.
        assert!(bench.register(PeerId(42), EVE).is_some());
        assert_eq!(extend(&mut bench, PeerId(42), true), Err(Refusal::Full));
        bench.now += EXTENDS_WITHIN + Duration::from_secs(1);
        let other = extend(&mut bench, PeerId(42), true).unwrap();
        assert_eq!(
            (bench.send(DALE, channel), bench.send(A, other)),
            (Err(DropReason::NoChannel), Ok(PeerId(42)))
        );
        assert_eq!(bench.relay.handle_ended(B, other), None, "it is not B's");
        assert_eq!(bench.relay.handle_ended(PeerId(42), other), Some(A));
        assert_eq!(bench.relay.size().1, 0);
        // It registers here itself, and what a relay says of it is worth nothing any more.
        let far = extend(&mut bench, DALE, true).unwrap();
        assert!(bench.register(FAR, ALICE).is_some());
        let direct = bench.open(FAR, A).unwrap();
        assert!(direct != far && bench.send(DALE, far).is_err());
        assert_eq!((bench.open(A, FAR), bench.send(A, direct)), (Ok(direct), Ok(FAR)));
        bench.now += EXTENDS_WITHIN + Duration::from_secs(1);
        assert_eq!(extend(&mut bench, DALE, true), Err(Refusal::Full));
        assert_eq!(bench.send(FAR, direct), Ok(A));
    }

    #[test]
    fn legs_and_channels_are_bounded_by_owner() {
        let mut bench = Bench::new(Quota { legs: 4, channels: 2, ..Quota::default() });
        assert!(bench.register(PeerId(20), ALICE).is_some() && bench.register(PeerId(21), ALICE).is_some());
        assert_eq!(bench.register(PeerId(22), ALICE), None);
        assert!(bench.register(PeerId(30), EVE).is_some());
        assert!(bench.open(A, B).is_ok() && bench.open(A, PeerId(20)).is_ok());
        assert_eq!(bench.open(A, PeerId(21)), Err(Refusal::Full));
        assert!(bench.open(MALLORY, PeerId(30)).is_ok());
    }

    #[test]
    fn a_gateway_that_registers_anew_keeps_its_channels_and_old_frames_are_worth_nothing() {
        let mut bench = Bench::new(Quota::default());
        let channel = bench.open(A, B).unwrap();
        assert_eq!(bench.register(A, ALICE), Some(ours(A)));
        let old = bench.frame(ours(A), channel, &[7; 100]);
        let ours = bench.relay.handle_register(A, ALICE, terms(50), terms(60), bench.now).unwrap();
        assert_eq!(ours, terms(60));
        assert_eq!(bench.forward(A, &old), Err(DropReason::BadFrame));
        let frame = bench.frame(ours, channel, &[7; 100]);
        assert_eq!(bench.forward(A, &frame).unwrap().0, B);
    }

    #[test]
    fn what_nobody_uses_goes_and_so_does_what_the_rosters_no_more_allow() {
        let mut bench = Bench::new(Quota::default());
        let (ours, theirs) = (bench.open(A, B).unwrap(), bench.open(MALLORY, B).unwrap());
        bench.relay.handle_reload(|id| Some(OwnerId(id.0)), |a, b| (a, b) == (A, B), bench.now);
        assert_eq!(bench.send(MALLORY, theirs), Err(DropReason::NoChannel));
        assert_eq!(bench.send(B, ours), Ok(A));
        bench.relay.handle_reload(|id| (id != B).then_some(ALICE), |_, _| true, bench.now);
        assert_eq!(bench.relay.size(), (2, 0));
        bench.now += LEG_LASTS + SWEEP;
        bench.relay.handle_timeout(bench.now);
        assert_eq!((bench.relay.size(), bench.relay.poll_timeout()), ((0, 0), None));
        assert!(bench.relay.owners.is_empty());
    }
}
