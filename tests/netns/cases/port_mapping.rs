//! A gateway behind a home router, found from outside by the port that the router maps.
//!
//! ```text
//!   laptop ──wg── internet ── 11.22.33.44  router  192.168.77.1 ──── gw (vpmesh) 192.168.77.2
//!                             NAT by nft, miniupnpd
//! ```

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::lab::gateway::PORT;
use crate::lab::home_router::{HomeRouter, INNER, OUTER};
use crate::lab::ping::wait_until_reached;
use crate::lab::sniffer::Sniffer;
use crate::lab::wait::holds_for;
use crate::lab::worker::Worker;
use crate::lab::{Gateway, Internet, Lab, Namespace, Node, Owner, Room, Station, wait_for};

/// Three protocols in vain, and some news to be settled.
const SOON: Duration = Duration::from_secs(45);

struct World {
    gateway: Gateway,
    router: HomeRouter,
    laptop: Node,
    alice: Owner,
    internet: Internet,
    lab: Lab,
}

impl World {
    /// Nothing runs yet.
    fn new() -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let router = HomeRouter::new(&internet);
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let laptop = alice.node("attic/laptop", "10.88.1.10");
        let host = Namespace::new("gw");
        let place = router.attach(&host);
        let gateway = Gateway::on(&lab, host, place, &alice, &alice.node("attic/gw", "10.88.1.1"));
        let endpoint = format!("{OUTER}:{PORT}");
        let room = Room::new("attic").gateway_at(&gateway.node, &[&endpoint]).station(&laptop);
        let roster = alice.sign(&room);
        gateway.take(&[&roster]);
        Self { gateway, router, laptop, alice, internet, lab }
    }

    /// What `vpmesh status` says of the mapping: address, protocol, whether it is public.
    fn mapped(&self) -> Option<(String, String, bool)> {
        let status = self.gateway.status();
        let mapped = &status["mapped"];
        Some((
            mapped["address"].as_str()?.to_owned(),
            mapped["by"].as_str()?.to_owned(),
            mapped["public"].as_bool()?,
        ))
    }

    fn wait_until_mapped(&self, by: &str) {
        let wanted = Some((format!("{OUTER}:{PORT}"), by.to_owned(), true));
        wait_for(&format!("the port is mapped by {by}"), SOON, || (self.mapped() == wanted).then_some(()));
        assert!(self.router.forwards(PORT));
    }

    fn wait_until_not_mapped(&self) {
        wait_for("nothing is mapped", SOON, || self.mapped().is_none().then_some(()));
    }

    /// The whole life of a mapping with a router that has this protocol alone.
    fn lives_with(&mut self, by: &str, config: &str) {
        self.router.start(&self.lab, config);
        self.gateway.start(&self.lab);
        self.wait_until_mapped(by);
        let shown = self.gateway.tool(&["status"]).stdout;
        assert!(shown.contains(&format!("{OUTER}:{PORT} by {by}\n")), "{shown}");

        let uplink = self.gateway.uplink(&[&self.alice]);
        let uplink = crate::lab::station::Uplink { endpoint: SocketAddr::from((OUTER, PORT)), ..uplink };
        let laptop = Station::join(&self.lab, &self.internet, &self.laptop, &uplink);
        wait_until_reached(&laptop.namespace, self.gateway.node.v4.into(), SOON);

        self.router.forget();
        assert!(!self.router.forwards(PORT));
        self.router.start(&self.lab, config);
        if by == "upnp" {
            // Nobody calls out; the next renewal would find it. The way out is lost for a while, as with a power cut.
            self.gateway.namespace.ip("route del default");
            self.wait_until_not_mapped();
            self.gateway.namespace.ip(&format!("route add default via {INNER}"));
        }
        wait_for("the port is mapped again", SOON, || self.router.forwards(PORT).then_some(()));
        self.wait_until_mapped(by);

        self.gateway.stop();
        assert!(!self.router.forwards(PORT), "what was asked for is given back");
    }
}

