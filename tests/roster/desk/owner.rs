//! `vpmesh owner`, held against `signify` itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use vpmesh::base::signify::{OwnerSecret, Signature};
use vpmesh::roster;

use super::Desk;

#[test]
fn an_owner_starts_with_a_key_and_a_roster_that_can_be_signed() {
    let desk = Desk::new();
    let said = desk.good(&["owner", "new", "alice"]);
    assert_eq!((desk.mode("alice.sec"), desk.mode("alice.pub")), (0o600, 0o644));
    assert!(said.contains(&desk.key("alice.pub").to_string()) && said.contains("/48"), "{said}");
    let before = desk.read("alice.sec");
    desk.bad(&["owner", "new", "alice"]);
    assert_eq!(desk.read("alice.sec"), before, "a key is never overwritten");
    desk.good(&["check", "alice.toml"]);
    desk.good(&["owner", "sign", "alice.toml"]);
    let said = desk.good(&["owner", "verify", "alice.toml", "--key", "alice.pub"]);
    assert!(said.ends_with(": alice, serial 1\n"), "{said}");
    assert_eq!(desk.run(&["owner", "new", "No Name"]).status.code(), Some(2));
}

#[test]
fn signify_verifies_what_vpmesh_signs() {
    let desk = Desk::of_alice();
    desk.good(&["owner", "sign", "alice.toml"]);
    assert!(desk.signify(&["-V", "-p", "alice.pub", "-m", "alice.toml", "-x", "alice.toml.sig"]));
    desk.write("alice.toml", &desk.read("alice.toml").replace("home", "hole"));
    assert!(!desk.signify(&["-V", "-p", "alice.pub", "-m", "alice.toml", "-x", "alice.toml.sig"]));
}

#[test]
fn vpmesh_verifies_and_signs_with_what_signify_makes() {
    let desk = Desk::of_alice();
    assert!(desk.signify(&["-G", "-n", "-c", "bob's", "-p", "bob.pub", "-s", "bob.sec"]));
    desk.write("bob.toml", "owner = \"bob\"\nserial = 1\n");
    assert!(desk.signify(&["-S", "-s", "bob.sec", "-m", "bob.toml", "-x", "bob.toml.sig"]));
    desk.good(&["owner", "verify", "bob.toml", "--key", "bob.pub"]);
    desk.good(&["owner", "verify", "bob.toml", "--key", &desk.key("bob.pub").to_string()]);
    let said = desk.bad(&["owner", "verify", "bob.toml", "--key", "alice.pub"]);
    assert!(said.contains("is by the key with number"), "{said}");

    let secret = OwnerSecret::parse_file(&desk.read("bob.sec")).unwrap();
    assert_eq!(secret.public(), desk.key("bob.pub"));
    assert_eq!(secret.public().number(), desk.key("bob.pub").number());
    desk.good(&["owner", "sign", "bob.toml", "--serial", "2"]);
    assert!(desk.signify(&["-V", "-p", "bob.pub", "-m", "bob.toml", "-x", "bob.toml.sig"]));
}

#[test]
fn signify_signs_with_a_key_that_vpmesh_made() {
    let desk = Desk::of_alice();
    assert!(desk.signify(&["-S", "-s", "alice.sec", "-m", "alice.toml", "-x", "alice.toml.sig"]));
    desk.good(&["owner", "verify", "alice.toml", "--key", "alice.pub"]);
    let signature = Signature::parse_file(desk.read("alice.toml.sig").as_bytes()).unwrap();
    assert_eq!(signature.number(), desk.key("alice.pub").number());
}

#[test]
fn a_key_with_a_passphrase_and_a_key_that_others_may_read_are_refused_with_the_mend() {
    let desk = Desk::of_alice();
    // What `signify -G` makes of a passphrase: 42 rounds.
    let locked = "untrusted comment: signify secret key\nRWRCSwAAACqMrHjA7gT9lcXwMIrJmFQkb4iQuMkuArf8McuX7okOeEUQ\
                  c5KC551zOQnoV6+vmKk7/ylv7e9SRiLnTHzflbr2OPYzHqp/6a/xLGOhJzjPsv1CpAYkMQqNegJfFduwswc=\n";
    desk.write("locked.sec", locked);
    fs::set_permissions(desk.path("locked.sec"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = desk.bad(&["owner", "sign", "alice.toml", "--key", "locked.sec"]);
    assert!(said.contains("is locked with a passphrase; make one without"), "{said}");
    fs::set_permissions(desk.path("alice.sec"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = desk.bad(&["owner", "sign", "alice.toml"]);
    assert!(said.contains("chmod 600"), "{said}");
    assert!(!desk.path("alice.toml.sig").exists());
}

#[test]
fn a_serial_only_goes_up() {
    let desk = Desk::of_alice();
    let sign = |more: &[&str]| desk.run(&[&["owner", "sign", "alice.toml"], more].concat());
    let serial = || roster::parse("", desk.read("alice.toml").as_bytes()).unwrap().serial;
    assert!(sign(&[]).status.success());
    let first = desk.read("alice.toml");
    let said = desk.good(&["owner", "sign", "alice.toml", "--serial", "auto"]);
    assert!(said.contains("is signed already, serial 1"), "{said}");

    desk.write("alice.toml", &(first.clone() + "# changed\n"));
    let said = desk.bad(&["owner", "sign", "alice.toml"]);
    assert!(said.contains("serial 1 was signed before; sign with --serial auto"), "{said}");
    assert!(sign(&["--serial", "auto"]).status.success());
    assert_eq!(serial(), 2);
    let expected = first.replace("serial = 1 ", "serial = 2 ") + "# changed\n";
    assert_eq!(desk.read("alice.toml"), expected, "nothing but the serial changes");

    assert!(sign(&["--serial", "9"]).status.success());
    assert!(!sign(&["--serial", "9"]).status.success());
    assert!(!sign(&["--serial", "8"]).status.success());
    assert_eq!(serial(), 9);
    // A higher one that a person wrote stays.
    desk.write("alice.toml", &desk.read("alice.toml").replace("serial = 9 ", "serial = 20 "));
    assert!(sign(&["--serial", "auto"]).status.success());
    assert_eq!(serial(), 20);
    desk.good(&["owner", "verify", "alice.toml", "--key", "alice.pub"]);
}

#[test]
fn a_roster_at_fault_is_not_signed_and_stays_as_it_is() {
    let desk = Desk::of_alice();
    let bad = desk.read("alice.toml") + "colour = \"red\"\n[[egress]]\nallow = \"tcp/x\"\n";
    desk.write("alice.toml", &bad);
    let said = desk.bad(&["owner", "sign", "alice.toml", "--serial", "5"]);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("alice.toml:")), "{said}");
    assert!(!desk.path("alice.toml.sig").exists());
    assert_eq!(desk.read("alice.toml"), bad);
    assert_eq!(desk.bad(&["check", "alice.toml"]), said);
}

#[test]
fn another_owners_key_does_not_sign() {
    let desk = Desk::of_alice();
    desk.good(&["owner", "new", "bob"]);
    let said = desk.bad(&["owner", "sign", "alice.toml", "--key", "bob.sec"]);
    assert!(said.contains("alice.pub: is not the public key of bob.sec"), "{said}");
}
