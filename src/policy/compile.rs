//! A model's borders, compiled.

use std::sync::Arc;

use super::ends::Ends;
use super::judge::RuleId;
use super::labels::{Label, Labels};
use super::names::Names;
use super::question::Direction;
use super::ruleset::{CompiledRule, Memberships, RuleSet};
use super::span::{Span, spans};
use crate::roster::model::{Node, NodeKind};
use crate::roster::{Action, Model, NodeId, OwnerId, Policy, Rule};

/// What stands at a border in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// No policy: lets pass.
    Open,
    /// An owner's border without a policy: denies.
    Closed,
    /// A number in [`Compiled::policies`].
    Policy(u32),
}

/// The gates of one node's border: its owner's, and for a guest its host's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gates {
    pub(super) own: Gate,
    /// Of a guest's border alone.
    pub(super) host: Option<Gate>,
}

/// One node, as the judge walks it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Post {
    pub(super) parent: Option<NodeId>,
    /// This place and all inside it end before this number.
    pub(super) end: u32,
    /// By name.
    pub(super) rank: u32,
    pub(super) egress: Gates,
    pub(super) ingress: Gates,
}

/// One policy.
#[derive(Debug)]
pub(super) struct CompiledPolicy {
    pub(super) enforced: RuleSet,
    pub(super) staged: RuleSet,
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) border: NodeId,
    pub(super) direction: Direction,
    /// It is in the host's roster.
    pub(super) of_host: bool,
    /// Its place in the policy.
    pub(super) at: u32,
}

/// All that a judge knows.
#[derive(Debug)]
pub(super) struct Compiled {
    /// By the node's number.
    pub(super) posts: Vec<Post>,
    pub(super) policies: Vec<CompiledPolicy>,
    pub(super) ends: Ends,
    pub(super) members: Memberships,
    /// By the rule's number.
    pub(super) origins: Vec<Origin>,
}

/// The policies at a node's border: each with its direction, and whether it is the host's.
fn policies(node: &Node) -> impl Iterator<Item = (&Policy, Direction, bool)> {
    let sides = [Direction::Egress, Direction::Ingress];
    let all = sides.into_iter().flat_map(|direction| [(direction, false), (direction, true)]);
    all.filter_map(|(direction, of_host)| Some((policy_at(node, direction, of_host)?, direction, of_host)))
}

/// The policy at a border in a direction, its owner's or its host's.
pub(super) fn policy_at(node: &Node, direction: Direction, of_host: bool) -> Option<&Policy> {
    let borders = if of_host { &node.host_policy.as_ref()?.policy } else { &node.policy };
    match direction {
        Direction::Egress => borders.egress.as_ref(),
        Direction::Ingress => borders.ingress.as_ref(),
    }
}

/// Whose roster has that policy.
pub(super) fn owner_of_policy(node: &Node, of_host: bool) -> OwnerId {
    match &node.host_policy {
        Some(host) if of_host => host.owner,
        _ => node.owner,
    }
}

impl Compiled {
    pub(super) fn new(model: &Model) -> Self {
        let mut labels = Labels::default();
        let rules = model.nodes.iter().flat_map(policies).flat_map(|(policy, ..)| &policy.rules);
        for selector in rules.flat_map(|rule| [&rule.from, &rule.to]).flatten().flatten() {
            Label::of(selector).into_iter().for_each(|label| labels.insert(label));
        }
        let names = Names::new(model);
        let ends = Ends::new(model, &names, &labels);
        let compiled = Self {
            posts: Vec::new(),
            policies: Vec::new(),
            ends,
            members: Memberships::default(),
            origins: Vec::new(),
        };
        Builder { compiled, names, labels }.build(model)
    }
}

struct Builder<'m> {
    compiled: Compiled,
    names: Names<'m>,
    labels: Labels,
}

impl Builder<'_> {
    fn build(mut self, model: &Model) -> Compiled {
        let ranks = self.names.ranks();
        for ((id, node), rank) in model.iter().zip(ranks) {
            let absent = if node.kind == NodeKind::Owner { Gate::Closed } else { Gate::Open };
            let host = node.host_policy.as_ref().map(|_| Gate::Open);
            let mut post = Post {
                parent: node.parent,
                end: node.end.0,
                rank,
                egress: Gates { own: absent, host },
                ingress: Gates { own: absent, host },
            };
            for (policy, direction, of_host) in policies(node) {
                let gates = match direction {
                    Direction::Egress => &mut post.egress,
                    Direction::Ingress => &mut post.ingress,
                };
                let gate = Gate::Policy(self.policy(policy, id, direction, of_host));
                if of_host { gates.host = Some(gate) } else { gates.own = gate }
            }
            self.compiled.posts.push(post);
        }
        let policies = &self.compiled.policies;
        if policies.iter().any(|policy| policy.enforced.is_indexed() || policy.staged.is_indexed()) {
            self.compiled.members = Memberships::new(self.names.parents(), &self.compiled.ends);
        }
        self.compiled
    }

    fn policy(&mut self, policy: &Policy, border: NodeId, direction: Direction, of_host: bool) -> u32 {
        let (mut enforced, mut staged) = (Vec::new(), Vec::new());
        for (at, rule) in (0..).zip(&policy.rules) {
            let id = RuleId(number(self.compiled.origins.len()));
            self.compiled.origins.push(Origin { border, direction, of_host, at });
            if let Some(compiled) = self.rule(rule, id) {
                if rule.stage { staged.push(compiled) } else { enforced.push(compiled) }
            }
        }
        let ends = &self.compiled.ends;
        let policy =
            CompiledPolicy { enforced: RuleSet::new(enforced, ends), staged: RuleSet::new(staged, ends) };
        self.compiled.policies.push(policy);
        number(self.compiled.policies.len() - 1)
    }

    /// `None` for a rule without services, which matches nothing.
    fn rule(&mut self, rule: &Rule, id: RuleId) -> Option<CompiledRule> {
        let mut all: Vec<Span> = rule.services.iter().copied().flat_map(spans).collect();
        all.sort_unstable_by_key(|span| (span.first, span.last));
        all.dedup();
        let mut all = all.into_iter();
        let span = all.next()?;
        let ends = &mut self.compiled.ends;
        Some(CompiledRule {
            id,
            is_deny: rule.action == Action::Deny,
            log: rule.log,
            span,
            more: all.collect(),
            from: ends.compile(rule.from.as_deref(), &self.names, &self.labels),
            to: ends.compile(rule.to.as_deref(), &self.names, &self.labels),
        })
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a roster's bytes are counted in 32 bits")
}

/// The file of the roster that a border's policy is in, or would be.
pub(super) fn file_of(model: &Model, border: NodeId, of_host: bool) -> Arc<str> {
    let owner = owner_of_policy(model.node(border), of_host);
    Arc::clone(&model.owners[owner.0 as usize].roster.file)
}
