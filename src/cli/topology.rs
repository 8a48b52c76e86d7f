//! `vpmesh topology`: this node and its peers as a NetJSON NetworkGraph (netjson.org), for what draws networks.
//!
//! A link is a peer with a session. Its cost is the round trip in milliseconds where that was measured, else 1.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::output::{self, exit};
use super::{amount, client};
use crate::base::NodePath;
use crate::daemon::question::Request;
use crate::daemon::status::DaemonStatus;
use crate::engine::PeerRow;

#[derive(Debug, Serialize)]
struct NetworkGraph {
    #[serde(rename = "type")]
    kind: &'static str,
    protocol: &'static str,
    version: String,
    /// Of the graph's, which has none.
    revision: Option<String>,
    metric: Option<&'static str>,
    router_id: NodePath,
    label: String,
    nodes: Vec<Node>,
    links: Vec<Link>,
}

#[derive(Debug, Serialize)]
struct Node {
    id: NodePath,
    label: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    local_addresses: Vec<IpAddr>,
    properties: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct Link {
    source: NodePath,
    target: NodePath,
    cost: f64,
    cost_text: String,
    properties: BTreeMap<&'static str, String>,
}

pub(super) fn topology(socket: &Path) -> ExitCode {
    exit(show(socket))
}

fn show(socket: &Path) -> Result<(), String> {
    let told = |error: client::AskError| error.to_string();
    let status = client::ask(socket, &Request::Status).map_err(told)?;
    let status = super::status::read(socket, &status).map_err(told)?;
    let (rows, _) = client::ask_rows(socket, &Request::Peers).map_err(told)?;
    let peers: Result<Vec<PeerRow>, _> = rows.iter().map(|row| client::parse(socket, row)).collect();
    let graph = graph(status, &peers.map_err(told)?);
    let json = serde_json::to_string_pretty(&graph).map_err(|error| error.to_string())?;
    output::print(&(json + "\n")).map_err(|error| error.to_string())
}

fn graph(status: DaemonStatus, peers: &[PeerRow]) -> NetworkGraph {
    let own = status.engine.node;
    let label = |path: &NodePath| path.leaf().to_string();
    let itself = Node {
        label: label(&own),
        local_addresses: status.engine.addresses,
        properties: BTreeMap::from([("key", status.engine.public_key.to_string())]),
        id: own.clone(),
    };
    let others = peers.iter().map(|peer| Node {
        id: peer.peer.clone(),
        label: label(&peer.peer),
        local_addresses: Vec::new(),
        properties: BTreeMap::from([("key", peer.key.to_string()), ("kind", peer.kind.clone())]),
    });
    let links = peers.iter().filter(|peer| peer.up).map(|peer| Link {
        source: own.clone(),
        target: peer.peer.clone(),
        cost: round_trip(peer).map_or(1.0, |time| time as f64 / 1_000.0),
        cost_text: round_trip(peer).map(amount::round_trip).unwrap_or_default(),
        properties: properties(peer),
    });
    NetworkGraph {
        kind: "NetworkGraph",
        protocol: "vpmesh",
        version: status.daemon.version,
        revision: None,
        metric: None,
        label: format!("vpmesh seen from {own}"),
        nodes: std::iter::once(itself).chain(others).collect(),
        links: links.collect(),
        router_id: own,
    }
}

/// Of the path in use, in microseconds.
fn round_trip(peer: &PeerRow) -> Option<u64> {
    peer.paths.as_ref()?.candidates.iter().find(|path| path.in_use)?.round_trip
}

fn properties(peer: &PeerRow) -> BTreeMap<&'static str, String> {
    let mut properties = BTreeMap::from([
        ("mtu", peer.mtu.to_string()),
        ("received", amount::bytes(peer.received.bytes)),
        ("sent", amount::bytes(peer.sent.bytes)),
    ]);
    properties.extend(peer.endpoint.map(|endpoint| ("endpoint", endpoint.to_string())));
    if let Some(path) = peer.paths.iter().flat_map(|paths| &paths.candidates).find(|path| path.in_use) {
        properties.insert("path", path.kind.clone());
        properties.extend(path.relay.as_ref().map(|relay| ("relay", relay.to_string())));
    }
    properties
}
