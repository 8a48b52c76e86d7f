//! The internet through a gateway.
//!
//! ```text
//!   laptop ──wg── gw (vpmesh, NAT by nft) ──── internet ──── site
//!   kiosk ───wg──┘ room attic, owner alice                   answers on every port
//! ```
//!
//! Alice allows https and ping to the internet for all that is hers, but the kiosk has an empty egress policy. Nothing
//! may come in unasked. NAT is not vpmesh's: the case sets it up as a router's firewall would.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::lab::echo::{Echo, tcp_answers};
use crate::lab::internet::Place;
use crate::lab::ping::wait_until_reached;
use crate::lab::sniffer::Sniffer;
use crate::lab::{Attic, Gateway, Internet, Lab, Namespace, Station};

const LIMIT: Duration = Duration::from_millis(1200);

struct World {
    laptop: Station,
    kiosk: Station,
    gateway: Gateway,
    site: Arc<Namespace>,
    place: Place,
    _echo: Echo,
    _internet: Internet,
    _lab: Lab,
}

impl World {
    fn new() -> Self {
        let mut attic = Attic::new(Lab::new());
        let nodes = attic.nodes(["laptop", "kiosk"]);
        let room = attic.room().station(&nodes[0]).station(&nodes[1]);
        let room = room.lines(r#"egress = [{ allow = "any", to = "alice" }]"#);
        attic.gateway.masquerade(&attic.alice);
        attic.start(&format_args!(
            "egress = [{{ allow = [\"icmp\", \"tcp/443\"], to = \"internet\" }}]\n{room}"
        ));
        let site = Namespace::new("site");
        let place = attic.internet.attach(&site);
        let echo = Echo::on_every_port_of_eth0(&site);
        let [laptop, kiosk] = nodes.map(|node| {
            let mut station = attic.join(&node);
            wait_until_reached(&station.namespace, attic.gateway.node.v4.into(), Duration::from_secs(10));
            for address in place.addresses() {
                station.route(&host_prefix(address));
            }
            station
        });
        let Attic { gateway, internet, lab, .. } = attic;
        Self { laptop, kiosk, gateway, site, place, _echo: echo, _internet: internet, _lab: lab }
    }
}

fn host_prefix(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

#[test]
fn a_station_reaches_the_internet_through_its_gateway_as_policy_says() {
    let World { laptop, kiosk, gateway, site, place, .. } = &World::new();
    let arrivals = Sniffer::on(site, "eth0");
    for address in place.addresses() {
        let ask =
            |station: &Station, port| tcp_answers(&*station.namespace, SocketAddr::new(address, port), LIMIT);
        assert!(ask(laptop, 443), "https of {address}");
        assert!(laptop.reaches(address), "ping {address}");
        assert!(!ask(laptop, 80), "http of {address}");
        assert!(!ask(kiosk, 443), "the kiosk has no way to {address}");
        let own = if address.is_ipv4() { IpAddr::from(gateway.place.v4) } else { gateway.place.v6.into() };
        let from_the_gateway = |port| arrivals.has(|seen| seen.source == own && seen.port == port);
        assert!(from_the_gateway(443) && !from_the_gateway(80), "the site sees the gateway's address alone");
    }
    assert!(gateway.explain("alice/attic/laptop", "internet", "tcp/443").is_allowed);
    let verdict = gateway.explain("alice/attic/kiosk", "internet", "tcp/443");
    assert_eq!(verdict.deniers(), ["egress of alice/attic/kiosk"]);
    let verdict = gateway.explain("alice/attic/laptop", &place.v4.to_string(), "tcp/80");
    assert_eq!(verdict.deniers(), ["egress of alice"]);
}

#[test]
fn an_unasked_packet_from_the_internet_is_refused() {
    let World { laptop, gateway, site, place, .. } = &World::new();
    // A stranger on the same wire can address the mesh past NAT.
    site.ip(&format!("route add {} via {}", laptop.node.v4, gateway.place.v4));
    site.ip(&format!("route add {} via {}", laptop.node.v6, gateway.place.v6));
    let _echo = laptop.echo();
    let arrivals = Sniffer::at(laptop);
    for (to, from) in laptop.node.addresses().into_iter().zip(place.addresses()) {
        let denied = gateway.drops("denied");
        assert!(!tcp_answers(&**site, SocketAddr::new(to, 443), LIMIT), "{to} answers the internet");
        gateway.wait_for_drops("denied", denied + 1);
        assert!(!arrivals.has(|seen| seen.source == from), "it arrived: {:?}", arrivals.seen());
    }
    assert_eq!(gateway.explain("internet", "alice/attic/laptop", "tcp/443").deniers(), ["ingress of alice"]);
}
