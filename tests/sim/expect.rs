//! Who says whether a packet should get there: the slow oracle, asked at every gateway on the way by the rosters that
//! it holds, and a look at the network as a map.

use vpmesh::policy::oracle;
use vpmesh::policy::{End as Side, Place, Question, Traffic};
use vpmesh::roster::model::NodeKind;

use crate::gateway::{Gateway, Wall};
use crate::probe::Ask;
use crate::town::{End, Node, Town};

impl Ask {
    fn traffic(&self) -> Traffic {
        match (self.port, self.v6) {
            (0, true) => Traffic::Icmpv6,
            (0, false) => Traffic::Icmp,
            (port, _) => Traffic::Udp(port),
        }
    }
}

impl Town {
    /// By the rosters that the gateways hold now, and nothing else.
    pub fn allowed(&self, ask: &Ask) -> Result<(), String> {
        let (from, to) = (&self.nodes[ask.from], &self.nodes[ask.to]);
        if from.address(ask.v6).is_none() || to.address(ask.v6).is_none() {
            return Err("no address of that family".into());
        }
        let [first, last] = self.gateways_of(ask);
        if first != last && is_internet(from) {
            return Err("not served".into());
        }
        self.allowed_at(first, ask)?;
        if first == last { Ok(()) } else { self.allowed_at(last, ask) }
    }

    /// By the rosters that one gateway, or relay, holds now.
    pub fn allowed_at(&self, id: usize, ask: &Ask) -> Result<(), String> {
        let (from, to) = (&self.nodes[ask.from], &self.nodes[ask.to]);
        let (Some(source), Some(destination)) = (from.address(ask.v6), to.address(ask.v6)) else {
            return Err("no address of that family".into());
        };
        let gateway = &self.gateways[id];
        let Some(model) = &gateway.model else { return Err(format!("{} is off", gateway.path)) };
        let place = |address, node: &Node| match oracle::place(model, address) {
            Place::Internet if is_internet(node) => Some(Place::Internet),
            Place::Node(id) if model.node(id).name.to_string() == node.path => Some(Place::Node(id)),
            _ => None,
        };
        let (Some(a), Some(b)) = (place(source, from), place(destination, to)) else {
            return Err(format!("{} does not know both ends", gateway.path));
        };
        let question = Question {
            from: Side { place: a, address: Some(source) },
            to: Side { place: b, address: Some(destination) },
            traffic: ask.traffic(),
        };
        let (allows, rows) = oracle::evaluate(model, &question);
        if !allows {
            let border = rows.iter().find(|row| !row.allows).map(|row| row.border.clone());
            return Err(format!("{} denies at {}", gateway.path, border.unwrap_or_default()));
        }
        Ok(())
    }

    /// The first gateway and the last one. The internet is behind the first.
    pub fn gateways_of(&self, ask: &Ask) -> [usize; 2] {
        let (from, to) = (self.nodes[ask.from].end, &self.nodes[ask.to]);
        let first = self.gateway_of(from);
        [first, if is_internet(to) { first } else { self.gateway_of(to.end) }]
    }

    /// Whether a node that the sender's gateway knows nothing of is the internet to it, and policy lets it be sent there.
    pub fn may_leave(&self, ask: &Ask) -> bool {
        let (from, to) = (&self.nodes[ask.from], &self.nodes[ask.to]);
        let (Some(source), Some(destination)) = (from.address(ask.v6), to.address(ask.v6)) else {
            return false;
        };
        let Some(model) = &self.gateways[self.gateway_of(from.end)].model else { return false };
        let side = |address| Side { place: oracle::place(model, address), address: Some(address) };
        let question = Question { from: side(source), to: side(destination), traffic: ask.traffic() };
        question.to.place == Place::Internet && oracle::evaluate(model, &question).0
    }

