//! Which rosters are accepted: signature, owner, serial, equivocation, overlap, tests.
//!
//! Pure: files and what was accepted before come in, and the accepted set with its model, or the refusals, goes out.
//! A node's own roster names its friends; nobody else's roster is read. Bytes are parsed only when their signature
//! verifies. What is refused never replaces what works: at a start the kept copy steps in, at a reload the running
//! set stays. Who was in force before goes before who is new, so that no friend's new roster can push out another's.

mod check;
mod offered;
mod start;
mod trials;

use std::sync::Arc;

use crate::base::Name;
use crate::base::signify::OwnerKey;
use crate::roster::{Because, Fault, Line, Model, Refused, Roster};

pub use check::hash;
pub use offered::{NotAccepted, offered, signer};
pub use start::start;
pub use trials::{RunTests, TestOutcome, TestResult, failing_tests};

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
    /// The `.sig` file.
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
    /// The offered file was refused, and this is the copy that was accepted before.
    pub is_fallback: bool,
}

/// A set in force.
#[derive(Debug)]
pub struct InForce {
    pub model: Arc<Model>,
    /// Own first, in the order of the model's owners.
    pub rosters: Vec<Accepted>,
    /// What to keep: the accepted ones, and owners seen before whose files are gone.
    pub kept: Vec<Kept>,
    /// For the log at ERROR: what was left out at a start. Empty after a reload.
    pub refusals: Vec<Refusal>,
    /// For the log at WARN.
    pub notes: Vec<Fault>,
}

/// A roster that is not accepted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub owner: Name,
    pub why: Why,
    /// For people: FILE:LINE, what, the mend. Never empty.
    pub faults: Vec<Fault>,
}

/// What a refusal means for who gave the roster, and for the roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Its owner did not sign it: who gave it is to blame, and it is not remembered.
    Forged,
    /// It is older than what is in force, or the same serial with other content: it will never do.
    Never,
    /// It can't stand beside what is in force now.
    NotNow,
}

/// Why a roster is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The own roster is not there.
    Missing,
    Unsigned,
    /// By another key, or not over these bytes.
    BadSignature,
    /// The file is named after one owner and says another.
    WrongOwner,
    OlderSerial,
    /// The serial was accepted before, with other content.
    Equivocation,
    Faulty,
    /// It claims what another owner has.
    Overlap,
    TestFailed,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let newline = if i > 0 { "\n" } else { "" };
            write!(f, "{newline}{fault}")?;
        }
        Ok(())
    }
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
    let known: Vec<_> = running.rosters.iter().map(|accepted| accepted.roster.clone()).collect();
    let desk = Desk { own, offers, kept: &running.kept, known: &known };
    let mut refusals = Vec::new();
    let Some(offer) = desk.offer(&own.owner) else { return Err(vec![desk.missing()]) };
    let own_roster = desk.check(offer, own.key).map_err(|refusal| vec![refusal])?;
    let mut rosters = vec![own_roster];
    for friend in rosters[0].roster.clone().friends.iter() {
        match desk.offer(&friend.owner).map(|offer| desk.check(offer, friend.key)) {
            Some(Ok(accepted)) => rosters.push(accepted),
            Some(Err(refusal)) => refusals.push(refusal),
            None => {}
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let assembled = assemble(&rosters, tests)?;
    Ok(desk.in_force(rosters, assembled, Vec::new()))
}

/// What acceptance looks at.
struct Desk<'a> {
    own: &'a Own,
    offers: &'a [Offer],
    kept: &'a [Kept],
    /// Rosters parsed before; those of the same bytes need not be parsed again.
    known: &'a [Arc<Roster>],
}

