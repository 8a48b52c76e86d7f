//! What passed and what was turned away. Plain numbers with one owner: 64-bit atomics do not exist on mips.

use super::report::Traffic;
use crate::base::DropReason;

/// Packets and bytes by the way they took, and drops by reason.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    pub from_peers: Traffic,
    pub to_peers: Traffic,
    pub from_kernel: Traffic,
    pub to_kernel: Traffic,
    drops: Drops,
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

    pub(super) fn drop_many(&mut self, reason: DropReason, packets: u64) {
        self.drops.0[reason as usize] += packets;
    }

    /// How many were turned away for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.0[reason as usize]
    }
}
