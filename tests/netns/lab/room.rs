//! A room's lines in a roster, written from the top down: what is said behind the room or a node is of that one.

use std::fmt::{self, Display, Write as _};

use vpmesh::base::Name;

use super::{Gateway, Node};

#[derive(Debug, Clone)]
pub struct Room {
    text: String,
}

impl Room {
    pub fn new(name: impl Display) -> Self {
        Self { text: format!("[[room]]\nname = \"{name}\"\n") }
    }

    /// Any lines; policy, most often.
    pub fn lines(mut self, lines: impl Display) -> Self {
        let _ = writeln!(self.text, "{lines}");
        self
    }

    /// The room's gateway, where it is.
    pub fn gateway(self, gateway: &Gateway) -> Self {
        let endpoint = gateway.endpoint();
        self.gateway_at(&gateway.node, &[&endpoint])
    }

    /// A gateway of the room's, where others are told that it is; most often nowhere.
    pub fn gateway_at(self, gateway: &Node, endpoints: &[&dyn Display]) -> Self {
        let room = self.node("room.gateway", gateway).key(gateway);
        if endpoints.is_empty() { room } else { room.endpoints(endpoints) }
    }

    /// A station that has a tunnel.
    pub fn station(self, station: &Node) -> Self {
        self.node("room.station", station).key(station)
    }

    /// A station on the gateway's LAN.
    pub fn lan_host(self, host: &Node) -> Self {
        self.node("room.station", host).lines("lan = true")
    }

    /// An application of the station before it.
    pub fn application(self, application: &Node) -> Self {
        self.node("room.station.application", application)
    }

    fn node(self, table: &str, node: &Node) -> Self {
        let (name, v4): (&Name, _) = (node.path.leaf(), node.v4);
        self.lines(format_args!("[[{table}]]\nname = \"{name}\"\nipv4 = \"{v4}\""))
    }

    fn key(self, node: &Node) -> Self {
        self.lines(format_args!("key = \"{}\"", node.public))
    }

    fn endpoints(self, endpoints: &[&dyn Display]) -> Self {
        let quoted: Vec<_> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
        self.lines(format_args!("endpoints = [{}]", quoted.join(", ")))
    }
}

impl Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A relay's lines.
pub fn relay(relay: &Gateway) -> String {
    let (name, key, endpoint) = (relay.node.path.leaf(), relay.node.public, relay.endpoint());
    format!("[[relay]]\nname = \"{name}\"\nkey = \"{key}\"\nendpoints = [\"{endpoint}\"]\n")
}
