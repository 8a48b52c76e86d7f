//! One roster that somebody gave while the others stay as they are in force: fetched from a mesh node, or published.

use super::{Desk, InForce, Kept, Meaning, Offer, Own, Refusal, RunTests, Why, reload, start};
use crate::base::Name;
use crate::base::signify::{OwnerKey, Signature};

/// Why a roster that was given is not in force now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAccepted {
    /// For people; a line for each fault.
    pub why: String,
    pub meaning: Meaning,
}

/// The owner, of those accepted here, who signed these bytes.
#[must_use]
pub fn signer(own: &Own, running: Option<&InForce>, signature: &[u8], bytes: &[u8]) -> Option<Name> {
    let signature = Signature::parse_file(signature).ok()?;
    let signed = |key: &OwnerKey| key.number() == signature.number() && key.verify(bytes, &signature).is_ok();
    keys(own, running).find(|(_, key)| signed(key)).map(|(owner, _)| owner.clone())
}

fn keys<'a>(own: &'a Own, running: Option<&'a InForce>) -> impl Iterator<Item = (&'a Name, OwnerKey)> {
    let friends = running.and_then(|running| running.rosters.first()).map(|first| &first.roster.friends);
    let friends = friends.into_iter().flatten().map(|friend| (&friend.owner, friend.key));
    std::iter::once((&own.owner, own.key)).chain(friends)
}

/// The set with what was given: all or nothing. With nothing running it is a start, with what else is on the disk.
/// `None`: it is in force already.
///
/// # Errors
/// [`NotAccepted`]; what is in force stays.
pub fn offered(
    own: &Own,
    given: Offer,
    running: Option<&InForce>,
    on_disk: (&[Offer], &[Kept]),
    tests: RunTests<'_>,
) -> Result<Option<InForce>, NotAccepted> {
    let key = keys(own, running).find(|(owner, _)| **owner == given.owner).map(|(_, key)| key);
    let key = key.ok_or_else(|| NotAccepted {
        why: format!("{}: \"{}\" is no friend of \"{}\"", given.file, given.owner, own.owner),
        meaning: Meaning::NotNow,
    })?;
    let (disk, kept) = on_disk;
    let kept = running.map_or(kept, |running| &running.kept);
    let desk = Desk { own, offers: &[], kept, known: &[] };
    let accepted = desk.check(&given, key).map_err(|refusal| not_accepted(vec![refusal]))?;
    let Some(running) = running else {
        let others = disk.iter().filter(|offer| offer.owner != given.owner).cloned();
        let offers: Vec<_> = others.chain([given.clone()]).collect();
        let in_force = start(own, &offers, kept, tests).map_err(not_accepted)?;
        let hash = accepted.kept.hash;
        return if in_force.rosters.iter().any(|accepted| accepted.kept.hash == hash) {
            Ok(Some(in_force))
        } else {
            Err(not_accepted(in_force.refusals))
        };
    };
    let same = |one: &super::Accepted| one.kept.key == key && one.kept.hash == accepted.kept.hash;
    if running.rosters.iter().any(same) {
        return Ok(None);
    }
    let others = running.rosters.iter().filter(|one| one.kept.key != key).map(|one| Offer {
        owner: one.kept.owner.clone(),
        file: one.roster.file.clone(),
        bytes: one.kept.bytes.clone(),
        signature: Some(one.kept.signature.clone()),
    });
    let offers: Vec<_> = others.chain([given]).collect();
    reload(own, &offers, running, tests).map(Some).map_err(not_accepted)
}

fn not_accepted(refusals: Vec<Refusal>) -> NotAccepted {
    let meaning = |refusal: &Refusal| match refusal.why {
        Why::Unsigned | Why::BadSignature => Meaning::Forged,
        Why::WrongOwner | Why::OlderSerial | Why::Equivocation | Why::Faulty => Meaning::Never,
        Why::Missing | Why::Overlap | Why::TestFailed => Meaning::NotNow,
    };
    let lines: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    NotAccepted { why: lines.join("\n"), meaning: refusals.first().map_or(Meaning::NotNow, meaning) }
}
