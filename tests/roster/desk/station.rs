//! `vpmesh key` and `vpmesh station add`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use vpmesh::base::signify::OwnerSecret;
use vpmesh::roster;

use super::Desk;
use crate::person::key;

#[test]
fn a_wireguard_key_is_made_once_and_shows_its_public_half() {
    let desk = Desk::new();
    let public = desk.good(&["key", "new", "node.key"]);
    assert_eq!((desk.mode("node.key"), public.trim().len()), (0o600, 44));
    assert!(desk.bad(&["key", "new", "node.key"]).contains("is not overwritten"));
    assert_eq!(desk.good(&["key", "public", "node.key"]), public);
    let mut child = Command::new(env!("CARGO_BIN_EXE_vpmesh"))
        .args(["key", "public", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(desk.read("node.key").as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), public);
    fs::set_permissions(desk.path("node.key"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(desk.bad(&["key", "public", "node.key"]).contains("chmod 600"));
}

/// A room with a gateway that stations can reach.
pub(super) fn with_gateway(desk: &Desk) {
    let bob = OwnerSecret::from_seed([2; 8], &[2; 32]).public();
    let roster = desk.read("alice.toml").replace("# ipv4 = \"10.88", "ipv4   = \"10.88");
    let gateway = format!(
        "\n  [[room.gateway]]   # the one with the antenna\n  name = \"gw\"\n  key  = \"{}\"\n  \
         endpoints = [\"home.example.net:51888\"]\n\n# friends come last\n[[friend]]\nowner = \"bob\"\n\
         key = \"{bob}\"\nipv4 = \"10.89.0.0/16\"\n",
        key(1)
    );
    desk.write("alice.toml", &(roster + &gateway));
}

#[test]
fn a_station_is_added_with_its_file_and_the_roster_never_sees_the_private_key() {
    let desk = Desk::of_alice();
    with_gateway(&desk);
    let before = desk.read("alice.toml");
    let add = ["station", "add", "alice/home/laptop", "--roster", "alice.toml"];
    let more = ["--ipv4", "10.88.1.10", "--tag", "admin", "--out", "laptop.conf"];
    let output = desk.run(&[add.as_slice(), &more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = desk.read("alice.toml");
    let config = desk.read("laptop.conf");
    let value = |name: &str| {
        let line = config.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.unwrap_or_else(|| panic!("{name} is in {config}")).to_owned()
    };

    assert_eq!(desk.mode("laptop.conf"), 0o600);
    let private: vpmesh::base::PrivateKey = value("PrivateKey").parse().unwrap();
    let station = format!(
        "  endpoints = [\"home.example.net:51888\"]\n\n  [[room.station]]\n  name = \"laptop\"\n  key  = \"{}\"\n  \
         ipv4 = \"10.88.1.10\"\n  tags = [\"admin\"]\n\n# friends come last\n",
        private.public()
    );
    assert_eq!(
        after,
        before.replace("  endpoints = [\"home.example.net:51888\"]\n\n# friends come last\n", &station)
    );
    assert!(!after.contains(&value("PrivateKey")));
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&value("PrivateKey")));

    let roster = std::sync::Arc::new(roster::parse("", after.as_bytes()).unwrap());
    let model = roster::Model::join(&[(roster, desk.key("alice.pub"))]).unwrap().model;
    let node = model.node(model.find(&"alice/home/laptop".parse().unwrap()).unwrap());
    assert_eq!(value("Address"), format!("{}/128, 10.88.1.10/32", node.ipv6.unwrap()));
    let bob = OwnerSecret::from_seed([2; 8], &[2; 32]).public().prefix();
    let own = desk.key("alice.pub").prefix();
    assert_eq!(value("AllowedIPs"), format!("10.88.0.0/16, {own}, 10.89.0.0/16, {bob}"));
    assert_eq!(value("PublicKey"), key(1));
    assert_eq!(
        (value("Endpoint").as_str(), value("PersistentKeepalive").as_str()),
        ("home.example.net:51888", "25")
    );
    assert_eq!(value("MTU"), "1420");
    assert_eq!(scanned(&desk, &String::from_utf8(output.stdout).unwrap()), config);

    let again = desk.bad(&[add.as_slice(), &more].concat());
    assert!(again.contains("the name \"laptop\" is there twice"), "{again}");
    assert_eq!(desk.read("alice.toml"), after);
    desk.good(&["owner", "sign", "alice.toml", "--serial", "auto"]);
}

/// What a camera reads from the half blocks of a QR code on a dark terminal.
fn scanned(desk: &Desk, shown: &str) -> String {
    const SCALE: usize = 4;
    // Light modules are blocks, so a dark one is a space.
    let halves = |c: char| match c {
        '█' => [255, 255],
        '▀' => [255, 0],
        '▄' => [0, 255],
        _ => [0, 0],
    };
    let lines: Vec<Vec<char>> =
        shown.lines().filter(|l| !l.is_empty()).map(|line| line.chars().collect()).collect();
    let width = lines[0].len() * SCALE;
    let mut image = format!("P5 {width} {} 255\n", lines.len() * 2 * SCALE).into_bytes();
    for line in &lines {
        for half in 0..2 {
            let row: Vec<u8> = line.iter().flat_map(|c| [halves(*c)[half]; SCALE]).collect();
            image.extend(row.repeat(SCALE));
        }
    }
    fs::write(desk.path("code.pgm"), image).unwrap();
    let output = Command::new("zbarimg").args(["--raw", "-q"]).arg(desk.path("code.pgm")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned() + "\n"
}

#[test]
fn a_station_without_out_prints_its_file_alone_down_a_pipe() {
    let desk = Desk::of_alice();
    with_gateway(&desk);
    let said = desk.good(&[
        "station",
        "add",
        "alice/home/phone",
        "--roster",
        "alice.toml",
        "--internet",
        "--mtu",
        "1280",
    ]);
    assert!(said.starts_with("[Interface]\n# alice/home/phone\nPrivateKey = "), "{said}");
    assert!(said.contains("\nMTU = 1280\n") && said.contains("\nAllowedIPs = 0.0.0.0/0, ::/0\n"), "{said}");
    assert!(said.ends_with("PersistentKeepalive = 25\n"), "{said}");
}

#[test]
fn a_station_of_a_room_with_a_key_is_given_that_one() {
    let desk = Desk::of_alice();
    with_gateway(&desk);
    let public = desk.good(&["key", "new", "room.key"]);
    let keyed = format!("[[room]]\nkey = \"{}\"\nname = \"home\"", public.trim());
    desk.write("alice.toml", &desk.read("alice.toml").replace("[[room]]\nname = \"home\"", &keyed));
    let said = desk.good(&["station", "add", "alice/home/phone", "--roster", "alice.toml"]);
    assert!(said.contains(&format!("\nPublicKey = {public}")), "{said}");
    assert!(said.contains("\nEndpoint = home.example.net:51888\n"), "{said}");
    assert!(desk.read("alice.toml").contains(&keyed), "the room keeps its key");
}

#[test]
fn a_lan_station_has_no_key_and_no_file() {
    let desk = Desk::of_alice();
    with_gateway(&desk);
    let said = desk.good(&["station", "add", "alice/home/nas", "--roster", "alice.toml", "--lan"]);
    assert_eq!(said, "");
    assert!(desk.read("alice.toml").contains("  [[room.station]]\n  name = \"nas\"\n  lan  = true\n"));
}

#[test]
fn a_station_that_can_not_be_added_leaves_everything_as_it_was() {
    let desk = Desk::of_alice();
    with_gateway(&desk);
    let before = desk.read("alice.toml");
    let cases: [(&[&str], &str); 8] = [
        (&["alice/home"], "write OWNER/ROOM/NAME"),
        (&["bob/home/laptop"], "is the roster of \"alice\""),
        (&["alice/hall/laptop"], "has no room \"hall\""),
        (&["alice/home/gw"], "the name \"gw\" is there twice"),
        (&["alice/home/laptop", "--ipv4", "10.99.0.1"], "is outside the owner's claim"),
        (&["alice/home/laptop", "--gateway", "gate"], "has no gateway \"gate\""),
        (&["alice/home/laptop", "--owner-key", "none.pub"], "none.pub: No such file"),
        (&["alice/home/laptop", "--out", "no/folder/x.conf"], "No such file"),
    ];
    for (args, text) in cases {
        let said = desk.bad(&[&["station", "add", "--roster", "alice.toml"], args].concat());
        assert!(said.contains(text), "{args:?}: {said}");
        assert_eq!(desk.read("alice.toml"), before);
    }
    fs::remove_file(desk.path("alice.pub")).unwrap();
    let said =
        desk.bad(&["station", "add", "alice/home/laptop", "--roster", "alice.toml", "--out", "l.conf"]);
    assert!(said.contains("alice.pub: is not there, and addresses follow from it"), "{said}");
    assert!(!desk.path("l.conf").exists());
}
