//! The lab held against stock parts only: what fails here is not vpmesh's fault.
//!
//! ```text
//!   laptop ──wg──┐                ┌──wg── phone
//!                standin (wireguard-go, kernel forwarding, nft)
//!                └──── internet ──┘
//! ```

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::lab::container::Container;
use crate::lab::echo::{Asker, tcp_answers, udp_answers};
use crate::lab::flood::Attacker;
use crate::lab::forge::Forge;
use crate::lab::injector::Injector;
use crate::lab::iperf;
use crate::lab::nmap::{Scan, open_ports};
use crate::lab::ping::{Pinger, wait_until_reached};
use crate::lab::sniffer::Sniffer;
use crate::lab::standin::StandIn;
use crate::lab::usage::Usage;
use crate::lab::{Internet, Lab, Owner, Station, wait_for};

const SECOND: Duration = Duration::from_secs(1);

struct World {
    laptop: Station,
    phone: Station,
    standin: StandIn,
    alice: Owner,
    internet: Internet,
    lab: Lab,
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let standin = StandIn::start(&lab, &internet);
        let [laptop, phone] =
            [("attic/laptop", "10.88.1.10"), ("attic/phone", "10.88.1.11")].map(|(path, v4)| {
                let node = alice.node(path, v4);
                standin.admit(&[&node]);
                Station::join(&lab, &internet, &node, &standin.uplink(&alice.prefixes()))
            });
        for to in phone.node.addresses() {
            wait_until_reached(&laptop.namespace, to, Duration::from_secs(10));
        }
        Self { laptop, phone, standin, alice, internet, lab }
    }
}

#[test]
fn a_scan_shows_the_ports_that_the_middle_lets_pass_and_nothing_else() {
    let World { laptop, phone, standin, .. } = &World::new();
    let _echo = phone.echo();
    standin.namespace.nft(
        "table inet standin {
            chain forward {
                type filter hook forward priority 0; policy drop;
                ct state established,related accept
                tcp dport { 22, 443 } accept
                udp dport { 53, 5000 } accept
            }
        }",
    );
    for to in phone.node.addresses() {
        assert_eq!(open_ports(&laptop.namespace, to, Scan::Tcp, "1-1024"), BTreeSet::from([22, 443]), "{to}");
        assert_eq!(
            open_ports(&laptop.namespace, to, Scan::Udp, "50-60,5000"),
            BTreeSet::from([53, 5000]),
            "{to}"
        );
        assert!(tcp_answers(&*laptop.namespace, SocketAddr::new(to, 22), SECOND));
        assert!(!tcp_answers(&*laptop.namespace, SocketAddr::new(to, 23), SECOND));
        assert!(udp_answers(&*laptop.namespace, SocketAddr::new(to, 53), SECOND));
        assert!(!udp_answers(&*laptop.namespace, SocketAddr::new(to, 54), SECOND));
        assert!(!laptop.reaches(to));
    }
}

#[test]
fn an_iperf_reports_its_intervals_and_a_ping_its_beats() {
    let World { laptop, phone, standin, lab, .. } = &World::new();
    let _server = iperf::Server::start(lab, &phone.namespace, 5201);
    let pinger = Pinger::start(lab, &laptop.namespace, phone.node.v4.into(), Duration::from_millis(200));
    let before = Usage::of(standin.process_id());
    let client = iperf::Client::start(lab, &laptop.namespace, phone.node.v4.into(), 5201, "-t 3 -b 50M");
    let report = client.report(Duration::from_secs(20));
    assert!(report.error.is_none() && report.stalls().is_empty(), "{report:?}");
    assert!(report.intervals.len() >= 6 && report.bytes() > 10_000_000, "{report:?}");
    assert!(phone.received_bytes() > report.bytes());
    wait_for("ten pings are answered", 10 * SECOND, || (pinger.answered() >= 10).then_some(()));
    let beats = pinger.stop();
    assert!(beats.answered >= 10 && beats.longest_gap <= 1, "{beats:?}");
    let after = Usage::of(standin.process_id());
    assert!(after.cpu > before.cpu && after.resident > 1000, "{after:?}");
}

