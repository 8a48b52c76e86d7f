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
use std::time::{Duration, Instant};

use crate::lab::iperf::{Client, Server};
use crate::lab::ping::wait_until_reached;
use crate::lab::sniffer::Sniffer;
use crate::lab::{Gateway, Internet, Lab, Owner, Room, room, wait_for};

const PORT: u16 = 5201;
const SOON: Duration = Duration::from_secs(20);
/// What pings carry: "mesh secret".
const SECRET: &[u8] = b"mesh secret";

struct World {
    gw: Gateway,
    hub: Gateway,
    /// hill, and dale where there are two.
    relays: Vec<Gateway>,
    _internet: Internet,
    lab: Lab,
}

impl World {
    /// `policy` is that of both rooms.
    fn new(policy: &str) -> Self {
        Self::with(policy, &[("hill", "10.88.0.1")], |_, _, _| {})
    }

    /// `cut` may take something away before anybody starts: of the relays, the one gateway, and the other.
    fn with(policy: &str, relays: &[(&str, &str)], cut: impl FnOnce(&[Gateway], &Gateway, &Gateway)) -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let relays =
            relays.iter().map(|(name, v4)| Gateway::new(&lab, &internet, &alice, &alice.node(name, v4)));
        let mut relays: Vec<_> = relays.collect();
        let behind = |node| Gateway::new_behind(&lab, &internet, 1500, &alice, &node);
        let mut gw = behind(alice.node("attic/gw", "10.88.1.1"));
        let mut hub = behind(alice.node("cellar/hub", "10.88.3.1"));
        for gateway in [&gw, &hub] {
            gateway.place.masquerade_by_chance();
            // With IPv6 there would be a direct path.
            gateway.namespace.set("ipv6/conf/eth0/disable_ipv6", "1");
        }
        cut(&relays, &gw, &hub);
        let room = |name, gateway: &Gateway| Room::new(name).lines(policy).gateway_at(&gateway.node, &[]);
        let mut roster = format!("{}{}", room("attic", &gw), room("cellar", &hub));
        roster.extend(relays.iter().map(room::relay));
        let roster = alice.sign(&roster);
        for gateway in relays.iter_mut().chain([&mut gw, &mut hub]) {
            gateway.start_with(&lab, &[&roster]);
        }
        Self { gw, hub, relays, _internet: internet, lab }
    }

    fn wait_until_reached(&self) {
        for (from, to) in [(&self.gw, &self.hub), (&self.hub, &self.gw)] {
            for address in to.node.addresses() {
                wait_until_reached(&from.namespace, address, SOON);
            }
        }
    }
}

/// Nothing comes from this relay to a gateway, nor goes there.
fn keep_apart(relay: &Gateway, gateway: &Gateway) {
    let relay = relay.endpoint().ip();
    gateway.namespace.nft(&format!(
        "table inet apart {{
            chain in {{ type filter hook input priority 0; ip saddr {relay} drop; }}
            chain out {{ type filter hook output priority 0; ip daddr {relay} drop; }}
        }}"
    ));
}

#[test]
fn two_gateways_behind_home_routers_meet_through_a_relay_that_reads_nothing() {
    let world = World::new("");
    let sniffer = Sniffer::on(&world.relays[0].namespace, "eth0");
    world.wait_until_reached();
    for (from, to) in [(&world.gw, &world.hub), (&world.hub, &world.gw)] {
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
        assert_eq!(row(world.relays[0].node.path())["up"], true);
        assert!(row(other.node.path())["endpoint"].is_null(), "{peers}");
    }
}

#[test]
fn a_relay_that_dies_under_a_transfer_costs_seconds() {
    let mut world = World::with("", &[("hill", "10.88.0.1"), ("dale", "10.88.0.2")], |_, _, _| {});
    world.wait_until_reached();
    let _server = Server::start(&world.lab, &world.hub.namespace, PORT);
    let client =
        Client::start(&world.lab, &world.gw.namespace, world.hub.node.v4.into(), PORT, "-t 25 -b 5M -l 8K");
    let received = |world: &World| world.hub.namespace.received_bytes("vpm0").unwrap_or(0);
    let before = received(&world);
    wait_for("the transfer runs", SOON, || (received(&world) > before + 1_000_000).then_some(()));
    // Whoever it is: the one that nothing goes through is not missed.
    let carried = |relay: &Gateway| relay.namespace.received_bytes("eth0").unwrap_or(0);
    let busy = usize::from(carried(&world.relays[1]) > carried(&world.relays[0]));
    world.relays[busy].kill();
    let killed = Instant::now();
    let (mut last, mut longest, mut at) = (received(&world), Duration::ZERO, killed);
    while killed.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(50));
        let now = received(&world);
        if now > last + 3_000 {
            longest = longest.max(at.elapsed());
            (last, at) = (now, Instant::now());
        }
    }
    let report = client.report(Duration::from_secs(30));
    println!("a relay killed: nothing arrived for {longest:.1?}, then {} bytes in all", report.bytes());
    assert!(report.error.is_none(), "{report:?}");
    assert!(longest > Duration::from_millis(200) && longest < Duration::from_secs(10), "{longest:?}");
    assert!(report.bytes() > 8_000_000, "{report:?}");
}

#[test]
fn where_no_relay_reaches_both_gateways_two_do() {
    let world = World::with("", &[("hill", "10.88.0.1"), ("dale", "10.88.0.2")], |relays, gw, hub| {
        keep_apart(&relays[1], gw);
        keep_apart(&relays[0], hub);
    });
    let sniffers = [0, 1].map(|at: usize| Sniffer::on(&world.relays[at].namespace, "eth0"));
    world.wait_until_reached();
    let pattern: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
    world.gw.namespace.must(&format!("ping -c 5 -i 0.2 -p {pattern} {}", world.hub.node.v4));
    for sniffer in sniffers {
        let seen = sniffer.seen();
        assert!(seen.iter().filter(|packet| packet.rest.get(8) == Some(&5)).count() > 10);
        let has = |rest: &[u8]| rest.windows(SECRET.len()).any(|window| window == SECRET);
        assert!(!seen.iter().any(|packet| has(&packet.rest)), "a relay sees what is sent");
    }
}
