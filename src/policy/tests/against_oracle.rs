//! Random owners, trees, guests, policies and flows: the judge, its explanation and the oracle say the same.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const OWNERS: [&str; 3] = ["alice", "bob", "carol"];
const ROOMS: [&str; 2] = ["attic", "shed"];
const HOSTS: [&str; 3] = ["gw", "nas", "pc"];
const APPS: [&str; 2] = ["db", "web"];
const GUESTS: [&str; 2] = ["db", "game"];
const TAGS: [&str; 2] = ["shared", "old"];
const STRANGERS: [&str; 6] =
    ["192.0.2.1", "10.1.0.99", "10.200.0.1", "2001:db8::1", "fd00:1::ffff", "fd00:7::1"];

/// Numbers that proptest chose, which it makes smaller when a test fails; then others that follow from the seed.
struct Dice {
    rolls: std::vec::IntoIter<u32>,
    seed: u64,
}

impl Dice {
    fn below(&mut self, sides: u32) -> u32 {
        // Knuth's MMIX generator; its high bits are the good ones
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let next = u32::try_from(self.seed >> 32).unwrap();
        self.rolls.next().unwrap_or(next) % sides
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) >= 100 - percent
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(u32::try_from(items.len()).unwrap()) as usize]
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

    fn traffic(&mut self, is_v6: bool) -> Traffic {
        match self.below(10) {
            0..=3 => Traffic::Tcp(u16::try_from(18 + self.below(14)).unwrap()),
            4..=6 => Traffic::Udp(u16::try_from(18 + self.below(14)).unwrap()),
            7 if is_v6 => Traffic::Icmpv6,
            7 => Traffic::Icmp,
            8 => Traffic::Opaque(self.pick(&[1, 6, 17, 47, 58, 132])),
            _ => Traffic::Unknown,
        }
    }

    fn segment(&mut self, names: &[&'static str]) -> &'static str {
        if self.chance(30) { "*" } else { self.pick(names) }
    }

    fn selector(&mut self) -> String {
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

    fn rule(&mut self) -> String {
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
    fn policy(&mut self, absent: u32) -> Option<Vec<String>> {
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

    fn world(&mut self) -> Sketch {
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
    fn dress(&mut self, sketch: &mut Sketch, name: &str, is_guest: bool) {
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

    fn end(&mut self, model: &Model, is_v6: bool) -> End {
        if self.chance(25) {
            let strangers: Vec<_> = STRANGERS.iter().filter(|text| text.contains(':') == is_v6).collect();
            let address = self.pick(&strangers).parse().unwrap();
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

fn check(judge: &Judge, model: &Model, question: &Question) -> Result<(), TestCaseError> {
    let (allowed, rows) = oracle::evaluate(model, question);
    let judgement = judge.judge(question);
    prop_assert_eq!(judgement.is_allowed(), allowed);
    let explanation = judge.explain(question);
    prop_assert_eq!(explanation.verdict == Verdict::Allow, allowed);
    let staged_lines = |staged: &[String]| {
        let line = |text: &String| text.split(':').nth(1).and_then(|line| line.parse().ok()).unwrap();
        staged.iter().map(line).collect::<Vec<u32>>()
    };
    let told: Vec<_> = explanation
        .borders
        .iter()
        .map(|row| oracle::Row {
            border: row.border.clone(),
            direction: row.direction,
            allows: row.verdict == Verdict::Allow,
            rule_line: row.rule.as_ref().and(row.line),
            staged_lines: staged_lines(&row.staged),
        })
        .collect();
    prop_assert_eq!(&told, &rows);

    // What the packet path is told: the first denial, and the rules up to it.
    let asked = rows.iter().position(|row| !row.allows).map_or(rows.len(), |at| at + 1);
    let denial =
        judgement.denial.map(|denial| (model.node(denial.border).name.to_string(), denial.direction));
    let denied = rows.get(asked.wrapping_sub(1)).filter(|row| !row.allows);
    prop_assert_eq!(denial, denied.map(|row| (row.border.clone(), row.direction)));
    let lines = |stage: bool| {
        let views = judgement.matched().iter().map(|&id| judge.rule(id).unwrap());
        views.filter(|rule| rule.stage == stage).map(|rule| rule.line.0).collect::<BTreeSet<_>>()
    };
    let deciders: BTreeSet<_> = rows[..asked].iter().filter_map(|row| row.rule_line).collect();
    prop_assert_eq!(lines(false), deciders);
    let staged: BTreeSet<_> = rows[..asked].iter().flat_map(|row| row.staged_lines.iter().copied()).collect();
    prop_assert!(lines(true).is_subset(&staged));
    prop_assert_eq!(lines(true).len(), staged.len().min(6));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_judge_says_what_the_oracle_says(rolls in prop::collection::vec(any::<u32>(), 0..400), seed: u64) {
        let mut dice = Dice { rolls: rolls.into_iter(), seed };
        let model = dice.world().model();
        let judge = Judge::new(Arc::clone(&model));
        for (_, node) in model.iter() {
            for address in node.addresses() {
                prop_assert_eq!(judge.place(address), oracle::place(&model, address));
            }
        }
        for stranger in STRANGERS {
            let address = stranger.parse().unwrap();
            prop_assert_eq!(judge.place(address), oracle::place(&model, address));
        }
        for _ in 0..60 {
            let is_v6 = dice.chance(60);
            let (from, to) = (dice.end(&model, is_v6), dice.end(&model, is_v6));
            if from.address.is_none() && to.address.is_none() {
                continue;
            }
            let question = Question { from, to, traffic: dice.traffic(is_v6) };
            check(&judge, &model, &question)?;
        }
    }

    #[test]
    fn two_places_between_which_the_oracle_lets_anything_pass_could_flow(
        rolls in prop::collection::vec(any::<u32>(), 0..400),
        seed: u64,
    ) {
        let mut dice = Dice { rolls: rolls.into_iter(), seed };
        let model = dice.world().model();
        let judge = Judge::new(Arc::clone(&model));
        let rooms: Vec<_> = model.iter().filter(|(_, node)| node.place.segments().len() == 2).collect();
        for (one, _) in &rooms {
            for (other, _) in rooms.iter().filter(|(other, _)| other != one) {
                let could = judge.could_flow(*one, *other);
                prop_assert_eq!(could, judge.could_flow(*other, *one));
                let ends = |room| model.range(room).map(|id| &model.nodes[id as usize]);
                for (a, b) in ends(*one).flat_map(|a| ends(*other).map(move |b| (a, b))) {
                    for (from, to) in a.addresses().flat_map(|from| b.addresses().map(move |to| (from, to))) {
                        if from.is_ipv6() != to.is_ipv6() || could {
                            continue;
                        }
                        for _ in 0..4 {
                            let traffic = dice.traffic(from.is_ipv6());
                            let (from, to) = (judge.end(from), judge.end(to));
                            for (from, to) in [(from, to), (to, from)] {
                                let allowed = oracle::evaluate(&model, &Question { from, to, traffic }).0;
                                prop_assert!(!allowed);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_range_of_ports_has_the_answer_of_each_of_its_ports(
        seed: u64,
        first in 15..35u16,
        width in 0..40u16,
    ) {
        let mut dice = Dice { rolls: Vec::new().into_iter(), seed };
        let mut sketch = two_owners();
        let rules: Vec<_> = (0..dice.below(12)).map(|_| dice.rule()).collect();
        sketch.ingress("bob", &rules.iter().map(String::as_str).collect::<Vec<_>>());
        let bench = Bench::new(&sketch);
        let last = first + width;
        let service = crate::roster::Service::Tcp { first, last };
        let answer = bench.judge.ask(&party("alice/room/host"), &party("bob/room/host"), service).unwrap();
        let each = |port| bench.allows("alice/room/host", "bob/room/host", Traffic::Tcp(port));
        let allowed = (first..=last).filter(|&port| each(port)).count();
        let expected = match allowed {
            0 => Outcome::Denied,
            n if n == usize::from(width) + 1 => Outcome::Allowed,
            _ => Outcome::Mixed,
        };
        prop_assert_eq!(answer.outcome, expected);
    }
}
