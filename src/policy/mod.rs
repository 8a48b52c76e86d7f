//! Floor 2: which flows pass. Borders, rules, the judge, and what it says for itself.
//!
//! A flow passes when every border it crosses lets it pass: its source's borders outward, then its destination's
//! inward. A border with no policy lets pass, but an owner's border without one denies; an empty policy denies all. In
//! a policy a `deny` that matches beats any `allow`, an `allow` that matches lets pass, and the rest is denied; the
//! order of rules means nothing. A staged rule is counted and never decides. A policy whose rules are all staged is
//! there, and lets nothing pass.
//!
//! Path selectors go by name, and a guest's name is its own owner's: `alice/attic/nas` is not bob's guest inside it,
//! and `bob` is. Borders go by place: the guest crosses alice's, never bob's. Relays are under no policy.
//!
//! [`Judge`] is the one function that decides; [`oracle`] decides the same, slowly, from the same text, for tests.

mod ask;
mod compile;
mod ends;
mod explain;
mod index;
mod judge;
mod labels;
mod names;
#[doc(hidden)]
pub mod oracle;
mod pair;
mod parts;
mod question;
mod ruleset;
#[doc(hidden)]
pub mod sketch;
mod span;
pub mod trial;
mod wording;

pub use ask::{Answer, CannotTell, Outcome};
pub use explain::{Crossing, Explanation, RuleView};
pub use judge::{Denial, Judge, Judgement, RuleId, Why};
pub use parts::{EndParts, RuleParts, Standing};
pub use question::{Direction, End, Place, Question, Traffic, Verdict};

#[cfg(test)]
mod tests;
