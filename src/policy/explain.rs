//! Why a flow passes or doesn't, border by border, for people and programs.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use super::compile::{Gate, Origin, file_of, owner_of_policy, policy_at};
use super::judge::{Judge, Met, RuleId};
use super::question::{Direction, Question, Verdict};
use super::ruleset::Flow;
use super::wording::Wording;
use crate::base::NodePath;
use crate::roster::{Line, Policy, Rule};

/// A judgement with its reasons: `explain --json` prints exactly this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub verdict: Verdict,
    /// In the order that they are crossed; all of them, also after one that denies.
    pub borders: Vec<Crossing>,
}

/// What one policy says at one border. A guest's border has two: its owner's and its host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// The name of the owner, room, station or application that the border is of.
    pub border: String,
    pub direction: Direction,
    pub verdict: Verdict,
    /// The rule that decides; `None`: none does.
    pub rule: Option<String>,
    /// Where the rule is, or else the policy. An owner's border that lacks one has the file that it is not in; any
    /// other has `None`.
    pub file: Option<String>,
    pub line: Option<u32>,
    pub reason: String,
    /// The staged rules that match, each with its file and line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub staged: Vec<String>,
}

/// A compiled rule, as counters and logs name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleView {
    pub border: NodePath,
    pub direction: Direction,
    pub file: Arc<str>,
    pub line: Line,
    /// As a person would write it on one line.
    pub text: String,
    pub stage: bool,
    pub log: bool,
}

impl Judge {
    /// Walks the borders that [`Judge::judge`] asks, and all after them.
    #[must_use]
    pub fn explain(&self, question: &Question) -> Explanation {
        let flow = self.flow(question);
        let mut borders = Vec::new();
        let _: ControlFlow<()> = self.walk(question, &mut |met| {
            borders.push(self.crossing(met, &flow));
            ControlFlow::Continue(())
        });
        let denies = borders.iter().any(|crossing| crossing.verdict == Verdict::Deny);
        Explanation { verdict: if denies { Verdict::Deny } else { Verdict::Allow }, borders }
    }

    fn crossing(&self, met: Met, flow: &Flow<'_>) -> Crossing {
        let node = self.model().node(met.border);
        let mut crossing = Crossing {
            border: node.name.to_string(),
            direction: met.direction,
            verdict: Verdict::Deny,
            rule: None,
            file: None,
            line: None,
            reason: String::new(),
            staged: Vec::new(),
        };
        let file = || Some(file_of(self.model(), met.border, met.of_host).to_string());
        let policy = policy_at(node, met.direction, met.of_host);
        match (met.gate, policy) {
            (Gate::Policy(number), Some(policy)) => {
                crossing.file = file();
                crossing.staged = self.staged(number, flow);
                self.decided(&mut crossing, number, policy, flow);
            }
            (Gate::Closed, _) => {
                crossing.file = file();
                crossing.reason = "an owner's border with no policy denies".to_owned();
            }
            _ => {
                crossing.verdict = Verdict::Allow;
                crossing.reason = "no policy: lets pass".to_owned();
            }
        }
        if met.of_host {
            crossing.reason.push_str(" (the host's policy for its guest)");
        }
        crossing
    }

    /// Fills in what a policy says.
    fn decided(&self, crossing: &mut Crossing, number: u32, policy: &Policy, flow: &Flow<'_>) {
        let Some(decider) = self.decide(number, flow) else {
            crossing.line = Some(policy.line.0);
            crossing.reason = if policy.rules.is_empty() {
                "the policy is empty: denies all"
            } else if policy.rules.iter().all(|rule| rule.stage) {
                "every rule of the policy is staged: denies all"
            } else {
                "no rule of the policy allows it"
            }
            .to_owned();
            return;
        };
        if let Some((origin, rule)) = self.origin(decider.id) {
            crossing.rule = Some(self.wording(origin, rule));
            crossing.line = Some(rule.line.0);
            crossing.reason =
                if decider.is_deny { "this rule denies it" } else { "this rule allows it" }.to_owned();
            if let Some(note) = &rule.note {
                crossing.reason.push_str(": ");
                crossing.reason.push_str(note);
            }
        }
        crossing.verdict = if decider.is_deny { Verdict::Deny } else { Verdict::Allow };
    }

    fn staged(&self, number: u32, flow: &Flow<'_>) -> Vec<String> {
        let mut ids = Vec::new();
        self.each_staged(number, flow, |rule| ids.push(rule.id));
        ids.sort_unstable();
        ids.dedup();
        let views = ids.into_iter().filter_map(|id| self.rule(id));
        views.map(|rule| format!("{}:{}: {}", rule.file, rule.line, rule.text)).collect()
    }

    /// The rule with this number.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<RuleView> {
        let (origin, rule) = self.origin(id)?;
        Some(RuleView {
            border: self.model().node(origin.border).name.clone(),
            direction: origin.direction,
            file: file_of(self.model(), origin.border, origin.of_host),
            line: rule.line,
            text: self.wording(origin, rule),
            stage: rule.stage,
            log: rule.log,
        })
    }

    /// The border that a rule is at, without its words.
    #[must_use]
    pub fn border_of(&self, id: RuleId) -> Option<(&NodePath, Direction)> {
        let origin = self.compiled.origins.get(id.0 as usize)?;
        Some((&self.model().node(origin.border).name, origin.direction))
    }

    pub(super) fn origin(&self, id: RuleId) -> Option<(Origin, &Rule)> {
        let origin = *self.compiled.origins.get(id.0 as usize)?;
        let policy = policy_at(self.model().node(origin.border), origin.direction, origin.of_host)?;
        Some((origin, policy.rules.get(origin.at as usize)?))
    }

    fn wording(&self, origin: Origin, rule: &Rule) -> String {
        let owner = owner_of_policy(self.model().node(origin.border), origin.of_host);
        let owner = &self.model().owners[owner.0 as usize].roster.owner;
        Wording { rule, owner }.to_string()
    }
}

impl fmt::Display for Explanation {
    /// The verdict, then a line for each border.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        let width = self.borders.iter().map(|crossing| crossing.border.len()).max().unwrap_or(0);
        for crossing in &self.borders {
            // `pad` minds the width; `Display` of the enums does not
            let (verdict, direction) = (crossing.verdict.to_string(), crossing.direction.to_string());
            write!(f, "\n  {verdict:<5}  {direction:<7}  {:<width$}  ", crossing.border)?;
            if let Some(file) = &crossing.file {
                write!(f, "{file}:")?;
                if let Some(line) = crossing.line {
                    write!(f, "{line}:")?;
                }
                f.write_str(" ")?;
            }
            match &crossing.rule {
                Some(rule) => write!(f, "{rule} ({})", crossing.reason)?,
                None => f.write_str(&crossing.reason)?,
            }
            for staged in &crossing.staged {
                write!(f, "\n         staged   {:<width$}  {staged}", "")?;
            }
        }
        if self.borders.is_empty() {
            f.write_str("\n  no border is crossed")?;
        }
        Ok(())
    }
}
