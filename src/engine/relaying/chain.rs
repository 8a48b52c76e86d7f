//! Channels that two relays share, for gateways that no single relay reaches.

use std::net::Ipv6Addr;
use std::time::Instant;

use super::{Relaying, could_talk};
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
            Ok(Some(channel)) => {
                let observed = (Ipv6Addr::UNSPECIFIED, 0).into();
                self.say(gateway, Said::Opened(Introduction { peer: wanted, channel, observed }), now, out);
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
    pub(super) fn handle_extended(
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
        let world = self.world.as_ref().ok_or(DropReason::NoRoute)?;
        let goes_first =
            world.roles.get(&relay).is_some_and(|role| self.own_key.as_bytes() < role.key.as_bytes());
        let Relaying { relay: Some(own), legs, .. } = &mut self.relaying else {
            return Err(DropReason::NotControl);
        };
        if !legs.handle_channel(relay, onward, near) {
            return Err(DropReason::NoLeg);
        }
        if let Ok(Some(channel)) = own.handle_extended((relay, goes_first), (near, far), onward, now) {
            let observed = (Ipv6Addr::UNSPECIFIED, 0).into();
            self.say(near, Said::Opened(Introduction { peer: to, channel, observed }), now, out);
        } else {
            legs.handle_closed(relay, onward);
            self.say(relay, Said::Ended { channel: onward }, now, out);
        }
        Ok(())
    }
}
