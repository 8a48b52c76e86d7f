//! Relays: what happens to them, what they may have, and what must not be seen at one.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use vpmesh::mesh::frame::FRAME_TYPE;
use vpmesh::roster::NodeId;
use vpmesh::roster::model::NodeKind;

use crate::expect::Way;
use crate::probe::Ask;
use crate::rng::Rng;
use crate::town::Town;

/// How often a flow is drawn until one needs two relays.
const DRAWS: usize = 100;

impl Town {
    /// The network falls in two, and only relays hear each other across: a gateway on one side and one on the other have
    /// no relay that hears both, and need two of them.
    pub fn divide(&mut self, rng: &mut Rng) {
        for site in &mut self.internet.sites {
            site.side = rng.below(2) as u8;
        }
        for (n, relay) in self.relays().into_iter().enumerate() {
            let site = self.site_of(relay);
            self.internet.sites[site].side = (n % 2) as u8;
        }
        let conditions = &mut self.internet.conditions;
        (conditions.partitioned, conditions.bridged) = (true, true);
    }

    /// Flows that the rosters allow and that need two relays, as far as they are found.
    pub fn draw_chained(&mut self, count: usize, rng: &mut Rng) -> Vec<Ask> {
        let mut asks = Vec::new();
        let draws = if self.internet.conditions.bridged { DRAWS } else { 0 };
        for _ in 0..draws {
            let ask = self.draw_ask(rng);
            if asks.len() < count && self.allowed(&ask).is_ok() && self.path(&ask) == Ok(Way::Chain) {
                asks.push(ask);
            }
        }
        asks
    }

    fn relays(&self) -> Vec<usize> {
        (0..self.gateways.len()).filter(|&id| self.gateways[id].is_relay()).collect()
    }

    /// A relay is off from now on.
    pub fn kill_relay(&mut self, rng: &mut Rng) {
        let on: Vec<_> = self.relays().into_iter().filter(|&id| self.gateways[id].is_on()).collect();
        let Some(&id) = on.get(rng.index(on.len())) else { return };
        self.note(Some(self.gateways[id].host), "is killed");
        self.gateways[id].stop();
    }

    /// Relays that are off start; if none is, one that is on forgets everything.
    pub fn restart_relay(&mut self, rng: &mut Rng) {
        let relays = self.relays();
        let mut begin: Vec<_> =
            relays.iter().copied().filter(|&id| self.gateways[id].engine().is_none()).collect();
        if begin.is_empty() && !relays.is_empty() {
            begin.push(*rng.pick(&relays));
        }
        for id in begin {
            self.gateways[id].stop();
            self.boot(id);
            self.note(Some(self.gateways[id].host), "starts from disk");
        }
    }

    /// A datagram at a relay, and what it does about it.
    pub fn relay(&mut self, id: usize, source: SocketAddr, local: IpAddr, mut bytes: Vec<u8>) {
        let is_frame = |bytes: &[u8]| bytes.first() == Some(&FRAME_TYPE);
        let (came, before) = (is_frame(&bytes), bytes.clone());
        let effects = self.gateways[id].handle_datagram(source, local, &mut bytes, self.now);
        let path = &self.gateways[id].path;
        let onward: Vec<_> = effects.datagrams.iter().filter(|(_, bytes)| is_frame(bytes)).collect();
        let why = if onward.len() > usize::from(came) {
            Some(format!("{path} sends {} frames for one datagram", onward.len()))
        } else if onward.iter().any(|(to, _)| *to == source) {
            Some(format!("{path} sends a frame back"))
        } else if !effects.packets.is_empty() {
            Some(format!("{path} gives its kernel a packet"))
        } else if self.shows_inside(&before)
            || effects.datagrams.iter().any(|(_, bytes)| self.shows_inside(bytes))
        {
            Some(format!("an address from inside could be read at {path}"))
        } else {
            None
        };
        if let Some(why) = why {
            self.break_down(why);
        }
        self.apply(id, effects);
    }

    /// Whether octets have an IPv6 address of a node in them, or two of IPv4 as they lie in a header.
    fn shows_inside(&self, bytes: &[u8]) -> bool {
        let v4 = |at: &[u8]| self.inside.contains(&at[..4]);
        bytes.windows(16).any(|at| at[0] == 0xfd && self.inside.contains(at))
            || bytes.windows(8).any(|at| at[0] == 10 && at[4] == 10 && v4(at) && v4(&at[4..]))
    }

    /// What a relay has is of gateways that its rosters list, and between rooms that could have something to say to each
    /// other by them.
    pub fn hold_relay(&mut self, id: usize) {
        let gateway = &self.gateways[id];
        let (Some(engine), Some(model), Some(judge)) = (gateway.engine(), &gateway.model, &gateway.judge)
        else {
            return;
        };
        let path = &gateway.path;
        let (legs, pairs) = engine.relayed();
        let count = |is_it: fn(&NodeKind) -> bool| model.iter().filter(|(_, node)| is_it(&node.kind)).count();
        let gateways = count(|kind| matches!(kind, NodeKind::Gateway { .. }));
        // Relays register with each other, for chains of two.
        let listed = gateways + count(|kind| matches!(kind, NodeKind::Relay { .. })) - 1;
        let room_of = |key| {
            let is_it =
                |kind: &NodeKind| matches!(kind, NodeKind::Gateway { key: other, .. } if *other == key);
            let (id, _) = model.iter().find(|(_, node)| is_it(&node.kind))?;
            model.room_of(id)
        };
        let name =
            |room: Option<NodeId>| room.map_or("nobody".into(), |room| model.node(room).name.to_string());
        let is_right =
            |one, other| matches!((one, other), (Some(one), Some(other)) if judge.could_flow(one, other));
        let wrong = pairs.iter().map(|pair| pair.map(room_of)).find(|[one, other]| !is_right(*one, *other));
        let distinct: BTreeSet<_> = pairs.iter().map(|pair| pair.map(|key| *key.as_bytes())).collect();
        let why = if let Some([one, other]) = wrong {
            Some(format!("{path} joins {} and {} against the rosters", name(one), name(other)))
        } else if legs > listed
            || distinct.len() != pairs.len()
            || pairs.len() > gateways * gateways.saturating_sub(1) / 2
        {
            Some(format!(
                "{path} has {legs} legs and {} channels where {listed} nodes are listed",
                pairs.len()
            ))
        } else {
            None
        };
        if let Some(why) = why {
            self.break_down(why);
        }
    }
}
