//! A network address translator in the words of RFC 4787: how it maps, what it lets in, which ports it takes, whether
//! it turns inside traffic back in, and when it forgets. IPv6's stateful firewalls (RFC 6092) are one that translates
//! nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::clock::{SECOND, Time};
use crate::rng::Rng;

/// On what of the other end something depends (RFC 4787, sections 4.1 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    EndpointIndependent,
    AddressDependent,
    AddressAndPortDependent,
}

/// Which outside port a mapping gets (section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// The inside port where it is free, else another ("port preservation", without overloading).
    Preserving,
    /// The next one.
    Contiguous,
    Random,
    /// Firewalls of IPv6: address and port stay.
    Untranslated,
}

/// What happens to what is sent from inside to an outside address of the NAT itself (section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hairpin {
    Dropped,
    /// REQ-9: the source is the sender's outside address.
    ExternalSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub mapping: Behavior,
    pub filtering: Behavior,
    pub ports: Ports,
    pub hairpin: Hairpin,
    /// A mapping that nothing left by for so long is forgotten (section 4.3: outbound refreshes).
    pub expiry: Time,
    /// Several outside addresses: whether one inside address keeps to one ("paired" pooling, section 4.1).
    pub paired: bool,
}

/// Mappings at most; a table that is full maps nothing new.
pub const MAPPINGS_MAX: usize = 512;
const FIRST_PORT: u64 = 1_024;

#[derive(Debug)]
struct Mapping {
    inside: SocketAddr,
    /// What of the other end the mapping is for.
    towards: (Option<IpAddr>, Option<u16>),
    /// Whom it was used with, and when last.
    used: BTreeMap<SocketAddr, Time>,
}

#[derive(Debug)]
pub struct Nat {
    pub kind: Kind,
    outside: Vec<IpAddr>,
    /// By outside address and port.
    mappings: BTreeMap<SocketAddr, Mapping>,
    /// Ports that a person forwards.
    forwarded: BTreeMap<SocketAddr, SocketAddr>,
    next_port: u64,
    rng: Rng,
}

impl Kind {
    /// Every kind with the same chance.
    pub fn any(rng: &mut Rng) -> Self {
        use Behavior::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        let behaviors = [EndpointIndependent, AddressDependent, AddressAndPortDependent];
        Self {
            mapping: *rng.pick(&behaviors),
            filtering: *rng.pick(&behaviors),
            ports: *rng.pick(&[Ports::Preserving, Ports::Contiguous, Ports::Random]),
            hairpin: *rng.pick(&[Hairpin::Dropped, Hairpin::ExternalSource]),
            expiry: *rng.pick(&[30, 60, 120, 300]) * SECOND,
            paired: rng.per_mille(800),
        }
    }

    /// A stateful firewall.
    pub fn firewall(rng: &mut Rng) -> Self {
        Self { mapping: Behavior::EndpointIndependent, ports: Ports::Untranslated, ..Self::any(rng) }
    }
}

/// The part of the other end that a behaviour looks at.
fn part(behavior: Behavior, other: SocketAddr) -> (Option<IpAddr>, Option<u16>) {
    match behavior {
        Behavior::EndpointIndependent => (None, None),
        Behavior::AddressDependent => (Some(other.ip()), None),
        Behavior::AddressAndPortDependent => (Some(other.ip()), Some(other.port())),
    }
}

impl Nat {
    pub fn new(kind: Kind, outside: Vec<IpAddr>, rng: Rng) -> Self {
        Self {
            kind,
            outside,
            mappings: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            next_port: FIRST_PORT,
            rng,
        }
    }

    pub fn forward(&mut self, port: u16, inside: SocketAddr) {
        for &address in &self.outside {
            self.forwarded.insert(SocketAddr::new(address, port), inside);
        }
    }

    pub fn outside(&self) -> &[IpAddr] {
        &self.outside
    }

    /// Forgets all mappings, and gets other outside addresses.
    pub fn reboot(&mut self, outside: Vec<IpAddr>) {
        let before = std::mem::replace(&mut self.outside, outside);
        let forwarded = std::mem::take(&mut self.forwarded);
        for (at, inside) in forwarded.into_iter().filter(|(at, _)| before.first() == Some(&at.ip())) {
            self.forward(at.port(), inside);
        }
        self.mappings.clear();
    }

    pub fn mappings(&self) -> usize {
        self.mappings.len()
    }

