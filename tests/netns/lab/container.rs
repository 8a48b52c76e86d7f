//! An application in a container: a namespace behind its station, with addresses of its own.

use std::sync::Arc;

use super::link::{End, join};
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
        let namespace = Namespace::new(node.path.leaf().as_str());
        let port = format!("ct{}", super::reaper::number());
        join(
            End { namespace: &host.namespace, interface: &port },
            End { namespace: &namespace, interface: "eth0" },
            1420,
        );
        host.namespace.forward();
        host.namespace.ip(&format!("address add 169.254.1.1/32 dev {port}"));
        host.namespace.ip(&format!("address add fe80::1/64 dev {port} nodad"));
        host.namespace.ip(&format!("route add {} dev {port}", node.v4));
        host.namespace.ip(&format!("route add {} dev {port}", node.v6));
        namespace.ip(&format!("address add {}/32 dev eth0", node.v4));
        namespace.ip(&format!("address add {}/128 dev eth0 nodad", node.v6));
        namespace.ip("route add default via 169.254.1.1 dev eth0 onlink");
        namespace.ip("route add default via fe80::1 dev eth0");
        Self { node: node.clone(), namespace }
    }
}
