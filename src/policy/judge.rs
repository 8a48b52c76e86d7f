//! The one function that decides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::Arc;

use hashbrown::HashMap;

use super::compile::{Compiled, Gate, Gates, owner_of_policy};
use super::ends::EndPoint;
use super::names::INTERNET;
use super::question::{Direction, End, Place, Question, Traffic};
use super::ruleset::{CompiledRule, Flow};
use super::span::point;
use crate::packet::{Packet, Tuple};
use crate::roster::{Model, NodeId, OwnerId};

/// A rule's number in a judge: dense, from 0 to [`Judge::rule_count`]. Another model numbers anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RuleId(pub u32);

/// What was decided, in a size that the packet path can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// The first border that denies; `None`: every border lets pass.
    pub denial: Option<Denial>,
    /// A rule with `log = true` decided somewhere, or a staged one matched.
    pub log: bool,
    matched: [RuleId; MATCHED_MAX],
    matched_len: u8,
}

/// How many rules a judgement names.
const MATCHED_MAX: usize = 16;
/// Staged ones among them. The rest is for those that decide: one at each border, four outward and four inward, and
/// one of its host's at a guest's.
const STAGED_MAX: usize = 6;

/// A border that denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Denial {
    pub border: NodeId,
    pub direction: Direction,
    /// Whose policy it is: a guest's border has its host's too.
    pub policy_of: OwnerId,
    pub why: Why,
}

/// Why a border denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// This `deny` matches.
    Rule(RuleId),
    /// There is a policy, and no `allow` of it matches.
    NothingAllows,
    /// It is an owner's border, without a policy in this direction.
    Closed,
}

impl Judgement {
    const ALLOWED: Self =
        Self { denial: None, log: false, matched: [RuleId(0); MATCHED_MAX], matched_len: 0 };

    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.denial.is_none()
    }

    /// The rules to count: at each border that was asked, the one that decided, and staged ones that matched (six at
    /// most). Borders beyond the one that denies are not asked.
    #[must_use]
    pub fn matched(&self) -> &[RuleId] {
        &self.matched[..usize::from(self.matched_len)]
    }

    fn add(&mut self, id: RuleId) {
        if let Some(free) = self.matched.get_mut(usize::from(self.matched_len)) {
            *free = id;
            self.matched_len += 1;
        }
    }
}

/// A model's policies, compiled. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Judge {
    model: Arc<Model>,
    pub(super) compiled: Compiled,
    places4: HashMap<Ipv4Addr, NodeId>,
    places6: HashMap<Ipv6Addr, NodeId>,
}

/// One gate that a flow meets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met {
    pub(super) border: NodeId,
    pub(super) direction: Direction,
    pub(super) of_host: bool,
    pub(super) gate: Gate,
}

impl Judge {
    /// Compiles all policies of a model.
    #[must_use]
    pub fn new(model: Arc<Model>) -> Self {
        let compiled = Compiled::new(&model);
        let places4 = model.iter().filter_map(|(id, node)| Some((node.ipv4?, id))).collect();
        let places6 = model.iter().filter_map(|(id, node)| Some((node.ipv6?, id))).collect();
        Self { model, compiled, places4, places6 }
    }

    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Where an address is. Constant time.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> Place {
        let id = match address.to_canonical() {
            IpAddr::V4(address) => self.places4.get(&address),
            IpAddr::V6(address) => self.places6.get(&address),
        };
        id.map_or(Place::Internet, |&id| Place::Node(id))
    }

    /// The question that a flow's first packet asks.
    #[must_use]
    pub fn question(&self, packet: &Packet) -> Question {
        Question { from: self.end(packet.src), to: self.end(packet.dst), traffic: Traffic::of(packet) }
    }

    /// The question that a live flow's first packet asked.
    #[must_use]
    pub fn question_of(&self, tuple: &Tuple) -> Question {
        Question { from: self.end(tuple.src), to: self.end(tuple.dst), traffic: Traffic::of_tuple(tuple) }
    }

    pub(super) fn end(&self, address: IpAddr) -> End {
        End { place: self.place(address), address: Some(address) }
    }

