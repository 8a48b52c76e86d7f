//! Models drawn by hand, for tests: names, rules as lines of text, addresses made up where none is given.
//!
//! Panics on whatever it does not understand.

pub mod dice;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnetwork::Ipv6Network;

use super::Direction;
use crate::base::{Name, NodePath, PrivateKey, PublicKey};
use crate::roster::model::{HostPolicy, Node, NodeKind, Owner};
use crate::roster::{
    Action, Borders, Expect, Kind, Line, Model, NodeId, OwnerId, Party, Policy, Roster, Rule, Selector,
    Service, TestCase,
};

/// A model in the making. Owners come first; what is inside something comes after it.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    /// By place.
    drafts: BTreeMap<NodePath, Draft>,
    owners: Vec<Name>,
    tests: Vec<(Name, TestCase)>,
    line: u32,
}

#[derive(Debug, Clone)]
struct Draft {
    name: NodePath,
    kind: NodeKind,
    ipv4: Option<Ipv4Addr>,
    tags: Vec<Name>,
    policy: Borders,
    host: Option<Borders>,
    line: Line,
}

impl Sketch {
    /// Adds a node: one segment is an owner, two a room, three a station, four an application.
    pub fn node(&mut self, path: &str) -> &mut Self {
        let path = parse_path(path);
        let kind = match path.segments().len() {
            1 => NodeKind::Owner,
            2 => NodeKind::Room {
                prefix6: Ipv6Network::new(Ipv6Addr::UNSPECIFIED, 64).expect("a /64"),
                key: None,
            },
            3 => NodeKind::Station { key: key() },
            _ => NodeKind::Application,
        };
        self.add(path.clone(), path, kind)
    }

    pub fn nodes(&mut self, paths: &[&str]) -> &mut Self {
        for path in paths {
            self.node(path);
        }
        self
    }

    pub fn gateway(&mut self, path: &str) -> &mut Self {
        let path = parse_path(path);
        self.add(path.clone(), path, NodeKind::Gateway { key: key(), endpoints: Vec::new() })
    }

    pub fn relay(&mut self, path: &str) -> &mut Self {
        let path = parse_path(path);
        self.add(path.clone(), path, NodeKind::Relay { key: key(), endpoints: Vec::new() })
    }

    /// Adds `OWNER/NAME` inside another owner's station.
    pub fn guest(&mut self, name: &str, host: &str) -> &mut Self {
        let name = parse_path(name);
        let place = parse_path(host).join(name.leaf().clone()).expect("a station's path");
        self.add(name, place, NodeKind::Guest)
    }

    fn add(&mut self, name: NodePath, place: NodePath, kind: NodeKind) -> &mut Self {
        self.line += 1;
        if kind == NodeKind::Owner {
            self.owners.push(name.owner().clone());
        }
        let host = (kind == NodeKind::Guest).then(Borders::default);
        let line = Line(self.line);
        let draft =
            Draft { name, kind, ipv4: None, tags: Vec::new(), policy: Borders::default(), host, line };
        assert!(self.drafts.insert(place, draft).is_none(), "two nodes at one place");
        self
    }

