//! New rosters in force: all of them or nothing.
//!
//! Whatever can fail is done before anything changes. Then peers that are gone go, with their sessions and flows; the
//! ones that stay keep theirs; and every live flow is judged again, so that what is now denied ends at once and what
//! stays allowed loses no packet.

use std::sync::Arc;

use hashbrown::HashMap;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::world::{PeerKind, Plan, ReloadError, World};
use super::{Engine, Now};
use crate::base::PrivateKey;
use crate::policy::{Judge, RuleId};
use crate::roster::{Model, NodeId};
use crate::table::{Keep, PeerId};

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReloadReport {
    pub owners: u64,
    /// Places of every kind.
    pub nodes: u64,
    pub peers_added: u64,
    pub peers_removed: u64,
    pub flows_kept: u64,
    pub flows_cut: u64,
    /// Connections that the kernel would have gone on with by itself; whoever reloads the engine ends them.
    #[serde(default)]
    pub kernel_flows_cut: u64,
}

impl Engine {
    /// Whether [`Engine::reload`] would take a model.
    ///
    /// # Errors
    /// When this node can't serve it.
    pub fn would_take(&self, model: &Model) -> Result<(), ReloadError> {
        Plan::new(model, &self.config.node, self.own_key).map(|_| ())
    }

    /// From the next model on, stations know the room by this key if the model has it as the room's.
    pub fn set_room_key(&mut self, key: Option<Arc<PrivateKey>>) {
        self.room_key = key;
    }

    /// Adds first packets that somebody else judged, by the rules of the model in force.
    pub fn count_matches(&mut self, rules: &[(RuleId, u64)]) {
        if let Some(world) = &mut self.world {
            rules.iter().for_each(|&(rule, packets)| world.count_rule_many(rule, packets));
        }
    }

    /// Puts a model in force.
    ///
    /// # Errors
    /// When this node can't serve it; what was in force stays in force.
    pub fn reload(&mut self, model: Arc<Model>, now: Now) -> Result<ReloadReport, ReloadError> {
        self.serve(Arc::new(Judge::new(model)), now)
    }

    /// Puts a model in force whose policies were compiled beside the event loop.
    ///
    /// # Errors
    /// As [`Engine::reload`].
    pub fn serve(&mut self, judge: Arc<Judge>, now: Now) -> Result<ReloadReport, ReloadError> {
        let model = Arc::clone(judge.model());
        let plan = Plan::new(&model, &self.config.node, self.own_key)?;
        let mut report = ReloadReport {
            owners: model.owners.len() as u64,
            nodes: model.nodes.len() as u64,
            ..ReloadReport::default()
        };
        self.introducers.clear();
        self.remove_peers(&plan, &mut report);
        let listed = model.room_key(plan.me);
        self.tunnels.set_room_key(self.room_key.as_deref().filter(|key| listed == Some(key.public())));
        let before = self.tunnels.ids().count();
        let mut roles = HashMap::with_capacity(plan.roles.len());
        let mut slots: HashMap<NodeId, PeerId> = HashMap::with_capacity(plan.roles.len());
        for role in &plan.roles {
            let known = self.tunnels.peer_by_key(&role.key);
            let is_near = known.is_some_and(|peer| self.beacons.address_of(peer, now.instant).is_some());
            let keepalive = is_near || !role.kind.endpoints().is_empty();
            let peer = match role.kind {
                PeerKind::Station => self.tunnels.upsert_station(role.key, keepalive, now.instant),
                _ => self.tunnels.upsert_peer(role.key, keepalive, now.instant),
            };
            if let Some(peer) = peer {
                slots.insert(role.node, peer);
                roles.insert(peer, role.clone());
            }
        }
        report.peers_added = (self.tunnels.ids().count() - before) as u64;
        let mut world = World::new(model, judge, plan.me, slots, roles, now.instant);
        self.route_world(&mut world);
        if let Some(old) = &self.world {
            world.take_over_matches(old);
        }
        let old = self.world.replace(world);
        self.listen_for_neighbours(now.instant);
        self.ask_for_changed_endpoints(old.as_ref(), now);
        self.relay_anew(now.instant);
        self.pair_anew();
        self.share_anew(old.as_ref());
        self.judge_flows_again(&mut report, now);
        Ok(report)
    }

    fn remove_peers(&mut self, plan: &Plan, report: &mut ReloadReport) {
        let keys: HashMap<_, _> = plan.roles.iter().map(|role| (role.key, ())).collect();
        for peer in self.tunnels.ids().collect::<Vec<_>>() {
            let stays = self.tunnels.stats(peer).is_some_and(|stats| keys.contains_key(&stats.key));
            if !stays {
                self.tunnels.remove_peer(peer);
                report.flows_cut += self.flows.remove_peer(peer) as u64;
                self.counters.forget(peer);
                self.mtus.remove(&peer);
                self.timers.forget(peer);
                self.travel.forget(peer);
                self.passages.forget(peer);
                self.relaying.forget(peer);
                self.paths.remove_peer(peer);
                self.whereabouts.forget(peer);
                self.sharing.forget(peer);
                report.peers_removed += 1;
            }
        }
    }

    /// Gateways that are new, or that the rosters put somewhere else, are looked for.
    fn ask_for_changed_endpoints(&mut self, old: Option<&World>, now: Now) {
        let Some(world) = &self.world else { return };
        let mut changed: Vec<_> = world
            .roles
            .iter()
            .filter(|(peer, role)| {
                let before = old.and_then(|old| old.roles.get(*peer));
                before.is_none_or(|before| before.kind != role.kind || before.key != role.key)
            })
            .map(|(&peer, _)| peer)
            .collect();
        // In an order that is the same in every run: what is asked for first goes first.
        changed.sort_unstable();
        for peer in changed {
            self.timers.forget(peer);
            self.ask_for_addresses(peer, now.instant);
        }
    }

    fn judge_flows_again(&mut self, report: &mut ReloadReport, now: Now) {
        let Some(world) = &self.world else { return };
        let before = self.flows.len();
        self.flows.retain(now.instant, |flow| {
            let (src, dst) = (flow.tuple.src, flow.tuple.dst);
            let carriers = world.carriers(src, dst);
            match carriers.filter(|_| world.judge.judge(&world.judge.question_of(&flow.tuple)).is_allowed()) {
                Some((from, to)) => Keep::Keep { from, to },
                None => Keep::Cut,
            }
        });
        report.flows_kept = self.flows.len() as u64;
        report.flows_cut += (before - self.flows.len()) as u64;
    }

    /// What the TUN device is given: this gateway's own addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpNetwork> {
        self.world.as_ref().map(World::addresses).unwrap_or_default()
    }

    /// What is routed into the TUN device.
    #[must_use]
    pub fn routes(&self) -> Vec<IpNetwork> {
        self.world.as_ref().map(World::kernel_routes).unwrap_or_default()
    }
}