#[test]
fn a_router_with_pcp_forwards_the_port() {
    let mut world = World::new();
    world.lives_with("pcp", "enable_natpmp=yes\nenable_upnp=no");
    // One that was killed gave nothing back, and its secret is lost: PCP may refuse, and NAT-PMP has none.
    world.gateway.start(&world.lab);
    world.wait_until_mapped("pcp");
    world.gateway.kill();
    world.gateway.start(&world.lab);
    wait_for("the port is mapped again", SOON, || world.mapped().map(drop));
    assert!(world.router.forwards(PORT));
}

#[test]
fn a_router_with_nat_pmp_alone_forwards_the_port() {
    let mut world = World::new();
    // miniupnpd has both or none: what is of PCP's version never gets there.
    world.router.namespace.nft(
        "table inet old { chain input { type filter hook input priority -10; udp dport 5351 @th,64,8 2 drop; }\n}",
    );
    world.lives_with("nat-pmp", "enable_natpmp=yes\nenable_upnp=no");
}

#[test]
fn a_router_with_upnp_alone_forwards_the_port() {
    World::new().lives_with("upnp", "enable_natpmp=no\nenable_upnp=yes");
}

/// Questions to a router.
fn questions(sniffer: &Sniffer) -> usize {
    sniffer.seen().iter().filter(|seen| seen.protocol == 17 && matches!(seen.port, 5351 | 1900)).count()
}

#[test]
fn a_router_that_answers_nothing_is_asked_a_few_times() {
    let mut world = World::new();
    world.router.namespace.nft(
        "table inet deaf { chain input { type filter hook input priority -10; meta l4proto udp drop; }\n}",
    );
    let sniffer = Sniffer::on(&world.router.namespace, "lan");
    world.gateway.start(&world.lab);
    // Three times by PCP, three by NAT-PMP, and SSDP's questions, two to each of two places, twice.
    wait_for("all was asked", SOON, || (questions(&sniffer) == 14).then_some(()));
    holds_for("nothing more is asked", Duration::from_secs(8), || questions(&sniffer) == 14);
    assert_eq!(world.mapped(), None);
    world.gateway.stop();
}

/// What a rogue in the router's place says.
#[derive(Clone, Copy)]
struct Lines {
    /// To what comes to PCP's port.
    pcp: fn(&[u8], usize) -> Vec<u8>,
    /// Where it says that its description is.
    location: &'static str,
}

/// A program in the router's place that is no router, until dropped.
struct Rogue {
    /// Questions to PCP's port, its own announcements, and connections to its web server.
    asked: Arc<AtomicUsize>,
    announced: Arc<AtomicUsize>,
    connected: Arc<AtomicUsize>,
    _workers: [Worker; 4],
}

