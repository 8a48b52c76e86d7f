//! The slow, obvious evaluator that the judge is held against. Written from the rules in words, with names and
//! lists, point by point; it shares no code with the judge, and should stay so.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::base::NodePath;
use crate::packet::protocol;
use crate::policy::{Direction, End, Place, Question, Traffic};
use crate::roster::model::{Node, NodeKind};
use crate::roster::{Action, Kind, Model, Policy, Rule, Selector, Service};

/// What one policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The border by its node's name.
    pub border: String,
    pub direction: Direction,
    pub allows: bool,
    /// The line of the rule that decides.
    pub rule_line: Option<u32>,
    /// The lines of the staged rules that match.
    pub staged_lines: Vec<u32>,
}

/// Whether a flow passes, and what every policy on its way says, in order.
#[must_use]
pub fn evaluate(model: &Model, question: &Question) -> (bool, Vec<Row>) {
    let from = standing(model, &question.from);
    let to = standing(model, &question.to);
    let mut rows = Vec::new();
    // A flow from S to D crosses every border that has exactly one of the two inside: S's borders outward from the
    // innermost, then D's borders inward from the outermost.
    for border in borders_of(model, from).into_iter().rev() {
        if !is_inside(to, border) {
            rows.push(ask(model, border, Direction::Egress, false, question));
            if border.host_policy.is_some() {
                rows.push(ask(model, border, Direction::Egress, true, question));
            }
        }
    }
    for border in borders_of(model, to) {
        if !is_inside(from, border) {
            if border.host_policy.is_some() {
                rows.push(ask(model, border, Direction::Ingress, true, question));
            }
            rows.push(ask(model, border, Direction::Ingress, false, question));
        }
    }
    // A flow passes when every border it crosses lets it pass.
    (rows.iter().all(|row| row.allows), rows)
}

/// Where an address is, found by looking at every node.
#[must_use]
pub fn place(model: &Model, address: IpAddr) -> Place {
    let address = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    for (id, node) in model.iter() {
        if node.ipv4.map(IpAddr::V4) == Some(address) || node.ipv6.map(IpAddr::V6) == Some(address) {
            return Place::Node(id);
        }
    }
    Place::Internet
}

fn standing<'m>(model: &'m Model, end: &End) -> Option<&'m Node> {
    match end.place {
        Place::Node(id) => Some(&model.nodes[id.0 as usize]),
        Place::Internet => None,
    }
}

/// The borders around a node, the outermost first.
fn borders_of<'m>(model: &'m Model, node: Option<&Node>) -> Vec<&'m Node> {
    let Some(node) = node else { return Vec::new() };
    let around = |length: usize| {
        let path = &node.place.segments()[..length];
        model.nodes.iter().find(|other| other.place.segments() == path)
    };
    (1..=node.place.segments().len()).filter_map(around).collect()
}

fn is_inside(node: Option<&Node>, border: &Node) -> bool {
    node.is_some_and(|node| node.place.segments().starts_with(border.place.segments()))
}

fn ask(model: &Model, border: &Node, direction: Direction, host: bool, question: &Question) -> Row {
    let borders = match (&border.host_policy, host) {
        (Some(host), true) => &host.policy,
        _ => &border.policy,
    };
    let policy: Option<&Policy> = match direction {
        Direction::Egress => borders.egress.as_ref(),
        Direction::Ingress => borders.ingress.as_ref(),
    };
    let mut row = Row {
        border: border.name.to_string(),
        direction,
        allows: false,
        rule_line: None,
        staged_lines: Vec::new(),
    };
    let Some(policy) = policy else {
        // A border with no policy in a direction lets pass, except an owner's border, which denies.
        row.allows = border.kind != NodeKind::Owner;
        return row;
    };
    let matching: Vec<&Rule> = policy.rules.iter().filter(|rule| matches(model, rule, question)).collect();
    // A rule may be `stage = true`: judged, counted and logged, never enforced.
    row.staged_lines = matching.iter().filter(|rule| rule.stage).map(|rule| rule.line.0).collect();
    let enforced = |action| matching.iter().find(|rule| !rule.stage && rule.action == action);
    // A `deny` rule that matches beats any `allow`; else an `allow` that matches lets pass; else the policy denies.
    if let Some(deny) = enforced(Action::Deny) {
        row.rule_line = Some(deny.line.0);
    } else if let Some(allow) = enforced(Action::Allow) {
        row.rule_line = Some(allow.line.0);
        row.allows = true;
    }
    row
}

fn matches(model: &Model, rule: &Rule, question: &Question) -> bool {
    let is_v6 = [question.from.address, question.to.address].into_iter().flatten().all(|a| a.is_ipv6());
    rule.services.iter().any(|service| serves(*service, question.traffic))
        && selects(model, rule.from.as_deref(), &question.from, is_v6)
        && selects(model, rule.to.as_deref(), &question.to, is_v6)
}

fn serves(service: Service, traffic: Traffic) -> bool {
    match service {
        Service::Any => true,
        Service::Icmp => matches!(traffic, Traffic::Icmp | Traffic::Icmpv6),
        Service::Tcp { first, last } => {
            matches!(traffic, Traffic::Tcp(port) if (first..=last).contains(&port))
        }
        Service::Udp { first, last } => {
            matches!(traffic, Traffic::Udp(port) if (first..=last).contains(&port))
        }
        Service::Proto(number) => match traffic {
            Traffic::Tcp(_) => number == protocol::TCP,
            Traffic::Udp(_) => number == protocol::UDP,
            Traffic::Icmp => number == protocol::ICMP,
            Traffic::Icmpv6 => number == protocol::ICMPV6,
            Traffic::Opaque(other) => number == other,
            Traffic::Unknown => false,
        },
    }
}

/// Left out, the inside end means "anything inside this border" and the outside end "anything". What a border is
/// crossed by has its inside end inside and its outside end outside, so both mean anything here.
fn selects(model: &Model, selectors: Option<&[Selector]>, end: &End, is_v6: bool) -> bool {
    let Some(selectors) = selectors else { return true };
    let node = standing(model, end);
    selectors.iter().any(|selector| match selector {
        Selector::Any => true,
        Selector::Internet => node.is_none(),
        Selector::Path(path) => node.is_some_and(|node| is_named(&node.name, path)),
        Selector::Tag { owner, tag } => {
            node.is_some_and(|node| node.name.owner() == owner && node.tags.contains(tag))
        }
        Selector::Kind(kind) => node.is_some_and(|node| is_kind(&node.kind, *kind)),
        Selector::Cidr(prefix) => match end.address {
            Some(address) => prefix.contains(address),
            None => prefix.prefix() == 0 && matches!(prefix, IpNetwork::V6(_)) == is_v6,
        },
    })
}

/// A path with `*` for one segment means that node and all inside it. A guest answers to its own owner's name.
fn is_named(name: &NodePath, path: &[Option<crate::base::Name>]) -> bool {
    let name = name.segments();
    name.len() >= path.len()
        && path
            .iter()
            .zip(name)
            .all(|(wanted, segment)| wanted.as_ref().is_none_or(|wanted| wanted == segment))
}

fn is_kind(kind: &NodeKind, wanted: Kind) -> bool {
    match wanted {
        Kind::Gateway => matches!(kind, NodeKind::Gateway { .. }),
        Kind::Application => matches!(kind, NodeKind::Application | NodeKind::Guest),
        Kind::Station => {
            matches!(kind, NodeKind::Station { .. } | NodeKind::LanStation | NodeKind::Gateway { .. })
        }
    }
}
