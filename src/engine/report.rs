//! What the engine tells of itself: the rows of `status`, `flows`, `peers` and `explain`, as JSON has them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::base::{Name, NodePath, PublicKey};

/// Packets and their bytes in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

/// The engine as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub node: NodePath,
    pub public_key: PublicKey,
    /// Bytes of the largest packet inside the tunnels.
    pub mtu: u16,
    /// The gateway's own, IPv6 first.
    pub addresses: Vec<IpAddr>,
    /// Accepted owners, the node's own first.
    pub owners: Vec<OwnerRow>,
    pub peers: u64,
    /// Peers with a session.
    pub peers_up: u64,
    pub flows: u64,
    pub flows_max: u64,
    pub from_peers: Traffic,
    pub to_peers: Traffic,
    pub from_kernel: Traffic,
    pub to_kernel: Traffic,
    /// By the reason's name; those that never happened are left out.
    pub drops: BTreeMap<String, u64>,
    /// Rules that matched a first packet, here or in the kernel, since they are in force; by file and line.
    pub rules: Vec<RuleRow>,
}

/// How often a rule matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRow {
    pub file: String,
    pub line: u32,
    pub border: NodePath,
    /// `egress` or `ingress`.
    pub direction: String,
    pub rule: String,
    pub stage: bool,
    /// First packets that it matched.
    pub matches: u64,
}

/// An accepted owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRow {
    pub owner: Name,
    pub serial: u64,
    pub prefixes: Vec<IpNetwork>,
    /// Stations, applications and gateways.
    pub nodes: u64,
    /// Seconds since this roster came into force here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Which mesh node gave it; absent: it was on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why the last one that somebody gave was refused, unless a better one came since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One live flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRow {
    /// A node's path, or `internet`.
    pub from: String,
    pub to: String,
    /// IP protocol number.
    pub protocol: u8,
    pub source: IpAddr,
    /// Ports where the protocol has them; ICMP's identifier as the source's.
    pub source_port: Option<u16>,
    pub destination: IpAddr,
    pub destination_port: Option<u16>,
    /// Who carries the side that began: a peer's path, `kernel`, or `elsewhere`: it is at another gateway of the room.
    pub carrier: String,
    /// Who carries the other side.
    pub other_carrier: String,
    pub state: String,
    pub forward: Traffic,
    pub back: Traffic,
    /// Seconds since its first packet.
    pub age: u64,
    /// Seconds since its last packet.
    pub idle: u64,
}

/// One WireGuard peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    pub peer: NodePath,
    /// `station`, `gateway` or `relay`.
    pub kind: String,
    pub key: PublicKey,
    pub endpoint: Option<SocketAddr>,
    /// Seconds since the last handshake that was completed.
    pub handshake: Option<u64>,
    /// Whether it has a session now.
    pub up: bool,
    /// Datagrams and their bytes, handshakes included.
    pub received: Traffic,
    pub sent: Traffic,
    /// What it sent and was turned away, by the reason's name.
    pub drops: BTreeMap<String, u64>,
    /// Flows that it began.
    pub flows: u64,
    /// Bytes of the largest packet inside the tunnel that its path carries whole.
    pub mtu: u16,
    /// Of a gateway with a session: where it may be reached, and how well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<PathsRow>,
    /// Of a station that could be at several gateways: where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached: Option<AttachedRow>,
}

/// Where a station is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedRow {
    pub gateway: NodePath,
    /// Of all claims of the station the one of the highest epoch counts.
    pub epoch: u64,
}

/// The paths to a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathsRow {
    /// Why the one in use is: the `session` was made there, the gateway was `found` there by a handshake, it is `better`,
    /// or the one before fell `silent`.
    pub why: String,
    /// Seconds since it is.
    pub since: u64,
    pub candidates: Vec<PathRow>,
}

/// One path to a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRow {
    /// Where datagrams go: the relay's address, if it is through one.
    pub address: Option<SocketAddr>,
    /// How it was learned of.
    pub kind: String,
    /// Whom it goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<NodePath>,
    pub in_use: bool,
    /// Microseconds; `null`: nothing comes back.
    pub round_trip: Option<u64>,
    /// Probes lost, of 1,000.
    pub loss: u32,
}

/// The answer of `explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainAnswer {
    pub verdict: ExplainVerdict,
    /// Why no verdict can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// In the order they are crossed.
    #[serde(default)]
    pub borders: Vec<BorderAnswer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExplainVerdict {
    Allow,
    Deny,
    Unknown,
}

/// One border's say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BorderAnswer {
    pub border: String,
    pub direction: String,
    pub verdict: ExplainVerdict,
    pub rule: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub reason: String,
    /// Staged rules that match, each with its file and line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staged: Vec<String>,
}

impl ExplainAnswer {
    /// Cannot tell.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self { verdict: ExplainVerdict::Unknown, why: Some(why.to_owned()), borders: Vec::new() }
    }
}
