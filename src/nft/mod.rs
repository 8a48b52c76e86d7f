//! Floor 3: the kernel's half of policy, compiled from the judge that judges in userspace.
//!
//! What a LAN host sends to the internet, to another LAN host or to the gateway's own host never meets the daemon: the
//! table `inet vpmesh` judges it. In it are the addresses on the kernel's side (LAN stations of the room, and what is
//! inside them or inside the gateway); every other flow is left as it is at once. The first packet of a flow is sent by
//! its addresses past the chain of each border that it crosses, in the order in which the judge walks them; a chain
//! returns or drops. Nothing here is final for other tables: what passes here fw4 still judges.
//!
//! - Packets from and to the mesh's interface are the daemon's to judge; only the guards look at them.
//! - The gateway's own flows with the internet are fw4's. With its LAN stations it is a station as any other, but what a
//!   LAN can't do without needs no rule: DHCP, neighbour discovery, multicast, the node's DNS, ICMP errors; nor, unless
//!   [`AdminGuard::Off`], do those who administer the gateway.
//! - TCP begins with a SYN. A connection that conntrack has forgotten, or that a reload cut, is begun anew by its ends.
//! - Conntrack puts fragments together before they are judged. One whose first never comes is never sent on.
//! - A LAN host is known by its addresses in the roster. Others that it has are the internet's, or nobody's: a source
//!   in an owner's prefix that no roster lists may speak to this gateway's host, and is never forwarded.
//! - nftables has no way for one table to keep a flow out of another's flow offload (the kernel asks only for helpers,
//!   options and IPsec). An offloaded flow was judged at its beginning; to end it, its conntrack entry is deleted.

mod border;
mod counter;
mod guards;
mod hooks;
mod merged;
mod reach;
mod schema;
mod service;
mod works;

use std::fmt;

pub use counter::{Counted, Counter, CountersError, read_counters};

use crate::policy::Judge;
use crate::roster::NodeId;

/// The table's name, for `nft list table inet vpmesh`.
pub const TABLE: &str = schema::TABLE;

/// From where a table is seen.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The mesh's own interface.
    pub interface: &'a str,
    /// This node: a gateway, whose room is served.
    pub gateway: NodeId,
    pub admin: AdminGuard,
}

/// Whether LAN stations reach the gateway's SSH and web pages whatever the rosters say, so that a mistake in one locks
/// nobody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdminGuard {
    /// tcp/22, tcp/80 and tcp/443 are accepted unjudged.
    #[default]
    On,
    Off,
}

/// A compiled table. Its text is an nft script, for people.
#[derive(Debug)]
pub struct Ruleset {
    table: schema::Table,
    counters: Vec<Counter>,
}

/// Compiles what a judge decides, as seen from a gateway. Rules are told by the judge's own numbers.
#[must_use]
pub fn compile(judge: &Judge, setting: &Setting<'_>) -> Ruleset {
    let (table, counters) = hooks::Hooks::new(judge, setting).compile();
    Ruleset { table, counters }
}

/// One transaction for `nft -j -f -` that takes the table away, whether it is there or not.
#[must_use]
pub fn removal() -> String {
    schema::removal()
}

impl Ruleset {
    /// One transaction for `nft -j -f -`: this table instead of whatever was there, with its counters at zero.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.table.to_json()
    }

    /// The counters that the table has. A rule that nobody on the kernel's side can match has none.
    #[must_use]
    pub fn counters(&self) -> &[Counter] {
        &self.counters
    }
}

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)
    }
}

#[cfg(test)]
mod tests;