impl Desk<'_> {
    fn offer(&self, owner: &Name) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.owner == *owner)
    }

    /// What was accepted by this key before, whatever its owner was called.
    fn kept_by(&self, key: OwnerKey) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.key == key)
    }

    fn missing(&self) -> Refusal {
        let owner = &self.own.owner;
        let fault = Fault {
            file: format!("{owner}.toml").into(),
            line: Line(0),
            what: "the own owner's roster is not there".into(),
            mend: format!("put {owner}.toml and {owner}.toml.sig into the folder of rosters"),
        };
        Refusal { owner: owner.clone(), why: Why::Missing, faults: vec![fault] }
    }

    fn in_force(&self, rosters: Vec<Accepted>, assembled: Assembled, refusals: Vec<Refusal>) -> InForce {
        let mut kept = self.kept.to_vec();
        for accepted in &rosters {
            match kept.iter_mut().find(|kept| kept.key == accepted.kept.key) {
                Some(before) => *before = accepted.kept.clone(),
                None => kept.push(accepted.kept.clone()),
            }
        }
        let Assembled { model, mut notes } = assembled;
        self.note_others(&rosters, &mut notes);
        InForce { model, rosters, kept, refusals, notes }
    }

    /// Says which friends have no roster here, and which files are nobody's.
    fn note_others(&self, rosters: &[Accepted], notes: &mut Vec<Fault>) {
        let Some(own) = rosters.first().map(|own| &own.roster) else { return };
        for friend in own.friends.iter().filter(|friend| self.offer(&friend.owner).is_none()) {
            let owner = &friend.owner;
            notes.push(Fault {
                file: own.file.clone(),
                line: friend.line,
                what: format!("there is no roster of the friend \"{owner}\" here"),
                mend: format!("put {owner}.toml and {owner}.toml.sig into the folder of rosters"),
            });
        }
        let is_known = |offer: &Offer| {
            offer.owner == self.own.owner || own.friends.iter().any(|friend| friend.owner == offer.owner)
        };
        for offer in self.offers.iter().filter(|offer| !is_known(offer)) {
            notes.push(Fault {
                file: offer.file.clone(),
                line: Line(0),
                what: format!("is not read: \"{}\" is no friend in {}", offer.owner, own.file),
                mend: format!("declare [[friend]] owner = \"{}\", or remove the file", offer.owner),
            });
        }
    }
}

/// Rosters that stand beside each other and whose tests pass.
struct Assembled {
    model: Arc<Model>,
    notes: Vec<Fault>,
}

/// Joins and tries; every roster that can't be in is a refusal.
fn assemble(rosters: &[Accepted], tests: RunTests<'_>) -> Result<Assembled, Vec<Refusal>> {
    let pair = |accepted: &Accepted| (accepted.roster.clone(), accepted.kept.key);
    let mut by_age: Vec<&Accepted> = rosters.iter().collect();
    if let Some(friends) = by_age.get_mut(1..) {
        // Stable: among those of one age the own roster's order counts.
        friends.sort_by_key(|accepted| accepted.is_new);
    }
    let join = |pairs: &[_]| Model::join(pairs).map_err(|faults| vec![own_fault(rosters, faults.0)]);
    let mut joined = join(&by_age.into_iter().map(pair).collect::<Vec<_>>())?;
    if !joined.refused.is_empty() {
        return Err(joined.refused.into_iter().map(refusal).collect());
    }
    if rosters.iter().any(|accepted| accepted.is_new) {
        // Nobody stands in another's way, so the order changes nothing but the numbers.
        joined = join(&rosters.iter().map(pair).collect::<Vec<_>>())?;
    }
    let model = Arc::new(joined.model);
    let mut notes = joined.notes;
    let refusals = trials::refusals(rosters, tests(&model), &mut notes);
    if refusals.is_empty() { Ok(Assembled { model, notes }) } else { Err(refusals) }
}

fn own_fault(rosters: &[Accepted], faults: Vec<Fault>) -> Refusal {
    // Joining nothing is the only fault without an own roster, and nobody joins nothing here.
    let owner = rosters[0].roster.owner.clone();
    Refusal { owner, why: Why::Faulty, faults }
}

fn refusal(refused: Refused) -> Refusal {
    let why = match refused.because {
        Because::NotFriend => Why::BadSignature,
        Because::Overlap => Why::Overlap,
        Because::Faulty => Why::Faulty,
    };
    Refusal { owner: refused.owner, why, faults: refused.faults.0 }
}
