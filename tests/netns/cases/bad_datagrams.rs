//! Bad input from the underlay, as fast as a thread sends it.
//!
//! ```text
//!   laptop ──wg──┐
//!   server ──wg──gw (vpmesh) ──── internet ──── attacker (198.18.0.0/15 and its own address)
//! ```
//!
//! While each flood lasts, the laptop pings the server once a second and never misses more than one beat, the daemon's
//! memory stays where it was, and nothing is logged per packet.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;
use vpmesh::base::{PrivateKey, PublicKey};

use crate::lab::flood::Attacker;
use crate::lab::ping::{Pinger, wait_until_reached};
use crate::lab::random::Random;
use crate::lab::sniffer::Sniffer;
use crate::lab::{Attic, Gateway, Internet, Lab, Station, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
/// How many beats a flood lasts.
const BEATS: usize = 6;
/// What the daemon's memory may grow by, in KiB: less than a router would notice.
const GROWTH_MAX: u64 = 16 * 1024;
/// What a flood of hundreds of thousands may log.
const LINES_MAX: usize = 50;

/// Outer reasons: each datagram that is turned away has one of them.
const REASONS: [&str; 8] = [
    "not_wireguard",
    "unknown_index",
    "unknown_key",
    "bad_mac",
    "handshake_failed",
    "handshake_limited",
    "bad_packet",
    "replayed",
];

struct World {
    laptop: Station,
    server: Station,
    gateway: Gateway,
    attacker: Attacker,
    /// What legitimate stations sent to the gateway while they joined, payloads only.
    captured: Vec<Vec<u8>>,
    _internet: Internet,
    lab: Lab,
}

impl World {
    fn new() -> Self {
        let mut attic = Attic::new(Lab::alone());
        let nodes = attic.nodes(["laptop", "server"]);
        attic.start(&attic.room().station(&nodes[0]).station(&nodes[1]));
        let sniffer = Sniffer::on(&attic.gateway.namespace, "eth0");
        let [laptop, server] = nodes.map(|node| attic.join(&node));
        let Attic { gateway, internet, lab, .. } = attic;
        wait_until_reached(&laptop.namespace, server.node.v4.into(), LIMIT);
        let to_gateway = sniffer.seen().into_iter().filter(|seen| seen.port == crate::lab::gateway::PORT);
        let captured = to_gateway.map(|seen| seen.rest[8..].to_vec()).collect();
        let attacker = Attacker::new(&internet);
        Self { laptop, server, gateway, attacker, captured, _internet: internet, lab }
    }

    /// Floods and holds what must be so. `at_least` of the datagrams have to be counted as turned away.
    fn withstands(&self, what: &str, sources: &[IpAddr], target: SocketAddr, datagrams: Vec<Vec<u8>>) {
        let (memory, lines, drops) = (self.gateway.usage().resident, self.log_lines(), self.drops());
        let overflows = self.overflows();
        let to = self.server.node.v4.into();
        let pinger = Pinger::start(&self.lab, &self.laptop.namespace, to, Duration::from_secs(1));
        let flood = self.attacker.flood(sources, target, datagrams);
        wait_for(&format!("pings are answered under {what}"), LIMIT, || {
            (pinger.answered() >= BEATS).then_some(())
        });
        let sent = flood.stop();
        let beats = pinger.stop();
        assert!(
            beats.longest_gap <= 1,
            "{what}: {} beats were missed in a row: {beats:?}",
            beats.longest_gap
        );
        let dropped = self.drops() - drops;
        eprintln!(
            "{what}: {sent} sent, {dropped} refused, {} overflowed; {beats:?}",
            self.overflows() - overflows
        );
        assert!(sent > 10_000, "{what}: only {sent} datagrams went out");
        assert!(dropped > 100, "{what}: {dropped} of {sent} are counted: {}", self.gateway.status()["drops"]);
        let grown = self.gateway.usage().resident.saturating_sub(memory);
        assert!(grown < GROWTH_MAX, "{what}: memory grew by {grown} KiB");
        let logged = self.log_lines() - lines;
        assert!(logged < LINES_MAX, "{what}: {logged} lines were logged:\n{}", self.gateway.log());
    }

    fn log_lines(&self) -> usize {
        self.gateway.log().lines().count()
    }

    fn drops(&self) -> u64 {
        let status = self.gateway.status();
        let read = REASONS.iter().map(|reason| status["drops"][reason].as_u64().unwrap_or(0)).sum::<u64>();
        read + status["socket_refused"].as_u64().expect("status counts what the kernel refused")
    }

    fn overflows(&self) -> u64 {
        self.gateway.status()["socket_overflows"].as_u64().expect("status counts overflows")
    }

    fn own(&self) -> Vec<IpAddr> {
        self.attacker.sources(1)
    }

    fn many(&self) -> Vec<IpAddr> {
        self.attacker.sources(500)
    }

    fn target(&self) -> SocketAddr {
        self.gateway.endpoint()
    }
}

/// Handshakes that are right in every way, but from keys that no roster lists.
fn handshakes(gateway: PublicKey, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|index| {
            let key = PrivateKey::generate().expect("the system has random bytes");
            let (key, peer) =
                (x25519::StaticSecret::from(*key.as_bytes()), x25519::PublicKey::from(*gateway.as_bytes()));
            let mut tunnel = Tunn::new(key, peer, None, None, index as u32, None);
            let mut buffer = [0; 200];
            match tunnel.format_handshake_initiation(&mut buffer, true) {
                TunnResult::WriteToNetwork(message) => message.to_vec(),
                other => unreachable!("a fresh tunnel gives a handshake, not {other:?}"),
            }
        })
        .collect()
}

