//! A gateway of stock parts, `wireguard-go` and the kernel's forwarding: it shows that the lab itself works.

use std::net::SocketAddr;
use std::sync::Arc;

use vpmesh::base::PrivateKey;

use super::internet::Place;
use super::station::Uplink;
use super::wireguard::{Peer, WireGuard};
use super::{Internet, Lab, Namespace, Node};

/// No policy of its own but what a case writes with [`Namespace::nft`].
#[derive(Debug)]
pub struct StandIn {
    tunnel: WireGuard,
    key: PrivateKey,
    pub place: Place,
    pub namespace: Arc<Namespace>,
}

impl StandIn {
    pub fn start(lab: &Lab, internet: &Internet) -> Self {
        let namespace = Namespace::new("standin");
        namespace.forward();
        let place = internet.attach(&namespace);
        let key = PrivateKey::generate().expect("the system has random bytes");
        let tunnel = WireGuard::start(lab, &namespace, &key, 51888);
        Self { tunnel, key, place, namespace }
    }

    /// Admits a station and what is inside it; the first one's key carries them all.
    pub fn admit(&self, nodes: &[&Node]) {
        let allowed = nodes.iter().flat_map(|node| [format!("{}/32", node.v4), format!("{}/128", node.v6)]);
        let allowed: Vec<_> = allowed.collect();
        for prefix in &allowed {
            self.namespace.ip(&format!("route replace {prefix} dev {}", self.tunnel.interface));
        }
        self.tunnel.set_peer(&Peer { public: nodes[0].public, endpoint: None, allowed, keepalive: 0 });
    }

    /// What a station's client is told.
    pub fn uplink(&self, allowed: &[String]) -> Uplink {
        let endpoint = SocketAddr::from((self.place.v4, 51888));
        Uplink { public: self.key.public(), endpoint, allowed: allowed.to_vec() }
    }

    pub fn process_id(&self) -> u32 {
        self.tunnel.process_id()
    }
}