    /// Whether there is a node of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let name = parse_path(name);
        self.drafts.values().any(|draft| draft.name == name)
    }

    /// How many nodes have an IPv4 address.
    #[must_use]
    pub fn count_ipv4(&self) -> usize {
        self.drafts.values().filter(|draft| draft.ipv4.is_some()).count()
    }

    fn draft(&mut self, name: &str) -> &mut Draft {
        let name = parse_path(name);
        self.drafts
            .values_mut()
            .find(|draft| draft.name == name)
            .unwrap_or_else(|| panic!("{name}: no such node"))
    }

    /// Writes a policy: `None` takes it away, no rules is the empty one. Rules are as [`rule`](Self::rule) reads them.
    pub fn policy(&mut self, name: &str, direction: Direction, rules: Option<&[&str]>) -> &mut Self {
        let policy = self.read_policy(parse_path(name).owner(), rules);
        *side(&mut self.draft(name).policy, direction) = policy;
        self
    }

    pub fn egress(&mut self, name: &str, rules: &[&str]) -> &mut Self {
        self.policy(name, Direction::Egress, Some(rules))
    }

    pub fn ingress(&mut self, name: &str, rules: &[&str]) -> &mut Self {
        self.policy(name, Direction::Ingress, Some(rules))
    }

    /// Writes the host's policy at a guest's border.
    pub fn host_policy(&mut self, guest: &str, direction: Direction, rules: Option<&[&str]>) -> &mut Self {
        let guest_name = parse_path(guest);
        let place =
            self.drafts.iter().find(|(_, draft)| draft.name == guest_name).map(|(place, _)| place.clone());
        let policy = self.read_policy(place.expect("a guest").owner(), rules);
        *side(self.draft(guest).host.as_mut().expect("a guest"), direction) = policy;
        self
    }

    pub fn tag(&mut self, name: &str, tag: &str) -> &mut Self {
        let tag = tag.parse().expect("a tag");
        self.draft(name).tags.push(tag);
        self
    }

    pub fn ipv4(&mut self, name: &str, address: &str) -> &mut Self {
        self.draft(name).ipv4 = Some(address.parse().expect("an IPv4 address"));
        self
    }

    pub fn lan(&mut self, name: &str) -> &mut Self {
        self.draft(name).kind = NodeKind::LanStation;
        self
    }

    /// Adds a `[[test]]` to an owner's roster.
    pub fn test(&mut self, owner: &str, from: &str, to: &str, service: &str, expect: Expect) -> &mut Self {
        self.line += 1;
        let (from, to) = (party(from), party(to));
        let case = TestCase { from, to, service: parse_service(service), expect, line: Line(self.line) };
        self.tests.push((owner.parse().expect("a name"), case));
        self
    }

    fn read_policy(&mut self, owner: &Name, rules: Option<&[&str]>) -> Option<Policy> {
        self.line += 1;
        let line = Line(self.line);
        let rules = rules?.iter().map(|text| self.rule(owner, text)).collect();
        Some(Policy { rules, line })
    }

    /// Reads `allow|deny SERVICES [from SELECTORS] [to SELECTORS] [stage] [log]`; lists have commas and no spaces.
    fn rule(&mut self, owner: &Name, text: &str) -> Rule {
        self.line += 1;
        let mut words = text.split_whitespace();
        let action = match words.next() {
            Some("allow") => Action::Allow,
            Some("deny") => Action::Deny,
            other => panic!("{other:?}: allow or deny"),
        };
        let services = words.next().expect("services").split(',').map(parse_service).collect();
        let line = Line(self.line);
        let mut rule =
            Rule { action, services, from: None, to: None, stage: false, log: false, note: None, line };
        while let Some(word) = words.next() {
            match word {
                "stage" => rule.stage = true,
                "log" => rule.log = true,
                "from" | "to" => {
                    let list = words.next().expect("selectors").split(',');
                    let list = Some(list.map(|text| selector(owner, text)).collect());
                    if word == "from" { rule.from = list } else { rule.to = list }
                }
                other => panic!("{other}: from, to, stage or log"),
            }
        }
        rule
    }

    /// Numbers the nodes, makes up their IPv6 addresses, and joins all to a model.
    #[must_use]
    pub fn model(&self) -> Arc<Model> {
        let mut model = Model::default();
        // By place, which sorts depth first; owners in the order that they were added.
        for owner in &self.owners {
            for (place, draft) in self.drafts.iter().filter(|(place, _)| place.owner() == owner) {
                model.nodes.push(self.finish(place, draft, &model));
            }
        }
        let count = u32::try_from(model.nodes.len()).expect("few nodes");
        for at in 0..model.nodes.len() {
            let place = model.nodes[at].place.clone();
            let inside = model.nodes[at..].iter().take_while(|node| place.contains(&node.place)).count();
            model.nodes[at].end = NodeId((u32::try_from(at + inside).expect("few nodes")).min(count));
        }
        for (i, owner) in self.owners.iter().enumerate() {
            let name = NodePath::owner_of(owner.clone());
            let (node, _) = model.iter().find(|(_, node)| node.name == name).expect("an owner");
            model.owners.push(Owner {
                roster: Arc::new(self.roster(owner, &model.node(node).policy)),
                node,
                prefix6: owner_prefix(i),
                prefixes4: Vec::new(),
            });
        }
        Arc::new(model)
    }

    fn finish(&self, place: &NodePath, draft: &Draft, before: &Model) -> Node {
        let number = |name: &Name| self.owners.iter().position(|owner| owner == name).expect("an owner");
        let id = |name: &Name| OwnerId(u32::try_from(number(name)).expect("few owners"));
        let parent = place.parent().map(|parent| {
            let at = before.nodes.iter().rposition(|node| node.place == parent);
            NodeId(u32::try_from(at.unwrap_or_else(|| panic!("{parent}: no such node"))).expect("few nodes"))
        });
        let has_address =
            !matches!(draft.kind, NodeKind::Owner | NodeKind::Room { .. } | NodeKind::Relay { .. });
        let ipv6 = has_address.then(|| {
            let prefix = owner_prefix(number(draft.name.owner())).network().to_bits();
            Ipv6Addr::from_bits(prefix | (before.nodes.len() as u128 + 1))
        });
        Node {
            name: draft.name.clone(),
            place: place.clone(),
            owner: id(draft.name.owner()),
            parent,
            end: NodeId(0),
            kind: draft.kind.clone(),
            ipv6,
            ipv4: draft.ipv4,
            tags: draft.tags.clone(),
            policy: draft.policy.clone(),
            host_policy: draft.host.clone().map(|policy| HostPolicy { owner: id(place.owner()), policy }),
            line: draft.line,
        }
    }

    fn roster(&self, owner: &Name, policy: &Borders) -> Roster {
        Roster {
            notes: Vec::new(),
            file: format!("{owner}.toml").into(),
            owner: owner.clone(),
            serial: 1,
            ipv4: None,
            friends: Vec::new(),
            policy: policy.clone(),
            rooms: Vec::new(),
            guests: Vec::new(),
            relays: Vec::new(),
            tests: self.tests.iter().filter(|(of, _)| of == owner).map(|(_, test)| test.clone()).collect(),
        }
    }
}