    /// Whether there is a way, by the map.
    pub fn path(&mut self, ask: &Ask) -> Result<(), String> {
        let ends = [self.nodes[ask.from].end, self.nodes[ask.to].end];
        let [first, last] = self.gateways_of(ask);
        for id in [first, last] {
            if !self.gateways[id].is_on() {
                return Err(format!("{} is off", self.gateways[id].path));
            }
        }
        for end in ends {
            let End::Station(id) = end else { continue };
            let site = self.internet.hosts[self.stations[id].host].site;
            let home = self.site_of(self.stations[id].gateway);
            let ways = self.ways_to_gateway(id);
            if site != home && !ways.into_iter().any(|at| self.internet.is_open(site, at, self.now)) {
                return Err(format!("{} can't reach its gateway", self.stations[id].path));
            }
        }
        if first != last && !(self.lists(first, last) && self.lists(last, first)) {
            return Err("a gateway is not listed".into());
        }
        if first != last && !self.meets(first, last) && self.relays_between(first, last).is_empty() {
            return Err("no way between the gateways".into());
        }
        Ok(())
    }

    /// Whether the rosters in force at one gateway list another.
    pub fn lists(&self, at: usize, other: usize) -> bool {
        let path = self.gateways[other].path.parse().ok();
        let model = self.gateways[at].model.as_ref();
        path.is_some_and(|path| model.is_some_and(|model| model.find(&path).is_some()))
    }

    /// Whether one gateway finds another, by what its roster says of it.
    pub fn is_way(&mut self, from: usize, to: usize) -> bool {
        let Some(model) = &self.gateways[from].model else { return false };
        let found = self.gateways[to].path.parse().ok().and_then(|path| model.find(&path));
        let Some(NodeKind::Gateway { endpoints, .. } | NodeKind::Relay { endpoints, .. }) =
            found.map(|id| &model.node(id).kind)
        else {
            return false;
        };
        let names: Vec<_> = endpoints.iter().map(|endpoint| endpoint.host.to_string()).collect();
        let site = self.site_of(from);
        self.resolve(&names).into_iter().any(|at| self.internet.is_open(site, at, self.now))
    }

    /// Whether two mesh nodes find each other without a relay.
    pub fn meets(&mut self, one: usize, other: usize) -> bool {
        self.is_way(one, other) || self.is_way(other, one)
    }

    /// Relays that both gateways can register with, and that know both.
    pub fn relays_between(&mut self, one: usize, other: usize) -> Vec<usize> {
        let joins = |town: &mut Self, relay: usize| {
            town.gateways[relay].is_relay()
                && town.gateways[relay].is_on()
                && [one, other].into_iter().all(|gateway| {
                    town.lists(relay, gateway) && town.lists(gateway, relay) && town.meets(relay, gateway)
                })
        };
        (0..self.gateways.len()).filter(|&relay| joins(self, relay)).collect()
    }

    /// Whether two gateways that hear each other were perhaps introduced by a relay before: what they found then may work
    /// still.
    pub fn may_know(&self, ask: &Ask) -> bool {
        let [first, last] = self.gateways_of(ask);
        let ons = [first, last].into_iter().all(|id| self.gateways[id].is_on());
        let has_relays = self.gateways.iter().any(Gateway::is_relay);
        first != last
            && ons
            && has_relays
            && self.lists(first, last)
            && self.lists(last, first)
            && self.internet.hears(self.site_of(first), self.site_of(last))
    }

    /// A gateway whose clock stands can't be held to what its handshakes need; nor can a relay, or one that holds rosters
    /// by which the two have nothing to say to each other.
    pub fn is_certain(&mut self, ask: &Ask) -> bool {
        let [first, last] = self.gateways_of(ask);
        let is_true = |town: &Self, id: usize| town.gateways[id].wall == Wall::True;
        if !is_true(self, first) || !is_true(self, last) {
            return false;
        }
        let joins = |town: &Self, relay: usize| is_true(town, relay) && town.allowed_at(relay, ask).is_ok();
        first == last
            || self.meets(first, last)
            || self.relays_between(first, last).into_iter().any(|relay| joins(self, relay))
    }
}

pub fn is_internet(node: &Node) -> bool {
    matches!(node.end, End::Internet(_))
}
