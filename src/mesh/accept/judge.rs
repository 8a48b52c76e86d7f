//! Rosters' own tests, run by policy's judge.

use std::sync::Arc;

use super::TestOutcome;
use crate::roster::Model;

/// Runs every owner's tests on a model. What passes is not in the result.
#[must_use]
pub fn run_tests(model: &Arc<Model>) -> Vec<TestOutcome> {
    // The judge is being built on another branch.
    let _ = model;
    Vec::new()
}
