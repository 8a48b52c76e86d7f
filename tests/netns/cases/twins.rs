//! Two gateways of one room, one of them killed under its station's connections.
//!
//! ```text
//!   laptop ──wg── gw ────┐
//!     (or)               ├─── internet ──── hub ──wg── phone
//!           ╌╌╌╌ gw2 ────┘      │          room cellar, bob's
//!   room attic, alice's         └── rogue, a gateway of bob's: stock wireguard-go that says what the test wants
//! ```
//!
//! What alice's gateways hold to decides: the laptop may ask the phone at two ports, the phone the laptop at one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;
use vpmesh::base::{LINK_PORT, PrivateKey, link_address};
use vpmesh::mesh::attached::{Claim, Entry};
use vpmesh::mesh::wire::Message;
use vpmesh::packet::craft::Craft;
use vpmesh::packet::link::MESSAGE_MAX;

use crate::lab::echo::tcp_answers;
use crate::lab::gateway::PORT;
use crate::lab::injector::Injector;
use crate::lab::iperf::{Client, Server};
use crate::lab::ping::wait_until_reached;
use crate::lab::station::Uplink;
use crate::lab::{Gateway, Internet, Lab, Node, Owner, Station, wait_for};

const SOON: Duration = Duration::from_secs(20);
/// The laptop's own, either way, and the phone's.
const UP: u16 = 5201;
const DOWN: u16 = 5202;
const ASKED: u16 = 5301;
/// Bob lets it in, alice lets it out nowhere.
const DENIED: u16 = 5302;
/// The address of the room that one of its gateways' hosts has, and the other takes over.
const SHARED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);

struct World {
    laptop: Station,
    phone: Station,
    gw: Gateway,
    gw2: Gateway,
    hub: Gateway,
    rogue: Node,
    alice: Owner,
    bob: Owner,
    internet: Internet,
    lab: Lab,
}

fn gateway(name: &str, gateway: &Node, endpoint: SocketAddr) -> String {
    let (v4, key) = (gateway.v4, gateway.public);
    format!(
        "[[room.gateway]]\nname = \"{name}\"\nipv4 = \"{v4}\"\nkey = \"{key}\"\nendpoints = [\"{endpoint}\"]\n"
    )
}

fn station(name: &str, node: &Node) -> String {
    format!("[[room.station]]\nname = \"{name}\"\nipv4 = \"{}\"\nkey = \"{}\"\n", node.v4, node.public)
}

impl World {
    /// Each gateway has a key of its own.
    fn new() -> Self {
        Self::with_room_key(None)
    }

    /// Stations know alice's gateways by the room's key.
    fn with_room_key(room: Option<&PrivateKey>) -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let bob = Owner::new(&lab, "bob", "10.89.0.0/16");
        let laptop = alice.node("attic/laptop", "10.88.1.10");
        let phone = bob.node("cellar/phone", "10.89.1.10");
        let rogue = bob.node("shed/rogue", "10.89.2.1");
        let new = |owner: &Owner, path, v4| Gateway::new(&lab, &internet, owner, &owner.node(path, v4));
        let mut gw = new(&alice, "attic/gw", "10.88.1.1");
        let mut gw2 = new(&alice, "attic/gw2", "10.88.1.2");
        let mut hub = new(&bob, "cellar/hub", "10.89.1.1");
        let alices = alice.sign(&format!(
            r#"
            {friend}
            [[egress]]
            allow = ["tcp/{UP}", "tcp/{DOWN}", "icmp"]
            to = "bob"
            [[ingress]]
            allow = "tcp/{ASKED}"
            from = "bob"
            [[room]]
            name = "attic"
            {key}
            {gw}{gw2}{laptop}
            "#,
            key = room.map_or(String::new(), |room| format!("key = \"{}\"", room.public())),
            friend = bob.as_friend(),
            gw = gateway("gw", &gw.node, gw.endpoint()),
            gw2 = gateway("gw2", &gw2.node, gw2.endpoint()),
            laptop = station("laptop", &laptop),
        ));
        let bobs = bob.sign(&format!(
            r#"
            {friend}
            [[egress]]
            allow = "tcp/{ASKED}"
            to = "alice"
            [[ingress]]
            allow = ["tcp/{UP}", "tcp/{DOWN}", "tcp/{DENIED}", "icmp"]
            from = "alice"
            [[room]]
            name = "cellar"
            {hub}{phone}
            [[room]]
            name = "shed"
            [[room.gateway]]
            name = "rogue"
            key = "{rogue}"
            "#,
            friend = alice.as_friend(),
            hub = gateway("hub", &hub.node, hub.endpoint()),
            phone = station("phone", &phone),
            rogue = rogue.public,
        ));
        for gateway in [&gw, &gw2] {
            room.inspect(|room| gateway.configure_room_key(room));
        }
        for gateway in [&mut gw, &mut gw2, &mut hub] {
            gateway.take(&[&alices, &bobs]);
            gateway.start(&lab);
        }
        let owners = [&alice, &bob];
        let mut uplink = gw.uplink(&owners);
        if let Some(room) = room {
            uplink.public = room.public();
        }
        let laptop = Station::join(&lab, &internet, &laptop, &uplink);
        let phone = Station::join(&lab, &internet, &phone, &hub.uplink(&owners));
        Self { laptop, phone, gw, gw2, hub, rogue, alice, bob, internet, lab }
    }

    fn wait_until_joined(&self) {
        for address in self.phone.node.addresses() {
            wait_until_reached(&self.laptop.namespace, address, SOON);
        }
        self.wait_for_gateways();
    }

    fn wait_for_gateways(&self) {
        let Self { gw, gw2, hub, .. } = self;
        for (here, there) in [(gw, gw2), (gw2, gw), (gw2, hub), (hub, gw2), (gw, hub)] {
            let up = || (row(here, &there.node)["up"] == true).then_some(());
            wait_for("the gateways have sessions", SOON, up);
        }
    }
}

