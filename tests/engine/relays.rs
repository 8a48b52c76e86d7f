//! Two gateways that can't reach each other, and relays that both reach.

use std::time::Duration;

use vpmesh::packet::craft::Craft;

use crate::ip;
use crate::town::Town;
use crate::town::roster::Roster;

const ATTIC: &str = "alice/attic/gw";
const CELLAR: &str = "alice/cellar/gw";
const DEN: &str = "bob/den/gw";
const HILL: &str = "alice/hill";
const DALE: &str = "alice/dale";
const GLEN: &str = "alice/glen";
const LAPTOP: &str = "alice/attic/laptop";
const NAS: &str = "alice/cellar/nas";
const TV: &str = "bob/den/tv";

/// Bob lets alice's attic ask his den, and is nobody to her cellar.
fn alice() -> Roster {
    let alice = Roster::of("alice").friend("bob");
    let alice = alice.lines("[[egress]]\nallow = \"udp/53\"\nto = \"bob/den\"");
    let alice = alice.room("attic").gateway("gw").station("laptop");
    alice.room("cellar").gateway("gw").station("nas").relay("hill").at(4)
}

fn town_of(alice: Roster, relays: &[&str], cuts: &[[&str; 2]]) -> Town {
    let bob = Roster::of("bob").friend("alice");
    let bob = bob.lines("[[ingress]]\nallow = \"udp/53\"\nfrom = \"alice/attic\"");
    let rosters = [alice.text(), bob.room("den").gateway("gw").station("tv").text()];
    let gateways = [&[ATTIC, CELLAR, DEN], relays].concat();
    let stations = [(LAPTOP, ATTIC), (NAS, CELLAR), (TV, DEN)];
    Town::with_cuts(&[("alice", &rosters[0]), ("bob", &rosters[1])], &gateways, &stations, cuts)
}

/// One relay that everybody reaches.
fn town() -> Town {
    town_of(alice(), &[HILL], &[])
}

/// Two relays that everybody reaches.
fn two_relays() -> Town {
    with_dale(&[])
}

/// Two relays. The attic and the den reach the one, the cellar reaches the other.
fn valley() -> Town {
    with_dale(&[[ATTIC, DALE], [DEN, DALE], [CELLAR, HILL]])
}

fn with_dale(cuts: &[[&str; 2]]) -> Town {
    town_of(alice().relay("dale").at(5), &[HILL, DALE], cuts)
}

/// Sends a datagram from one station to another's port; how many arrived.
fn sent(town: &mut Town, from: &str, to: &str, port: u16) -> usize {
    let packet = ip::udp(town.v6(from), 1_000, town.v6(to), port, 300);
    town.carry(from, &packet, to)
}

#[test]
fn a_packet_goes_through_the_relay_both_ways_and_the_relay_reads_none_of_it() {
    let mut town = town();
    town.listens = true;
    let secret = b"the relay must not read this sentence";
    let (from, to) = (town.v6(LAPTOP), town.v6(NAS));
    town.send(LAPTOP, &Craft::between(from, to).udp(1_000, 7, secret));
    let [packet] = &town.received(NAS)[..] else { panic!("one packet") };
    assert!(packet.ends_with(secret));
    assert_eq!(sent(&mut town, NAS, LAPTOP, 9), 1);
    let at = town.at(HILL);
    let addresses = [town.v6(LAPTOP), town.v6(NAS)].map(|address| match address {
        std::net::IpAddr::V6(v6) => v6.octets(),
        std::net::IpAddr::V4(_) => unreachable!(),
    });
    let heard: Vec<_> = town.heard.iter().filter(|(to, _)| *to == at).collect();
    assert!(heard.iter().filter(|(_, bytes)| bytes[0] == 5).count() >= 2);
    for (_, bytes) in heard {
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!has(secret) && !has(&secret[..8]) && !addresses.iter().any(|address| has(address)));
    }
}

#[test]
fn a_pair_that_the_rosters_could_let_talk_is_introduced_and_no_other() {
    let mut town = town();
    assert_eq!(sent(&mut town, LAPTOP, TV, 53), 1);
    // The cellar and the den have nothing to do with each other.
    let den = town.at(DEN);
    town.listens = true;
    assert_eq!(sent(&mut town, NAS, TV, 53), 0);
    let row = town.peer(CELLAR, DEN);
    assert!(row.endpoint.is_none() && !row.up, "{row:?}");
    assert!(!town.heard.iter().any(|(to, _)| *to == den));
}

