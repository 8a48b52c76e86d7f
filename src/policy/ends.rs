//! One end of a rule: which ends of a flow it means.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::labels::{Label, Labels};
use super::names::{INTERNET, Names, Ranks};
use super::question::End;
use crate::roster::{Model, Selector};

/// An end of a flow, worked out once for all the rules it is held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndPoint {
    /// By name; [`INTERNET`] for what is no node.
    pub(super) rank: u32,
    pub(super) is_v6: bool,
    /// `None`: an address that only prefixes of length 0 hold.
    pub(super) bits: Option<u128>,
}

impl EndPoint {
    /// `is_v6` is the family of the flow, where the end has no address of its own.
    pub(super) fn new(end: &End, rank: u32, is_v6: bool) -> Self {
        match end.address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => Self { rank, is_v6: false, bits: Some(address.to_bits().into()) },
            Some(IpAddr::V6(address)) => Self { rank, is_v6: true, bits: Some(address.to_bits()) },
            None => Self { rank, is_v6, bits: None },
        }
    }
}

/// Addresses of one family that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cidr {
    pub(super) mask: u128,
    pub(super) network: u128,
    pub(super) is_v6: bool,
}

impl Cidr {
    /// A prefix of v4-mapped addresses is the one of IPv4 addresses that it maps.
    fn new(prefix: IpNetwork) -> Self {
        let (bits, len, is_v6) = match prefix {
            IpNetwork::V4(prefix) => (u128::from(prefix.ip().to_bits()), u32::from(prefix.prefix()), false),
            IpNetwork::V6(prefix) => match (prefix.ip().to_ipv4_mapped(), prefix.prefix()) {
                (Some(address), len @ 96..) => (address.to_bits().into(), u32::from(len) - 96, false),
                (_, len) => (prefix.ip().to_bits(), u32::from(len), true),
            },
        };
        let width = if is_v6 { 128 } else { 32 };
        let all = u128::MAX >> (128 - width);
        let mask = all & !all.checked_shr(len).unwrap_or(0);
        Self { mask, network: bits & mask, is_v6 }
    }

    fn contains(&self, end: &EndPoint) -> bool {
        let inside = end.bits.map_or(self.mask == 0, |bits| bits & self.mask == self.network);
        inside && self.is_v6 == end.is_v6
    }

    /// The prefix of the same length around an address.
    pub(super) fn around(self, bits: u128) -> Self {
        Self { network: bits & self.mask, ..self }
    }
}

/// Which ends a rule means. Most mean all, or one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndSet {
    All,
    /// Selectors that select nothing in this model.
    Nobody,
    Ranks(Ranks),
    /// A number in [`Ends`].
    Set(u32),
}

/// More than one range.
#[derive(Debug)]
pub(super) struct Set {
    /// In order and apart from each other; each is one name and all inside it, or the internet.
    pub(super) ranks: Box<[Ranks]>,
    pub(super) labels: Box<[u32]>,
    pub(super) cidrs: Box<[Cidr]>,
}

/// All ends of all rules of a model.
#[derive(Debug, Default)]
pub(super) struct Ends {
    sets: Vec<Set>,
    /// Members of labels by their number: ranges in order and apart from each other.
    labels: Vec<Vec<Ranks>>,
}

impl Ends {
    pub(super) fn new(model: &Model, names: &Names<'_>, labels: &Labels) -> Self {
        Self { sets: Vec::new(), labels: labels.members(model, names) }
    }

    /// Compiles the selectors of one end.
    pub(super) fn compile(
        &mut self,
        selectors: Option<&[Selector]>,
        names: &Names<'_>,
        labels: &Labels,
    ) -> EndSet {
        let Some(selectors) = selectors else { return EndSet::All };
        let (mut ranks, mut numbers, mut cidrs) = (Vec::new(), Vec::new(), Vec::new());
        for selector in selectors {
            match selector {
                Selector::Any => return EndSet::All,
                Selector::Internet => ranks.push((INTERNET, INTERNET)),
                Selector::Cidr(prefix) => cidrs.push(Cidr::new(*prefix)),
                Selector::Path(path) if !path.contains(&None) => {
                    let path: Vec<_> = path.iter().flatten().cloned().collect();
                    ranks.extend(names.inside(&path));
                }
                _ => numbers.extend(Label::of(selector).and_then(|label| labels.number(&label))),
            }
        }
        numbers.retain(|&number| !self.labels[number as usize].is_empty());
        apart(&mut ranks);
        match (ranks.as_slice(), numbers.as_slice(), cidrs.as_slice()) {
            ([], [], []) => EndSet::Nobody,
            (&[only], [], []) => EndSet::Ranks(only),
            _ => {
                let number = u32::try_from(self.sets.len()).expect("a roster's bytes are counted in 32 bits");
                let (ranks, labels, cidrs) = (ranks.into(), numbers.into(), cidrs.into());
                self.sets.push(Set { ranks, labels, cidrs });
                EndSet::Set(number)
            }
        }
    }

    pub(super) fn set(&self, number: u32) -> &Set {
        &self.sets[number as usize]
    }

    pub(super) fn labels(&self) -> &[Vec<Ranks>] {
        &self.labels
    }

    pub(super) fn contains(&self, set: EndSet, end: &EndPoint) -> bool {
        match set {
            EndSet::All => true,
            EndSet::Nobody => false,
            EndSet::Ranks((first, last)) => first <= end.rank && end.rank <= last,
            EndSet::Set(number) => {
                let set = self.set(number);
                holds(&set.ranks, end.rank)
                    || set.labels.iter().any(|&label| holds(&self.labels[label as usize], end.rank))
                    || set.cidrs.iter().any(|cidr| cidr.contains(end))
            }
        }
    }
}

fn holds(ranges: &[Ranks], rank: u32) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= rank);
    after > 0 && rank <= ranges[after - 1].1
}

/// Takes out ranges that are inside others. Ranges of names are one inside the other or apart, never across.
fn apart(ranges: &mut Vec<Ranks>) {
    ranges.sort_unstable_by_key(|&(first, last)| (first, std::cmp::Reverse(last)));
    ranges.dedup_by(|next, before| next.1 <= before.1);
}
