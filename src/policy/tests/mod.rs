//! The judge: by the table of borders, by hand, and against the oracle.

mod against_oracle;
mod asking;
mod borders;
mod rules;

use std::sync::Arc;

use super::sketch::{Sketch, party};
use super::*;
use crate::roster::Model;

/// Two owners, each with one of everything, open to each other.
fn two_owners() -> Sketch {
    let mut sketch = Sketch::default();
    for owner in ["alice", "bob"] {
        sketch
            .node(owner)
            .node(&format!("{owner}/room"))
            .node(&format!("{owner}/room/host"))
            .node(&format!("{owner}/room/host/app"))
            .egress(owner, &["allow any"])
            .ingress(owner, &["allow any"]);
    }
    sketch
}

fn end(model: &Model, text: &str) -> End {
    match party(text) {
        crate::roster::Party::Internet => End { place: Place::Internet, address: None },
        crate::roster::Party::Address(address) => {
            let place = model.find_address(address).map_or(Place::Internet, Place::Node);
            End { place, address: Some(address) }
        }
        crate::roster::Party::Node(path) => {
            let id = model.find(&path).unwrap_or_else(|| panic!("{path}"));
            End { place: Place::Node(id), address: model.node(id).addresses().next() }
        }
    }
}

/// A judge that answers questions in words.
struct Bench {
    model: Arc<Model>,
    judge: Judge,
}

impl Bench {
    fn new(sketch: &Sketch) -> Self {
        let model = sketch.model();
        Self { judge: Judge::new(Arc::clone(&model)), model }
    }

    fn question(&self, from: &str, to: &str, traffic: Traffic) -> Question {
        Question { from: end(&self.model, from), to: end(&self.model, to), traffic }
    }

    /// Whether a flow passes; judge, explanation and oracle have to agree.
    fn allows(&self, from: &str, to: &str, traffic: Traffic) -> bool {
        let question = self.question(from, to, traffic);
        let judged = self.judge.judge(&question).is_allowed();
        assert_eq!(judged, self.judge.explain(&question).verdict == Verdict::Allow, "{question:?}");
        assert_eq!(judged, oracle::evaluate(&self.model, &question).0, "{question:?}");
        judged
    }

    /// The borders that a flow crosses, as `egress alice/room`.
    fn crossed(&self, from: &str, to: &str) -> Vec<String> {
        let explanation = self.judge.explain(&self.question(from, to, Traffic::Icmpv6));
        explanation.borders.iter().map(|row| format!("{} {}", row.direction, row.border)).collect()
    }
}
