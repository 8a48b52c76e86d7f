//! What selectors other than plain paths and prefixes select: tags, kinds and paths with `*`. Each is worked out once,
//! however many rules have it.

use hashbrown::{HashMap, HashSet};

use super::names::{Names, Ranks};
use crate::base::Name;
use crate::roster::model::NodeKind;
use crate::roster::{Kind, Model, Selector};

/// A selector that stands for a set of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Label {
    Pattern(Vec<Option<Name>>),
    Tag { owner: Name, tag: Name },
    Kind(Kind),
}

impl Label {
    /// `None` for a selector that needs no label.
    pub(super) fn of(selector: &Selector) -> Option<Self> {
        match selector {
            Selector::Path(path) if path.contains(&None) => Some(Self::Pattern(path.clone())),
            Selector::Tag { owner, tag } => Some(Self::Tag { owner: owner.clone(), tag: tag.clone() }),
            Selector::Kind(kind) => Some(Self::Kind(*kind)),
            _ => None,
        }
    }
}

/// The labels that some rule has, numbered.
#[derive(Debug, Default)]
pub(super) struct Labels {
    numbers: HashMap<Label, u32>,
    /// Which segments of the patterns are `*`: length, and a bit for each that is.
    shapes: HashSet<(usize, u8)>,
}

impl Labels {
    pub(super) fn insert(&mut self, label: Label) {
        if let Label::Pattern(path) = &label {
            let stars = path.iter().enumerate().filter(|(_, segment)| segment.is_none());
            self.shapes.insert((path.len(), stars.fold(0, |mask, (i, _)| mask | 1 << i)));
        }
        let next = u32::try_from(self.numbers.len()).expect("a roster's bytes are counted in 32 bits");
        self.numbers.entry(label).or_insert(next);
    }

    pub(super) fn number(&self, label: &Label) -> Option<u32> {
        self.numbers.get(label).copied()
    }

    /// Each label's nodes, by its number: ranges of ranks, in order and apart from each other.
    pub(super) fn members(&self, model: &Model, names: &Names<'_>) -> Vec<Vec<Ranks>> {
        let mut members = vec![Vec::new(); self.numbers.len()];
        let mut add = |label: &Label, ranks: Ranks| {
            if let Some(number) = self.number(label) {
                push(&mut members[number as usize], ranks);
            }
        };
        for (rank, id) in names.iter() {
            let node = model.node(id);
            for kind in kinds(&node.kind) {
                add(&Label::Kind(*kind), (rank, rank));
            }
            for tag in &node.tags {
                let owner = node.name.owner().clone();
                add(&Label::Tag { owner, tag: tag.clone() }, (rank, rank));
            }
            let name = node.name.segments();
            for (_, stars) in self.shapes.iter().filter(|(len, _)| *len == name.len()) {
                let segment = |(i, name): (usize, &Name)| (stars >> i & 1 == 0).then(|| name.clone());
                let pattern = Label::Pattern(name.iter().enumerate().map(segment).collect());
                if let Some(ranks) = names.inside(name) {
                    add(&pattern, ranks);
                }
            }
        }
        members
    }
}

/// Adds ranks at the end, joined to what they touch.
fn push(ranges: &mut Vec<Ranks>, (first, last): Ranks) {
    match ranges.last_mut() {
        Some(before) if before.1 + 1 >= first => before.1 = before.1.max(last),
        _ => ranges.push((first, last)),
    }
}

fn kinds(kind: &NodeKind) -> &'static [Kind] {
    match kind {
        NodeKind::Owner | NodeKind::Room { .. } | NodeKind::Relay { .. } => &[],
        NodeKind::Station { .. } | NodeKind::LanStation => &[Kind::Station],
        // a gateway is itself a station of its room
        NodeKind::Gateway { .. } => &[Kind::Station, Kind::Gateway],
        NodeKind::Application | NodeKind::Guest => &[Kind::Application],
    }
}
