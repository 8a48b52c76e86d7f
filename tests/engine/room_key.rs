//! A room with a key of its own: to its stations all its gateways are one peer, and one that lives calls those of one that
//! died. Nobody's tool does anything.

use std::net::SocketAddr;

use vpmesh::base::{LINK_PORT, link_address};
use vpmesh::mesh::attached::Entry;
use vpmesh::mesh::wire::Message;
use vpmesh::packet::craft::Craft;
use vpmesh::packet::link::{Link, MESSAGE_MAX};

use crate::ip;
use crate::rooms::{
    ACK, ALICE, BOB, BOBS_GW, GW1, GW2, LAPTOP, NAS, PHONE, attached, carry, connect, found_at_first,
};
use crate::town::{Town, join, public};

const ROOM: &str = "alice/attic";

fn keyed(alice: &str) -> String {
    alice.replace("name = \"attic\"", "name = \"attic\"\nkey = \"KEY(alice/attic)\"")
}

/// The laptop and the nas know the room, at the first gateway of the attic.
fn town() -> Town {
    let alice = keyed(ALICE);
    let stations = [(LAPTOP, GW1), (NAS, GW1), (PHONE, BOBS_GW)];
    let mut town = Town::new(&[("alice", &alice), ("bob", BOB)], &[GW1, GW2, BOBS_GW], &stations);
    let bobs = join(&[("bob", BOB), ("alice", &alice)]);
    town.reload(BOBS_GW, &bobs).unwrap();
    town.give_room_key(ROOM, &[GW1, GW2]);
    for station in [LAPTOP, NAS] {
        town.know(station, ROOM, GW1);
        town.send(station, &[]);
    }
    town.pass(2_000);
    town.listens = true;
    town
}

/// Beginnings of handshakes that a station was sent since this was asked last.
fn calls(town: &mut Town, station: &str) -> usize {
    let at = town.at_station(station);
    let heard = std::mem::take(&mut town.heard);
    heard.iter().filter(|(to, bytes)| *to == at && bytes[0] == 1).count()
}

#[test]
fn stations_of_a_gateway_that_died_are_called_by_the_other_one_and_their_flows_go_on() {
    let mut town = town();
    let [laptop, nas, phone] = [LAPTOP, NAS, PHONE].map(|path| town.v6(path));
    connect(&mut town, [PHONE, LAPTOP], [phone, laptop], 445);
    connect(&mut town, [NAS, LAPTOP], [nas, laptop], 22);
    town.pass(1_000);
    let mut epoch = attached(&mut town, GW2, LAPTOP).unwrap().1;
    for (dies, lives) in [(GW1, GW2), (GW2, GW1)] {
        town.kill(dies);
        town.pass(6_000);
        epoch += 1;
        for station in [LAPTOP, NAS] {
            assert_eq!(attached(&mut town, lives, station).unwrap().0, lives, "{station}");
        }
        assert_eq!(attached(&mut town, lives, LAPTOP).unwrap().1, epoch);
        // The laptop, which answers, has said nothing yet.
        assert_eq!(carry(&mut town, PHONE, &ip::tcp(phone, 5000, laptop, 445, ACK), LAPTOP), 1);
        assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(laptop, 445, phone, 5000, ACK), PHONE), 1);
        assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(laptop, 22, nas, 5000, ACK), NAS), 1);
        town.restart(dies);
        town.pass(8_000);
        assert_eq!(attached(&mut town, dies, LAPTOP), Some((lives.into(), epoch)));
    }
}

#[test]
fn nobody_is_called_while_its_gateway_lives() {
    let mut town = town();
    calls(&mut town, LAPTOP);
    town.pass(60_000);
    // What moves is where the others think.
    town.roam(LAPTOP, SocketAddr::from(([198, 51, 100, 77], 7)));
    town.send(LAPTOP, &[]);
    town.pass(60_000);
    assert_eq!(calls(&mut town, LAPTOP), 0);
    assert_eq!(attached(&mut town, GW2, LAPTOP).unwrap().0, GW1);
    town.kill(GW1);
    town.pass(6_000);
    assert_eq!(calls(&mut town, LAPTOP), 1, "at its new place");
    assert_eq!(attached(&mut town, GW2, LAPTOP).unwrap().0, GW2);
}

