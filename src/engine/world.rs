//! What the accepted rosters make of this gateway: who its peers are, where every address is, and who judges.
//!
//! A world is made whole before anything of it is in force, and replaces the old one at once.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use ipnetwork::IpNetwork;

use super::report::RuleRow;
use super::rooms::{self, Seats};
use crate::base::{NodePath, PublicKey, link_address};
use crate::packet::{Packet, TokenBucket};
use crate::policy::{Judge, Place, RuleId, Traffic};
use crate::roster::model::NodeKind;
use crate::roster::{Endpoint, Model, NodeId, OwnerId};
use crate::table::{PeerId, Routes, Via};

/// Lines about first packets in the log, a second and at once.
const LOGS_PER_SECOND: u32 = 10;
const LOGS_BURST: u32 = 50;

/// Why rosters can't be put in force on this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    #[error("no accepted roster lists the node {0}; list it, or correct `node` in the configuration")]
    NotListed(NodePath),
    #[error("{node} has the key {listed} in the roster, but the private key here belongs to {own}")]
    OtherKey { node: NodePath, listed: PublicKey, own: PublicKey },
    #[error("{0} is neither a gateway nor a relay; `run` serves those")]
    NotAGateway(NodePath),
    #[error("{0} peers are more than the 65,536 that one gateway has room for")]
    TooManyPeers(usize),
}

/// What a peer is to this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PeerRole {
    pub(super) node: NodeId,
    pub(super) key: PublicKey,
    /// Where a mesh node is inside of its tunnel; stations are none.
    pub(super) link: Option<Ipv6Addr>,
    pub(super) kind: PeerKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeerKind {
    /// A station of this room.
    Station,
    /// A gateway, of another room or of this one.
    Gateway { endpoints: Vec<Endpoint> },
    /// A relay of an accepted owner. It has no address, so nothing of its own is forwarded.
    Relay { endpoints: Vec<Endpoint> },
}

impl PeerKind {
    /// As `peers` tells it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Station => "station",
            Self::Gateway { .. } => "gateway",
            Self::Relay { .. } => "relay",
        }
    }

    /// Where the rosters say that it may be reached.
    pub(super) fn endpoints(&self) -> &[Endpoint] {
        match self {
            Self::Station => &[],
            Self::Gateway { endpoints } | Self::Relay { endpoints } => endpoints,
        }
    }
}

/// Everything that follows from the rosters.
#[derive(Debug)]
pub(super) struct World {
    pub(super) model: Arc<Model>,
    pub(super) judge: Arc<Judge>,
    pub(super) me: NodeId,
    /// The nodes of the room that is served here.
    pub(super) room: Range<u32>,
    pub(super) routes: Routes,
    pub(super) slots: HashMap<NodeId, PeerId>,
    /// Rooms that several gateways serve.
    pub(super) seats: Seats,
    pub(super) roles: HashMap<PeerId, PeerRole>,
    /// First packets that each rule matched.
    matches: Vec<u64>,
    /// For lines in the log: what a remote can cause is bounded.
    log: TokenBucket,
}

/// The rosters as seen from this node, before its peers have slots.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) me: NodeId,
    pub(super) roles: Vec<PeerRole>,
}

impl Plan {
    /// Reads the model from the place of `node`.
    pub(super) fn new(model: &Model, node: &NodePath, own: PublicKey) -> Result<Self, ReloadError> {
        let me = model.find(node).ok_or_else(|| ReloadError::NotListed(node.clone()))?;
        let (NodeKind::Gateway { key, .. } | NodeKind::Relay { key, .. }) = &model.node(me).kind else {
            return Err(ReloadError::NotAGateway(node.clone()));
        };
        if *key != own {
            return Err(ReloadError::OtherKey { node: node.clone(), listed: *key, own });
        }
        let room = model.room_of(me);
        let range = room.map_or(0..0, |room| model.range(room));
        let mut roles = Vec::new();
        for (id, node) in model.iter().filter(|(id, _)| *id != me) {
            let (key, kind) = match &node.kind {
                NodeKind::Station { key } if range.contains(&id.0) => (*key, PeerKind::Station),
                NodeKind::Gateway { key, endpoints } => {
                    (*key, PeerKind::Gateway { endpoints: endpoints.clone() })
                }
                NodeKind::Relay { key, endpoints } => {
                    (*key, PeerKind::Relay { endpoints: endpoints.clone() })
                }
                _ => continue,
            };
            let link = (kind != PeerKind::Station).then(|| link_address(&key));
            roles.push(PeerRole { node: id, key, link, kind });
        }
        if roles.len() > 1 << 16 {
            return Err(ReloadError::TooManyPeers(roles.len()));
        }
        Ok(Self { me, roles })
    }
}

impl World {
    /// Without any route yet ([`World::route`]).
    pub(super) fn new(
        model: Arc<Model>,
        judge: Arc<Judge>,
        me: NodeId,
        slots: HashMap<NodeId, PeerId>,
        roles: HashMap<PeerId, PeerRole>,
        now: Instant,
    ) -> Self {
        let room = model.room_of(me).map_or(0..0, |room| model.range(room));
        let matches = vec![0; judge.rule_count()];
        Self {
            seats: rooms::seats(&model, me, &slots),
            slots,
            model,
            judge,
            me,
            room,
            routes: Routes::default(),
            roles,
            matches,
            log: TokenBucket::new(LOGS_PER_SECOND, LOGS_BURST, now),
        }
    }

