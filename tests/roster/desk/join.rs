//! `vpmesh invite` and `vpmesh join`: a new node, from the owner's desk to the roster's entry.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use vpmesh::config::Config;

use super::Desk;
use super::station::with_gateway;

/// A desk with a gateway that can be reached, and the line that it prints.
fn invited(node: &str) -> (Desk, String) {
    let desk = Desk::of_alice();
    with_gateway(&desk);
    let line = desk.good(&["invite", "alice.toml", "--node", node]);
    assert_eq!(line.lines().count(), 1, "a pipe gets the line alone: {line}");
    (desk, line.trim().to_owned())
}

fn config(desk: &Desk, name: &str) -> Config {
    Config::parse(name, desk.dir.path(), &desk.read(name)).unwrap()
}

#[test]
fn a_line_makes_a_key_and_a_configuration_and_its_entry_can_be_signed() {
    let (desk, line) = invited("alice/home/gw2");
    let entry =
        desk.good(&["join", &line, "--config", "new/node.toml", "--endpoint", "home2.example.net:51888"]);
    assert_eq!(desk.mode("new/node.key"), 0o600);
    assert!(desk.path("new/rosters").is_dir());
    let public = desk.good(&["key", "public", "new/node.key"]);
    assert!(entry.contains(public.trim()) && !entry.contains(desk.read("new/node.key").trim()), "{entry}");
    assert!(!line.contains(public.trim()), "the line is older than the key");

    let config = Config::parse("node.toml", &desk.path("new"), &desk.read("new/node.toml")).unwrap();
    assert_eq!(config.node.to_string(), "alice/home/gw2");
    assert_eq!(config.private_key, desk.path("new/node.key"));
    let at: Vec<_> = config.introducers.iter().map(|one| one.endpoint.to_string()).collect();
    assert_eq!(at, ["home.example.net:51888"]);

    // Below the room that the desk's roster ends with.
    let roster = desk.read("alice.toml");
    let (above, below) = roster.split_once("\n# friends come last").unwrap();
    desk.write("alice.toml", &format!("{above}\n{entry}\n# friends come last{below}"));
    desk.good(&["owner", "sign", "alice.toml"]);
    assert!(desk.bad(&["join", &line, "--config", "new/node.toml"]).contains("is not overwritten"));
    assert_eq!(desk.good(&["key", "public", "new/node.key"]), public);
}

#[test]
fn a_routers_configuration_is_changed_in_place() {
    let (desk, line) = invited("alice/home/gw2");
    let packaged =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openwrt/vpmesh/files/vpmesh.config"));
    let here = desk.dir.path().to_str().unwrap();
    let packaged = packaged.unwrap().replace("/etc/vpmesh/", &format!("{here}/"));
    desk.write("vpmesh", &packaged);
    fs::set_permissions(desk.path("vpmesh"), fs::Permissions::from_mode(0o640)).unwrap();

    let entry = desk.good(&["join", &line, "--config", "vpmesh"]);
    let joined = desk.read("vpmesh");
    assert_eq!(desk.mode("vpmesh"), 0o640);
    assert!(joined.contains("option enabled '1'") && !joined.contains("option enabled '0'"), "{joined}");
    assert!(
        joined.contains("# The owner's public key") && joined.contains("option listen '51888'"),
        "{joined}"
    );
    let read = config(&desk, "vpmesh");
    assert_eq!((read.node.to_string(), read.introducers.len()), ("alice/home/gw2".to_owned(), 1));
    assert_eq!(read.private_key, desk.path("node.key"));

    assert_eq!(desk.good(&["join", &line, "--config", "vpmesh"]), entry, "the key that is there stays");
    assert_eq!(desk.read("vpmesh"), joined);
    let other = line.replace("gw2", "gw3");
    assert!(desk.bad(&["join", &other, "--config", "vpmesh"]).contains("is of another node already"));
    assert_eq!(desk.read("vpmesh"), joined);
}

#[test]
fn a_line_without_a_name_is_completed_by_the_node() {
    let desk = Desk::of_alice();
    with_gateway(&desk);
    let line = desk.good(&["invite", "alice.toml"]);
    let line = line.trim();
    assert!(desk.bad(&["join", line, "--config", "node.toml"]).contains("--node"));
    assert!(desk.bad(&["join", line, "--config", "node.toml", "--node", "bob/hill"]).contains("\"alice\""));
    assert!(!desk.path("node.toml").exists() && !desk.path("node.key").exists());
    let entry = desk.good(&["join", line, "--config", "node.toml", "--node", "alice/hill"]);
    assert!(entry.contains("[[relay]]") && entry.contains("name = \"hill\""), "{entry}");
}

#[test]
fn a_roster_that_nobody_can_be_invited_by_says_why() {
    let desk = Desk::of_alice();
    assert!(desk.bad(&["invite", "alice.toml"]).contains("has endpoints"));
    with_gateway(&desk);
    assert!(desk.bad(&["invite", "alice.toml", "--node", "bob/cellar/gw"]).contains("not of \"bob\""));
    fs::remove_file(desk.path("alice.pub")).unwrap();
    assert!(desk.bad(&["invite", "alice.toml"]).contains("--owner-key"));
}
