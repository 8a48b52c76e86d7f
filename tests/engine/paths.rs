//! Which path two gateways take to each other, when there are several.

use std::net::SocketAddr;

use vpmesh::engine::{PathRow, PathsRow};
use vpmesh::mesh::paths::Kind;
use vpmesh::mesh::probing::{Candidates, Probing};
use vpmesh::mesh::wire::Message;

use crate::ip;
use crate::town::roster::Roster;
use crate::town::{Town, said};

const ATTIC: &str = "alice/attic/gw";
const CELLAR: &str = "alice/cellar/gw";
const DEN: &str = "alice/den/gw";
const HILL: &str = "alice/hill";
const DALE: &str = "alice/dale";
const LAPTOP: &str = "alice/attic/laptop";
const NAS: &str = "alice/cellar/nas";

/// Two rooms that talk, one that talks to nobody, and two relays.
fn alice() -> String {
    let alice = Roster::of("alice").room("attic").gateway("gw").station("laptop");
    let alice = alice.room("cellar").gateway("gw").station("nas");
    let alice = alice.room("den").lines("ingress = []\negress = []").gateway("gw").at(3);
    alice.relay("hill").at(4).relay("dale").at(5).text()
}

/// Two gateways that nobody told where the other one is; `apart`: and can't reach each other.
fn town(apart: bool) -> Town {
    let stations = [(LAPTOP, ATTIC), (NAS, CELLAR)];
    let mut town = Town::new(&[("alice", &alice())], &[ATTIC, CELLAR, DEN, HILL, DALE], &stations);
    if apart {
        town.part(ATTIC, CELLAR);
    }
    town
}

/// Whether a datagram of the laptop's reaches the NAS.
fn reaches(town: &mut Town) -> bool {
    let packet = ip::udp(town.v6(LAPTOP), 1_000, town.v6(NAS), 7, 300);
    town.carry(LAPTOP, &packet, NAS) > 0
}

/// Datagrams every 100 ms for so long; how many of them were lost.
fn lost(town: &mut Town, milliseconds: u64) -> usize {
    let lost = (0..milliseconds / 100).filter(|_| {
        town.pass(100);
        !reaches(town)
    });
    lost.count()
}

fn paths(town: &mut Town, gateway: &str, other: &str) -> Option<PathsRow> {
    town.peer(gateway, other).paths
}

/// Where a gateway sends what is for another.
fn used(town: &mut Town, gateway: &str, other: &str) -> PathRow {
    let row = paths(town, gateway, other).unwrap();
    row.candidates.into_iter().find(|path| path.in_use).unwrap()
}

fn relay(town: &mut Town, gateway: &str, other: &str) -> Option<String> {
    used(town, gateway, other).relay.map(|relay| relay.to_string())
}

#[test]
fn traffic_begins_on_a_relay_and_moves_to_the_direct_path_without_losing_a_packet() {
    let mut town = town(true);
    assert!(reaches(&mut town));
    assert_eq!(lost(&mut town, 2_000), 0);
    assert!(relay(&mut town, ATTIC, CELLAR).is_some() && relay(&mut town, CELLAR, ATTIC).is_some());
    town.join(ATTIC, CELLAR);
    // They introduce themselves again, with longer and longer pauses.
    assert_eq!(lost(&mut town, 20_000), 0);
    for (one, other) in [(ATTIC, CELLAR), (CELLAR, ATTIC)] {
        let at = town.at(other);
        let path = used(&mut town, one, other);
        assert_eq!((path.relay, path.address, path.kind.as_str()), (None, Some(at), "reflexive"));
        assert_eq!(paths(&mut town, one, other).unwrap().why, "better");
    }
}

#[test]
fn two_who_can_reach_each_other_do_within_a_second() {
    let mut town = town(false);
    assert!(reaches(&mut town));
    assert_eq!(lost(&mut town, 1_000), 0);
    assert_eq!((relay(&mut town, ATTIC, CELLAR), relay(&mut town, CELLAR, ATTIC)), (None, None));
}

#[test]
fn a_path_that_goes_silent_is_left_for_a_relay_within_three_seconds() {
    let mut town = town(false);
    assert!(reaches(&mut town));
    lost(&mut town, 5_000);
    assert_eq!(relay(&mut town, ATTIC, CELLAR), None);
    town.part(ATTIC, CELLAR);
    let gone = lost(&mut town, 10_000);
    assert!((5..=30).contains(&gone), "{gone} tenths of a second without a packet");
    assert!(relay(&mut town, ATTIC, CELLAR).is_some());
    assert_eq!(paths(&mut town, ATTIC, CELLAR).unwrap().why, "silent");
}

