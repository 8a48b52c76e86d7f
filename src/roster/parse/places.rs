//! Rooms and what is in them: gateways, stations, applications, guests; and relays, which are in none.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::super::selector::{CidrError, parse_cidr};
use super::super::{
    Application, Attachment, Guest, HostedGuest, Line, MeshNode, ROSTER_NODES_MAX, Room, Station,
};
use super::checker::{Checker, Fields, quoted};
use super::lists::{endpoints, tables, tags};
use super::policy::Policies;
use crate::base::{Name, NodePath, PublicKey};

const ROOM_KEYS: &[&str] = &["name", "key", "ipv6", "egress", "ingress", "gateway", "station"];
const GATEWAY_KEYS: &[&str] =
    &["name", "key", "endpoints", "ipv4", "ipv6", "tags", "egress", "ingress", "application", "guest"];
const STATION_KEYS: &[&str] =
    &["name", "key", "lan", "ipv4", "ipv6", "tags", "egress", "ingress", "application", "guest"];
const APPLICATION_KEYS: &[&str] = &["name", "ipv4", "ipv6", "tags", "egress", "ingress"];
const HOSTED_KEYS: &[&str] = &["owner", "name", "egress", "ingress"];
const GUEST_KEYS: &[&str] = &["name", "host", "ipv4", "ipv6", "tags", "egress", "ingress"];
const RELAY_KEYS: &[&str] = &["name", "key", "endpoints"];

pub(super) const KEY_MEND: &str = "write the base64 line that `vpmesh key public` prints";

/// Reads places. Keeps what may be there once only.
#[derive(Debug)]
pub(super) struct Places<'p> {
    pub own: &'p Name,
    /// The owner's claim.
    pub claim: Option<Ipv4Network>,
    pub policies: &'p mut Policies,
    pub friends: &'p BTreeMap<Name, Line>,
    pub once: Once,
    pub nodes: usize,
}

/// Where keys and addresses were seen first.
#[derive(Debug, Default)]
pub(super) struct Once {
    keys: hashbrown::HashMap<PublicKey, Line>,
    ipv4: hashbrown::HashMap<Ipv4Addr, Line>,
    ipv6: hashbrown::HashMap<Ipv6Addr, Line>,
    prefixes: hashbrown::HashMap<Ipv6Network, Line>,
}

/// The names of one scope.
pub(super) type Scope = hashbrown::HashMap<Name, Line>;

/// Enters a name, or faults that it is there.
pub(super) fn enter(scope: &mut Scope, name: Option<(Name, Line)>, c: &mut Checker<'_>) -> Option<Name> {
    let (name, line) = name?;
    if let Some(first) = scope.get(&name) {
        c.fault(line, format!("the name \"{name}\" is there twice; first in line {first}"), "choose another");
        return None;
    }
    scope.insert(name.clone(), line);
    Some(name)
}

/// What every node that can have a policy writes alike.
struct Common {
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
    tags: Vec<Name>,
}