    fn forget(&mut self, now: Time) {
        let expiry = self.kind.expiry;
        self.mappings.retain(|_, mapping| {
            mapping.used.retain(|_, last| now < *last + expiry);
            !mapping.used.is_empty()
        });
    }

    /// Where a datagram that leaves seems to be from, or `None` when there is no room.
    pub fn outbound(&mut self, inside: SocketAddr, to: SocketAddr, now: Time) -> Option<SocketAddr> {
        self.forget(now);
        let back = self.forwarded.iter().find(|&(_, target)| *target == inside).map(|(&at, _)| at);
        if let Some(at) = back {
            return Some(at);
        }
        let towards = part(self.kind.mapping, to);
        let known = self.mappings.iter().find(|(_, m)| m.inside == inside && m.towards == towards);
        let outside = match known {
            Some((&outside, _)) => outside,
            None if self.mappings.len() >= MAPPINGS_MAX => return None,
            None => {
                let outside = self.allocate(inside);
                self.mappings.insert(outside, Mapping { inside, towards, used: BTreeMap::new() });
                outside
            }
        };
        self.mappings.get_mut(&outside)?.used.insert(to, now);
        Some(outside)
    }

    fn allocate(&mut self, inside: SocketAddr) -> SocketAddr {
        if self.kind.ports == Ports::Untranslated {
            return inside;
        }
        let pair = self.mappings.iter().find(|(_, m)| m.inside.ip() == inside.ip()).map(|(at, _)| at.ip());
        let address = pair.filter(|_| self.kind.paired).unwrap_or(*self.rng.pick(&self.outside));
        let mut wish = match self.kind.ports {
            Ports::Preserving | Ports::Untranslated => u64::from(inside.port()),
            Ports::Contiguous => self.next_port,
            Ports::Random => self.rng.between(FIRST_PORT, 65_536),
        };
        loop {
            let at = SocketAddr::new(address, wish as u16);
            wish = if wish >= 65_535 { FIRST_PORT } else { wish + 1 };
            self.next_port = wish;
            if !self.mappings.contains_key(&at) && !self.forwarded.contains_key(&at) {
                return at;
            }
        }
    }

    /// Where a datagram that comes goes inside, or `None` when it is filtered.
    pub fn inbound(&mut self, from: SocketAddr, outside: SocketAddr, now: Time) -> Option<SocketAddr> {
        self.forget(now);
        if let Some(&inside) = self.forwarded.get(&outside) {
            return Some(inside);
        }
        let mapping = self.mappings.get(&outside)?;
        let filter =
            |&other: &SocketAddr| part(self.kind.filtering, other) == part(self.kind.filtering, from);
        mapping.used.keys().any(filter).then_some(mapping.inside)
    }
}

#[cfg(test)]
mod tests {
    use super::Behavior::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    use super::*;

    fn kind(mapping: Behavior, filtering: Behavior) -> Kind {
        Kind {
            mapping,
            filtering,
            ports: Ports::Contiguous,
            hairpin: Hairpin::Dropped,
            expiry: 120 * SECOND,
            paired: true,
        }
    }

    fn nat(kind: Kind) -> Nat {
        Nat::new(kind, vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()], Rng::new(1, 1))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    const INSIDE: &str = "192.168.1.2:5000";
    const OTHER: &str = "198.51.100.1:1000";
    const OTHER_PORT: &str = "198.51.100.1:2000";
    const OTHER_ADDRESS: &str = "198.51.100.9:1000";

    #[test]
    fn mappings_are_reused_as_the_mapping_behavior_says() {
        let same = |behavior, to: &str| {
            let mut nat = nat(kind(behavior, EndpointIndependent));
            let first = nat.outbound(at(INSIDE), at(OTHER), 0);
            first == nat.outbound(at(INSIDE), at(to), 1)
        };
        assert!(same(EndpointIndependent, OTHER_ADDRESS) && same(EndpointIndependent, OTHER_PORT));
        assert!(!same(AddressDependent, OTHER_ADDRESS) && same(AddressDependent, OTHER_PORT));
        assert!(!same(AddressAndPortDependent, OTHER_ADDRESS) && !same(AddressAndPortDependent, OTHER_PORT));
        assert!(same(AddressAndPortDependent, OTHER));
    }

