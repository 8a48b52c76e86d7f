//! A gateway that is registered like others and means harm; the others notice nothing.
//!
//! ```text
//!   gw ── home (masquerade) ──┐                ┌── home (masquerade) ── hub
//!   room attic, alice's       └── internet ────┘                 room cellar, alice's
//!                              │  │    │
//!      hill, a relay of alice's   │  victim: nobody's
//!                               rogue: room den, eve's, who may talk with the attic alone
//! ```
//!
//! gw and hub meet at hill alone. The rogue has eve's key in her roster, a session and a leg at hill, and keeps to no rule.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use vpmesh::mesh::frame::FrameKey;
use vpmesh::mesh::paths::Kind;
use vpmesh::mesh::probing::{Candidates, Probing};
use vpmesh::mesh::relaying::{Refusal, Relaying, Terms};
use vpmesh::mesh::wire::Message;

use crate::lab::flood::{Attacker, Flood};
use crate::lab::ping::{Pinger, reaches, wait_until_reached};
use crate::lab::rogue::{Rogue, framed};
use crate::lab::room::relay;
use crate::lab::sniffer::Sniffer;
use crate::lab::{Gateway, Internet, Lab, Namespace, Owner, Room, wait_for};

const SOON: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(60);
/// Pings between the honest gateways while one attack lasts, ten a second.
const BEATS: usize = 30;
/// What the relay has resident at most, in KiB, whatever it is sent.
const RESIDENT_MAX: u64 = 32 * 1024;
/// What is in a frame: as long as a full packet, and of no session.
const JUNK: [u8; 1_200] = {
    let mut junk = [9; 1_200];
    [junk[0], junk[1], junk[2], junk[3]] = [4, 0, 0, 0];
    junk
};
const UDP: u8 = 17;

struct World {
    gw: Gateway,
    hub: Gateway,
    hill: Gateway,
    rogue: Rogue,
    internet: Internet,
    lab: Lab,
}

impl World {
    fn new() -> Self {
        let lab = Lab::alone();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let eve = Owner::new(&lab, "eve", "10.89.0.0/16");
        let mut hill = Gateway::new(&lab, &internet, &alice, &alice.node("hill", "10.88.0.1"));
        let behind = |node| Gateway::new_behind(&lab, &internet, 1500, &alice, &node);
        let mut gw = behind(alice.node("attic/gw", "10.88.1.1"));
        let mut hub = behind(alice.node("cellar/hub", "10.88.3.1"));
        for gateway in [&gw, &hub] {
            gateway.place.masquerade_by_chance();
            gateway.namespace.set("ipv6/conf/eth0/disable_ipv6", "1");
        }
        let rogue = eve.node("den/gw", "10.89.1.1");
        let room = |name, gateway| Room::new(name).gateway_at(gateway, &[]);
        let border = |inside: &str, friend: &Owner| {
            format!(
                "egress = [{{ allow = \"any\", from = \"{inside}\", to = \"{name}\" }}]\n\
                 ingress = [{{ allow = \"any\", from = \"{name}\", to = \"{inside}\" }}]\n{friend}",
                name = friend.name,
                friend = friend.as_friend(),
            )
        };
        let (attic, cellar) = (room("attic", &gw.node), room("cellar", &hub.node));
        let rosters = [
            alice.sign(&format_args!("{}{attic}{cellar}{}", border("alice/attic", &eve), relay(&hill))),
            eve.sign(&format_args!("{}{}", border("eve", &alice), room("den", &rogue))),
        ];
        for gateway in [&mut hill, &mut gw, &mut hub] {
            gateway.start_with(&lab, &[&rosters[0], &rosters[1]]);
        }
        for (from, to) in [(&gw, &hub), (&hub, &gw)] {
            wait_until_reached(&from.namespace, to.node.v4.into(), SOON);
        }
        let rogue = Rogue::join(&internet, &rogue, &hill);
        Self { gw, hub, hill, rogue, internet, lab }
    }

