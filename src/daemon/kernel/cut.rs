//! Connections that the kernel goes on with, judged again.

use std::net::IpAddr;

use crate::os::netfilter::conntrack::{self, Connection, ConntrackError, Looked};
use crate::policy::{Judge, Place};
use crate::roster::NodeId;

/// Ends the kernel's connections that the judge denies. `own` are the router's own addresses: what is with them is with
/// the gateway's own host. Blocks.
///
/// # Errors
/// [`ConntrackError`]; those ended before it are.
pub(in crate::daemon) fn cut(
    judge: &Judge,
    gateway: NodeId,
    own: &[IpAddr],
) -> Result<Looked, ConntrackError> {
    conntrack::delete_where(|connection| is_denied(judge, gateway, own, connection))
}

/// Whether a connection may not go on. One that the table passes unjudged and that ends here all the same begins again
/// with its next packet: it is with this host, and no address of it is translated.
fn is_denied(judge: &Judge, gateway: NodeId, own: &[IpAddr], connection: &Connection) -> bool {
    let mut question = judge.question_of(&connection.tuple);
    let host = Place::Node(gateway);
    for end in [&mut question.from, &mut question.to] {
        if end.place == Place::Internet && end.address.is_some_and(|address| own.contains(&address)) {
            end.place = host;
        }
    }
    let places = [question.from.place, question.to.place];
    // Strangers are nobody's business here, and what the host itself says to them is the firewall's.
    if places.iter().all(|place| [Place::Internet, host].contains(place)) {
        return false;
    }
    !judge.judge(&question).is_allowed()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::signify::OwnerKey;
    use crate::packet::{Ports, Tuple};
    use crate::roster::{self, Model};

    const ROSTER: &str = r#"
        owner = "alice"
        serial = 1
        ipv4 = "10.88.0.0/16"
        egress = [{ allow = "tcp/443", to = "internet" }]
        [[room]]
        name = "attic"
        [[room.gateway]]
        name = "gw"
        key = "jNQKmw9jXRqaFHLnAXkqNMVSLuOmBmIsvBL8hz5zBzE="
        ingress = [{ allow = "udp/53" }]
        [[room.station]]
        name = "nas"
        lan = true
        ipv4 = "10.88.2.10"
    "#;

    fn judge() -> Judge {
        let roster = roster::parse(&Arc::from("alice.toml"), ROSTER.as_bytes()).unwrap();
        let key = OwnerKey { number: [0; 8], ed25519: [0; 32] };
        Judge::new(Arc::new(Model::join(&[(Arc::new(roster), key)]).unwrap().model))
    }

    fn connection(from: &str, to: &str, port: u16) -> Connection {
        let (src, dst) = (from.parse().unwrap(), to.parse().unwrap());
        let tuple = Tuple { src, dst, protocol: 6, ports: Ports::Known { src: 40_000, dst: port } };
        Connection { tuple, sent_to: dst, answered_to: src }
    }

    #[test]
    fn what_the_model_denies_ends_and_nothing_else() {
        let (judge, own) = (judge(), ["192.0.2.1".parse().unwrap()]);
        for (from, to, port, ends) in [
            ("10.88.2.10", "198.51.100.1", 443, false),
            ("10.88.2.10", "198.51.100.1", 80, true),
            ("198.51.100.1", "10.88.2.10", 443, true),
            // Between strangers, and between strangers and the router itself.
            ("203.0.113.1", "198.51.100.1", 80, false),
            ("203.0.113.1", "192.0.2.1", 80, false),
            ("192.0.2.1", "203.0.113.1", 80, false),
            // The router itself is the gateway's host.
            ("10.88.2.10", "192.0.2.1", 22, true),
            ("192.0.2.1", "10.88.2.10", 22, false),
        ] {
            let gateway = judge.model().find(&"alice/attic/gw".parse().unwrap()).unwrap();
            let is_denied = is_denied(&judge, gateway, &own, &connection(from, to, port));
            assert_eq!(is_denied, ends, "{from} to {to} tcp/{port}");
        }
    }
}
