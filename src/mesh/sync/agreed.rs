//! What a peer is known to have, so that a session that is made anew costs no digest.
//!
//! Every change of the shelf has a number, and so has what it brought. A peer whose digest said the same as the shelf
//! agrees with all changes up to then. When it has a session anew it is told of what came since, which most often is nothing:
//! what it learned meanwhile it tells, and if it began anew it tells all it has.

use super::super::wire::{DigestEntry, OwnerTag};
use super::{Slot, Sync};
use crate::table::PeerId;

impl Sync {
    /// What a node of this owner is told when it has a session.
    #[must_use]
    pub fn news_for(&self, peer: PeerId, whose: Option<OwnerTag>) -> Vec<[u8; DigestEntry::LENGTH]> {
        let agreed = self.manners.get(&peer).map_or(0, |manners| manners.agreed);
        let news = self.slots.iter().filter(|slot| slot.change > agreed);
        news.filter(|slot| self.may_have(whose, slot.entry.tag)).map(Slot::digest_entry).collect()
    }

    /// The peer, a node of this owner, has the same as the shelf in these slots.
    pub(super) fn agree(&mut self, peer: PeerId, whose: Option<OwnerTag>, same: &[bool]) {
        let Some(manners) = self.manners.get(&peer) else { return };
        let agreed = manners.agreed;
        let open =
            self.slots.iter().zip(same).filter(|(slot, same)| {
                !**same && slot.change > agreed && self.may_have(whose, slot.entry.tag)
            });
        let until = open.map(|(slot, _)| slot.change - 1).min().unwrap_or(self.changes);
        if let Some(manners) = self.manners.get_mut(&peer) {
            manners.agreed = agreed.max(until);
        }
    }

    /// One more change.
    pub(super) fn next_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }
}
