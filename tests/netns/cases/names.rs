//! The mesh's names: a router's dnsmasq asks the daemon, and what it tells follows the rosters in force.
//!
//! ```text
//!   getent ── dnsmasq (:53) ── /mesh/127.0.0.1#5358 ── gw (vpmesh)
//! ```

use std::time::Duration;

use crate::lab::process::Process;
use crate::lab::wait::wait_for;
use crate::lab::{Attic, Gateway, Lab, Node, Room};

const SOON: Duration = Duration::from_secs(10);

fn roster(gateway: &Gateway, stations: &[&Node]) -> Room {
    stations.iter().fold(Room::new("attic").gateway(gateway), |room, node| room.station(node))
}

#[test]
fn a_routers_dnsmasq_knows_the_stations_of_the_rosters_in_force() {
    let attic = Attic::new(Lab::new());
    let [laptop, phone] = attic.nodes(["laptop", "phone"]);
    let Attic { gateway: mut gw, alice, internet: _internet, lab } = attic;
    gw.configure("dns = \"127.0.0.1:5358\"");
    let first = alice.sign(&roster(&gw, &[&laptop]));
    gw.start_with(&lab, &[&first]);

    // What OpenWrt's init script makes of the package's entries in /etc/config/dhcp, and of its own defaults.
    let mut command = gw.namespace.command("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--log-facility=-",
        "--no-resolv",
        "--no-hosts",
    ]);
    command.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--user=root", "--pid-file="]);
    command.args(["--domain-needed", "--stop-dns-rebind", "--bogus-priv", "--server=/mesh/127.0.0.1#5358"]);
    let mut without = Process::start(&lab, "dnsmasq", &mut command);
    without.wait_for_output("started", SOON);
    gw.namespace.set_hosts("127.0.0.1 localhost\n");
    let found = |name: &str| gw.namespace.run(&format!("getent ahosts {name}.mesh"), SOON).stdout;
    assert!(!found("laptop.attic.alice").contains("10.88.1.10"), "dnsmasq takes it for a rebinding");
    drop(without);

    command.arg("--rebind-domain-ok=/mesh/");
    let mut dnsmasq = Process::start(&lab, "dnsmasq-told", &mut command);
    dnsmasq.wait_for_output("started", SOON);
    let said = found("laptop.attic.alice");
    assert!(
        said.contains("10.88.1.10") && said.contains(&laptop.v6.to_string()),
        "{said}\n{}",
        dnsmasq.output()
    );
    assert!(found("gw.attic.alice").contains(':'), "a gateway is a station too");
    assert_eq!(found("phone.attic.alice"), "", "no roster has it");

    gw.reload(&[&alice.sign(&roster(&gw, &[&phone]))]);
    wait_for("the new station has its name", SOON, || {
        found("phone.attic.alice").contains("10.88.1.11").then_some(())
    });
    wait_for("the revoked one has none", Duration::from_secs(60), || {
        found("laptop.attic.alice").is_empty().then_some(())
    });
}
