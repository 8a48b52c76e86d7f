//! What every part of the reader shares: where faults go, and how a table gives up its keys.
//!
//! A getter that finds a fault says so here and gives `None`; whoever asked goes on, so that one reading finds all
//! faults. A roster is made only when there are none.

use std::str::FromStr;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::{Fault, Faults, Line};
use super::source::Lines;
use super::suggest;
use crate::base::Name;

/// The most faults that are told; the rest is counted.
pub(in crate::roster) const FAULTS_MAX: usize = 50;

/// One table of the file: a station, a rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'t> {
    pub table: &'t DeTable<'t>,
    pub line: Line,
    /// With its article, as faults name it: "a station".
    pub kind: &'static str,
}

impl Fields<'_> {
    /// What headers of tables inside this one begin with.
    fn path(self) -> &'static str {
        match self.kind {
            "a roster" => "",
            "a room" => "room.",
            "a gateway" => "room.gateway.",
            "a station" => "room.station.",
            _ => "….",
        }
    }
}

/// Where faults go.
#[derive(Debug)]
pub(super) struct Checker<'s> {
    pub file: Arc<str>,
    lines: Lines<'s>,
    faults: Vec<Fault>,
    untold: usize,
    pub notes: Vec<Fault>,
}

impl<'s> Checker<'s> {
    pub fn new(file: &str, bytes: &'s [u8]) -> Self {
        Self { file: file.into(), lines: Lines::new(bytes), faults: Vec::new(), untold: 0, notes: Vec::new() }
    }

    /// Adds a fault. It is one line, whatever the text that it quotes.
    pub fn fault(&mut self, line: Line, what: impl Into<String>, mend: impl Into<String>) {
        if self.faults.len() == FAULTS_MAX {
            self.untold += 1;
            return;
        }
        let what = what.into().replace(char::is_control, " ");
        self.faults.push(Fault { file: self.file.clone(), line, what, mend: mend.into() });
    }

    pub fn note(&mut self, line: Line, what: impl Into<String>, mend: impl Into<String>) {
        if self.notes.len() < FAULTS_MAX {
            self.notes.push(Fault { file: self.file.clone(), line, what: what.into(), mend: mend.into() });
        }
    }

    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Whether looking on would find only what is not told any more.
    pub fn is_full(&self) -> bool {
        self.faults.len() == FAULTS_MAX
    }

    /// All faults, in the order of their lines.
    pub fn into_faults(mut self) -> Faults {
        self.faults.sort_by_key(|fault| fault.line);
        if self.untold > 0 {
            let what = format!("{} more faults are not shown", self.untold);
            self.faults.push(Fault { file: self.file, line: Line(0), what, mend: "mend these first".into() });
        }
        Faults(self.faults)
    }

    pub fn line_at(&self, offset: usize) -> Line {
        self.lines.at(offset)
    }

    pub fn line_of<T>(&self, spanned: &Spanned<T>) -> Line {
        self.lines.at(spanned.span().start)
    }

    /// The line where a table writes a key; the table's own when it doesn't.
    pub fn key_line(&self, fields: Fields<'_>, key: &str) -> Line {
        fields.table.get_key_value(key).map_or(fields.line, |(key, _)| self.line_of(key))
    }

