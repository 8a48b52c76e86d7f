//! A room with several gateways: its stations go from one to the other, their flows go on, and nobody else has a say.

use std::net::{IpAddr, Ipv6Addr};

use vpmesh::base::{LINK_PORT, link_address};
use vpmesh::mesh::attached::{Claim, Entry};
use vpmesh::mesh::copies::FlowCopy;
use vpmesh::mesh::wire::Message;
use vpmesh::packet::craft::Craft;
use vpmesh::packet::link::{Link, MESSAGE_MAX};
use vpmesh::packet::{Ports, Tuple};
use vpmesh::table::State;

use crate::ip;
use crate::town::{Town, join, public};

pub const ALICE: &str = r#"
owner = "alice"
serial = 1
[[friend]]
owner = "bob"
key = "OWNER(bob)"
[[egress]]
allow = "tcp/80"
to = "bob"
[[egress]]
allow = "any"
to = "internet"
[[ingress]]
allow = "tcp/445"
from = "bob"
[[room]]
name = "attic"
[[room.gateway]]
name = "gw1"
key = "KEY(alice/attic/gw1)"
endpoints = ["203.0.113.1:51888"]
[[room.gateway]]
name = "gw2"
key = "KEY(alice/attic/gw2)"
endpoints = ["203.0.113.2:51888"]
[[room.station]]
name = "laptop"
key = "KEY(alice/attic/laptop)"
[[room.station.application]]
name = "web"
[[room.station]]
name = "nas"
key = "KEY(alice/attic/nas)"
[[room.station]]
name = "printer"
lan = true
"#;

pub const BOB: &str = r#"
owner = "bob"
serial = 1
[[friend]]
owner = "alice"
key = "OWNER(alice)"
[[egress]]
allow = "tcp/445"
to = "alice"
[[ingress]]
allow = "tcp/80"
from = "alice"
[[room]]
name = "cellar"
[[room.gateway]]
name = "gw"
key = "KEY(bob/cellar/gw)"
endpoints = ["203.0.113.3:51888"]
[[room.station]]
name = "phone"
key = "KEY(bob/cellar/phone)"
"#;

pub const GW1: &str = "alice/attic/gw1";
pub const GW2: &str = "alice/attic/gw2";
pub const LAPTOP: &str = "alice/attic/laptop";
const WEB: &str = "alice/attic/laptop/web";
pub const NAS: &str = "alice/attic/nas";
const PRINTER: &str = "alice/attic/printer";
pub const BOBS_GW: &str = "bob/cellar/gw";
pub const PHONE: &str = "bob/cellar/phone";

const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;
const SYN_ACK: u8 = 0x12;

/// The laptop and the nas at the first gateway of the attic.
fn town() -> Town {
    let stations = [(LAPTOP, GW1), (NAS, GW1), (PHONE, BOBS_GW)];
    let mut town = Town::new(&[("alice", ALICE), ("bob", BOB)], &[GW1, GW2, BOBS_GW], &stations);
    let bobs = join(&[("bob", BOB), ("alice", ALICE)]);
    town.reload(BOBS_GW, &bobs).unwrap();
    town.pass(200);
    town
}

/// How many packets a station got for one that another sent.
pub fn carry(town: &mut Town, from: &str, packet: &[u8], to: &str) -> usize {
    town.received(to);
    town.send(from, packet);
    town.received(to).len()
}

/// A connection from one station's port 5000 to another one's.
pub fn connect(town: &mut Town, [from, to]: [&str; 2], [a, b]: [IpAddr; 2], port: u16) {
    assert_eq!(carry(town, from, &ip::tcp(a, 5000, b, port, SYN), to), 1);
    assert_eq!(carry(town, to, &ip::tcp(b, port, a, 5000, SYN_ACK), from), 1);
    assert_eq!(carry(town, from, &ip::tcp(a, 5000, b, port, ACK), to), 1);
}

/// Where `vpmesh peers` of a gateway says that a station is.
pub fn attached(town: &mut Town, gateway: &str, station: &str) -> Option<(String, u64)> {
    let now = town.now;
    let rows = town.gateway(gateway).engine.peers(now);
    let row = rows.into_iter().find(|row| row.peer.to_string() == station)?.attached?;
    Some((row.gateway.to_string(), row.epoch))
}

