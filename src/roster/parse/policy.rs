//! Policies: `[[egress]]`, `[[ingress]]` and their rules, and `[services]`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::super::selector::{CidrError, SelectorError};
use super::super::{Action, Borders, Line, Policy, Rule, Selector, Service, ServiceName};
use super::checker::{Checker, Fields, quoted};
use super::suggest;
use crate::base::Name;

/// The most entries of one `from`, `to` or list of services.
const LIST_MAX: usize = 1024;
/// The most rules of a roster.
const RULES_MAX: usize = 100_000;
/// The most services and selectors of all rules together, names of services resolved: what a small router can
/// compile. A rule costs at least one.
const TERMS_MAX: usize = 500_000;
/// The longest note, in bytes.
const NOTE_MAX: usize = 1000;

const RULE_KEYS: &[&str] = &["allow", "deny", "from", "to", "stage", "log", "note"];
const SERVICE_MEND: &str =
    "write any, icmp, tcp/22, udp/5000-5010, proto/47, or a name that [services] declares";
const SELECTOR_MEND: &str = "write any, internet, a path such as alice/*/nas, tag:x, bob#tag:x, kind:station, \
                             or a prefix such as 10.88.0.0/16";

/// A selector with where it stands, for the checks that need the whole roster.
#[derive(Debug)]
pub(super) struct Seen {
    pub selector: Selector,
    pub line: Line,
}

/// Reads policies. One per roster, because the bounds are the roster's.
#[derive(Debug)]
pub(super) struct Policies {
    own: Name,
    services: BTreeMap<ServiceName, Vec<Service>>,
    rules: usize,
    terms: usize,
    /// Selectors that name something, to be looked up when all names are known.
    pub seen: Vec<Seen>,
}

impl Policies {
    /// Reads `[services]`.
    pub fn new(own: Name, top: Fields<'_>, c: &mut Checker<'_>) -> Self {
        let mut this = Self { own, services: BTreeMap::new(), rules: 0, terms: 0, seen: Vec::new() };
        let Some(value) = top.table.get("services") else { return this };
        let DeValue::Table(table) = value.get_ref() else {
            c.wrong_type(
                c.line_of(value),
                "services",
                "[services] and lines like web = [\"tcp/80\"]",
                value.get_ref(),
            );
            return this;
        };
        for (key, value) in table {
            let line = c.line_of(key);
            let text = key.get_ref().as_ref();
            let name = match text.parse::<Name>() {
                Ok(name) if name.as_str() != "icmp" => Some(name),
                Ok(_) => {
                    c.fault(
                        line,
                        "the service name \"icmp\" is a word with a meaning of its own",
                        "choose another",
                    );
                    None
                }
                Err(error) => {
                    c.fault(
                        line,
                        format!("the service name {} {error}", quoted(text)),
                        "choose another name",
                    );
                    None
                }
            };
            let shown = name.as_ref().map_or("services", Name::as_str);
            let Some(texts) = c.texts_of(shown, value.get_ref(), c.line_of(value), LIST_MAX) else {
                continue;
            };
            if texts.is_empty() {
                c.fault(
                    line,
                    format!("the service {} is empty", quoted(text)),
                    "write what it is, or leave it out",
                );
            }
            let services =
                texts.into_iter().filter_map(|(text, line)| literal_service(text, line, c)).collect();
            if let Some(name) = name {
                this.services.insert(name, distinct(services));
            }
        }
        this
    }

    /// Both directions of a border.
    pub fn borders(&mut self, place: Fields<'_>, c: &mut Checker<'_>) -> Borders {
        Borders { egress: self.policy(place, "egress", c), ingress: self.policy(place, "ingress", c) }
    }

    fn policy(&mut self, place: Fields<'_>, direction: &str, c: &mut Checker<'_>) -> Option<Policy> {
        let (line, tables) = c.tables(place, direction, "a rule")?;
        self.rules += tables.len();
        if self.rules > RULES_MAX {
            // Once: what comes after is over the bound too.
            if self.rules - tables.len() <= RULES_MAX {
                c.fault(line, format!("more than {RULES_MAX} rules"), "use lists, tags and wider borders");
            }
            return None;
        }
        let rules = tables.into_iter().filter_map(|fields| self.rule(fields, c)).collect();
        Some(Policy { rules, line })
    }

    fn rule(&mut self, fields: Fields<'_>, c: &mut Checker<'_>) -> Option<Rule> {
        c.refuse_unknown(fields, RULE_KEYS);
        let action = match (fields.table.contains_key("allow"), fields.table.contains_key("deny")) {
            (true, false) => Some((Action::Allow, "allow")),
            (false, true) => Some((Action::Deny, "deny")),
            (true, true) => {
                c.fault(fields.line, "a rule with both `allow` and `deny`", "make two rules of it");
                None
            }
            (false, false) => {
                c.fault(
                    fields.line,
                    "a rule without `allow` and `deny`",
                    "write allow = \"any\", or what it allows",
                );
                None
            }
        };
        let services = action.and_then(|(_, key)| self.services(fields, key, c));
        let from = self.selectors(fields, "from", c);
        let to = self.selectors(fields, "to", c);
        let note = c.text(fields, "note").map(|(note, line)| {
            if note.len() > NOTE_MAX {
                c.fault(
                    line,
                    format!("`note` is {} bytes long", note.len()),
                    format!("at most {NOTE_MAX} are kept"),
                );
            }
            note.to_owned()
        });
        let (stage, log) = (c.boolean(fields, "stage"), c.boolean(fields, "log"));
        self.spend([&from, &to].into_iter().flatten().map(Vec::len).sum(), fields.line, c)?;
        Some(Rule { action: action?.0, services: services?, from, to, stage, log, note, line: fields.line })
    }

