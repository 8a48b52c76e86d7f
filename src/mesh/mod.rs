//! Floor 3: what mesh nodes agree on. For now: which rosters are accepted (`accept`).

pub mod accept;
