//! Owners at their desks: the rosters that they write and sign. A roster is a draft until it is signed, and every
//! signing raises its serial.

use std::fmt::Write as _;
use std::sync::Arc;

use vpmesh::base::PrivateKey;
use vpmesh::base::signify::OwnerSecret;
use vpmesh::mesh::accept::{Offer, Own};
use vpmesh::roster::{self, Model};

use crate::rng::Rng;

pub const OWNERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];
/// What rules speak of and flows ask for.
const SERVICES: [&str; 6] = ["any", "icmp", "udp/7000", "udp/7001-7005", "tcp/445", "udp/9"];

#[derive(Debug)]
pub struct Desk {
    pub owner: String,
    secret: OwnerSecret,
    serial: u64,
    /// Which IPv4 /16 is its claim.
    number: usize,
    pub friends: Vec<usize>,
    pub rooms: Vec<Room>,
    pub relays: Vec<Relay>,
    egress: Vec<String>,
    ingress: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Room {
    pub name: String,
    /// A name that the resolver knows; `None`: the gateway can't be reached unasked.
    pub endpoint: Option<String>,
    /// The name of a second gateway, if there is one.
    pub twin: Option<String>,
    /// Whether stations know both by the room's key.
    pub keyed: bool,
    /// Whether the roster lists the gateways.
    pub listed: bool,
    pub stations: Vec<Draft>,
    egress: Option<Vec<String>>,
    ingress: Option<Vec<String>>,
}

/// A relay as a roster has it.
#[derive(Debug, Clone)]
pub struct Relay {
    pub name: String,
    /// A name that the resolver knows.
    pub endpoint: String,
    pub listed: bool,
}

/// A station as a roster has it.
#[derive(Debug, Clone)]
pub struct Draft {
    pub name: String,
    pub lan: bool,
    pub v4: bool,
    pub listed: bool,
    ingress: Option<Vec<String>>,
}

/// A node's WireGuard key, by its path.
pub fn key(path: &str) -> PrivateKey {
    PrivateKey::from_random(vpmesh::mesh::accept::hash(path.as_bytes()))
}

fn secret(owner: &str) -> OwnerSecret {
    let seed = vpmesh::mesh::accept::hash(owner.as_bytes());
    OwnerSecret::from_seed([seed[0], seed[1], seed[2], seed[3], 0, 0, 0, 1], &seed)
}

impl Desk {
    pub fn new(owner: &str, number: usize, friends: Vec<usize>) -> Self {
        let (egress, ingress) = (Vec::new(), Vec::new());
        Self {
            owner: owner.to_owned(),
            secret: secret(owner),
            serial: 0,
            number,
            friends,
            rooms: Vec::new(),
            relays: Vec::new(),
            egress,
            ingress,
        }
    }

    pub fn own(&self) -> Own {
        Own { owner: self.owner.parse().unwrap(), key: self.secret.public() }
    }

    /// Writes the owner's border anew.
    pub fn draw_policy(&mut self, names: &[String], rng: &mut Rng) {
        for outward in [true, false] {
            let side = if outward { "to" } else { "from" };
            let mut rules = Vec::new();
            for &friend in &self.friends {
                if rng.per_mille(750) {
                    let service = if rng.per_mille(600) { "any" } else { rng.pick(&SERVICES) };
                    rules.push(format!("{{ allow = \"{service}\", {side} = \"{}\" }}", names[friend]));
                }
                if rng.per_mille(150) {
                    let service = rng.pick(&SERVICES[1..]);
                    rules.push(format!("{{ deny = \"{service}\", {side} = \"{}\" }}", names[friend]));
                }
            }
            if rng.per_mille(400) {
                let service = rng.pick(&SERVICES);
                rules.push(format!("{{ allow = \"{service}\", {side} = \"internet\" }}"));
            }
            *if outward { &mut self.egress } else { &mut self.ingress } = rules;
        }
    }

    /// Writes the border of a room, or of a station of it, anew.
    pub fn draw_inner_policy(&mut self, room: usize, names: &[String], rng: &mut Rng) {
        let mut outside =
            vec!["any".to_owned(), "internet".to_owned(), "kind:station".to_owned(), self.owner.clone()];
        outside.extend(self.friends.iter().map(|&friend| names[friend].clone()));
        outside.extend(self.rooms.iter().map(|room| format!("{}/{}", self.owner, room.name)));
        let rules = |side: &str, rng: &mut Rng| {
            let mut rule = || {
                let action = if rng.per_mille(750) { "allow" } else { "deny" };
                let (service, other) = (rng.pick(&SERVICES), rng.pick(&outside).clone());
                format!("{{ {action} = \"{service}\", {side} = \"{other}\" }}")
            };
            (0..3).map(|_| rule()).collect::<Vec<_>>()
        };
        let room = &mut self.rooms[room];
        match rng.below(8) {
            0 => room.ingress = Some(rules("from", rng)),
            1 => room.egress = Some(rules("to", rng)),
            2 => (room.ingress, room.egress) = (None, None),
            3 => room.ingress = rng.per_mille(300).then(Vec::new),
            _ if room.stations.is_empty() => {}
            other => {
                let station = rng.index(room.stations.len());
                room.stations[station].ingress = match other {
                    4 => None,
                    5 if rng.per_mille(300) => Some(Vec::new()),
                    _ => Some(rules("from", rng)),
                };
            }
        }
    }

