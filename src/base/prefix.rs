//! Addresses and the prefixes that owners, rooms and nodes have by their names.
//!
//! An owner's IPv6 prefix is `fd` and the first 40 bits of BLAKE2s-256 of its Ed25519 public key, a unique local /48
//! (RFC 4193) that nobody hands out. A room is a /64 of it and a node a /128; both follow from names by a hash.

use std::net::{IpAddr, Ipv6Addr};

use blake2::{Blake2s256, Digest};
use ipnetwork::Ipv6Network;

use super::name::{Name, NodePath};

/// An address in its one true form: a v4-mapped IPv6 address (RFC 4291, section 2.5.5.2) is the IPv4 address.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The /48 of the owner with this Ed25519 public key.
#[must_use]
pub fn owner_prefix(ed25519_public: &[u8; 32]) -> Ipv6Network {
    let hash = Blake2s256::digest(ed25519_public);
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&hash[..5]);
    network(octets, 48)
}

/// The /64 of a room in its owner's /48: sixteen bits of a hash of the room's name.
#[must_use]
pub fn room_prefix(owner: Ipv6Network, room: &Name) -> Ipv6Network {
    room_prefix_of(owner, room.as_str())
}

/// The /64 that an owner's guests have, whose rooms are other people's. `@` is in no name, so it meets no room by
/// name.
#[must_use]
pub fn guest_prefix(owner: Ipv6Network) -> Ipv6Network {
    room_prefix_of(owner, "@guest")
}

fn room_prefix_of(owner: Ipv6Network, text: &str) -> Ipv6Network {
    let mut hash = Blake2s256::new();
    hash.update(b"vpmesh room\0");
    hash.update(text);
    let hash = hash.finalize();
    let mut octets = owner.network().octets();
    octets[6..8].copy_from_slice(&hash[..2]);
    network(octets, 64)
}

/// The /128 of a node in its room's /64: sixty-four bits of a hash of its path. Never the subnet-router anycast
/// address (RFC 4291, section 2.6.1), which is all zeroes.
#[must_use]
pub fn node_address(room: Ipv6Network, path: &NodePath) -> Ipv6Addr {
    let mut hash = Blake2s256::new();
    hash.update(b"vpmesh node\0");
    hash.update(path.to_string());
    let hash = hash.finalize();
    let mut octets = room.network().octets();
    octets[8..].copy_from_slice(&hash[..8]);
    if octets[8..] == [0; 8] {
        octets[15] = 1;
    }
    Ipv6Addr::from(octets)
}

fn network(octets: [u8; 16], length: u8) -> Ipv6Network {
    Ipv6Network::new(Ipv6Addr::from(octets), length).expect("48 and 64 are lengths of a prefix")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_from_names_and_never_change() {
        let owner = owner_prefix(&[1; 32]);
        let room = room_prefix(owner, &"attic".parse().unwrap());
        let node = node_address(room, &"alice/attic/nas".parse().unwrap());
        assert_eq!(owner.prefix(), 48);
        assert_eq!(owner.network().octets()[0], 0xfd);
        assert!(owner.contains(room.network()) && room.contains(node));
        assert_eq!(room, room_prefix(owner, &"attic".parse().unwrap()));
        assert_ne!(room, room_prefix(owner, &"cellar".parse().unwrap()));
    }
}
