//! Which rosters are accepted: signature, owner, serial, equivocation, overlap, tests.
//!
//! Pure: files and what was accepted before come in, and the accepted set with its model, or the refusals, goes out.
//! A node's own roster names its friends; nobody else's roster is read. What is refused never replaces what works.

use std::sync::Arc;

use crate::base::Name;
use crate::base::signify::OwnerKey;
use crate::roster::{Fault, Line, Model, OwnerId, Roster};

/// A roster file and its signature as they were found: NAME.toml, NAME.toml.sig.
#[derive(Debug, Clone)]
pub struct Offer {
    /// NAME, which has to be the owner's.
    pub owner: Name,
    /// The file's name as faults print it.
    pub file: Arc<str>,
    pub bytes: Arc<[u8]>,
    /// The `.sig` file; `None`: there is none.
    pub signature: Option<Arc<[u8]>>,
}

/// What was accepted of one owner and is kept across boots, so that a node never goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub owner: Name,
    pub key: OwnerKey,
    pub serial: u64,
    /// BLAKE2s-256 of `bytes`.
    pub hash: [u8; 32],
    pub bytes: Arc<[u8]>,
    pub signature: Arc<[u8]>,
}

/// Who this node belongs to.
#[derive(Debug, Clone)]
pub struct Own {
    pub owner: Name,
    pub key: OwnerKey,
}

/// One owner's roster, accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub roster: Arc<Roster>,
    pub kept: Kept,
    /// The bytes are not those that were in force before.
    pub is_new: bool,
}

/// A set in force.
#[derive(Debug)]
pub struct InForce {
    pub model: Arc<Model>,
    /// Own first, in the order of the model's owners.
    pub rosters: Vec<Accepted>,
    /// What to keep: the accepted ones, and owners seen before whose files are gone.
    pub kept: Vec<Kept>,
    /// Left out at start; empty after a reload.
    pub refusals: Vec<Refusal>,
    /// For the log at WARN.
    pub notes: Vec<Fault>,
}

/// A roster that is not accepted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub owner: Name,
    pub why: Why,
    /// For people: FILE:LINE, what, the mend.
    pub faults: Vec<Fault>,
}

/// Why a roster is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    Missing,
    Unsigned,
    BadSignature,
    NotFriend,
    WrongOwner,
    OlderSerial,
    Equivocation,
    Faulty,
    Overlap,
    TestFailed,
}

/// A `[[test]]` that did not come out as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// Whose roster the test is in.
    pub owner: OwnerId,
    pub line: Line,
    pub result: TestResult,
    /// For people: `bob/cellar/phone -> alice/attic/nas tcp/445: …`.
    pub what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestResult {
    /// Denied where allow was expected, by a border in this owner's roster.
    DeniedBy(OwnerId),
    /// Allowed where deny was expected.
    Allowed,
    /// It names what no accepted roster has.
    CannotTell,
}

/// Runs the `[[test]]`s of every owner of a model; those that pass are not reported.
pub type RunTests<'a> = &'a dyn Fn(&Arc<Model>) -> Vec<TestOutcome>;

/// The set to start with: a friend's bad roster falls back to its kept copy or is left out; the own one falls back
/// to its kept copy.
///
/// # Errors
/// When there is no good own roster, neither offered nor kept.
pub fn start(
    own: &Own,
    offers: &[Offer],
    kept: &[Kept],
    tests: RunTests<'_>,
) -> Result<InForce, Vec<Refusal>> {
    let _ = (own, offers, kept, tests);
    Err(Vec::new())
}

/// The set after a change: all or nothing.
///
/// # Errors
/// Every refusal; `running` stays in force.
pub fn reload(
    own: &Own,
    offers: &[Offer],
    running: &InForce,
    tests: RunTests<'_>,
) -> Result<InForce, Vec<Refusal>> {
    let _ = (own, offers, running, tests);
    Err(Vec::new())
}
