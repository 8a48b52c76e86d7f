//! Rosters that travel.
//!
//! ```text
//!   laptop ──wg──┐                    ┌──wg── thief, to be revoked
//!               attic ════ wg ════ cellar
//!   room attic, alice  ╲          ╱   room cellar, alice
//!                       ═ door ══
//!                         room den, owner bob
//! ```
//!
//! Every gateway starts with the same files. What is published at one of them reaches the others by itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::lab::command::{must, run};
use crate::lab::gateway::VPMESH;
use crate::lab::owner::Signed;
use crate::lab::ping::wait_until_reached;
use crate::lab::{Gateway, Internet, Lab, Node, Owner, Room, Station, wait_for};

const SOON: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(60);

struct World {
    alice: Owner,
    bob: Owner,
    attic: Gateway,
    cellar: Gateway,
    door: Gateway,
    laptop: Node,
    thief: Node,
    internet: Internet,
    lab: Lab,
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let bob = Owner::new(&lab, "bob", "10.89.0.0/16");
        let attic = Gateway::new(&lab, &internet, &alice, &alice.node("attic/attic", "10.88.1.1"));
        let cellar = Gateway::new(&lab, &internet, &alice, &alice.node("cellar/cellar", "10.88.2.1"));
        let door = Gateway::new(&lab, &internet, &bob, &bob.node("den/door", "10.89.1.1"));
        let laptop = alice.node("attic/laptop", "10.88.1.10");
        let thief = alice.node("cellar/thief", "10.88.2.10");
        let mut world = Self { alice, bob, attic, cellar, door, laptop, thief, internet, lab };
        let (alice, bob) = (world.sign_alice(true, ""), world.sign_bob());
        for gateway in [&mut world.attic, &mut world.cellar, &mut world.door] {
            gateway.start_with(&world.lab, &[&alice, &bob]);
        }
        let up = |gateway: &Gateway| gateway.status()["peers_up"].as_u64() >= Some(2);
        let all = || [&world.attic, &world.cellar, &world.door].into_iter().all(up).then_some(());
        wait_for("the gateways reach each other", LONG, all);
        world
    }

    fn alice_body(&self, with_thief: bool, note: &str) -> String {
        let attic = Room::new("attic").gateway(&self.attic).station(&self.laptop);
        let cellar = Room::new("cellar").gateway(&self.cellar);
        let cellar = if with_thief { cellar.station(&self.thief) } else { cellar };
        format!("{}{attic}{cellar}{note}", self.bob.as_friend())
    }

    fn sign_alice(&self, with_thief: bool, note: &str) -> Signed {
        self.alice.sign(&self.alice_body(with_thief, note))
    }

    fn sign_bob(&self) -> Signed {
        self.bob.sign(&format_args!("{}{}", self.alice.as_friend(), Room::new("den").gateway(&self.door)))
    }

    fn wait_for_serial(&self, gateway: &Gateway, owner: &str, serial: u64) {
        let what = format!("{} has {owner}'s serial {serial}", gateway.node.path);
        wait_for(&what, SOON, || (serial_at(gateway, owner) == Some(serial)).then_some(()));
    }
}

fn serial_at(gateway: &Gateway, owner: &str) -> Option<u64> {
    let status = gateway.status();
    let owners = status["owners"].as_array()?;
    owners.iter().find(|row| row["owner"] == owner)?["serial"].as_u64()
}

fn publish(gateway: &Gateway, roster: &Signed) -> Result<String, String> {
    let outcome = gateway.tool(&["owner", "publish", &roster.toml.to_string_lossy()]);
    if outcome.is_success() { Ok(outcome.stdout) } else { Err(outcome.stdout + &outcome.stderr) }
}

#[test]
fn a_roster_published_at_one_gateway_revokes_a_station_at_another() {
    let world = World::new();
    let laptop =
        Station::join(&world.lab, &world.internet, &world.laptop, &world.attic.uplink(&[&world.alice]));
    let thief =
        Station::join(&world.lab, &world.internet, &world.thief, &world.cellar.uplink(&[&world.alice]));
    wait_until_reached(&thief.namespace, laptop.node.v4.into(), SOON);
    let without = world.sign_alice(false, "");
    let words = publish(&world.attic, &without).unwrap();
    assert!(words.contains("alice's roster with serial 2 is in force"), "{words}");
    for gateway in [&world.attic, &world.cellar, &world.door] {
        world.wait_for_serial(gateway, "alice", 2);
        let name = "alice.toml";
        let stored = || {
            let same = |file: &str, from: &PathBuf| {
                fs::read(gateway.rosters().join(file)).ok() == fs::read(from).ok()
            };
            (same(name, &without.toml) && same("alice.toml.sig", &without.signature)).then_some(())
        };
        wait_for("the new roster is stored", SOON, stored);
    }
    assert!(!thief.reaches(laptop.node.v4), "the thief is out");
    let peers = world.cellar.peers().to_string();
    assert!(!peers.contains("alice/cellar/thief"), "{peers}");
    let row = &world.cellar.status()["owners"][0];
    assert!(row["from"].is_string(), "{row}");
    // What the other owner publishes goes the other way.
    publish(&world.door, &world.sign_bob()).unwrap();
    for gateway in [&world.attic, &world.cellar] {
        world.wait_for_serial(gateway, "bob", 2);
    }
}

