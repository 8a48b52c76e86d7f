//! A roster's own `[[test]]`s, judged on a model.

use std::fmt;
use std::sync::Arc;

use super::ask::{Answer, CannotTell, Outcome};
use super::explain::Explanation;
use super::judge::Judge;
use crate::base::Name;
use crate::roster::{Expect, Line, Party, Roster, Service, TestCase};

/// A test that fails, or that can't be told.
#[derive(Debug, Clone)]
pub struct Failure {
    pub file: Arc<str>,
    pub line: Line,
    pub from: Party,
    pub to: Party,
    pub service: Service,
    pub expected: Expect,
    pub outcome: TrialOutcome,
}

/// What came out instead.
#[derive(Debug, Clone)]
pub enum TrialOutcome {
    /// The explanation of a flow that is not as expected. If it is a denial, also the owner whose policy denies:
    /// another owner's is not the roster's fault.
    Answered { explanation: Explanation, denied_by: Option<Name> },
    /// The test names what is not there, or ends that can't meet.
    CannotTell(CannotTell),
}

/// The tests of `roster` that fail on the judge's model. `allow` expects that everything asked is allowed, `deny` that
/// all of it is denied.
#[must_use]
pub fn failures(judge: &Judge, roster: &Roster) -> Vec<Failure> {
    let outcome = |test: &TestCase| match judge.ask(&test.from, &test.to, test.service) {
        Err(error) => Some(TrialOutcome::CannotTell(error)),
        Ok(answer) => unexpected(judge, test.expect, answer),
    };
    let failure = |test: &TestCase| {
        Some(Failure {
            file: Arc::clone(&roster.file),
            line: test.line,
            from: test.from.clone(),
            to: test.to.clone(),
            service: test.service,
            expected: test.expect,
            outcome: outcome(test)?,
        })
    };
    roster.tests.iter().filter_map(failure).collect()
}

/// What is wrong with an answer, if anything is.
fn unexpected(judge: &Judge, expected: Expect, answer: Answer) -> Option<TrialOutcome> {
    match (expected, answer.outcome) {
        (Expect::Allow, Outcome::Allowed) | (Expect::Deny, Outcome::Denied) => None,
        (Expect::Allow, _) => {
            let denial = judge.judge(&answer.question).denial;
            let owner = denial.map(|denial| &judge.model().owners[denial.policy_of.0 as usize]);
            let denied_by = owner.map(|owner| owner.roster.owner.clone());
            Some(TrialOutcome::Answered { explanation: answer.explanation, denied_by })
        }
        (Expect::Deny, _) => {
            let explanation = judge.explain(&answer.allowed.unwrap_or(answer.question));
            Some(TrialOutcome::Answered { explanation, denied_by: None })
        }
    }
}

impl fmt::Display for TrialOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { explanation, .. } => explanation.fmt(f),
            Self::CannotTell(error) => error.fmt(f),
        }
    }
}
