//! Two owners, and a flow that crosses eight borders with 200 rules:
//!
//! ```text
//! egress  of alice/attic/a/appN, alice/attic/a, alice/attic, alice
//! ingress of bob, bob/cellar, bob/cellar/b, bob/cellar/b/appN
//! ```
//!
//! One rule at each border lets the measured flows pass; the others are about other ports, prefixes and nodes, as
//! rules mostly are. There are eight applications at either end, for what one address costs in a hash table is chance.

use std::fmt::Write;
use std::net::IpAddr;

use crate::town::Town;

pub const GATEWAY: &str = "alice/attic/gw";
pub const STATION: &str = "alice/attic/a";
const FAR_GATEWAY: &str = "bob/cellar/gw";
const APPLICATIONS: usize = 8;
/// What every border lets pass.
pub const PASSING: u16 = 5201;
/// What only the last border denies.
pub const DENIED: u16 = 5300;

/// The gateway, its one station, and the gateway of the other room, with sessions.
pub fn town() -> Town {
    let rosters = [alice(), bob()];
    Town::new(&[("alice", &rosters[0]), ("bob", &rosters[1])], &[GATEWAY, FAR_GATEWAY], &[(STATION, GATEWAY)])
}

/// The address of the sending application of this number.
pub fn sender(town: &Town, number: usize, v6: bool) -> IpAddr {
    address(town, &format!("{STATION}/app{}", number % APPLICATIONS), v6)
}

/// The address of the receiving application of this number.
pub fn receiver(town: &Town, number: usize, v6: bool) -> IpAddr {
    address(town, &format!("bob/cellar/b/app{}", number % APPLICATIONS), v6)
}

/// The gateway's own.
pub fn own(town: &Town, v6: bool) -> IpAddr {
    address(town, GATEWAY, v6)
}

fn address(town: &Town, path: &str, v6: bool) -> IpAddr {
    if v6 { town.v6(path) } else { town.v4(path) }
}

/// `count` rules of one border, as a line of its TOML table.
fn rules(direction: &str, count: usize, last: bool) -> String {
    let first = if last {
        format!(r#"{{ allow = ["tcp/{PASSING}", "udp/{PASSING}", "icmp"] }}"#)
    } else {
        format!(r#"{{ allow = ["tcp/{PASSING}", "udp/{PASSING}", "udp/{DENIED}", "icmp"] }}"#)
    };
    let mut text = format!("{direction} = [{first}");
    for number in 1..count {
        let action = if number % 3 == 0 { "deny" } else { "allow" };
        let end = match number % 4 {
            0 => "bob/cellar".to_owned(),
            1 => format!("10.{}.{}.0/24", 88 + number % 2, 100 + number),
            2 => format!("2001:db8:{number}::/48"),
            _ => "internet".to_owned(),
        };
        let side = if direction == "egress" { "to" } else { "from" };
        let end = if side == "from" { end.replace("bob/cellar", "alice/attic") } else { end };
        let _ = write!(text, r#", {{ {action} = "tcp/{}", {side} = "{end}" }}"#, 6000 + number);
    }
    text + "]\n"
}

fn friend(owner: &str, prefix: &str) -> String {
    format!("[[friend]]\nowner = \"{owner}\"\nkey = \"OWNER({owner})\"\nipv4 = [\"{prefix}\"]\n")
}

fn gateway(owner_and_room: &str, endpoint: &str, address: &str) -> String {
    format!(
        "[[room.gateway]]\nname = \"gw\"\nkey = \"KEY({owner_and_room}/gw)\"\nendpoints = [\"{endpoint}:51888\"]\n\
         ipv4 = \"{address}\"\n"
    )
}

fn station(path: &str, address: &str, direction: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut text =
        format!("[[room.station]]\nname = \"{name}\"\nkey = \"KEY({path})\"\nipv4 = \"{address}\"\n");
    text += &rules(direction, 25, false);
    for number in 0..APPLICATIONS {
        let _ = write!(
            text,
            "[[room.station.application]]\nname = \"app{number}\"\nipv4 = \"{address}{number}\"\n{}",
            rules(direction, 3, direction == "ingress")
        );
    }
    text
}

fn alice() -> String {
    "owner = \"alice\"\nserial = 1\nipv4 = \"10.88.0.0/16\"\n".to_owned()
        + &rules("egress", 26, false)
        + &friend("bob", "10.89.0.0/16")
        + "[[room]]\nname = \"attic\"\n"
        + &rules("egress", 25, false)
        + &gateway("alice/attic", "203.0.113.1", "10.88.0.1")
        + &station(STATION, "10.88.1.1", "egress")
}

fn bob() -> String {
    "owner = \"bob\"\nserial = 1\nipv4 = \"10.89.0.0/16\"\n".to_owned()
        + &rules("ingress", 26, false)
        + &friend("alice", "10.88.0.0/16")
        + "[[room]]\nname = \"cellar\"\n"
        + &rules("ingress", 25, false)
        + &gateway("bob/cellar", "203.0.113.2", "10.89.0.1")
        + &station("bob/cellar/b", "10.89.1.1", "ingress")
}
