//! Where mesh nodes are inside of their tunnels.
//!
//! What gateways and relays say to each other goes between link-local addresses that follow from their keys: nobody
//! assigns them, nothing routes them, and who has which is known before a word is said.

use std::net::Ipv6Addr;

use blake2::{Blake2s256, Digest};

use super::PublicKey;

/// The port of the mesh itself inside of tunnels: short messages over UDP, rosters over TCP.
pub const LINK_PORT: u16 = 51888;

/// The link-local address of the mesh node with this key: fe80::/64 and 64 bits of a hash of the key.
#[must_use]
pub fn link_address(key: &PublicKey) -> Ipv6Addr {
    let hash = Blake2s256::new().chain_update(b"vpmesh link").chain_update(key.as_bytes()).finalize();
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..].copy_from_slice(&hash[..8]);
    octets.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_follows_from_the_key_and_is_link_local() {
        let key = |byte| crate::base::PrivateKey::from_random([byte; 32]).public();
        let (one, other) = (link_address(&key(1)), link_address(&key(2)));
        assert!(one.is_unicast_link_local() && one.segments()[1..4] == [0; 3]);
        assert_eq!(one, link_address(&key(1)));
        assert_ne!(one, other);
    }
}
