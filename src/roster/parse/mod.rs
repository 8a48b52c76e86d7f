//! Bytes to a checked roster.
//!
//! The text is bounded (`source`), read as TOML with the place of every value, and then checked part by part:
//! `owner` for the top, `places` for rooms and what is in them, `policy` for rules, `names` for whether what rules
//! name is there. Each part goes on after a fault, so a person sees all of them at once, each with its line and its
//! mend. No part takes more than linear time, whatever the file says: every list has a bound.

mod checker;
mod lists;
mod names;
mod owner;
mod places;
mod policy;
mod source;
mod suggest;

use toml::de::DeTable;

use super::{Room, Roster};
use crate::base::{Fault, Faults, Line};
pub(super) use checker::FAULTS_MAX;
use checker::{Checker, Fields};

/// The keys at the top of a roster.
const TOP_KEYS: &[&str] =
    &["owner", "serial", "ipv4", "services", "friend", "egress", "ingress", "room", "relay", "guest", "test"];
/// A file up to this size is read on after an error of syntax, to tell them all; every one of them costs memory.
const RECOVER_MAX: usize = 256 * 1024;

/// Reads and checks a roster. `file` is the name that faults print.
///
/// # Errors
/// Every fault with its line, what is wrong and the mend; at most fifty of them.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Roster, Faults> {
    let text = source::text(bytes).map_err(|fault| {
        let source::TextFault { line, what, mend } = fault;
        Faults(vec![Fault { file: file.into(), line, what, mend: mend.into() }])
    })?;
    let mut c = Checker::new(file, bytes);
    let Some(table) = read_toml(text, &mut c) else { return Err(c.into_faults()) };
    let top = Fields { table: &table, line: Line(1), kind: "a roster" };
    match roster(top, &mut c) {
        Some(roster) if !c.has_faults() => Ok(roster),
        _ => Err(c.into_faults()),
    }
}

fn read_toml<'t>(text: &'t str, c: &mut Checker<'_>) -> Option<DeTable<'t>> {
    let errors = match DeTable::parse(text) {
        Ok(table) => return Some(table.into_inner()),
        Err(_) if text.len() <= RECOVER_MAX => DeTable::parse_recoverable(text).1,
        Err(error) => vec![error],
    };
    let mut last = None;
    for error in errors {
        let line = error.span().map_or(Line(0), |span| c.line_at(span.start));
        // One slip makes several errors of one line.
        if last != Some(line) {
            c.fault(line, format!("is not TOML: {}", error.message().trim()), syntax_mend(error.message()));
        }
        last = Some(line);
    }
    None
}

fn syntax_mend(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "write each key once; [[two brackets]] begin one more of a list"
    } else if message.contains("cannot extend") {
        "a list is written in one way: either key = […] or [[key]]"
    } else if message.contains("invalid") {
        "texts stand in \"quotes\", numbers and true or false do not"
    } else if message.contains("max recursion") {
        "nothing in a roster is nested so deep"
    } else {
        "a line is key = \"text\", 7, true or [\"a\", \"list\"]; or a [table]; or a # comment"
    }
}

fn roster(top: Fields<'_>, c: &mut Checker<'_>) -> Option<Roster> {
    c.refuse_unknown(top, TOP_KEYS);
    let head = owner::head(top, c);
    // Without a name of its own a roster is refused; the rest is still looked at, under one that no roster can have.
    let own = head.owner.clone().unwrap_or_else(owner::placeholder);
    let (friends, friend_lines) = owner::friends(top, &own, c);
    let mut policies = policy::Policies::new(own.clone(), top, c);
    let policy = policies.borders(top, c);
    let mut scope = places::Scope::new();
    let mut places = places::Places {
        own: &own,
        claim: head.claim,
        policies: &mut policies,
        friends: &friend_lines,
        once: Default::default(),
        nodes: 0,
    };
    let rooms: Vec<Room> = lists::tables(top, "room", "a room", c)
        .into_iter()
        .filter_map(|fields| places.room(fields, &mut scope, c))
        .collect();
    let relays = lists::tables(top, "relay", "a relay", c)
        .into_iter()
        .filter_map(|fields| places.relay(fields, &mut scope, c))
        .collect();
    let mut guests = Vec::new();
    for fields in lists::tables(top, "guest", "a guest", c) {
        if !places.count(fields.line, c) {
            break;
        }
        guests.extend(places.guest(fields, &mut scope, c));
    }
    let tests = owner::tests(top, &mut policies, c);
    let seen = std::mem::take(&mut policies.seen);
    let mut roster = Roster {
        file: c.file.clone(),
        owner: own,
        serial: head.serial?,
        ipv4: head.claim,
        friends,
        policy,
        rooms,
        guests,
        relays,
        tests,
        notes: Vec::new(),
    };
    // What a rule names is looked for only where everything that could be named was read.
    if !c.has_faults() {
        names::check(&roster, &seen, c);
        roster.notes = std::mem::take(&mut c.notes);
    }
    Some(roster)
}
