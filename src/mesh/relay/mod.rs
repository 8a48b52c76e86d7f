//! The relay: forwards sealed datagrams between two gateways that registered with it, and can't read them.
//!
//! A gateway registers inside its own tunnel, and so has a leg: frames of it are told by their tag, and frames to it go
//! where its WireGuard session is, never where a frame came from. A channel is between two legs and is there only where
//! the rosters could allow a flow between what is behind them; when they no more do, it is closed. Whoever owns the
//! gateways has a share: so many legs and channels, and so many octets a second, whatever others do.
//!
//! Where no relay has both gateways, two relays do ([`chain`]).
//!
//! Nothing here is sent by itself: what a message comes to is given back. A leg whose gateway is silent for
//! [`LEG_LASTS`] goes, with its channels; so does a channel that carries nothing for [`CHANNEL_LASTS`].

mod chain;
mod share;

use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};

use super::frame::{FRAME_OVERHEAD, FrameHeader, ReplayWindow, read_frame, write_frame};
use super::relaying::{GOES_ON, Refusal, Terms};
use crate::base::DropReason;
use crate::packet::TokenBucket;
use crate::roster::OwnerId;
use crate::table::PeerId;
use chain::EXTENDS_WITHIN;
pub use share::Quota;
use share::Share;

/// How long a leg lasts without being registered again.
pub const LEG_LASTS: Duration = Duration::from_secs(180);
/// How long a channel lasts that carries nothing.
pub const CHANNEL_LASTS: Duration = Duration::from_secs(300);
/// How often what is past its time is looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// Wishes of one gateway in a second, and at once: channels mostly.
const WISHES_PER_SECOND: u32 = 50;
const WISHES_AT_ONCE: u32 = 2_000;
/// The most channels of all owners.
const CHANNELS_MAX: usize = 1 << 16;

/// One relay.
#[derive(Debug)]
pub struct Relay {
    quota: Quota,
    legs: HashMap<PeerId, Leg>,
    channels: HashMap<u32, Channel>,
    /// The channel between two gateways that are here.
    by_pair: HashMap<Pair, u32>,
    /// The one between two of which one is at another relay. A pair may have both, and uses what works: that a gateway was
    /// here a moment ago says little.
    chains: HashMap<Pair, u32>,
    /// Channels of other relays that channels here go on in.
    by_onward: HashMap<(PeerId, u32), u32>,
    /// Pairs for which other relays are asked, and since when.
    asked: HashMap<Pair, Instant>,
    /// Channels of other relays that nothing here goes on in any more.
    ended: Vec<(PeerId, u32)>,
    owners: HashMap<OwnerId, Share>,
    next_channel: u32,
    swept: Instant,
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

/// A frame that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    pub onward: Onward,
    /// In whose share it is.
    pub owner: OwnerId,
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
    /// What it asks for is answered, and told to another one.
    wishes: TokenBucket,
}

#[derive(Debug)]
struct Channel {
    pair: Pair,
    ends: [Onward; 2],
    /// Whose share it is in: the one's that opened it.
    owner: OwnerId,
    /// When each end had its last frame.
    heard: [Instant; 2],
}

impl Relay {
    #[must_use]
    pub fn new(quota: Quota, now: Instant) -> Self {
        Self {
            quota,
            legs: HashMap::new(),
            channels: HashMap::new(),
            by_pair: HashMap::new(),
            chains: HashMap::new(),
            by_onward: HashMap::new(),
            asked: HashMap::new(),
            ended: Vec::new(),
            owners: HashMap::new(),
            next_channel: 0,
            swept: now,
        }
    }

    /// A gateway registers, or another relay. `ours` is what its frames are to have, if it is new; what it has already it keeps, as long
    /// as it asks for the same. `None`: its owner has as many legs as it may.
    ///
    /// # Errors
    /// [`DropReason::ControlLimited`]: it says so more often than it needs to.
    pub fn handle_register(
        &mut self,
        gateway: PeerId,
        owner: OwnerId,
        theirs: Terms,
        ours: Terms,
        now: Instant,
    ) -> Result<Option<Terms>, DropReason> {
        if let Some(leg) = self.legs.get_mut(&gateway) {
            if !leg.wishes.take(now) {
                return Err(DropReason::ControlLimited);
            }
            if leg.theirs == theirs && leg.owner == owner {
                leg.registered = now;
                return Ok(Some(leg.ours));
            }
        }
        let is_new = !self.legs.contains_key(&gateway);
        let share = self.owners.entry(owner).or_insert_with(|| Share::new(self.quota, now));
        if is_new && share.legs >= self.quota.legs {
            return Ok(None);
        }
        share.legs += u32::from(is_new);
        // Who registers anew has no more wishes than before.
        let wishes = self.legs.remove(&gateway).map(|leg| leg.wishes);
        let wishes = wishes.unwrap_or_else(|| TokenBucket::new(WISHES_PER_SECOND, WISHES_AT_ONCE, now));
        let leg = Leg { owner, ours, theirs, sent: 0, window: ReplayWindow::new(), registered: now, wishes };
        self.legs.insert(gateway, leg);
        Ok(Some(ours))
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
        let owner = self.wish(gateway, now)?;
        let other = other.filter(|other| *other != gateway && self.legs.contains_key(other));
        let other = other.ok_or(Refusal::NotHere)?;
        let pair = pair(gateway, other);
        if let Some(&channel) = self.by_pair.get(&pair) {
            return Ok(channel);
        }
        if !could_flow() {
            return Err(Refusal::Policy);
        }
        let ends = |channel| [gateway, other].map(|node| Onward { node, channel, is_far: false });
        let channel = self.insert(pair, owner, 0, now, ends)?;
        self.by_pair.insert(pair, channel);
        Ok(channel)
    }

