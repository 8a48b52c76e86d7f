//! Two owners, two gateways, four stations.
//!
//! ```text
//!   nas (web) ──wg──┐                               ┌──wg── box (db)
//!   10.88.1.20 .21  gw ══════════ wg ══════════ door        10.89.1.20 .21
//!   laptop ─────wg──┘                               └──wg── phone
//!   room attic, owner alice                 room cellar, owner bob
//! ```
//!
//! Everything is allowed at every border at first. Then each of the eight borders between `web` and `db` is closed
//! alone, first where its owner's gateway has the roster, which travels to the other one. (That one gateway's say is
//! enough is shown in `tests/engine`.)

use std::net::SocketAddr;
use std::time::Duration;

use crate::lab::container::Container;
use crate::lab::echo::{Echo, tcp_answers};
use crate::lab::owner::Signed;
use crate::lab::ping::{Pinger, wait_until_reached};
use crate::lab::station::Uplink;
use crate::lab::{Gateway, Internet, Lab, Node, Owner, Room, Station, wait_for};

const SOON: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_millis(1200);

/// Both directions of the policy of one place, as TOML lines.
#[derive(Debug, Clone, Default)]
struct Policies {
    owner: String,
    room: String,
    station: String,
    application: String,
}

/// A side of the mesh: an owner, the room's gateway, and its two stations.
struct Side {
    owner: Owner,
    room: &'static str,
    gateway: Gateway,
    host: Station,
    plain: Station,
    application: Container,
    _echo: Echo,
}

/// What a side's roster needs to know before anything runs.
struct Plan {
    owner: Owner,
    room: &'static str,
    host: Node,
    plain: Node,
    application: Node,
    gateway: Gateway,
}

struct World {
    alice: Side,
    bob: Side,
    _internet: Internet,
    lab: Lab,
}

impl Plan {
    fn new(
        lab: &Lab,
        internet: &Internet,
        owner: Owner,
        room: &'static str,
        names: [&str; 4],
        net: &str,
    ) -> Self {
        let [gateway, host, application, plain] = names;
        let node = |path: &str, last: u8| owner.node(&format!("{room}/{path}"), &format!("{net}.{last}"));
        let gateway = Gateway::new(lab, internet, &owner, &node(gateway, 1));
        let (host, plain) = (node(host, 20), node(plain, 10));
        let application = node(&format!("{}/{application}", host.path.leaf()), 21);
        Self { owner, room, host, plain, application, gateway }
    }

    /// Signs this owner's roster; the other one is a friend.
    fn sign(&self, friend: &Owner, policies: &Policies) -> Signed {
        sign(
            &self.owner,
            &friend.as_friend(),
            self.room,
            &self.gateway,
            [&self.host, &self.application, &self.plain],
            policies,
        )
    }

    fn build(self, lab: &Lab, internet: &Internet, uplink: &Uplink) -> Side {
        let host = Station::join(lab, internet, &self.host, uplink);
        let plain = Station::join(lab, internet, &self.plain, uplink);
        let application = Container::start(&host, &self.application);
        let echo = Echo::on_every_port_of_eth0(&application.namespace);
        let Self { owner, room, gateway, .. } = self;
        Side { owner, room, gateway, host, plain, application, _echo: echo }
    }
}

fn sign(
    owner: &Owner,
    friend: &str,
    room: &str,
    gateway: &Gateway,
    [host, application, plain]: [&Node; 3],
    policies: &Policies,
) -> Signed {
    let Policies { owner: at_owner, room: at_room, station: at_station, application: at_application } =
        policies;
    let room = Room::new(room).lines(at_room).gateway(gateway);
    let room = room.station(host).lines(at_station).application(application).lines(at_application);
    owner.sign(&format_args!("{at_owner}\n{friend}\n{}", room.station(plain)))
}

impl Side {
    fn sign(&self, friend: &Owner, policies: &Policies) -> Signed {
        let nodes = [&self.host.node, &self.application.node, &self.plain.node];
        sign(&self.owner, &friend.as_friend(), self.room, &self.gateway, nodes, policies)
    }

