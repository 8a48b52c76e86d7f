//! The kernel's half: hosts on the LAN, the internet and each other. None of it ever enters the daemon.
//!
//! ```text
//!   nas ─────lan──┐
//!   10.88.2.10    gw (vpmesh, NAT by nft) ──── internet ──── site
//!   camera ──lan──┘ room attic, owner alice                  answers on every port
//!   10.88.2.11
//! ```
//!
//! Alice allows https to the internet; the camera may nothing at all.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::lab::echo::{Echo, tcp_answers};
use crate::lab::internet::Place;
use crate::lab::iperf::{Client, Server};
use crate::lab::lan::LanHost;
use crate::lab::owner::Signed;
use crate::lab::{Attic, Gateway, Internet, Lab, Namespace, Node, Owner, Room, wait_for};

const LIMIT: Duration = Duration::from_millis(1200);
/// iperf3's server; not in the way of the answers on every other port.
const BULK: u16 = 5201;

struct World {
    alice: Owner,
    nas: LanHost,
    camera: LanHost,
    gateway: Gateway,
    site: Arc<Namespace>,
    place: Place,
    _internet: Internet,
    lab: Lab,
}

/// What alice lets out to the internet.
const HTTPS: &str = r#"egress = [{ allow = "tcp/443", to = "internet" }]"#;
const HTTPS_AND_BULK: &str =
    r#"egress = [{ allow = ["tcp/443", "tcp/5201", "udp/5201"], to = "internet", note = "bulk" }]"#;

impl World {
    fn new(egress: &str, more: &str) -> Self {
        let Attic { mut gateway, alice, internet, lab } = Attic::new(Lab::new());
        gateway.configure(more);
        gateway.take(&[&roster(&alice, &gateway, egress)]);
        gateway.masquerade(&alice);
        let [nas, camera] = hosts(&alice).map(|node| LanHost::plug(&gateway, &node));
        let site = Namespace::new("site");
        let place = internet.attach(&site);
        gateway.start(&lab);
        let world = Self { alice, nas, camera, gateway, site, place, _internet: internet, lab };
        wait_for("the kernel enforces its half", Duration::from_secs(20), || {
            (world.gateway.status()["kernel"]["in_force"] == true).then_some(())
        });
        world
    }

    fn roster(&self, egress: &str) -> Signed {
        roster(&self.alice, &self.gateway, egress)
    }

    fn echo(&self) -> Echo {
        Echo::on_every_port_of_eth0(&self.site)
    }

    /// Which families get through to a port of the site.
    fn reaches(&self, host: &LanHost, port: u16) -> [bool; 2] {
        self.place
            .addresses()
            .map(|address| tcp_answers(&*host.namespace, SocketAddr::new(address, port), LIMIT))
    }

    /// How often the rules of a border matched.
    fn matches(&self, border: &str, direction: &str) -> u64 {
        let status = self.gateway.status();
        let rules = status["rules"].as_array().expect("there are rules");
        let of_border =
            rules.iter().filter(|rule| rule["border"] == border && rule["direction"] == direction);
        of_border.filter_map(|rule| rule["matches"].as_u64()).sum()
    }

    /// Counters are read again after half a second.
    fn wait_for_matches(&self, border: &str, direction: &str, wanted: u64) {
        let what = format!("rules of {border} matched {wanted} times");
        wait_for(&what, LIMIT, || (self.matches(border, direction) == wanted).then_some(()));
    }

    fn v4(&self) -> IpAddr {
        self.place.v4.into()
    }

    fn passed(&self) -> u64 {
        self.site.received_bytes("eth0").unwrap_or(0)
    }

    /// Bulk's connections as the router's kernel has them, a line each.
    fn connections(&self) -> Vec<String> {
        let all = self.gateway.namespace.must("conntrack -L");
        all.lines().filter(|line| line.contains("dport=5201")).map(str::to_owned).collect()
    }

    fn wait_for_bytes(&self, more: u64) {
        let before = self.passed();
        wait_for("it flows", Duration::from_secs(20), || (self.passed() > before + more).then_some(()));
    }