#[test]
fn a_station_that_does_not_answer_is_called_so_often_and_no_more() {
    let mut town = town();
    // The nas went, and nobody heard where to.
    town.roam(NAS, SocketAddr::from(([198, 51, 100, 77], 7)));
    let gone = SocketAddr::from(([198, 51, 100, 2], 40_000));
    town.kill(GW1);
    town.pass(600_000);
    let called = town.heard.iter().filter(|(to, bytes)| *to == gone && bytes[0] == 1).count();
    assert!((1..=9).contains(&called), "{called}");
    // It comes by itself.
    town.know(NAS, ROOM, GW2);
    town.send(NAS, &[]);
    assert_eq!(attached(&mut town, GW2, NAS).unwrap().0, GW2);
}

#[test]
fn gateways_that_only_miss_each_other_do_not_call_without_end() {
    let mut town = town();
    let [laptop, phone] = [LAPTOP, PHONE].map(|path| town.v6(path));
    connect(&mut town, [PHONE, LAPTOP], [phone, laptop], 445);
    town.pass(1_000);
    calls(&mut town, LAPTOP);
    town.part(GW1, GW2);
    let mut arrived = 0;
    for _ in 0..120 {
        town.pass(1_000);
        arrived += carry(&mut town, PHONE, &ip::tcp(phone, 5000, laptop, 445, ACK), LAPTOP);
        carry(&mut town, LAPTOP, &ip::tcp(laptop, 445, phone, 5000, ACK), PHONE);
    }
    let called = calls(&mut town, LAPTOP);
    assert!(called <= 4, "{called}");
    assert!(arrived >= 115, "{arrived} of 120");
    town.join(GW1, GW2);
    town.pass(70_000);
    let at = attached(&mut town, GW1, LAPTOP);
    assert_eq!(attached(&mut town, GW2, LAPTOP), at);
    assert_eq!(carry(&mut town, PHONE, &ip::tcp(phone, 5000, laptop, 445, ACK), LAPTOP), 1);
}

#[test]
fn where_a_station_is_is_told_to_gateways_of_the_room_alone() {
    let stations = [(LAPTOP, GW1), (GW2, GW1), (BOBS_GW, GW1)];
    let [alice, bob] = [keyed(&found_at_first(ALICE)), found_at_first(BOB)];
    let mut town = Town::new(&[("alice", &alice), ("bob", &bob)], &[GW1], &stations);
    town.give_room_key(ROOM, &[GW1]);
    town.know(LAPTOP, ROOM, GW1);
    town.send(LAPTOP, &[]);
    town.pass(200);
    let laptop = town.at_station(LAPTOP);
    for (asks, expected) in [(GW2, Some(laptop)), (BOBS_GW, None)] {
        town.received(asks);
        let mut buffer = [0; MESSAGE_MAX];
        let len = Message::Attached(&[Entry::ALL.to_bytes()]).write(&mut buffer);
        let (ours, theirs) = (link_address(&public(GW1)), link_address(&public(asks)));
        let asked = Craft::between(theirs.into(), ours.into()).udp(LINK_PORT, LINK_PORT, &buffer[..len]);
        town.send(asks, &asked);
        let mut told = Vec::new();
        for packet in town.received(asks) {
            if let Some(Ok(Link::Message(message))) = Link::read(&packet, ours, theirs)
                && let Ok(Message::Attached(entries)) = Message::parse(message)
            {
                told.extend(entries.iter().filter_map(Entry::read).map(|entry| entry.seen));
            }
        }
        assert_eq!(told, [expected], "{asks}");
    }
}

#[test]
fn without_the_rooms_key_a_gateway_is_itself_to_stations_and_a_reload_changes_that_for_them_alone() {
    let mut town = town();
    let [laptop, phone] = [LAPTOP, PHONE].map(|path| town.v6(path));
    connect(&mut town, [PHONE, LAPTOP], [phone, laptop], 445);
    let peers = |town: &mut Town| {
        let now = town.now;
        let rows = town.gateway(GW1).engine.peers(now);
        rows.iter().filter(|row| row.up).map(|row| row.peer.to_string()).collect::<Vec<_>>()
    };
    assert!([LAPTOP, NAS, GW2, BOBS_GW].iter().all(|peer| peers(&mut town).contains(&(*peer).to_owned())));
    let without = join(&[("alice", ALICE), ("bob", BOB)]);
    let report = town.reload(GW1, &without).unwrap();
    assert_eq!((report.peers_added, report.peers_removed, report.flows_cut), (0, 0, 0));
    let left = peers(&mut town);
    assert!(left.contains(&GW2.to_owned()) && left.contains(&BOBS_GW.to_owned()), "{left:?}");
    assert!(!left.contains(&LAPTOP.to_owned()) && !left.contains(&NAS.to_owned()), "{left:?}");
    town.attach(LAPTOP, GW1);
    assert_eq!(carry(&mut town, LAPTOP, &ip::tcp(laptop, 445, phone, 5000, ACK), PHONE), 1);
}
