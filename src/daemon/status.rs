//! What `status` says: the engine's own and the daemon's.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::engine::{ReloadReport, Status};

/// The daemon as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
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
    #[serde(flatten)]
    pub engine: Status,
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
