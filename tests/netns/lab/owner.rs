//! An owner: a signify key, a prefix that follows from it, and rosters signed with ever higher serials.

use std::cell::Cell;
use std::fmt::Display;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use ipnetwork::{Ipv4Network, Ipv6Network};
use vpmesh::base::{Name, NodePath, prefix};

use super::command::must;
use super::{Lab, Node, reaper};

/// Keys and signatures are made by `signify-openbsd`, so that every case also holds vpmesh against the real tool.
#[derive(Debug)]
pub struct Owner {
    pub name: Name,
    /// signify's base64 line, `RWQ…`.
    pub public: String,
    pub prefix6: Ipv6Network,
    pub prefix4: Ipv4Network,
    dir: PathBuf,
    serial: Cell<u64>,
}

/// A roster on disk with its signature.
#[derive(Debug, Clone)]
pub struct Signed {
    pub toml: PathBuf,
    pub signature: PathBuf,
    /// The name that a gateway keeps it under: `alice.toml`.
    pub name: String,
}

impl Owner {
    /// A new key. `prefix4` is what the owner claims.
    pub fn new(lab: &Lab, name: &str, prefix4: &str) -> Self {
        let dir = lab.folder(&format!("owner-{name}-{}", reaper::number()));
        let (public, secret) = (dir.join("owner.pub"), dir.join("owner.sec"));
        must(Command::new("signify-openbsd").args(["-G", "-n", "-p"]).arg(&public).arg("-s").arg(&secret));
        let text = std::fs::read_to_string(&public).expect("signify wrote a public key");
        let line = text.lines().nth(1).expect("a signify key has two lines").to_owned();
        let bytes = base64::engine::general_purpose::STANDARD.decode(&line).expect("a signify key is base64");
        let ed25519: [u8; 32] = bytes[10..].try_into().expect("an Ed25519 key has 32 bytes");
        Self {
            name: name.parse().expect("the case names its owner well"),
            public: line,
            prefix6: prefix::owner_prefix(&ed25519),
            prefix4: prefix4.parse().expect("the case writes a prefix"),
            dir,
            serial: Cell::new(0),
        }
    }

    pub fn secret_key(&self) -> PathBuf {
        self.dir.join("owner.sec")
    }

    /// A node of this owner by its path below the owner: `attic/laptop` or `attic/nas/web`.
    pub fn node(&self, path: &str, v4: &str) -> Node {
        let path: NodePath = format!("{}/{path}", self.name).parse().expect("the case writes a path");
        let room = prefix::room_prefix(self.prefix6, &path.segments()[1]);
        let v6 = prefix::node_address(room, &path);
        Node::new(path, address(v4), v6)
    }

    /// An application of this owner inside another owner's station.
    pub fn guest(&self, name: &str, v4: &str) -> Node {
        let path: NodePath = format!("{}/{name}", self.name).parse().expect("the case writes a name");
        let v6 = prefix::node_address(prefix::guest_prefix(self.prefix6), &path);
        Node::new(path, address(v4), v6)
    }

    /// What the mesh routes to this owner.
    pub fn prefixes(&self) -> [String; 2] {
        [self.prefix4.to_string(), self.prefix6.to_string()]
    }

    /// A `[[friend]]` as another owner writes it.
    pub fn as_friend(&self) -> String {
        let Self { name, public, prefix4, .. } = self;
        format!("[[friend]]\nowner = \"{name}\"\nkey = \"{public}\"\nipv4 = [\"{prefix4}\"]\n")
    }

    /// Signs a roster with the next serial. The body is all but `owner`, `serial` and `ipv4`.
    pub fn sign(&self, body: &dyn Display) -> Signed {
        self.serial.set(self.serial.get() + 1);
        self.sign_with_serial(&body.to_string(), self.serial.get())
    }

    /// Signs a roster with any serial, without remembering it.
    pub fn sign_with_serial(&self, body: &str, serial: u64) -> Signed {
        let Self { name, prefix4, .. } = self;
        self.sign_text(&format!("owner = \"{name}\"\nserial = {serial}\nipv4 = \"{prefix4}\"\n{body}"))
    }

    /// Signs any text at all.
    pub fn sign_text(&self, text: &str) -> Signed {
        let signed = self.unsigned(text);
        self.sign_file(&signed.toml, &signed.signature);
        signed
    }

    /// A roster beside which no signature lies.
    pub fn unsigned(&self, text: &str) -> Signed {
        let dir = self.dir.join(reaper::number().to_string());
        std::fs::create_dir(&dir).expect("a folder can be made");
        let name = format!("{}.toml", self.name);
        let signed = Signed { toml: dir.join(&name), signature: dir.join(format!("{name}.sig")), name };
        std::fs::write(&signed.toml, text).expect("a roster can be written");
        // The tools of an owner's desk look for the public key beside the roster.
        std::fs::copy(self.dir.join("owner.pub"), dir.join(format!("{}.pub", self.name)))
            .expect("a key can be copied");
        signed
    }

    fn sign_file(&self, toml: &Path, signature: &Path) {
        let mut signify = Command::new("signify-openbsd");
        must(signify.arg("-S").arg("-s").arg(self.secret_key()).arg("-m").arg(toml).arg("-x").arg(signature));
    }
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().expect("the case writes an IPv4 address")
}
