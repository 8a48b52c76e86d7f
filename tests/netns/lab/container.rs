//! An application in a container: a namespace behind its station, with addresses of its own.

use std::sync::Arc;

use super::link::plug;
use super::{Namespace, Node, Station};

/// What `lxc` or `docker` would make: a veth pair and host routes.
#[derive(Debug)]
pub struct Container {
    pub node: Node,
    pub namespace: Arc<Namespace>,
}

impl Container {
    /// Starts it inside a station.
    pub fn start(host: &Station, node: &Node) -> Self {
        let namespace = plug(&host.namespace, "ct", "169.254.1.1", node, 1420);
        Self { node: node.clone(), namespace }
    }
}
