//! People for tests: an owner with a signing key, and rosters as that owner writes them.

use std::sync::Arc;

use vpmesh::base::signify::{OwnerKey, OwnerSecret};
use vpmesh::roster::{self, Roster};

/// An owner. Two people of one name are two owners.
pub struct Person {
    pub name: &'static str,
    pub secret: OwnerSecret,
}

impl Person {
    pub fn new(name: &'static str, seed: u8) -> Self {
        Self { name, secret: OwnerSecret::from_seed([seed; 8], &[seed; 32]) }
    }

    pub fn key(&self) -> OwnerKey {
        self.secret.public()
    }

    /// A `[[friend]]` as another owner writes it.
    pub fn as_friend(&self, grants: &[&str]) -> String {
        format!("[[friend]]\nowner = \"{}\"\nkey = \"{}\"\nipv4 = {grants:?}\n", self.name, self.key())
    }

    /// A roster's text; `head` stands at the top, `body` below.
    pub fn text(&self, serial: u64, head: &str, body: &str) -> String {
        format!("owner = \"{}\"\nserial = {serial}\n{head}\n{body}", self.name)
    }

    /// A roster with serial 1.
    pub fn roster(&self, head: &str, body: &str) -> (Arc<Roster>, OwnerKey) {
        let file = format!("{}.toml", self.name);
        let roster =
            roster::parse(&file, self.text(1, head, body).as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        (Arc::new(roster), self.key())
    }

    /// The text of the `.sig` file for these bytes.
    pub fn sign(&self, bytes: &[u8]) -> String {
        self.secret.sign(bytes).to_file("by a test")
    }
}

/// A WireGuard key as a roster writes it; the same number gives the same key.
pub fn key(number: u8) -> String {
    vpmesh::base::PrivateKey::from_random([number; 32]).public().to_string()
}

/// A station attached by WireGuard, in the room above.
pub fn station(name: &str, number: u8, more: &str) -> String {
    format!("[[room.station]]\nname = \"{name}\"\nkey = \"{}\"\n{more}\n", key(number))
}

pub fn lan(name: &str, more: &str) -> String {
    format!("[[room.station]]\nname = \"{name}\"\nlan = true\n{more}\n")
}

pub fn room(name: &str, inside: &str) -> String {
    format!("[[room]]\nname = \"{name}\"\n{inside}")
}
