//! A wire between two namespaces.

use std::process::Command;
use std::sync::Arc;

use super::command::must;
use super::{Namespace, Node, reaper};

/// One end of a wire.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub namespace: &'a Namespace,
    pub interface: &'a str,
}

/// Joins two namespaces by a veth pair of this MTU and brings both ends up.
pub fn join(a: End<'_>, b: End<'_>, mtu: u32) {
    must(Command::new("ip").args(["link", "add", a.interface, "mtu", &mtu.to_string()]).args([
        "netns",
        a.namespace.name(),
        "type",
        "veth",
        "peer",
        "name",
        b.interface,
        "mtu",
        &mtu.to_string(),
        "netns",
        b.namespace.name(),
    ]));
    for end in [a, b] {
        end.namespace.ip(&format!("link set {} up", end.interface));
    }
}

/// A host on a wire of this MTU to a router, which is its way to everything. `kind` begins the name of the router's port,
/// `address` is the port's own.
pub fn plug(router: &Namespace, kind: &str, address: &str, node: &Node, mtu: u32) -> Arc<Namespace> {
    let host = Namespace::new(node.path.leaf().as_str());
    let port = format!("{kind}{}", reaper::number());
    join(End { namespace: router, interface: &port }, End { namespace: &host, interface: "eth0" }, mtu);
    router.forward();
    router.ip(&format!("address add {address}/32 dev {port}"));
    router.ip(&format!("address add fe80::1/64 dev {port} nodad"));
    router.ip(&format!("route add {} dev {port}", node.v4));
    router.ip(&format!("route add {} dev {port}", node.v6));
    host.ip(&format!("address add {}/32 dev eth0", node.v4));
    host.ip(&format!("address add {}/128 dev eth0 nodad", node.v6));
    host.ip(&format!("route add default via {address} dev eth0 onlink"));
    host.ip("route add default via fe80::1 dev eth0");
    host
}
