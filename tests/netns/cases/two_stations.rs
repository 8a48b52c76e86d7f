//! Two stock stations and one gateway.
//!
//! ```text
//!   laptop ──wg──┐              ┌──wg── phone
//!   10.88.1.10   gw (vpmesh) ───┘       10.88.1.11
//!                room attic, owner alice
//! ```
//!
//! The phone takes ping, ssh, https and DNS from the laptop. The laptop takes tcp/8080 and no ping. Both hosts answer on
//! every port, so what a scan finds is what policy lets pass.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::lab::echo::{tcp_answers, udp_answers};
use crate::lab::nmap::{Scan, open_ports};
use crate::lab::ping::{answers, wait_until_reached};
use crate::lab::wait::holds_for;
use crate::lab::{Attic, Gateway, Internet, Lab, Station};

const LIMIT: Duration = Duration::from_secs(2);

struct World {
    laptop: Station,
    phone: Station,
    gateway: Gateway,
    _internet: Internet,
    _lab: Lab,
}

impl World {
    fn new() -> Self {
        let mut attic = Attic::new(Lab::new());
        let nodes = attic.nodes(["laptop", "phone"]);
        let room = attic.room().lines("ingress = []");
        let room = room.station(&nodes[0]).lines(
            r#"
            [[room.station.ingress]]
            allow = "tcp/8080"
            from  = "alice/attic/phone"
            "#,
        );
        attic.start(&room.station(&nodes[1]).lines(
            r#"
            [[room.station.ingress]]
            allow = ["icmp", "tcp/22", "tcp/443", "udp/53"]
            from  = "alice/attic/laptop"
            "#,
        ));
        let [laptop, phone] = nodes.map(|node| attic.join(&node));
        for to in phone.node.addresses() {
            wait_until_reached(&laptop.namespace, to, Duration::from_secs(10));
        }
        let Attic { gateway, internet, lab, .. } = attic;
        Self { laptop, phone, gateway, _internet: internet, _lab: lab }
    }
}

#[test]
fn two_stations_reach_each_other_as_policy_allows_in_both_families() {
    let World { laptop, phone, gateway, .. } = &World::new();
    let (_laptop_echo, _phone_echo) = (laptop.echo(), phone.echo());
    let denied = gateway.drops("denied");
    for (to, back) in phone.node.addresses().into_iter().zip(laptop.node.addresses()) {
        assert!(laptop.reaches(to), "ping {to}");
        assert!(tcp_answers(&*laptop.namespace, SocketAddr::new(to, 22), LIMIT), "tcp/22 of {to}");
        assert!(udp_answers(&*laptop.namespace, SocketAddr::new(to, 53), LIMIT), "udp/53 of {to}");
        assert!(!tcp_answers(&*laptop.namespace, SocketAddr::new(to, 23), LIMIT), "tcp/23 of {to}");
        assert!(!udp_answers(&*laptop.namespace, SocketAddr::new(to, 54), LIMIT), "udp/54 of {to}");
        assert!(tcp_answers(&*phone.namespace, SocketAddr::new(back, 8080), LIMIT), "tcp/8080 of {back}");
        assert!(!phone.reaches(back), "ping {back}");
        assert!(!tcp_answers(&*phone.namespace, SocketAddr::new(back, 22), LIMIT), "tcp/22 of {back}");
    }
    for own in gateway.node.addresses() {
        assert!(!laptop.reaches(own), "the gateway's own host is closed");
    }
    assert!(gateway.drops("denied") >= denied + 10, "what was turned away is counted: {}", gateway.status());
}

#[test]
fn what_is_larger_than_the_mtu_passes_in_fragments_as_policy_says() {
    const LONG: usize = 4_000;
    let World { laptop, phone, gateway, .. } = &World::new();
    let _echo = phone.echo();
    for (to, from) in phone.node.addresses().into_iter().zip(laptop.node.addresses()) {
        assert!(answers(&laptop.namespace, to, &format!("-c 1 -W 2 -s {LONG}")), "a long ping to {to}");
        let ask = |port: u16| {
            laptop.namespace.inside(|| {
                let socket = UdpSocket::bind((from, 0)).expect("the laptop has the address");
                socket.set_read_timeout(Some(LIMIT)).expect("a limit is set");
                socket.send_to(&[7; LONG], (to, port)).expect("the laptop sends");
                socket.recv(&mut [0; 2 * LONG]).ok()
            })
        };
        let denied = gateway.drops("denied");
        assert_eq!(ask(53), Some(LONG), "udp/53 of {to}");
        assert_eq!(gateway.drops("denied"), denied);
        assert_eq!(ask(54), None, "udp/54 of {to}");
        assert!(
            gateway.drops("denied") >= denied + 3,
            "each of its fragments: {}",
            gateway.status()["drops"]
        );
    }
}

