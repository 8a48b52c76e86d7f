//! Explanations, questions of many ports and families, and rosters' own tests.

use super::*;
use crate::policy::sketch::parse_service;
use crate::policy::trial::{TrialOutcome, failures};
use crate::roster::{Expect, Service};

fn ask(judge: &Judge, from: &str, to: &str, service: &str) -> Result<Outcome, CannotTell> {
    judge.ask(&party(from), &party(to), parse_service(service)).map(|answer| answer.outcome)
}

/// Alice lets bob's phone reach what she shares.
fn film_nights() -> Sketch {
    let mut sketch = Sketch::default();
    sketch
        .nodes(&["alice", "alice/attic", "alice/attic/nas", "alice/attic/nas/web"])
        .nodes(&["bob", "bob/cellar", "bob/cellar/phone"])
        .tag("alice/attic/nas", "shared")
        .ingress(
            "alice",
            &["allow tcp/445,tcp/139 from bob to tag:shared", "deny any from 10.9.0.0/16 stage"],
        )
        .ingress("alice/attic/nas", &["allow any from alice,bob", "deny tcp/139"])
        .ingress("alice/attic/nas/web", &[])
        .egress("bob", &["allow any to alice"]);
    sketch
}

#[test]
fn an_explanation_prints_as_json_and_for_people() {
    let judge = Bench::new(&film_nights()).judge;
    let explain = |service| {
        let answer = judge.ask(&party("bob/cellar/phone"), &party("alice/attic/nas"), parse_service(service));
        answer.unwrap().explanation
    };
    let json = serde_json::to_value(explain("tcp/139")).unwrap();
    let row = |border, direction, verdict, rule: Option<&str>, at: Option<(&str, u32)>, reason| {
        serde_json::json!({
            "border": border, "direction": direction, "verdict": verdict, "rule": rule,
            "file": at.map(|at| at.0), "line": at.map(|at| at.1), "reason": reason,
        })
    };
    let (open, allows) = ("no policy: lets pass", "this rule allows it");
    let bob = Some(("bob.toml", 16));
    let (smb, alice) = (Some("allow tcp/445, tcp/139 from bob to tag:shared"), Some(("alice.toml", 9)));
    let expected = serde_json::json!({
        "verdict": "deny",
        "borders": [
            row("bob/cellar/phone", "egress", "allow", None, None, open),
            row("bob/cellar", "egress", "allow", None, None, open),
            row("bob", "egress", "allow", Some("allow any to alice"), bob, allows),
            row("alice", "ingress", "allow", smb, alice, allows),
            row("alice/attic", "ingress", "allow", None, None, open),
            row("alice/attic/nas", "ingress", "deny", Some("deny tcp/139"), Some(("alice.toml", 13)), "this rule denies it"),
        ],
    });
    assert_eq!(json, expected);
    let text = "\
allow
  allow  egress   bob/cellar/phone  no policy: lets pass
  allow  egress   bob/cellar        no policy: lets pass
  allow  egress   bob               bob.toml:16: allow any to alice (this rule allows it)
  allow  ingress  alice             alice.toml:9: allow tcp/445, tcp/139 from bob to tag:shared (this rule allows it)
  allow  ingress  alice/attic       no policy: lets pass
  allow  ingress  alice/attic/nas   alice.toml:12: allow any from alice, bob (this rule allows it)";
    assert_eq!(explain("tcp/445").to_string(), text);

    let closed =
        judge.ask(&party("internet"), &party("bob/cellar/phone"), Service::Icmp).unwrap().explanation;
    assert_eq!(closed.borders[0].file.as_deref(), Some("bob.toml"));
    assert_eq!(closed.borders[0].reason, "an owner's border with no policy denies");
    let empty = judge.ask(&party("alice/attic/nas"), &party("alice/attic/nas/web"), Service::Icmp).unwrap();
    assert_eq!(empty.explanation.borders[0].reason, "the policy is empty: denies all");
    assert_eq!(empty.explanation.borders[0].line, Some(14));
}

#[test]
fn a_staged_match_is_shown_and_a_border_without_matches_is_not_cluttered() {
    let mut sketch = film_nights();
    sketch.ipv4("bob/cellar/phone", "10.9.0.1").ipv4("alice/attic/nas", "10.8.0.1");
    let judge = Bench::new(&sketch).judge;
    let answer = judge.ask(&party("10.9.0.1"), &party("10.8.0.1"), parse_service("tcp/445")).unwrap();
    let staged: Vec<_> = answer.explanation.borders.iter().flat_map(|row| &row.staged).collect();
    assert_eq!(staged, ["alice.toml:10: deny any from 10.9.0.0/16"]);
    assert!(answer.explanation.to_string().contains("staged   "));
    let json = serde_json::to_value(&answer.explanation.borders[0]).unwrap();
    assert_eq!(json.as_object().unwrap().len(), 7);
}

