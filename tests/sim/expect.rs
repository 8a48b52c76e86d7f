//! Who says whether a packet should get there: the slow oracle, asked at every gateway on the way by the rosters that
//! it holds, and a look at the network as a map.

use vpmesh::policy::oracle;
use vpmesh::policy::{End as Side, Place, Question, Traffic};
use vpmesh::roster::model::NodeKind;

use crate::gateway::{Gateway, Wall};
use crate::probe::Ask;
use crate::town::{End, Node, Town};

/// How a flow's two gateways reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They are one.
    Home,
    /// One finds the other.
    Straight,
    /// Both are registered with a relay.
    Relay,
    /// One is registered with one relay and one with another, and these with each other.
    Chain,
}

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

    /// The shortest way that there is, by the map.
    pub fn path(&mut self, ask: &Ask) -> Result<Way, String> {
        self.path_by(ask, |_| true)
    }

    /// A gateway whose clock stands can't be held to what its handshakes need, nor can a relay: whether there is a way
    /// without such ones.
    pub fn is_certain(&mut self, ask: &Ask) -> bool {
        self.path_by(ask, |gateway| gateway.wall == Wall::True).is_ok()
    }

    /// The same by way of those mesh nodes alone that `counts` lets through.
    fn path_by(&mut self, ask: &Ask, counts: fn(&Gateway) -> bool) -> Result<Way, String> {
        let ends = [self.nodes[ask.from].end, self.nodes[ask.to].end];
        let [first, last] = self.gateways_of(ask);
        for id in [first, last] {
            if !self.gateways[id].is_on() || !counts(&self.gateways[id]) {
                return Err(format!("{} is off", self.gateways[id].path));
            }
        }
        for end in ends {
            let End::Station(id) = end else { continue };
            if !self.reaches_gateway(id) {
                return Err(format!("{} can't reach its gateway", self.stations[id].path));
            }
        }
        if first == last {
            return Ok(Way::Home);
        }
        if !self.know_each_other(first, last) {
            return Err("a gateway is not listed".into());
        }
        if self.meets(first, last) {
            return Ok(Way::Straight);
        }
        let relays: Vec<_> = (0..self.gateways.len())
            .filter(|&id| self.may_join(id, [first, last]) && counts(&self.gateways[id]))
            .collect();
        let [near, far] = [first, last].map(|gateway| -> Vec<_> {
            relays.iter().copied().filter(|&relay| self.speak(relay, gateway)).collect()
        });
        if near.iter().any(|relay| far.contains(relay)) {
            return Ok(Way::Relay);
        }
        let mut pairs = near.iter().flat_map(|&one| far.iter().map(move |&other| (one, other)));
        if pairs.any(|(one, other)| self.speak(one, other)) {
            return Ok(Way::Chain);
        }
        Err("no way between the gateways".into())
    }

    fn reaches_gateway(&mut self, station: usize) -> bool {
        let site = self.internet.hosts[self.stations[station].host].site;
        let home = self.site_of(self.stations[station].gateway);
        let mut ways = self.ways_to_gateway(station).into_iter();
        site == home || ways.any(|at| self.internet.is_open(site, at, self.now))
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

    fn know_each_other(&self, one: usize, other: usize) -> bool {
        self.lists(one, other) && self.lists(other, one)
    }

    /// Whether two mesh nodes of which one is a relay have a session with each other: the one registers with the other.
    fn speak(&mut self, one: usize, other: usize) -> bool {
        self.know_each_other(one, other) && self.meets(one, other)
    }

    /// Whether this is a relay, and by its rosters there could be a flow between what is behind the two gateways. In a chain
    /// each of the two relays judges so.
    fn may_join(&self, relay: usize, gateways: [usize; 2]) -> bool {
        let relay = &self.gateways[relay];
        let Some(judge) = relay.judge.as_ref().filter(|_| relay.is_on()) else { return false };
        let [one, other] = gateways.map(|gateway| {
            let path = self.gateways[gateway].path.parse().ok()?;
            judge.model().room_of(judge.model().find(&path)?)
        });
        one.zip(other).is_some_and(|(one, other)| judge.could_flow(one, other))
    }

    /// Whether two gateways that hear each other were perhaps introduced by a relay before: what they found then may work
    /// still.
    pub fn may_know(&mut self, ask: &Ask) -> bool {
        let [first, last] = self.gateways_of(ask);
        let ends = [self.nodes[ask.from].end, self.nodes[ask.to].end];
        if ends.into_iter().any(|end| matches!(end, End::Station(id) if !self.reaches_gateway(id))) {
            return false;
        }
        let ons = [first, last].into_iter().all(|id| self.gateways[id].is_on());
        let has_relays = self.gateways.iter().any(Gateway::is_relay);
        first != last
            && ons
            && has_relays
            && self.lists(first, last)
            && self.lists(last, first)
            && self.internet.hears(self.site_of(first), self.site_of(last))
    }
}

pub fn is_internet(node: &Node) -> bool {
    matches!(node.end, End::Internet(_))
}