#[test]
fn where_no_relay_reaches_both_two_do() {
    let mut town = valley();
    town.listens = true;
    // Who registered first could not know of the others.
    assert!(seconds_until_passing(&mut town) <= 4);
    assert_eq!(sent(&mut town, LAPTOP, TV, 53), 1, "one relay has both");
    let relays = [town.at(HILL), town.at(DALE)];
    for relay in relays {
        let frames = town.heard.iter().filter(|(to, bytes)| *to == relay && bytes[0] == 5);
        assert!(frames.count() >= 2, "{relay}");
    }
    // The cellar and the den could have no flow.
    let den = town.at(DEN);
    town.heard.clear();
    assert_eq!(sent(&mut town, NAS, TV, 53), 0);
    assert!(!town.heard.iter().any(|(to, _)| *to == den));
}

/// Seconds until packets pass both ways again.
fn seconds_until_passing(town: &mut Town) -> u32 {
    for second in 0..60 {
        let there = sent(town, LAPTOP, NAS, 7);
        if sent(town, NAS, LAPTOP, 9) + there == 2 {
            return second;
        }
        town.now.instant += Duration::from_secs(1);
        town.settle();
    }
    panic!("not within a minute");
}

#[test]
fn a_relay_that_begins_anew_is_a_way_again_within_seconds() {
    for (mut town, relay) in [(town(), HILL), (valley(), HILL), (valley(), DALE)] {
        seconds_until_passing(&mut town);
        town.restart(relay);
        let seconds = seconds_until_passing(&mut town);
        assert!(seconds <= 12, "{relay}: {seconds} s");
    }
}

#[test]
fn where_a_relay_does_not_know_yet_that_it_lost_one_of_both_two_do_within_seconds() {
    let apart = [ATTIC, CELLAR];
    let mut town = with_dale(&[apart]);
    seconds_until_passing(&mut town);
    town.cut(&[apart, [ATTIC, DALE], [CELLAR, HILL]]);
    let seconds = seconds_until_passing(&mut town);
    assert!(seconds <= 12, "{seconds} s");
}

#[test]
fn a_chain_goes_on_at_a_third_relay_when_the_second_lost_the_gateway() {
    // The chain is by one of the two.
    for lost in [DALE, GLEN] {
        let alice = alice().relay("dale").at(5).relay("glen").at(6);
        let cuts = [[ATTIC, CELLAR], [ATTIC, DALE], [ATTIC, GLEN], [CELLAR, HILL], [CELLAR, lost]];
        let mut town = town_of(alice, &[HILL, DALE, GLEN], &cuts[..4]);
        seconds_until_passing(&mut town);
        town.cut(&cuts);
        let seconds = seconds_until_passing(&mut town);
        assert!(seconds <= 20, "{lost}: {seconds} s");
    }
}

#[test]
fn the_loss_of_one_of_two_relays_costs_seconds() {
    let mut town = two_relays();
    seconds_until_passing(&mut town);
    let at = town.peer(ATTIC, CELLAR).endpoint.unwrap();
    let relay = if at.to_string().starts_with("[100::1:0") { [HILL, DALE] } else { [DALE, HILL] };
    for lost in relay {
        let others = [ATTIC, CELLAR, DEN, HILL, DALE].into_iter().filter(|other| *other != lost);
        town.cut(&others.map(|other| [other, lost]).collect::<Vec<_>>());
        let seconds = seconds_until_passing(&mut town);
        assert!(seconds <= 12, "{lost}: {seconds} s");
        town.cut(&[]);
        for _ in 0..40 {
            town.now.instant += Duration::from_secs(1);
            town.settle();
        }
    }
}

