//! Gateways that find each other, and find each other again.
//!
//! ```text
//!   laptop ──wg── gw ═════════ wg ═════════ hub ──wg── phone
//!   room attic        hub.example.net       room cellar, both alice's
//! ```
//!
//! The roster names the hub by a host name, which `gw` alone can look up; nobody can look up `gw`. So it is `gw` that
//! has to find the hub.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::lab::internet::Place;
use crate::lab::link::{self, End};
use crate::lab::ping::wait_until_reached;
use crate::lab::{Gateway, Internet, Lab, Node, Owner, Room, Station};

const SOON: Duration = Duration::from_secs(15);
/// A handshake is tried every five seconds; a session is given up after fifteen.
const AGAIN: Duration = Duration::from_secs(45);

struct World {
    laptop: Station,
    phone: Station,
    gw: Gateway,
    hub: Gateway,
    internet: Internet,
    lab: Lab,
}

fn hosts(addresses: &[IpAddr]) -> String {
    addresses.iter().map(|address| format!("{address} hub.example.net\n")).collect()
}

/// Alice's two rooms before anything runs in them.
struct Plan {
    laptop: Node,
    phone: Node,
    gw: Gateway,
    hub: Gateway,
    alice: Owner,
    internet: Internet,
    lab: Lab,
}

impl Plan {
    fn new() -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let laptop = alice.node("attic/laptop", "10.88.1.10");
        let phone = alice.node("cellar/phone", "10.88.3.10");
        let gw = Gateway::new(&lab, &internet, &alice, &alice.node("attic/gw", "10.88.1.1"));
        let hub = Gateway::new(&lab, &internet, &alice, &alice.node("cellar/hub", "10.88.3.1"));
        Self { laptop, phone, gw, hub, alice, internet, lab }
    }

    /// The roster says that the gateways are there.
    fn build(self, gws: &[&dyn Display], hubs: &[&dyn Display]) -> World {
        let Self { laptop, phone, mut gw, mut hub, alice, internet, lab } = self;
        let attic = Room::new("attic").gateway_at(&gw.node, gws).station(&laptop);
        let cellar = Room::new("cellar").gateway_at(&hub.node, hubs).station(&phone);
        let roster = alice.sign(&format_args!("{attic}{cellar}"));
        for gateway in [&mut gw, &mut hub] {
            gateway.start_with(&lab, &[&roster]);
        }
        let laptop = Station::join(&lab, &internet, &laptop, &gw.uplink(&[&alice]));
        let phone = Station::join(&lab, &internet, &phone, &hub.uplink(&[&alice]));
        World { laptop, phone, gw, hub, internet, lab }
    }
}

impl World {
    /// `found` is what `gw` finds for the hub's name.
    fn new(found: fn(&Place) -> Vec<IpAddr>) -> Self {
        let plan = Plan::new();
        plan.gw.namespace.set_hosts(&hosts(&found(&plan.hub.place)));
        plan.hub.namespace.set_hosts("");
        plan.build(&[&"gw.example.net:51888"], &[&"hub.example.net:51888"])
    }

    fn wait_until_joined(&self, limit: Duration) {
        // A stock client that sends nothing doesn't notice that its session is gone.
        for (station, gateway) in [(&self.laptop, &self.gw), (&self.phone, &self.hub)] {
            wait_until_reached(&station.namespace, gateway.node.v4.into(), limit);
        }
        for to in self.phone.node.addresses() {
            wait_until_reached(&self.laptop.namespace, to, limit);
        }
        wait_until_reached(&self.phone.namespace, self.laptop.node.v4.into(), SOON);
    }
}

#[test]
fn a_gateway_is_found_by_name_in_either_family() {
    for found in [|hub: &Place| vec![hub.v4.into()], |hub: &Place| vec![hub.v6.into()]] {
        World::new(found).wait_until_joined(SOON);
    }
}

#[test]
fn the_other_addresses_are_tried_where_one_leads_nowhere() {
    let found = |hub: &Place| {
        let nowhere: IpAddr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0xdead, 0, 0, 0, 1).into();
        vec![nowhere, hub.v4.into()]
    };
    World::new(found).wait_until_joined(AGAIN);
}

#[test]
fn a_gateway_that_comes_back_elsewhere_is_looked_up_again() {
    let mut world = World::new(|hub| vec![hub.v4.into()]);
    world.wait_until_joined(SOON);
    world.hub.kill();
    world.hub.place = world.internet.move_host(&world.hub.namespace, &world.hub.place);
    world.gw.namespace.set_hosts(&hosts(&[world.hub.place.v4.into()]));
    world.hub.start(&world.lab);
    // The phone is told by its user; a stock client doesn't look up names again.
    world.phone.point_at(world.hub.endpoint());
    world.wait_until_joined(AGAIN);
}

#[test]
fn a_gateway_that_was_killed_is_reached_again_by_itself() {
    let mut world = World::new(|hub| vec![hub.v4.into()]);
    world.wait_until_joined(SOON);
    world.hub.kill();
    world.hub.start(&world.lab);
    world.wait_until_joined(AGAIN);
}

#[test]
fn gateways_on_one_link_find_each_other_with_no_endpoint_known() {
    let World { laptop, phone, gw, hub, .. } = &Plan::new().build(&[], &[]);
    wait_until_reached(&laptop.namespace, gw.node.v4.into(), SOON);
    wait_until_reached(&phone.namespace, hub.node.v4.into(), SOON);
    let peer = |gateway: &Gateway| {
        let peers = gateway.peers();
        peers.as_array().unwrap().iter().find(|peer| peer["kind"] == "gateway").unwrap().clone()
    };
    assert!(peer(gw)["endpoint"].is_null(), "nothing is known yet: {}", gw.peers());

    let cable = |namespace| End { namespace, interface: "cable" };
    link::join(cable(&gw.namespace), cable(&hub.namespace), 1500);
    for to in phone.node.addresses() {
        wait_until_reached(&laptop.namespace, to, AGAIN);
    }
    wait_until_reached(&phone.namespace, laptop.node.v4.into(), SOON);
    for gateway in [gw, hub] {
        let endpoint = peer(gateway)["endpoint"].as_str().unwrap().to_owned();
        assert!(endpoint.starts_with("[fe80:"), "through the cable: {endpoint}");
    }
}