#[test]
fn a_stations_flows_go_on_at_the_other_gateway_and_back() {
    let mut town = town();
    let [laptop, web, nas, phone] = [LAPTOP, WEB, NAS, PHONE].map(|path| town.v6(path));
    // From outside, to the outside, and from the room; and one of the application inside.
    connect(&mut town, [PHONE, LAPTOP], [phone, laptop], 445);
    connect(&mut town, [LAPTOP, PHONE], [laptop, phone], 80);
    connect(&mut town, [NAS, LAPTOP], [nas, laptop], 22);
    connect(&mut town, [PHONE, LAPTOP], [phone, web], 445);
    town.pass(1_000);
    assert_eq!(town.flows(GW2), 4, "inactive replicas");
    assert_eq!(attached(&mut town, GW2, LAPTOP), Some((GW1.into(), 1)));

    town.kill(GW1);
    town.attach(LAPTOP, GW2);
    // The first to speak is who answers, and by itself it could not.
    assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(laptop, 445, phone, 5000, ACK), PHONE), 1);
    assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(web, 445, phone, 5000, ACK), PHONE), 1);
    assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(laptop, 446, phone, 5000, ACK), PHONE), 0);
    assert_eq!(town.drops(GW2, "denied"), 1);
    assert_eq!(carry(&mut town, PHONE, &ip::tcp(phone, 5000, laptop, 445, ACK), LAPTOP), 1);
    assert_eq!(carry(&mut town, PHONE, &ip::tcp(phone, 80, laptop, 5000, ACK), LAPTOP), 1);
    assert_eq!(town.drops(BOBS_GW, "spoofed"), 0, "the claim comes before the packet");
    town.attach(NAS, GW2);
    assert_eq!(
        carry(&mut town, LAPTOP, &ip::tcp(laptop, 22, nas, 5000, ACK), NAS),
        0,
        "the nas is nowhere yet"
    );
    assert_eq!(carry(&mut town, NAS, &ip::tcp(nas, 5000, laptop, 22, ACK), LAPTOP), 1);
    assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(laptop, 22, nas, 5000, ACK), NAS), 1);
    assert_eq!(attached(&mut town, GW2, LAPTOP), Some((GW2.into(), 2)));

    // The first one is back, and knows nothing but what it is told.
    town.restart(GW1);
    town.pass(8_000);
    assert_eq!(attached(&mut town, GW1, LAPTOP), Some((GW2.into(), 2)));
    assert_eq!(town.flows(GW1), 4);
    town.attach(LAPTOP, GW1);
    assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(laptop, 445, phone, 5000, ACK), PHONE), 1);
    assert_eq!(carry(&mut town, PHONE, &ip::tcp(phone, 80, laptop, 5000, ACK), LAPTOP), 1);
    // The two of the room are at a gateway each.
    assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(laptop, 22, nas, 5000, ACK), NAS), 1);
    assert_eq!(carry(&mut town, NAS, &ip::tcp(nas, 5000, laptop, 22, ACK), LAPTOP), 1);
    for gateway in [GW1, GW2] {
        assert_eq!(attached(&mut town, gateway, LAPTOP), Some((GW1.into(), 3)), "{gateway}");
    }
}

#[test]
fn nothing_of_another_room_goes_on_from_one_gateway_to_the_other_and_who_is_wrong_is_told() {
    let mut town = town();
    let (laptop, phone) = (town.v6(LAPTOP), town.v6(PHONE));
    connect(&mut town, [PHONE, LAPTOP], [phone, laptop], 445);
    town.pass(500);
    // Bob's gateway does not hear that the laptop is at the second one.
    town.part(GW2, BOBS_GW);
    town.attach(LAPTOP, GW2);
    assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(laptop, 445, phone, 5000, ACK), PHONE), 0);
    town.join(GW2, BOBS_GW);
    let before = town.drops(GW1, "elsewhere");
    let data = ip::tcp(phone, 5000, laptop, 445, ACK);
    assert_eq!(carry(&mut town, PHONE, &data, LAPTOP), 0, "no transit");
    assert_eq!(town.drops(GW1, "elsewhere"), before + 1);
    assert_eq!(carry(&mut town, PHONE, &data, LAPTOP), 1, "bob's gateway was told");
    // The same for what begins.
    assert_eq!(carry(&mut town, PHONE, &ip::tcp(phone, 6000, laptop, 445, SYN), LAPTOP), 1);
}