#[test]
fn frames_that_are_forged_or_sent_again_reach_nobody() {
    let mut town = town();
    town.listens = true;
    assert_eq!(sent(&mut town, LAPTOP, NAS, 7), 1);
    let (attic, hill) = (town.at(ATTIC), town.at(HILL));
    let frame = |town: &Town| {
        let is_frame = |(to, bytes): &&(_, Vec<u8>)| *to == hill && bytes[0] == 5 && bytes.len() > 300;
        town.heard.iter().rev().find(is_frame).unwrap().1.clone()
    };
    let good = frame(&town);
    town.inject(attic, HILL, good.clone());
    assert_eq!(town.drops(HILL, "replayed"), 1);
    for at in [9, 17, 25, 40] {
        let mut forged = good.clone();
        forged[at] ^= 1;
        town.inject(attic, HILL, forged);
    }
    assert_eq!(town.drops(HILL, "bad_frame"), 4);
    let mut guessed = good;
    guessed[4..8].copy_from_slice(&[9; 4]);
    town.inject(attic, HILL, guessed);
    assert_eq!(town.drops(HILL, "unknown_index"), 1);
    assert!(town.received(NAS).is_empty());
    assert_eq!(sent(&mut town, LAPTOP, NAS, 7), 1);
}

#[test]
fn where_the_way_out_of_a_relay_is_narrow_an_owners_flood_takes_its_own_turns_alone() {
    let mut town = town();
    town.cut(&[[ATTIC, CELLAR], [ATTIC, DEN], [CELLAR, DEN]]);
    assert_eq!(sent(&mut town, LAPTOP, TV, 53), 1);
    assert_eq!((sent(&mut town, NAS, LAPTOP, 7), sent(&mut town, LAPTOP, NAS, 7)), (1, 1));
    town.narrow(HILL);
    let answer = |town: &Town| ip::udp(town.v6(TV), 53, town.v6(LAPTOP), 1_000, 1_200);
    let packet = |town: &Town| ip::udp(town.v6(NAS), 1_000, town.v6(LAPTOP), 7, 1_200);
    // Both owners' frames go to one gateway: bob's first, and many more.
    for _ in 0..400 {
        let answer = answer(&town);
        town.send(TV, &answer);
    }
    for _ in 0..10 {
        let packet = packet(&town);
        town.send(NAS, &packet);
    }
    for _ in 0..400 {
        let answer = answer(&town);
        town.send(TV, &answer);
    }
    // The cellar's gateway registers again.
    let now = town.now;
    town.gateway(CELLAR).engine.handle_addresses(vec!["192.0.2.77".parse().unwrap()], now);
    town.listens = true;
    town.settle();
    let cellar = town.at(CELLAR);
    assert!(!town.heard.iter().any(|(to, _)| *to == cellar), "the way out has no room");
    town.widen(HILL, 1_000);
    assert!(town.heard.iter().any(|(to, _)| *to == cellar), "what nodes say goes first");
    let lost = town.widen(HILL, 40_000);
    let (answers, packets) = arrived(&mut town);
    assert_eq!(packets, 10, "alice's wait for as many of bob's, and no more: {answers}");
    assert!((5..25).contains(&answers), "{answers}");
    let lost = lost + town.widen(HILL, 1 << 20);
    let (rest, none) = arrived(&mut town);
    assert!(none == 0 && rest > 100 && lost > 400, "{none} {rest} {lost}");
}

/// How many of bob's packets and of alice's reached the laptop.
fn arrived(town: &mut Town) -> (usize, usize) {
    let nas = town.v6(NAS).to_string().parse::<std::net::Ipv6Addr>().unwrap().octets();
    let packets = town.received(LAPTOP);
    let alices = packets.iter().filter(|packet| packet[8..24] == nas).count();
    (packets.len() - alices, alices)
}

#[test]
fn what_says_that_it_comes_from_a_virtual_address_is_dropped_at_the_door() {
    let mut town = town();
    town.inject("[100::1:0:0:0]:443".parse().unwrap(), ATTIC, vec![4; 100]);
    assert_eq!(town.drops(ATTIC, "virtual_source"), 1);
}

#[test]
fn a_relay_serves_no_room_and_forwards_no_packet() {
    let mut town = town();
    let now = town.now;
    let packet = ip::udp(town.v6(LAPTOP), 1_000, town.v6(NAS), 7, 300);
    town.send_from_kernel(HILL, &packet);
    assert!(town.gateway(HILL).kernel.is_empty() && town.received(NAS).is_empty());
    assert!(
        town.gateway(HILL).engine.addresses().is_empty() && town.gateway(HILL).engine.routes().is_empty()
    );
    assert_eq!(town.gateway(HILL).engine.peers(now).len(), 3);
}