impl Rogue {
    fn start(namespace: &Namespace, lines: Lines) -> Self {
        let (pcp, ssdp, web, call) = namespace.inside(|| {
            let udp = |port: u16| UdpSocket::bind((INNER, port)).expect("a port can be bound");
            let web = TcpListener::bind((INNER, 5000)).expect("a port can be bound");
            (udp(5351), udp(1900), web, udp(5353))
        });
        let step = Some(Duration::from_millis(20));
        for socket in [&pcp, &ssdp] {
            socket.set_read_timeout(step).expect("a timeout can be set");
        }
        web.set_nonblocking(true).expect("a socket can be made non-blocking");
        let counter = || Arc::new(AtomicUsize::new(0));
        let (asked, announced, connected) = (counter(), counter(), counter());
        let count = Arc::clone(&asked);
        let pcp = Worker::start(move |goes_on| {
            let mut question = [0; 2048];
            while goes_on() {
                let Ok((length, from)) = pcp.recv_from(&mut question) else { continue };
                let number = count.fetch_add(1, Ordering::Relaxed);
                let _ = pcp.send_to(&(lines.pcp)(&question[..length], number), from);
            }
        });
        let ssdp = Worker::start(move |goes_on| {
            let mut question = [0; 2048];
            while goes_on() {
                let Ok((_, from)) = ssdp.recv_from(&mut question) else { continue };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: {}\r\n\r\n",
                    lines.location
                );
                let _ = ssdp.send_to(answer.as_bytes(), from);
            }
        });
        let count = Arc::clone(&connected);
        let web = Worker::start(move |goes_on| {
            while goes_on() {
                let Ok((mut stream, _)) = web.accept() else {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                };
                count.fetch_add(1, Ordering::Relaxed);
                let _ = stream.set_nonblocking(false);
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                // Without end, as long as somebody reads.
                while goes_on() && stream.write_all(&b"<service>".repeat(1000)).is_ok() {}
            }
        });
        let count = Arc::clone(&announced);
        let call = Worker::start(move |goes_on| {
            while goes_on() {
                let _ = call.send_to(&[0; 12], (Ipv4Addr::new(224, 0, 0, 1), 5350));
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { asked, announced, connected, _workers: [pcp, ssdp, web, call] }
    }
}

/// A good answer of NAT-PMP for who is behind another NAT; none of PCP.
fn shared_address(question: &[u8], _number: usize) -> Vec<u8> {
    match question {
        [0, 0] => vec![0, 128, 0, 0, 0, 0, 0, 1, 100, 64, 3, 7],
        [0, 1, _, _, inner @ .., _, _, _, _, _, _] if inner.len() == 2 => {
            [&[0, 129, 0, 0, 0, 0, 0, 1], inner, inner, &[0, 0, 4, 176]].concat()
        }
        _ => vec![0, 0, 0, 1],
    }
}

#[test]
fn an_address_behind_another_nat_is_shown_as_one() {
    let mut world = World::new();
    let lines = Lines { pcp: shared_address, location: "" };
    let rogue = Rogue::start(&world.router.namespace, lines);
    world.gateway.start(&world.lab);
    let wanted = Some((format!("100.64.3.7:{PORT}"), "nat-pmp".to_owned(), false));
    wait_for("the mapping is shown", SOON, || (world.mapped() == wanted).then_some(()));
    let shown = world.gateway.tool(&["status"]).stdout;
    assert!(shown.contains("by nat-pmp; that router is behind a NAT itself"), "{shown}");
    // A router that calls out without end is asked now and then; a question is two datagrams.
    wait_for("it called out 160 times", SOON, || {
        (rogue.announced.load(Ordering::Relaxed) >= 160).then_some(())
    });
    let asked = rogue.asked.load(Ordering::Relaxed);
    assert!((2..=20).contains(&asked), "asked {asked} times");
    world.gateway.stop();
}

/// Answers of every length, some of them nearly right, and some lives of 0.
fn nonsense(question: &[u8], number: usize) -> Vec<u8> {
    let mut answer = vec![0; 60];
    answer[..question.len().min(60)].copy_from_slice(&question[..question.len().min(60)]);
    answer[1] |= 0x80;
    match number % 6 {
        0 => answer.truncate(number % 60),
        1 => answer[4..8].fill(0),
        2 => answer[4..8].fill(0xff),
        3 => answer = vec![0xff; 1400],
        4 => answer[42..44].fill(0),
        _ => answer.clear(),
    }
    answer
}

#[test]
fn what_a_hostile_router_answers_hurts_nobody() {
    let elsewhere = "http://192.0.2.1:80/rootDesc.xml";
    let endless = "http://192.168.77.1:5000/rootDesc.xml";
    for (location, connections) in [(elsewhere, 0), (endless, 1)] {
        let mut world = World::new();
        let sniffer = Sniffer::on(&world.router.namespace, "lan");
        let rogue = Rogue::start(&world.router.namespace, Lines { pcp: nonsense, location });
        world.gateway.start(&world.lab);
        wait_for("SSDP was asked twice", SOON, || {
            let searches = sniffer.seen().iter().filter(|seen| seen.port == 1900).count();
            (searches >= 8).then_some(())
        });
        wait_for("the web server was asked, or not", SOON, || {
            (rogue.connected.load(Ordering::Relaxed) >= connections).then_some(())
        });
        let strangers =
            sniffer.seen().iter().filter(|seen| seen.protocol == 6 && seen.destination != INNER).count();
        assert_eq!(strangers, 0, "nobody else is asked for a description");
        // A good router takes the rogue's place.
        drop(rogue);
        world.router.start(&world.lab, "enable_natpmp=yes\nenable_upnp=yes");
        world.wait_until_mapped("pcp");
        let memory = world.gateway.usage().resident;
        assert!(memory < 64 * 1024, "{memory} KiB are resident");
        world.gateway.stop();
        assert!(!world.router.forwards(PORT));
    }
}