#[test]
fn who_does_not_hear_of_a_move_asks_when_the_station_speaks() {
    let mut town = town();
    let (laptop, phone) = (town.v6(LAPTOP), town.v6(PHONE));
    connect(&mut town, [PHONE, LAPTOP], [phone, laptop], 445);
    town.pass(500);
    town.part(GW2, BOBS_GW);
    town.attach(LAPTOP, GW2);
    town.send(LAPTOP, &[]);
    let answer = ip::tcp(laptop, 445, phone, 5000, ACK);
    assert_eq!(carry(&mut town, LAPTOP, &answer, PHONE), 0);
    town.join(GW2, BOBS_GW);
    town.kill(GW1);
    assert_eq!(carry(&mut town, LAPTOP, &answer, PHONE), 0);
    assert_eq!(town.drops(BOBS_GW, "spoofed"), 1);
    assert_eq!(carry(&mut town, LAPTOP, &answer, PHONE), 1);
}

#[test]
fn a_session_without_a_word_takes_a_station_from_no_living_gateway() {
    let mut town = town();
    town.attach(NAS, GW2);
    town.send(NAS, &[]);
    assert_eq!(attached(&mut town, GW2, NAS), Some((GW1.into(), 1)));
    let (nas, laptop) = (town.v6(NAS), town.v6(LAPTOP));
    assert_eq!(carry(&mut town, NAS, &ip::tcp(nas, 5000, laptop, 22, SYN), LAPTOP), 1);
    assert_eq!(attached(&mut town, GW1, NAS), Some((GW2.into(), 2)));
}

#[test]
fn hosts_of_the_lan_are_behind_the_first_gateway_that_lives() {
    let mut town = town();
    let (printer, phone) = (town.v6(PRINTER), town.v6(PHONE));
    town.send(PHONE, &ip::tcp(phone, 1, printer, 445, SYN));
    assert_eq!(town.gateway(GW1).kernel.len(), 1);
    town.kill(GW1);
    for port in 2..40 {
        town.send(PHONE, &ip::tcp(phone, port, printer, 445, SYN));
        town.pass(500);
    }
    assert!(!town.gateway(GW2).kernel.is_empty());
    // What the second one's kernel answers is taken.
    let answered = town.gateway(GW2).kernel.len() as u16;
    town.received(PHONE);
    town.send_from_kernel(GW2, &ip::tcp(printer, 445, phone, 39, SYN_ACK));
    assert_eq!(town.received(PHONE).len(), 1, "of {answered}");
}

/// What a mesh node says in its tunnel to the first gateway.
fn say(from: &str, message: &Message<'_>) -> Vec<u8> {
    let mut buffer = [0; MESSAGE_MAX];
    let len = message.write(&mut buffer);
    let craft = Craft::between(link_address(&public(from)).into(), link_address(&public(GW1)).into());
    craft.udp(LINK_PORT, LINK_PORT, &buffer[..len])
}

fn v6(address: IpAddr) -> Ipv6Addr {
    let IpAddr::V6(address) = address else { panic!("{address}") };
    address
}

/// Only the first gateway has endpoints: it looks for nobody, so it is the others who begin.
pub fn found_at_first(roster: &str) -> String {
    let found = |line: &&str| !line.starts_with("endpoints") || line.contains("113.1:");
    roster.lines().filter(found).collect::<Vec<_>>().join("\n")
}

/// One gateway, and its sister and bob's gateway, who say what the test wants.
fn puppets() -> Town {
    let stations = [(LAPTOP, GW1), (GW2, GW1), (BOBS_GW, GW1)];
    let [alice, bob] = [ALICE, BOB].map(found_at_first);
    let mut town = Town::new(&[("alice", &alice), ("bob", &bob)], &[GW1], &stations);
    town.pass(200);
    town
}