    pub(super) fn is_relay(&self) -> bool {
        matches!(self.model.node(self.me).kind, NodeKind::Relay { .. })
    }

    /// The room that a gateway serves; `None` for every other peer.
    pub(super) fn room_behind(&self, peer: PeerId) -> Option<NodeId> {
        let role = self.roles.get(&peer)?;
        matches!(role.kind, PeerKind::Gateway { .. }).then(|| self.model.room_of(role.node))?
    }

    /// Whose a gateway or relay is; `None` for stations.
    pub(super) fn owner_behind(&self, peer: PeerId) -> Option<OwnerId> {
        let role = self.roles.get(&peer)?;
        (role.kind != PeerKind::Station).then(|| self.model.node(role.node).owner)
    }

    /// Whether the place is in the room that is served here.
    pub(super) fn serves(&self, place: Place) -> bool {
        matches!(place, Place::Node(id) if self.room.contains(&id.0))
    }

    pub(super) fn count_rule(&mut self, rule: RuleId) {
        self.count_rule_many(rule, 1);
    }

    pub(super) fn count_rule_many(&mut self, rule: RuleId, packets: u64) {
        if let Some(matches) = self.matches.get_mut(rule.0 as usize) {
            *matches += packets;
        }
    }

    /// Goes on counting where the last world was: a rule of the same words at the same border is the same, wherever it
    /// is written.
    pub(super) fn take_over_matches(&mut self, old: &Self) {
        let mut counted: HashMap<_, VecDeque<u64>> = HashMap::new();
        let mut borders = HashSet::new();
        for (id, &matches) in (0..).map(RuleId).zip(&old.matches).filter(|(_, matches)| **matches > 0) {
            if let (Some(rule), Some(border)) = (old.judge.rule(id), old.judge.border_of(id)) {
                borders.insert(border);
                counted
                    .entry((rule.border, rule.direction, rule.text, rule.stage))
                    .or_default()
                    .push_back(matches);
            }
        }
        if counted.is_empty() {
            return;
        }
        for (id, matches) in (0..).map(RuleId).zip(&mut self.matches) {
            // The words of a rule are made for the asking, and most borders counted nothing.
            if self.judge.border_of(id).is_some_and(|border| borders.contains(&border))
                && let Some(rule) = self.judge.rule(id)
                && let Some(counted) = counted.get_mut(&(rule.border, rule.direction, rule.text, rule.stage))
            {
                *matches = counted.pop_front().unwrap_or(0);
            }
        }
    }

    /// Logs the first packet of a flow that a rule with `log = true` matched.
    pub(super) fn log_first(&mut self, packet: &Packet, allowed: bool, now: Instant) {
        if self.log.take(now) {
            let (from, to) = (self.name_of(packet.src), self.name_of(packet.dst));
            let verdict = if allowed { "allow" } else { "deny" };
            tracing::info!(from, to, service = %Traffic::of(packet), verdict, "first packet");
        }
    }

    /// Rules that matched something, by file and line.
    pub(super) fn rule_rows(&self) -> Vec<RuleRow> {
        let mut rows: Vec<_> = (0..)
            .map(RuleId)
            .zip(&self.matches)
            .filter(|&(_, &matches)| matches > 0)
            .filter_map(|(id, &matches)| {
                let rule = self.judge.rule(id)?;
                Some(RuleRow {
                    file: rule.file.to_string(),
                    line: rule.line.0,
                    border: rule.border,
                    direction: rule.direction.to_string(),
                    rule: rule.text,
                    stage: rule.stage,
                    matches,
                })
            })
            .collect();
        rows.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        rows
    }

    /// What the TUN device is given: this gateway's own addresses.
    pub(super) fn addresses(&self) -> Vec<IpNetwork> {
        self.model.node(self.me).addresses().map(IpNetwork::from).collect()
    }

    /// What is routed into the TUN device: every accepted owner's prefixes; and where hosts of the room are on the
    /// LAN, which may have the room's prefix as its own, each node of the room that is not.
    pub(super) fn kernel_routes(&self) -> Vec<IpNetwork> {
        let Some(room) = self.model.room_of(self.me) else { return Vec::new() };
        let mut routes: Vec<_> = self.model.prefixes().map(|(_, prefix)| prefix).collect();
        let inside = || self.model.range(room).map(|id| self.model.node(NodeId(id)));
        if inside().any(|node| node.kind == NodeKind::LanStation) {
            let tunnelled = |address: &IpAddr| matches!(self.routes.lookup(*address), Some(Via::Peer(_)));
            routes.extend(inside().flat_map(|node| node.addresses()).filter(tunnelled).map(IpNetwork::from));
        }
        routes
    }

    pub(super) fn is_gateway(&self, via: Via) -> bool {
        match via {
            Via::Peer(peer) => {
                self.roles.get(&peer).is_some_and(|role| matches!(role.kind, PeerKind::Gateway { .. }))
            }
            Via::Kernel => false,
        }
    }
}
