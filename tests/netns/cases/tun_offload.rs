//! Bulk between a plain host and a station, in super packets where the kernel has them.
//!
//! ```text
//!   laptop ──wg── gw (vpmesh) ──lan── nas
//! ```

use std::net::IpAddr;
use std::time::Duration;

use crate::lab::iperf::{Client, Server};
use crate::lab::lan::LanHost;
use crate::lab::largest::Largest;
use crate::lab::ping::wait_until_reached;
use crate::lab::{Attic, Gateway, Internet, Lab, Namespace, Station, bulk};

const BULK: usize = 24_000_000;
const PORT: u16 = 5201;
/// What the daemon gives its interface, at the most.
const MTU: usize = 1420;

struct World {
    laptop: Station,
    nas: LanHost,
    gw: Gateway,
    _internet: Internet,
    lab: Lab,
}

impl World {
    fn new() -> Self {
        let mut attic = Attic::new(Lab::new());
        let [laptop] = attic.nodes(["laptop"]);
        let nas = attic.alice.node("attic/nas", "10.88.2.10");
        attic.start(&attic.room().station(&laptop).lan_host(&nas));
        let nas = LanHost::plug(&attic.gateway, &nas);
        let laptop = attic.join(&laptop);
        wait_until_reached(&laptop.namespace, nas.node.v4.into(), Duration::from_secs(10));
        let Attic { gateway: gw, internet, lab, .. } = attic;
        Self { laptop, nas, gw, _internet: internet, lab }
    }

    /// From, to, and an address of each: both ways in both families.
    fn ways(&self) -> impl Iterator<Item = (&Namespace, &Namespace, IpAddr, IpAddr)> {
        let (laptop, nas) = (&self.laptop, &self.nas);
        laptop.node.addresses().into_iter().zip(nas.node.addresses()).flat_map(move |(station, host)| {
            let [far, near] = [&*laptop.namespace, &*nas.namespace];
            [(far, near, station, host), (near, far, host, station)]
        })
    }

    /// The gateway's end of the plain host's cable.
    fn port(&self) -> String {
        let route = self.gw.namespace.ip(&format!("-o route show {}", self.nas.node.v4));
        route.split_whitespace().skip_while(|word| *word != "dev").nth(1).expect("a route has one").to_owned()
    }

    fn assert_nothing_was_wrong(&self) {
        for reason in ["malformed", "send_failed"] {
            assert_eq!(self.gw.drops(reason), 0, "{}", self.gw.status());
        }
        assert_eq!(self.gw.status()["oversized"], 0);
    }
}

#[test]
fn bulk_crosses_the_device_in_super_packets_and_arrives_as_it_was_sent() {
    let world = World::new();
    for (from, to, source, target) in world.ways() {
        let largest = Largest::on(&world.gw.namespace, "vpm0");
        bulk::tcp(from, to, target, BULK, |_| ());
        let lengths = largest.lengths();
        let way = usize::from(world.laptop.node.addresses().contains(&target));
        assert!(
            cfg!(feature = "no-offload") || lengths[way] > 4 * MTU,
            "at most {lengths:?} octets from {source} to {target}"
        );
        let lost = bulk::udp(from, to, source, target, 1300, 4000);
        assert!(lost < 40, "{lost} of 4000 datagrams from {source} to {target} were lost");
    }
    world.assert_nothing_was_wrong();
}

#[test]
fn bulk_arrives_as_it_was_sent_while_offloads_come_and_go() {
    let world = World::new();
    let port = world.port();
    let (gw, nas) = (&*world.gw.namespace, &*world.nas.namespace);
    for (from, to, _, target) in world.ways() {
        bulk::tcp(from, to, target, BULK, |quarter| {
            let [segmentation, checksums] = [["off", "off"], ["on", "off"], ["on", "on"]][quarter - 1];
            for (namespace, interface) in [(gw, "vpm0"), (gw, &port), (nas, "eth0")] {
                namespace.must(&format!(
                    "ethtool -K {interface} tso {segmentation} gso {segmentation} gro {segmentation} tx {checksums}"
                ));
            }
        });
    }
    world.assert_nothing_was_wrong();
}

#[test]
fn bulk_is_not_sent_again_and_again() {
    let world = World::new();
    let _server = Server::start(&world.lab, &world.nas.namespace, PORT);
    for target in world.nas.node.addresses() {
        for options in ["-t 4 -b 200M", "-t 4 -b 200M -R"] {
            let client = Client::start(&world.lab, &world.laptop.namespace, target, PORT, options);
            let report = client.report(Duration::from_secs(30));
            assert!(
                report.error.is_none() && report.stalls().is_empty(),
                "{options} to {target}: {report:?}"
            );
            let resent: u64 = report.intervals.iter().map(|interval| interval.retransmits).sum();
            let segments = report.bytes() / 1300;
            assert!(resent * 50 < segments, "{resent} of {segments}, {options} to {target}: {report:?}");
        }
    }
    world.assert_nothing_was_wrong();
}
