//! A network that stops letting UDP out, and then lets it out again.
//!
//! ```text
//!   gw ══ wg: UDP, then TLS on 443, then UDP ══ hub (tls_listen)
//!   room attic                                  room cellar, both alice's
//! ```
//!
//! The firewall is in `gw`'s own namespace and takes UDP in both directions. How long each change took is printed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::lab::iperf::{Client, Server};
use crate::lab::ping::{Pinger, wait_until_reached};
use crate::lab::sniffer::Sniffer;
use crate::lab::{Gateway, Internet, Lab, Owner, Room, wait_for};

const SOON: Duration = Duration::from_secs(20);
/// UDP is tried every ten seconds.
const AGAIN: Duration = Duration::from_secs(60);
const PORT: u16 = 5201;
const BEAT: Duration = Duration::from_millis(100);

struct World {
    gw: Gateway,
    hub: Gateway,
    _internet: Internet,
    lab: Lab,
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let gw = Gateway::new(&lab, &internet, &alice, &alice.node("attic/gw", "10.88.1.1"));
        let hub = Gateway::new(&lab, &internet, &alice, &alice.node("cellar/hub", "10.88.3.1"));
        hub.configure("tls_listen = \"[::]:443\"");
        let rooms = [Room::new("attic").gateway(&gw), Room::new("cellar").gateway(&hub)];
        let roster = alice.sign(&format_args!("{}{}", rooms[0], rooms[1]));
        for gateway in [&gw, &hub] {
            gateway.take(&[&roster]);
        }
        Self { gw, hub, _internet: internet, lab }
    }

    fn start(&mut self) {
        self.hub.start(&self.lab);
        self.gw.start(&self.lab);
    }

    fn block_udp(&self) {
        self.gw.namespace.nft(
            "table inet block {
                chain in { type filter hook input priority 0; meta l4proto udp drop; }
                chain out { type filter hook output priority 0; oifname \"eth0\" meta l4proto udp drop; }
            }",
        );
    }

    fn allow_udp(&self) {
        self.gw.namespace.nft("delete table inet block");
    }

    /// Waits until both gateways send to each other like this; how long it took.
    fn wait_for_way(&self, what: &str, limit: Duration, is_it: impl Fn(SocketAddr) -> bool) -> Duration {
        let begun = Instant::now();
        for (from, to) in [(&self.gw, &self.hub), (&self.hub, &self.gw)] {
            wait_for(&format!("{} sends to {} {what}", from.node.path, to.node.path), limit, || {
                from.endpoint_of(&to.node).is_some_and(&is_it).then_some(())
            });
        }
        begun.elapsed()
    }

    fn wait_for_tls(&self, limit: Duration) -> Duration {
        self.wait_for_way("inside TLS", limit, |endpoint| endpoint.to_string().starts_with("[100::"))
    }

    fn wait_for_udp(&self, limit: Duration) -> Duration {
        self.wait_for_way("over UDP", limit, |endpoint| !endpoint.to_string().starts_with("[100::"))
    }
}

#[test]
fn traffic_goes_on_inside_tls_while_udp_is_blocked_and_leaves_it_after() {
    let mut world = World::new();
    world.start();
    let to = world.hub.node.v4.into();
    wait_until_reached(&world.gw.namespace, to, SOON);
    let _server = Server::start(&world.lab, &world.hub.namespace, PORT);
    let beats = Pinger::start(&world.lab, &world.gw.namespace, to, BEAT);
    let client = Client::start(&world.lab, &world.gw.namespace, to, PORT, "-t 40 -b 10M");
    wait_for("pings are answered", SOON, || (beats.answered() > 10).then_some(()));
    world.wait_for_udp(AGAIN);
    let capture = Sniffer::on(&world.hub.namespace, "eth0");
    world.block_udp();
    let to_tls = world.wait_for_tls(SOON);
    let answered = beats.answered();
    wait_for("pings are answered again", SOON, || (beats.answered() > answered + 20).then_some(()));
    let lost = beats.stop();
    let secret = "vpmesh-plaintext";
    let pattern: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let ping = world.gw.namespace.run(&format!("ping -n -c 5 -i 0.2 -s 512 -p {pattern} {to}"), SOON);
    assert!(ping.is_success(), "{ping:?}");
    let inside: Vec<_> =
        capture.seen().into_iter().filter(|packet| packet.protocol == 6 && packet.port == 443).collect();
    let bytes: usize = inside.iter().map(|packet| packet.rest.len()).sum();
    assert!(bytes > 1_000_000, "the transfer is on 443: {bytes}");
    let is_plain = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(!inside.iter().any(|packet| is_plain(&packet.rest)), "nothing on 443 can be read");
    assert!(!capture.has(|packet| packet.protocol == 17 && packet.port == 51888 && is_plain(&packet.rest)));
    drop(capture);
    let beats = Pinger::start(&world.lab, &world.gw.namespace, to, BEAT);
    world.allow_udp();
    let to_udp = world.wait_for_udp(AGAIN);
    let answered = beats.answered();
    wait_for("pings are answered over UDP", SOON, || (beats.answered() > answered + 10).then_some(()));
    let back = beats.stop();
    let report = client.report(Duration::from_secs(60));
    assert!(report.error.is_none(), "{report:?}");
    println!(
        "UDP blocked: inside TLS on both sides after {to_tls:.1?}, {} ms without a ping; allowed: back on UDP after \
         {to_udp:.1?}, {} ms without a ping; iperf3: {} half seconds without a byte of {}",
        lost.longest_gap * 100,
        back.longest_gap * 100,
        report.stalls().len(),
        report.intervals.len(),
    );
    assert!(lost.longest_gap < 100, "{lost:?}");
    assert!(back.longest_gap < 100, "{back:?}");
}

#[test]
fn a_node_that_never_had_udp_is_reached_inside_tls() {
    let mut world = World::new();
    world.block_udp();
    world.start();
    let begun = Instant::now();
    wait_until_reached(&world.gw.namespace, world.hub.node.v4.into(), SOON);
    println!("UDP blocked from the beginning: reached after {:.1?}", begun.elapsed());
    world.wait_for_tls(SOON);
    world.allow_udp();
    world.wait_for_udp(AGAIN);
}

#[test]
fn a_passage_that_breaks_is_made_anew() {
    let mut world = World::new();
    world.block_udp();
    world.start();
    let to = world.hub.node.v4.into();
    wait_until_reached(&world.gw.namespace, to, SOON);
    world.hub.kill();
    world.hub.start(&world.lab);
    wait_until_reached(&world.gw.namespace, to, AGAIN);
}