#[test]
fn a_claim_counts_from_gateways_of_the_room_alone() {
    let mut town = puppets();
    let [laptop, printer, gw2, bobs, phone] =
        [LAPTOP, PRINTER, GW2, BOBS_GW, PHONE].map(|path| v6(town.v6(path)));
    let claim =
        |station, gateway, epoch| Entry { station, claim: Claim { epoch, gateway }, seen: None }.to_bytes();
    let mut tell = |from: &str, entry, expected: (&str, u64)| {
        let before = town.drops(GW1, "foreign_claim");
        town.send(from, &say(from, &Message::Attached(&[entry])));
        let found = attached(&mut town, GW1, LAPTOP);
        assert_eq!(found, Some((expected.0.to_owned(), expected.1)));
        town.drops(GW1, "foreign_claim") - before
    };
    assert_eq!(tell(BOBS_GW, claim(laptop, bobs, 9), (GW1, 1)), 1);
    assert_eq!(tell(BOBS_GW, claim(laptop, gw2, 9), (GW1, 1)), 1);
    assert_eq!(tell(GW2, claim(laptop, bobs, 9), (GW1, 1)), 1);
    assert_eq!(tell(GW2, claim(phone, gw2, 9), (GW1, 1)), 1);
    assert_eq!(tell(GW2, claim(printer, gw2, 9), (GW1, 1)), 1);
    assert_eq!(tell(GW2, claim(laptop, gw2, 9), (GW2, 9)), 0);
    assert_eq!(tell(GW2, claim(laptop, gw2, 3), (GW2, 9)), 0);
    // A station has no say in it by messages.
    town.send(LAPTOP, &say(LAPTOP, &Message::Attached(&[claim(laptop, gw2, 10)])));
    assert_eq!(attached(&mut town, GW1, LAPTOP), Some((GW2.into(), 9)));
    // But by its packets.
    town.pass(1_000);
    let (from, to) = (town.v6(LAPTOP), town.v6(GW1));
    town.send(LAPTOP, &ip::udp(from, 1, to, 2, 10));
    assert_eq!(attached(&mut town, GW1, LAPTOP), Some((GW1.into(), 10)));
    assert_eq!(town.gateway(GW1).kernel.len(), 1);
}

#[test]
fn a_question_brings_what_is_known_and_no_more() {
    let mut town = puppets();
    let [laptop, phone] = [LAPTOP, PHONE].map(|path| v6(town.v6(path)));
    town.received(BOBS_GW);
    let mut ask = |entry: Entry| {
        town.send(BOBS_GW, &say(BOBS_GW, &Message::Attached(&[entry.to_bytes()])));
        let (ours, theirs) = (link_address(&public(GW1)), link_address(&public(BOBS_GW)));
        let mut told = Vec::new();
        for packet in town.received(BOBS_GW) {
            if let Some(Ok(Link::Message(message))) = Link::read(&packet, ours, theirs)
                && let Ok(Message::Attached(entries)) = Message::parse(message)
            {
                told.extend(entries.iter().filter_map(Entry::read).map(|e| (e.station, e.claim.epoch)));
            }
        }
        told
    };
    assert_eq!(ask(Entry::question(laptop, 0)), [(laptop, 1)]);
    assert_eq!(ask(Entry::question(phone, 0)), []);
    assert_eq!(ask(Entry::ALL), [(laptop, 1)]);
    // Who knows of a newer epoch has the laptop claimed anew, not ever again in the same second.
    assert_eq!(ask(Entry::question(laptop, 1 << 60)), [], "it was claimed a moment ago");
    town.pass(1_000);
    town.received(BOBS_GW);
    town.send(BOBS_GW, &say(BOBS_GW, &Message::Attached(&[Entry::question(laptop, 1 << 60).to_bytes()])));
    assert_eq!(attached(&mut town, GW1, LAPTOP), Some((GW1.into(), 65_538)));
}

#[test]
fn nobody_but_a_gateway_of_the_room_says_who_began_a_flow() {
    let mut town = puppets();
    let [laptop, nas, phone] = [LAPTOP, NAS, PHONE].map(|path| town.v6(path));
    let copy = |src, dst, port, state| {
        let tuple = Tuple { src, dst, protocol: 6, ports: Ports::Known { src: 5000, dst: port } };
        FlowCopy { tuple, state }.to_bytes().unwrap()
    };
    let flows = [copy(phone, nas, 445, State::Established)];
    for from in [BOBS_GW, LAPTOP] {
        town.send(from, &say(from, &Message::Flows(&flows)));
        assert_eq!(town.flows(GW1), 0, "{from}");
    }
    assert_eq!(town.drops(GW1, "foreign_claim"), 1);
    // Of the sister's, what policy denies, what is here, and what is over is none.
    let flows = [
        copy(phone, nas, 446, State::Established),
        copy(phone, laptop, 445, State::Established),
        copy(phone, nas, 447, State::Closed),
        copy(phone, nas, 445, State::Established),
    ];
    town.send(GW2, &say(GW2, &Message::Flows(&flows)));
    assert_eq!(town.flows(GW1), 1);
    assert_eq!(town.drops(GW1, "denied"), 1);
    // And it goes when it is over.
    town.send(GW2, &say(GW2, &Message::Flows(&[copy(phone, nas, 445, State::Closed)])));
    for _ in 0..12 {
        town.pass(1_000);
    }
    assert_eq!(town.flows(GW1), 0);
}