impl Places<'_> {
    pub fn room(&mut self, fields: Fields<'_>, scope: &mut Scope, c: &mut Checker<'_>) -> Option<Room> {
        c.refuse_unknown(fields, ROOM_KEYS);
        let name = enter(scope, c.name(fields, "name"), c);
        let key = self.key(fields, c);
        let ipv6 = self.room_prefix(fields, c);
        let policy = self.policies.borders(fields, c);
        let mut inside = Scope::new();
        let mut gateways = Vec::new();
        for fields in tables(fields, "gateway", "a gateway", c) {
            gateways.extend(self.gateway(fields, &mut inside, c));
        }
        let mut stations = Vec::new();
        for fields in tables(fields, "station", "a station", c) {
            if !self.count(fields.line, c) {
                break;
            }
            stations.extend(self.station(fields, &mut inside, c));
        }
        Some(Room { name: name?, key, ipv6, policy, gateways, stations, line: fields.line })
    }

    fn gateway(&mut self, fields: Fields<'_>, scope: &mut Scope, c: &mut Checker<'_>) -> Option<MeshNode> {
        c.refuse_unknown(fields, GATEWAY_KEYS);
        let name = enter(scope, c.name(fields, "name"), c);
        let key = self.required_key(fields, c);
        let endpoints = endpoints(fields, c);
        let common = self.common(fields, c);
        let policy = self.policies.borders(fields, c);
        let (applications, hosted) = self.inside(fields, c);
        let Common { ipv4, ipv6, tags } = common;
        let line = fields.line;
        Some(MeshNode {
            name: name?,
            key: key?,
            endpoints,
            ipv4,
            ipv6,
            tags,
            policy,
            applications,
            hosted,
            line,
        })
    }

    /// A relay: names are the owner's, because it is in no room.
    pub fn relay(&mut self, fields: Fields<'_>, scope: &mut Scope, c: &mut Checker<'_>) -> Option<MeshNode> {
        c.refuse_unknown(fields, RELAY_KEYS);
        let name = enter(scope, c.name(fields, "name"), c);
        let key = self.required_key(fields, c);
        let endpoints = endpoints(fields, c);
        Some(MeshNode {
            name: name?,
            key: key?,
            endpoints,
            ipv4: None,
            ipv6: None,
            tags: Vec::new(),
            policy: Default::default(),
            applications: Vec::new(),
            hosted: Vec::new(),
            line: fields.line,
        })
    }

    fn station(&mut self, fields: Fields<'_>, scope: &mut Scope, c: &mut Checker<'_>) -> Option<Station> {
        c.refuse_unknown(fields, STATION_KEYS);
        let name = enter(scope, c.name(fields, "name"), c);
        let attachment = self.attachment(fields, c);
        let common = self.common(fields, c);
        let policy = self.policies.borders(fields, c);
        let (applications, hosted) = self.inside(fields, c);
        let Common { ipv4, ipv6, tags } = common;
        let line = fields.line;
        Some(Station {
            name: name?,
            attachment: attachment?,
            ipv4,
            ipv6,
            tags,
            policy,
            applications,
            hosted,
            line,
        })
    }

    fn attachment(&mut self, fields: Fields<'_>, c: &mut Checker<'_>) -> Option<Attachment> {
        match (fields.table.contains_key("key"), c.boolean(fields, "lan")) {
            (true, true) => {
                c.fault(
                    fields.line,
                    "a station with both `key` and `lan`",
                    "leave one out: it is attached one way",
                );
                None
            }
            (true, false) => self.key(fields, c).map(Attachment::WireGuard),
            (false, true) => Some(Attachment::Lan),
            (false, false) => {
                let mend = "write key = \"…\" (WireGuard), or lan = true (a plain host behind the gateway)";
                c.fault(fields.line, "a station without `key` and `lan`", mend);
                None
            }
        }
    }

    /// Applications and guests in a station: their names are one scope, because their places are.
    fn inside(&mut self, fields: Fields<'_>, c: &mut Checker<'_>) -> (Vec<Application>, Vec<HostedGuest>) {
        let mut scope = Scope::new();
        let mut applications = Vec::new();
        for fields in tables(fields, "application", "an application", c) {
            if !self.count(fields.line, c) {
                break;
            }
            c.refuse_unknown(fields, APPLICATION_KEYS);
            let name = enter(&mut scope, c.name(fields, "name"), c);
            applications.extend(self.application(fields, name, c));
        }
        let mut hosted = Vec::new();
        for fields in tables(fields, "guest", "a guest", c) {
            if !self.count(fields.line, c) {
                break;
            }
            hosted.extend(self.hosted(fields, &mut scope, c));
        }
        (applications, hosted)
    }

    fn application(
        &mut self,
        fields: Fields<'_>,
        name: Option<Name>,
        c: &mut Checker<'_>,
    ) -> Option<Application> {
        let Common { ipv4, ipv6, tags } = self.common(fields, c);
        let policy = self.policies.borders(fields, c);
        Some(Application { name: name?, ipv4, ipv6, tags, policy, line: fields.line })
    }

    fn hosted(&mut self, fields: Fields<'_>, scope: &mut Scope, c: &mut Checker<'_>) -> Option<HostedGuest> {
        c.refuse_unknown(fields, HOSTED_KEYS);
        let name = enter(scope, c.name(fields, "name"), c);
        let owner = c.name(fields, "owner").and_then(|(owner, line)| self.friend(owner, line, c));
        let policy = self.policies.borders(fields, c);
        Some(HostedGuest { owner: owner?, name: name?, policy, line: fields.line })
    }

    /// This owner's application inside another owner's station.
    pub fn guest(&mut self, fields: Fields<'_>, scope: &mut Scope, c: &mut Checker<'_>) -> Option<Guest> {
        c.refuse_unknown(fields, GUEST_KEYS);
        let name = enter(scope, c.name(fields, "name"), c);
        let host = c.required::<NodePath>(fields, "host", "write host = \"OWNER/ROOM/STATION\"");
        let host = host.and_then(|(host, line)| {
            if host.segments().len() != 3 {
                c.fault(
                    line,
                    format!("`host` \"{host}\" is no station"),
                    "write host = \"OWNER/ROOM/STATION\"",
                );
                return None;
            }
            self.friend(host.owner().clone(), line, c).map(|_| host)
        });
        let application = self.application(fields, name, c);
        Some(Guest { application: application?, host: host? })
    }

    /// The other owner of a guest: a friend, and not oneself.
    fn friend(&mut self, owner: Name, line: Line, c: &mut Checker<'_>) -> Option<Name> {
        if owner == *self.own {
            c.fault(
                line,
                format!("the guest's other owner is \"{owner}\" too"),
                "make it an [[…application]]",
            );
            return None;
        }
        if !self.friends.contains_key(&owner) {
            c.fault(
                line,
                format!("\"{owner}\" is no friend here"),
                format!("declare [[friend]] owner = \"{owner}\""),
            );
            return None;
        }
        Some(owner)
    }

    /// Counts a node; `false` when there are too many, told once.
    pub fn count(&mut self, line: Line, c: &mut Checker<'_>) -> bool {
        self.nodes += 1;
        if self.nodes == ROSTER_NODES_MAX + 1 {
            let what = format!("more than {ROSTER_NODES_MAX} stations and applications");
            c.fault(line, what, "split the owner in two");
        }
        self.nodes <= ROSTER_NODES_MAX
    }

    fn required_key(&mut self, fields: Fields<'_>, c: &mut Checker<'_>) -> Option<PublicKey> {
        c.require(fields, "key", KEY_MEND);
        self.key(fields, c)
    }

    fn key(&mut self, fields: Fields<'_>, c: &mut Checker<'_>) -> Option<PublicKey> {
        let (key, line) = c.parsed::<PublicKey>(fields, "key", KEY_MEND)?;
        if let Some(first) = self.once.keys.get(&key) {
            c.fault(
                line,
                format!("the key {key} is there twice; first in line {first}"),
                "give each node and room its own",
            );
            return None;
        }
        self.once.keys.insert(key, line);
        Some(key)
    }

    fn common(&mut self, fields: Fields<'_>, c: &mut Checker<'_>) -> Common {
        Common { ipv4: self.ipv4(fields, c), ipv6: self.ipv6(fields, c), tags: tags(fields, c) }
    }

    fn ipv4(&mut self, fields: Fields<'_>, c: &mut Checker<'_>) -> Option<Ipv4Addr> {
        let (address, line) =
            c.address::<Ipv4Addr>(fields, "ipv4", "IPv4", "write an address such as \"10.88.1.10\"")?;
        let Some(claim) = self.claim else {
            let mend = "claim addresses first, at the top: ipv4 = \"10.88.0.0/16\"";
            c.fault(line, format!("`ipv4` {address} without a claim of the owner"), mend);
            return None;
        };
        if !claim.contains(address) {
            c.fault(
                line,
                format!("`ipv4` {address} is outside the owner's claim"),
                format!("choose one in {claim}"),
            );
            return None;
        }
        if let Some(first) = self.once.ipv4.insert(address, line) {
            c.fault(
                line,
                format!("the address {address} is there twice; first in line {first}"),
                "choose another",
            );
        }
        Some(address)
    }

    fn ipv6(&mut self, fields: Fields<'_>, c: &mut Checker<'_>) -> Option<Ipv6Addr> {
        let mend = "write an address of the room's /64, or leave it out: it follows from the name";
        let (address, line) = c.address::<Ipv6Addr>(fields, "ipv6", "IPv6", mend)?;
        if let Some(first) = self.once.ipv6.insert(address, line) {
            c.fault(
                line,
                format!("the address {address} is there twice; first in line {first}"),
                "choose another",
            );
        }
        Some(address)
    }

    fn room_prefix(&mut self, fields: Fields<'_>, c: &mut Checker<'_>) -> Option<Ipv6Network> {
        let (text, line) = c.text(fields, "ipv6")?;
        let mend = match parse_cidr(text) {
            Ok(IpNetwork::V6(prefix)) if prefix.prefix() == 64 => {
                if let Some(first) = self.once.prefixes.insert(prefix, line) {
                    let what = format!("the prefix {prefix} is there twice; first in line {first}");
                    c.fault(line, what, "choose another");
                }
                return Some(prefix);
            }
            Err(CidrError::HostBits(cidr)) if cidr.prefix() == 64 => format!("write {cidr}"),
            _ => "write a /64 of the owner's /48, or leave it out: it follows from the name".into(),
        };
        c.fault(line, format!("`ipv6` {} is no prefix of a room", quoted(text)), mend);
        None
    }
}
