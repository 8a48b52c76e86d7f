//! The attic: alice's room with one gateway, which most cases begin with.

use std::fmt::Display;

use super::room::Room;
use super::{Gateway, Internet, Lab, Node, Owner, Station};

/// Taken apart by the case, most often. What is to go last comes last.
#[derive(Debug)]
pub struct Attic {
    pub gateway: Gateway,
    pub alice: Owner,
    pub internet: Internet,
    pub lab: Lab,
}

impl Attic {
    /// The gateway's host; nothing runs yet.
    pub fn new(lab: Lab) -> Self {
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let gateway = Gateway::new(&lab, &internet, &alice, &alice.node("attic/gw", "10.88.1.1"));
        Self { gateway, alice, internet, lab }
    }

    /// Nodes of the room by their names: at 10.88.1.10, and on from there.
    pub fn nodes<const N: usize>(&self, names: [&str; N]) -> [Node; N] {
        let mut last = 9;
        names.map(|name| {
            last += 1;
            self.alice.node(&format!("attic/{name}"), &format!("10.88.1.{last}"))
        })
    }

    /// The room's lines, as far as its gateway.
    pub fn room(&self) -> Room {
        Room::new("attic").gateway(&self.gateway)
    }

    /// The gateway starts with this roster.
    pub fn start(&mut self, roster: &dyn Display) {
        let roster = self.alice.sign(roster);
        self.gateway.start_with(&self.lab, &[&roster]);
    }

    /// A station joins, and sends what is for alice to the gateway.
    pub fn join(&self, station: &Node) -> Station {
        Station::join(&self.lab, &self.internet, station, &self.gateway.uplink(&[&self.alice]))
    }
}
