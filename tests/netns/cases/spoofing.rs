//! A station that lies about where it sends from.
//!
//! ```text
//!   mallory ──wg──┐               ┌──wg── phone      watches what arrives
//!   victim ───wg──gw (vpmesh) ────┘
//!                 room attic, owner alice
//! ```
//!
//! Mallory's packets come out of its own, good session: only their source is a lie.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::lab::forge::Forge;
use crate::lab::injector::Injector;
use crate::lab::ping::wait_until_reached;
use crate::lab::sniffer::Sniffer;
use crate::lab::{Attic, Gateway, Internet, Lab, Room, Station, wait_for};

const LIMIT: Duration = Duration::from_secs(10);
/// How often each lie is told.
const TIMES: u16 = 10;

struct World {
    mallory: Station,
    victim: Station,
    phone: Station,
    gateway: Gateway,
    _internet: Internet,
    _lab: Lab,
}

impl World {
    /// `phone_ingress` is the phone's policy; all else is open inside the owner.
    fn new(phone_ingress: &str) -> Self {
        let mut attic = Attic::new(Lab::new());
        let nodes = attic.nodes(["mallory", "victim", "phone"]);
        let room = nodes.iter().fold(attic.room(), Room::station);
        attic.start(&room.lines(phone_ingress));
        let [mallory, victim, phone] = nodes.map(|node| attic.join(&node));
        let Attic { gateway, internet, lab, .. } = attic;
        for from in [&victim, &mallory, &phone] {
            wait_until_reached(&from.namespace, gateway.node.v4.into(), LIMIT);
        }
        Self { mallory, victim, phone, gateway, _internet: internet, _lab: lab }
    }
}

#[test]
fn a_lie_about_the_source_is_dropped_and_counted_and_leaves_no_state() {
    let world = World::new("");
    let World { mallory, victim, phone, gateway, .. } = &world;
    let sniffer = Sniffer::at(phone);
    let injector = Injector::of(mallory);
    let mapped = |v4: Ipv4Addr| IpAddr::V6(v4.to_ipv6_mapped());
    let lies: [(&str, IpAddr, &[&str]); 14] = [
        ("another station's", victim.node.v4.into(), &["spoofed"]),
        ("another station's", victim.node.v6.into(), &["spoofed"]),
        ("the gateway's", gateway.node.v4.into(), &["spoofed"]),
        ("the gateway's", gateway.node.v6.into(), &["spoofed"]),
        ("a stranger's", Ipv4Addr::new(203, 0, 113, 9).into(), &["spoofed"]),
        ("a stranger's", Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9).into(), &["spoofed"]),
        ("multicast", Ipv4Addr::new(224, 0, 0, 5).into(), &["bad_source"]),
        ("multicast", Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(), &["bad_source"]),
        ("loopback", Ipv4Addr::LOCALHOST.into(), &["bad_source"]),
        ("loopback", Ipv6Addr::LOCALHOST.into(), &["bad_source"]),
        ("broadcast", Ipv4Addr::BROADCAST.into(), &["bad_source"]),
        ("unspecified", Ipv6Addr::UNSPECIFIED.into(), &["bad_source"]),
        ("v4-mapped victim's", mapped(victim.node.v4), &["spoofed", "bad_source", "malformed"]),
        ("v4-mapped loopback", mapped(Ipv4Addr::LOCALHOST), &["spoofed", "bad_source", "malformed"]),
    ];
    for (number, (what, source, reasons)) in (0_u16..).zip(lies) {
        let count = || reasons.iter().map(|reason| gateway.drops(reason)).sum::<u64>();
        let before = count();
        let to = phone.node.address_like(source);
        for n in 0..TIMES {
            injector.send(&Forge::new(source, to).udp(20_000 + n, 9000 + number, b"a lie"));
        }
        let what =
            format!("{what} {source} is counted under {reasons:?}; drops are {}", gateway.status()["drops"]);
        wait_for(&what, LIMIT, || (count() == before + u64::from(TIMES)).then_some(()));
        let flows = gateway.flows().to_string();
        assert!(!flows.contains(&format!("{}", 9000 + number)), "{what}, but it has a flow: {flows}");
    }
    // The truth, sent after all lies, arrives: so the lies won't come any more.
    let truth = Forge::new(mallory.node.v4.into(), phone.node.v4.into()).udp(20_000, 9999, b"the truth");
    wait_for("the truth arrives", LIMIT, || {
        injector.send(&truth);
        sniffer.has(|seen| seen.port == 9999).then_some(())
    });
    assert!(!sniffer.has(|seen| (9000..9100).contains(&seen.port)), "a lie arrived: {:?}", sniffer.seen());
}

#[test]
fn a_v4_mapped_form_of_the_own_address_passes_no_rule_that_the_true_form_would_not() {
    let world = World::new("ingress = [{ allow = \"any\", from = \"alice/attic/victim\" }]");
    let World { mallory, phone, gateway, .. } = &world;
    let sniffer = Sniffer::at(phone);
    let injector = Injector::of(mallory);
    let dropped = || -> u64 {
        ["spoofed", "bad_source", "malformed", "denied"].iter().map(|reason| gateway.drops(reason)).sum()
    };
    let before = dropped();
    let source = IpAddr::V6(mallory.node.v4.to_ipv6_mapped());
    for to in [IpAddr::V6(phone.node.v6), IpAddr::V6(phone.node.v4.to_ipv6_mapped())] {
        // wireguard-go itself has no way to a mapped destination; only what it sends counts.
        injector.send(&Forge::new(source, to).udp(20_000, 9000, b"mapped"));
    }
    wait_for("it is dropped", LIMIT, || (dropped() > before).then_some(()));
    assert!(!sniffer.has(|seen| seen.port == 9000), "{:?}", sniffer.seen());
}

#[test]
fn nobody_joins_a_flow_that_another_peer_carries() {
    let world = World::new("ingress = [{ allow = \"udp/7000\", from = \"alice/attic/victim\" }]");
    let World { mallory, victim, phone, gateway, .. } = &world;
    let sniffer = Sniffer::at(phone);
    for (source, to) in victim.node.addresses().into_iter().zip(phone.node.addresses()) {
        let packet = Forge::new(source, to).udp(7001, 7000, b"the victim's");
        let honest = Injector::of(victim);
        wait_for("the victim's flow stands", LIMIT, || {
            honest.send(&packet);
            sniffer.has(|seen| seen.source == source && seen.port == 7000).then_some(())
        });
        let spoofed = gateway.drops("spoofed");
        // The very same 5-tuple, out of mallory's session; and an answer that nobody sent.
        let liar = Injector::of(mallory);
        liar.send(&Forge::new(source, to).udp(7001, 7000, b"mallory's"));
        liar.send(&Forge::new(to, source).udp(7000, 7001, b"mallory's"));
        gateway.wait_for_drops("spoofed", spoofed + 2);
        assert!(!sniffer.has(|seen| seen.rest.ends_with(b"mallory's")), "{:?}", sniffer.seen());
    }
}
