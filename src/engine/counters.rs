//! What passed and what was turned away. Plain numbers with one owner: 64-bit atomics do not exist on mips.

use hashbrown::HashMap;

use super::report::Traffic;
use crate::base::DropReason;
use crate::table::PeerId;

/// Packets and bytes by the way they took, and drops by reason.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    pub from_peers: Traffic,
    pub to_peers: Traffic,
    pub from_kernel: Traffic,
    pub to_kernel: Traffic,
    drops: Drops,
    /// Drops of what a peer sent; peers that never sent anything to be dropped are not here.
    by_peer: HashMap<PeerId, Drops>,
}

#[derive(Debug, Clone)]
struct Drops([u64; DropReason::COUNT]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::COUNT])
    }
}

impl Traffic {
    pub(super) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

impl Counters {
    pub(super) fn drop(&mut self, reason: DropReason) {
        self.drop_many(reason, 1);
    }

    /// Counts a packet of this peer.
    pub(super) fn drop_of(&mut self, peer: PeerId, reason: DropReason) {
        self.drop(reason);
        self.by_peer.entry(peer).or_default().0[reason as usize] += 1;
    }

    /// Forgets a peer; its slot is for another.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.by_peer.remove(&peer);
    }

    pub(super) fn drop_many(&mut self, reason: DropReason, packets: u64) {
        self.drops.0[reason as usize] += packets;
    }

    /// How many were turned away for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.0[reason as usize]
    }

    /// How many packets of this peer were.
    #[must_use]
    pub fn dropped_of(&self, peer: PeerId, reason: DropReason) -> u64 {
        self.by_peer.get(&peer).map_or(0, |drops| drops.0[reason as usize])
    }
}
