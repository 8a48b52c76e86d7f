//! A station attached by `lan`: a plain host on a cable of the gateway, which knows nothing of the mesh.

use std::net::IpAddr;
use std::sync::Arc;

use super::link::plug;
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
        let namespace = plug(&gateway.namespace, "lan", "172.31.0.1", node, 1500);
        Self { node: node.clone(), namespace }
    }

    pub fn reaches(&self, to: impl Into<IpAddr>) -> bool {
        super::ping::reaches(&self.namespace, to.into())
    }
}
