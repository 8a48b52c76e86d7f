//! Models drawn at random, for tests: owners, trees, guests, policies, and who asks for what.

use super::{Direction, Model, Sketch};
use crate::policy::{End, Place, Traffic};

const OWNERS: [&str; 3] = ["alice", "bob", "carol"];
const ROOMS: [&str; 2] = ["attic", "shed"];
const HOSTS: [&str; 3] = ["gw", "nas", "pc"];
const APPS: [&str; 2] = ["db", "web"];
const GUESTS: [&str; 2] = ["db", "game"];
const TAGS: [&str; 2] = ["shared", "old"];
/// Addresses that no node has.
pub const STRANGERS: [&str; 6] =
    ["192.0.2.1", "10.1.0.99", "10.200.0.1", "2001:db8::1", "fd00:1::ffff", "fd00:7::1"];

/// Numbers that proptest chose, which it makes smaller when a test fails; then others that follow from the seed.
#[derive(Debug)]
pub struct Dice {
    rolls: std::vec::IntoIter<u32>,
    seed: u64,
}

impl Dice {
    /// `rolls` first, and then what follows from `seed`.
    #[must_use]
    pub fn new(rolls: Vec<u32>, seed: u64) -> Self {
        Self { rolls: rolls.into_iter(), seed }
    }

