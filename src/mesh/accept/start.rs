//! The set to start with. A start has nothing running to fall back to, so every owner for itself falls back to the
//! copy that was accepted before, and a friend without one is left out.

use super::{Accepted, Desk, InForce, Kept, Offer, Own, Refusal, RunTests, assemble};

/// The set to start with: a bad roster falls back to its kept copy, and a friend's without one is left out.
///
/// # Errors
/// When there is no good own roster, neither offered nor kept.
pub fn start(
    own: &Own,
    offers: &[Offer],
    kept: &[Kept],
    tests: RunTests<'_>,
) -> Result<InForce, Vec<Refusal>> {
    let desk = Desk { own, offers, kept, known: &[] };
    let mut refusals = Vec::new();
    let offered = match desk.offer(&own.owner) {
        Some(offer) => desk.check(offer, own.key),
        None => Err(desk.missing()),
    };
    match offered {
        Ok(accepted) => match desk.with_own(accepted, tests) {
            Ok(in_force) => return Ok(in_force),
            Err(own_refusals) => refusals.extend(own_refusals),
        },
        Err(refusal) => refusals.push(refusal),
    }
    let Some(accepted) = desk.fallback(&own.owner, own.key) else { return Err(refusals) };
    match desk.with_own(accepted, tests) {
        Ok(in_force) => {
            refusals.extend(in_force.refusals);
            Ok(InForce { refusals, ..in_force })
        }
        Err(own_refusals) => {
            refusals.extend(own_refusals);
            Err(refusals)
        }
    }
}

impl Desk<'_> {
    /// The set that this own roster makes with its friends; an error when it is the own roster that can't be in.
    fn with_own(&self, own: Accepted, tests: RunTests<'_>) -> Result<InForce, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let friends = own.roster.clone();
        let mut rosters = vec![own];
        for friend in &friends.friends {
            let Some(offer) = self.offer(&friend.owner) else { continue };
            match self.check(offer, friend.key) {
                Ok(accepted) => rosters.push(accepted),
                Err(refusal) => {
                    refusals.push(refusal);
                    rosters.extend(self.fallback(&friend.owner, friend.key));
                }
            }
        }
        // Every turn a friend falls back or is left out, so there are at most two for each.
        loop {
            match assemble(&rosters, tests) {
                Ok(assembled) => return Ok(self.in_force(rosters, assembled, refusals)),
                Err(more) => {
                    let (own, others): (Vec<_>, Vec<_>) =
                        more.into_iter().partition(|refusal| refusal.owner == self.own.owner);
                    if !own.is_empty() || others.is_empty() {
                        return Err(own);
                    }
                    rosters = self.step_down(rosters, &others);
                    refusals.extend(others);
                }
            }
        }
    }

    /// The rosters without those refused: their kept copies instead, where that is something else.
    fn step_down(&self, rosters: Vec<Accepted>, refused: &[Refusal]) -> Vec<Accepted> {
        let is_refused = |accepted: &Accepted| refused.iter().any(|r| r.owner == accepted.roster.owner);
        let other_copy = |accepted: Accepted| {
            if !is_refused(&accepted) {
                return Some(accepted);
            }
            let kept = self.fallback(&accepted.roster.owner, accepted.kept.key);
            kept.filter(|kept| !accepted.is_fallback && kept.kept.hash != accepted.kept.hash)
        };
        rosters.into_iter().filter_map(other_copy).collect()
    }
}
