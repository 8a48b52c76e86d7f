//! What a user would notice.

use std::net::{IpAddr, SocketAddr};

use vpmesh::engine::{Datagram, Event, Outbox, ReloadError, ReloadReport};

use crate::ip;
use crate::town::roster::Roster;
use crate::town::{Town, join};

const GW: &str = "alice/attic/gw";
const LAPTOP: &str = "alice/attic/laptop";
const NAS: &str = "alice/attic/nas";
const PRINTER: &str = "alice/attic/printer";
const BOBS_GW: &str = "bob/cellar/gw";
const PHONE: &str = "bob/cellar/phone";

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Alice's roster, where the nas takes this; `None`: where there is none.
fn alice_whose_nas_takes(services: Option<&str>) -> String {
    let alice = Roster::of("alice").lines(r#"ipv4 = "10.88.0.0/16""#);
    let alice = alice.friend("bob").lines(r#"ipv4 = ["10.89.0.0/16"]"#);
    let alice = alice.lines(
        r#"
        [[egress]]
        allow = "any"
        to = "bob"
        [[egress]]
        allow = "udp/53"
        to = "internet"
        [[ingress]]
        allow = "udp/7000"
        from = "bob"
        "#,
    );
    let alice = alice.room("attic").gateway("gw").at(1).lines(r#"ipv4 = "10.88.0.1""#);
    let alice = alice.lan_host("printer").lines(r#"ipv4 = "10.88.1.30""#);
    let alice = alice.station("laptop").lines(r#"ipv4 = "10.88.1.10""#);
    let Some(services) = services else { return alice.text() };
    let policy = format!("ipv4 = \"10.88.1.20\"\ningress = [{{ allow = {services} }}]");
    alice.station("nas").lines(&policy).text()
}

fn alice() -> String {
    alice_whose_nas_takes(Some(r#"["tcp/445", "udp/7000", "icmp"]"#))
}

fn bob() -> String {
    let bob = Roster::of("bob").lines(r#"ipv4 = "10.89.0.0/16""#);
    let bob = bob.friend("alice").lines(r#"ipv4 = ["10.88.0.0/16"]"#);
    let bob = bob.lines(
        r#"
        [[egress]]
        allow = "udp/7000"
        to = "alice"
        [[ingress]]
        allow = "udp/9000"
        from = "alice/attic/laptop"
        "#,
    );
    let bob = bob.room("cellar").gateway("gw").at(2);
    bob.station("phone").lines(r#"ipv4 = "10.89.1.10""#).text()
}

fn attic() -> Town {
    Town::new(&[("alice", &alice()), ("bob", &bob())], &[GW], &[(LAPTOP, GW), (NAS, GW)])
}

fn both() -> Town {
    let stations = [(LAPTOP, GW), (NAS, GW), (PHONE, BOBS_GW)];
    Town::new(&[("alice", &alice()), ("bob", &bob())], &[GW, BOBS_GW], &stations)
}

/// Alice's gateway is given another roster of hers.
fn reload(town: &mut Town, alice: &str) -> Result<ReloadReport, ReloadError> {
    town.reload(GW, &join(&[("alice", alice), ("bob", &bob())]))
}

#[test]
fn a_station_reaches_another_as_policy_says_in_both_families() {
    let mut town = attic();
    for (from, to) in [(town.v6(LAPTOP), town.v6(NAS)), (town.v4(LAPTOP), town.v4(NAS))] {
        let syn = ip::tcp(from, 5000, to, 445, SYN);
        town.send(LAPTOP, &syn);
        let got = town.received(NAS);
        assert_eq!(got.len(), 1);
        assert!(ip::is_sound(&got[0]));
        assert_eq!(ip::hop_limit(&got[0]), 63, "a gateway is a hop");
        let headers = if from.is_ipv4() { 40 } else { 60 };
        assert_eq!(ip::mss(&got[0]), 1420 - headers);
        town.send(NAS, &ip::tcp(to, 445, from, 5000, 0x12));
        assert_eq!(town.received(LAPTOP).len(), 1, "the answer follows its flow");
        town.send(LAPTOP, &ip::tcp(from, 5000, to, 22, SYN));
        assert!(town.received(NAS).is_empty());
    }
    assert_eq!(town.drops(GW, "denied"), 2);
}

#[test]
fn a_packet_from_an_address_of_somebody_else_is_dropped_before_any_state() {
    let mut town = attic();
    let nas = town.v6(NAS);
    town.send(NAS, &ip::udp(nas, 1, town.v6(LAPTOP), 1, 10));
    let flows = town.flows(GW);
    let others: [IpAddr; 4] = [town.v6(PRINTER), town.v6(GW), town.v6(PHONE), "2001:db8::1".parse().unwrap()];
    for other in others {
        town.send(LAPTOP, &ip::udp(other, 7000, nas, 7000, 10));
    }
    assert_eq!(town.drops(GW, "spoofed"), 4);
    for bad in ["ff02::1", "::1", "::ffff:10.88.1.10", "::"] {
        town.send(LAPTOP, &ip::udp(bad.parse().unwrap(), 7000, nas, 7000, 10));
    }
    assert_eq!(town.drops(GW, "bad_source") + town.drops(GW, "spoofed"), 8);
    assert_eq!(town.received(NAS).len(), 0);
    assert_eq!(town.flows(GW), flows);
}

#[test]
fn both_gateways_and_both_owners_have_to_let_pass() {
    let mut town = both();
    let (laptop, phone) = (town.v6(LAPTOP), town.v6(PHONE));
    town.send(LAPTOP, &ip::udp(laptop, 9000, phone, 9000, 10));
    assert_eq!(town.received(PHONE).len(), 1);
    town.send(PHONE, &ip::udp(phone, 9000, laptop, 9000, 10));
    assert_eq!(town.received(LAPTOP).len(), 1, "the answer follows");
    town.send(PHONE, &ip::udp(phone, 7000, laptop, 7000, 10));
    assert_eq!(town.received(LAPTOP).len(), 1);
    let before = town.drops(BOBS_GW, "denied");
    town.send(PHONE, &ip::udp(phone, 7001, laptop, 7001, 10));
    assert_eq!(town.drops(BOBS_GW, "denied"), before + 1, "bob's egress says no at bob's own gateway");
    // Bob's gateway is told that alice's laptop may send anything; alice's says no.
    let nas = town.v6(NAS);
    town.send(NAS, &ip::udp(nas, 9000, phone, 9000, 10));
    assert_eq!(town.received(PHONE).len(), 0);
    assert!(town.drops(GW, "denied") > 0);
}

#[test]
fn a_gateway_is_no_way_out_for_another_room() {
    // Bob's gateway knows a roster in which it may send to the internet, and routes it through alice.
    let mut town = both();
    let phone = town.v6(PHONE);
    town.send(LAPTOP, &ip::udp(town.v6(LAPTOP), 9000, phone, 9000, 10));
    town.send_from_kernel(GW, &ip::udp("2001:db8::5".parse().unwrap(), 7, phone, 9000, 10));
    assert_eq!(town.drops(GW, "not_served"), 1, "the internet does not reach bob through alice");
    assert_eq!(town.received(PHONE).len(), 1);
}

#[test]
fn the_internet_and_lan_hosts_are_behind_the_kernel() {
    let mut town = attic();
    let (laptop, printer) = (town.v4(LAPTOP), town.v4(PRINTER));
    let internet: IpAddr = "192.0.2.7".parse().unwrap();
    town.send(LAPTOP, &ip::udp(laptop, 5353, internet, 53, 10));
    town.send(LAPTOP, &ip::udp(laptop, 5353, internet, 54, 10));
    town.send(LAPTOP, &ip::udp(laptop, 5000, printer, 631, 10));
    let kernel = std::mem::take(&mut town.gateway(GW).kernel);
    assert_eq!(kernel.len(), 2, "DNS to the internet, anything to the printer");
    town.send_from_kernel(GW, &ip::udp(internet, 53, laptop, 5353, 10));
    assert_eq!(town.received(LAPTOP).len(), 1);
    town.send_from_kernel(GW, &ip::udp(internet, 53, laptop, 5354, 10));
    assert_eq!(town.received(LAPTOP).len(), 0, "unasked");
    town.send_from_kernel(GW, &ip::udp(printer, 631, laptop, 6000, 10));
    assert_eq!(town.received(LAPTOP).len(), 1);
    town.send_from_kernel(GW, &ip::udp(town.v4(NAS), 631, laptop, 6000, 10));
    assert_eq!(town.drops(GW, "spoofed"), 1, "the nas is not on the LAN");
}

#[test]
fn a_packet_too_big_is_answered_and_one_at_the_end_of_its_hops_too() {
    let mut town = attic();
    for (from, to) in [(town.v6(LAPTOP), town.v6(NAS)), (town.v4(LAPTOP), town.v4(NAS))] {
        town.send(LAPTOP, &ip::udp(from, 7000, to, 7000, 1440));
        let got = town.received(LAPTOP);
        assert_eq!(got.first().and_then(|packet| ip::told_mtu(packet)), Some(1420));
        assert!(ip::is_sound(&got[0]));
        assert!(town.received(NAS).is_empty());
        let mut last = ip::udp(from, 7000, to, 7000, 10);
        if from.is_ipv4() {
            last[8] = 1;
            last[10..12].copy_from_slice(&[0, 0]);
            let sum: u32 = last[..20].chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
            let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
            last[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            last[7] = 1;
        }
        town.send(LAPTOP, &last);
        let got = town.received(LAPTOP);
        assert_eq!(got.len(), 1);
        let (protocol, kind) = if from.is_ipv4() { (got[0][9], got[0][20]) } else { (got[0][6], got[0][40]) };
        assert_eq!((protocol, kind), if from.is_ipv4() { (1, 11) } else { (58, 3) });
    }
    assert_eq!(town.drops(GW, "too_big"), 2);
    assert_eq!(town.drops(GW, "hop_limit"), 2);
}

#[test]
fn a_path_that_carries_less_lowers_the_mss() {
    let mut town = attic();
    let (laptop, nas) = (town.v6(LAPTOP), town.v6(NAS));
    town.send(NAS, &ip::udp(nas, 1, laptop, 1, 10));
    town.received(LAPTOP);
    let engine = &mut town.gateway(GW).engine;
    let mut asked = Vec::new();
    while let Some(event) = engine.poll_event() {
        if let vpmesh::engine::Event::PathMtu { peer, .. } = event {
            asked.push(peer);
        }
    }
    assert!(!asked.is_empty(), "the path to the nas is to be measured");
    for peer in asked {
        engine.handle_path_mtu(peer, 1400);
    }
    town.send(LAPTOP, &ip::tcp(laptop, 5000, nas, 445, SYN));
    let got = town.received(NAS);
    assert_eq!(ip::mss(&got[0]), 1400 - 60 - 60);
    assert!(ip::is_sound(&got[0]));
}

#[test]
fn a_revoked_station_loses_its_live_flows_and_nobody_else() {
    let mut town = both();
    let (laptop, nas, phone) = (town.v6(LAPTOP), town.v6(NAS), town.v6(PHONE));
    town.send(NAS, &ip::udp(nas, 1, laptop, 1, 10));
    town.send(LAPTOP, &ip::udp(laptop, 7000, nas, 7000, 10));
    town.send(LAPTOP, &ip::udp(laptop, 9000, phone, 9000, 10));
    assert_eq!(
        (town.received(NAS).len(), town.received(PHONE).len(), town.received(LAPTOP).len()),
        (1, 1, 1)
    );
    let report = reload(&mut town, &alice_whose_nas_takes(None)).unwrap();
    assert_eq!((report.peers_removed, report.flows_cut, report.flows_kept), (1, 2, 1));
    town.send(NAS, &ip::udp(nas, 1, laptop, 1, 10));
    assert_eq!(town.drops(GW, "unknown_index"), 1);
    assert!(town.received(LAPTOP).is_empty());
    town.send(LAPTOP, &ip::udp(laptop, 9000, phone, 9000, 10));
    assert_eq!(town.received(PHONE).len(), 1, "what stays allowed loses no packet");
}

#[test]
fn a_rule_removed_ends_its_flows_at_once() {
    let mut town = attic();
    let (laptop, nas) = (town.v6(LAPTOP), town.v6(NAS));
    town.send(NAS, &ip::udp(nas, 1, laptop, 1, 10));
    town.send(LAPTOP, &ip::udp(laptop, 7000, nas, 7000, 10));
    assert_eq!(town.received(NAS).len(), 1);
    let report = reload(&mut town, &alice_whose_nas_takes(Some(r#""tcp/445""#))).unwrap();
    assert_eq!((report.flows_cut, report.flows_kept, report.peers_removed), (1, 1, 0));
    town.send(LAPTOP, &ip::udp(laptop, 7000, nas, 7000, 10));
    assert!(town.received(NAS).is_empty());
}

/// The acknowledgement that is under way when a rule goes may itself be allowed, as a packet that begins something.
#[test]
fn what_was_under_way_when_a_rule_was_removed_does_not_bring_its_flow_back() {
    let mut town = attic();
    let (laptop, nas) = (town.v6(LAPTOP), town.v6(NAS));
    let data = ip::tcp(laptop, 7000, nas, 445, ACK);
    let acknowledgement = ip::tcp(nas, 445, laptop, 7000, ACK);
    town.send(LAPTOP, &ip::tcp(laptop, 7000, nas, 445, SYN));
    town.send(NAS, &acknowledgement);
    town.send(LAPTOP, &data);
    assert_eq!((town.received(NAS).len(), town.received(LAPTOP).len()), (2, 1));
    let report = reload(&mut town, &alice_whose_nas_takes(Some(r#"["udp/7000", "icmp"]"#))).unwrap();
    assert_eq!((report.flows_cut, report.flows_kept), (1, 0));
    for _ in 0..2 {
        town.send(NAS, &acknowledgement);
        town.send(LAPTOP, &data);
    }
    assert_eq!((town.received(NAS).len(), town.received(LAPTOP).len()), (0, 0));
    assert_eq!(town.drops(GW, "no_flow"), 4);
    town.send(NAS, &ip::tcp(nas, 445, laptop, 7000, SYN));
    assert_eq!(town.received(LAPTOP).len(), 1, "it may begin one of its own");
}

#[test]
fn rosters_that_do_not_list_this_gateway_change_nothing() {
    let mut town = attic();
    let other = alice().replace("KEY(alice/attic/gw)", "KEY(alice/attic/other)");
    assert!(reload(&mut town, &other).is_err());
    let renamed = alice().replace("name = \"gw\"", "name = \"gate\"");
    assert!(reload(&mut town, &renamed).is_err());
    let (laptop, nas) = (town.v6(LAPTOP), town.v6(NAS));
    town.send(LAPTOP, &ip::udp(laptop, 7000, nas, 7000, 10));
    assert_eq!(town.received(NAS).len(), 1);
}

#[test]
fn a_station_that_moves_is_answered_where_it_is() {
    let mut town = attic();
    let (laptop, nas) = (town.v6(LAPTOP), town.v6(NAS));
    town.send(LAPTOP, &ip::udp(laptop, 7000, nas, 7000, 10));
    town.received(NAS);
    town.roam(LAPTOP, SocketAddr::from(([198, 51, 100, 77], 7)));
    town.send(LAPTOP, &ip::udp(laptop, 7000, nas, 7000, 10));
    town.send(NAS, &ip::udp(nas, 7000, laptop, 7000, 10));
    assert_eq!((town.received(NAS).len(), town.received(LAPTOP).len()), (1, 1));
}

#[test]
fn a_train_that_comes_in_goes_out_as_one() {
    let mut town = attic();
    let packet = ip::udp(town.v6(LAPTOP), 7000, town.v6(NAS), 7000, 1000);
    town.send(LAPTOP, &packet);
    let sealed: Vec<_> = (0..20).map(|_| town.sealed(LAPTOP, &packet)).collect();
    let stride = sealed[0].1.len();
    let mut train: Vec<u8> = sealed.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let datagram = Datagram { source: sealed[0].0, local: None, ecn: 0, bytes: &mut train, stride };
    let mut out = Outbox::with_capacity(1 << 18, 1 << 16);
    let now = town.now;
    town.gateway(GW).engine.handle_udp(&mut [datagram], now, &mut out);
    let trains: Vec<_> = out.transmits().map(|transmit| (transmit.bytes.len(), transmit.segment)).collect();
    assert_eq!(trains, [(20 * stride, stride)]);
}

#[test]
fn a_name_that_nobody_could_resolve_is_asked_for_again() {
    let named = alice().replace("203.0.113.1:51888", "gw.alice.example:51888");
    let (bob, alice) = (bob(), named.as_str());
    let bobs = [("bob", bob.as_str()), ("alice", alice)];
    let mut town = Town::new(&bobs, &[BOBS_GW], &[]);
    let now = town.now;
    let engine = &mut town.gateway(BOBS_GW).engine;
    let mut out = Outbox::with_capacity(4_096, 4_096);
    assert!(engine.poll_event().is_none());
    let reasons: Vec<_> = std::iter::from_fn(|| {
        let (at, why) = engine.poll_timeout()?;
        engine.handle_timeout(vpmesh::engine::Now { instant: at, ..now }, &mut out);
        Some((why, engine.poll_event()))
    })
    .take(2)
    .collect();
    assert!(matches!(reasons[0], ("beacon", Some(Event::Beacon(_)))), "{reasons:?}");
    assert!(matches!(reasons[1], ("host names", Some(Event::Resolve { .. }))), "{reasons:?}");
}

#[test]
fn congestion_on_the_way_is_told_inside_and_to_the_next_way() {
    let mut town = attic();
    let (laptop, nas) = (town.v6(LAPTOP), town.v6(NAS));
    // (mark inside, mark outside) of what comes; (outside, inside) of what goes, or nothing.
    let cases = [
        ((0, 0), Some((0, 0))),
        ((2, 2), Some((2, 2))),
        ((2, 3), Some((3, 3))),
        ((1, 3), Some((3, 3))),
        ((0, 3), None),
    ];
    for ((inside, outside), expected) in cases {
        let mut packet = ip::udp(laptop, 7000, nas, 7000, 100);
        packet[1] |= inside << 4;
        let (source, mut bytes) = town.sealed(LAPTOP, &packet);
        let stride = bytes.len();
        let datagram = Datagram { source, local: None, ecn: outside, bytes: &mut bytes, stride };
        let mut out = Outbox::with_capacity(1 << 16, 1 << 16);
        let now = town.now;
        town.gateway(GW).engine.handle_udp(&mut [datagram], now, &mut out);
        let sent: Vec<_> = out.transmits().map(|transmit| (transmit.ecn, transmit.bytes.to_vec())).collect();
        town.deliver(NAS, sent.iter().map(|(_, bytes)| bytes.clone()).collect());
        let got = town.received(NAS);
        let told = sent.first().zip(got.first()).map(|((outer, _), packet)| (*outer, packet[1] >> 4 & 3));
        assert_eq!(told, expected, "inside {inside}, outside {outside}");
    }
    assert_eq!(town.drops(GW, "congested"), 1);
}
