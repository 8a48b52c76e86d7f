//! What is told to people and programs: status, flows, peers, explain. Snapshots, made when asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::world::PeerKind;
use super::{Engine, Now};
use crate::base::{DropReason, PublicKey};
use crate::packet::Ports;
use crate::policy::Explanation;
use crate::roster::{Party, Service};
use crate::table::{Flow, Via};

/// `vpmesh status --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub node: String,
    /// Seconds since the daemon's engine was made.
    pub uptime: u64,
    pub mtu: u16,
    pub addresses: Vec<String>,
    pub owners: Vec<OwnerRow>,
    pub peers: PeerTotals,
    pub flows: FlowTotals,
    pub traffic: BTreeMap<String, TrafficRow>,
    /// Drops by the reason's name; every reason is there.
    pub drops: BTreeMap<String, u64>,
    /// Rules that matched a first packet since the last reload.
    pub rules: Vec<RuleRow>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OwnerRow {
    pub owner: String,
    pub serial: u64,
    pub ipv6: String,
    pub ipv4: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PeerTotals {
    pub configured: usize,
    pub connected: usize,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct FlowTotals {
    pub open: usize,
    pub max: usize,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct TrafficRow {
    pub packets: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RuleRow {
    pub file: String,
    pub line: u32,
    pub border: String,
    pub direction: String,
    pub rule: String,
    pub stage: bool,
    /// First packets that it matched.
    pub matches: u64,
}

/// One row of `vpmesh peers --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerRow {
    pub node: String,
    /// `station` or `gateway`.
    pub kind: String,
    pub key: PublicKey,
    pub endpoint: Option<SocketAddr>,
    pub connected: bool,
    /// Seconds since the session in use was made.
    pub handshake_age: Option<u64>,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub flows: usize,
    pub mtu: u16,
}

/// One row of `vpmesh flows --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FlowRow {
    pub protocol: u8,
    pub src: IpAddr,
    pub dst: IpAddr,
    /// TCP and UDP only.
    pub src_port: Option<u16>,
    pub dst_port: Option<u16>,
    /// Names, where the addresses have one.
    pub from: String,
    pub to: String,
    /// What carries each end: a peer's node, or `kernel`.
    pub from_via: String,
    pub to_via: String,
    pub state: String,
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    /// Seconds.
    pub age: u64,
    pub idle: u64,
}

/// What `explain` says: a verdict, or why there is none.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum ExplainAnswer {
    Told(Explanation),
    CannotTell { error: String },
}

impl Engine {
    /// For `vpmesh status`.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        let connected = self.tunnels.ids().filter(|&id| self.tunnels.is_connected(id)).count();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.config.node.to_string(),
            uptime: now.instant.saturating_duration_since(self.started).as_secs(),
            mtu: self.config.mtu,
            addresses: self.addresses().iter().map(ToString::to_string).collect(),
            owners: self.owner_rows(),
            peers: PeerTotals { configured: self.tunnels.ids().count(), connected },
            flows: FlowTotals { open: self.flows.len(), max: self.config.flows_max },
            traffic: self.traffic_rows(),
            drops: DropReason::ALL.iter().map(|&r| (r.name().to_owned(), self.counters.dropped(r))).collect(),
            rules: self.world.as_ref().map(super::world::World::rule_rows).unwrap_or_default(),
        }
    }

    fn owner_rows(&self) -> Vec<OwnerRow> {
        let Some(world) = &self.world else { return Vec::new() };
        let row = |owner: &crate::roster::model::Owner| OwnerRow {
            owner: owner.roster.owner.to_string(),
            serial: owner.roster.serial,
            ipv6: owner.prefix6.to_string(),
            ipv4: owner.prefixes4.iter().map(ToString::to_string).collect(),
        };
        world.model.owners.iter().map(row).collect()
    }

    fn traffic_rows(&self) -> BTreeMap<String, TrafficRow> {
        let counters = &self.counters;
        let ways = [
            ("from_peers", counters.from_peers),
            ("to_peers", counters.to_peers),
            ("from_kernel", counters.from_kernel),
            ("to_kernel", counters.to_kernel),
        ];
        let row =
            |traffic: super::counters::Traffic| TrafficRow { packets: traffic.packets, bytes: traffic.bytes };
        ways.into_iter().map(|(name, traffic)| (name.to_owned(), row(traffic))).collect()
    }

    /// For `vpmesh peers`.
    #[must_use]
    pub fn peers(&self, _now: Now) -> Vec<PeerRow> {
        let Some(world) = &self.world else { return Vec::new() };
        let mut rows: Vec<_> = world
            .roles
            .iter()
            .filter_map(|(&peer, role)| {
                let stats = self.tunnels.stats(peer)?;
                let kind = if role.kind == PeerKind::Station { "station" } else { "gateway" };
                Some(PeerRow {
                    node: world.model.node(role.node).name.to_string(),
                    kind: kind.to_owned(),
                    key: stats.key,
                    endpoint: stats.endpoint,
                    connected: self.tunnels.is_connected(peer),
                    handshake_age: stats.handshake_age,
                    rx_bytes: stats.rx_bytes,
                    tx_bytes: stats.tx_bytes,
                    rx_packets: stats.rx_packets,
                    tx_packets: stats.tx_packets,
                    flows: self.flows.count_of(Via::Peer(peer)),
                    mtu: self.mtu_of(peer),
                })
            })
            .collect();
        rows.sort_by(|a, b| a.node.cmp(&b.node));
        rows
    }

    /// For `vpmesh flows`.
    #[must_use]
    pub fn flows(&self, now: Now) -> Vec<FlowRow> {
        let Some(world) = &self.world else { return Vec::new() };
        let name = |address: IpAddr| world.name_of(address);
        let via = |via: Via| match via {
            Via::Kernel => "kernel".to_owned(),
            Via::Peer(peer) => world
                .roles
                .get(&peer)
                .map_or_else(String::new, |role| world.model.node(role.node).name.to_string()),
        };
        let row = |flow: Flow| {
            let (src_port, dst_port) = match flow.tuple.ports {
                Ports::Known { src, dst } => (Some(src), Some(dst)),
                Ports::Echo { .. } | Ports::None | Ports::OneWay | Ports::Unknown => (None, None),
            };
            FlowRow {
                protocol: flow.tuple.protocol,
                src: flow.tuple.src,
                dst: flow.tuple.dst,
                src_port,
                dst_port,
                from: name(flow.tuple.src),
                to: name(flow.tuple.dst),
                from_via: via(flow.from),
                to_via: via(flow.to),
                state: flow.state.name().to_owned(),
                packets: flow.packets,
                bytes: flow.bytes,
                age: flow.age.as_secs(),
                idle: flow.idle.as_secs(),
            }
        };
        self.flows.iter(now.instant).map(row).collect()
    }

    /// For `vpmesh explain`.
    #[must_use]
    pub fn explain(&self, from: &Party, to: &Party, service: Service) -> ExplainAnswer {
        let Some(world) = &self.world else {
            return ExplainAnswer::CannotTell { error: "no roster is in force yet".to_owned() };
        };
        match world.judge.ask(from, to, service) {
            Ok(answer) => ExplainAnswer::Told(answer.explanation),
            Err(error) => ExplainAnswer::CannotTell { error: error.to_string() },
        }
    }
}
