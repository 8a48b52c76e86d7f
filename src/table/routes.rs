//! One table, one truth: the table that says where a packet goes also says who may send from an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashMap;
use ipnetwork::IpNetwork;

/// A peer's slot in the tunnels. Slots are reused; what a table holds of a removed peer goes with the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// What carries a packet to or from this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// A WireGuard peer: a station of this room, or the gateway of another.
    Peer(PeerId),
    /// The kernel, through the TUN device: this host, its LAN, the internet.
    Kernel,
}

impl Via {
    /// Nobody: who is there is at another gateway of the room, or at none. No peer ever has this slot, so what goes there
    /// finds no tunnel.
    pub const AWAY: Self = Self::Peer(PeerId(u32::MAX));
}

/// Where addresses are: longest prefix first. Made once for a model; looked up for every packet, twice.
///
/// Nodes are single addresses, by the ten thousand, and are found by hash. What is shorter is the prefixes of owners,
/// a handful, and is tried from the longest.
#[derive(Debug, Default)]
pub struct Routes {
    hosts4: HashMap<Ipv4Addr, Via>,
    hosts6: HashMap<Ipv6Addr, Via>,
    /// Longest first. `None`: nobody is there, whatever a shorter prefix says.
    prefixes: Vec<(IpNetwork, Option<Via>)>,
    default: Option<Via>,
}

impl Routes {
    /// Adds a prefix or a single address; a second one for the same prefix replaces the first.
    pub fn insert(&mut self, prefix: IpNetwork, via: Via) {
        match prefix {
            IpNetwork::V4(p) if p.prefix() == 32 => {
                self.hosts4.insert(p.ip(), via);
            }
            IpNetwork::V6(p) if p.prefix() == 128 => {
                self.hosts6.insert(p.ip(), via);
            }
            _ => self.insert_prefix(prefix, Some(via)),
        }
    }

    /// Nobody is inside this prefix but who has a longer one.
    pub fn insert_unreachable(&mut self, prefix: IpNetwork) {
        self.insert_prefix(prefix, None);
    }

    /// Where everything else is.
    pub fn insert_default(&mut self, via: Via) {
        self.default = Some(via);
    }

    fn insert_prefix(&mut self, prefix: IpNetwork, via: Option<Via>) {
        self.prefixes.retain(|(other, _)| *other != prefix);
        let at = self.prefixes.partition_point(|(other, _)| other.prefix() > prefix.prefix());
        self.prefixes.insert(at, (prefix, via));
    }

    /// What is on the way to the address, and the only one who may send from it. `None`: nobody.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Option<Via> {
        let host = match address {
            IpAddr::V4(v4) => self.hosts4.get(&v4),
            IpAddr::V6(v6) => self.hosts6.get(&v6),
        };
        if let Some(&via) = host {
            return Some(via);
        }
        match self.prefixes.iter().find(|(prefix, _)| prefix.contains(address)) {
            Some(&(_, via)) => via,
            None => self.default,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_prefix_wins_and_unreachable_hides_the_default() {
        let mut routes = Routes::default();
        routes.insert_default(Via::Kernel);
        routes.insert_unreachable("fd00:1::/48".parse().unwrap());
        routes.insert("fd00:1:0:2::/64".parse().unwrap(), Via::Peer(PeerId(2)));
        routes.insert("fd00:1:0:2::7/128".parse().unwrap(), Via::Peer(PeerId(7)));
        let at = |text: &str| routes.lookup(text.parse().unwrap());
        assert_eq!(at("fd00:1:0:2::7"), Some(Via::Peer(PeerId(7))));
        assert_eq!(at("fd00:1:0:2::8"), Some(Via::Peer(PeerId(2))));
        assert_eq!(at("fd00:1::1"), None);
        assert_eq!(at("2001:db8::1"), Some(Via::Kernel));
        assert_eq!(at("192.0.2.1"), Some(Via::Kernel));
    }

    /// The slow oracle: of all prefixes that contain the address, the longest, the last inserted first.
    fn oracle(entries: &[(IpNetwork, Option<Via>)], address: IpAddr) -> Option<Via> {
        let inside = entries.iter().enumerate().filter(|(_, (prefix, _))| prefix.contains(address));
        inside.max_by_key(|(i, (prefix, _))| (prefix.prefix(), *i)).and_then(|(_, &(_, via))| via)
    }

    proptest! {
        #[test]
        fn lookup_agrees_with_the_oracle(
            entries in prop::collection::vec((any::<u32>(), 0u8..=32, prop::option::of(0u32..9)), 0..40),
            probes in prop::collection::vec(any::<u32>(), 1..20),
        ) {
            // Few bits, so that prefixes meet.
            let squeeze = |bits: u32| Ipv4Addr::from(bits & 0x0300_0003);
            let entries: Vec<_> = entries.into_iter().map(|(bits, len, via)| {
                let prefix = ipnetwork::Ipv4Network::new(squeeze(bits), len).unwrap();
                let prefix = ipnetwork::Ipv4Network::new(prefix.network(), len).unwrap();
                let via = if len == 32 { Some(via.unwrap_or(0)) } else { via };
                (IpNetwork::V4(prefix), via.map(|id| Via::Peer(PeerId(id))))
            }).collect();
            let mut routes = Routes::default();
            for &(prefix, via) in &entries {
                match via {
                    Some(via) => routes.insert(prefix, via),
                    None => routes.insert_unreachable(prefix),
                }
            }
            for probe in probes {
                let address = IpAddr::V4(squeeze(probe));
                prop_assert_eq!(routes.lookup(address), oracle(&entries, address));
            }
        }
    }
}
