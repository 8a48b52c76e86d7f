//! Something that a roster names: its path, its WireGuard key and the addresses that follow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vpmesh::base::{NodePath, PrivateKey, PublicKey};

/// A node as its owner knows it. An application's key is not used.
#[derive(Debug, Clone)]
pub struct Node {
    pub path: NodePath,
    pub key: PrivateKey,
    pub public: PublicKey,
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

impl Node {
    pub fn new(path: NodePath, v4: Ipv4Addr, v6: Ipv6Addr) -> Self {
        let key = PrivateKey::generate().expect("the system has random bytes");
        Self { path, public: key.public(), key, v4, v6 }
    }

    /// Its addresses, v4 first.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// Its address in the other's family.
    pub fn address_like(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() { self.v4.into() } else { self.v6.into() }
    }

    /// The path as text.
    pub fn path(&self) -> String {
        self.path.to_string()
    }
}