#[test]
fn random_datagrams_of_every_size_disturb_nobody() {
    let world = World::new();
    let mut random = Random::new(1);
    let mut datagrams: Vec<_> = (0..500)
        .map(|_| {
            let length = random.below(1472);
            random.bytes(length)
        })
        .collect();
    datagrams.push(Vec::new());
    world.withstands("random datagrams", &world.own(), world.target(), datagrams);
}

#[test]
fn truncated_and_overlong_messages_of_every_type_disturb_nobody() {
    let world = World::new();
    let mut random = Random::new(2);
    let mut datagrams = Vec::new();
    // Type, and the length that such a message has (of data: at least).
    for (kind, right) in [(1_u8, 148), (2, 92), (3, 64), (4, 32), (0, 32), (5, 148), (255, 64)] {
        let overlong = [right + 1, right + 16, 1472].into_iter();
        for length in (4..=right).chain(overlong) {
            let mut datagram = random.bytes(length);
            datagram[..4].copy_from_slice(&[kind, 0, 0, 0]);
            datagrams.push(datagram.clone());
            // A reserved byte that is set.
            datagram[2] = 1;
            datagrams.push(datagram);
        }
    }
    world.withstands("truncated and overlong messages", &world.own(), world.target(), datagrams);
}

#[test]
fn datagrams_larger_than_a_frame_disturb_nobody() {
    let world = World::new();
    let mut random = Random::new(3);
    let datagrams = [9000, 20_000, 65_000]
        .into_iter()
        .flat_map(|length| (0..=4_u8).map(move |kind| (kind, length)).collect::<Vec<_>>());
    let datagrams = datagrams
        .map(|(kind, length)| {
            let mut datagram = random.bytes(length);
            datagram[..4].copy_from_slice(&[kind, 0, 0, 0]);
            datagram
        })
        .collect();
    world.withstands("oversized datagrams", &world.own(), world.target(), datagrams);
}

#[test]
fn replayed_captures_disturb_nobody_and_move_no_endpoint() {
    let world = World::new();
    let kinds: std::collections::BTreeSet<_> =
        world.captured.iter().filter_map(|d| d.first().copied()).collect();
    assert!(kinds.contains(&1) && kinds.contains(&4), "handshakes and data were captured: {kinds:?}");
    world.withstands("replays", &world.many(), world.target(), world.captured.clone());
    let peers = world.gateway.peers().to_string();
    assert!(!peers.contains("198.18.") && !peers.contains(&world.attacker.place.v4.to_string()), "{peers}");
}

#[test]
fn data_for_guessed_sessions_disturbs_nobody() {
    let world = World::new();
    let mut random = Random::new(4);
    // Captured data messages, each with a bit turned in its receiver index, counter or content.
    let data: Vec<_> = world.captured.iter().filter(|datagram| datagram.first() == Some(&4)).collect();
    let datagrams = (0..500)
        .map(|n| {
            let mut datagram = data[n % data.len()].clone();
            let bit = 32 + random.below((datagram.len() - 4) * 8);
            datagram[bit / 8] ^= 1 << (bit % 8);
            datagram
        })
        .collect();
    world.withstands("altered data", &world.own(), world.target(), datagrams);
}

#[test]
fn a_flood_of_handshakes_from_one_source_disturbs_nobody() {
    let world = World::new();
    let handshakes = handshakes(world.gateway.node.public, 300);
    world.withstands("handshakes from one source", &world.own(), world.target(), handshakes);
}

#[test]
fn a_flood_of_handshakes_from_many_sources_disturbs_nobody() {
    let world = World::new();
    let handshakes = handshakes(world.gateway.node.public, 300);
    world.withstands("handshakes from many sources", &world.many(), world.target(), handshakes);
}

#[test]
fn a_flood_over_ipv6_disturbs_nobody() {
    let world = World::new();
    let handshakes = handshakes(world.gateway.node.public, 300);
    let own = [world.attacker.place.v6.into()];
    world.withstands("handshakes over IPv6", &own, world.gateway.endpoint6(), handshakes);
}

#[test]
fn a_new_station_joins_while_handshakes_flood() {
    let world = World::new();
    let handshakes = handshakes(world.gateway.node.public, 300);
    let flood = world.attacker.flood(&world.many(), world.target(), handshakes);
    // A client that starts anew has no session to lean on: its handshake has to get through, with a cookie if need be.
    world.laptop.tunnel.renew(&world.laptop.node.key);
    wait_until_reached(&world.laptop.namespace, world.server.node.v4.into(), LIMIT);
    assert!(flood.stop() > 10_000);
}
