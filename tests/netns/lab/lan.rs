//! A station attached by `lan`: a plain host on a cable of the gateway, which knows nothing of the mesh.

use std::net::IpAddr;
use std::sync::Arc;

use super::link::{End, join};
use super::{Gateway, Namespace, Node};

/// A plain host. Its default route is the gateway.
#[derive(Debug)]
pub struct LanHost {
    pub node: Node,
    pub namespace: Arc<Namespace>,
}

impl LanHost {
    /// Plugs it into the gateway.
    pub fn plug(gateway: &Gateway, node: &Node) -> Self {
        let namespace = Namespace::new(node.path.leaf().as_str());
        let port = format!("lan{}", super::reaper::number());
        let router = &gateway.namespace;
        join(
            End { namespace: router, interface: &port },
            End { namespace: &namespace, interface: "eth0" },
            1500,
        );
        router.forward();
        router.ip(&format!("address add 172.31.0.1/32 dev {port}"));
        router.ip(&format!("address add fe80::1/64 dev {port} nodad"));
        router.ip(&format!("route add {} dev {port}", node.v4));
        router.ip(&format!("route add {} dev {port}", node.v6));
        namespace.ip(&format!("address add {}/32 dev eth0", node.v4));
        namespace.ip(&format!("address add {}/128 dev eth0 nodad", node.v6));
        namespace.ip("route add default via 172.31.0.1 dev eth0 onlink");
        namespace.ip("route add default via fe80::1 dev eth0");
        Self { node: node.clone(), namespace }
    }

    pub fn reaches(&self, to: impl Into<IpAddr>) -> bool {
        super::ping::reaches(&self.namespace, to.into())
    }
}
