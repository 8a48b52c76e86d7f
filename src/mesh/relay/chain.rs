//! Chains: where no relay has both gateways, two relays do.
//!
//! The one registers with the other like a gateway, and has it extend a channel to the far gateway. Each of the two
//! judges the pair. A chain has two relays and never more: what a relay asks for is not asked for again.
//!
//! Gateways ask for one also where a relay believes that it has both: one that is cut off goes without a word. So neither
//! kind of channel is ever in the other's place, and a chain that only one end still speaks on gives way to another.

use std::time::{Duration, Instant};

use super::{CHANNELS_MAX, Channel, Onward, Pair, Passed, Relay, pair};
use crate::base::DropReason;
use crate::mesh::relaying::{GOES_ON, Refusal};
use crate::roster::OwnerId;
use crate::table::PeerId;

/// How long another relay may take to extend a channel, and how long one that carries nothing is safe from another way.
pub(super) const EXTENDS_WITHIN: Duration = Duration::from_secs(10);
/// One end of a channel speaks, and the other has not for so long: it does not hear.
pub(super) const SILENT: Duration = Duration::from_secs(5);

impl Relay {
    /// A gateway asks for a channel to one that is not here: the one that there is, or other relays are to be asked. One
    /// that ends nowhere is closed by its first frame.
    ///
    /// # Errors
    /// Why there is none.
    pub fn handle_open_far(
        &mut self,
        gateway: PeerId,
        other: PeerId,
        now: Instant,
        could_flow: impl FnOnce() -> bool,
    ) -> Result<Option<u32>, Refusal> {
        self.wish(gateway, now)?;
        if other == gateway || !could_flow() {
            return Err(Refusal::Policy);
        }
        if let Some(&channel) = self.chains.get(&pair(gateway, other))
            && !self.gives_way(channel, now)
        {
            return Ok(Some(channel));
        }
        if self.asked.len() >= CHANNELS_MAX {
            return Err(Refusal::Full);
        }
        self.asked.insert(pair(gateway, other), now);
        Ok(None)
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
        if let Some(&channel) = self.chains.get(&pair) {
            if self.is_extended_to(channel, relay) {
                // Another relay may have it, and is to be heard.
                return if self.is_silent(channel, to) { Err(Refusal::NotHere) } else { Ok(channel) };
            }
            // Who asks has lost its end of one that was extended there.
            let lost = self.channels.get(&channel).is_some_and(|channel| channel.has_end(relay));
            if !lost && !self.gives_way(channel, now) {
                return Err(Refusal::Full);
            }
        }
        if !could_flow() {
            return Err(Refusal::Policy);
        }
        self.insert_chain(pair, from_owner, now, |channel| {
            [relay, to].map(|node| Onward { node, channel, is_far: false })
        })
    }

    fn insert_chain(
        &mut self,
        pair: Pair,
        owner: OwnerId,
        now: Instant,
        ends: impl FnOnce(u32) -> [Onward; 2],
    ) -> Result<u32, Refusal> {
        if let Some(&before) = self.chains.get(&pair) {
            self.close(before);
        }
        let channel = self.insert(pair, owner, GOES_ON, now, ends)?;
        self.chains.insert(pair, channel);
        Ok(channel)
    }

    /// Another relay extended a channel that was asked for: the gateway's own, which goes on there. `None`: there is a
    /// better one by now. Where both relays had asked each other, the channel is the one's that goes first: they have to
    /// agree, or each would close what the other keeps, and the gateways ask for ever.
    ///
    /// # Errors
    /// Why there is none.
    pub fn handle_extended(
        &mut self,
        (relay, goes_first): (PeerId, bool),
        (from, to): (PeerId, PeerId),
        onward: u32,
        now: Instant,
    ) -> Result<Option<u32>, Refusal> {
        let owner = self.legs.get(&from).ok_or(Refusal::NotRegistered)?.owner;
        let pair = pair(from, to);
        let asked = self.asked.remove(&pair);
        if let Some(&known) = self.by_onward.get(&(relay, onward)) {
            // Asked for twice, or the gateway began anew: its channel is what it was, if it is its.
            let is_same = self.chains.get(&pair) == Some(&known);
            return Ok(is_same.then_some(known));
        }
        asked.ok_or(Refusal::NotHere)?;
        if let Some(&channel) = self.chains.get(&pair) {
            let crossed = self.is_extended_to(channel, relay);
            if !(self.gives_way(channel, now) || crossed && goes_first) {
                return Ok(None);
            }
        }
        let channel = self.insert_chain(pair, owner, now, |channel| {
            let near = Onward { node: from, channel, is_far: false };
            [near, Onward { node: relay, channel: onward, is_far: true }]
        })?;
        self.by_onward.insert((relay, onward), channel);
        Ok(Some(channel))
    }

    /// Whether another relay asked for the channel, and goes on in it.
    fn is_extended_to(&self, channel: u32, relay: PeerId) -> bool {
        let ends = self.channels.get(&channel).map(|channel| channel.ends);
        ends.into_iter().flatten().any(|end| end.node == relay && !end.is_far)
    }

    /// Whether a chain may be replaced by another way between the two: it carries nothing, or in one direction only.
    fn gives_way(&self, channel: u32, now: Instant) -> bool {
        self.channels.get(&channel).is_none_or(|found| {
            now.saturating_duration_since(found.used()) > EXTENDS_WITHIN
                || found.ends.iter().any(|end| self.is_silent(channel, end.node))
        })
    }

    /// Whether this end of a channel leaves the other one without an answer.
    fn is_silent(&self, channel: u32, end: PeerId) -> bool {
        let Some(Channel { ends, heard, .. }) = self.channels.get(&channel) else { return false };
        let at = usize::from(ends[1].node == end);
        heard[1 - at].saturating_duration_since(heard[at]) > SILENT
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
    ) -> Result<Passed, DropReason> {
        let channel = *self.by_onward.get(&(relay, onward)).ok_or(DropReason::NoChannel)?;
        self.pass(relay, channel, len, now)
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

    /// A relay that this one registered with forgot what it knew: nothing goes on there.
    pub fn forget_onward(&mut self, relay: PeerId) {
        self.retain_channels(|channel| !channel.ends.iter().any(|end| end.is_far && end.node == relay));
    }
}