fn row(gateway: &Gateway, peer: &Node) -> Value {
    let peers = gateway.peers();
    let rows = peers.as_array().expect("a list of peers");
    rows.iter().find(|row| row["peer"] == peer.path()).cloned().unwrap_or_default()
}

/// At which gateway a station is, and since which epoch.
fn attached(gateway: &Gateway, station: &Node) -> (String, u64) {
    let row = &row(gateway, station)["attached"];
    (row["gateway"].as_str().unwrap_or_default().to_owned(), row["epoch"].as_u64().unwrap_or(0))
}

/// What passed of connections at one end.
fn passed(world: &World) -> u64 {
    world.laptop.received_bytes() + world.phone.received_bytes()
}

/// The longest time in which nothing passed, until so much has from now on.
fn longest_pause(world: &World, bytes: u64) -> Duration {
    let (mut last, mut at, mut longest) = (passed(world), Instant::now(), Duration::ZERO);
    let goal = last + bytes;
    wait_for("the connections go on", Duration::from_secs(60), || {
        let now = passed(world);
        if now > last + 20_000 {
            longest = longest.max(at.elapsed());
            (last, at) = (now, Instant::now());
        }
        (now >= goal).then_some(())
    });
    longest
}

#[test]
fn connections_outlive_the_gateway_that_they_began_at() {
    let mut world = World::new();
    world.wait_until_joined();
    let (laptop, phone): (IpAddr, IpAddr) = (world.laptop.node.v4.into(), world.phone.node.v6.into());
    let lab = &world.lab;
    let _servers = [
        Server::start(lab, &world.phone.namespace, UP),
        Server::start(lab, &world.phone.namespace, DOWN),
        Server::start(lab, &world.laptop.namespace, ASKED),
    ];
    let options = "-t 45 -b 3M -l 8K";
    let back = format!("{options} -R");
    let clients = [
        Client::start(lab, &world.laptop.namespace, phone, UP, options),
        Client::start(lab, &world.laptop.namespace, phone, DOWN, &back),
        // Begun from outside, and it is the laptop that talks.
        Client::start(lab, &world.phone.namespace, laptop, ASKED, &back),
    ];
    let replicas = |gateway: &Gateway| gateway.flows().as_array().map_or(0, Vec::len);
    wait_for("the other gateway has the flows", SOON, || (replicas(&world.gw2) >= 6).then_some(()));
    longest_pause(&world, 2_000_000);
    assert_eq!(attached(&world.gw2, &world.laptop.node).0, world.gw.node.path());

    world.gw.kill();
    let there = world.gw2.uplink(&[&world.alice, &world.bob]);
    world.laptop.go_by(&there);
    let killed = longest_pause(&world, 3_000_000);
    let (at, epoch) = attached(&world.gw2, &world.laptop.node);
    assert_eq!(at, world.gw2.node.path());
    let denied = world.gw2.drops("denied");
    let asked = SocketAddr::new(phone, DENIED);
    assert!(!tcp_answers(&*world.laptop.namespace, asked, Duration::from_secs(2)));
    assert!(world.gw2.drops("denied") > denied, "{:?}", world.gw2.status()["drops"]);

    world.gw.start(&world.lab);
    world.wait_for_gateways();
    let node = world.laptop.node.clone();
    wait_for("who is back is told", SOON, || {
        (attached(&world.gw, &node) == (at.clone(), epoch)).then_some(())
    });
    wait_for("who is back has the flows", SOON, || (replicas(&world.gw) >= 6).then_some(()));
    let back = world.gw.uplink(&[&world.alice, &world.bob]);
    world.laptop.go_by(&back);
    let returned = longest_pause(&world, 3_000_000);
    assert_eq!(attached(&world.gw2, &node), (world.gw.node.path().to_owned(), epoch + 1));
    println!(
        "two gateways: nothing passed for {killed:.1?} when one was killed, {returned:.1?} when the laptop came back"
    );
    for client in clients {
        let report = client.report(Duration::from_secs(60));
        assert!(report.error.is_none(), "{report:?}");
        assert!(report.bytes() > 5_000_000, "{} bytes, {:?}", report.bytes(), report.stalls());
    }
}

