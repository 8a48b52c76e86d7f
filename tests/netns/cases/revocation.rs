//! Revocation while traffic runs.
//!
//! ```text
//!   thief ──wg──┐               ┌──wg── vault      iperf3, to be cut
//!   honest ─wg──gw (vpmesh) ────┴──wg── diary      iperf3, to run on
//!               room attic, owner alice
//! ```

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::lab::iperf::{Client, Report, Server};
use crate::lab::meter::last_movement;
use crate::lab::owner::Signed;
use crate::lab::ping::{answers, wait_until_reached};
use crate::lab::wait::holds_for;
use crate::lab::{Attic, Gateway, Internet, Lab, Node, Owner, Room, Station, wait_for};

const PORT: u16 = 5201;
const CUT: Duration = Duration::from_secs(1);

struct World {
    alice: Owner,
    gateway: Gateway,
    thief: Station,
    honest: Station,
    vault: Station,
    diary: Station,
    _servers: Vec<Server>,
    _internet: Internet,
    lab: Lab,
}

/// A roster of the stations that are given, with a policy at the room's stations.
fn sign(alice: &Owner, gateway: &Gateway, stations: &[&Node], vault_ingress: &str) -> Signed {
    let room = stations.iter().fold(Room::new("attic").gateway(gateway), |room, node| {
        let room = room.station(node);
        if node.path.leaf().as_str() == "vault" { room.lines(vault_ingress) } else { room }
    });
    alice.sign(&room)
}

impl World {
    fn new() -> Self {
        let mut attic = Attic::new(Lab::alone());
        let nodes = attic.nodes(["thief", "honest", "vault", "diary"]);
        attic.start(&nodes.iter().fold(attic.room(), Room::station));
        let [thief, honest, vault, diary] = nodes.map(|node| attic.join(&node));
        let Attic { gateway, alice, internet, lab } = attic;
        for (from, to) in [(&thief, &vault), (&honest, &diary)] {
            wait_until_reached(&from.namespace, to.node.v4.into(), Duration::from_secs(10));
        }
        let servers =
            vec![Server::start(&lab, &vault.namespace, PORT), Server::start(&lab, &diary.namespace, PORT)];
        Self { alice, gateway, thief, honest, vault, diary, _servers: servers, _internet: internet, lab }
    }

    fn nodes(&self) -> [&Node; 4] {
        [&self.thief.node, &self.honest.node, &self.vault.node, &self.diary.node]
    }

    /// Starts both transfers and returns when they run.
    fn transfer(&self, to: fn(&Station) -> IpAddr) -> [Client; 2] {
        // Small writes: one of 128 KiB is a burst that a stock client's socket has hardly room for.
        let options = "-t 8 -b 20M -l 8K";
        let start = |from: &Station, to| Client::start(&self.lab, &from.namespace, to, PORT, options);
        let clients = [start(&self.thief, to(&self.vault)), start(&self.honest, to(&self.diary))];
        for station in [&self.vault, &self.diary] {
            let before = station.received_bytes();
            let runs = || (station.received_bytes() > before + 3_000_000).then_some(());
            wait_for("the transfer runs", Duration::from_secs(10), runs);
        }
        clients
    }

    /// How long after `reloaded` the vault still received something.
    fn received_after(&self, reloaded: Instant) -> Duration {
        let last =
            last_movement(Duration::from_secs(2), Duration::from_secs(6), || self.vault.received_bytes());
        let last = last.expect("the vault's transfer is to end");
        last.saturating_duration_since(reloaded)
    }
}

/// wireguard-go reorders a little, so that iperf3 counts up to a dozen retransmissions in any half second, vpmesh or
/// not. A tenth of a second without a way would cost more than a hundred.
fn assert_undisturbed(report: &Report) {
    assert!(report.error.is_none(), "{report:?}");
    assert!(report.stalls().is_empty(), "it stalled: {report:?}");
    assert!(report.retransmits_max() <= 40, "a spike of {}: {report:?}", report.retransmits_max());
    assert!(report.bytes() > 15_000_000, "{report:?}");
}

