//! The keys of the file, each with its line, and every fault that was met while they were read.

use std::num::{IntErrorKind, ParseIntError};
use std::ops::RangeInclusive;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::uci;
use crate::base::{Fault, Faults, Line};

/// Keys not taken yet. Each is taken once; those that nobody took are unknown.
pub(super) struct Keys<'t> {
    file: Arc<str>,
    entries: Vec<Entry<'t>>,
    /// Names that were asked for.
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

struct Entry<'t> {
    key: String,
    line: Line,
    value: Value<'t>,
}

enum Value<'t> {
    Toml(DeValue<'t>),
    /// UCI has texts only, and numbers are written in them.
    Uci(String),
    UciList(Vec<(String, Line)>),
}

impl<'t> Keys<'t> {
    /// Reads UCI's one section.
    pub(super) fn read_uci(file: &Arc<str>, text: &str) -> Result<Self, Faults> {
        let entries = uci::read(file, text)?.into_iter().map(|setting| Entry {
            key: setting.key,
            line: setting.line,
            value: match setting.value {
                uci::Value::One(value) => Value::Uci(value),
                uci::Value::List(values) => Value::UciList(values),
            },
        });
        Ok(Self { file: file.clone(), entries: entries.collect(), known: Vec::new(), faults: Vec::new() })
    }

    /// Reads the TOML of one table. Values that are tables themselves are nobody's keys.
    pub(super) fn read_toml(file: &Arc<str>, text: &'t str) -> Result<Self, Faults> {
        let line_at = |offset: usize| {
            let before = text.get(..offset).unwrap_or(text);
            Line(u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX))
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let faults = errors.iter().map(|error| Fault {
                file: file.clone(),
                line: error.span().map_or(Line(0), |span| line_at(span.start)),
                what: format!("is not TOML: {}", error.message().replace('\n', ", ")),
                mend: "write KEY = VALUE, with texts in double quotes".to_owned(),
            });
            return Err(Faults(faults.collect()));
        }
        let entries = table.into_inner().into_iter().map(|(key, value)| Entry {
            line: line_at(key.span().start),
            key: key.into_inner().into_owned(),
            value: Value::Toml(value.into_inner()),
        });
        Ok(Self { file: file.clone(), entries: entries.collect(), known: Vec::new(), faults: Vec::new() })
    }

    /// Takes a text. `mend` is said when the value is something else.
    pub(super) fn text(&mut self, key: &'static str, mend: &str) -> Option<(String, Line)> {
        let entry = self.take(key)?;
        match entry.value {
            Value::Toml(DeValue::String(text)) => Some((text.into_owned(), entry.line)),
            Value::Uci(text) => Some((text, entry.line)),
            other => {
                self.fault(entry.line, format!("{key} is {}, not a text", kind(&other)), mend);
                None
            }
        }
    }

    /// Takes a text and parses it.
    pub(super) fn parsed<T, E>(
        &mut self,
        key: &'static str,
        mend: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T>
    where
        E: std::fmt::Display,
    {
        let (text, line) = self.text(key, mend)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(line, format!("{key} = {:?} {error}", shortened(&text)), mend);
                None
            }
        }
    }

    /// Takes a list of texts and parses each; one text is a list of one. What was refused is left out.
    pub(super) fn parsed_list<T, E>(
        &mut self,
        key: &'static str,
        mend: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T>
    where
        E: std::fmt::Display,
    {
        let Some(entry) = self.take(key) else { return Vec::new() };
        let line = entry.line;
        let texts: Vec<(String, Line)> = match entry.value {
            Value::Uci(text) => vec![(text, line)],
            Value::UciList(texts) => texts,
            Value::Toml(DeValue::String(text)) => vec![(text.into_owned(), line)],
            Value::Toml(DeValue::Array(values)) => {
                let mut texts = Vec::with_capacity(values.len());
                for value in values {
                    match value.into_inner() {
                        DeValue::String(text) => texts.push((text.into_owned(), line)),
                        other => {
                            let what = format!("{key} has {}, not texts only", kind(&Value::Toml(other)));
                            self.fault(line, what, mend);
                        }
                    }
                }
                texts
            }
            other => {
                self.fault(line, format!("{key} is {}, not a list of texts", kind(&other)), mend);
                return Vec::new();
            }
        };
        let mut values = Vec::with_capacity(texts.len());
        for (text, line) in texts {
            match parse(&text) {
                Ok(value) => values.push(value),
                Err(error) => {
                    self.fault(line, format!("{key} has {:?}, which {error}", shortened(&text)), mend)
                }
            }
        }
        values
    }

    /// Takes a whole number in `range`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: &RangeInclusive<u32>,
        mend: &str,
    ) -> Option<(u32, Line)> {
        let entry = self.take(key)?;
        let (written, radix, digits) = match &entry.value {
            Value::Toml(DeValue::Integer(number)) => {
                let prefix = match number.radix() {
                    16 => "0x",
                    8 => "0o",
                    2 => "0b",
                    _ => "",
                };
                let digits = number.as_str().replace('_', "");
                (format!("{prefix}{digits}"), number.radix(), digits)
            }
            Value::Uci(text) => match text.strip_prefix("0x") {
                Some(digits) => (text.clone(), 16, digits.to_owned()),
                None => (text.clone(), 10, text.clone()),
            },
            other => {
                self.fault(entry.line, format!("{key} is {}, not a whole number", kind(other)), mend);
                return None;
            }
        };
        match i128::from_str_radix(&digits, radix) {
            Ok(value) if (i128::from(*range.start())..=i128::from(*range.end())).contains(&value) => {
                u32::try_from(value).ok().map(|value| (value, entry.line))
            }
            Err(error) if matches!(entry.value, Value::Uci(_)) && !is_too_long(&error) => {
                let what = format!("{key} = {:?} is no whole number", shortened(&written));
                self.fault(entry.line, what, mend);
                None
            }
            _ => {
                self.fault(entry.line, format!("{key} = {} is out of range", shortened(&written)), mend);
                None
            }
        }
    }

    /// Takes a yes or no: TOML's own, in UCI one of its words.
    pub(super) fn flag(&mut self, key: &'static str, mend: &str) -> Option<bool> {
        let entry = self.take(key)?;
        let what = match &entry.value {
            Value::Toml(DeValue::Boolean(flag)) => return Some(*flag),
            Value::Uci(text) => match uci::flag(text) {
                Some(flag) => return Some(flag),
                None => format!("{key} = {:?} is no yes or no", shortened(text)),
            },
            other => format!("{key} is {}, not true or false", kind(other)),
        };
        self.fault(entry.line, what, mend);
        None
    }

    /// A fault in the line of a key, or of the whole file (`Line(0)`).
    pub(super) fn fault(&mut self, line: Line, what: String, mend: &str) {
        self.faults.push(Fault { file: self.file.clone(), line, what, mend: mend.to_owned() });
    }

    /// Says that keys without a default are not there. Only those that are missing: a bad one was refused already.
    pub(super) fn missing(&mut self, key: &'static str, mend: &str) {
        self.fault(Line(0), format!("{key} is missing"), mend);
    }

    /// Whether the file has this key and nobody took it yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The line of a key that nobody took yet.
    pub(super) fn line_of(&self, key: &str) -> Option<Line> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.line)
    }

    /// Refuses keys that nobody took.
    ///
    /// # Errors
    /// Every fault that was met, in the order of their lines.
    pub(super) fn finish(mut self) -> Result<(), Faults> {
        for entry in std::mem::take(&mut self.entries) {
            let mend = match nearest(&entry.key, &self.known) {
                Some(near) => format!("write {near}"),
                None => format!("the keys are {}", self.known.join(", ")),
            };
            self.fault(entry.line, format!("{} is not a key", shortened(&entry.key)), &mend);
        }
        self.faults.sort_by_key(|fault| fault.line);
        if self.faults.is_empty() { Ok(()) } else { Err(Faults(self.faults)) }
    }

    fn take(&mut self, key: &'static str) -> Option<Entry<'t>> {
        self.known.push(key);
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }
}

