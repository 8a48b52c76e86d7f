//! One end of a rule as addresses: who of those that can stand there is meant.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::schema::{Expression, Item};
use crate::policy::EndParts;
use crate::roster::NodeId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// In the names of sets and chains.
    pub(super) fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }

    pub(super) fn address_type(self) -> &'static str {
        match self {
            Self::V4 => "ipv4_addr",
            Self::V6 => "ipv6_addr",
        }
    }

    /// A field of its header: `saddr`, `daddr`.
    pub(super) fn field(self, field: &'static str) -> Expression {
        Expression::Payload { protocol: if self == Self::V4 { "ip" } else { "ip6" }, field }
    }
}

/// An address on the kernel's side: of a LAN station, or of what is inside one or inside the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) rank: u32,
    pub(super) node: NodeId,
    /// The station that it is, or is inside of.
    pub(super) station: NodeId,
    pub(super) address: IpAddr,
}

/// Who can stand at one end of a flow.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side<'a> {
    Internet,
    /// This gateway's host, by the rank of its name; its packets may have any address that is its own.
    Gateway(u32),
    /// By rank.
    Locals(&'a [Local]),
}

/// Which of them a rule means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Reach {
    All,
    Nobody,
    /// In order and apart from each other.
    Some(Vec<IpNetwork>),
}

impl Reach {
    pub(super) fn new(end: &EndParts, side: Side<'_>, family: Family) -> Self {
        if end.is_any {
            return Self::All;
        }
        match side {
            Side::Internet if end.internet => Self::All,
            Side::Gateway(rank) if end.ranks.iter().any(|&(first, last)| first <= rank && rank <= last) => {
                Self::All
            }
            Side::Internet | Side::Gateway(_) => {
                let own = |prefix: &&IpNetwork| Family::of(prefix.ip()) == family;
                Self::some(end.prefixes.iter().filter(own).copied().collect())
            }
            Side::Locals(locals) => {
                let mut meant: Vec<_> = end
                    .ranks
                    .iter()
                    .flat_map(|&(first, last)| {
                        let from = locals.partition_point(|local| local.rank < first);
                        let count = locals[from..].partition_point(|local| local.rank <= last);
                        &locals[from..from + count]
                    })
                    .map(|local| local.address)
                    .collect();
                for prefix in &end.prefixes {
                    let addresses = locals.iter().map(|local| local.address);
                    meant.extend(addresses.filter(|&address| prefix.contains(address)));
                }
                meant.sort_unstable();
                meant.dedup();
                if meant.len() == locals.len() && !meant.is_empty() {
                    return Self::All;
                }
                Self::some(meant.into_iter().map(IpNetwork::from).collect())
            }
        }
    }

    pub(super) fn some(mut prefixes: Vec<IpNetwork>) -> Self {
        prefixes.sort_unstable_by_key(|prefix| (prefix.ip(), prefix.prefix()));
        let holds = |outer: &IpNetwork, inner: &IpNetwork| {
            outer.prefix() <= inner.prefix() && outer.contains(inner.ip())
        };
        prefixes.dedup_by(|next, before| holds(before, next));
        match prefixes.as_slice() {
            [] => Self::Nobody,
            [only] if only.prefix() == 0 => Self::All,
            _ => Self::Some(prefixes),
        }
    }
}

pub(super) fn is_one_address(prefix: &IpNetwork) -> bool {
    prefix.prefix() == if prefix.is_ipv4() { 32 } else { 128 }
}

/// As an element of a set.
pub(super) fn element(prefix: &IpNetwork) -> Expression {
    if is_one_address(prefix) {
        Expression::Word(prefix.ip().to_string())
    } else {
        Expression::Prefix { addr: prefix.ip().to_string(), len: prefix.prefix() }
    }
}

pub(super) fn elements(prefixes: &[IpNetwork]) -> Vec<Item> {
    prefixes.iter().map(|prefix| Item::Element(element(prefix))).collect()
}
