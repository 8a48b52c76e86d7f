//! What `status` says: the engine's own and the daemon's.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::engine::{ReloadReport, Status};

/// What `status` says, as one object. Whoever reads it reads each half: a reader of both at once is a fiftieth of a
/// router's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DaemonStatus {
    #[serde(flatten)]
    pub daemon: OwnStatus,
    #[serde(flatten)]
    pub engine: Status,
}

/// The daemon around the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnStatus {
    pub version: String,
    /// Seconds since it started.
    pub uptime: u64,
    pub interface: String,
    /// The UDP port.
    pub listen: u16,
    /// The port that a router forwards here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapped: Option<Mapped>,
    pub last_reload: Option<LastReload>,
    /// Datagrams that the kernel turned away because the socket's buffer was full.
    pub socket_overflows: u32,
    /// Datagrams that the kernel turned away because they can be no message for this gateway.
    pub socket_refused: u32,
    /// Packets larger than the MTU that the kernel handed over.
    pub oversized: u64,
    /// Seconds until what was reloaded is rolled back, unless it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<u64>,
    #[serde(default)]
    pub kernel: KernelStatus,
}

/// A port that a router forwards here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// The router's outer side, as it says.
    pub address: SocketAddr,
    /// `pcp`, `nat-pmp` or `upnp`.
    pub by: String,
    /// False: the router is behind another NAT itself, and the internet can't reach it there.
    pub public: bool,
}

/// The kernel's half of policy: what table `inet vpmesh` does. Its rules' matches are counted with the engine's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelStatus {
    pub in_force: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// `closed` or `open`; empty until the first rosters are in force.
    pub fail_safe: String,
    /// Stations of the room that only the kernel can police.
    pub lan_stations: u64,
    /// Times that others changed the table, and it was put back.
    pub put_back: u64,
    /// Packets that the kernel turned away, by the reason's name.
    pub drops: BTreeMap<String, u64>,
}

/// How the last reload ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// Seconds since then.
    pub ago: u64,
    /// What was reloaded; `None`: nothing, and what ran before runs on.
    pub report: Option<ReloadReport>,
    /// Why nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}
