//! A station moves, a gateway restarts; nobody is told.
//!
//! ```text
//!   laptop ──wg── (192.0.2.N on one cable, later 192.0.2.M on another) ──┐               ┌──wg── server
//!                                                gw (vpmesh) ────┘
//!                                                room attic, owner alice
//! ```

use std::time::Duration;

use crate::lab::iperf::{Client, Report, Server};
use crate::lab::ping::wait_until_reached;
use crate::lab::{Attic, Gateway, Internet, Lab, Station, wait_for};

const LIMIT: Duration = Duration::from_secs(10);
const PORT: u16 = 5201;

struct World {
    laptop: Station,
    server: Station,
    gateway: Gateway,
    internet: Internet,
    lab: Lab,
}

impl World {
    fn new() -> Self {
        let mut attic = Attic::new(Lab::new());
        let nodes = attic.nodes(["laptop", "server"]);
        attic.start(&attic.room().station(&nodes[0]).station(&nodes[1]));
        let [laptop, server] = nodes.map(|node| attic.join(&node));
        wait_until_reached(&laptop.namespace, server.node.v4.into(), LIMIT);
        let Attic { gateway, internet, lab, .. } = attic;
        Self { laptop, server, gateway, internet, lab }
    }
}

fn assert_went_on(report: &Report) {
    assert!(report.error.is_none(), "{report:?}");
    let stalls = report.stalls();
    assert!(stalls.len() <= 6, "it stood still for {} half seconds: {report:?}", stalls.len());
    let last: u64 = report.intervals.iter().rev().take(4).map(|interval| interval.bytes).sum();
    assert!(last > 1_000_000, "it did not come back: {report:?}");
}

/// `options` are iperf3's; `receiver` is who gets the bulk.
fn a_transfer_goes_on(options: &str, receiver: fn(&World) -> &Station) {
    let mut world = World::new();
    let _server = Server::start(&world.lab, &world.server.namespace, PORT);
    let to = world.server.node.v4.into();
    let client = Client::start(&world.lab, &world.laptop.namespace, to, PORT, options);
    let wait_for_more = |world: &World, what: &str, bytes: u64| {
        let before = receiver(world).received_bytes();
        let runs = || (receiver(world).received_bytes() > before + bytes).then_some(());
        wait_for(what, LIMIT, runs);
    };
    wait_for_more(&world, "the transfer runs", 3_000_000);
    let place = world.laptop.place.v4;
    world.laptop.roam(&world.internet);
    assert_ne!(world.laptop.place.v4, place);
    wait_for_more(&world, "the transfer runs again", 1_000_000);
    assert_went_on(&client.report(Duration::from_secs(25)));
    let peers = world.gateway.peers().to_string();
    let place = world.laptop.place.v4.to_string();
    assert!(peers.contains(&place), "the gateway knows the new place {place}: {peers}");
}

#[test]
fn what_a_station_sends_goes_on_while_it_moves() {
    a_transfer_goes_on("-t 8 -b 20M", |world| &world.server);
}

#[test]
fn what_a_station_receives_goes_on_while_it_moves() {
    a_transfer_goes_on("-t 8 -b 20M -R", |world| &world.laptop);
}

/// A stock client asks for a new session when what it sent was not answered for fifteen seconds.
fn assert_stations_come_back(world: &World) {
    for station in [&world.laptop, &world.server] {
        wait_until_reached(&station.namespace, world.gateway.node.v4.into(), Duration::from_secs(40));
    }
    for to in world.server.node.addresses() {
        wait_until_reached(&world.laptop.namespace, to, LIMIT);
    }
}

#[test]
fn stations_come_back_by_themselves_when_the_gateway_was_killed() {
    let mut world = World::new();
    world.gateway.kill();
    assert!(!world.laptop.reaches(world.server.node.v4));
    world.gateway.start(&world.lab);
    assert_stations_come_back(&world);
}

#[test]
fn stations_come_back_by_themselves_when_the_gateway_was_restarted() {
    let mut world = World::new();
    world.gateway.stop();
    assert!(!world.laptop.reaches(world.server.node.v4));
    world.gateway.start(&world.lab);
    assert_stations_come_back(&world);
}
