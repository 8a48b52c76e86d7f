//! What is told to people and programs: status, flows, peers, explain. Snapshots, made when asked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::report::{
    BorderAnswer, ExplainAnswer, ExplainVerdict, FlowRow, OwnerRow, PeerRow, Status, Traffic,
};
use super::world::World;
use super::{Engine, Now};
use crate::base::DropReason;
use crate::packet::Ports;
use crate::policy::{Crossing, Explanation, Verdict};
use crate::roster::model::{NodeKind, Owner};
use crate::roster::{Party, Service};
use crate::table::{Flow, Via};

impl Engine {
    /// For `vpmesh status`.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        let connected = self.tunnels.ids().filter(|&id| self.tunnels.is_connected(id)).count();
        Status {
            node: self.config.node.clone(),
            public_key: self.own_key,
            mtu: self.config.mtu,
            addresses: self.addresses().iter().map(|address| address.ip()).collect(),
            owners: self.owner_rows(now),
            peers: self.tunnels.ids().count() as u64,
            peers_up: connected as u64,
            flows: self.flows.len() as u64,
            flows_max: self.config.flows_max as u64,
            from_peers: self.counters.from_peers,
            to_peers: self.counters.to_peers,
            from_kernel: self.counters.from_kernel,
            to_kernel: self.counters.to_kernel,
            drops: named(|reason| self.counters.dropped(reason)),
            rules: self.world.as_ref().map(World::rule_rows).unwrap_or_default(),
        }
    }

    fn owner_rows(&self, now: Now) -> Vec<OwnerRow> {
        let mut rows = self.world.as_ref().map(World::owner_rows).unwrap_or_default();
        for row in &mut rows {
            if let Some(told) = self.travel.sync.told(&row.owner) {
                row.since = Some(now.instant.saturating_duration_since(told.since).as_secs());
                row.from = told.from.map(str::to_owned);
                row.refused = told.refused.map(str::to_owned);
            }
        }
        rows
    }

    /// For `vpmesh peers`, by name.
    #[must_use]
    pub fn peers(&self, now: Now) -> Vec<PeerRow> {
        let Some(world) = &self.world else { return Vec::new() };
        let row = |(&peer, role): (&_, &super::world::PeerRole)| {
            let stats = self.tunnels.stats(peer)?;
            Some(PeerRow {
                peer: world.model.node(role.node).name.clone(),
                kind: role.kind.name().to_owned(),
                key: stats.key,
                endpoint: stats.endpoint,
                handshake: stats.handshake_age,
                up: self.tunnels.is_connected(peer),
                received: Traffic { packets: stats.rx_packets, bytes: stats.rx_bytes },
                sent: Traffic { packets: stats.tx_packets, bytes: stats.tx_bytes },
                drops: named(|reason| self.counters.dropped_of(peer, reason)),
                flows: self.flows.count_of(Via::Peer(peer)) as u64,
                mtu: self.mtu_of(peer),
                paths: self.paths_row(peer, now),
                attached: self.attached_row(world, role.node),
            })
        };
        let mut rows: Vec<_> = world.roles.iter().filter_map(row).collect();
        rows.sort_by(|a, b| a.peer.cmp(&b.peer));
        rows
    }

    /// For `vpmesh flows`.
    #[must_use]
    pub fn flows(&self, now: Now) -> Vec<FlowRow> {
        let Some(world) = &self.world else { return Vec::new() };
        self.flows.iter(now.instant).map(|flow| world.flow_row(&flow)).collect()
    }

    /// For `vpmesh explain`.
    #[must_use]
    pub fn explain(&self, from: &Party, to: &Party, service: Service) -> ExplainAnswer {
        match &self.world {
            Some(world) => world.judge.ask(from, to, service).map_or_else(
                |why| ExplainAnswer::unknown(&why.to_string()),
                |answer| ExplainAnswer::from(answer.explanation),
            ),
            None => ExplainAnswer::unknown("no roster is in force yet"),
        }
    }
}

/// Drops by the reason's name, without those that never happened.
fn named(count: impl Fn(DropReason) -> u64) -> BTreeMap<String, u64> {
    let row = |&reason: &DropReason| {
        Some((reason.name().to_owned(), count(reason))).filter(|&(_, count)| count > 0)
    };
    DropReason::ALL.iter().filter_map(row).collect()
}

impl World {
    fn owner_rows(&self) -> Vec<OwnerRow> {
        let row = |owner: &Owner| OwnerRow {
            owner: owner.roster.owner.clone(),
            serial: owner.roster.serial,
            since: None,
            from: None,
            refused: None,
            prefixes: std::iter::once(owner.prefix6.into())
                .chain(owner.prefixes4.iter().map(|&prefix| prefix.into()))
                .collect(),
            nodes: self
                .model
                .range(owner.node)
                .filter(|&id| {
                    let kind = &self.model.nodes[id as usize].kind;
                    !matches!(kind, NodeKind::Owner | NodeKind::Room { .. } | NodeKind::Relay { .. })
                })
                .count() as u64,
        };
        self.model.owners.iter().map(row).collect()
    }

    fn flow_row(&self, flow: &Flow) -> FlowRow {
        let (source_port, destination_port) = match flow.tuple.ports {
            Ports::Known { src, dst } => (Some(src), Some(dst)),
            Ports::Echo { ident, .. } => (Some(ident), None),
            Ports::None | Ports::OneWay | Ports::Unknown => (None, None),
        };
        let way = |way: usize| Traffic { packets: flow.packets[way], bytes: flow.bytes[way] };
        FlowRow {
            from: self.name_of(flow.tuple.src),
            to: self.name_of(flow.tuple.dst),
            protocol: flow.tuple.protocol,
            source: flow.tuple.src,
            source_port,
            destination: flow.tuple.dst,
            destination_port,
            carrier: self.name_of_carrier(flow.from),
            other_carrier: self.name_of_carrier(flow.to),
            state: flow.state.name().to_owned(),
            forward: way(0),
            back: way(1),
            age: flow.age.as_secs(),
            idle: flow.idle.as_secs(),
        }
    }

    fn name_of_carrier(&self, via: Via) -> String {
        match via {
            Via::Kernel => "kernel".to_owned(),
            Via::AWAY => "elsewhere".to_owned(),
            Via::Peer(peer) => self
                .roles
                .get(&peer)
                .map_or_else(String::new, |role| self.model.node(role.node).name.to_string()),
        }
    }

    /// The node with this address, by name, or `internet`.
    pub(super) fn name_of(&self, address: IpAddr) -> String {
        match self.judge.place(address) {
            crate::policy::Place::Node(id) => self.model.node(id).name.to_string(),
            crate::policy::Place::Internet => "internet".to_owned(),
        }
    }
}

impl From<Verdict> for ExplainVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Deny => Self::Deny,
        }
    }
}

impl From<Explanation> for ExplainAnswer {
    fn from(explanation: Explanation) -> Self {
        let border = |crossing: Crossing| BorderAnswer {
            border: crossing.border,
            direction: crossing.direction.to_string(),
            verdict: crossing.verdict.into(),
            rule: crossing.rule,
            file: crossing.file,
            line: crossing.line,
            reason: crossing.reason,
            staged: crossing.staged,
        };
        Self {
            verdict: explanation.verdict.into(),
            why: None,
            borders: explanation.borders.into_iter().map(border).collect(),
        }
    }
}
