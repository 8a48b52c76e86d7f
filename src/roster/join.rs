//! Checked rosters to one model: numbers, places, addresses, and what two owners have to agree on.

use std::sync::Arc;

use super::line::{Fault, Faults};
use super::{Model, Roster};
use crate::base::Name;
use crate::base::signify::OwnerKey;

/// What came of joining rosters.
#[derive(Debug, Default)]
pub struct Joined {
    pub model: Model,
    /// Friends whose roster can't stand beside those before it, whole: overlap, a key that another has.
    pub refused: Vec<(Name, Faults)>,
    /// What was left out and why, for a person; nothing is refused for it.
    pub notes: Vec<Fault>,
}

impl Model {
    /// Joins rosters with their owners' keys: the reader's own first, then its friends' in the order of its
    /// `[[friend]]`s. Rosters of owners that are no friends of the first are refused.
    ///
    /// # Errors
    /// The faults of the first roster; another's faults refuse that one only, and are in [`Joined::refused`].
    pub fn join(rosters: &[(Arc<Roster>, OwnerKey)]) -> Result<Joined, Faults> {
        let _ = rosters;
        Err(Faults::default())
    }
}
