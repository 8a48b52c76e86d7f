//! Questions as people ask them: FROM, TO and a service that may be many ports.

use std::net::IpAddr;
use std::ops::ControlFlow;

use super::compile::Gate;
use super::explain::Explanation;
use super::judge::Judge;
use super::question::{End, Place, Question, Traffic};
use super::span::point;
use crate::base::NodePath;
use crate::roster::model::NodeKind;
use crate::roster::{Party, Service};

/// Why a judge has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotTell {
    #[error("{0}: no accepted roster has a node of this name")]
    UnknownNode(NodePath),
    #[error("{0} has no address of its own; ask about a station or an application")]
    NoAddress(NodePath),
    #[error("{0} is a relay; policy is about stations and applications")]
    Relay(NodePath),
    #[error("{from} and {to} have no addresses of the same family")]
    Family { from: String, to: String },
    #[error("neither {from} nor {to} is a node of an accepted roster, so no border is between them")]
    Strangers { from: String, to: String },
}

/// What a question about two parties and a service comes to. It may stand for many: one for each family that both
/// have, one for each port of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    /// The question that `explanation` is about: one that is denied, if any is, else the first.
    pub question: Question,
    pub explanation: Explanation,
    /// One that is allowed, if any is.
    pub allowed: Option<Question>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    Denied,
    /// Some are allowed and some denied; as a verdict, that is denied.
    Mixed,
}

/// The addresses that one party may have in a flow, by family.
struct Candidates {
    place: Place,
    v6: Option<Option<IpAddr>>,
    v4: Option<Option<IpAddr>>,
}

impl Judge {
    /// Answers for two parties and a service. `any` asks about a protocol that no rule names; a range of ports asks
    /// about each of them; parties with addresses of two families ask about both.
    ///
    /// # Errors
    /// [`CannotTell`] when a party is unknown or the two can't meet.
    pub fn ask(&self, from: &Party, to: &Party, service: Service) -> Result<Answer, CannotTell> {
        let (mut allowed, mut denied) = (None, None);
        for question in self.questions(from, to, service)? {
            let slot = if self.judge(&question).is_allowed() { &mut allowed } else { &mut denied };
            slot.get_or_insert(question);
            if allowed.is_some() && denied.is_some() {
                break;
            }
        }
        let (outcome, question) = match (allowed, denied) {
            (Some(_), Some(question)) => (Outcome::Mixed, question),
            (None, Some(question)) => (Outcome::Denied, question),
            (Some(question), None) => (Outcome::Allowed, question),
            (None, None) => return Err(CannotTell::Family { from: name(from), to: name(to) }),
        };
        Ok(Answer { outcome, question, explanation: self.explain(&question), allowed })
    }

    /// The questions that stand for all that two parties and a service may mean: any other has the answer of one of
    /// these.
    ///
    /// # Errors
    /// [`CannotTell`] when a party is unknown or the two can't meet.
    pub fn questions(&self, from: &Party, to: &Party, service: Service) -> Result<Vec<Question>, CannotTell> {
        let (source, target) = (self.candidates(from)?, self.candidates(to)?);
        if source.place == Place::Internet && target.place == Place::Internet {
            return Err(CannotTell::Strangers { from: name(from), to: name(to) });
        }
        let pairs = [(source.v6, target.v6, true), (source.v4, target.v4, false)];
        let mut questions = Vec::new();
        for (address, other, is_v6) in pairs {
            let (Some(address), Some(other)) = (address, other) else { continue };
            let question = Question {
                from: End { place: source.place, address },
                to: End { place: target.place, address: other },
                traffic: traffic(service, is_v6),
            };
            questions.extend(self.each_port(question, service));
        }
        if questions.is_empty() {
            return Err(CannotTell::Family { from: name(from), to: name(to) });
        }
        Ok(questions)
    }

    fn candidates(&self, party: &Party) -> Result<Candidates, CannotTell> {
        match party {
            Party::Internet => Ok(Candidates { place: Place::Internet, v6: Some(None), v4: Some(None) }),
            Party::Address(address) => {
                let address = address.to_canonical();
                let (v6, v4) = if address.is_ipv6() { (Some(address), None) } else { (None, Some(address)) };
                Ok(Candidates { place: self.place(address), v6: v6.map(Some), v4: v4.map(Some) })
            }
            Party::Node(path) => {
                let id = self.model().find(path).ok_or_else(|| CannotTell::UnknownNode(path.clone()))?;
                let node = self.model().node(id);
                if matches!(node.kind, NodeKind::Relay { .. }) {
                    return Err(CannotTell::Relay(path.clone()));
                }
                if node.addresses().next().is_none() {
                    return Err(CannotTell::NoAddress(path.clone()));
                }
                let v6 = node.ipv6.map(|address| Some(IpAddr::V6(address)));
                let v4 = node.ipv4.map(|address| Some(IpAddr::V4(address)));
                Ok(Candidates { place: Place::Node(id), v6, v4 })
            }
        }
    }

    /// The question for the first port of a range, and for each port at which a rule that is asked begins or is past
    /// its end. Between two of them nothing changes.
    fn each_port(&self, question: Question, service: Service) -> Vec<Question> {
        let (first, last) = match service {
            Service::Tcp { first, last } | Service::Udp { first, last } if first < last => (first, last),
            _ => return vec![question],
        };
        let with = |port| match question.traffic {
            Traffic::Udp(_) => Traffic::Udp(port),
            _ => Traffic::Tcp(port),
        };
        let mut points = vec![point(with(first))];
        let _: ControlFlow<()> = self.walk(&question, &mut |met| {
            if let Gate::Policy(number) = met.gate {
                let rules = self.compiled.policies[number as usize].enforced.rules();
                for span in rules.iter().flat_map(|rule| rule.spans()) {
                    points.extend([span.first, span.last.saturating_add(1)]);
                }
            }
            ControlFlow::Continue(())
        });
        points.retain(|at| (point(with(first))..=point(with(last))).contains(at));
        points.sort_unstable();
        points.dedup();
        #[expect(clippy::cast_possible_truncation, reason = "the lower half of a point is its port")]
        points.into_iter().map(|at| Question { traffic: with(at as u16), ..question }).collect()
    }
}

fn traffic(service: Service, is_v6: bool) -> Traffic {
    match service {
        Service::Any => Traffic::Unknown,
        Service::Icmp if is_v6 => Traffic::Icmpv6,
        Service::Icmp => Traffic::Icmp,
        Service::Tcp { first, .. } => Traffic::Tcp(first),
        Service::Udp { first, .. } => Traffic::Udp(first),
        Service::Proto(number) => Traffic::Opaque(number),
    }
}

fn name(party: &Party) -> String {
    match party {
        Party::Node(path) => path.to_string(),
        Party::Address(address) => address.to_string(),
        Party::Internet => "internet".to_owned(),
    }
}
