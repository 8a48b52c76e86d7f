//! Nodes in the order of their names, so that "this name and all inside it" is one range of ranks.
//!
//! A node's number in the model goes by place; a guest has its number inside its host and its rank inside its owner.

use crate::base::{Name, NodePath};
use crate::roster::{Model, NodeId};

/// The rank of whatever is no node.
pub(super) const INTERNET: u32 = u32::MAX;

/// First and last rank; both belong to it.
pub(super) type Ranks = (u32, u32);

/// All nodes of a model by name.
#[derive(Debug)]
pub(super) struct Names<'m> {
    model: &'m Model,
    /// By rank.
    order: Vec<NodeId>,
}

impl<'m> Names<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        let mut order: Vec<_> = model.iter().map(|(id, _)| id).collect();
        order.sort_by(|&a, &b| model.node(a).name.cmp(&model.node(b).name));
        Self { model, order }
    }

    /// By rank.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, NodeId)> {
        (0..).zip(self.order.iter().copied())
    }

    pub(super) fn name(&self, rank: u32) -> &'m NodePath {
        &self.model.node(self.order[rank as usize]).name
    }

    /// By number.
    pub(super) fn ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0; self.order.len()];
        for (rank, id) in self.iter() {
            ranks[id.0 as usize] = rank;
        }
        ranks
    }

    /// The rank of each node's parent by name, by rank; its own where it has none.
    pub(super) fn parents(&self) -> Vec<u32> {
        let parent = |rank| {
            let parent = self.name(rank).parent()?;
            self.inside(parent.segments()).map(|(first, _)| first)
        };
        self.iter().map(|(rank, _)| parent(rank).unwrap_or(rank)).collect()
    }

    /// The node of this name and all inside it.
    pub(super) fn inside(&self, path: &[Name]) -> Option<Ranks> {
        let segments = |id: &NodeId| self.model.node(*id).name.segments();
        let first = self.order.partition_point(|id| segments(id) < path);
        let count = self.order[first..].partition_point(|id| segments(id).starts_with(path));
        let rank = |at: usize| u32::try_from(at).ok();
        if count == 0 { None } else { Some((rank(first)?, rank(first + count - 1)?)) }
    }
}