#[test]
fn a_revoked_station_loses_its_transfer_within_a_second_and_nobody_else_does() {
    let world = World::new();
    let [cut, kept] = world.transfer(|station| station.node.v4.into());
    let unknown = world.gateway.drops("unknown_key");
    let [_, others @ ..] = world.nodes();
    world.gateway.reload(&[&sign(&world.alice, &world.gateway, &others, "")]);
    let reloaded = Instant::now();
    let late = world.received_after(reloaded);
    assert!(late < CUT, "the vault received for {late:?} after the reload");
    assert_undisturbed(&kept.report(Duration::from_secs(20)));
    drop(cut);
    for to in world.vault.node.addresses() {
        assert!(!world.thief.reaches(to), "the thief still reaches {to}");
    }
    // Its session is gone, and a new handshake is from an unknown key.
    let peers = world.gateway.peers().to_string();
    assert!(
        !peers.contains("alice/attic/thief") && !peers.contains(&world.thief.node.public.to_string()),
        "{peers}"
    );
    world.gateway.wait_for_drops("unknown_key", unknown + 1);
    let flows = world.gateway.flows().to_string();
    assert!(!flows.contains("10.88.1.10"), "a revoked station has no flows: {flows}");
}

#[test]
fn a_removed_rule_cuts_the_flow_that_it_allowed_and_nothing_else() {
    let world = World::new();
    let allowed = "ingress = [{ allow = \"icmp\" }, { allow = \"tcp/5201\" }]";
    let removed = "ingress = [{ allow = \"icmp\" }]";
    let nodes = world.nodes();
    world.gateway.reload(&[&sign(&world.alice, &world.gateway, &nodes, allowed)]);
    let [cut, kept] = world.transfer(|station| station.node.v6.into());
    world.gateway.reload(&[&sign(&world.alice, &world.gateway, &nodes, removed)]);
    let reloaded = Instant::now();
    let late = world.received_after(reloaded);
    assert!(late < CUT, "the vault received for {late:?} after the reload");
    assert_undisturbed(&kept.report(Duration::from_secs(20)));
    drop(cut);
    for to in world.vault.node.addresses() {
        assert!(world.thief.reaches(to), "ping is still allowed to {to}");
    }
}

#[test]
fn reloads_lose_no_packet_of_a_flow_that_stays_allowed() {
    let world = World::new();
    let to: IpAddr = world.diary.node.v4.into();
    let client = Client::start(&world.lab, &world.honest.namespace, to, PORT, "-u -t 5 -b 2M -l 500");
    let before = world.diary.received_bytes();
    let runs = || (world.diary.received_bytes() > before + 100_000).then_some(());
    wait_for("the datagrams flow", Duration::from_secs(10), runs);
    let [_, others @ ..] = world.nodes();
    for round in 0..10 {
        let all = world.nodes();
        let stations: &[_] = if round % 2 == 0 { &others } else { &all };
        world.gateway.reload(&[&sign(&world.alice, &world.gateway, stations, "")]);
    }
    let report = client.report(Duration::from_secs(20));
    assert!(report.error.is_none(), "{report:?}");
    assert_eq!(report.lost, Some(0), "{report:?}");
}

#[test]
fn a_station_that_returns_to_the_roster_is_back_by_itself() {
    let world = World::new();
    let to = world.vault.node.v4.into();
    let all = world.nodes();
    world.gateway.reload(&[&sign(&world.alice, &world.gateway, &all[1..], "")]);
    holds_for("the thief is out", CUT, || !answers(&world.thief.namespace, to, "-c 1 -W 1"));
    world.gateway.reload(&[&sign(&world.alice, &world.gateway, &all, "")]);
    // WireGuard retries a handshake every five seconds.
    wait_until_reached(&world.thief.namespace, to, Duration::from_secs(30));
}