#[test]
fn a_scan_from_each_side_shows_exactly_the_allowed_ports_and_explain_says_the_same() {
    let World { laptop, phone, gateway, .. } = &World::new();
    let (_laptop_echo, _phone_echo) = (laptop.echo(), phone.echo());
    let sides = [
        (laptop, phone, BTreeSet::from([22, 443]), BTreeSet::from([53])),
        (phone, laptop, BTreeSet::from([8080]), BTreeSet::new()),
    ];
    for (from, to, tcp, udp) in sides {
        for address in to.node.addresses() {
            let denied = gateway.drops("denied");
            assert_eq!(
                open_ports(&from.namespace, address, Scan::Tcp, "1-1100,8000-8100"),
                tcp,
                "tcp of {address}"
            );
            // 1,201 ports were asked, and each one that is closed was turned away at least once.
            let turned_away = gateway.drops("denied") - denied;
            assert!(turned_away >= 1201 - tcp.len() as u64, "only {turned_away} are counted as denied");
            assert_eq!(
                open_ports(&from.namespace, address, Scan::Udp, "50-60,5000"),
                udp,
                "udp of {address}"
            );
        }
        let (from, to) = (from.node.path(), to.node.path());
        for port in [22, 23, 53, 80, 443, 8080] {
            let verdict = gateway.explain(&from, &to, &format!("tcp/{port}"));
            assert_eq!(verdict.is_allowed, tcp.contains(&port), "{from} to {to} tcp/{port}: {verdict:?}");
            let verdict = gateway.explain(&from, &to, &format!("udp/{port}"));
            assert_eq!(verdict.is_allowed, udp.contains(&port), "{from} to {to} udp/{port}: {verdict:?}");
        }
    }
}

#[test]
fn explain_names_the_border_the_file_and_the_line_that_deny() {
    let World { gateway, .. } = &World::new();
    let verdict = gateway.explain("alice/attic/phone", "alice/attic/laptop", "tcp/22");
    assert_eq!(verdict.deniers(), ["ingress of alice/attic/laptop"]);
    let crossed: Vec<_> = verdict.borders.iter().map(|b| (b.direction.as_str(), b.border.as_str())).collect();
    assert_eq!(crossed, [("egress", "alice/attic/phone"), ("ingress", "alice/attic/laptop")]);
    let verdict = gateway.explain("alice/attic/laptop", "alice/attic/phone", "tcp/22");
    let ingress = verdict.borders.last().expect("a flow between stations crosses borders");
    assert!(ingress.file.as_deref() == Some("alice.toml"), "{ingress:?}");
    assert!(ingress.line.is_some_and(|line| line > 3), "{ingress:?}");
}

#[test]
fn station_to_station_never_enters_the_tun_of_the_gateway() {
    let World { laptop, phone, gateway, .. } = &World::new();
    let before = gateway.namespace.received_bytes("vpm0").expect("the gateway has its interface");
    let answered = laptop.namespace.run(&format!("ping -n -q -c 50 -i 0.02 {}", phone.node.v4), 5 * LIMIT);
    assert!(answered.is_success(), "{answered:?}");
    let after = gateway.namespace.received_bytes("vpm0").expect("the gateway has its interface");
    assert!(after - before < 1000, "{} bytes came out of the tunnel into the kernel", after - before);
}

#[test]
fn the_daemon_takes_its_interface_and_addresses_down_when_it_ends() {
    let World { laptop, phone, gateway, .. } = &mut World::new();
    let shown = gateway.namespace.ip("-o address show dev vpm0");
    for own in gateway.node.addresses() {
        assert!(shown.contains(&own.to_string()), "{own} is not on vpm0: {shown}");
    }
    gateway.stop();
    assert!(gateway.namespace.received_bytes("vpm0").is_none(), "vpm0 is still there");
    let to = phone.node.v4;
    holds_for("nothing is relayed", LIMIT, || !laptop.reaches(to));
}