#[test]
fn a_stations_room_calls_it_when_its_gateway_died_and_nobody_does_anything() {
    let mut world = World::with_room_key(Some(&room_key()));
    world.wait_until_joined();
    let (client, _server) = talk(&world);
    let before = world.laptop.endpoint();
    assert_eq!(before, Some(world.gw.endpoint()));

    world.gw.kill();
    let killed = longest_pause(&world, 3_000_000);
    assert_eq!(world.laptop.endpoint(), Some(world.gw2.endpoint()), "it knows no other");
    let (at, epoch) = attached(&world.gw2, &world.laptop.node);
    assert_eq!(at, world.gw2.node.path());

    // The same the other way round, and who is back leaves the laptop where it is.
    world.gw.start(&world.lab);
    world.wait_for_gateways();
    let node = world.laptop.node.clone();
    wait_for("who is back is told", SOON, || {
        (attached(&world.gw, &node) == (at.clone(), epoch)).then_some(())
    });
    let replicas = || world.gw.flows().as_array().map_or(0, Vec::len);
    wait_for("who is back has the flows", SOON, || (replicas() >= 2).then_some(()));
    world.gw2.kill();
    let again = longest_pause(&world, 3_000_000);
    assert_eq!(attached(&world.gw, &node), (world.gw.node.path().to_owned(), epoch + 1));
    println!(
        "the room calls: nothing passed for {killed:.1?} when a gateway was killed, {again:.1?} for the other"
    );
    assert_goes_on(client);
}

#[test]
fn a_station_that_lets_nobody_in_finds_the_room_at_the_address_that_it_knows() {
    let mut world = World::with_room_key(Some(&room_key()));
    world.gw.namespace.ip(&format!("address add {SHARED}/24 dev eth0"));
    world.laptop.point_at(SocketAddr::from((SHARED, PORT)));
    world.laptop.namespace.nft(
        "table inet own { chain in { type filter hook input priority 0; iifname \"eth0\" ct state new drop; }; }",
    );
    world.wait_until_joined();
    let (client, _server) = talk(&world);

    world.gw.kill();
    world.gw.namespace.ip(&format!("address del {SHARED}/24 dev eth0"));
    world.gw2.namespace.ip(&format!("address add {SHARED}/24 dev eth0"));
    // WireGuard begins anew after 15 s without an answer.
    let killed = longest_pause(&world, 3_000_000);
    println!("one key, one address: nothing passed for {killed:.1?} when the gateway was killed");
    assert_eq!(attached(&world.gw2, &world.laptop.node).0, world.gw2.node.path());
    assert_goes_on(client);
}

fn room_key() -> PrivateKey {
    PrivateKey::generate().expect("the system has random bytes")
}

/// The laptop sends to the phone, and both its gateways know.
fn talk(world: &World) -> (Client, Server) {
    let phone = IpAddr::from(world.phone.node.v6);
    let server = Server::start(&world.lab, &world.phone.namespace, UP);
    let client = Client::start(&world.lab, &world.laptop.namespace, phone, UP, "-t 90 -b 3M -l 8K");
    let replicas = || world.gw2.flows().as_array().map_or(0, Vec::len);
    wait_for("the other gateway has the flows", SOON, || (replicas() >= 2).then_some(()));
    longest_pause(world, 2_000_000);
    assert_eq!(attached(&world.gw2, &world.laptop.node).0, world.gw.node.path());
    (client, server)
}

fn assert_goes_on(client: Client) {
    let report = client.report(Duration::from_secs(120));
    assert!(report.error.is_none(), "{report:?}");
}

#[test]
fn a_gateway_that_is_not_of_the_room_claims_no_station() {
    let world = World::new();
    world.wait_until_joined();
    let (own, gw) = (link_address(&world.rogue.public), link_address(&world.gw.node.public));
    let uplink = Uplink { allowed: vec![format!("{gw}/128")], ..world.gw.uplink(&[]) };
    let rogue = Station::join(&world.lab, &world.internet, &world.rogue, &uplink);
    let up = || (row(&world.gw, &world.rogue)["up"] == true).then_some(());
    wait_for("the rogue has a session", SOON, up);
    let before = attached(&world.gw, &world.laptop.node);
    let v6 = |node: &Node| -> Ipv6Addr { node.v6 };
    let claim = Claim { epoch: 1_000, gateway: v6(&world.rogue) };
    let entry = Entry { station: v6(&world.laptop.node), claim, seen: None }.to_bytes();
    let mut message = [0; MESSAGE_MAX];
    let len = Message::Attached(&[entry]).write(&mut message);
    let packet = Craft::between(own.into(), gw.into()).udp(LINK_PORT, LINK_PORT, &message[..len]);
    let injector = Injector::of(&rogue);
    wait_for("the claim is refused", SOON, || {
        injector.send(&packet);
        (world.gw.drops("foreign_claim") > 0).then_some(())
    });
    assert_eq!(attached(&world.gw, &world.laptop.node), before);
    wait_until_reached(&world.laptop.namespace, world.phone.node.v4.into(), SOON);
}