    pub fn below(&mut self, sides: u32) -> u32 {
        // Knuth's MMIX generator; its high bits are the good ones
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let next = u32::try_from(self.seed >> 32).expect("few of anything");
        self.rolls.next().unwrap_or(next) % sides
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) >= 100 - percent
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(u32::try_from(items.len()).expect("few of anything")) as usize]
    }

    fn service(&mut self) -> String {
        match self.below(9) {
            0 => "any".to_owned(),
            1 => "icmp".to_owned(),
            2 => format!("proto/{}", self.pick(&[1, 6, 17, 47, 58])),
            3 => format!("tcp/{}-{}", self.below(25), 25 + self.below(40)),
            4 => format!("udp/{}-{}", self.below(25), 25 + self.below(40)),
            5 | 6 => format!("udp/{}", 20 + self.below(10)),
            _ => format!("tcp/{}", 20 + self.below(10)),
        }
    }

    pub fn traffic(&mut self, is_v6: bool) -> Traffic {
        match self.below(10) {
            0..=3 => Traffic::Tcp(u16::try_from(18 + self.below(14)).expect("few of anything")),
            4..=6 => Traffic::Udp(u16::try_from(18 + self.below(14)).expect("few of anything")),
            7 if is_v6 => Traffic::Icmpv6,
            7 => Traffic::Icmp,
            8 => Traffic::Opaque(self.pick(&[1, 6, 17, 47, 58, 132])),
            _ => Traffic::Unknown,
        }
    }

    fn segment(&mut self, names: &[&'static str]) -> &'static str {
        if self.chance(30) { "*" } else { self.pick(names) }
    }

    pub fn selector(&mut self) -> String {
        match self.below(12) {
            0 => "any".to_owned(),
            1 => "internet".to_owned(),
            2 => format!("tag:{}", self.pick(&TAGS)),
            3 => format!("{}#tag:{}", self.pick(&OWNERS), self.pick(&TAGS)),
            4 => self.pick(&["kind:station", "kind:application", "kind:gateway"]).to_owned(),
            5 | 6 => {
                let prefixes = [
                    "10.0.0.0/8",
                    "10.1.0.0/16",
                    "10.1.0.3/32",
                    "10.2.0.0/30",
                    "0.0.0.0/0",
                    "192.0.2.0/24",
                    "::/0",
                    "fd00::/16",
                    "fd00:1::/48",
                    "fd00:2::8/125",
                    "fd00::5/128",
                    "2001:db8::/32",
                ];
                self.pick(&prefixes).to_owned()
            }
            7 => format!("{}/{}", self.segment(&OWNERS), self.segment(&GUESTS)),
            _ => {
                let levels: [&[&'static str]; 4] = [&OWNERS, &ROOMS, &HOSTS, &APPS];
                let depth = 1 + self.below(4) as usize;
                levels[..depth].iter().map(|names| self.segment(names)).collect::<Vec<_>>().join("/")
            }
        }
    }

    fn list(&mut self, item: fn(&mut Self) -> String) -> String {
        let count = 1 + self.below(4) / 2;
        (0..count).map(|_| item(self)).collect::<Vec<_>>().join(",")
    }

    pub fn rule(&mut self) -> String {
        let action = if self.chance(35) { "deny" } else { "allow" };
        let mut rule = format!("{action} {}", self.list(Self::service));
        for end in ["from", "to"] {
            if self.chance(60) {
                rule = format!("{rule} {end} {}", self.list(Self::selector));
            }
        }
        for flag in ["stage", "log"] {
            if self.chance(15) {
                rule = format!("{rule} {flag}");
            }
        }
        rule
    }

    /// Absent, empty, a few rules, or so many that they are indexed.
    pub fn policy(&mut self, absent: u32) -> Option<Vec<String>> {
        if self.chance(absent) {
            return None;
        }
        let count = match self.below(20) {
            0 => 0,
            1..=3 => 30 + self.below(60),
            4..=9 => 1,
            _ => 2 + self.below(6),
        };
        let mut rules: Vec<_> = (0..count).map(|_| self.rule()).collect();
        if count > 0 && self.chance(60) {
            rules.push("allow any".to_owned());
        }
        Some(rules)
    }

    pub fn world(&mut self) -> Sketch {
        let mut sketch = Sketch::default();
        let owners = &OWNERS[..2 + self.below(2) as usize];
        let (mut names, mut hosts) = (Vec::new(), Vec::new());
        for owner in owners {
            names.push((*owner).to_owned());
            for room in &ROOMS[..1 + self.below(2) as usize] {
                names.push(format!("{owner}/{room}"));
                for host in &HOSTS[..1 + self.below(3) as usize] {
                    let host = format!("{owner}/{room}/{host}");
                    names.push(host.clone());
                    names.extend(APPS[..self.below(3) as usize].iter().map(|app| format!("{host}/{app}")));
                    hosts.push(host);
                }
            }
        }
        for name in &names {
            if name.ends_with("/gw") {
                sketch.gateway(name)
            } else {
                sketch.node(name)
            };
        }
        for owner in owners {
            for guest in GUESTS {
                let elsewhere: Vec<_> = hosts.iter().filter(|host| !host.starts_with(owner)).collect();
                let host = self.pick(&elsewhere);
                if self.chance(50) && !names.contains(&format!("{host}/{guest}")) {
                    let name = format!("{owner}/{guest}");
                    names.push(format!("{host}/{guest}"));
                    sketch.guest(&name, host);
                    self.dress(&mut sketch, &name, true);
                }
            }
        }
        for name in names
            .iter()
            .filter(|name| !GUESTS.iter().any(|guest| name.ends_with(guest)) || name.ends_with("db"))
        {
            if sketch.has(name) {
                self.dress(&mut sketch, name, false);
            }
        }
        sketch
    }

    /// Tags, an IPv4 address and policies.
    pub fn dress(&mut self, sketch: &mut Sketch, name: &str, is_guest: bool) {
        let depth = name.split('/').count();
        for direction in [Direction::Egress, Direction::Ingress] {
            let policy = self.policy(if depth == 1 { 10 } else { 60 });
            let lines = policy.as_ref().map(|rules| rules.iter().map(String::as_str).collect::<Vec<_>>());
            sketch.policy(name, direction, lines.as_deref());
            if is_guest {
                let policy = self.policy(50);
                let lines = policy.as_ref().map(|rules| rules.iter().map(String::as_str).collect::<Vec<_>>());
                sketch.host_policy(name, direction, lines.as_deref());
            }
        }
        if depth >= 3 || is_guest {
            if self.chance(60) {
                sketch.ipv4(name, &format!("10.{}.0.{}", 1 + self.below(2), sketch.count_ipv4() + 1));
            }
            for tag in TAGS {
                if self.chance(30) {
                    sketch.tag(name, tag);
                }
            }
        }
    }

    pub fn end(&mut self, model: &Model, is_v6: bool) -> End {
        if self.chance(25) {
            let strangers: Vec<_> = STRANGERS.iter().filter(|text| text.contains(':') == is_v6).collect();
            let address = self.pick(&strangers).parse().expect("few of anything");
            let address = self.chance(70).then_some(address);
            return End { place: Place::Internet, address };
        }
        let with_address: Vec<_> = model
            .iter()
            .filter_map(|(id, node)| Some((id, node.addresses().find(|address| address.is_ipv6() == is_v6)?)))
            .collect();
        if with_address.is_empty() {
            return End { place: Place::Internet, address: None };
        }
        let (id, address) = self.pick(&with_address);
        End { place: Place::Node(id), address: Some(address) }
    }
}
