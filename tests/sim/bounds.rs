//! What must hold at any time, whatever happened.

use vpmesh::roster::Model;
use vpmesh::roster::model::NodeKind;

use crate::faults;
use crate::gateway::FLOWS_MAX;
use crate::nat::MAPPINGS_MAX;
use crate::town::Town;

impl Town {
    /// Tables within their bounds, nothing readable on the wire, nothing said at ERROR.
    pub fn hold_bounds(&mut self) {
        if self.diagram.leaked {
            self.break_down("a packet could be read on the wire");
        }
        for said in faults::take() {
            self.break_down(format!("at ERROR: {said}"));
        }
        for id in 0..self.gateways.len() {
            let now = self.gateways[id].read_clock(self.now);
            let Some(engine) = self.gateways[id].engine() else { continue };
            let status = engine.status(now);
            let listed =
                self.gateways[id].model.as_ref().map_or(0, |model| peers_of(model, &self.gateways[id].path));
            let path = self.gateways[id].path.clone();
            if status.flows > FLOWS_MAX as u64 {
                self.break_down(format!("{path} has {} flows", status.flows));
            }
            if status.peers > listed as u64 {
                self.break_down(format!("{path} has {} peers where {listed} are listed", status.peers));
            }
        }
        for id in 0..self.gateways.len() {
            self.hold_relay(id);
        }
        if self.internet.mappings_most() >= MAPPINGS_MAX {
            self.break_down("a translator's table is full");
        }
    }
}

/// Whom a gateway may have as peers: its room's stations, and every other mesh node. Whoever was revoked is not there.
fn peers_of(model: &Model, gateway: &str) -> usize {
    let me = gateway.parse().ok().and_then(|path| model.find(&path));
    let room = me.and_then(|me| model.room_of(me)).map_or(0..0, |room| model.range(room));
    let is_peer = |node: &NodeKind, inside: bool| match node {
        NodeKind::Station { .. } => inside,
        NodeKind::Gateway { .. } | NodeKind::Relay { .. } => true,
        _ => false,
    };
    model.iter().filter(|(id, node)| Some(*id) != me && is_peer(&node.kind, room.contains(&id.0))).count()
}
