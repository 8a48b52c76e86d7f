//! A station attached by WireGuard: a host on the underlay with an unmodified client.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use vpmesh::base::PublicKey;

use super::echo::Echo;
use super::internet::Place;
use super::wireguard::{Peer, WireGuard};
use super::{Internet, Lab, Namespace, Node};

/// The client, its host, and what else is inside the host.
#[derive(Debug)]
pub struct Station {
    pub node: Node,
    pub tunnel: WireGuard,
    pub place: Place,
    gateway: Peer,
    pub namespace: Arc<Namespace>,
}

/// What a client's configuration says of its gateway.
#[derive(Debug, Clone)]
pub struct Uplink {
    pub public: PublicKey,
    pub endpoint: SocketAddr,
    /// Prefixes that the client sends into the tunnel.
    pub allowed: Vec<String>,
}

impl Station {
    /// A host on the internet whose client is configured and up.
    pub fn join(lab: &Lab, internet: &Internet, node: &Node, uplink: &Uplink) -> Self {
        let namespace = Namespace::new(node.path.leaf().as_str());
        let place = internet.attach(&namespace);
        Self::start(lab, namespace, place, node, uplink)
    }

    /// The same behind a home router whose cable has this MTU.
    pub fn join_behind(lab: &Lab, internet: &Internet, mtu: u32, node: &Node, uplink: &Uplink) -> Self {
        let namespace = Namespace::new(node.path.leaf().as_str());
        let place = internet.attach_behind(&namespace, mtu);
        Self::start(lab, namespace, place, node, uplink)
    }

    fn start(lab: &Lab, namespace: Arc<Namespace>, place: Place, node: &Node, uplink: &Uplink) -> Self {
        let tunnel = WireGuard::start(lab, &namespace, &node.key, 0);
        let gateway = Peer {
            public: uplink.public,
            endpoint: Some(uplink.endpoint),
            allowed: uplink.allowed.clone(),
            keepalive: 1,
        };
        tunnel.set_peer(&gateway);
        let station = Self { node: node.clone(), tunnel, place, gateway, namespace };
        station.take_addresses(node);
        for prefix in &uplink.allowed {
            station.namespace.ip(&format!("route replace {prefix} dev {}", station.interface()));
        }
        station
    }

    pub fn interface(&self) -> &str {
        &self.tunnel.interface
    }

    /// Has another node's addresses too: an application that shares its host's stack.
    pub fn take_addresses(&self, node: &Node) {
        self.namespace.ip(&format!("address add {}/32 dev {}", node.v4, self.interface()));
        self.namespace.ip(&format!("address add {}/128 dev {} nodad", node.v6, self.interface()));
    }

    /// Sends one more prefix into the tunnel.
    pub fn route(&mut self, prefix: &str) {
        self.gateway.allowed.push(prefix.to_owned());
        self.tunnel.set_peer(&Peer { endpoint: None, ..self.gateway.clone() });
        self.namespace.ip(&format!("route replace {prefix} dev {}", self.interface()));
    }

    /// Changes the gateway's endpoint in the client.
    pub fn point_at(&self, endpoint: SocketAddr) {
        self.tunnel.set_peer(&Peer { endpoint: Some(endpoint), ..self.gateway.clone() });
    }

    /// Where its client finds the gateway.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.tunnel.endpoint()
    }

    /// Goes by another gateway.
    pub fn go_by(&mut self, uplink: &Uplink) {
        self.tunnel.remove_peer(&self.gateway.public);
        (self.gateway.public, self.gateway.endpoint) = (uplink.public, Some(uplink.endpoint));
        self.gateway.allowed.clone_from(&uplink.allowed);
        self.tunnel.set_peer(&self.gateway);
    }

    /// The client's MTU. Stock clients have 1420.
    pub fn set_mtu(&self, mtu: u32) {
        self.namespace.ip(&format!("link set {} mtu {mtu}", self.interface()));
    }

    /// Moves to another place on the underlay; the client isn't told.
    pub fn roam(&mut self, internet: &Internet) {
        self.place = internet.move_host(&self.namespace, &self.place);
    }

    /// Answers on every TCP and UDP port.
    pub fn echo(&self) -> Echo {
        Echo::on_every_port(&self.namespace)
    }

    /// Whether one of a few pings is answered.
    pub fn reaches(&self, to: impl Into<IpAddr>) -> bool {
        super::ping::reaches(&self.namespace, to.into())
    }

    /// Bytes that came out of the tunnel.
    pub fn received_bytes(&self) -> u64 {
        self.namespace.received_bytes(self.interface()).unwrap_or(0)
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in ["ip -s link", "ip route", "ip neighbour"] {
                let outcome = self.namespace.run(line, super::command::LIMIT);
                eprintln!("--- {line} at {}:\n{}", self.node.path, outcome.stdout);
            }
        }
    }
}
