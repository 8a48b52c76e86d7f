//! Gateways that nobody can reach from outside, and a relay that everybody can.
//!
//! ```text
//!   gw ── home (masquerade) ──┐                ┌── home (masquerade) ── hub
//!   room attic                └── internet ────┘                 room cellar, both alice's
//!                                    │
//!                                   hill, a relay of alice's: no interface, no packet
//! ```
//!
//! The roster names no endpoint but the relay's, and the home routers give ports by chance, so that there is no direct path.
//! The gateways' own hosts are the stations.

use std::net::IpAddr;
use std::time::Duration;

use crate::lab::ping::wait_until_reached;
use crate::lab::sniffer::Sniffer;
use crate::lab::{Gateway, Internet, Lab, Owner};

const SOON: Duration = Duration::from_secs(20);
/// What pings carry: "mesh secret".
const SECRET: &[u8] = b"mesh secret";

struct World {
    gw: Gateway,
    hub: Gateway,
    hill: Gateway,
    _internet: Internet,
    _lab: Lab,
}

impl World {
    /// `policy` is that of both rooms.
    fn new(policy: &str) -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let mut hill = Gateway::new(&lab, &internet, &alice, &alice.node("hill", "10.88.0.1"));
        let behind = |node| Gateway::new_behind(&lab, &internet, 1500, &alice, &node);
        let mut gw = behind(alice.node("attic/gw", "10.88.1.1"));
        let mut hub = behind(alice.node("cellar/hub", "10.88.3.1"));
        gw.place.masquerade_by_chance();
        hub.place.masquerade_by_chance();
        let roster = alice.sign(&format!(
            r#"
            [[room]]
            name = "attic"
            {policy}
              [[room.gateway]]
              name = "gw"
              ipv4 = "10.88.1.1"
              key  = "{gw}"
            [[room]]
            name = "cellar"
            {policy}
              [[room.gateway]]
              name = "hub"
              ipv4 = "10.88.3.1"
              key  = "{hub}"
            [[relay]]
            name = "hill"
            key  = "{hill}"
            endpoints = ["{endpoint}"]
            "#,
            gw = gw.node.public,
            hub = hub.node.public,
            hill = hill.node.public,
            endpoint = hill.endpoint(),
        ));
        for gateway in [&mut hill, &mut gw, &mut hub] {
            gateway.take(&[&roster]);
            gateway.start(&lab);
        }
        Self { gw, hub, hill, _internet: internet, _lab: lab }
    }
}

#[test]
fn two_gateways_behind_home_routers_meet_through_a_relay_that_reads_nothing() {
    let world = World::new("");
    let sniffer = Sniffer::on(&world.hill.namespace, "eth0");
    for (from, to) in [(&world.gw, &world.hub), (&world.hub, &world.gw)] {
        for address in to.node.addresses() {
            wait_until_reached(&from.namespace, address, SOON);
        }
        let pattern: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
        from.namespace.must(&format!("ping -c 3 -i 0.2 -p {pattern} {}", to.node.v4));
    }
    let seen = sniffer.seen();
    assert!(seen.iter().filter(|packet| packet.rest.get(8) == Some(&5)).count() > 10);
    let inner = [&world.gw, &world.hub].into_iter().flat_map(|gateway| gateway.node.addresses());
    let inner = inner.map(|address| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    });
    for needle in inner.chain([SECRET.to_vec()]) {
        let has = |rest: &[u8]| rest.windows(needle.len()).any(|window| window == needle);
        assert!(!seen.iter().any(|packet| has(&packet.rest)), "the relay sees {needle:?}");
    }
}

#[test]
fn a_pair_without_policy_is_neither_forwarded_nor_introduced() {
    let world = World::new("ingress = []");
    for gateway in [&world.gw, &world.hub] {
        let other = if gateway.node.path == world.gw.node.path { &world.hub } else { &world.gw };
        assert!(!crate::lab::ping::reaches(&gateway.namespace, other.node.v4.into()));
        let peers = gateway.peers();
        let rows = peers.as_array().expect("a list of peers");
        let row = |name: String| rows.iter().find(|row| row["peer"] == name.as_str()).expect("a peer");
        assert_eq!(row(world.hill.node.path())["up"], true);
        assert!(row(other.node.path())["endpoint"].is_null(), "{peers}");
    }
}
