//! A roster's own `[[test]]`s, judged on a model.

use std::sync::Arc;

use super::explain::{Answer, CannotTell};
use super::judge::Judge;
use crate::base::Name;
use crate::roster::{Expect, Line, Roster};

/// A test that fails, or that can't be told.
#[derive(Debug, Clone)]
pub struct Failure {
    pub file: Arc<str>,
    pub line: Line,
    pub expected: Expect,
    pub outcome: TrialOutcome,
}

/// What came out instead.
#[derive(Debug, Clone)]
pub enum TrialOutcome {
    /// The answer; if it is a denial, also the owner whose policy denies.
    Answered { answer: Box<Answer>, denied_by: Option<Name> },
    /// The test names a node that is not there.
    CannotTell(CannotTell),
}

/// The tests of `roster` that fail on the judge's model. `allow` expects that everything asked is allowed, `deny` that
/// all of it is denied.
#[must_use]
pub fn failures(judge: &Judge, roster: &Roster) -> Vec<Failure> {
    let _ = (judge, roster);
    Vec::new()
}