    #[test]
    fn what_comes_is_let_in_as_the_filtering_behavior_says() {
        let lets_in = |behavior, from: &str| {
            let mut nat = nat(kind(EndpointIndependent, behavior));
            let outside = nat.outbound(at(INSIDE), at(OTHER), 0).unwrap();
            nat.inbound(at(from), outside, 1) == Some(at(INSIDE))
        };
        assert!(lets_in(EndpointIndependent, OTHER_ADDRESS));
        assert!(!lets_in(AddressDependent, OTHER_ADDRESS) && lets_in(AddressDependent, OTHER_PORT));
        assert!(!lets_in(AddressAndPortDependent, OTHER_PORT) && lets_in(AddressAndPortDependent, OTHER));
        assert_eq!(
            nat(kind(EndpointIndependent, EndpointIndependent)).inbound(at(OTHER), at(OTHER), 0),
            None
        );
    }

    #[test]
    fn a_mapping_lives_while_something_leaves_by_it() {
        let mut nat = nat(kind(EndpointIndependent, AddressAndPortDependent));
        let outside = nat.outbound(at(INSIDE), at(OTHER), 0).unwrap();
        assert_eq!(nat.outbound(at(INSIDE), at(OTHER), 100 * SECOND), Some(outside));
        assert!(nat.inbound(at(OTHER), outside, 219 * SECOND).is_some());
        assert_eq!(nat.inbound(at(OTHER), outside, 221 * SECOND), None, "what comes in refreshes nothing");
        assert_eq!(nat.mappings(), 0);
    }

    #[test]
    fn ports_are_allocated_as_the_kind_says() {
        let two = |ports| {
            let mut nat = nat(Kind { ports, ..kind(EndpointIndependent, EndpointIndependent) });
            let other = at("192.168.1.3:5000");
            let one = nat.outbound(at(INSIDE), at(OTHER), 0).unwrap();
            (one, nat.outbound(other, at(OTHER), 0).unwrap())
        };
        let (one, _) = two(Ports::Preserving);
        assert_eq!(one.port(), 5_000);
        let (one, other) = two(Ports::Contiguous);
        assert_eq!(other.port(), one.port() + 1);
        let (one, other) = two(Ports::Random);
        assert!(one.port() != 5_000 && other.port() != one.port() + 1);
        assert_eq!(two(Ports::Untranslated).0, at(INSIDE));
        let mut one_address =
            nat(Kind { ports: Ports::Preserving, ..kind(EndpointIndependent, EndpointIndependent) });
        one_address.outside.truncate(1);
        let first = one_address.outbound(at(INSIDE), at(OTHER), 0).unwrap();
        let second = one_address.outbound(at("192.168.1.3:5000"), at(OTHER), 0).unwrap();
        assert_eq!((first.port(), second.port()), (5_000, 5_001), "no port is overloaded");
    }

    #[test]
    fn paired_pooling_keeps_an_inside_address_to_one_outside_address() {
        let addresses = |paired| {
            let mut nat = nat(Kind { paired, ..kind(AddressAndPortDependent, EndpointIndependent) });
            let mut port = |p| nat.outbound(at(INSIDE), SocketAddr::new(at(OTHER).ip(), p), 0).unwrap().ip();
            (1..30).map(&mut port).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((addresses(true), addresses(false)), (1, 2));
    }

    #[test]
    fn a_forwarded_port_is_open_to_everybody_and_a_reboot_forgets_mappings_only() {
        let mut nat = nat(kind(AddressAndPortDependent, AddressAndPortDependent));
        nat.forward(51_888, at(INSIDE));
        assert_eq!(nat.inbound(at(OTHER), at("192.0.2.1:51888"), 0), Some(at(INSIDE)));
        assert_eq!(nat.outbound(at(INSIDE), at(OTHER), 0), Some(at("192.0.2.1:51888")));
        let mapped = nat.outbound(at("192.168.1.3:1"), at(OTHER), 0).unwrap();
        nat.reboot(vec!["192.0.2.7".parse().unwrap()]);
        assert_eq!(nat.inbound(at(OTHER), at("192.0.2.7:51888"), 0), Some(at(INSIDE)));
        assert_eq!((nat.inbound(at(OTHER), mapped, 0), nat.mappings()), (None, 0));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut nat = nat(kind(AddressAndPortDependent, EndpointIndependent));
        let mut port = |p| nat.outbound(at(INSIDE), SocketAddr::new(at(OTHER).ip(), p), 0);
        assert!((1..=MAPPINGS_MAX as u16).all(|p| port(p).is_some()));
        assert_eq!(port(9_999), None);
    }
}
