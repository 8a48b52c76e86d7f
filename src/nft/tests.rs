//! The shapes of compiled tables. What they do to packets is `tests/netns`' `nft_truth`.

use std::sync::Arc;

use super::*;
use crate::base::DropReason;
use crate::policy::RuleId;
use crate::policy::sketch::Sketch;

/// A room of a gateway, a LAN station with an application, and another; and a station attached by wireguard.
fn room() -> Sketch {
    let mut sketch = Sketch::default();
    sketch.nodes(&["alice", "alice/attic"]).gateway("alice/attic/gw");
    sketch.nodes(&["alice/attic/nas", "alice/attic/nas/web", "alice/attic/pc", "alice/attic/phone"]);
    sketch.lan("alice/attic/nas").lan("alice/attic/pc");
    for (last, name) in ["gw", "nas", "nas/web", "pc", "phone"].into_iter().enumerate() {
        sketch.ipv4(&format!("alice/attic/{name}"), &format!("10.0.0.{}", last + 1));
    }
    sketch
}

fn compiled(sketch: &Sketch, admin: AdminGuard) -> Ruleset {
    let model = sketch.model();
    let gateway = model.find(&"alice/attic/gw".parse().unwrap()).unwrap();
    compile(&Judge::new(Arc::clone(&model)), &Setting { interface: "vpm0", gateway, admin })
}

/// The lines of a chain or a set.
fn block(ruleset: &Ruleset, head: &str) -> Vec<String> {
    let text = ruleset.to_string();
    let lines = text.lines().skip_while(|line| line.trim() != format!("{head} {{"));
    lines.skip(1).take_while(|line| *line != "\t}").map(|line| line.trim().to_owned()).collect()
}

#[test]
fn what_the_kernel_has_to_judge_are_lan_stations_and_what_is_inside_them() {
    let ruleset = compiled(&room(), AdminGuard::On);
    assert_eq!(
        block(&ruleset, "set local4"),
        ["type ipv4_addr", "elements = { 10.0.0.2,", "10.0.0.3,", "10.0.0.4 }"]
    );
    assert_eq!(block(&ruleset, "set nodes4"), ["type ipv4_addr", "elements = { 10.0.0.1,", "10.0.0.5 }"]);
}

#[test]
fn an_owners_border_without_a_policy_denies_and_within_the_room_nothing_is_asked() {
    let ruleset = compiled(&room(), AdminGuard::On);
    assert!(block(&ruleset, "chain outward4").contains(&"jump deny".to_owned()));
    assert_eq!(
        block(&ruleset, "chain between4")[1..],
        ["tcp flags & (syn | ack) != syn counter name \"drop_no_flow\" drop", "accept"]
    );
    assert_eq!(block(&ruleset, "chain deny"), ["counter name \"drop_denied\" drop"]);
}

#[test]
fn absent_and_empty_policies_never_turn_into_each_other() {
    let mut sketch = room();
    sketch.egress("alice", &["allow any"]).egress("alice/attic/pc", &[]);
    let ruleset = compiled(&sketch, AdminGuard::On);
    let outward = block(&ruleset, "chain outward4");
    assert_eq!(outward[2..], ["ip saddr 10.0.0.4 jump deny", "jump egress/alice", "accept"]);
}

#[test]
fn a_rule_is_told_by_its_file_and_line_and_counted_by_its_number() {
    let mut sketch = room();
    sketch.egress("alice", &["deny tcp/25 log", "allow tcp/443,udp/5000-5010 to 192.0.2.0/24,internet"]);
    let ruleset = compiled(&sketch, AdminGuard::On);
    let lines = block(&ruleset, "chain egress/alice");
    assert!(lines[0].starts_with("tcp dport 25 goto rule_0 comment \"alice.toml:"), "{lines:?}");
    assert!(lines[1].starts_with("tcp dport 443 counter name \"rule_1\" return"), "{lines:?}");
    assert!(lines[2].starts_with("udp dport 5000-5010 counter name \"rule_1\" return"), "{lines:?}");
    assert_eq!(lines[3], "counter name \"drop_denied\" drop");
    let leaf = block(&ruleset, "chain rule_0");
    assert!(leaf[0].starts_with("limit name \"log_lines\" log prefix \"vpmesh alice.toml:"), "{leaf:?}");
    assert_eq!(leaf[1], "counter name \"rule_0\" counter name \"drop_denied\" drop");
    for counter in [Counter::Rule(RuleId(0)), Counter::Rule(RuleId(1)), Counter::Drop(DropReason::Spoofed)] {
        assert!(ruleset.counters().contains(&counter));
    }
}

#[test]
fn a_rule_that_nobody_on_the_kernels_side_can_match_has_no_counter() {
    let mut sketch = room();
    sketch.egress("alice", &["allow any to bob", "allow udp/53 from alice/attic/phone", "allow tcp/80"]);
    let ruleset = compiled(&sketch, AdminGuard::On);
    let rules: Vec<_> = ruleset.counters().iter().filter(|c| matches!(c, Counter::Rule(_))).collect();
    assert_eq!(rules, [&Counter::Rule(RuleId(2))]);
}

#[test]
fn a_staged_rule_counts_and_decides_nothing() {
    let mut sketch = room();
    sketch.egress("alice", &["deny any stage", "allow any"]);
    let ruleset = compiled(&sketch, AdminGuard::On);
    let lines = block(&ruleset, "chain egress/alice");
    assert!(lines[0].starts_with("jump rule_0 comment"), "{lines:?}");
    assert!(lines[1].starts_with("counter name \"rule_1\" return"), "{lines:?}");
    assert_eq!(block(&ruleset, "chain rule_0")[1], "counter name \"rule_0\"");
}

#[test]
fn many_rules_are_one_lookup() {
    let mut sketch = room();
    let rules: Vec<_> = (0..200).map(|n| format!("allow tcp/{} to 198.51.{n}.0/24", 1000 + n)).collect();
    sketch.egress("alice", &rules.iter().map(String::as_str).collect::<Vec<_>>());
    let ruleset = compiled(&sketch, AdminGuard::On);
    let lines = block(&ruleset, "chain egress/alice");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("counter name ip daddr . meta l4proto . th dport map @map_"), "{lines:?}");
}

#[test]
fn who_administers_the_gateway_is_not_locked_out_unless_the_setting_says_so() {
    let mut sketch = room();
    sketch.ingress("alice/attic/gw", &[]);
    let admin = "tcp dport { 22, 80, 443 } accept".to_owned();
    let guarded = block(&compiled(&sketch, AdminGuard::On), "chain input4");
    let at = guarded.iter().position(|line| *line == admin).unwrap();
    assert!(guarded[at..].contains(&"jump deny".to_owned()), "{guarded:?}");
    assert!(!block(&compiled(&sketch, AdminGuard::Off), "chain input4").contains(&admin));
}

#[test]
fn a_table_replaces_another_in_one_transaction() {
    let json: serde_json::Value = serde_json::from_str(&compiled(&room(), AdminGuard::On).to_json()).unwrap();
    let commands = json["nftables"].as_array().unwrap();
    let table = serde_json::json!({"table": {"family": "inet", "name": "vpmesh"}});
    assert_eq!(commands[0]["add"], table);
    assert_eq!(commands[1]["delete"], table);
    assert_eq!(commands[2]["add"], table);
    assert_eq!(removal(), serde_json::json!({"nftables": [{"add": table}, {"delete": table}]}).to_string());
}
