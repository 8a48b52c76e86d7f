//! Rosters that must not be taken.
//!
//! ```text
//!   laptop ──wg──┐               ┌──wg── phone     takes tcp/22 and ping from the laptop
//!                gw (vpmesh) ────┘
//!                room attic, owner alice
//! ```
//!
//! Each one is refused at reload with its reason, and the policy that runs stays in force.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::lab::echo::{Echo, tcp_answers};
use crate::lab::owner::Signed;
use crate::lab::ping::wait_until_reached;
use crate::lab::{Attic, Gateway, Internet, Lab, Owner, Station, wait_for};
use vpmesh::base::PublicKey;

const LIMIT: Duration = Duration::from_millis(1200);

struct World {
    alice: Owner,
    laptop: Station,
    phone: Station,
    gateway: Gateway,
    _echo: Echo,
    _internet: Internet,
    lab: Lab,
}

/// All of the roster but its policy at the phone.
fn body(
    gateway: &Gateway,
    laptop: &crate::lab::Node,
    phone: &crate::lab::Node,
    phone_ingress: &str,
) -> String {
    format!(
        r#"
[[room]]
name = "attic"
  [[room.gateway]]
  name = "gw"
  key  = "{gateway_key}"
  endpoints = ["{endpoint}"]
  [[room.station]]
  name = "laptop"
  ipv4 = "10.88.1.10"
  key  = "{laptop_key}"
  [[room.station]]
  name = "phone"
  ipv4 = "10.88.1.11"
  key  = "{phone_key}"
  ingress = {phone_ingress}
"#,
        gateway_key = gateway.node.public,
        endpoint = gateway.endpoint(),
        laptop_key = laptop.public,
        phone_key = phone.public,
    )
}

const SSH: &str = r#"[{ allow = ["icmp", "tcp/22"] }]"#;
const ALL: &str = r#"[{ allow = "any" }]"#;

impl World {
    fn new() -> Self {
        let mut attic = Attic::new(Lab::new());
        let nodes = attic.nodes(["laptop", "phone"]);
        // A few serials have been before.
        for _ in 0..4 {
            attic.alice.sign(&"");
        }
        attic.start(&body(&attic.gateway, &nodes[0], &nodes[1], SSH));
        let [laptop, phone] = nodes.map(|node| attic.join(&node));
        wait_until_reached(&laptop.namespace, phone.node.v4.into(), Duration::from_secs(10));
        let echo = phone.echo();
        let Attic { gateway, alice, internet, lab } = attic;
        Self { alice, laptop, phone, gateway, _echo: echo, _internet: internet, lab }
    }

    /// The roster that would open everything, were it taken.
    fn open(&self) -> String {
        body(&self.gateway, &self.laptop.node, &self.phone.node, ALL)
    }

    /// Refused with words that say why, and nothing has changed.
    fn refuses(&self, what: &str, bad: &Signed, words: &[&str]) {
        let said = self.gateway.reload_in_vain(&[bad]);
        for word in words {
            assert!(
                said.to_lowercase().contains(word),
                "{what}: the refusal doesn't speak of {word:?}: {said}"
            );
        }
        assert!(said.len() < 4000, "{what}: the refusal is {} bytes long", said.len());
        self.is_as_before(what);
    }

    fn is_as_before(&self, what: &str) {
        for to in self.phone.node.addresses() {
            assert!(self.laptop.reaches(to), "{what}: ping is allowed as before");
            assert!(
                tcp_answers(&*self.laptop.namespace, SocketAddr::new(to, 22), LIMIT),
                "{what}: tcp/22 as before"
            );
            assert!(
                !tcp_answers(&*self.laptop.namespace, SocketAddr::new(to, 23), LIMIT),
                "{what}: tcp/23 as before"
            );
        }
    }

    /// Shows that the open roster would have been taken, rightly signed.
    fn takes_the_open_one(&self) {
        self.gateway.reload(&[&self.alice.sign(&self.open())]);
        let to = SocketAddr::new(self.phone.node.v4.into(), 23);
        assert!(tcp_answers(&*self.laptop.namespace, to, LIMIT), "tcp/23 is open now");
    }
}

fn header(serial: u64) -> String {
    format!("owner = \"alice\"\nserial = {serial}\nipv4 = \"10.88.0.0/16\"\n")
}

#[test]
fn rosters_that_are_not_rightly_signed_are_refused_and_the_running_policy_stays() {
    let world = World::new();
    let unsigned = world.alice.unsigned(&(header(50) + &world.open()));
    world.refuses("unsigned", &unsigned, &["alice.toml", "sig"]);

    let mallory = Owner::new(&world.lab, "alice", "10.88.0.0/16");
    let wrong_key = mallory.sign_with_serial(&world.open(), 51);
    world.refuses("signed by another key", &wrong_key, &["alice.toml", "sign"]);

    let corrupted = world.alice.sign_with_serial(&world.open(), 52);
    let mut bytes = std::fs::read(&corrupted.toml).expect("the roster was written");
    let at = bytes.len() - 3;
    bytes[at] ^= 1;
    std::fs::write(&corrupted.toml, bytes).expect("the roster can be written");
    world.refuses("a corrupted byte", &corrupted, &["alice.toml", "sign"]);

    let broken = world.alice.sign_with_serial(&world.open(), 53);
    std::fs::write(&broken.signature, "untrusted comment: x\nRWQ\n").expect("the signature can be written");
    world.refuses("a broken signature", &broken, &["alice.toml"]);

    world.takes_the_open_one();
}