    /// A node of a room lets everything in but this.
    pub fn deny(&mut self, path: &str, service: &str) -> bool {
        let mut stations = self.rooms.iter_mut().flat_map(|room| {
            let prefix = format!("{}/{}", self.owner, room.name);
            room.stations.iter_mut().map(move |station| (format!("{prefix}/{}", station.name), station))
        });
        let Some((_, station)) = stations.find(|(name, _)| name == path) else { return false };
        let rule = |action, service| format!("{{ {action} = \"{service}\", from = \"any\" }}");
        station.ingress = Some(vec![rule("deny", service), rule("allow", "any")]);
        true
    }

    /// The roster's text as it stands, with this serial.
    fn text(&self, serial: u64, keys: &[String], names: &[String]) -> String {
        let Self { owner, number, .. } = self;
        let mut out =
            format!("owner = \"{owner}\"\nserial = {serial}\nipv4 = \"10.{}.0.0/16\"\n", 80 + number);
        let _ =
            writeln!(out, "egress = [{}]\ningress = [{}]", self.egress.join(", "), self.ingress.join(", "));
        for &friend in &self.friends {
            let (name, key) = (&names[friend], &keys[friend]);
            let grant = format!("10.{}.0.0/16", 80 + friend);
            let _ = writeln!(out, "[[friend]]\nowner = \"{name}\"\nkey = \"{key}\"\nipv4 = [\"{grant}\"]");
        }
        for (r, room) in self.rooms.iter().enumerate() {
            let _ = writeln!(out, "[[room]]\nname = \"{}\"", room.name);
            if room.keyed {
                let _ = writeln!(out, "key = \"{}\"", key(&format!("{owner}/{}", room.name)).public());
            }
            write_borders(&mut out, room.egress.as_deref(), room.ingress.as_deref());
            if room.listed {
                let twin = room.twin.as_ref().map(|endpoint| ("gw2", Some(endpoint)));
                for (name, endpoint) in [("gw", room.endpoint.as_ref())].into_iter().chain(twin) {
                    let key = key(&format!("{owner}/{}/{name}", room.name)).public();
                    let _ = writeln!(out, "[[room.gateway]]\nname = \"{name}\"\nkey = \"{key}\"");
                    if let Some(endpoint) = endpoint {
                        let _ = writeln!(out, "endpoints = [\"{endpoint}:51888\"]");
                    }
                }
            }
            for (s, station) in room.stations.iter().enumerate().filter(|(_, station)| station.listed) {
                let _ = writeln!(out, "[[room.station]]\nname = \"{}\"", station.name);
                if station.lan {
                    out.push_str("lan = true\n");
                } else {
                    let key = key(&format!("{owner}/{}/{}", room.name, station.name)).public();
                    let _ = writeln!(out, "key = \"{key}\"");
                }
                if station.v4 {
                    let _ = writeln!(out, "ipv4 = \"10.{}.{}.{}\"", 80 + number, r + 1, s + 10);
                }
                write_borders(&mut out, None, station.ingress.as_deref());
            }
        }
        for relay in self.relays.iter().filter(|relay| relay.listed) {
            let Relay { name, endpoint, .. } = relay;
            let key = key(&format!("{owner}/{name}")).public();
            let _ = writeln!(out, "[[relay]]\nname = \"{name}\"\nkey = \"{key}\"");
            let _ = writeln!(out, "endpoints = [\"{endpoint}:51888\"]");
        }
        out
    }

    /// Signs the draft with the next serial: a file to carry to nodes.
    pub fn sign(&mut self, keys: &[String], names: &[String]) -> Offer {
        self.serial += 1;
        self.seal(self.text(self.serial, keys, names))
    }

    /// Something else with the serial that was signed last.
    pub fn equivocate(&self, keys: &[String], names: &[String]) -> Offer {
        self.seal(format!("{}# another\n", self.text(self.serial, keys, names)))
    }

    fn seal(&self, text: String) -> Offer {
        let signature = self.secret.sign(text.as_bytes()).to_file("sim");
        let (owner, file) = (self.owner.parse().unwrap(), format!("{}.toml", self.owner).into());
        Offer { owner, file, bytes: text.into_bytes().into(), signature: Some(signature.into_bytes().into()) }
    }

    pub fn public_key(&self) -> String {
        self.secret.public().to_string()
    }

    /// The roster by itself, for the addresses of its nodes.
    pub fn model(&self, offer: &Offer) -> Model {
        let parsed = roster::parse(&offer.file, &offer.bytes).unwrap_or_else(|e| {
            panic!("{e}\n{}", String::from_utf8_lossy(&offer.bytes));
        });
        Model::join(&[(Arc::new(parsed), self.secret.public())]).unwrap_or_else(|e| panic!("{e}")).model
    }

    pub fn serial(&self) -> u64 {
        self.serial
    }
}

fn write_borders(out: &mut String, egress: Option<&[String]>, ingress: Option<&[String]>) {
    for (key, rules) in [("egress", egress), ("ingress", ingress)] {
        if let Some(rules) = rules {
            let _ = writeln!(out, "{key} = [{}]", rules.join(", "));
        }
    }
}

impl Room {
    pub fn new(name: String, endpoint: Option<String>) -> Self {
        Self {
            name,
            endpoint,
            twin: None,
            keyed: false,
            listed: true,
            stations: Vec::new(),
            egress: None,
            ingress: None,
        }
    }
}

impl Draft {
    pub fn new(name: String, lan: bool, v4: bool) -> Self {
        Self { name, lan, v4, listed: true, ingress: None }
    }
}