fn is_too_long(error: &ParseIntError) -> bool {
    matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow)
}

fn kind(value: &Value<'_>) -> &'static str {
    let value = match value {
        Value::Toml(value) => value,
        Value::Uci(_) => return "a text",
        Value::UciList(_) => return "a list",
    };
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What fits on a line of an error.
fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    if text.chars().count() <= CHARACTERS_MAX {
        return text.to_owned();
    }
    text.chars().take(CHARACTERS_MAX).chain(['…']).collect()
}

/// The known key that was probably meant.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = key.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|near| (distance(plain.as_bytes(), near.as_bytes()), *near))
        .filter(|(distance, near)| *distance <= 2 && *distance < near.len() / 2)
        .min()
        .map(|(_, near)| near)
}

/// How many letters are put in, left out or changed between two words (Levenshtein 1966).
fn distance(a: &[u8], b: &[u8]) -> usize {
    const LENGTH_MAX: usize = 32;
    if a.len() > LENGTH_MAX || b.len() > LENGTH_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_met_with_the_key_that_was_meant() {
        let known = ["node", "listen", "private_key", "mtu"];
        assert_eq!(nearest("Private-Key", &known), Some("private_key"));
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("mut", &known), None);
        assert_eq!(nearest("endpoint", &known), None);
        assert_eq!(nearest(&"x".repeat(10_000), &known), None);
    }
}
