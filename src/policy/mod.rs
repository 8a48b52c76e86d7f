//! Which flows pass: borders, rules, the judge.
