//! Which borders a flow crosses, and what each of them can do to it.

use super::*;

const SSH: Traffic = Traffic::Tcp(22);

#[test]
fn a_flow_crosses_its_sources_borders_outward_and_then_its_destinations_inward() {
    let mut sketch = two_owners();
    sketch.node("alice/room/other").node("alice/room/host/second").node("alice/shed").node("alice/shed/box");
    let bench = Bench::new(&sketch);
    assert_eq!(
        bench.crossed("alice/room/host/app", "bob/room/host"),
        [
            "egress alice/room/host/app",
            "egress alice/room/host",
            "egress alice/room",
            "egress alice",
            "ingress bob",
            "ingress bob/room",
            "ingress bob/room/host",
        ]
    );
    assert_eq!(
        bench.crossed("alice/room/host", "alice/shed/box"),
        ["egress alice/room/host", "egress alice/room", "ingress alice/shed", "ingress alice/shed/box"]
    );
    assert_eq!(
        bench.crossed("alice/room/host", "alice/room/other"),
        ["egress alice/room/host", "ingress alice/room/other"]
    );
    assert_eq!(
        bench.crossed("alice/room/host/app", "alice/room/host/second"),
        ["egress alice/room/host/app", "ingress alice/room/host/second"]
    );
    assert_eq!(bench.crossed("alice/room/host", "alice/room/host/app"), ["ingress alice/room/host/app"]);
    assert_eq!(bench.crossed("alice/room/host/app", "alice/room/host"), ["egress alice/room/host/app"]);
    assert_eq!(bench.crossed("alice/room/host", "alice/room/host"), [""; 0]);
    assert_eq!(
        bench.crossed("internet", "bob/room/host"),
        ["ingress bob", "ingress bob/room", "ingress bob/room/host"]
    );
    assert_eq!(bench.crossed("bob/room/host", "2001:db8::1").len(), 3);
    assert_eq!(bench.crossed("internet", "2001:db8::1"), [""; 0]);
}

/// What can stand at a border in one direction.
const STATES: [(&str, Option<&[&str]>); 5] = [
    ("absent", None),
    ("empty", Some(&[])),
    ("allow", Some(&["allow tcp/22"])),
    ("deny", Some(&["deny tcp/22"])),
    ("both", Some(&["allow tcp/22", "deny tcp/22"])),
];

#[test]
fn every_border_in_every_direction_and_state_does_what_the_design_says() {
    let inside = ["", "/room", "/room/host", "/room/host/app"];
    for (source, target) in [("alice", "bob"), ("bob", "alice")] {
        let (from, to) = (format!("{source}/room/host/app"), format!("{target}/room/host/app"));
        for (owner, suffix) in [source, target].into_iter().flat_map(|owner| inside.map(|s| (owner, s))) {
            let border = format!("{owner}{suffix}");
            for direction in [Direction::Egress, Direction::Ingress] {
                for (state, rules) in STATES {
                    let mut sketch = two_owners();
                    sketch.policy(&border, direction, rules);
                    let bench = Bench::new(&sketch);
                    let is_crossed = (owner == source) == (direction == Direction::Egress);
                    let passes = match state {
                        "absent" => !suffix.is_empty(),
                        "allow" => true,
                        _ => false,
                    };
                    let expected = passes || !is_crossed;
                    assert_eq!(bench.allows(&from, &to, SSH), expected, "{direction} of {border}: {state}");
                    let other = matches!(state, "absent") && passes || !is_crossed;
                    assert_eq!(
                        bench.allows(&from, &to, Traffic::Udp(22)),
                        other,
                        "{direction} of {border}: {state}"
                    );
                }
            }
        }
    }
}

#[test]
fn each_of_two_borders_can_deny_alone() {
    for (egress, ingress) in STATES.iter().flat_map(|a| STATES.iter().map(move |b| (a, b))) {
        let mut sketch = two_owners();
        sketch.policy("alice/room", Direction::Egress, egress.1).policy(
            "bob/room",
            Direction::Ingress,
            ingress.1,
        );
        let passes = |state: &str| matches!(state, "absent" | "allow");
        let expected = passes(egress.0) && passes(ingress.0);
        let bench = Bench::new(&sketch);
        assert_eq!(
            bench.allows("alice/room/host", "bob/room/host", SSH),
            expected,
            "{} {}",
            egress.0,
            ingress.0
        );
    }
}

