//! Plain hosts behind each gateway.
//!
//! ```text
//!   laptop ──wg──┐                                  ┌──wg── phone
//!   10.88.1.10   gw ═══════════════ wg ═════════ hub        10.88.3.10
//!   nas ───lan───┘                                  └──lan── printer
//!   10.88.2.10                                               10.88.4.10
//!   room attic                                   room cellar, both alice's
//! ```
//!
//! The LAN hosts run nothing of the mesh: their default route is their gateway.

use std::net::SocketAddr;
use std::time::Duration;

use crate::lab::echo::{Echo, tcp_answers, udp_answers};
use crate::lab::lan::LanHost;
use crate::lab::ping::wait_until_reached;
use crate::lab::{Gateway, Internet, Lab, Namespace, Node, Owner, Room, Station};

const LIMIT: Duration = Duration::from_millis(1200);

struct World {
    laptop: Station,
    nas: LanHost,
    phone: Station,
    printer: LanHost,
    gw: Gateway,
    hub: Gateway,
    _echoes: Vec<Echo>,
    _internet: Internet,
    _lab: Lab,
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let laptop = alice.node("attic/laptop", "10.88.1.10");
        let nas = alice.node("attic/nas", "10.88.2.10");
        let phone = alice.node("cellar/phone", "10.88.3.10");
        let printer = alice.node("cellar/printer", "10.88.4.10");
        let mut gw = Gateway::new(&lab, &internet, &alice, &alice.node("attic/gw", "10.88.1.1"));
        let mut hub = Gateway::new(&lab, &internet, &alice, &alice.node("cellar/hub", "10.88.3.1"));
        let attic = Room::new("attic").gateway(&gw).lines(r#"ingress = [{ allow = "icmp" }]"#);
        let attic = attic.station(&laptop).lan_host(&nas).lines(
            r#"
            ingress = [{ allow = ["icmp", "tcp/445"], from = ["alice/attic/laptop", "alice/cellar"] }]
            egress  = [{ allow = "tcp/9100", to = "alice/cellar/printer" }, { allow = "udp/53" }]
            "#,
        );
        let cellar = Room::new("cellar").gateway(&hub).station(&phone).lan_host(&printer).lines(
            r#"ingress = [{ allow = ["icmp", "tcp/9100"] }, { deny = "tcp/9100", from = "alice/cellar/phone" }]"#,
        );
        let roster = alice.sign(&format_args!("{attic}{cellar}"));
        let mut hosts = Vec::new();
        for (gateway, node) in [(&mut gw, &nas), (&mut hub, &printer)] {
            gateway.start_with(&lab, &[&roster]);
            hosts.push(LanHost::plug(gateway, node));
        }
        let laptop = Station::join(&lab, &internet, &laptop, &gw.uplink(&[&alice]));
        let phone = Station::join(&lab, &internet, &phone, &hub.uplink(&[&alice]));
        for (from, to) in [(&laptop, gw.node.v4), (&phone, hub.node.v4)] {
            wait_until_reached(&from.namespace, to.into(), Duration::from_secs(10));
        }
        let mut echoes = vec![laptop.echo(), phone.echo()];
        echoes.extend(hosts.iter().map(|host| Echo::on_every_port_of_eth0(&host.namespace)));
        let [nas, printer] = <[LanHost; 2]>::try_from(hosts).expect("two hosts were plugged in");
        wait_until_reached(&laptop.namespace, printer.node.v4.into(), Duration::from_secs(15));
        Self { laptop, nas, phone, printer, gw, hub, _echoes: echoes, _internet: internet, _lab: lab }
    }

    fn node(&self, name: &str) -> (&Namespace, &Node) {
        match name {
            "laptop" => (&self.laptop.namespace, &self.laptop.node),
            "nas" => (&self.nas.namespace, &self.nas.node),
            "phone" => (&self.phone.namespace, &self.phone.node),
            "printer" => (&self.printer.namespace, &self.printer.node),
            other => unreachable!("no {other} in this case"),
        }
    }
}

/// From, to, TCP port, and whether it passes.
const TCP: [(&str, &str, u16, bool); 14] = [
    ("laptop", "nas", 445, true),
    ("laptop", "nas", 22, false),
    ("phone", "nas", 445, true),
    ("phone", "nas", 22, false),
    ("printer", "nas", 445, true),
    ("printer", "nas", 22, false),
    ("nas", "printer", 9100, true),
    ("nas", "printer", 80, false),
    ("laptop", "printer", 9100, true),
    ("phone", "printer", 9100, false),
    ("printer", "phone", 80, true),
    ("printer", "laptop", 80, true),
    ("nas", "laptop", 80, false),
    ("laptop", "phone", 80, true),
];

#[test]
fn plain_hosts_talk_to_stations_and_to_the_other_room_as_policy_says() {
    let world = World::new();
    let mut wrong = Vec::new();
    for (from, to, port, expected) in TCP {
        let ((asker, source), (_, target)) = (world.node(from), world.node(to));
        for address in target.addresses() {
            if tcp_answers(asker, SocketAddr::new(address, port), LIMIT) != expected {
                wrong.push(format!("{from} to {to} tcp/{port} over {address}, expected {expected}"));
            }
        }
        for gateway in [&world.gw, &world.hub] {
            let verdict = gateway.explain(&source.path(), &target.path(), &format!("tcp/{port}"));
            if verdict.is_allowed != expected {
                wrong
                    .push(format!("{} explains {from} to {to} tcp/{port} as {verdict:?}", gateway.node.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}\n{}", world.gw.status(), world.hub.status());
}

#[test]
fn plain_hosts_answer_pings_and_ask_over_udp_as_policy_says() {
    let world = World::new();
    for (to, dns) in world.printer.node.addresses().into_iter().zip(world.laptop.node.addresses()) {
        assert!(world.laptop.reaches(to) && world.phone.reaches(to), "pings of {to}");
        assert!(!world.nas.reaches(to), "the nas sends no pings, not to {to}");
        assert!(udp_answers(&*world.nas.namespace, SocketAddr::new(dns, 53), LIMIT), "udp/53 of {dns}");
        assert!(!udp_answers(&*world.nas.namespace, SocketAddr::new(dns, 54), LIMIT), "udp/54 of {dns}");
    }
    for own in world.gw.node.addresses() {
        assert!(world.laptop.reaches(own), "the gateway's own host answers pings at {own}");
        assert!(!tcp_answers(&*world.laptop.namespace, SocketAddr::new(own, 22), LIMIT));
    }
}

#[test]
fn the_gateways_own_host_is_a_station_of_its_room() {
    let world = World::new();
    for to in world.laptop.node.addresses().into_iter().chain(world.phone.node.addresses()) {
        wait_until_reached(&world.gw.namespace, to, Duration::from_secs(10));
    }
    for (to, address) in world.nas.node.addresses().into_iter().zip(world.printer.node.addresses()) {
        // The nas takes tcp/445 from the cellar, and the cellar's gateway is inside it.
        assert!(tcp_answers(&*world.hub.namespace, SocketAddr::new(to, 445), LIMIT), "{to}");
        assert!(!tcp_answers(&*world.hub.namespace, SocketAddr::new(to, 22), LIMIT), "{to}");
        assert!(tcp_answers(&*world.gw.namespace, SocketAddr::new(address, 9100), LIMIT), "{address}");
    }
}