#[test]
fn a_station_publishes_at_its_gateway_and_what_is_old_or_signed_twice_or_forged_is_refused() {
    let world = World::new();
    let laptop =
        Station::join(&world.lab, &world.internet, &world.laptop, &world.attic.uplink(&[&world.alice]));
    wait_until_reached(&laptop.namespace, world.attic.node.v6.into(), SOON);
    let bring = |roster: &Signed| {
        let mut command = laptop.namespace.command(VPMESH);
        command.args(["owner", "publish"]).arg(&roster.toml).arg("--to").arg(world.attic.node.v6.to_string());
        let outcome = run(&mut command, Duration::from_secs(20));
        if outcome.is_success() { Ok(outcome.stdout) } else { Err(outcome.stdout + &outcome.stderr) }
    };
    let second = world.sign_alice(true, "");
    let words = bring(&second).unwrap();
    assert!(words.contains("alice's roster is in force"), "{words}");
    for gateway in [&world.attic, &world.cellar, &world.door] {
        world.wait_for_serial(gateway, "alice", 2);
    }
    let old = world.alice.sign_with_serial(&world.alice_body(true, ""), 1);
    let words = bring(&old).unwrap_err();
    assert!(words.contains("has serial 1, and 2 was accepted before"), "{words}");
    let twice = world.alice.sign_with_serial(&world.alice_body(false, "# other\n"), 2);
    let words = publish(&world.cellar, &twice).unwrap_err();
    assert!(words.contains("has serial 2 a second time, with other content"), "{words}");
    assert!(world.cellar.log().contains("a second time"), "{}", world.cellar.log());
    let mallory = Owner::new(&world.lab, "alice", "10.88.0.0/16");
    let forged = mallory.sign_with_serial(&world.alice_body(false, ""), 9);
    for words in [bring(&forged).unwrap_err(), publish(&world.cellar, &forged).unwrap_err()] {
        assert!(words.contains("its signature is by no owner who is accepted here"), "{words}");
    }
    for gateway in [&world.attic, &world.cellar, &world.door] {
        assert_eq!(serial_at(gateway, "alice"), Some(2));
    }
}

#[test]
fn a_disk_that_is_full_keeps_the_old_roster_whole_and_the_new_one_is_in_force() {
    let mut world = World::new();
    world.cellar.stop();
    let folder = world.cellar.rosters();
    let files: Vec<_> = ["alice.toml", "alice.toml.sig", "bob.toml", "bob.toml.sig"]
        .map(|file| (file, fs::read(folder.join(file)).unwrap()))
        .into();
    must(Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(&folder));
    let _mounted = Mounted(folder.clone());
    for (file, bytes) in &files {
        fs::write(folder.join(file), bytes).unwrap();
    }
    world.cellar.start(&world.lab);
    wait_for("it serves", SOON, || serial_at(&world.cellar, "alice"));
    wait_for("it keeps", SOON, || folder.join(".accepted").is_dir().then_some(()));
    let mut filling = vec![0; 1 << 20];
    while !filling.is_empty() && fs::write(folder.join("filling"), &filling).is_err() {
        let less = filling.len() - 4096;
        filling.truncate(less);
    }
    publish(&world.attic, &world.sign_alice(false, "")).unwrap();
    world.wait_for_serial(&world.cellar, "alice", 2);
    let said = || world.cellar.log().contains("can't be stored").then_some(());
    wait_for("it is said aloud", SOON, said);
    for (file, bytes) in &files {
        assert!(fs::read(folder.join(file)).unwrap() == *bytes, "{file} is as it was");
    }
    // A reload doesn't go back, and once there is room the roster is there.
    assert!(world.cellar.tool(&["reload"]).is_success(), "{}", world.cellar.log());
    assert_eq!(serial_at(&world.cellar, "alice"), Some(2));
    fs::remove_file(folder.join("filling")).unwrap();
    assert!(world.cellar.tool(&["reload"]).is_success(), "{}", world.cellar.log());
    let stored = || (fs::read(folder.join("alice.toml")).unwrap() != files[0].1).then_some(());
    wait_for("the new roster is stored", SOON, stored);
}

/// A mount that is taken away however the test ends.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
