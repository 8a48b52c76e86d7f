//! Rules as an owner writes them, checked: services resolved, selectors parsed.

use ipnetwork::IpNetwork;

use super::service::Service;
use crate::base::{Line, Name};

/// The rules of one border in one direction. Their order means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub rules: Vec<Rule>,
    /// Where the policy itself stands: `ingress = []` has a line and no rules.
    pub line: Line,
}

/// One rule. It matches a flow when all of it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub action: Action,
    /// One of them; never empty.
    pub services: Vec<Service>,
    /// One of them. `None`: left out.
    pub from: Option<Vec<Selector>>,
    pub to: Option<Vec<Selector>>,
    /// Judged, counted and logged, never enforced.
    pub stage: bool,
    /// First packets are logged.
    pub log: bool,
    pub note: Option<String>,
    pub line: Line,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Allow,
    Deny,
}

/// Which nodes one end of a rule means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    Any,
    Internet,
    /// One to four segments, `None` for `*`: those nodes and all inside them.
    Path(Vec<Option<Name>>),
    /// A tag: the roster's own owner's, or another's (`bob#tag:x`). `owner` is always filled in.
    Tag {
        owner: Name,
        tag: Name,
    },
    Kind(Kind),
    Cidr(IpNetwork),
}

/// What `kind:` selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Station,
    Application,
    Gateway,
}