#[test]
fn a_roster_never_goes_back_nor_changes_under_its_serial() {
    let mut world = World::new();
    let older = world.alice.sign_with_serial(&world.open(), 2);
    world.refuses("an older serial", &older, &["alice.toml", "serial"]);
    let other = world.alice.sign_with_serial(&world.open(), 5);
    world.refuses("the same serial with other content", &other, &["alice.toml", "serial"]);
    // Serials are kept on disk: a restart forgets nothing, and serves what was accepted.
    world.gateway.stop();
    world.gateway.take(&[&older]);
    world.gateway.start(&world.lab);
    // It answers before it has read its rosters.
    wait_for("the old roster is spoken of", Duration::from_secs(20), || {
        world.gateway.log().contains("serial").then_some(())
    });
    // A stock client asks for a new session when what it sent was not answered for fifteen seconds.
    for station in [&world.laptop, &world.phone] {
        wait_until_reached(&station.namespace, world.gateway.node.v6.into(), Duration::from_secs(40));
    }
    world.is_as_before("after a restart");
    world.takes_the_open_one();
}

#[test]
fn rosters_that_contradict_themselves_are_refused_with_file_and_line() {
    let world = World::new();
    let open = world.open();
    let sign = |text: &str, serial| world.alice.sign_text(&(header(serial) + text));

    let long = "x".repeat(10_000);
    let named = open.replace("name = \"phone\"", &format!("name = \"{long}\""));
    world.refuses("a name of 10,000 characters", &sign(&named, 60), &["alice.toml:16", "10000"]);

    let guests = "[[guest]]\nname = \"a\"\nhost = \"alice/b\"\n[[guest]]\nname = \"b\"\nhost = \"alice/a\"\n";
    world.refuses("a cycle of guests", &sign(&(guests.to_owned() + &open), 61), &["alice.toml:6", "host"]);

    let guests = "[[guest]]\nname = \"a\"\nhost = \"alice/attic/phone\"\n";
    world.refuses("a guest at home", &sign(&(guests.to_owned() + &open), 62), &["alice.toml:6", "guest"]);

    let twice = open.replace("name = \"phone\"", "name = \"laptop\"");
    world.refuses("one name twice", &sign(&twice, 63), &["alice.toml", "laptop"]);

    let same_key = open.replace(&world.phone.node.public.to_string(), &world.laptop.node.public.to_string());
    world.refuses("one key twice", &sign(&same_key, 64), &["alice.toml", "key"]);

    let unknown = open.replace("ingress = [", "ingres = [");
    world.refuses("an unknown key", &sign(&unknown, 65), &["alice.toml:", "ingres"]);

    world.refuses("no TOML", &sign("[[room]\nname", 66), &["alice.toml:"]);

    let test = "[[test]]\nfrom = \"alice/attic/laptop\"\nto = \"alice/attic/phone\"\nservice = \"tcp/23\"\nexpect = \"deny\"\n";
    world.refuses("a test that fails", &sign(&(test.to_owned() + &open), 67), &["alice.toml:", "test"]);

    world.takes_the_open_one();
}

#[test]
fn a_hundred_thousand_stations_and_more_take_neither_the_policy_nor_the_memory() {
    let world = World::new();
    for (count, must_refuse) in [(100_000, false), (200_000, true)] {
        let mut text = header(100 + count / 1000) + &world.open();
        for number in 0..count {
            let key = PublicKey::from_bytes(key_bytes(number)).expect("it is not weak");
            text += &format!("[[room.station]]\nname = \"s{number}\"\nkey = \"{key}\"\n");
        }
        let roster = world.alice.sign_text(&text);
        world.gateway.take(&[&roster]);
        let start = Instant::now();
        let outcome = world.gateway.tool_within(&["reload"], Duration::from_secs(120));
        let words = outcome.stdout.clone() + &outcome.stderr;
        eprintln!(
            "{count} stations: {:?} in {:?}, {:?}",
            outcome.code,
            start.elapsed(),
            world.gateway.usage()
        );
        assert!(outcome.code.is_some() && words.len() < 4000, "{} bytes were said", words.len());
        if must_refuse || !outcome.is_success() {
            assert!(!outcome.is_success() && words.contains("alice.toml"), "{outcome:?}");
        }
        if !outcome.is_success() {
            world.is_as_before("too many stations");
        }
        for to in world.phone.node.addresses() {
            assert!(world.laptop.reaches(to), "the room is served");
        }
    }
    let usage = world.gateway.usage();
    assert!(usage.resident_max < 512 * 1024, "{usage:?}");
}

/// Any bytes but a few make a public key; these are cheap and all different.
fn key_bytes(number: u64) -> [u8; 32] {
    let mut bytes = [7; 32];
    bytes[8..16].copy_from_slice(&number.to_be_bytes());
    bytes
}
