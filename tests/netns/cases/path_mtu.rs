//! Cables that carry less.
//!
//! ```text
//!   laptop ──1500── home ──1500, 1492, 1280── internet ──1500── gw (vpmesh) ──1500── server
//!
//!   laptop ── gw ──1500── home ──1492, 1280── internet ── hub ── server      (two gateways)
//! ```
//!
//! The narrow cable is in the middle: nobody's own interface shows its MTU.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::lab::forge::{Forge, ICMP, ICMPV6};
use crate::lab::injector::Injector;
use crate::lab::iperf::{Client, Server};
use crate::lab::ping::wait_until_reached;
use crate::lab::sniffer::Sniffer;
use crate::lab::station::Uplink;
use crate::lab::{Attic, Gateway, Internet, Lab, Owner, Room, Station, wait_for};

const LIMIT: Duration = Duration::from_secs(10);
const PORT: u16 = 5201;

/// A roster of one room with two stations, and what runs in it.
struct World {
    laptop: Station,
    server: Station,
    gateway: Gateway,
    _internet: Internet,
    lab: Lab,
}

impl World {
    /// The laptop's cable has this MTU, and it speaks to its gateway in this family.
    fn new(mtu: u32, endpoint: fn(&Gateway) -> SocketAddr) -> Self {
        let mut attic = Attic::new(Lab::new());
        let [laptop, server] = attic.nodes(["laptop", "server"]);
        attic.start(&attic.room().station(&laptop).station(&server));
        let server = attic.join(&server);
        let Attic { gateway, alice, internet, lab } = attic;
        let uplink = Uplink { endpoint: endpoint(&gateway), ..gateway.uplink(&[&alice]) };
        let laptop = Station::join_behind(&lab, &internet, mtu, &laptop, &uplink);
        wait_until_reached(&laptop.namespace, server.node.v4.into(), LIMIT);
        Self { laptop, server, gateway, _internet: internet, lab }
    }
}

/// Bulk both ways in both families; nothing may stand still.
fn assert_never_stalls(lab: &Lab, laptop: &Station, server: &Station) {
    let _server = Server::start(lab, &server.namespace, PORT);
    for to in server.node.addresses() {
        for options in ["-t 3", "-t 3 -R"] {
            let report =
                Client::start(lab, &laptop.namespace, to, PORT, options).report(Duration::from_secs(30));
            assert!(report.error.is_none(), "{options} to {to}: {report:?}");
            assert!(report.stalls().is_empty(), "{options} to {to} stalled: {report:?}");
            assert!(report.bytes() > 3_000_000, "{options} to {to} crept: {report:?}");
        }
    }
}

fn bulk_over_a_cable_of(mtu: u32) {
    for endpoint in [Gateway::endpoint, Gateway::endpoint6] {
        let world = World::new(mtu, endpoint);
        assert_never_stalls(&world.lab, &world.laptop, &world.server);
    }
}

#[test]
fn bulk_never_stalls_over_a_path_of_1500_bytes() {
    bulk_over_a_cable_of(1500);
}

#[test]
fn bulk_never_stalls_over_a_path_of_1492_bytes() {
    bulk_over_a_cable_of(1492);
}

#[test]
fn bulk_never_stalls_over_a_path_of_1280_bytes() {
    bulk_over_a_cable_of(1280);
}

#[test]
fn bulk_never_stalls_between_gateways_over_a_narrow_path() {
    for mtu in [1492, 1280] {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let laptop = alice.node("attic/laptop", "10.88.1.10");
        let server = alice.node("cellar/server", "10.88.3.10");
        let mut gw = Gateway::new_behind(&lab, &internet, mtu, &alice, &alice.node("attic/gw", "10.88.1.1"));
        let mut hub = Gateway::new(&lab, &internet, &alice, &alice.node("cellar/hub", "10.88.3.1"));
        let rooms = [
            Room::new("attic").gateway(&gw).station(&laptop),
            Room::new("cellar").gateway(&hub).station(&server),
        ];
        let roster = alice.sign(&format_args!("{}{}", rooms[0], rooms[1]));
        for gateway in [&mut gw, &mut hub] {
            gateway.start_with(&lab, &[&roster]);
        }
        let laptop = Station::join(&lab, &internet, &laptop, &gw.uplink(&[&alice]));
        let server = Station::join(&lab, &internet, &server, &hub.uplink(&[&alice]));
        wait_until_reached(&laptop.namespace, server.node.v4.into(), 2 * LIMIT);
        assert_never_stalls(&lab, &laptop, &server);
    }
}

