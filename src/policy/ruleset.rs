//! The rules of one policy, ready to be asked: which rule decides a flow?
//!
//! They are in the order in which they decide: `deny` before `allow`, and then as written. A few are tried one by one;
//! many are found by an index.

use super::ends::{EndPoint, EndSet, Ends};
use super::index::Index;
use super::judge::RuleId;
use super::span::{Point, Span};

/// Rules up to this many are tried one by one: that is faster than asking an index.
const SCANNED_MAX: usize = 24;

/// A compiled rule.
#[derive(Debug)]
pub(super) struct CompiledRule {
    pub(super) id: RuleId,
    pub(super) is_deny: bool,
    pub(super) log: bool,
    /// Most rules have one span.
    pub(super) span: Span,
    pub(super) more: Box<[Span]>,
    pub(super) from: EndSet,
    pub(super) to: EndSet,
}

/// What rules are held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow<'a> {
    pub(super) ends: &'a Ends,
    pub(super) from: EndPoint,
    pub(super) to: EndPoint,
    pub(super) point: Point,
}

impl CompiledRule {
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> {
        std::iter::once(self.span).chain(self.more.iter().copied())
    }

    fn matches(&self, flow: &Flow<'_>) -> bool {
        (self.span.contains(flow.point) || self.more.iter().any(|span| span.contains(flow.point)))
            && self.matches_ends(flow)
    }

    pub(super) fn matches_ends(&self, flow: &Flow<'_>) -> bool {
        flow.ends.contains(self.from, &flow.from) && flow.ends.contains(self.to, &flow.to)
    }
}

/// Rules in the order in which they decide.
#[derive(Debug, Default)]
pub(super) struct RuleSet {
    rules: Box<[CompiledRule]>,
    index: Option<Index>,
}

impl RuleSet {
    pub(super) fn new(mut rules: Vec<CompiledRule>, ends: &Ends) -> Self {
        rules.retain(|rule| rule.from != EndSet::Nobody && rule.to != EndSet::Nobody);
        rules.sort_by_key(|rule| (!rule.is_deny, rule.id));
        let index = (rules.len() > SCANNED_MAX).then(|| Index::new(&rules, ends));
        Self { rules: rules.into(), index }
    }

    pub(super) fn is_indexed(&self) -> bool {
        self.index.is_some()
    }

    pub(super) fn rules(&self) -> &[CompiledRule] {
        &self.rules
    }

    /// The rule that decides: the first that matches.
    pub(super) fn first_match(&self, flow: &Flow<'_>, members: &Memberships) -> Option<&CompiledRule> {
        let Some(index) = &self.index else {
            return self.rules.iter().find(|rule| rule.matches(flow));
        };
        let mut best = self.rules.len();
        index.visit(flow, members, &mut |at| {
            if at < best && self.rules[at].matches_ends(flow) {
                best = at;
            }
        });
        self.rules.get(best)
    }

    /// Every rule that matches, some of them more than once.
    pub(super) fn each_match(
        &self,
        flow: &Flow<'_>,
        members: &Memberships,
        mut visit: impl FnMut(&CompiledRule),
    ) {
        match &self.index {
            None => self.rules.iter().filter(|rule| rule.matches(flow)).for_each(visit),
            Some(index) => index.visit(flow, members, &mut |at| {
                if self.rules[at].matches_ends(flow) {
                    visit(&self.rules[at]);
                }
            }),
        }
    }
}

/// What each node is a member of, for indexes: the names it is inside of, and its labels.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    /// The rank of each node's parent by name, by rank; its own where it has none.
    parents: Vec<u32>,
    /// Where each node's labels begin in `labels`, by rank, and where the last one's end.
    starts: Vec<u32>,
    labels: Vec<u32>,
}

impl Memberships {
    pub(super) fn new(parents: Vec<u32>, ends: &Ends) -> Self {
        let members = || {
            let labels = (0..).zip(ends.labels());
            labels.flat_map(|(label, ranges)| {
                let ranks = ranges.iter().flat_map(|&(first, last)| first..=last);
                ranks.map(move |rank| (rank as usize, label))
            })
        };
        let mut starts = vec![0_u32; parents.len() + 1];
        for (rank, _) in members() {
            starts[rank + 1] += 1;
        }
        for rank in 0..parents.len() {
            starts[rank + 1] += starts[rank];
        }
        let mut next = starts.clone();
        let mut labels = vec![0; starts.last().copied().unwrap_or(0) as usize];
        for (rank, label) in members() {
            labels[next[rank] as usize] = label;
            next[rank] += 1;
        }
        Self { parents, starts, labels }
    }

    pub(super) fn labels_of(&self, rank: u32) -> &[u32] {
        match self.starts.get(rank as usize..) {
            Some(&[start, end, ..]) => &self.labels[start as usize..end as usize],
            _ => &[],
        }
    }

    /// The rank itself, and those of the names it is inside of.
    pub(super) fn around(&self, rank: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(rank), |&rank| {
            let parent = *self.parents.get(rank as usize)?;
            (parent != rank).then_some(parent)
        })
    }
}