    /// Pings between the honest gateways while this lasts: no more than three beats in a row are missed. How often hill turned something away for
    /// this reason meanwhile.
    fn hurts_nobody(&self, what: &str, reason: &str, flood: Flood) -> u64 {
        let (before, begun) = (self.hill.drops(reason), self.hill.usage());
        let every = Duration::from_millis(100);
        let pinger = Pinger::start(&self.lab, &self.gw.namespace, self.hub.node.v4.into(), every);
        wait_for(&format!("pings are answered beside {what}"), LIMIT, || {
            (pinger.answered() >= BEATS).then_some(())
        });
        let beats = pinger.stop();
        let sent = flood.stop();
        let (dropped, usage) = (self.hill.drops(reason) - before, self.hill.usage());
        println!(
            "{what}: {sent} sent, {dropped} turned away ({reason}), {:.1} µs of hill's each; {} KiB; {beats:?}",
            (usage.cpu - begun.cpu).as_secs_f64() * 1e6 / sent as f64,
            usage.resident_max
        );
        assert!(sent > 10_000, "{what}: the flood was none, {sent}");
        assert!(beats.longest_gap <= 3, "{what}: {beats:?}");
        assert!(usage.resident_max < RESIDENT_MAX, "{what}: {usage:?}");
        dropped
    }
}

#[test]
fn what_a_registered_gateway_floods_scans_forges_and_sends_again_hurts_nobody_else() {
    let mut world = World::new();
    let sniffer = Sniffer::on(&world.hill.namespace, "eth0");
    let channel = world.rogue.open(world.gw.node.public).expect("the rosters allow it");
    let terms = world.rogue.terms();

    let flood = world.rogue.flood(move |number| framed(terms, number, channel, &JUNK));
    let before = world.gw.drops("unknown_index");
    world.hurts_nobody("good frames", "relay_quota", flood);
    assert!(world.gw.drops("unknown_index") > before, "they are forwarded, and are nothing to gw");

    let forged = Terms { key: FrameKey::from_bytes([8; 16]), ..terms };
    let flood = world.rogue.flood(move |number| framed(forged, number, channel, &JUNK));
    assert!(world.hurts_nobody("forged tags", "bad_frame", flood) > 1_000);

    let flood = world.rogue.flood(move |number| {
        let channel = channel.wrapping_add(1 + number as u32 % 1_000_000);
        framed(terms, number, channel, &JUNK)
    });
    assert!(world.hurts_nobody("a scan of channels", "no_channel", flood) > 1_000);

    // An index is the leg's own but for bits that differ from frame to frame.
    let flood = world.rogue.flood(move |number| {
        let index = terms.index ^ ((number as u32 % 0xffff + 1) << 8);
        framed(Terms { index, ..terms }, number, channel, &JUNK)
    });
    world.hurts_nobody("a scan of indices", "unknown_index", flood);

    let good = framed(terms, 9 << 40, channel, &JUNK);
    let flood = world.rogue.flood(move |_| good.clone());
    assert!(world.hurts_nobody("one frame over and over", "replayed", flood) > 1_000);

    // What gw sent, as somebody on its way could have kept it.
    let from = world.gw.place.v4;
    let seen = sniffer.seen();
    let is_frame = |rest: &[u8]| rest.get(8..12) == Some(&[5, 0, 0, 0]);
    let kept: Vec<_> = seen
        .iter()
        .filter(|packet| packet.source != world.rogue.place.v4 && is_frame(&packet.rest))
        .map(|packet| packet.rest[8..].to_vec())
        .collect();
    assert!(kept.len() > 100, "{} frames of others than the rogue, {from}'s among them", kept.len());
    let before = world.hub.drops("replayed");
    let flood = world.rogue.flood(move |number| kept[number as usize % kept.len()].clone());
    assert!(world.hurts_nobody("frames of others", "replayed", flood) > 1_000);
    assert_eq!(world.hub.drops("replayed"), before, "none of them comes through");
}

#[test]
fn a_gateway_that_asks_for_everybody_learns_nothing_and_takes_nobodys_turn() {
    let mut world = World::new();
    let sniffer = Sniffer::on(&world.hub.namespace, "eth0");
    assert_eq!(world.rogue.open(world.hub.node.public), Err(Refusal::Policy));
    let nobody = Owner::new(&world.lab, "nobody", "10.90.0.0/16").node("den/gw", "10.90.0.1");
    assert_eq!(world.rogue.open(nobody.public), Err(Refusal::NotHere));
    let refused = world.hill.drops("control_limited");
    for _ in 0..2_000 {
        for key in [world.hub.node.public, nobody.public, world.gw.node.public] {
            world.rogue.tell(Relaying::Open { peer: key });
        }
        world.rogue.tell(Relaying::OpenFar { peer: world.hub.node.public });
        let terms = Terms { index: world.rogue.terms().index, key: FrameKey::from_bytes([9; 16]) };
        world.rogue.tell(Relaying::Register(terms));
    }
    world.rogue.listen();
    assert!(world.hill.drops("control_limited") > refused, "registrations are no way to more wishes");
    let every = Duration::from_millis(100);
    let pinger = Pinger::start(&world.lab, &world.gw.namespace, world.hub.node.v4.into(), every);
    wait_for("pings are answered", LIMIT, || (pinger.answered() >= BEATS).then_some(()));
    let beats = pinger.stop();
    assert!(beats.longest_gap <= 3, "{beats:?}");
    // Others have their wishes: one that begins anew is there again.
    world.hub.stop();
    world.hub.start(&world.lab);
    wait_until_reached(&world.hub.namespace, world.gw.node.v4.into(), SOON);
    // hub was told nothing of the rogue, and got nothing but from hill and what it had asked.
    let peers = world.hub.peers();
    let rogue = world.rogue.node.path();
    let row = peers.as_array().expect("a list").iter().find(|row| row["peer"] == rogue.as_str());
    assert!(row.is_none_or(|row| row["endpoint"].is_null()), "{peers}");
    let hill = world.hill.place.addresses();
    let stranger =
        sniffer.seen().into_iter().find(|seen| seen.protocol == UDP && !hill.contains(&seen.source));
    assert!(stranger.is_none(), "{stranger:?}");
    assert!(world.hill.usage().resident_max < RESIDENT_MAX, "{:?}", world.hill.usage());
}

