//! Before the first roster: a node knows its own key, its owner's public key, and who may have the owner's roster.
//!
//! Introducers are peers like gateways that can be reached, and nothing flows to or from them but what mesh nodes say to
//! each other. With the first roster in force they are what it says they are, or gone.

use std::time::Instant;

use super::Engine;
use crate::base::Endpoint;
use crate::table::PeerId;

impl Engine {
    pub(super) fn meet_introducers(&mut self, now: Instant) {
        for (key, endpoint) in &self.config.introducers {
            if *key != self.own_key
                && let Some(peer) = self.tunnels.upsert_peer(*key, true, now)
            {
                self.introducers.entry(peer).or_default().push(endpoint.clone());
            }
        }
        self.listen_for_neighbours(now);
        for peer in self.introducers.keys().copied().collect::<Vec<_>>() {
            self.ask_for_addresses(peer, now);
        }
    }

    /// Where a peer is said to be, by the rosters or, before there are any, by the configuration.
    pub(super) fn endpoints_of(&self, peer: PeerId) -> &[Endpoint] {
        match self.world.as_ref().and_then(|world| world.roles.get(&peer)) {
            Some(role) => role.kind.endpoints(),
            None => self.introducers.get(&peer).map_or(&[], Vec::as_slice),
        }
    }
}
