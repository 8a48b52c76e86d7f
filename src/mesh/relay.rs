//! The relay: forwards sealed datagrams between two gateways that registered with it, and can't read them.
//!
//! A gateway registers inside its own tunnel, and so has a leg: frames of it are told by their tag, and frames to it go
//! where its WireGuard session is, never where a frame came from. A channel is between two legs and is there only where
//! the rosters could allow a flow between what is behind them; when they no more do, it is closed. Whoever owns the
//! gateways has a share: so many legs and channels, and so many octets a second, whatever others do.
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
    /// The channel between two gateways, the lower slot first.
    by_pair: HashMap<(PeerId, PeerId), u32>,
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
    ends: [PeerId; 2],
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
            owners: HashMap::new(),
            next_channel: 0,
            swept: now,
            counts: RelayCounts::default(),
        }
    }

    /// A gateway registers. `ours` is what its frames are to have, if it is new; what it has already it keeps, as long
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
        let leg = self.legs.get_mut(&gateway).ok_or(Refusal::NotRegistered)?;
        let owner = leg.owner;
        if !leg.wishes.take(now) {
            return Err(Refusal::Full);
        }
        let other = other.filter(|other| *other != gateway && self.legs.contains_key(other));
        let other = other.ok_or(Refusal::NotHere)?;
        let pair = (gateway.min(other), gateway.max(other));
        if let Some(channel) = self.by_pair.get(&pair) {
            return Ok(*channel);
        }
        if !could_flow() {
            return Err(Refusal::Policy);
        }
        let share = self.owners.get_mut(&owner).ok_or(Refusal::NotRegistered)?;
        if share.channels >= self.quota.channels || self.channels.len() >= CHANNELS_MAX {
            return Err(Refusal::Full);
        }
        share.channels += 1;
        while self.channels.contains_key(&self.next_channel) {
            self.next_channel = self.next_channel.wrapping_add(1);
        }
        let channel = self.next_channel;
        self.next_channel = channel.wrapping_add(1);
        self.channels.insert(channel, Channel { ends: [pair.0, pair.1], owner, used: now });
        self.by_pair.insert(pair, channel);
        Ok(channel)
    }

    /// Writes a frame of one gateway to the front of `space` as the frame to the other that it is for; who that is, and
    /// the frame's length. `space` holds the datagram.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub fn forward(
        &mut self,
        gateway: PeerId,
        datagram: &[u8],
        space: &mut [u8],
        now: Instant,
    ) -> Result<(PeerId, usize), DropReason> {
        let leg = self.legs.get_mut(&gateway).ok_or(DropReason::NoLeg)?;
        let header = read_frame(datagram, &leg.ours.key).ok_or(DropReason::BadFrame)?;
        if header.index != leg.ours.index {
            return Err(DropReason::BadFrame);
        }
        if !leg.window.take(header.counter) {
            return Err(DropReason::Replayed);
        }
        let owner = leg.owner;
        let channel = self.channels.get_mut(&header.channel).ok_or(DropReason::NoChannel)?;
        let other = match channel.ends {
            [a, b] if a == gateway => b,
            [a, b] if b == gateway => a,
            _ => return Err(DropReason::NoChannel),
        };
        channel.used = now;
        let share = self.owners.get_mut(&owner).ok_or(DropReason::NoLeg)?;
        if !share.spend(datagram.len() as u64, self.quota, now) {
            return Err(DropReason::RelayQuota);
        }
        let leg = self.legs.get_mut(&other).ok_or(DropReason::NoLeg)?;
        let frame = space.get_mut(..datagram.len()).ok_or(DropReason::QueueFull)?;
        frame[FRAME_OVERHEAD..].copy_from_slice(&datagram[FRAME_OVERHEAD..]);
        let onward = FrameHeader { index: leg.theirs.index, counter: leg.sent, channel: header.channel };
        leg.sent += 1;
        write_frame(frame, onward, &leg.theirs.key);
        self.counts.frames += 1;
        self.counts.octets += datagram.len() as u64;
        Ok((other, datagram.len()))
    }

    /// The gateway is no peer any more.
    pub fn remove_gateway(&mut self, gateway: PeerId) {
        if let Some(leg) = self.legs.remove(&gateway) {
            self.retain_channels(|channel| !channel.ends.contains(&gateway));
            if let Some(share) = self.owners.get_mut(&leg.owner) {
                share.legs -= 1;
                if share.legs == 0 && share.channels == 0 {
                    self.owners.remove(&leg.owner);
                }
            }
        }
    }

    /// The rosters changed: channels between gateways that could have no flow now are closed. Owners are numbered anew
    /// by `owner_of`; a leg of nobody's goes.
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
        self.retain_channels(|channel| could_flow(channel.ends[0], channel.ends[1]));
        self.owners.clear();
        for (gateway, leg) in &mut self.legs {
            leg.owner = owner_of(*gateway).unwrap_or(leg.owner);
            self.owners.entry(leg.owner).or_insert_with(|| Share::new(self.quota, now)).legs += 1;
        }
        for channel in self.channels.values_mut() {
            let owner = self.legs.get(&channel.ends[0]).map(|leg| leg.owner);
            channel.owner = owner.unwrap_or(channel.owner);
            if let Some(share) = self.owners.get_mut(&channel.owner) {
                share.channels += 1;
            }
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
    }

    fn retain_channels(&mut self, keep: impl Fn(&Channel) -> bool) {
        let Self { channels, by_pair, owners, .. } = self;
        channels.retain(|_, channel| {
            let keeps = keep(channel);
            if !keeps {
                by_pair.remove(&(channel.ends[0], channel.ends[1]));
                if let Some(share) = owners.get_mut(&channel.owner) {
                    share.channels = share.channels.saturating_sub(1);
                }
            }
            keeps
        });
    }

    /// Pairs of gateways that have a channel.
    #[must_use]
    pub fn pairs(&self) -> Vec<(PeerId, PeerId)> {
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
            let (to, len) = self.relay.forward(from, frame, &mut space, self.now)?;
            Ok((to, space[..len].to_vec()))
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
