//! A guest, an application of alice's inside bob's station.
//!
//! ```text
//!   laptop ──wg── gw ══════════ wg ══════════ door ──wg── box (job: alice's guest)
//!   room attic, owner alice                   room cellar, owner bob
//! ```
//!
//! The guest answers to its own owner's name and stands at its host's place: between it and alice's laptop lie bob's
//! borders, and both rosters have to say that it is there.

use std::net::SocketAddr;
use std::time::Duration;

use crate::lab::container::Container;
use crate::lab::echo::{Echo, tcp_answers};
use crate::lab::owner::Signed;
use crate::lab::ping::wait_until_reached;
use crate::lab::{Gateway, Internet, Lab, Node, Owner, Room, Station, wait_for};

const LIMIT: Duration = Duration::from_millis(1200);

/// Bob lets alice's nodes in by their names, and so the guest out by its own.
const BOBS_CONSENT: &str = r#"
    egress  = [{ allow = "any", from = "alice/job", to = "alice" }]
    ingress = [{ allow = "any", from = "alice", to = "alice/job" }]
"#;
const ALICES_CONSENT: &str = r#"
    egress  = [{ allow = "any", to = "alice/job" }]
    ingress = [{ allow = "any", from = "alice/job" }]
"#;
const HOSTED: &str = r#"
    [[room.station.guest]]
    owner = "alice"
    name  = "job"
"#;
/// The host's own word at the guest's border.
const HOSTED_WITHOUT_80: &str = r#"
    [[room.station.guest]]
    owner = "alice"
    name  = "job"
    ingress = [{ allow = "any" }, { deny = "tcp/80" }]
"#;

struct World {
    alice: Owner,
    bob: Owner,
    gw: Gateway,
    door: Gateway,
    laptop: Station,
    host: Station,
    job: Container,
    _echo: Echo,
    _internet: Internet,
    _lab: Lab,
}

fn sign_alice(alice: &Owner, bob: &Owner, gw: &Gateway, laptop: &Node) -> Signed {
    let (friend, room) = (bob.as_friend(), Room::new("attic").gateway(gw).station(laptop));
    alice.sign(&format_args!(
        r#"
        {ALICES_CONSENT}
        {friend}
        [[guest]]
        name = "job"
        host = "bob/cellar/box"
        ipv4 = "10.88.9.1"
        {room}
        "#,
    ))
}

fn sign_bob(bob: &Owner, alice: &Owner, door: &Gateway, host: &Node, consent: &str, guest: &str) -> Signed {
    let room = Room::new("cellar").gateway(door).station(host).lines(guest);
    bob.sign(&format_args!("{consent}\n{}\n{room}", alice.as_friend()))
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let bob = Owner::new(&lab, "bob", "10.89.0.0/16");
        let mut gw = Gateway::new(&lab, &internet, &alice, &alice.node("attic/gw", "10.88.1.1"));
        let mut door = Gateway::new(&lab, &internet, &bob, &bob.node("cellar/door", "10.89.1.1"));
        let (laptop, host) = (alice.node("attic/laptop", "10.88.1.10"), bob.node("cellar/box", "10.89.1.20"));
        let job = alice.guest("job", "10.88.9.1");
        let alices = sign_alice(&alice, &bob, &gw, &laptop);
        let bobs = sign_bob(&bob, &alice, &door, &host, BOBS_CONSENT, HOSTED);
        for gateway in [&mut gw, &mut door] {
            gateway.start_with(&lab, &[&alices, &bobs]);
        }
        let laptop = Station::join(&lab, &internet, &laptop, &gw.uplink(&[&alice, &bob]));
        let host = Station::join(&lab, &internet, &host, &door.uplink(&[&alice, &bob]));
        let job = Container::start(&host, &job);
        let echo = Echo::on_every_port_of_eth0(&job.namespace);
        Self { alice, bob, gw, door, laptop, host, job, _echo: echo, _internet: internet, _lab: lab }
    }

    fn give_bobs(&self, consent: &str, guest: &str) {
        let bobs = sign_bob(&self.bob, &self.alice, &self.door, &self.host.node, consent, guest);
        for gateway in [&self.gw, &self.door] {
            gateway.reload(&[&bobs]);
        }
    }

    /// Whether the laptop's question is answered by the guest, in both families.
    fn answers(&self, port: u16) -> [bool; 2] {
        let ask = |to| tcp_answers(&*self.laptop.namespace, SocketAddr::new(to, port), LIMIT);
        self.job.node.addresses().map(ask)
    }

    fn wait_until_answered(&self, port: u16) {
        wait_for("the guest answers", Duration::from_secs(20), || {
            (self.answers(port) == [true; 2]).then_some(())
        });
    }
}

#[test]
fn a_guest_is_reached_by_its_owners_name_where_both_rosters_say_so() {
    let world = World::new();
    world.wait_until_answered(80);
    for to in world.laptop.node.addresses() {
        wait_until_reached(&world.job.namespace, to, Duration::from_secs(10));
    }
    let verdict = world.gw.explain("alice/attic/laptop", "alice/job", "tcp/80");
    let crossed: Vec<_> = verdict.borders.iter().map(|b| b.border.as_str()).collect();
    assert!(verdict.is_allowed, "{verdict:?}");
    assert_eq!(crossed[..3], ["alice/attic/laptop", "alice/attic", "alice"]);
    assert_eq!(crossed[3..6], ["bob", "bob/cellar", "bob/cellar/box"]);
    // Bob's host says no word at its guest's border, then one: it holds beside alice's.
    world.give_bobs(BOBS_CONSENT, HOSTED_WITHOUT_80);
    assert_eq!(world.answers(80), [false; 2]);
    world.wait_until_answered(81);
    // Bob no longer takes the guest in: it is nowhere.
    world.give_bobs(BOBS_CONSENT, "");
    assert_eq!(world.answers(81), [false; 2]);
    world.give_bobs(BOBS_CONSENT, HOSTED);
    world.wait_until_answered(80);
}

#[test]
fn a_guest_crosses_the_borders_of_its_host_and_not_those_of_its_owner() {
    let world = World::new();
    world.wait_until_answered(80);
    world.give_bobs("", HOSTED);
    assert_eq!(world.answers(80), [false; 2], "bob's border is closed to strangers, and alice is one");
    let verdict = world.door.explain("alice/attic/laptop", "alice/job", "tcp/80");
    assert_eq!(verdict.deniers(), ["ingress of bob"]);
    // Within bob's station no border of bob's is crossed, but the guest's own is.
    let verdict = world.door.explain("bob/cellar/box", "alice/job", "tcp/80");
    assert!(verdict.borders.iter().all(|b| b.border != "bob" && b.border != "bob/cellar/box"), "{verdict:?}");
}
