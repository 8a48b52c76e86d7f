//! Rosters judged before anybody signed them: what would be, if all of these were accepted.
//!
//! An unsigned file proves no key. An owner's key is the one that another of the rosters names as its friend's, else
//! one that follows from the owner's name: names, places and policy are the true ones then, and its IPv6 addresses
//! are stand-ins.

use std::sync::Arc;

use blake2::{Blake2s256, Digest};

use crate::base::Name;
use crate::base::signify::{OwnerKey, OwnerSecret};
use crate::roster::join::Joined;
use crate::roster::{Faults, Model, Roster};

/// Joins rosters as the owner of the first would.
///
/// # Errors
/// The faults of the first; another's are in [`Joined::refused`].
pub fn what_if(rosters: Vec<Roster>) -> Result<Joined, Faults> {
    let keys: Vec<_> = rosters.iter().map(|roster| key_of(&roster.owner, &rosters)).collect();
    Model::join(&rosters.into_iter().map(Arc::new).zip(keys).collect::<Vec<_>>())
}

fn key_of(owner: &Name, rosters: &[Roster]) -> OwnerKey {
    let named = rosters.iter().flat_map(|roster| &roster.friends).find(|friend| friend.owner == *owner);
    named.map_or_else(
        || {
            let seed: [u8; 32] = Blake2s256::digest(owner.as_str()).into();
            OwnerSecret::from_seed([0; 8], &seed).public()
        },
        |friend| friend.key,
    )
}
