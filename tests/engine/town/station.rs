//! A station's client: the project's own tunnels with one peer.

use std::net::SocketAddr;
use std::time::Instant;

use vpmesh::table::PeerId;
use vpmesh::tunnel::{Endpoint, Opened, Sealed, Tunnels};

use super::Sent;
use super::roster::{key, public};

/// Octets of the largest datagram.
const DATAGRAM_MAX: usize = 70_000;

pub(super) struct Station {
    tunnels: Tunnels,
    gateway: PeerId,
    pub at: SocketAddr,
    pub inbox: Vec<Vec<u8>>,
}

impl Station {
    pub fn new(path: &str, at: SocketAddr, gateway: (&str, SocketAddr), now: Instant) -> Self {
        let mut tunnels = Tunnels::new(&key(path), 0, now);
        let gateway = peer(&mut tunnels, gateway, now);
        Self { tunnels, gateway, at, inbox: vec![] }
    }

    /// Goes by another gateway from now on.
    pub fn attach(&mut self, gateway: (&str, SocketAddr), now: Instant) {
        self.tunnels.remove_peer(self.gateway);
        self.gateway = peer(&mut self.tunnels, gateway, now);
    }

    /// Sends an IP packet, or what has to go before it.
    pub fn send(&mut self, packet: &[u8], now: Instant) -> Option<Sent> {
        let mut buffer = vec![0; DATAGRAM_MAX];
        match self.tunnels.seal(self.gateway, packet, &mut buffer, now) {
            Sealed::Send { to, len } => Some((self.at, to.address, buffer[..len].to_vec())),
            _ => None,
        }
    }

    /// A datagram arrives; what is sent then.
    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Vec<Sent> {
        let mut buffer = vec![0; DATAGRAM_MAX];
        let mut wire = Vec::new();
        match self.tunnels.open(Endpoint { address: from, local: None }, bytes, &mut buffer, now) {
            Opened::Packet { bytes, .. } => self.inbox.push(bytes.to_vec()),
            Opened::Answer { len, .. } => wire.push((self.at, from, buffer[..len].to_vec())),
            Opened::Nothing { .. } | Opened::Drop(_) => {}
        }
        while let Some(Sealed::Send { to, len }) = self.tunnels.seal_waiting(self.gateway, &mut buffer, now) {
            wire.push((self.at, to.address, buffer[..len].to_vec()));
        }
        wire
    }
}

fn peer(tunnels: &mut Tunnels, (path, at): (&str, SocketAddr), now: Instant) -> PeerId {
    let peer = tunnels.upsert_peer(public(path), false, now).unwrap();
    tunnels.set_candidates(peer, vec![at], now);
    peer
}
