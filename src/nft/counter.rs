//! The table's named counters: what each counts, and reading what `nft` lists of them.

use serde::Deserialize;

use crate::base::DropReason;
use crate::policy::RuleId;

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// First packets that this rule decided about, or, staged, matched. Where several rules of one policy say the same
    /// of a packet, one of them is counted.
    Rule(RuleId),
    /// Packets turned away.
    Drop(DropReason),
}

/// What a counter stood at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub counter: Counter,
    pub packets: u64,
    pub bytes: u64,
}

/// Why a listing can't be read.
#[derive(Debug, thiserror::Error)]
#[error("nft's list of counters can't be read: {0}")]
pub struct CountersError(#[from] serde_json::Error);

impl Counter {
    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Rule(RuleId(number)) => format!("rule_{number}"),
            Self::Drop(reason) => format!("drop_{}", reason.name()),
        }
    }

    /// `None` for a name that is not of this module's making.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        if let Some(number) = name.strip_prefix("rule_") {
            return number.parse().ok().map(RuleId).map(Self::Rule);
        }
        let name = name.strip_prefix("drop_")?;
        DropReason::ALL.iter().copied().find(|reason| reason.name() == name).map(Self::Drop)
    }
}

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    counter: Option<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    packets: u64,
    bytes: u64,
}

/// Reads what `nft -j list counters table inet vpmesh` prints.
///
/// # Errors
/// When it is not what nft prints.
pub fn read_counters(json: &str) -> Result<Vec<Counted>, CountersError> {
    let listing: Listing = serde_json::from_str(json)?;
    let rows = listing.nftables.into_iter().filter_map(|entry| entry.counter);
    Ok(rows
        .filter_map(|row| {
            let counter = Counter::by_name(&row.name)?;
            Some(Counted { counter, packets: row.packets, bytes: row.bytes })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_the_name_it_has() {
        for counter in [Counter::Rule(RuleId(0)), Counter::Rule(RuleId(4999))] {
            assert_eq!(Counter::by_name(&counter.name()), Some(counter));
        }
        for &reason in DropReason::ALL {
            assert_eq!(Counter::by_name(&Counter::Drop(reason).name()), Some(Counter::Drop(reason)));
        }
        assert_eq!(Counter::by_name("rule_x"), None);
        assert_eq!(Counter::by_name("drop_whatever"), None);
    }

    #[test]
    fn what_nft_lists_is_read_beyond_four_gigabytes() {
        let json = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"counter": {"family": "inet", "name": "rule_7", "table": "vpmesh", "handle": 1,
                         "packets": 5, "bytes": 8589934592}},
            {"counter": {"family": "inet", "name": "other", "table": "vpmesh", "packets": 1, "bytes": 1}}]}"#;
        let read = read_counters(json).unwrap();
        assert_eq!(read, [Counted { counter: Counter::Rule(RuleId(7)), packets: 5, bytes: 8 << 30 }]);
        assert!(read_counters("Error: no such table").is_err());
    }
}