    /// Counts against the roster's bound; `None` when it is used up, told once.
    fn spend(&mut self, terms: usize, line: Line, c: &mut Checker<'_>) -> Option<()> {
        let before = self.terms;
        self.terms += terms;
        if self.terms <= TERMS_MAX {
            return Some(());
        }
        if before <= TERMS_MAX {
            c.fault(
                line,
                format!("the rules have more than {TERMS_MAX} services and selectors in all"),
                "use tags, ranges of ports and wider borders",
            );
        }
        None
    }

    /// The services of a rule, or of a test; never empty.
    pub fn services(&mut self, fields: Fields<'_>, key: &str, c: &mut Checker<'_>) -> Option<Vec<Service>> {
        let texts = c.texts(fields, key, LIST_MAX)?;
        if texts.is_empty() {
            let line = c.key_line(fields, key);
            c.fault(line, format!("`{key}` is an empty list"), "leave the rule out, or write \"any\"");
            return None;
        }
        let count = texts.len();
        let found: Vec<_> =
            texts.into_iter().filter_map(|(text, line)| self.service(text, line, c)).collect();
        if found.len() < count {
            return None;
        }
        // Before they are put together: a name is short and may stand for a thousand services.
        self.spend(found.iter().map(Named::len).sum(), fields.line, c)?;
        let mut services = Vec::new();
        for named in found {
            match named {
                Named::Literal(service) => services.push(service),
                Named::List(name, _) => services.extend(self.services.get(&name).into_iter().flatten()),
            }
        }
        Some(distinct(services))
    }

    fn service(&self, text: &str, line: Line, c: &mut Checker<'_>) -> Option<Named> {
        if let Ok(service) = text.parse() {
            return Some(Named::Literal(service));
        }
        if let Ok(name) = text.parse::<Name>()
            && let Some(services) = self.services.get(&name)
        {
            return Some(Named::List(name, services.len()));
        }
        match suggest::nearest(text, self.services.keys().map(Name::as_str)) {
            Some(near) => {
                c.fault(
                    line,
                    format!("the service {} is unknown", quoted(text)),
                    format!("did you mean `{near}`?"),
                );
                None
            }
            None => literal_service(text, line, c).map(Named::Literal),
        }
    }

    /// `from` or `to`: absent is `None`; a list is never empty.
    fn selectors(&mut self, fields: Fields<'_>, key: &str, c: &mut Checker<'_>) -> Option<Vec<Selector>> {
        let texts = c.texts(fields, key, LIST_MAX)?;
        if texts.is_empty() {
            let line = c.key_line(fields, key);
            c.fault(
                line,
                format!("`{key}` is an empty list"),
                format!("leave `{key}` out, or write \"any\""),
            );
        }
        let mut selectors = Vec::with_capacity(texts.len());
        for (text, line) in texts {
            match Selector::parse(text, &self.own) {
                Ok(selector) => {
                    if matches!(selector, Selector::Path(_) | Selector::Tag { .. }) && self.terms <= TERMS_MAX
                    {
                        self.seen.push(Seen { selector: selector.clone(), line });
                    }
                    selectors.push(selector);
                }
                Err(error) => {
                    let mend = match &error {
                        SelectorError::Cidr(CidrError::HostBits(cidr)) => format!("write {cidr}"),
                        _ => SELECTOR_MEND.into(),
                    };
                    c.fault(line, format!("`{key}` {} {error}", quoted(text)), mend);
                }
            }
        }
        Some(selectors)
    }
}

/// One entry of `allow` or `deny`: a service, or a name for so many.
#[derive(Debug)]
enum Named {
    Literal(Service),
    List(ServiceName, usize),
}

impl Named {
    fn len(&self) -> usize {
        match self {
            Self::Literal(_) => 1,
            Self::List(_, len) => *len,
        }
    }
}

fn literal_service(text: &str, line: Line, c: &mut Checker<'_>) -> Option<Service> {
    match text.parse() {
        Ok(service) => Some(service),
        Err(error) => {
            c.fault(line, format!("the service {} {error}", quoted(text)), SERVICE_MEND);
            None
        }
    }
}

/// The same services once each, in the order of their first.
fn distinct(services: Vec<Service>) -> Vec<Service> {
    let mut seen = hashbrown::HashSet::with_capacity(services.len());
    services.into_iter().filter(|service| seen.insert(*service)).collect()
}