/// A datagram of so many bytes with its headers.
fn datagram(source: IpAddr, to: IpAddr, size: u32, port: u16) -> Vec<u8> {
    let headers = if to.is_ipv4() { 28 } else { 48 };
    Forge::new(source, to).udp(20_000, port, &vec![b'x'; size as usize - headers])
}

/// The MTU that an ICMP error for a datagram to this port tells.
fn told_mtu(sniffer: &Sniffer, to: IpAddr, port: u16) -> Option<u32> {
    sniffer.seen().into_iter().find_map(|seen| {
        let rest = &seen.rest;
        let quoted_port = |at: usize| rest.get(at..at + 2) == Some(&port.to_be_bytes());
        match (seen.protocol, rest.first()?, rest.get(1)?) {
            // RFC 792 and RFC 1191: eight bytes, then the IP header of twenty and the first of UDP.
            (ICMP, 3, 4) if to.is_ipv4() && quoted_port(8 + 20 + 2) => {
                Some(u32::from(u16::from_be_bytes([rest[6], rest[7]])))
            }
            // RFC 4443, section 3.2.
            (ICMPV6, 2, 0) if to.is_ipv6() && quoted_port(8 + 40 + 2) => {
                Some(u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]))
            }
            _ => None,
        }
    })
}

#[test]
fn an_oversized_datagram_is_answered_with_the_mtu_that_then_fits() {
    let world = World::new(1500, Gateway::endpoint);
    let World { laptop, server, gateway, .. } = &world;
    // A client whose user raised its MTU: what it sends may be too big for the next tunnel.
    laptop.set_mtu(2000);
    let (at_laptop, at_server) = (Sniffer::at(laptop), Sniffer::at(server));
    let injector = Injector::of(laptop);
    for (source, to) in laptop.node.addresses().into_iter().zip(server.node.addresses()) {
        let too_big = gateway.drops("too_big");
        injector.send(&datagram(source, to, 1900, 9000));
        let mtu = wait_for("the sender is told", LIMIT, || told_mtu(&at_laptop, to, 9000));
        assert!((1280..=1440).contains(&mtu), "an MTU of {mtu} fits no WireGuard tunnel over Ethernet");
        gateway.wait_for_drops("too_big", too_big + 1);
        // Exactly this size fits; one byte more does not.
        wait_for("a datagram of the told size arrives", LIMIT, || {
            injector.send(&datagram(source, to, mtu, 9001));
            at_server.has(|seen| seen.port == 9001 && seen.destination == to).then_some(())
        });
        injector.send(&datagram(source, to, mtu + 1, 9002));
        let again = wait_for("the sender is told again", LIMIT, || told_mtu(&at_laptop, to, 9002));
        assert_eq!(again, mtu);
        assert!(!at_server.has(|seen| matches!(seen.port, 9000 | 9002)), "it arrived all the same");
    }
}

#[test]
fn the_mss_of_a_connection_is_clamped_both_ways() {
    let world = World::new(1500, Gateway::endpoint);
    let World { laptop, server, .. } = &world;
    for station in [laptop, server] {
        station.set_mtu(2000);
    }
    let (at_laptop, at_server) = (Sniffer::at(laptop), Sniffer::at(server));
    let _echo = server.echo();
    for to in server.node.addresses() {
        let answered = crate::lab::echo::tcp_answers(&*laptop.namespace, SocketAddr::new(to, 80), LIMIT);
        assert!(answered, "{to}");
        let headers = if to.is_ipv4() { 40 } else { 60 };
        for (end, sniffer) in [("server", &at_server), ("laptop", &at_laptop)] {
            let of_family = |seen: &&crate::lab::sniffer::Seen| seen.source.is_ipv4() == to.is_ipv4();
            let mss = || sniffer.seen().iter().filter(of_family).find_map(mss_of);
            let mss = wait_for("a SYN with an MSS is seen", LIMIT, mss);
            assert!(mss + headers <= 1440, "the {end} is offered segments of {mss} bytes");
        }
    }
}

/// The MSS option of a SYN (RFC 9293, section 3.7.1).
fn mss_of(seen: &crate::lab::sniffer::Seen) -> Option<u32> {
    let is_syn = seen.protocol == 6 && seen.rest.get(13)? & 0x02 != 0;
    let mut options = seen.rest.get(20..).filter(|_| is_syn)?;
    loop {
        match options {
            [2, 4, high, low, ..] => return Some(u32::from(u16::from_be_bytes([*high, *low]))),
            [1, rest @ ..] => options = rest,
            [_, length, ..] => options = options.get(usize::from(*length).max(2)..)?,
            _ => return None,
        }
    }
}
