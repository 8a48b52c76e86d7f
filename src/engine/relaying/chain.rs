//! Channels that two relays share, for gateways that no single relay reaches.

use std::time::Instant;

use super::relay::Side;
use super::{NOWHERE, could_talk};
use crate::base::{DropReason, PublicKey};
use crate::engine::world::PeerKind;
use crate::engine::{Engine, Outbox};
use crate::mesh::relaying::{Introduction, Relaying as Said};
use crate::table::PeerId;

impl Engine {
    pub(super) fn handle_open_far(
        &mut self,
        gateway: PeerId,
        wanted: PublicKey,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let other = self.tunnels.peer_by_key(&wanted).ok_or(DropReason::NoRoute)?;
        let Side { world, relay, judged, legs } = self.relay_side()?;
        let key = world.roles.get(&gateway).map(|role| role.key).ok_or(DropReason::NoRoute)?;
        let may = relay.handle_open_far(gateway, other, now, || could_talk(world, judged, gateway, other));
        match may {
            Ok(Some(channel)) => {
                let introduction = Introduction { peer: wanted, channel, observed: NOWHERE };
                self.say(gateway, Said::Opened(introduction), now, out);
            }
            Ok(None) => {
                for relay in legs.registered().collect::<Vec<_>>() {
                    self.say(relay, Said::Extend { from: key, to: wanted }, now, out);
                }
            }
            Err(why) => self.say(gateway, Said::Refused { peer: wanted, why }, now, out),
        }
        Ok(())
    }

    /// Another relay has a gateway that looks for one that may be here.
    pub(super) fn handle_extend(
        &mut self,
        relay: PeerId,
        from: PublicKey,
        to: PublicKey,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let (near, far) = self.both_ends(&to, &from)?;
        let Side { world, relay: own, judged, .. } = self.relay_side()?;
        let owner = world.owner_behind(far).ok_or(DropReason::NoRoute)?;
        let role = world.roles.get(&relay);
        if !role.is_some_and(|role| matches!(role.kind, PeerKind::Relay { .. })) {
            return Err(DropReason::NotControl);
        }
        let judge = || could_talk(world, judged, far, near);
        if let Ok(channel) = own.handle_extend(relay, (far, owner), near, now, judge) {
            let introduction = Introduction { peer: from, channel, observed: NOWHERE };
            self.say(near, Said::Incoming(introduction), now, out);
            self.say(relay, Said::Extended { from, to, channel }, now, out);
        }
        Ok(())
    }

    /// Another relay has a channel to a gateway that one here looks for.
    pub(super) fn handle_extended(
        &mut self,
        relay: PeerId,
        (from, to): (PublicKey, PublicKey),
        onward: u32,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let (near, far) = self.both_ends(&from, &to)?;
        let own_key = self.own_key;
        let Side { world, relay: own, legs, .. } = self.relay_side()?;
        let goes_first = world.roles.get(&relay).is_some_and(|role| own_key.as_bytes() < role.key.as_bytes());
        if !legs.handle_channel(relay, onward, near) {
            return Err(DropReason::NoLeg);
        }
        if let Ok(Some(channel)) = own.handle_extended((relay, goes_first), (near, far), onward, now) {
            let introduction = Introduction { peer: to, channel, observed: NOWHERE };
            self.say(near, Said::Opened(introduction), now, out);
        } else {
            legs.handle_closed(relay, onward);
            self.say(relay, Said::Ended { channel: onward }, now, out);
        }
        Ok(())
    }

    /// The gateways at both ends of a channel.
    fn both_ends(&self, near: &PublicKey, far: &PublicKey) -> Result<(PeerId, PeerId), DropReason> {
        let ends = self.tunnels.peer_by_key(near).zip(self.tunnels.peer_by_key(far));
        ends.ok_or(DropReason::NoRoute)
    }
}
