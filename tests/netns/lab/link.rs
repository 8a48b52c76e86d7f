//! A wire between two namespaces.

use std::process::Command;

use super::Namespace;
use super::command::must;

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
