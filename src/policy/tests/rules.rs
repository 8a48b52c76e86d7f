//! What a rule matches.

use super::*;
use crate::packet::craft::Craft;
use crate::packet::{Packet, protocol};

/// Whether alice's host may reach bob's host through this policy at bob's border.
fn passes(rules: &[&str], traffic: Traffic) -> bool {
    let mut sketch = two_owners();
    sketch.ingress("bob", rules);
    Bench::new(&sketch).allows("alice/room/host", "bob/room/host", traffic)
}

#[test]
fn the_order_of_rules_never_matters() {
    for rules in [["allow any", "deny tcp/22"], ["deny tcp/22", "allow any"]] {
        assert!(!passes(&rules, Traffic::Tcp(22)));
        assert!(passes(&rules, Traffic::Tcp(23)));
    }
}

#[test]
fn a_service_matches_its_protocol_and_ports() {
    use Traffic::{Icmp, Icmpv6, Opaque, Tcp, Udp, Unknown};
    let all = [
        Tcp(0),
        Tcp(22),
        Tcp(65535),
        Udp(22),
        Udp(65535),
        Icmpv6,
        Opaque(6),
        Opaque(47),
        Opaque(58),
        Unknown,
    ];
    let matches = |service: &str| {
        let rule = format!("allow {service}");
        all.into_iter().filter(|&traffic| passes(&[&rule], traffic)).collect::<Vec<_>>()
    };
    assert_eq!(matches("any"), all);
    assert_eq!(matches("tcp/22"), [Tcp(22)]);
    assert_eq!(matches("tcp/22-65535"), [Tcp(22), Tcp(65535)]);
    assert_eq!(matches("udp/0-22"), [Udp(22)]);
    assert_eq!(matches("icmp"), [Icmpv6]);
    assert_eq!(matches("proto/47"), [Opaque(47)]);
    assert_eq!(matches("proto/6"), [Tcp(0), Tcp(22), Tcp(65535), Opaque(6)]);
    assert_eq!(matches("proto/58"), [Icmpv6, Opaque(58)]);
    assert_eq!(matches("proto/17,tcp/0-21"), [Tcp(0), Udp(22), Udp(65535)]);
    assert!(
        passes(&["allow icmp"], Icmp)
            && passes(&["allow proto/1"], Icmp)
            && !passes(&["allow proto/58"], Icmp)
    );
}

#[test]
fn a_packet_whose_ports_cannot_be_known_matches_any_and_its_protocol_alone() {
    let mut sketch = two_owners();
    sketch.ipv4("alice/room/host", "10.0.0.1").ipv4("bob/room/host", "10.0.1.1");
    let bench = |rule: &str| {
        let mut sketch = sketch.clone();
        sketch.ingress("bob", &[rule]);
        Bench::new(&sketch).judge
    };
    let craft = Craft::new("10.0.0.1", "10.0.1.1");
    let later = |number| Packet::parse(&craft.fragment(number, 64, false, &[0; 8])).unwrap();
    let verdict = |rule: &str, packet: &Packet| {
        let judge = bench(rule);
        judge.judge(&judge.question(packet)).is_allowed()
    };
    for number in [protocol::TCP, protocol::UDP, protocol::ICMP] {
        assert!(verdict("allow any", &later(number)));
        assert!(verdict(&format!("allow proto/{number}"), &later(number)));
        assert!(!verdict("allow tcp/0-65535,udp/0-65535,icmp", &later(number)));
        assert!(!verdict("allow proto/47", &later(number)));
    }
    // a live flow is judged again as what it began with
    let judge = bench("allow any");
    let icmp_other = Packet::parse(&craft.icmp(13, 0, [0; 4], &[0; 12])).unwrap();
    let gre = Packet::parse(&craft.raw(47, b"")).unwrap();
    let foreign = Packet::parse(&craft.raw(protocol::ICMPV6, b"")).unwrap();
    let echo = Packet::parse(&craft.echo(true, 1, 1, b"")).unwrap();
    let syn = Packet::parse(&craft.syn(1, 22)).unwrap();
    for packet in [later(protocol::TCP), later(protocol::ICMP), icmp_other, gre, foreign, echo, syn] {
        assert_eq!(judge.question_of(&packet.tuple()), judge.question(&packet), "{packet:?}");
    }
    assert!(verdict("allow tcp/22", &syn) && !verdict("allow tcp/1", &syn));
    assert!(verdict("allow icmp", &echo));
}