    /// Takes bulk's permission away: its control connection and its stream end.
    fn deny_and_see_it_cut(&self) {
        self.gateway.reload(&[&self.roster(HTTPS)]);
        wait_for("it was cut", Duration::from_secs(10), || self.connections().is_empty().then_some(()));
        // What was under way has arrived when two looks see the same.
        let mut last = self.passed();
        wait_for("nothing passes any more", Duration::from_secs(10), || {
            std::thread::sleep(Duration::from_millis(300));
            let now = self.passed();
            let is_still = now - last < 2_000;
            last = now;
            is_still.then_some(())
        });
    }
}

/// What is on the gateway's LAN.
fn hosts(alice: &Owner) -> [Node; 2] {
    [("nas", 10), ("camera", 11)]
        .map(|(name, last)| alice.node(&format!("attic/{name}"), &format!("10.88.2.{last}")))
}

fn roster(alice: &Owner, gateway: &Gateway, egress: &str) -> Signed {
    let [nas, camera] = hosts(alice);
    let room =
        Room::new("attic").gateway(gateway).lan_host(&nas).lines(r#"ingress = [{ allow = "tcp/445" }]"#);
    let room = room
        .lan_host(&camera)
        .lines(r#"egress = [{ allow = ["tcp/445", "tcp/446"], to = "alice/attic/nas" }]"#);
    alice.sign(&format_args!("{egress}\n{room}"))
}

const ALL: [bool; 2] = [true, true];
const NONE: [bool; 2] = [false, false];

#[test]
fn what_never_enters_the_daemon_is_policed_and_counted() {
    let world = World::new(HTTPS, "");
    let _echo = world.echo();
    let _answers = Echo::on_every_port_of_eth0(&world.nas.namespace);
    assert_eq!(world.reaches(&world.nas, 443), ALL);
    assert_eq!(world.reaches(&world.nas, 80), NONE);
    assert_eq!(world.reaches(&world.camera, 443), NONE);
    for address in world.nas.node.addresses() {
        let ask = |port| tcp_answers(&*world.camera.namespace, SocketAddr::new(address, port), LIMIT);
        assert!(ask(445) && !ask(446) && !ask(22), "the camera's way to the nas at {address}");
    }
    // One first packet in each family.
    world.wait_for_matches("alice", "egress", 2);
    world.wait_for_matches("alice/attic/nas", "ingress", 2);
    let status = world.gateway.status();
    assert!(status["kernel"]["drops"]["denied"].as_u64().unwrap() >= 6, "{status}");
    assert_eq!(status["drops"]["denied"], serde_json::Value::Null, "the daemon saw nothing of it");

    // Counters go on over a reload of the same rule, wherever it is written, and over a table that was deleted.
    world.gateway.reload(&[&world.roster(&format!("# one line more\n{HTTPS}"))]);
    assert_eq!(world.matches("alice", "egress"), 2);
    assert_eq!(world.reaches(&world.nas, 443), ALL);
    world.wait_for_matches("alice", "egress", 4);
    world.gateway.namespace.must("nft delete table inet vpmesh");
    wait_for("the table is back", Duration::from_secs(10), || {
        (world.gateway.status()["kernel"]["put_back"] == 1).then_some(())
    });
    assert_eq!(world.reaches(&world.nas, 443), ALL);
    world.wait_for_matches("alice", "egress", 6);
}

#[test]
fn a_reload_that_denies_cuts_a_live_flow_of_the_kernel() {
    let world = World::new(HTTPS_AND_BULK, "");
    let _server = Server::start(&world.lab, &world.site, BULK);
    let client = Client::start(&world.lab, &world.nas.namespace, world.v4(), BULK, "-t 12 -b 20M");
    world.wait_for_bytes(500_000);
    world.deny_and_see_it_cut();
    drop(client);
}

/// As fw4 does it where `flow_offloading` is set: what is established goes from port to port, past all chains.
#[test]
#[ignore = "needs the kernel's flow tables; `make test-vm` boots one that has them"]
fn a_reload_that_denies_cuts_a_flow_that_the_kernel_offloaded() {
    let world = World::new(HTTPS_AND_BULK, "");
    let router = &world.gateway.namespace;
    let ports = router
        .must("ls /sys/class/net")
        .split_whitespace()
        .filter(|name| is_port(name))
        .collect::<Vec<_>>()
        .join(", ");
    router.nft(&format!(
        "table inet fw {{
            flowtable fast {{ hook ingress priority filter; devices = {{ {ports} }}; }}
            chain forward {{
                type filter hook forward priority filter;
                counter
                meta l4proto {{ tcp, udp }} flow add @fast
            }}
        }}"
    ));
    let _server = Server::start(&world.lab, &world.site, BULK);
    let client = Client::start(&world.lab, &world.nas.namespace, world.v4(), BULK, "-t 60 -b 10M");
    world.wait_for_bytes(200_000);
    wait_for("it is offloaded", Duration::from_secs(20), || {
        world.connections().iter().any(|line| line.contains("[OFFLOAD]")).then_some(())
    });
    let slow = || -> u64 {
        let chain = router.must("nft list chain inet fw forward");
        let words: Vec<_> = chain.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "packets").expect("a counter");
        words[at + 1].parse().expect("a number")
    };
    let before = slow();
    world.wait_for_bytes(1_000_000);
    assert!(slow() - before < 100, "a flow that is offloaded passes no chain: {before}, {}", slow());
    world.deny_and_see_it_cut();
    drop(client);
}