#[test]
fn what_a_gateway_says_of_where_it_is_costs_a_victim_a_few_probes_and_less_than_was_said() {
    let mut world = World::new();
    let victim = Namespace::new("victim");
    let place = world.internet.attach(&victim);
    let sniffer = Sniffer::on(&victim, "eth0");
    let channel = world.rogue.open(world.gw.node.public).expect("the rosters allow it");
    let gw = world.rogue.meet(&world.gw.node, channel);
    let pinger =
        Pinger::start(&world.lab, &world.gw.namespace, world.hub.node.v4.into(), Duration::from_millis(100));
    let (begun, before) = (Instant::now(), world.rogue.said);
    let mut port = 1_000;
    while begun.elapsed() < SOON {
        let mut list = Candidates::default();
        for _ in 0..8 {
            port += 1;
            list.push(SocketAddr::from((place.v4, port)), Kind::Reflexive);
        }
        world.rogue.say(gw, &Message::Probing(Probing::Candidates(list)));
        world.rogue.listen();
    }
    let said = world.rogue.said - before;
    let beats = pinger.stop();
    let probes: Vec<_> = sniffer.seen().into_iter().filter(|seen| seen.protocol == UDP).collect();
    let octets: usize = probes.iter().map(|probe| probe.rest.len() - 8).sum();
    println!("{} probes of {octets} octets, for {said} that were said; {beats:?}", probes.len());
    assert!(!probes.is_empty(), "what it says is looked at");
    // Eight addresses at once, one more every ten seconds, each for a burst of five and a few more.
    assert!(probes.len() <= (8 + 3) * 12, "{}", probes.len());
    assert!((octets as u64) < said, "{octets} for {said}");
    assert!(beats.longest_gap <= 3, "{beats:?}");
    assert!(world.gw.drops("control_limited") > 0);
    assert!(reaches(&world.hub.namespace, world.gw.node.v4.into()));
}

#[test]
fn frames_from_elsewhere_have_nothing_sent_there() {
    let mut world = World::new();
    let attacker = Attacker::new(&world.internet);
    let sniffer = Sniffer::on(&attacker.namespace, "eth0");
    let channel = world.rogue.open(world.gw.node.public).expect("the rosters allow it");
    let frames: Vec<_> = (0..2_000).map(|_| world.rogue.frame(channel, &JUNK)).collect();
    let wrong: Vec<_> = (0..2_000).map(|_| world.rogue.frame(channel + 7, &JUNK)).collect();
    let before = (world.gw.drops("unknown_index"), world.hill.drops("no_channel"));
    let flood = attacker.flood(&attacker.sources(50), world.hill.endpoint(), [frames, wrong].concat());
    wait_for("the frames come through", LIMIT, || {
        let both = world.gw.drops("unknown_index") > before.0 && world.hill.drops("no_channel") > before.1;
        both.then_some(())
    });
    flood.stop();
    assert!(reaches(&world.gw.namespace, world.hub.node.v4.into()));
    // Whoever frames come from: the leg is where the session is, and that is told of closed channels.
    let closed = wait_for("the rogue hears", LIMIT, || {
        let heard = world.rogue.listen().len();
        (heard > 0).then_some(heard)
    });
    assert!(closed > 0);
    let back = sniffer.seen().into_iter().find(|seen| seen.protocol == UDP);
    assert!(back.is_none(), "{back:?}");
}