#[test]
fn strangers_are_kept_out_and_in_until_the_owner_says_otherwise() {
    let mut sketch = Sketch::default();
    sketch.nodes(&["alice", "alice/room", "alice/room/host", "alice/shed", "alice/shed/box"]);
    let bench = Bench::new(&sketch);
    assert!(bench.allows("alice/room/host", "alice/shed/box", SSH));
    assert!(!bench.allows("alice/room/host", "internet", SSH));
    assert!(!bench.allows("internet", "alice/room/host", SSH));
    sketch.egress("alice", &["allow tcp/22 to internet"]);
    let bench = Bench::new(&sketch);
    assert!(bench.allows("alice/room/host", "internet", SSH));
    assert!(!bench.allows("internet", "alice/room/host", SSH));
}

#[test]
fn a_guest_stands_at_its_host_and_answers_to_its_owner() {
    let mut sketch = two_owners();
    sketch.guest("bob/web", "alice/room/host");
    let bench = Bench::new(&sketch);
    assert_eq!(
        bench.crossed("bob/room/host", "bob/web"),
        [
            "egress bob/room/host",
            "egress bob/room",
            "egress bob",
            "ingress alice",
            "ingress alice/room",
            "ingress alice/room/host",
            "ingress bob/web",
            "ingress bob/web",
        ]
    );
    assert_eq!(bench.crossed("bob/web", "alice/room/host"), ["egress bob/web", "egress bob/web"]);

    // both of the guest's policies have to let pass
    for (own, host) in STATES.iter().flat_map(|a| STATES.iter().map(move |b| (a, b))) {
        let mut sketch = sketch.clone();
        sketch.policy("bob/web", Direction::Ingress, own.1).host_policy(
            "bob/web",
            Direction::Ingress,
            host.1,
        );
        let passes = |state: &str| matches!(state, "absent" | "allow");
        let bench = Bench::new(&sketch);
        let expected = passes(own.0) && passes(host.0);
        assert_eq!(bench.allows("bob/room/host", "bob/web", SSH), expected, "{} {}", own.0, host.0);
    }

    let allows = |rule: &str| {
        let mut sketch = sketch.clone();
        sketch.ingress("alice", &[rule]);
        Bench::new(&sketch).allows("bob/room/host", "bob/web", SSH)
    };
    assert!(allows("allow any to bob/web"));
    assert!(allows("allow any to bob"));
    assert!(allows("allow any to bob/*"));
    assert!(allows("allow any to kind:application"));
    assert!(allows("allow any"), "left out, the inside end is anything inside the border, the guest too");
    assert!(!allows("allow any to alice/room/host"), "its name is not its host's");
    assert!(!allows("allow any to alice"));
}

#[test]
fn a_relay_is_under_no_policy_and_in_nobodys_way() {
    let mut sketch = two_owners();
    sketch.relay("alice/hill");
    let bench = Bench::new(&sketch);
    assert!(bench.allows("alice/room/host", "bob/room/host", SSH));
    let answer = bench.judge.ask(&party("alice/hill"), &party("bob/room/host"), crate::roster::Service::Icmp);
    assert_eq!(answer, Err(CannotTell::Relay("alice/hill".parse().unwrap())));
}

#[test]
fn two_rooms_could_flow_only_where_both_owners_let_something_pass() {
    let could = |alice: &[&str], bob: &[&str]| {
        let mut sketch = two_owners();
        sketch.egress("alice", alice).ingress("alice", &[]).ingress("bob", bob).egress("bob", &[]);
        let bench = Bench::new(&sketch);
        let room = |name: &str| bench.model.find(&name.parse().unwrap()).unwrap();
        let (one, other) = (room("alice/room"), room("bob/room"));
        assert_eq!(bench.judge.could_flow(one, other), bench.judge.could_flow(other, one));
        bench.judge.could_flow(one, other)
    };
    assert!(could(&["allow any"], &["allow tcp/22 from alice"]));
    assert!(could(&["allow tcp/22 to bob/room/host/app"], &["allow any"]));
    assert!(!could(&["allow any"], &[]));
    assert!(!could(&[], &["allow any"]));
    assert!(!could(&["allow any"], &["allow any from carol"]));
    assert!(!could(&["allow any"], &["allow any", "deny any from alice"]));
    assert!(!could(&["allow any"], &["allow tcp/22", "deny tcp/1-1024"]));
    assert!(!could(&["allow any to bob/shed"], &["allow any"]));
}
