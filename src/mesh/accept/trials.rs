//! Rosters' own tests, and who answers for one that fails.
//!
//! A roster is refused for its own tests only, and only when it is what changed and what decides: nobody else may
//! stop my roster from loading, neither by a border that denies what I expect nor by a change that breaks my test.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Accepted, Refusal, Why};
use crate::base::Name;
use crate::policy::trial::{self, Failure, TrialOutcome};
use crate::policy::{Judge, Verdict};
use crate::roster::{Expect, Fault, Line, Model, Roster};

/// Runs the `[[test]]`s of every owner of a model; those that pass are not reported.
pub type RunTests<'a> = &'a dyn Fn(&Arc<Model>) -> Vec<TestOutcome>;

/// A `[[test]]` that did not come out as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// Whose roster the test is in.
    pub owner: Name,
    pub file: Arc<str>,
    pub line: Line,
    pub result: TestResult,
    /// For people: `bob/cellar/phone to alice/attic/nas by tcp/445 is denied at …`.
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestResult {
    /// Denied where allow was expected, by a border in this owner's roster; `None`: by none.
    Denied { by: Option<Name> },
    /// Allowed where deny was expected.
    Allowed,
    /// It names what no accepted roster has.
    CannotTell,
}

/// Judges the tests of every owner's roster on the model: what [`RunTests`] wants.
#[must_use]
pub fn failing_tests(model: &Arc<Model>) -> Vec<TestOutcome> {
    let judge = Judge::new(Arc::clone(model));
    let rosters = model.owners.iter().map(|owner| &owner.roster);
    rosters
        .flat_map(|roster| {
            trial::failures(&judge, roster).into_iter().map(|failure| outcome(roster, &failure))
        })
        .collect()
}

fn outcome(roster: &Roster, failure: &Failure) -> TestOutcome {
    let result = match (&failure.outcome, failure.expected) {
        (TrialOutcome::CannotTell(_), _) => TestResult::CannotTell,
        (TrialOutcome::Answered { .. }, Expect::Deny) => TestResult::Allowed,
        (TrialOutcome::Answered { denied_by, .. }, Expect::Allow) => {
            TestResult::Denied { by: denied_by.clone() }
        }
    };
    let (from, to, service) = (&failure.from, &failure.to, &failure.service);
    let what = match &failure.outcome {
        TrialOutcome::CannotTell(why) => format!("{from} to {to} by {service}: {why}"),
        TrialOutcome::Answered { explanation, .. } => {
            let verdict = explanation.verdict;
            let deciding = explanation
                .borders
                .iter()
                .find(|crossing| crossing.verdict == verdict && verdict == Verdict::Deny);
            match deciding {
                Some(at) => format!(
                    "{from} to {to} by {service} is denied at {} {}: {}",
                    at.border, at.direction, at.reason
                ),
                None => format!("{from} to {to} by {service} is allowed"),
            }
        }
    };
    TestOutcome {
        owner: roster.owner.clone(),
        file: Arc::clone(&roster.file),
        line: failure.line,
        result,
        what,
    }
}

impl TestOutcome {
    /// As a fault of the file that the test is in.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let mend = match &self.result {
            TestResult::Denied { by: Some(owner) } if *owner != self.owner => {
                format!("ask \"{owner}\" to allow it, or expect \"deny\"")
            }
            TestResult::Denied { .. } => "allow it, or expect \"deny\"".into(),
            TestResult::Allowed => "deny it, or expect \"allow\"".into(),
            TestResult::CannotTell => "get the roster that it is about, or leave the test out".into(),
        };
        Fault {
            file: self.file.clone(),
            line: self.line,
            what: format!("the test fails: {}", self.what),
            mend,
        }
    }
}

/// Splits what failed into refusals and notes.
pub(super) fn refusals(
    rosters: &[Accepted],
    outcomes: Vec<TestOutcome>,
    notes: &mut Vec<Fault>,
) -> Vec<Refusal> {
    let is_new =
        |owner: &Name| rosters.iter().any(|accepted| accepted.is_new && accepted.roster.owner == *owner);
    let mut blamed: BTreeMap<Name, Vec<Fault>> = BTreeMap::new();
    for outcome in outcomes {
        let decides = match &outcome.result {
            TestResult::Denied { by } => by.as_ref() == Some(&outcome.owner),
            TestResult::Allowed => true,
            TestResult::CannotTell => false,
        };
        if decides && is_new(&outcome.owner) {
            blamed.entry(outcome.owner.clone()).or_default().push(outcome.fault());
        } else {
            notes.push(outcome.fault());
        }
    }
    blamed.into_iter().map(|(owner, faults)| Refusal { owner, why: Why::TestFailed, faults }).collect()
}
