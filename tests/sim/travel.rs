//! Rosters that travel: whoever can be told by somebody who has the newest one has it within a bound.

use crate::clock::{MILLISECOND, SECOND, Time};
use crate::gateway::Wall;
use crate::probe::BOUND;
use crate::town::Town;

/// How often it is looked whether everybody has it.
const LOOK: Time = 100 * MILLISECOND;

impl Town {
    /// Waits until nobody lags who could be told.
    pub fn converge(&mut self) {
        let begin = self.now;
        let Some(mut lags) = self.lagging() else { return };
        while self.broken.is_none() {
            if self.now > begin + BOUND {
                return self.break_down(format!("{lags} in {} s", BOUND / SECOND));
            }
            self.run(self.now + LOOK);
            match self.lagging() {
                Some(still) => lags = still,
                None => break,
            }
        }
        self.ledger.took.entry("(rosters everywhere)").or_default().push(self.now - begin);
    }

    /// Somebody without a newest roster that a gateway it talks with has.
    fn lagging(&mut self) -> Option<String> {
        let count = self.gateways.len();
        for owner in 0..self.desks.len() {
            let (name, serial) = (self.owners[owner].clone(), self.desks[owner].serial());
            let has: Vec<_> = self.gateways.iter().map(|gateway| gateway.holds(&name, serial)).collect();
            for told in (0..count).filter(|&id| !has[id]) {
                let teller = (0..count).filter(|&id| has[id]).find(|&id| self.may_tell(id, told, &name));
                if let Some(teller) = teller {
                    let (told, teller) = (&self.gateways[told].path, &self.gateways[teller].path);
                    return Some(format!("{told} has not got serial {serial} of {name} from {teller}"));
                }
            }
        }
        None
    }

    fn may_tell(&mut self, teller: usize, told: usize, owner: &str) -> bool {
        let (one, other) = (&self.gateways[teller], &self.gateways[told]);
        let whose = &self.owners[other.owner];
        let are_on = one.is_on() && other.is_on() && one.wall == Wall::True && other.wall == Wall::True;
        are_on
            && other.reads(owner)
            && one.is_for(whose, owner)
            && self.lists(teller, told)
            && self.lists(told, teller)
            && self.meets(teller, told)
    }
}
