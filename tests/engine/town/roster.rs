//! Rosters as their owners write them, and the keys in them, which follow from names.

use std::sync::Arc;

use vpmesh::base::signify::OwnerSecret;
use vpmesh::base::{PrivateKey, PublicKey};
use vpmesh::roster::{self, Model};

/// A roster's text, written from the top down: what is said behind a room or a node is of that one.
#[derive(Debug)]
pub struct Roster {
    text: String,
    /// Where rooms and relays are: the owner's path.
    owner: String,
    /// Where gateways and stations are: the path of the room that was written last.
    room: String,
}

impl Roster {
    /// The first roster of an owner, so far without anything.
    pub fn of(owner: &str) -> Self {
        let text = format!("owner = \"{owner}\"\nserial = 1\n");
        Self { text, owner: owner.to_owned(), room: String::new() }
    }

    /// Any lines; policy, most often.
    pub fn lines(mut self, lines: &str) -> Self {
        self.text.push_str(lines);
        self.text.push('\n');
        self
    }

    pub fn friend(self, owner: &str) -> Self {
        self.lines(&format!("[[friend]]\nowner = \"{owner}\"\nkey = \"OWNER({owner})\""))
    }

    pub fn room(mut self, name: &str) -> Self {
        self.room = format!("{}/{name}", self.owner);
        self.lines(&format!("[[room]]\nname = \"{name}\""))
    }

    pub fn gateway(self, name: &str) -> Self {
        let path = format!("{}/{name}", self.room);
        self.node("room.gateway", name, &path)
    }

    pub fn station(self, name: &str) -> Self {
        let path = format!("{}/{name}", self.room);
        self.node("room.station", name, &path)
    }

    pub fn lan_host(self, name: &str) -> Self {
        self.lines(&format!("[[room.station]]\nname = \"{name}\"\nlan = true"))
    }

    pub fn relay(self, name: &str) -> Self {
        let path = format!("{}/{name}", self.owner);
        self.node("relay", name, &path)
    }

    /// Where the gateway or relay is that was written last: at the town's address of this number.
    pub fn at(self, number: u8) -> Self {
        self.lines(&format!("endpoints = [\"{}\"]", super::address(number)))
    }

    pub fn text(self) -> String {
        self.text
    }

    fn node(self, table: &str, name: &str, path: &str) -> Self {
        self.lines(&format!("[[{table}]]\nname = \"{name}\"\nkey = \"KEY({path})\""))
    }
}

/// A node's WireGuard key, by its path.
pub fn key(path: &str) -> PrivateKey {
    let mut seed = [0; 32];
    for (i, byte) in path.bytes().enumerate() {
        seed[i % 32] ^= byte.rotate_left(i as u32 / 32) ^ i as u8;
    }
    PrivateKey::from_random(seed)
}

/// The public key that a roster lists for a path.
pub fn public(path: &str) -> PublicKey {
    key(path).public()
}

/// An owner's signing key.
pub fn secret(owner: &str) -> OwnerSecret {
    OwnerSecret::from_seed([1; 8], key(owner).as_bytes())
}

/// Rosters joined, the first one's owner reading. `KEY(path)` and `OWNER(name)` in a text become keys.
pub fn join(rosters: &[(&str, &str)]) -> Arc<Model> {
    let parsed: Vec<_> = rosters
        .iter()
        .map(|(owner, text)| {
            let text = expand(text);
            let roster =
                roster::parse(&format!("{owner}.toml"), text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
            (Arc::new(roster), secret(owner).public())
        })
        .collect();
    let joined = Model::join(&parsed).unwrap_or_else(|e| panic!("{e}"));
    assert!(joined.refused.is_empty(), "{:?}", joined.refused);
    Arc::new(joined.model)
}

/// A roster's text with its keys filled in.
pub fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("KEY(").into_iter().chain(rest.find("OWNER(")).min() {
        let open = at + rest[at..].find('(').unwrap();
        let close = open + rest[open..].find(')').unwrap();
        let name = &rest[open + 1..close];
        out.push_str(&rest[..at]);
        if rest[at..].starts_with("KEY") {
            out.push_str(&public(name).to_string());
        } else {
            out.push_str(&secret(name).public().to_string());
        }
        rest = &rest[close + 1..];
    }
    out + rest
}
