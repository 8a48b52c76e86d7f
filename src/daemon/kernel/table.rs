//! Table `inet vpmesh` in the kernel, and what of its counters is known.

use std::sync::Arc;

use hashbrown::HashMap;
use tokio::task::spawn_blocking;

use super::{FAMILY, Policy};
use crate::base::DropReason;
use crate::nft::{self, Counted, Counter, TABLE};
use crate::os::netfilter::generation;
use crate::os::nft::{Nft, NftError};
use crate::policy::RuleId;

/// The table that was put in force last.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// What was told of each counter already.
    told: HashMap<Counter, u64>,
}

/// What was counted since it was told last.
#[derive(Debug, Default)]
pub(super) struct More {
    pub(super) rules: Vec<(RuleId, u64)>,
    pub(super) drops: Vec<(DropReason, u64)>,
}

impl Table {
    /// Replaces the table; whether nobody else changed nftables meanwhile.
    pub(super) async fn apply(&mut self, transaction: &Arc<str>) -> Result<bool, String> {
        let transaction = Arc::clone(transaction);
        let applied = spawn_blocking(move || {
            let nft = Nft::find().map_err(|error| error.to_string())?;
            let before = generation().ok();
            nft.apply(&transaction).map_err(|error| error.to_string())?;
            let was_alone = match (before, generation().ok()) {
                (Some(before), Some(after)) => after == before.wrapping_add(1),
                _ => true,
            };
            Ok::<_, String>(was_alone)
        });
        let was_alone = applied.await.map_err(|error| error.to_string())??;
        // Its counters are new too.
        self.told.clear();
        Ok(was_alone)
    }

    /// What was counted since this was asked last. `None`: it can't be read.
    pub(super) async fn count(&mut self) -> Option<More> {
        let read = spawn_blocking(|| {
            let listed = Nft::find()?.counters(FAMILY, TABLE)?;
            Ok::<_, NftError>(nft::read_counters(&listed))
        });
        let read = match read.await {
            Ok(Ok(Ok(read))) => read,
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "nft's counters are not understood");
                return None;
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "no counters");
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "no counters");
                return None;
            }
        };
        let mut more = More::default();
        for Counted { counter, packets, .. } in read.into_iter().filter(|counted| counted.packets > 0) {
            let told = self.told.entry(counter).or_default();
            // Less than before: somebody reset it.
            let new = packets.checked_sub(*told).unwrap_or(packets);
            *told = packets;
            match counter {
                _ if new == 0 => {}
                Counter::Rule(rule) => more.rules.push((rule, new)),
                Counter::Drop(reason) => more.drops.push((reason, new)),
            }
        }
        Some(more)
    }

    /// Whether the kernel has no such table any more.
    pub(super) async fn is_gone(&self) -> bool {
        let has = spawn_blocking(|| Nft::find()?.has(FAMILY, TABLE)).await;
        matches!(has, Ok(Ok(false)))
    }

    pub(super) async fn remove(&mut self) {
        let removed = spawn_blocking(remove).await;
        if let Ok(Err(error)) = removed {
            tracing::error!(%error, "table inet vpmesh is not removed; `nft delete table inet vpmesh` does it");
        }
    }
}

/// Puts the table in force unless there is one; whether it was. Blocks.
pub(super) fn put_unless_there(policy: &Policy) -> Result<bool, String> {
    let nft = Nft::find().map_err(|error| error.to_string())?;
    if nft.has(FAMILY, TABLE).map_err(|error| error.to_string())? {
        return Ok(false);
    }
    nft.apply(&policy.transaction()).map_err(|error| error.to_string())?;
    Ok(true)
}

/// Takes the table away, whoever made it. Blocks.
///
/// # Errors
/// [`NftError`]; that there is no nft is none where there is no table.
pub(super) fn remove() -> Result<(), NftError> {
    match Nft::find() {
        Ok(nft) => nft.apply(&nft::removal()),
        // Nobody else could have made one.
        Err(NftError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}