#[test]
fn selectors_select_by_name_tag_kind_and_address() {
    let mut sketch = two_owners();
    sketch
        .nodes(&["bob/room/hostess", "bob/attic", "bob/attic/host"])
        .gateway("bob/attic/gw")
        .tag("bob/room/host", "shared")
        .tag("bob/attic/gw", "shared")
        .ipv4("bob/room/host", "10.9.1.1")
        .ipv4("alice/room/host", "10.8.1.1");
    let targets =
        ["bob/room/host", "bob/room/host/app", "bob/room/hostess", "bob/attic/host", "bob/attic/gw"];
    let selected = |selector: &str| {
        let mut sketch = sketch.clone();
        sketch.ingress("bob", &[&format!("allow any to {selector}")]);
        let bench = Bench::new(&sketch);
        targets
            .into_iter()
            .filter(|to| bench.allows("alice/room/host", to, Traffic::Icmpv6))
            .collect::<Vec<_>>()
    };
    assert_eq!(selected("any"), targets);
    assert_eq!(selected("bob"), targets);
    assert_eq!(selected("bob/room"), targets[..3]);
    assert_eq!(selected("bob/room/host"), targets[..2], "hostess only begins alike");
    assert_eq!(selected("*/room"), targets[..3]);
    assert_eq!(selected("bob/*/host"), ["bob/room/host", "bob/room/host/app", "bob/attic/host"]);
    assert_eq!(selected("*/*/*/*"), ["bob/room/host/app"]);
    assert_eq!(selected("carol"), [""; 0]);
    assert_eq!(selected("bob/attic/nobody"), [""; 0]);
    assert_eq!(selected("tag:shared"), ["bob/room/host", "bob/attic/gw"], "not what is inside");
    assert_eq!(selected("alice#tag:shared"), [""; 0]);
    assert_eq!(
        selected("kind:station"),
        ["bob/room/host", "bob/room/hostess", "bob/attic/host", "bob/attic/gw"]
    );
    assert_eq!(selected("kind:application"), ["bob/room/host/app"]);
    assert_eq!(selected("kind:gateway"), ["bob/attic/gw"]);
    assert_eq!(selected("internet"), [""; 0]);
    assert_eq!(
        selected("bob/attic/host,kind:gateway,bob/room/host/app"),
        [targets[1], targets[3], targets[4]]
    );
    assert_eq!(selected("::/0"), targets);
    assert_eq!(selected("0.0.0.0/0"), [""; 0], "of the other family");

    let from = |selector: &str, from: &str, to: &str| {
        let mut sketch = sketch.clone();
        sketch.ingress("bob", &[&format!("allow any from {selector}")]);
        Bench::new(&sketch).allows(from, to, Traffic::Tcp(1))
    };
    assert!(from("internet", "192.0.2.1", "10.9.1.1") && !from("internet", "10.8.1.1", "10.9.1.1"));
    assert!(from("10.8.0.0/16", "10.8.1.1", "10.9.1.1") && !from("10.8.0.0/24", "10.8.1.1", "10.9.1.1"));
    assert!(from("0.0.0.0/0", "internet", "10.9.1.1") && !from("192.0.2.0/24", "internet", "10.9.1.1"));
    assert!(from("192.0.2.0/24", "192.0.2.9", "10.9.1.1"));
}