fn is_port(interface: &str) -> bool {
    interface == "eth0" || interface.starts_with("lan")
}

#[test]
fn a_flow_of_the_kernel_that_stays_allowed_loses_no_packet_in_reloads() {
    let world = World::new(HTTPS_AND_BULK, "");
    let _server = Server::start(&world.lab, &world.site, BULK);
    let client = Client::start(&world.lab, &world.nas.namespace, world.v4(), BULK, "-u -b 4M -t 5");
    world.wait_for_bytes(200_000);
    for _ in 0..5 {
        world.gateway.reload(&[&world.roster(HTTPS_AND_BULK)]);
    }
    let report = client.report(Duration::from_secs(30));
    assert_eq!(report.lost, Some(0), "{report:?}");
    assert!(report.error.is_none() && report.bytes() > 1_000_000, "{report:?}");
}

#[test]
fn a_daemon_that_is_killed_leaves_what_the_fail_safe_says() {
    for (more, then) in [("", NONE), ("fail_safe = \"open\"", ALL)] {
        let mut world = World::new(HTTPS, more);
        let _echo = world.echo();
        assert_eq!((world.reaches(&world.nas, 443), world.reaches(&world.nas, 80)), (ALL, NONE));
        world.gateway.kill();
        if then == ALL {
            wait_for("the table is gone", Duration::from_secs(10), || {
                let tables = world.gateway.namespace.must("nft list tables");
                (!tables.contains("vpmesh")).then_some(())
            });
        }
        assert_eq!((world.reaches(&world.nas, 443), world.reaches(&world.nas, 80)), (ALL, then), "{more}");
    }
}

#[test]
fn a_daemon_that_is_told_to_stop_takes_the_table_along() {
    let mut world = World::new(HTTPS, "");
    let _echo = world.echo();
    assert_eq!(world.reaches(&world.nas, 80), NONE);
    world.gateway.stop();
    assert_eq!(world.reaches(&world.nas, 80), ALL);
}

#[test]
fn a_reload_that_nobody_confirms_is_rolled_back_in_the_kernel() {
    let world = World::new(HTTPS, "");
    let _echo = world.echo();
    let outcome = world.gateway.tool(&["reload", "--commit-within", "6"]);
    assert!(outcome.is_success() && outcome.stdout.contains("not confirmed: in 6 s"), "{outcome:?}");
    world.gateway.take(&[&world.roster(r#"egress = [{ allow = "tcp/80", to = "internet" }]"#)]);
    let reached = |port, to| {
        wait_for("the kernel judges anew", Duration::from_secs(20), || {
            (world.reaches(&world.nas, port) == to).then_some(())
        });
    };
    reached(80, ALL);
    reached(443, ALL);
    assert_eq!(world.reaches(&world.nas, 80), NONE);
}