    /// Faults every key that is not one of `known`.
    pub fn refuse_unknown(&mut self, fields: Fields<'_>, known: &[&'static str]) {
        for (key, _) in fields.table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) || self.is_full() {
                continue;
            }
            let mend = match suggest::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if super::TOP_KEYS.contains(&name) => {
                    format!("`{name}` of the owner stands at the top of the file, above the first [table]")
                }
                None => format!("{} has {}", fields.kind, known.join(", ")),
            };
            self.fault(self.line_of(key), format!("unknown key {} in {}", quoted(name), fields.kind), mend);
        }
    }

    /// A string, or nothing when the key is absent.
    pub fn text<'t>(&mut self, fields: Fields<'t>, key: &str) -> Option<(&'t str, Line)> {
        let value = fields.table.get(key)?;
        let line = self.line_of(value);
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(line, key, "a \"text\"", value.get_ref());
            return None;
        };
        Some((text.as_ref(), line))
    }

    /// A string parsed, or nothing when the key is absent. `mend` says what would do.
    pub fn parsed<T>(&mut self, fields: Fields<'_>, key: &str, mend: &str) -> Option<(T, Line)>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let (text, line) = self.text(fields, key)?;
        match text.parse() {
            Ok(value) => Some((value, line)),
            Err(error) => {
                self.fault(line, format!("`{key}` {} {error}", quoted(text)), mend);
                None
            }
        }
    }

    /// An address of one family, or nothing when the key is absent.
    pub fn address<T: FromStr>(
        &mut self,
        fields: Fields<'_>,
        key: &str,
        family: &str,
        mend: &str,
    ) -> Option<(T, Line)> {
        let (text, line) = self.text(fields, key)?;
        let address = text.parse().ok();
        if address.is_none() {
            self.fault(line, format!("`{key}` {} is no {family} address", quoted(text)), mend);
        }
        Some((address?, line))
    }

    /// Like [`Checker::parsed`], and the key has to be there.
    pub fn required<T>(&mut self, fields: Fields<'_>, key: &str, mend: &str) -> Option<(T, Line)>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        self.require(fields, key, mend);
        self.parsed(fields, key, mend)
    }

    /// Faults the absence of a key.
    pub fn require(&mut self, fields: Fields<'_>, key: &str, mend: &str) {
        if !fields.table.contains_key(key) {
            self.fault(fields.line, format!("{} without `{key}`", fields.kind), mend);
        }
    }

    /// A required name.
    pub fn name(&mut self, fields: Fields<'_>, key: &str) -> Option<(Name, Line)> {
        self.required(fields, key, &format!("write {key} = \"a-z, 0-9 and '-'\""))
    }

    /// `false` when absent.
    pub fn boolean(&mut self, fields: Fields<'_>, key: &str) -> bool {
        let Some(value) = fields.table.get(key) else { return false };
        if let DeValue::Boolean(is) = value.get_ref() {
            return *is;
        }
        let line = self.line_of(value);
        self.wrong_type(line, key, "true or false", value.get_ref());
        false
    }

    /// A string or a list of strings, each with its line; `None` when the key is absent or faulty. At most `max`.
    pub fn texts<'t>(&mut self, fields: Fields<'t>, key: &str, max: usize) -> Option<Vec<(&'t str, Line)>> {
        let value = fields.table.get(key)?;
        let line = self.line_of(value);
        self.texts_of(key, value.get_ref(), line, max)
    }

    /// A string or a list of strings that is the value of `key`.
    pub fn texts_of<'t>(
        &mut self,
        key: &str,
        value: &'t DeValue<'t>,
        line: Line,
        max: usize,
    ) -> Option<Vec<(&'t str, Line)>> {
        let list = match value {
            DeValue::String(text) => return Some(vec![(text.as_ref(), line)]),
            DeValue::Array(list) => list,
            other => {
                self.wrong_type(line, key, "a \"text\" or a list of them", other);
                return None;
            }
        };
        if list.len() > max {
            self.fault(
                line,
                format!("`{key}` has {} entries", list.len()),
                format!("at most {max} are taken"),
            );
            return None;
        }
        let mut texts = Vec::with_capacity(list.len());
        for entry in list {
            let line = self.line_of(entry);
            match entry.get_ref() {
                DeValue::String(text) => texts.push((text.as_ref(), line)),
                other => self.wrong_type(line, key, "a list of \"texts\"", other),
            }
        }
        (list.is_empty() || !texts.is_empty()).then_some(texts)
    }

    /// `[[key]]`: the tables of a list. `None` when the key is absent; an empty list is an empty list.
    pub fn tables<'t>(
        &mut self,
        fields: Fields<'t>,
        key: &str,
        kind: &'static str,
    ) -> Option<(Line, Vec<Fields<'t>>)> {
        let (written, value) = fields.table.get_key_value(key)?;
        let line = self.line_of(written);
        let DeValue::Array(list) = value.get_ref() else {
            let path = fields.path();
            let mend = match value.get_ref() {
                DeValue::Table(_) => {
                    format!("write it with two brackets, [[{path}{key}]]: there may be several")
                }
                _ => format!("write [[{path}{key}]], or {key} = [] for none"),
            };
            self.fault(line, format!("`{key}` is {}", type_name(value.get_ref())), mend);
            return None;
        };
        let mut tables = Vec::with_capacity(list.len());
        for entry in list {
            let line = self.line_of(entry);
            match entry.get_ref() {
                DeValue::Table(table) => tables.push(Fields { table, line, kind }),
                other => self.wrong_type(line, key, "a list of tables", other),
            }
        }
        Some((line, tables))
    }

    pub fn wrong_type(&mut self, line: Line, key: &str, wanted: &str, found: &DeValue<'_>) {
        self.fault(line, format!("`{key}` is {}", type_name(found)), format!("write {wanted}"));
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value as faults show it: in quotes, without control characters, and short.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