#[test]
fn a_v4_mapped_prefix_is_the_ipv4_one() {
    let mut sketch = two_owners();
    sketch.ipv4("bob/room/host", "10.9.1.1").ingress("bob", &["allow any from ::ffff:192.0.2.0/120"]);
    let bench = Bench::new(&sketch);
    let allowed = |from| bench.judge.judge(&bench.question(from, "10.9.1.1", Traffic::Tcp(1))).is_allowed();
    assert!(allowed("192.0.2.1") && !allowed("192.0.3.1"));
}

#[test]
fn a_staged_rule_is_counted_and_never_decides() {
    let staged = ["allow any", "deny tcp/22 stage"];
    assert!(passes(&staged, Traffic::Tcp(22)));
    let mut sketch = two_owners();
    sketch.ingress("bob", &staged);
    let bench = Bench::new(&sketch);
    let judgement = bench.judge.judge(&bench.question("alice/room/host", "bob/room/host", Traffic::Tcp(22)));
    let texts = |judgement: &Judgement| {
        let views = judgement.matched().iter().map(|&id| bench.judge.rule(id).unwrap());
        views.map(|rule| (rule.border.to_string(), rule.text, rule.stage)).collect::<Vec<_>>()
    };
    assert!(judgement.log);
    assert_eq!(
        texts(&judgement),
        [
            ("alice".to_owned(), "allow any".to_owned(), false),
            ("bob".to_owned(), "deny tcp/22".to_owned(), true),
            ("bob".to_owned(), "allow any".to_owned(), false),
        ]
    );
    let other = bench.judge.judge(&bench.question("alice/room/host", "bob/room/host", Traffic::Tcp(23)));
    assert!(!other.log);
    assert_eq!(texts(&other).len(), 2);
    assert!(!passes(&["allow any stage"], Traffic::Tcp(22)), "a policy of staged rules allows nothing");
}

#[test]
fn a_judgement_says_who_denies_and_why() {
    let mut sketch = two_owners();
    sketch.guest("bob/web", "alice/room/host").ingress("bob/room/host", &["deny tcp/22 log", "allow any"]);
    sketch.host_policy("bob/web", Direction::Ingress, Some(&[])).policy("alice", Direction::Egress, None);
    let bench = Bench::new(&sketch);
    let denial = |from: &str, to: &str| {
        let judgement = bench.judge.judge(&bench.question(from, to, Traffic::Tcp(22)));
        let denial = judgement.denial.unwrap();
        let owner = bench.model.owners[denial.policy_of.0 as usize].roster.owner.to_string();
        (bench.model.node(denial.border).name.to_string(), owner, denial.why, judgement.log)
    };
    let (border, owner, why, log) = denial("internet", "bob/room/host");
    assert!(matches!(why, Why::Rule(id) if bench.judge.rule(id).unwrap().text == "deny tcp/22"));
    assert_eq!((border.as_str(), owner.as_str(), log), ("bob/room/host", "bob", true));
    let denied = |border: &str, owner: &str, why| (border.to_owned(), owner.to_owned(), why, false);
    assert_eq!(denial("internet", "bob/web"), denied("bob/web", "alice", Why::NothingAllows));
    assert_eq!(denial("alice/room/host", "internet"), denied("alice", "alice", Why::Closed));
}

#[test]
fn rule_numbers_are_dense_and_every_rule_has_one() {
    let mut sketch = two_owners();
    sketch.ingress("bob/room", &["allow any from carol", "deny any stage", "allow icmp log"]);
    let judge = Bench::new(&sketch).judge;
    assert_eq!(judge.rule_count(), 7);
    let count = u32::try_from(judge.rule_count()).unwrap();
    let views: Vec<_> = (0..count).map(|id| judge.rule(RuleId(id)).unwrap()).collect();
    assert_eq!(judge.rule(RuleId(count)), None);
    let room: Vec<_> = views.iter().filter(|rule| rule.border.to_string() == "bob/room").collect();
    assert_eq!(room.len(), 3);
    assert!(room[1].stage && room[2].log && room.iter().all(|rule| &*rule.file == "bob.toml"));
    assert_eq!(room[0].text, "allow any from carol");
}