#[test]
fn a_forged_packet_goes_out_as_it_is_and_is_seen_where_it_arrives() {
    let World { laptop, phone, standin, .. } = &World::new();
    let sniffer = Sniffer::at(phone);
    let injector = Injector::of(laptop);
    let forge = Forge::new(laptop.node.v4.into(), phone.node.v4.into());
    let forge6 = Forge::new(laptop.node.v6.into(), phone.node.v6.into());
    for packet in [forge.udp(7000, 7001, b"x"), forge6.udp(7000, 7001, b"x"), forge.packet(47, &[0; 8])] {
        injector.send(&packet);
    }
    let arrived = |protocol, v6| {
        sniffer.has(|seen| {
            seen.protocol == protocol && seen.source.is_ipv6() == v6 && seen.source_port % 7000 == 0
        })
    };
    wait_for("all three arrive", 5 * SECOND, || {
        (arrived(17, false) && arrived(17, true) && arrived(47, false)).then_some(())
    });
    // The stand-in checks sources too (WireGuard's own allowed IPs), so another's address gets nowhere.
    sniffer.clear();
    injector.send(&Forge::new(standin.place.v4.into(), phone.node.v4.into()).udp(7002, 7003, b"x"));
    injector.send(&forge.udp(7004, 7005, b"x"));
    wait_for("the honest packet arrives", 5 * SECOND, || sniffer.has(|seen| seen.port == 7005).then_some(()));
    assert!(!sniffer.has(|seen| seen.port == 7003));
}

#[test]
fn a_container_has_its_own_addresses_and_its_host_carries_them() {
    let World { laptop, phone, standin, alice, .. } = &World::new();
    let web = alice.node("attic/phone/web", "10.88.1.20");
    let container = Container::start(phone, &web);
    standin.admit(&[&phone.node, &web]);
    for to in web.addresses() {
        wait_until_reached(&laptop.namespace, to, 5 * SECOND);
    }
    let _echo = crate::lab::echo::Echo::on_every_port_of_eth0(&container.namespace);
    let asker = Asker { namespace: &laptop.namespace, from: Some(laptop.node.v6.into()) };
    assert!(tcp_answers(asker, SocketAddr::new(web.v6.into(), 80), SECOND));
}

#[test]
fn a_narrow_cable_answers_with_its_mtu_and_a_moved_host_has_a_new_address() {
    let lab = Lab::new();
    let internet = Internet::new();
    let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
    let standin = StandIn::start(&lab, &internet);
    let node = alice.node("attic/laptop", "10.88.1.10");
    standin.admit(&[&node]);
    let laptop = Station::join_behind(&lab, &internet, 1280, &node, &standin.uplink(&alice.prefixes()));
    for to in standin.place.addresses() {
        assert!(laptop.reaches(to));
        let outcome = laptop.namespace.run(&format!("ping -n -c 3 -i 0.2 -M do -s 1400 {to}"), 5 * SECOND);
        assert!(outcome.stdout.to_lowercase().contains("mtu"), "{outcome:?}");
        assert!(laptop.namespace.run(&format!("ping -n -c 1 -M do -s 1200 {to}"), 5 * SECOND).is_success());
    }
    let node = alice.node("attic/phone", "10.88.1.11");
    standin.admit(&[&node]);
    let mut phone = Station::join(&lab, &internet, &node, &standin.uplink(&alice.prefixes()));
    let before = phone.place.clone();
    phone.roam(&internet);
    assert_ne!(before.v4, phone.place.v4);
    for to in standin.place.addresses() {
        assert!(phone.reaches(to));
    }
}

#[test]
fn a_flood_comes_from_many_addresses() {
    let World { laptop, internet, .. } = &World::new();
    let attacker = Attacker::new(internet);
    let sniffer = Sniffer::on(&laptop.namespace, "eth0");
    let target = SocketAddr::from((laptop.place.v4, 9));
    let flood = attacker.flood(&attacker.sources(100), target, vec![vec![1; 64], vec![2; 64]]);
    let sources = || {
        let seen = sniffer.seen();
        seen.iter().filter(|seen| seen.port == 9).map(|seen| seen.source).collect::<BTreeSet<_>>().len()
    };
    wait_for("a hundred sources are seen", 10 * SECOND, || (sources() == 100).then_some(()));
    assert!(flood.stop() >= 100);
}
