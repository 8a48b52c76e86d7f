//! A stand-in for the engine: it has the engine's face and does nothing. The lead's engine takes its place.

pub mod outbox;
pub mod report;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::base::{DropReason, NodePath, PrivateKey};
use crate::roster::{Endpoint, Model, Party, Service};
use crate::table::PeerId;

pub use outbox::{Outbox, Transmit};
pub use report::{BorderAnswer, ExplainAnswer, FlowRow, PeerRow, Status, Traffic};

/// The time of one turn, read once.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub instant: Instant,
    pub wall: SystemTime,
}

/// Datagrams from one source: one, or a train of `stride` bytes each with the last perhaps shorter.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Canonical: IPv4 is never v4-mapped.
    pub source: SocketAddr,
    /// The address of this host that it was sent to.
    pub local: Option<IpAddr>,
    /// The two bits of ECN (RFC 3168).
    pub ecn: u8,
    pub bytes: &'a mut [u8],
    pub stride: usize,
}

/// What an engine is made from.
#[derive(Debug)]
pub struct EngineConfig {
    pub node: NodePath,
    pub private_key: PrivateKey,
    pub mtu: u16,
    pub flows_max: usize,
    pub seed: [u8; 32],
}

/// What the engine asks of the shell around it.
#[derive(Debug)]
pub enum Event {
    /// Look these endpoints up, and answer with [`Engine::handle_resolved`].
    Resolve { peer: PeerId, endpoints: Vec<Endpoint> },
    /// Find the path MTU to the endpoint, and answer with [`Engine::handle_path_mtu`].
    PathMtu { peer: PeerId, endpoint: SocketAddr },
}

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    pub owners: u32,
    pub nodes: u32,
    pub peers_added: u32,
    pub peers_removed: u32,
    pub flows_cut: u32,
}

/// Why a model can't be served.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReloadError(pub String);

/// Serves nothing.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    drops: [u64; DropReason::COUNT],
}

impl Engine {
    #[must_use]
    pub fn new(config: EngineConfig, _now: Now) -> Self {
        Self { config, drops: [0; DropReason::COUNT] }
    }

    /// # Errors
    /// Never, in the stand-in.
    pub fn reload(&mut self, model: Arc<Model>, _now: Now) -> Result<ReloadReport, ReloadError> {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(ReloadReport {
            owners: count(model.owners.len()),
            nodes: count(model.nodes.len()),
            ..Default::default()
        })
    }

    pub fn handle_udp(&mut self, datagrams: &mut [Datagram<'_>], _now: Now, _out: &mut Outbox) {
        let count: u64 = datagrams.iter().map(|d| d.bytes.len().div_ceil(d.stride.max(1)) as u64).sum();
        self.count_drop(DropReason::NotWireguard, count);
    }

    pub fn handle_tun(&mut self, packets: &mut [&mut [u8]], _now: Now, _out: &mut Outbox) {
        self.count_drop(DropReason::NoRoute, packets.len() as u64);
    }

    pub fn handle_timeout(&mut self, _now: Now, _out: &mut Outbox) {}

    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        None
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    pub fn handle_resolved(&mut self, _peer: PeerId, _addresses: Vec<SocketAddr>, _now: Now) {}

    pub fn handle_path_mtu(&mut self, _peer: PeerId, _mtu: u16) {}

    pub fn handle_clock_step(&mut self, _now: Now) {}

    /// Counts drops that happen outside the engine: the socket's.
    pub fn count_drop(&mut self, reason: DropReason, count: u64) {
        self.drops[reason as usize] += count;
    }

    #[must_use]
    pub fn addresses(&self) -> Vec<IpNetwork> {
        Vec::new()
    }

    #[must_use]
    pub fn routes(&self) -> Vec<IpNetwork> {
        Vec::new()
    }

    #[must_use]
    pub fn status(&self, _now: Now) -> Status {
        let drops = DropReason::ALL
            .iter()
            .map(|reason| (reason.name().to_owned(), self.drops[*reason as usize]))
            .filter(|(_, count)| *count > 0)
            .collect();
        Status {
            node: self.config.node.clone(),
            public_key: self.config.private_key.public(),
            mtu: self.config.mtu,
            addresses: Vec::new(),
            owners: Vec::new(),
            peers: 0,
            peers_up: 0,
            flows: 0,
            flows_max: self.config.flows_max as u64,
            from_peers: Traffic::default(),
            to_peers: Traffic::default(),
            from_kernel: Traffic::default(),
            to_kernel: Traffic::default(),
            drops,
        }
    }

    #[must_use]
    pub fn flows(&self, _now: Now) -> Vec<FlowRow> {
        Vec::new()
    }

    #[must_use]
    pub fn peers(&self, _now: Now) -> Vec<PeerRow> {
        Vec::new()
    }

    #[must_use]
    pub fn explain(&self, _from: &Party, _to: &Party, _service: Service) -> ExplainAnswer {
        ExplainAnswer::unknown("no roster is loaded")
    }
}
