//! What mesh nodes say to each other inside of their tunnels, and what nobody else gets through by it.

use std::time::Duration;

use vpmesh::base::{LINK_PORT, link_address};
use vpmesh::mesh::wire::Message;
use vpmesh::packet::craft::Craft;
use vpmesh::packet::link::Link;

use crate::ip;
use crate::town::roster::Roster;
use crate::town::{Town, link, public};

const GW: &str = "alice/attic/gw";
const OTHER: &str = "alice/cellar/gw";
const LAPTOP: &str = "alice/attic/laptop";
const HILL: &str = "alice/hill";

/// Packets of a mesh node in its tunnel to the gateway, `from` its link-local address or another's.
fn craft(from: &str) -> Craft {
    link(from, GW)
}

/// A gateway, and three peers that say what the test wants.
fn town() -> Town {
    let alice = Roster::of("alice").room("attic").gateway("gw").at(1).station("laptop");
    let alice = alice.room("cellar").gateway("gw").relay("hill").text();
    Town::new(&[("alice", &alice)], &[GW], &[(OTHER, GW), (LAPTOP, GW), (HILL, GW)])
}

#[test]
fn a_mesh_node_is_told_what_rosters_are_here_and_a_station_is_not() {
    let mut town = town();
    town.look_for_rosters();
    town.now.instant += Duration::from_secs(1);
    town.settle();
    for node in [OTHER, HILL] {
        let (ours, theirs) = (link_address(&public(GW)), link_address(&public(node)));
        let packets = town.received(node);
        let digests = packets.iter().filter(|packet| {
            let Some(Ok(Link::Message(message))) = Link::read(packet, ours, theirs) else {
                panic!("{packet:?}")
            };
            matches!(Message::parse(message), Ok(Message::Digest(_)))
        });
        assert_eq!(digests.count(), 1, "{node}");
    }
    assert_eq!(town.received(LAPTOP), Vec::<Vec<u8>>::new());
}

#[test]
fn what_is_no_message_is_counted_and_goes_nowhere() {
    let mut town = town();
    town.send(OTHER, &craft(OTHER).udp(LINK_PORT, LINK_PORT, b"not a message"));
    town.send(OTHER, &craft(OTHER).udp(LINK_PORT, LINK_PORT, &[1, 200, 7]));
    town.send(OTHER, &craft(OTHER).udp(53, 53, b"?"));
    town.send(OTHER, &craft(OTHER).echo(true, 1, 1, b"?"));
    assert_eq!(town.drops(GW, "not_control"), 4);
    let mut damaged = craft(OTHER).udp(LINK_PORT, LINK_PORT, &[1, 1]);
    *damaged.last_mut().unwrap() ^= 1;
    town.send(OTHER, &damaged);
    assert_eq!(town.drops(GW, "malformed"), 1);
    assert!(town.gateway(GW).kernel.is_empty());
}

#[test]
fn a_link_local_address_is_good_for_the_node_that_has_it_alone() {
    let mut town = town();
    let digest = |from: &str| craft(from).udp(LINK_PORT, LINK_PORT, &[1, 1]);
    town.send(OTHER, &digest(OTHER));
    assert_eq!(town.drops(GW, "bad_source"), 0);
    town.send(OTHER, &digest(HILL));
    town.send(LAPTOP, &digest(LAPTOP));
    town.send(LAPTOP, &digest(OTHER));
    let elsewhere = Craft::between(link_address(&public(OTHER)).into(), town.v6(LAPTOP));
    town.send(OTHER, &elsewhere.udp(LINK_PORT, LINK_PORT, &[1, 1]));
    assert_eq!(town.drops(GW, "bad_source"), 4);
}

#[test]
fn a_relay_is_a_peer_and_sends_no_packets_of_its_own() {
    let mut town = town();
    let row = town.peer(GW, HILL);
    assert!(row.kind == "relay" && row.up);
    let packet = ip::udp(town.v6(OTHER), 1, town.v6(LAPTOP), 2, 10);
    town.send(HILL, &packet);
    assert_eq!(town.drops(GW, "spoofed"), 1);
    assert_eq!(town.received(LAPTOP), Vec::<Vec<u8>>::new());
}
