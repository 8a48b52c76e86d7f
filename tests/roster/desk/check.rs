//! `vpmesh check`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Desk;

#[test]
fn check_reads_rosters_beside_each_other() {
    let desk = Desk::new();
    for name in ["alice.toml", "bob.toml"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name), desk.path(name)).unwrap();
    }
    let said = desk.good(&["check", "alice.toml", "bob.toml"]);
    assert_eq!(
        said,
        "alice.toml: good: alice, serial 7, 2 rooms, 7 stations, 8 tests\n\
         bob.toml: good: bob, serial 3, 1 rooms, 3 stations, 3 tests\n"
    );
    desk.write(
        "bob.toml",
        &desk.read("bob.toml").replace("10.89.0.0/16", "10.88.0.0/16").replace("= \"10.89", "= \"10.88"),
    );
    let said = desk.bad(&["check", "alice.toml", "bob.toml", "none.toml"]);
    assert!(said.contains("none.toml: No such file"), "{said}");
    assert!(said.contains("alice.toml:"), "{said}");
    assert!(desk.bad(&["check", "bob.toml"]).contains("bob.pub: addresses are written"), "no key is known");
}

/// A node's folder, complete and good.
fn node(desk: &Desk) -> String {
    let public = desk.good(&["key", "new", "node.key"]);
    let roster = desk.read("alice.toml")
        + &format!("  [[room.gateway]]\n  name = \"gw\"\n  key = \"{}\"\n", public.trim());
    desk.write("alice.toml", &roster);
    desk.good(&["owner", "sign", "alice.toml"]);
    fs::create_dir(desk.path("rosters")).unwrap();
    for file in ["alice.toml", "alice.toml.sig"] {
        fs::copy(desk.path(file), desk.path("rosters").join(file)).unwrap();
    }
    let config = "node = \"alice/home/gw\"\nprivate_key = \"node.key\"\nowner_key = \"alice.pub\"\n\
                  rosters = \"rosters\"\n";
    desk.write("node.toml", config);
    config.to_owned()
}

#[test]
fn check_finds_what_would_keep_a_node_from_starting() {
    let desk = Desk::of_alice();
    let config = node(&desk);
    assert_eq!(desk.good(&["check", "--config", "node.toml"]), "node.toml: good: alice/home/gw\n");
    assert!(!desk.path("rosters/.accepted").exists(), "checking touches nothing");

    let check = || desk.bad(&["check", "--config", "node.toml"]);
    fs::set_permissions(desk.path("node.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(check().contains("others may read this secret (mode 0644)"));
    fs::remove_file(desk.path("node.key")).unwrap();
    assert!(check().contains("node.key: there is no private key; make one"));
    desk.good(&["key", "new", "node.key"]);
    assert!(check().contains("and this node's private key belongs to"));
    desk.write("node.toml", &config.replace("home/gw", "home/gate"));
    assert!(check().contains("node.toml: node = \"alice/home/gate\" is no gateway"));
    desk.write("node.toml", &config.replace("alice.pub", "none.pub"));
    assert!(check().contains("none.pub: No such file"));
    desk.write("node.toml", &config.replace("\"rosters\"", "\"nowhere\""));
    assert!(check().contains("nowhere: No such file"));
    desk.write("node.toml", &config);
    desk.write("rosters/alice.toml", &(desk.read("alice.toml") + "\n"));
    assert!(check().contains("its signature"), "{}", check());
    fs::remove_file(desk.path("rosters/alice.toml")).unwrap();
    assert!(check().contains("alice.toml: the own owner's roster is not there"));
    desk.write("node.toml", "colour = 1\n");
    assert!(check().contains("node.toml:1: "));
}

#[test]
fn check_finds_a_room_whose_key_is_not_here() {
    let desk = Desk::of_alice();
    let room = desk.good(&["key", "new", "room.key"]);
    let keyed = format!("[[room]]\nkey = \"{}\"\nname = \"home\"", room.trim());
    desk.write("alice.toml", &desk.read("alice.toml").replace("[[room]]\nname = \"home\"", &keyed));
    let config = node(&desk);
    let check = || desk.bad(&["check", "--config", "node.toml"]);
    assert!(check().contains("and this node has no room_key; stations that know the room"), "{}", check());
    desk.write("node.toml", &format!("{config}room_key = \"room.key\"\n"));
    assert_eq!(desk.good(&["check", "--config", "node.toml"]), "node.toml: good: alice/home/gw\n");
    fs::set_permissions(desk.path("room.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(check().contains("others may read this secret (mode 0644)"));
    fs::remove_file(desk.path("room.key")).unwrap();
    assert!(check().contains("room.key: there is no private key; copy it from another gateway"));
    desk.good(&["key", "new", "room.key"]);
    assert!(check().contains("the private key that room_key names here belongs to"));

    let desk = Desk::of_alice();
    let config = node(&desk);
    desk.good(&["key", "new", "room.key"]);
    desk.write("node.toml", &format!("{config}room_key = \"room.key\"\n"));
    let output = desk.run(&["check", "--config", "node.toml"]);
    assert!(output.status.success(), "no reason not to start");
    assert!(String::from_utf8_lossy(&output.stderr).contains("room_key is not used"), "{output:?}");
}

#[test]
fn a_roster_that_fails_its_own_test_is_not_signed_and_not_good() {
    let desk = Desk::of_alice();
    let test = |to: &str, expect: &str| {
        format!(
            "[[test]]\nfrom = \"alice/home/nas\"\nto = \"{to}\"\nservice = \"tcp/443\"\nexpect = \"{expect}\"\n"
        )
    };
    let station = "[[room.station]]\nname = \"nas\"\nlan = true\n";
    let roster = desk.read("alice.toml") + station;
    desk.write("alice.toml", &(roster.clone() + &test("internet", "allow") + &test("internet", "deny")));
    let said = desk.bad(&["owner", "sign", "alice.toml"]);
    assert!(said.starts_with("alice.toml:") && said.contains("the test fails: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!desk.path("alice.toml.sig").exists());
    assert_eq!(desk.bad(&["check", "alice.toml"]), said);
    desk.write("alice.toml", &(roster + &test("internet", "allow")));
    desk.good(&["owner", "sign", "alice.toml"]);
}
