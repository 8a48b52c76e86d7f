//! From nothing to a ping with the commands that a person uses.
//!
//! ```text
//!   laptop ──wg──┐              ┌──wg── phone     both from `vpmesh station add`
//!                gw (vpmesh) ───┘                 the roster from `vpmesh owner new` and `owner sign`
//!                room attic, owner alice
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::lab::command::must;
use crate::lab::gateway::VPMESH;
use crate::lab::ping::wait_until_reached;
use crate::lab::process::Process;
use crate::lab::wireguard::WireGuard;
use crate::lab::{Internet, Lab, Namespace, wait_for};

/// `vpmesh …` in a folder; its output.
fn vpmesh(dir: &Path, line: &str) -> String {
    must(Command::new(VPMESH).args(line.split_whitespace()).current_dir(dir))
}

/// All values of a key in a wg-quick file.
fn values<'f>(file: &'f str, key: &str) -> Vec<&'f str> {
    let lines = file.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| name.trim() == key);
    lines.flat_map(|(_, value)| value.split(',')).map(str::trim).collect()
}

#[test]
fn a_person_gets_from_nothing_to_a_ping() {
    let lab = Lab::new();
    let internet = Internet::new();
    let gateway = Namespace::new("gw");
    let place = internet.attach(&gateway);
    let dir = lab.folder("desk");
    vpmesh(&dir, "owner new alice");
    vpmesh(&dir, "key new node.key");
    let key = vpmesh(&dir, "key public node.key");
    let roster = format!(
        "owner = \"alice\"\nserial = 1\nipv4 = \"10.88.0.0/16\"\n[[room]]\nname = \"attic\"\n[[room.gateway]]\n\
         name = \"gw\"\nipv4 = \"10.88.1.1\"\nkey = \"{}\"\nendpoints = [\"{}:51888\"]\n",
        key.trim(),
        place.v4
    );
    fs::write(dir.join("alice.toml"), roster).expect("the roster can be written");
    for (name, last) in [("laptop", 10), ("phone", 11)] {
        let more = format!("--roster alice.toml --ipv4 10.88.1.{last} --out {name}.conf");
        vpmesh(&dir, &format!("station add alice/attic/{name} {more}"));
    }
    vpmesh(&dir, "check alice.toml");
    vpmesh(&dir, "owner sign alice.toml");
    // The signature is signify's as well as ours.
    must(
        Command::new("signify-openbsd").args(["-V", "-p", "alice.pub", "-m", "alice.toml"]).current_dir(&dir),
    );

    fs::create_dir(dir.join("rosters")).expect("a folder can be made");
    for file in ["alice.toml", "alice.toml.sig"] {
        fs::copy(dir.join(file), dir.join("rosters").join(file)).expect("a roster can be copied");
    }
    let config = "node = \"alice/attic/gw\"\nprivate_key = \"node.key\"\nowner_key = \"alice.pub\"\n\
                  rosters = \"rosters\"\ncontrol = \"vpmesh.sock\"\n";
    fs::write(dir.join("node.toml"), config).expect("the configuration can be written");
    vpmesh(&dir, "check --config node.toml");
    let mut daemon = gateway.command(VPMESH);
    let _daemon =
        Process::start(&lab, "vpmesh", daemon.arg("run").arg("--config").arg(dir.join("node.toml")));

    let clients = ["laptop", "phone"].map(|name| {
        let path = dir.join(format!("{name}.conf"));
        let mode = fs::metadata(&path).expect("the file is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "the file has a private key in it");
        let file = fs::read_to_string(&path).expect("the file can be read");
        let private = values(&file, "PrivateKey")[0];
        let roster = fs::read_to_string(dir.join("alice.toml")).expect("the roster can be read");
        assert!(!roster.contains(private), "the private key stays out of the roster");
        let host = Namespace::new(name);
        internet.attach(&host);
        (WireGuard::from_file(&lab, &host, &file), values(&file, "Address").join(" "), host)
    });
    let [(_, _, laptop), (_, phone, _)] = &clients;
    let addresses: Vec<_> = phone.split(' ').filter_map(|address| address.split('/').next()).collect();
    assert_eq!(addresses.len(), 2, "one address in each family: {phone}");
    wait_for("the daemon answers", Duration::from_secs(10), || {
        dir.join("vpmesh.sock").exists().then_some(())
    });
    for to in addresses {
        wait_until_reached(laptop, to.parse().expect("it is an address"), Duration::from_secs(15));
    }
}