    /// How many rules there are, staged ones included: the size of a table of counters.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.compiled.origins.len()
    }

    /// Decides. Never allocates. A flow that crosses no border (within one node; between two strangers) is allowed:
    /// whether this gateway carries it is the routes' business.
    #[must_use]
    pub fn judge(&self, question: &Question) -> Judgement {
        let flow = self.flow(question);
        let mut judgement = Judgement::ALLOWED;
        let mut staged = 0;
        let walked = self.walk(question, &mut |met| {
            let why = match met.gate {
                Gate::Open => return ControlFlow::Continue(()),
                Gate::Closed => Why::Closed,
                Gate::Policy(number) => {
                    self.each_staged(number, &flow, |rule| {
                        judgement.log = true;
                        if staged < STAGED_MAX && !judgement.matched().contains(&rule.id) {
                            judgement.add(rule.id);
                            staged += 1;
                        }
                    });
                    match self.decide(number, &flow) {
                        None => Why::NothingAllows,
                        Some(rule) => {
                            judgement.add(rule.id);
                            judgement.log |= rule.log;
                            if !rule.is_deny {
                                return ControlFlow::Continue(());
                            }
                            Why::Rule(rule.id)
                        }
                    }
                }
            };
            let policy_of = owner_of_policy(self.model.node(met.border), met.of_host);
            ControlFlow::Break(Denial { border: met.border, direction: met.direction, policy_of, why })
        });
        judgement.denial = walked.break_value();
        judgement
    }

    /// What rules are held against.
    pub(super) fn flow(&self, question: &Question) -> Flow<'_> {
        let rank = |end: &End| match end.place {
            Place::Node(id) => self.compiled.posts[id.0 as usize].rank,
            Place::Internet => INTERNET,
        };
        let is_v6 = [&question.from, &question.to]
            .iter()
            .find_map(|end| end.address)
            .is_none_or(|address| address.to_canonical().is_ipv6());
        Flow {
            ends: &self.compiled.ends,
            from: EndPoint::new(&question.from, rank(&question.from), is_v6),
            to: EndPoint::new(&question.to, rank(&question.to), is_v6),
            point: point(question.traffic),
        }
    }

    /// The rule of a policy that decides.
    pub(super) fn decide(&self, policy: u32, flow: &Flow<'_>) -> Option<&CompiledRule> {
        self.compiled.policies[policy as usize].enforced.first_match(flow, &self.compiled.members)
    }

    /// The staged rules of a policy that match, some more than once.
    pub(super) fn each_staged(&self, policy: u32, flow: &Flow<'_>, visit: impl FnMut(&CompiledRule)) {
        self.compiled.policies[policy as usize].staged.each_match(flow, &self.compiled.members, visit);
    }

    /// Meets every gate of the borders that a flow crosses, in order: the source's from the innermost outward, then
    /// the destination's from the outermost inward.
    pub(super) fn walk<B>(
        &self,
        question: &Question,
        meet: &mut impl FnMut(Met) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let node = |end: &End| match end.place {
            Place::Node(id) => Some(id),
            Place::Internet => None,
        };
        let (from, to) = (node(&question.from), node(&question.to));
        let mut at = from;
        while let Some(border) = at
            && !self.is_inside(to, border)
        {
            let post = &self.compiled.posts[border.0 as usize];
            let Gates { own, host } = post.egress;
            meet(Met { border, direction: Direction::Egress, of_host: false, gate: own })?;
            if let Some(gate) = host {
                meet(Met { border, direction: Direction::Egress, of_host: true, gate })?;
            }
            at = post.parent;
        }
        self.walk_in(to, from, meet)
    }

    fn walk_in<B>(
        &self,
        at: Option<NodeId>,
        from: Option<NodeId>,
        meet: &mut impl FnMut(Met) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(border) = at.filter(|&border| !self.is_inside(from, border)) else {
            return ControlFlow::Continue(());
        };
        let post = &self.compiled.posts[border.0 as usize];
        self.walk_in(post.parent, from, meet)?;
        let Gates { own, host } = post.ingress;
        if let Some(gate) = host {
            meet(Met { border, direction: Direction::Ingress, of_host: true, gate })?;
        }
        meet(Met { border, direction: Direction::Ingress, of_host: false, gate: own })
    }

    fn is_inside(&self, node: Option<NodeId>, border: NodeId) -> bool {
        node.is_some_and(|node| (border.0..self.compiled.posts[border.0 as usize].end).contains(&node.0))
    }
}