#[test]
fn the_loss_of_one_relay_costs_three_seconds_and_no_session() {
    let mut town = town(true);
    assert!(reaches(&mut town));
    lost(&mut town, 3_000);
    let first = relay(&mut town, ATTIC, CELLAR).unwrap();
    for gateway in [ATTIC, CELLAR] {
        town.part(gateway, &first);
    }
    let gone = lost(&mut town, 10_000);
    assert!(gone <= 35, "{gone} tenths of a second without a packet");
    let second = relay(&mut town, ATTIC, CELLAR).unwrap();
    assert!([HILL, DALE].contains(&second.as_str()) && second != first);
}

#[test]
fn a_gateway_that_moves_is_followed_within_seconds() {
    let mut town = town(false);
    assert!(reaches(&mut town));
    lost(&mut town, 5_000);
    let to: SocketAddr = "198.51.100.77:4000".parse().unwrap();
    town.move_gateway(CELLAR, to);
    let gone = lost(&mut town, 10_000);
    assert!(gone <= 30, "{gone} tenths of a second without a packet");
    assert_eq!(used(&mut town, ATTIC, CELLAR).address, Some(to));
}

/// Its router speaks from another port than the one that still takes packets in, and then that one is closed.
#[test]
fn a_path_whose_answers_come_from_elsewhere_is_left_when_it_goes_silent() {
    let mut town = town(false);
    assert!(reaches(&mut town));
    lost(&mut town, 5_000);
    let old = used(&mut town, ATTIC, CELLAR).address;
    town.map_gateway_anew(CELLAR, "198.51.100.77:4000".parse().unwrap());
    // Seldom: nothing but what is left unanswered says that something is wrong.
    let lost = |town: &mut Town, seconds: u64| {
        let arrives = (0..seconds).filter(|_| {
            town.pass(1_000);
            reaches(town)
        });
        seconds - arrives.count() as u64
    };
    assert_eq!(lost(&mut town, 60), 0);
    assert_eq!(used(&mut town, ATTIC, CELLAR).address, old, "there is no better one");
    town.forget_old_mapping(CELLAR);
    let gone = lost(&mut town, 20);
    assert!((1..=4).contains(&gone), "{gone} seconds without a packet");
}

#[test]
fn a_pair_without_policy_is_told_nothing_and_its_word_is_not_taken() {
    let mut town = town(false);
    let before = paths(&mut town, ATTIC, DEN);
    town.pass(10_000);
    assert_eq!((before, paths(&mut town, ATTIC, DEN)), (None, None));
    assert!(town.peer(ATTIC, DEN).up, "it has a session all the same");
}

#[test]
fn a_hostile_peer_can_have_nobody_scanned_or_flooded() {
    // The NAS's gateway is played by a station of the town's: it says what the test wants.
    let mut town = Town::new(&[("alice", &alice())], &[ATTIC], &[(CELLAR, ATTIC)]);
    town.listens = true;
    let say = |town: &mut Town, probing: Probing| {
        town.send(CELLAR, &said(CELLAR, ATTIC, &Message::Probing(probing)));
    };
    let never = [
        "127.0.0.1:53",
        "224.0.0.251:5353",
        "255.255.255.255:9",
        "169.254.169.254:80",
        "[fe80::1]:53",
        "[ff02::1]:53",
        "[100::1:0:0:1]:443",
    ];
    let inside = SocketAddr::new(town.v6(LAPTOP), 22);
    let mut list = Candidates::default();
    for at in never.iter().map(|at| at.parse().unwrap()).chain([inside]) {
        list.push(at, Kind::Interface);
    }
    say(&mut town, Probing::Candidates(list));
    town.pass(5_000);
    for round in 0..200_u16 {
        let mut list = Candidates::default();
        for host in 0..8 {
            list.push(([192, 0, 2, round as u8], 1_000 + host).into(), Kind::Interface);
        }
        say(&mut town, Probing::Candidates(list));
        say(&mut town, Probing::Ping { id: 7 });
        town.pass(250);
    }
    let is_told = |to: &SocketAddr| never.contains(&to.to_string().as_str()) || *to == inside;
    assert!(!town.heard.iter().any(|(to, _)| is_told(to)));
    let scanned: Vec<_> = town.heard.iter().filter(|(to, _)| to.port() / 1_000 == 1).collect();
    let hosts: std::collections::BTreeSet<_> = scanned.iter().map(|(to, _)| *to).collect();
    // Eight at once, and one more every ten seconds.
    assert!((1..=8 + 6).contains(&hosts.len()), "{hosts:?}");
    assert!(scanned.len() <= hosts.len() * 10, "{} datagrams", scanned.len());
    assert!(town.drops(ATTIC, "control_limited") > 100);
}