#[test]
fn a_range_is_allowed_when_every_port_of_it_is() {
    let mut sketch = two_owners();
    sketch.ingress("bob", &["allow tcp/1000-1999,tcp/2000-2999,udp/53", "deny tcp/2500"]);
    let judge = Bench::new(&sketch).judge;
    let ask = |service| ask(&judge, "alice/room/host", "bob/room/host", service).unwrap();
    assert_eq!(ask("tcp/1000-2499"), Outcome::Allowed);
    assert_eq!(ask("tcp/2501-2999"), Outcome::Allowed);
    assert_eq!(ask("tcp/2000-2999"), Outcome::Mixed);
    assert_eq!(ask("tcp/999-1000"), Outcome::Mixed);
    assert_eq!(ask("tcp/2999-3000"), Outcome::Mixed);
    assert_eq!(ask("tcp/0-65535"), Outcome::Mixed);
    assert_eq!(ask("tcp/3000-65535"), Outcome::Denied);
    assert_eq!(ask("udp/53-53"), Outcome::Allowed);
    let answer =
        judge.ask(&party("alice/room/host"), &party("bob/room/host"), parse_service("tcp/2000-2999"));
    let answer = answer.unwrap();
    assert_eq!((answer.question.traffic, answer.explanation.verdict), (Traffic::Tcp(2500), Verdict::Deny));
}

#[test]
fn any_asks_about_a_protocol_that_no_rule_names() {
    let mut sketch = two_owners();
    sketch.ingress("bob", &["allow tcp/0-65535,udp/0-65535,icmp"]);
    let any = |sketch: &Sketch| ask(&Bench::new(sketch).judge, "alice/room/host", "bob/room/host", "any");
    assert_eq!(any(&sketch), Ok(Outcome::Denied));
    sketch.ingress("bob", &["allow any"]);
    assert_eq!(any(&sketch), Ok(Outcome::Allowed));
}

#[test]
fn two_families_are_both_asked_about() {
    let mut sketch = two_owners();
    sketch.ipv4("bob/room/host", "10.9.1.1").ingress("bob", &["allow icmp to 10.0.0.0/8"]);
    let one = Bench::new(&sketch).judge;
    assert_eq!(
        ask(&one, "alice/room/host", "bob/room/host", "icmp"),
        Ok(Outcome::Denied),
        "only v6 in common"
    );
    assert_eq!(ask(&one, "internet", "bob/room/host", "icmp"), Ok(Outcome::Mixed));
    assert_eq!(ask(&one, "192.0.2.1", "bob/room/host", "icmp"), Ok(Outcome::Allowed));
    let family = ask(&one, "192.0.2.1", "alice/room/host", "icmp");
    assert!(matches!(family, Err(CannotTell::Family { .. })), "{family:?}");
}

#[test]
fn what_cannot_be_told_is_not_told() {
    let judge = Bench::new(&two_owners()).judge;
    let error = |from, to| ask(&judge, from, to, "icmp").unwrap_err().to_string();
    assert_eq!(
        error("alice/room/nobody", "internet"),
        "alice/room/nobody: no accepted roster has a node of this name"
    );
    assert!(error("alice/room", "internet").starts_with("alice/room has no address of its own"));
    assert!(error("alice", "internet").starts_with("alice has no address of its own"));
    assert!(error("internet", "192.0.2.1").starts_with("neither internet nor 192.0.2.1 is a node"));
    assert_eq!(ask(&judge, "alice/room/host", "alice/room/host", "icmp"), Ok(Outcome::Allowed));
}

#[test]
fn a_rosters_tests_fail_with_what_decided() {
    let mut sketch = film_nights();
    let (phone, nas, web) = ("bob/cellar/phone", "alice/attic/nas", "alice/attic/nas/web");
    sketch
        .test("alice", phone, nas, "tcp/445", Expect::Allow)
        .test("alice", phone, web, "tcp/445", Expect::Deny)
        .test("alice", phone, nas, "tcp/445-446", Expect::Deny)
        .test("alice", phone, nas, "tcp/139", Expect::Allow)
        .test("alice", nas, phone, "icmp", Expect::Allow)
        .test("alice", phone, "alice/attic/gone", "icmp", Expect::Deny)
        .test("bob", phone, nas, "tcp/22", Expect::Allow);
    let bench = Bench::new(&sketch);
    let failed = |owner: usize| failures(&bench.judge, &bench.model.owners[owner].roster);
    let alice = failed(0);
    assert_eq!(
        alice.iter().map(|failure| failure.service.to_string()).collect::<Vec<_>>(),
        ["tcp/445-446", "tcp/139", "icmp", "icmp"]
    );
    assert!(alice.iter().all(|failure| &*failure.file == "alice.toml" && failure.line.0 > 17));
    let TrialOutcome::Answered { explanation, denied_by: None } = &alice[0].outcome else { panic!() };
    assert_eq!(explanation.verdict, Verdict::Allow);
    let denied_by = |outcome: &TrialOutcome| match outcome {
        TrialOutcome::Answered { denied_by, .. } => denied_by.as_ref().map(ToString::to_string),
        TrialOutcome::CannotTell(_) => None,
    };
    assert_eq!(denied_by(&alice[1].outcome).as_deref(), Some("alice"));
    assert_eq!(denied_by(&alice[2].outcome).as_deref(), Some("alice"), "she lets nothing out");
    assert!(matches!(alice[3].outcome, TrialOutcome::CannotTell(_)));
    let bob = failed(1);
    assert_eq!(denied_by(&bob[0].outcome).as_deref(), Some("alice"), "another owner's policy");
}
