//! Gateways that know each other by host name only.
//!
//! ```text
//!   laptop ──wg── gw (vpmesh, alice/attic) ══ "cellar.example:51888" ══ door (vpmesh, alice/cellar) ──wg── box
//!                  └── asks dnsmasq on the internet, which says first an IPv6 address where nobody is,
//!                      then the right IPv4 one; later the gateway moves, and dnsmasq says where
//! ```

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::lab::ping::wait_until_reached;
use crate::lab::process::{Process, Signal};
use crate::lab::{Gateway, Internet, Lab, Owner, Station};

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "cellar.example";

/// A name server on the internet, and who asks it.
struct Names {
    server: Process,
    hosts: PathBuf,
    asker: PathBuf,
}

impl Names {
    fn new(lab: &Lab, internet: &Internet, asker: &Gateway, addresses: &[&str]) -> Self {
        let hosts = lab.folder("names").join("hosts");
        write(&hosts, addresses);
        let mut command = internet.namespace().command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--log-facility=-",
            "--log-queries",
        ]);
        command.args(["--listen-address=192.0.2.1", "--bind-interfaces", "--pid-file=", "--local-ttl=0"]);
        command.arg(format!("--addn-hosts={}", hosts.display()));
        // `ip netns exec` lays this over the host's own file.
        let folder = PathBuf::from("/etc/netns").join(asker.namespace.name());
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join("resolv.conf"), "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n")
            .expect("a file can be written");
        let mut server = Process::start(lab, "dnsmasq", &mut command);
        server.wait_for_output("2 names", LIMIT);
        Self { server, hosts, asker: folder }
    }

    fn say(&self, addresses: &[&str]) {
        write(&self.hosts, addresses);
        self.server.signal(Signal::Hangup);
    }
}

fn write(hosts: &PathBuf, addresses: &[&str]) {
    let lines: String = addresses.iter().map(|address| format!("{address} {NAME}\n")).collect();
    fs::write(hosts, lines).expect("a file can be written");
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.asker);
    }
}

#[test]
fn a_gateway_is_found_by_name_in_either_family_and_again_after_it_moved() {
    let lab = Lab::new();
    let internet = Internet::new();
    let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
    let laptop = alice.node("attic/laptop", "10.88.1.10");
    let storage = alice.node("cellar/box", "10.88.2.10");
    let mut gw = Gateway::new(&lab, &internet, &alice, &alice.node("attic/gw", "10.88.1.1"));
    let mut door = Gateway::new(&lab, &internet, &alice, &alice.node("cellar/door", "10.88.2.1"));
    let roster = alice.sign(&format!(
        r#"
        [[room]]
        name = "attic"
          [[room.gateway]]
          name = "gw"
          ipv4 = "10.88.1.1"
          key  = "{gw_key}"
          [[room.station]]
          name = "laptop"
          ipv4 = "10.88.1.10"
          key  = "{laptop_key}"
        [[room]]
        name = "cellar"
          [[room.gateway]]
          name = "door"
          ipv4 = "10.88.2.1"
          key  = "{door_key}"
          endpoints = ["{NAME}:51888"]
          [[room.station]]
          name = "box"
          ipv4 = "10.88.2.10"
          key  = "{box_key}"
        "#,
        gw_key = gw.node.public,
        laptop_key = laptop.public,
        door_key = door.node.public,
        box_key = storage.public,
    ));
    // Nobody has the IPv6 address, and it is asked first.
    let names = Names::new(&lab, &internet, &gw, &["2001:db8::dead", &door.place.v4.to_string()]);
    for gateway in [&mut gw, &mut door] {
        gateway.take(&[&roster]);
        gateway.start(&lab);
    }
    let laptop = Station::join(&lab, &internet, &laptop, &gw.uplink(&[&alice]));
    let storage = Station::join(&lab, &internet, &storage, &door.uplink(&[&alice]));
    wait_until_reached(&storage.namespace, door.node.v4.into(), LIMIT);
    wait_until_reached(&laptop.namespace, storage.node.v4.into(), LIMIT);

    // The cellar's line gets another address while its gateway is off: nobody hears from it, and the old address
    // answers no more.
    door.stop();
    let old = door.place.v4;
    door.place = internet.move_host(&door.namespace, &door.place);
    assert_ne!(door.place.v4, old);
    names.say(&[&door.place.v4.to_string()]);
    door.start(&lab);
    let (interface, key, endpoint) = (storage.interface(), door.node.public, door.endpoint());
    storage.namespace.must(&format!("wg set {interface} peer {key} endpoint {endpoint}"));
    wait_until_reached(&storage.namespace, door.node.v4.into(), LIMIT);
    wait_until_reached(&laptop.namespace, storage.node.v4.into(), LIMIT);
}
