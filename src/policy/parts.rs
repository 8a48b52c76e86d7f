//! What a judge is made of, for who compiles it on: the rules at a border, in the order in which they decide, with
//! their ends as ranges of names and prefixes of addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::compile::Gate;
use super::ends::{Cidr, EndSet};
use super::judge::{Judge, RuleId};
use super::names::INTERNET;
use super::question::Direction;
use super::ruleset::CompiledRule;
use crate::roster::{NodeId, Service};

/// What stands at a border in one direction.
#[derive(Debug)]
pub enum Standing<'a> {
    /// Lets pass.
    Open,
    /// Denies: an owner's border without a policy.
    Closed,
    /// The staged rules as written; the enforced ones with every `deny` first.
    Policy { staged: Vec<RuleParts<'a>>, enforced: Vec<RuleParts<'a>> },
}

/// One rule.
#[derive(Debug)]
pub struct RuleParts<'a> {
    pub id: RuleId,
    pub is_deny: bool,
    pub log: bool,
    pub services: &'a [Service],
    pub from: EndParts,
    pub to: EndParts,
}

/// One end of a rule: whatever is in one of these.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndParts {
    /// Anything at all; the rest is empty then.
    pub is_any: bool,
    pub internet: bool,
    /// Nodes by the rank of their names ([`Judge::rank`]): first and last, in order.
    pub ranks: Vec<(u32, u32)>,
    pub prefixes: Vec<IpNetwork>,
}

impl Judge {
    /// A node's place among all by name: a path and all inside it are one range.
    #[must_use]
    pub fn rank(&self, node: NodeId) -> u32 {
        self.compiled.posts[node.0 as usize].rank
    }

    /// What stands at a border: its owner's policy, or at a guest's its host's.
    #[must_use]
    pub fn standing(&self, border: NodeId, direction: Direction, of_host: bool) -> Standing<'_> {
        let post = &self.compiled.posts[border.0 as usize];
        let gates = match direction {
            Direction::Egress => post.egress,
            Direction::Ingress => post.ingress,
        };
        match if of_host { gates.host.unwrap_or(Gate::Open) } else { gates.own } {
            Gate::Open => Standing::Open,
            Gate::Closed => Standing::Closed,
            Gate::Policy(number) => {
                let policy = &self.compiled.policies[number as usize];
                let parts = |rules: &[CompiledRule]| rules.iter().map(|rule| self.parts(rule)).collect();
                Standing::Policy {
                    staged: parts(policy.staged.rules()),
                    enforced: parts(policy.enforced.rules()),
                }
            }
        }
    }

    fn parts(&self, rule: &CompiledRule) -> RuleParts<'_> {
        let services = self.origin(rule.id).map_or(&[][..], |(_, written)| &written.services);
        let (from, to) = (self.end_parts(rule.from), self.end_parts(rule.to));
        RuleParts { id: rule.id, is_deny: rule.is_deny, log: rule.log, services, from, to }
    }

    fn end_parts(&self, set: EndSet) -> EndParts {
        let mut parts =
            EndParts { is_any: set == EndSet::All, internet: false, ranks: Vec::new(), prefixes: Vec::new() };
        match set {
            EndSet::All | EndSet::Nobody => {}
            EndSet::Ranks(ranks) => parts.ranks.push(ranks),
            EndSet::Set(number) => {
                let ends = &self.compiled.ends;
                let set = ends.set(number);
                parts.ranks.extend(&set.ranks);
                parts.ranks.extend(set.labels.iter().flat_map(|&label| &ends.labels()[label as usize]));
                parts.prefixes.extend(set.cidrs.iter().map(|cidr| cidr.network()));
            }
        }
        parts.internet = parts.ranks.contains(&(INTERNET, INTERNET));
        parts.ranks.retain(|&(first, _)| first != INTERNET);
        parts.ranks.sort_unstable();
        parts
    }
}

impl Cidr {
    fn network(&self) -> IpNetwork {
        let length = u8::try_from(self.mask.count_ones()).unwrap_or(u8::MAX);
        let network = if self.is_v6 {
            Ipv6Network::new(Ipv6Addr::from_bits(self.network), length).map(IpNetwork::V6)
        } else {
            let bits = u32::try_from(self.network).unwrap_or_default();
            Ipv4Network::new(Ipv4Addr::from_bits(bits), length).map(IpNetwork::V4)
        };
        network.expect("a mask has the bits of its family at most")
    }
}
