//! One policy as a chain: it returns what the border lets pass, and drops the rest.
//!
//! Staged rules come first and only count. Then whatever a `deny` matches is dropped, and whatever an `allow` matches
//! returns; a chain that is jumped to has no jumps in it, so that a `return` leaves the border. A few rules stand one
//! by one; of many, those alike in form are one lookup (`merged`).

use super::counter::Counter;
use super::merged;
use super::reach::{Family, Reach, Side};
use super::schema::{Rule, Statement, Verdict};
use super::service::Services;
use super::works::Works;
use crate::base::DropReason;
use crate::policy::{Judge, RuleId, RuleParts, Standing};

/// Rules up to this many are tried one by one.
const SCANNED_MAX: usize = 8;

/// A rule, worked out for those who can meet at its border.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) id: RuleId,
    pub(super) log: bool,
    pub(super) from: Reach,
    pub(super) to: Reach,
    pub(super) services: Services,
}

/// What a rule that matches does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Deny,
    Allow,
    /// Counts.
    Stage,
}

/// A border as some flows cross it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Border<'a> {
    pub(super) judge: &'a Judge,
    pub(super) family: Family,
    pub(super) from: Side<'a>,
    pub(super) to: Side<'a>,
}

impl Border<'_> {
    /// The chain to jump to; `None` where the border lets all pass.
    pub(super) fn compile(&self, works: &mut Works, name: &str, standing: &Standing<'_>) -> Option<String> {
        let (staged, enforced) = match standing {
            Standing::Open => return None,
            Standing::Closed => return Some(works.deny()),
            Standing::Policy { staged, enforced } => (staged, enforced),
        };
        let mut rules = Vec::new();
        for rule in self.reached(staged.iter()) {
            self.one_by_one(works, &rule, Effect::Stage, &mut rules);
        }
        for effect in [Effect::Deny, Effect::Allow] {
            let of = enforced.iter().filter(|rule| rule.is_deny == (effect == Effect::Deny));
            let reached = self.reached(of);
            if reached.len() <= SCANNED_MAX {
                for rule in &reached {
                    self.one_by_one(works, rule, effect, &mut rules);
                }
            } else {
                merged::merge(works, self, &reached, effect, &mut rules);
            }
        }
        let is_last = |rule: &Rule| {
            let first = rule.statements.iter().find(|step| !matches!(step, Statement::Counter(_)));
            matches!(
                first,
                Some(Statement::Verdict(Verdict::Return(()) | Verdict::Drop(()) | Verdict::Goto { .. }))
            ) && !matches!(rule.statements[0], Statement::Counter(super::schema::Counting::Map { .. }))
        };
        match rules.iter().position(is_last) {
            Some(last) => rules.truncate(last + 1),
            None => rules.push(Rule::new(works.turn_away(DropReason::Denied).into())),
        }
        Some(works.chain(name, rules))
    }

    /// The rules that somebody can match.
    fn reached<'r>(&self, rules: impl Iterator<Item = &'r RuleParts<'r>>) -> Vec<Reached> {
        rules
            .map(|rule| Reached {
                id: rule.id,
                log: rule.log,
                from: Reach::new(&rule.from, self.from, self.family),
                to: Reach::new(&rule.to, self.to, self.family),
                services: Services::new(rule.services, self.family),
            })
            .filter(|rule| rule.from != Reach::Nobody && rule.to != Reach::Nobody)
            .collect()
    }

    pub(super) fn one_by_one(
        &self,
        works: &mut Works,
        rule: &Reached,
        effect: Effect,
        rules: &mut Vec<Rule>,
    ) {
        let from = works.addresses(self.family.field("saddr"), &rule.from);
        let to = works.addresses(self.family.field("daddr"), &rule.to);
        for service in rule.services.matches() {
            let mut statements: Vec<_> = [from.clone(), to.clone(), service].into_iter().flatten().collect();
            statements.extend(self.outcome(works, rule, effect));
            let comment = Some(place(self.judge, rule.id));
            rules.push(Rule { statements, comment });
        }
    }

    /// What is done where a rule matches.
    fn outcome(&self, works: &mut Works, rule: &Reached, effect: Effect) -> Vec<Statement> {
        match effect {
            Effect::Stage => {
                vec![Statement::Verdict(Verdict::Jump { target: self.leaf(works, rule, effect) })]
            }
            _ if rule.log => {
                vec![Statement::Verdict(Verdict::Goto { target: self.leaf(works, rule, effect) })]
            }
            _ => {
                let mut statements = vec![works.count(Counter::Rule(rule.id))];
                statements.extend(end(works, effect));
                statements
            }
        }
    }

    /// The chain of a rule that logs.
    pub(super) fn leaf(&self, works: &mut Works, rule: &Reached, effect: Effect) -> String {
        let word = match effect {
            Effect::Deny => "deny",
            Effect::Allow => "allow",
            Effect::Stage => "stage",
        };
        let mut counting = vec![works.count(Counter::Rule(rule.id))];
        counting.extend(end(works, effect));
        let place = place(self.judge, rule.id);
        let rules = vec![Works::log(format!("vpmesh {place} {word}: ")), Rule::new(counting)];
        works.chain(&Counter::Rule(rule.id).name(), rules)
    }
}

/// How a rule ends.
pub(super) fn end(works: &mut Works, effect: Effect) -> Vec<Statement> {
    match effect {
        Effect::Deny => works.turn_away(DropReason::Denied).into(),
        Effect::Allow => vec![Statement::Verdict(Verdict::Return(()))],
        Effect::Stage => Vec::new(),
    }
}

/// The longest name of a file in comments and in the log; of a longer one the end is told.
const FILE_MAX: usize = 60;

/// `FILE:LINE` of a rule, in letters that a comment and a log prefix take.
pub(super) fn place(judge: &Judge, rule: RuleId) -> String {
    let Some(rule) = judge.rule(rule) else { return String::new() };
    let is_plain = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%');
    let plain: String = rule.file.chars().map(|c| if is_plain(&c) { c } else { '_' }).collect();
    format!("{}:{}", &plain[plain.len().saturating_sub(FILE_MAX)..], rule.line.0)
}
