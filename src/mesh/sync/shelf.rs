//! What a node has of rosters, and who may be told of which.
//!
//! A mesh node is told of its own owner's roster, and of those whom its owner's roster calls friends: it accepts no
//! others, and they are nobody else's business.

use std::sync::Arc;

use blake2::{Blake2s256, Digest as _};

use crate::base::Name;
use crate::base::signify::OwnerKey;
use crate::mesh::accept::{InForce, Own};
use crate::mesh::wire::{OwnerTag, ShortHash};
use crate::roster::Friend;

/// Every accepted owner, its own first.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    pub(super) entries: Vec<Entry>,
}

/// One accepted owner.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) owner: Name,
    pub(super) key: OwnerKey,
    pub(super) tag: OwnerTag,
    /// `None`: nobody gave us the roster yet.
    pub(super) content: Option<Content>,
    /// Whose rosters this owner's nodes accept beside its own.
    pub(super) friends: Vec<OwnerTag>,
}

/// A roster in force, as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub serial: u64,
    /// BLAKE2s-256 of `roster`.
    pub hash: [u8; 32],
    pub signature: Arc<[u8]>,
    pub roster: Arc<[u8]>,
}

/// What tells owners apart between nodes.
#[must_use]
pub fn tag_of(key: &OwnerKey) -> OwnerTag {
    let hash = Blake2s256::new().chain_update(b"vpmesh owner").chain_update(key.as_bytes()).finalize();
    let mut tag = OwnerTag::default();
    tag.copy_from_slice(&hash[..8]);
    tag
}

impl Content {
    #[must_use]
    pub fn short_hash(&self) -> ShortHash {
        short(&self.hash)
    }
}

/// The half of a hash that digests carry.
#[must_use]
pub fn short(hash: &[u8; 32]) -> ShortHash {
    let mut short = ShortHash::default();
    short.copy_from_slice(&hash[..16]);
    short
}

impl Shelf {
    /// What is in force; with nothing in force the own roster is all that is looked for.
    #[must_use]
    pub fn of(own: &Own, in_force: Option<&InForce>) -> Self {
        let Some(in_force) = in_force else {
            return Self { entries: vec![Entry::wanted(&own.owner, own.key)] };
        };
        let mut entries: Vec<_> = in_force
            .rosters
            .iter()
            .map(|accepted| Entry {
                owner: accepted.kept.owner.clone(),
                key: accepted.kept.key,
                tag: tag_of(&accepted.kept.key),
                content: Some(Content {
                    serial: accepted.kept.serial,
                    hash: accepted.kept.hash,
                    signature: accepted.kept.signature.clone(),
                    roster: accepted.kept.bytes.clone(),
                }),
                friends: accepted.roster.friends.iter().map(|friend| tag_of(&friend.key)).collect(),
            })
            .collect();
        let friends = in_force.rosters.first().map_or(&[][..], |own| &own.roster.friends);
        let missing = |friend: &&Friend| entries.iter().all(|entry| entry.tag != tag_of(&friend.key));
        let wanted: Vec<_> =
            friends.iter().filter(missing).map(|friend| Entry::wanted(&friend.owner, friend.key)).collect();
        entries.extend(wanted);
        Self { entries }
    }
}

impl Entry {
    fn wanted(owner: &Name, key: OwnerKey) -> Self {
        Self { owner: owner.clone(), key, tag: tag_of(&key), content: None, friends: Vec::new() }
    }
}