    fn sign_without_friend(&self) -> Signed {
        let nodes = [&self.host.node, &self.application.node, &self.plain.node];
        let anybody = Policies { owner: "egress = [{ allow = \"any\" }]".into(), ..Policies::default() };
        sign(&self.owner, "", self.room, &self.gateway, nodes, &anybody)
    }
}

/// Owners let everything pass between each other; the rest has no policy.
fn open(friend: &str) -> Policies {
    let allow = format!(
        r#"egress = [{{ allow = "any", to = "{friend}" }}]
        ingress = [{{ allow = "any", from = "{friend}" }}]"#
    );
    Policies { owner: allow, ..Policies::default() }
}

impl World {
    fn new(alices: &Policies, bobs: &Policies) -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let bob = Owner::new(&lab, "bob", "10.89.0.0/16");
        let alice = Plan::new(&lab, &internet, alice, "attic", ["gw", "nas", "web", "laptop"], "10.88.1");
        let bob = Plan::new(&lab, &internet, bob, "cellar", ["door", "box", "db", "phone"], "10.89.1");
        let rosters = [alice.sign(&bob.owner, alices), bob.sign(&alice.owner, bobs)];
        let mut sides = [alice, bob];
        for side in &mut sides {
            side.gateway.start_with(&lab, &[&rosters[0], &rosters[1]]);
        }
        let [alice, bob] = sides;
        let uplinks = [&alice, &bob].map(|side| side.gateway.uplink(&[&alice.owner, &bob.owner]));
        let alice = alice.build(&lab, &internet, &uplinks[0]);
        let bob = bob.build(&lab, &internet, &uplinks[1]);
        for side in [&alice, &bob] {
            // Inside one room nothing is denied: it shows that all tunnels are up.
            for to in side.application.node.addresses() {
                wait_until_reached(&side.plain.namespace, to, Duration::from_secs(15));
            }
        }
        Self { alice, bob, _internet: internet, lab }
    }
}

/// Whether the one application reaches the other, in IPv4 and in IPv6.
fn passes(from: &Side, to: &Side) -> [bool; 2] {
    let asker = &*from.application.namespace;
    let ask = move |to| tcp_answers(asker, SocketAddr::new(to, 80), LIMIT);
    let [v4, v6] = to.application.node.addresses();
    std::thread::scope(|scope| {
        let v4 = scope.spawn(move || ask(v4));
        [v4.join().expect("asking does not panic"), ask(v6)]
    })
}

fn wait_until_passing(from: &Side, to: &Side) {
    let what = format!("{} reaches {}", from.application.node.path, to.application.node.path);
    wait_for(&what, Duration::from_secs(20), || (passes(from, to) == [true; 2]).then_some(()));
}

#[test]
fn cross_owner_traffic_needs_the_consent_of_both_owners() {
    let (closed, to_bob, to_alice) = (Policies::default(), open("bob"), open("alice"));
    let World { alice, bob, .. } = &World::new(&closed, &closed);
    let both = [passes(alice, bob), passes(bob, alice)];
    assert_eq!(both, [[false; 2]; 2], "strangers are closed to each other");
    let steps = [(&to_bob, &closed, false), (&closed, &to_alice, false), (&to_bob, &to_alice, true)];
    for (alices, bobs, consent) in steps {
        let rosters = [alice.sign(&bob.owner, alices), bob.sign(&alice.owner, bobs)];
        for side in [alice, bob] {
            side.gateway.reload(&[&rosters[0], &rosters[1]]);
        }
        for (from, to) in [(alice, bob), (bob, alice)] {
            if consent {
                wait_until_passing(from, to);
            }
            assert_eq!(passes(from, to), [consent; 2], "from {}", from.owner.name);
            let (from, to) = (from.application.node.path(), to.application.node.path());
            for side in [alice, bob] {
                assert_eq!(side.gateway.explain(&from, &to, "tcp/80").is_allowed, consent, "{from} to {to}");
            }
        }
        if consent {
            for to in bob.plain.node.addresses() {
                wait_until_reached(&alice.plain.namespace, to, SOON);
            }
        }
    }
}