fn side(borders: &mut Borders, direction: Direction) -> &mut Option<Policy> {
    match direction {
        Direction::Egress => &mut borders.egress,
        Direction::Ingress => &mut borders.ingress,
    }
}

/// A valid key; which one matters to no judge.
fn key() -> PublicKey {
    PrivateKey::from_random([7; 32]).public()
}

/// fd00:N::/48.
fn owner_prefix(number: usize) -> Ipv6Network {
    let address = Ipv6Addr::from_bits((0xfd00 << 112) | (number as u128) << 96);
    Ipv6Network::new(address, 48).expect("a /48")
}

fn parse_path(text: &str) -> NodePath {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A node's path, an address, or `internet`.
#[must_use]
pub fn party(text: &str) -> Party {
    if text == "internet" {
        return Party::Internet;
    }
    text.parse::<IpAddr>().map_or_else(|_| Party::Node(parse_path(text)), Party::Address)
}

/// A service that is not a list's name.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn parse_service(text: &str) -> Service {
    let (protocol, ports) = text.split_once('/').unwrap_or((text, ""));
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text}: a number"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match protocol {
        "any" => Service::Any,
        "icmp" => Service::Icmp,
        "tcp" => Service::Tcp { first: number(first), last: number(last) },
        "udp" => Service::Udp { first: number(first), last: number(last) },
        "proto" => Service::Proto(ports.parse().expect("a protocol")),
        other => panic!("{other}: a service"),
    }
}

fn selector(owner: &Name, text: &str) -> Selector {
    if let Some((other, tag)) = text.split_once("#tag:") {
        return Selector::Tag { owner: other.parse().expect("an owner"), tag: tag.parse().expect("a tag") };
    }
    if let Some(tag) = text.strip_prefix("tag:") {
        return Selector::Tag { owner: owner.clone(), tag: tag.parse().expect("a tag") };
    }
    if let Ok(prefix) = text.parse() {
        return Selector::Cidr(prefix);
    }
    match text {
        "any" => Selector::Any,
        "internet" => Selector::Internet,
        "kind:station" => Selector::Kind(Kind::Station),
        "kind:application" => Selector::Kind(Kind::Application),
        "kind:gateway" => Selector::Kind(Kind::Gateway),
        path => {
            let segment = |text: &str| (text != "*").then(|| text.parse().expect("a name"));
            Selector::Path(path.split('/').map(segment).collect())
        }
    }
}