    /// The owner of a leg that has a wish left.
    fn wish(&mut self, node: PeerId, now: Instant) -> Result<OwnerId, Refusal> {
        let leg = self.legs.get_mut(&node).ok_or(Refusal::NotRegistered)?;
        if leg.wishes.take(now) { Ok(leg.owner) } else { Err(Refusal::Full) }
    }

    /// A channel with these bits in its number.
    fn insert(
        &mut self,
        pair: Pair,
        owner: OwnerId,
        bits: u32,
        now: Instant,
        ends: impl FnOnce(u32) -> [Onward; 2],
    ) -> Result<u32, Refusal> {
        let share = self.owners.entry(owner).or_insert_with(|| Share::new(self.quota, now));
        if share.channels >= self.quota.channels || self.channels.len() >= CHANNELS_MAX {
            return Err(Refusal::Full);
        }
        share.channels += 1;
        let mut next = || {
            let number = self.next_channel & !GOES_ON;
            self.next_channel = number.wrapping_add(1);
            number | bits
        };
        let mut channel = next();
        while self.channels.contains_key(&channel) {
            channel = next();
        }
        self.channels.insert(channel, Channel { pair, ends: ends(channel), owner, heard: [now; 2] });
        Ok(channel)
    }

    /// Takes a frame of a gateway's, or of a relay's that registered here; where it goes.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub fn accept(&mut self, node: PeerId, datagram: &[u8], now: Instant) -> Result<Passed, DropReason> {
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

    fn pass(&mut self, node: PeerId, channel: u32, len: usize, now: Instant) -> Result<Passed, DropReason> {
        let channel = self.channels.get_mut(&channel).ok_or(DropReason::NoChannel)?;
        let from = channel.ends.iter().position(|end| end.node == node).ok_or(DropReason::NoChannel)?;
        let onward = channel.ends[1 - from];
        channel.heard[from] = now;
        // A gateway's frames are in its own owner's share, what comes by another relay in the channel's.
        let own = [channel.pair.0, channel.pair.1].contains(&node).then(|| self.legs.get(&node)).flatten();
        let owner = own.map_or(channel.owner, |leg| leg.owner);
        let share = self.owners.get_mut(&owner).ok_or(DropReason::NoLeg)?;
        if !share.spend(len as u64, self.quota, now) {
            return Err(DropReason::RelayQuota);
        }
        Ok(Passed { onward, owner })
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

    /// The rosters changed: channels between gateways that could have no flow now are closed. Owners are numbered anew
    /// by `owner_of`; a leg of nobody's goes, and so does a channel.
    pub fn handle_reload(
        &mut self,
        owner_of: impl Fn(PeerId) -> Option<OwnerId>,
        could_flow: impl Fn(PeerId, PeerId) -> bool,
        now: Instant,
    ) {
        self.remove_gateways(|gateway, _| owner_of(gateway).is_none());
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
        self.remove_gateways(|_, leg| now.saturating_duration_since(leg.registered) > LEG_LASTS);
        self.retain_channels(|channel| now.saturating_duration_since(channel.used()) <= CHANNEL_LASTS);
        self.asked.retain(|_, since| now.saturating_duration_since(*since) <= EXTENDS_WITHIN);
    }

    /// In an order that is the same in every run, for others are told.
    fn remove_gateways(&mut self, goes: impl Fn(PeerId, &Leg) -> bool) {
        let mut gone: Vec<_> =
            self.legs.iter().filter(|(id, leg)| goes(**id, leg)).map(|(&id, _)| id).collect();
        gone.sort_unstable();
        gone.into_iter().for_each(|gateway| self.remove_gateway(gateway));
    }

    fn retain_channels(&mut self, keep: impl Fn(&Channel) -> bool) {
        let mut gone: Vec<_> =
            self.channels.iter().filter(|(_, channel)| !keep(channel)).map(|(&id, _)| id).collect();
        // As above.
        gone.sort_unstable();
        for channel in gone {
            self.close(channel);
        }
    }

    fn close(&mut self, channel: u32) {
        let Some(gone) = self.channels.remove(&channel) else { return };
        let by_pair = if channel & GOES_ON == 0 { &mut self.by_pair } else { &mut self.chains };
        by_pair.remove(&gone.pair);
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
    pub fn pairs(&self) -> HashSet<Pair> {
        self.by_pair.keys().chain(self.chains.keys()).copied().collect()
    }

    /// Gateways that are registered, and channels that are open.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.legs.len(), self.channels.len())
    }
}

impl Channel {
    fn has_end(&self, node: PeerId) -> bool {
        self.ends.iter().any(|end| end.node == node)
    }

    /// When it last carried something.
    fn used(&self) -> Instant {
        self.heard[0].max(self.heard[1])
    }

    fn is_of(&self, node: PeerId) -> bool {
        self.has_end(node) || self.pair.0 == node || self.pair.1 == node
    }
}

fn pair(one: PeerId, other: PeerId) -> Pair {
    (one.min(other), one.max(other))
}

#[cfg(test)]
mod tests;