#[test]
fn who_is_no_friend_any_more_is_nobody() {
    let World { alice, bob, lab, .. } = &World::new(&open("bob"), &open("alice"));
    wait_until_passing(alice, bob);
    let pinger = Pinger::start(lab, &bob.plain.namespace, alice.plain.node.v4.into(), LIMIT / 10);
    wait_for("bob's ping runs", SOON, || (pinger.answered() > 3).then_some(()));
    // Alice's gateway alone hears of it.
    alice.gateway.reload(&[&alice.sign_without_friend()]);
    assert_eq!([passes(alice, bob), passes(bob, alice)], [[false; 2]; 2]);
    let answered = pinger.answered();
    assert!(!bob.plain.reaches(alice.plain.node.v4), "a running ping ends as well");
    assert_eq!(pinger.answered(), answered);
    let told = alice.gateway.status()["owners"].to_string() + &alice.gateway.peers().to_string();
    assert!(!told.contains("bob"), "{told}");
}

#[test]
fn each_border_of_either_side_stops_what_alice_sends_to_bob_alone() {
    let World { alice, bob, .. } = &World::new(&open("bob"), &open("alice"));
    each_border_alone(alice, bob);
}

#[test]
fn each_border_of_either_side_stops_what_bob_sends_to_alice_alone() {
    let World { alice, bob, .. } = &World::new(&open("bob"), &open("alice"));
    each_border_alone(bob, alice);
}

#[derive(Debug, Clone, Copy)]
enum Border {
    Owner,
    Room,
    Station,
    Application,
}

/// The open policies with one border closed in one direction by a rule.
fn closed_at(border: Border, direction: &str, friend: &str) -> Policies {
    let mut policies = open(friend);
    let denial = format!("{direction} = [{{ allow = \"any\" }}, {{ deny = \"tcp/80\" }}]");
    match border {
        Border::Owner => {
            let other = if direction == "egress" { "ingress" } else { "egress" };
            policies.owner = format!("{denial}\n{other} = [{{ allow = \"any\" }}]");
        }
        Border::Room => policies.room = denial,
        Border::Station => policies.station = denial,
        Border::Application => policies.application = denial,
    }
    policies
}

fn each_border_alone(from: &Side, to: &Side) {
    wait_until_passing(from, to);
    for (side, other, direction) in [(from, to, "egress"), (to, from, "ingress")] {
        for border in [Border::Owner, Border::Room, Border::Station, Border::Application] {
            let path = side.application.node.path();
            let place: Vec<_> = path.split('/').take(border as usize + 1).collect();
            let place = place.join("/");
            let (friend, name) = (other.owner.name.as_str(), side.owner.name.as_str());
            let closed = side.sign(&other.owner, &closed_at(border, direction, friend));
            side.gateway.reload(&[&closed]);
            assert_eq!(
                passes(from, to),
                [false; 2],
                "{direction} of {place} is to stop it, known to {name}'s gateway alone"
            );
            let (source, target) = (from.application.node.path(), to.application.node.path());
            let verdict = side.gateway.explain(&source, &target, "tcp/80");
            assert_eq!(verdict.deniers(), [format!("{direction} of {place}")]);
            assert!(side.gateway.explain(&source, &target, "tcp/81").is_allowed, "the other ports stay open");
            other.gateway.reload(&[&closed]);
            assert_eq!(
                other.gateway.explain(&source, &target, "tcp/80"),
                verdict,
                "both gateways say the same"
            );
            assert_eq!(passes(from, to), [false; 2], "{direction} of {place} is to stop it, known to both");
            let open = side.sign(&other.owner, &open(friend));
            other.gateway.reload(&[&open]);
            // The owner's own gateway hears of it through the mesh.
            wait_until_passing(from, to);
            side.gateway.reload(&[&open]);
        }
    }
}
