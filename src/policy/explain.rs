//! Why a flow passes or doesn't, border by border, for people and programs.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::judge::{Judge, RuleId};
use super::question::{Direction, Question, Verdict};
use crate::base::NodePath;
use crate::roster::{Line, Party, Service};

/// A judgement with its reasons: `explain --json` prints exactly this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub verdict: Verdict,
    /// In the order that they are crossed; all of them, also after one that denies.
    pub borders: Vec<Crossing>,
}

/// What one policy says at one border. A guest's border has two: its owner's and its host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// The name of the owner, room, station or application that the border is of.
    pub border: String,
    pub direction: Direction,
    pub verdict: Verdict,
    /// The rule that decides; `None`: none does.
    pub rule: Option<String>,
    /// Where the rule is, or else the policy; `None`: there is neither.
    pub file: Option<String>,
    pub line: Option<u32>,
    pub reason: String,
    /// The staged rules that match, each with its file and line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub staged: Vec<String>,
}

/// Why a judge has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotTell {
    #[error("{0}: no accepted roster has a node of this name")]
    UnknownNode(NodePath),
    #[error("{0} has no address of its own; ask about a station or an application")]
    NoAddress(NodePath),
    #[error("{0} is a relay; policy is about stations and applications")]
    Relay(NodePath),
    #[error("{from} and {to} have no address of the same family")]
    Family { from: String, to: String },
    #[error("neither {from} nor {to} is a node of an accepted roster, so no border is between them")]
    Strangers { from: String, to: String },
}

/// What a question about two parties and a service comes to. It may stand for many: one for each family that both
/// have, one for each port of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    /// Of one that is denied, if any is, else of the first.
    pub explanation: Explanation,
    /// The question that `explanation` is about.
    pub question: Question,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    Denied,
    /// Some are allowed and some denied; as a verdict, that is denied.
    Mixed,
}

/// A compiled rule, as counters and logs name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleView {
    pub border: NodePath,
    pub direction: Direction,
    pub file: Arc<str>,
    pub line: Line,
    /// As a person would write it on one line.
    pub text: String,
    pub stage: bool,
    pub log: bool,
}

impl Judge {
    /// Walks the borders that [`Judge::judge`] asks, and all after them.
    #[must_use]
    pub fn explain(&self, question: &Question) -> Explanation {
        let _ = question;
        Explanation { verdict: Verdict::Allow, borders: Vec::new() }
    }

    /// Answers for two parties and a service. `any` asks about a protocol that no rule names; a range of ports asks
    /// about each of them; parties with addresses of two families ask about both.
    ///
    /// # Errors
    /// [`CannotTell`] when a party is unknown or the two can't meet.
    pub fn ask(&self, from: &Party, to: &Party, service: Service) -> Result<Answer, CannotTell> {
        let _ = service;
        Err(CannotTell::Strangers { from: format!("{from:?}"), to: format!("{to:?}") })
    }

    /// The rule with this number.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<RuleView> {
        let _ = id;
        None
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)
    }
}
