//! Whether two places could have anything to do with each other: what a relay asks of two gateways.
//!
//! It errs towards yes. Where any flow between a node of the one place and a node of the other passes, in whatever
//! direction, the answer is yes; it is yes too where only rules' services, taken together, leave nothing over. So no
//! pair that may talk is ever refused, and the gateways judge every flow themselves.

use std::net::IpAddr;
use std::ops::ControlFlow;

use super::compile::Gate;
use super::judge::Judge;
use super::question::{End, Place, Question, Traffic};
use super::ruleset::{CompiledRule, Flow};
use super::span::{Point, Span};
use crate::roster::NodeId;

/// Pairs of nodes that are looked at; who has more that all deny is given the benefit of the doubt.
const PAIRS_MAX: usize = 250_000;

impl Judge {
    /// Whether the rosters could allow a flow between a node in `one` place and a node in the `other`, either way.
    #[must_use]
    pub fn could_flow(&self, one: NodeId, other: NodeId) -> bool {
        let ends = |place: NodeId| {
            let nodes = self.model().range(place).map(NodeId);
            nodes.flat_map(|id| self.model().node(id).addresses().map(move |address| (id, address)))
        };
        let mut looked = 0;
        for (a, from) in ends(one) {
            for (b, to) in ends(other).filter(|(_, to)| to.is_ipv6() == from.is_ipv6()) {
                looked += 1;
                let (a, b) = (end(a, from), end(b, to));
                if looked > PAIRS_MAX || self.could_pass(a, b) || self.could_pass(b, a) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether every border between has a rule that lets some of it pass.
    fn could_pass(&self, from: End, to: End) -> bool {
        let question = Question { from, to, traffic: Traffic::Unknown };
        let flow = self.flow(&question);
        let walked = self.walk(&question, &mut |met| {
            let could = match met.gate {
                Gate::Open => true,
                Gate::Closed => false,
                Gate::Policy(number) => {
                    lets_some(self.compiled.policies[number as usize].enforced.rules(), &flow)
                }
            };
            if could { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        walked.is_continue()
    }
}

fn end(id: NodeId, address: IpAddr) -> End {
    End { place: Place::Node(id), address: Some(address) }
}

/// Whether some `allow` about these ends is not denied altogether.
fn lets_some(rules: &[CompiledRule], flow: &Flow<'_>) -> bool {
    let about = |deny: bool| rules.iter().filter(move |rule| rule.is_deny == deny && rule.matches_ends(flow));
    let denied = |span: Span| {
        about(true)
            .flat_map(CompiledRule::spans)
            .any(|deny| deny.first <= span.first && span.last <= deny.last)
    };
    let all = Span { first: 0, last: Point::MAX };
    !denied(all) && about(false).flat_map(CompiledRule::spans).any(|span| !denied(span))
}
