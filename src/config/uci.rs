//! OpenWrt's form of the same keys: `/etc/config/vpmesh`.
//!
//! ```text
//! config node 'main'
//!         option enabled '1'
//!         option node 'alice/attic/gw'
//!         option listen '51888'
//! ```
//!
//! The grammar is libuci's (file.c): words on a line, quoted by `'…'`, by `"…"` with backslashes, or not at all; `#`
//! begins a comment; a quoted word may go on over lines.

use std::sync::Arc;

use crate::base::{Fault, Faults, Line};

/// The section's type. There is one of it, whatever its name.
const SECTION: &str = "node";
/// What the init script reads, and the daemon has no use for.
const ENABLED: &str = "enabled";
const MEND: &str = "write `config node 'main'`, and below it `option KEY 'VALUE'`";

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) line: Line,
    pub(super) value: Value,
}

/// What an option has, or each `list` of the same name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    One(String),
    List(Vec<(String, Line)>),
}

/// Whether the text is UCI's rather than TOML: whether its first word says so.
pub fn is_uci(text: &str) -> bool {
    let mut lines =
        text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut words = lines.next().unwrap_or_default().split_whitespace();
    let first = words.next();
    matches!(first, Some("config" | "package")) && !words.next().unwrap_or_default().starts_with(['=', '.'])
}

/// Each line that has words, whole, with them; up to the first that can't be read.
pub(super) fn statements(text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, Vec<String>)> + '_ {
    let mut reader = Reader { rest: text, line: 1 };
    std::iter::from_fn(move || {
        let (first, words) = reader.statement()?;
        let end = text.len() - reader.rest.len();
        let start = text.split_inclusive('\n').take(first.0 as usize - 1).map(str::len).sum();
        words.ok().map(|words| (start..end, words))
    })
}

/// The options of the one section.
///
/// # Errors
/// Every line that is not UCI, or not of this section.
pub(super) fn read(file: &Arc<str>, text: &str) -> Result<Vec<Setting>, Faults> {
    let mut faults = Vec::new();
    let mut settings: Vec<Setting> = Vec::new();
    let mut sections = 0;
    let mut reader = Reader { rest: text, line: 1 };
    while let Some((line, words)) = reader.statement() {
        let words = match words {
            Ok(words) => words,
            Err(what) => {
                faults.push(fault(file, line, what.to_owned(), MEND));
                break;
            }
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            [] | ["package", _] => {}
            ["config", SECTION] | ["config", SECTION, _] => {
                sections += 1;
                if sections > 1 {
                    faults.push(fault(
                        file,
                        line,
                        "is a second node".to_owned(),
                        "a daemon is one node: keep one",
                    ));
                }
            }
            ["config", other, ..] => {
                faults.push(fault(file, line, format!("{other:?} is no section of vpmesh"), MEND));
            }
            ["option" | "list", ..] if sections == 0 => {
                faults.push(fault(file, line, "is in no section".to_owned(), MEND));
            }
            ["option", ENABLED, value] => {
                if flag(value).is_none() {
                    faults.push(fault(
                        file,
                        line,
                        format!("enabled = {value:?} is no yes or no"),
                        "write 1 or 0",
                    ));
                }
            }
            [kind @ ("option" | "list"), key, value] => {
                let value = value.to_owned();
                match settings.iter_mut().find(|setting| setting.key == key) {
                    Some(Setting { value: Value::List(values), .. }) if kind == "list" => {
                        values.push((value, line));
                    }
                    Some(first) => {
                        let what = format!("{key} is here a second time, first in line {}", first.line);
                        faults.push(fault(file, line, what, "keep one of them"));
                    }
                    None => {
                        let value = match kind {
                            "option" => Value::One(value),
                            _ => Value::List(vec![(value, line)]),
                        };
                        settings.push(Setting { key: key.to_owned(), line, value });
                    }
                }
            }
            _ => faults.push(fault(file, line, "is not a line of UCI's".to_owned(), MEND)),
        }
    }
    if faults.is_empty() { Ok(settings) } else { Err(Faults(faults)) }
}

/// A yes or no, in whichever word of libuci's (`config_get_bool`).
pub(super) fn flag(word: &str) -> Option<bool> {
    match word {
        "1" | "on" | "true" | "yes" | "enabled" => Some(true),
        "0" | "off" | "false" | "no" | "disabled" => Some(false),
        _ => None,
    }
}

fn fault(file: &Arc<str>, line: Line, what: String, mend: &str) -> Fault {
    Fault { file: file.clone(), line, what, mend: mend.to_owned() }
}

struct Reader<'t> {
    rest: &'t str,
    /// The line that `rest` begins in.
    line: u32,
}

impl Reader<'_> {
    /// The words of the next line that has any, and which line that is.
    fn statement(&mut self) -> Option<(Line, Result<Vec<String>, &'static str>)> {
        let mut words = Vec::new();
        let mut line = Line(self.line);
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
            match self.rest.chars().next() {
                None if words.is_empty() => return None,
                None => return Some((line, Ok(words))),
                Some('#') => self.rest = &self.rest[self.rest.find('\n').unwrap_or(self.rest.len())..],
                Some('\n') => {
                    self.take();
                    if !words.is_empty() {
                        return Some((line, Ok(words)));
                    }
                    line = Line(self.line);
                }
                Some(_) => match self.word() {
                    Ok(word) => words.push(word),
                    Err(what) => return Some((line, Err(what))),
                },
            }
        }
    }

    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        self.line += u32::from(next == '\n');
        Some(next)
    }

    fn word(&mut self) -> Result<String, &'static str> {
        let mut word = String::new();
        let mut quote = None;
        while let Some(next) = self.rest.chars().next() {
            match (quote, next) {
                (None, ' ' | '\t' | '\r' | '\n' | '#') => return Ok(word),
                (None, '\'' | '"') => {
                    self.take();
                    quote = Some(next);
                }
                (Some(open), _) if open == next => {
                    self.take();
                    quote = None;
                }
                (None | Some('"'), '\\') => {
                    self.take();
                    match self.take() {
                        Some('\n') | None => {}
                        Some(escaped) => word.push(escaped),
                    }
                }
                _ => {
                    self.take();
                    word.push(next);
                }
            }
        }
        if quote.is_some() { Err("has a quote that is never closed") } else { Ok(word) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, line, and value; the values of a list with their lines.
    fn settings(text: &str) -> Vec<(String, u32, String)> {
        let settings = read(&"vpmesh".into(), text).unwrap();
        let told = |setting: Setting| {
            let value = match setting.value {
                Value::One(value) => value,
                Value::List(values) => {
                    values.iter().map(|(value, line)| format!("{line}:{value};")).collect::<String>()
                }
            };
            (setting.key, setting.line.0, value)
        };
        settings.into_iter().map(told).collect()
    }

    fn faults(text: &str) -> String {
        read(&"vpmesh".into(), text).unwrap_err().to_string()
    }

    #[test]
    fn words_are_quoted_as_libuci_has_them() {
        let text = "# ours\npackage vpmesh\n\nconfig node main\n\toption a 'x y' # why\n option b \"x\\\"y'\"'z'\n\
                    option c pl\\ ain\r\n\toption d 'two\nlines'\n\tlist e 'one'\n\tlist e 'two'\n\toption f ''\n";
        let expected = [
            ("a", 5, "x y"),
            ("b", 6, "x\"y'z"),
            ("c", 7, "pl ain"),
            ("d", 8, "two\nlines"),
            ("e", 10, "10:one;11:two;"),
            ("f", 12, ""),
        ];
        assert_eq!(
            settings(text),
            expected.map(|(key, line, value)| (key.to_owned(), line, value.to_owned()))
        );
    }

    #[test]
    fn the_first_word_tells_uci_from_toml() {
        for (text, uci) in [
            ("config node 'main'", true),
            ("\n# x\n  package vpmesh\n", true),
            ("config = 1", false),
            ("config.x = 1", false),
            ("node = \"a/b/c\"", false),
            ("", false),
        ] {
            assert_eq!(is_uci(text), uci, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_this_section_is_refused_with_its_line() {
        for (text, said) in [
            ("option a 'b'", "vpmesh:1: is in no section"),
            ("config node\n option a b\n option a c", "vpmesh:3: a is here a second time, first in line 2"),
            ("config node\n list a b\n option a c", "vpmesh:3: a is here a second time, first in line 2"),
            ("config node\n option a b\n list a c", "vpmesh:3: a is here a second time, first in line 2"),
            ("config node\nconfig node 'x'", "vpmesh:2: is a second node"),
            ("config station\n", "vpmesh:1: \"station\" is no section"),
            ("config node\n option a", "vpmesh:2: is not a line of UCI's"),
            ("config node\n option a 'b\n\n", "vpmesh:2: has a quote that is never closed"),
            ("config node\n option enabled maybe", "vpmesh:2: enabled = \"maybe\" is no yes or no"),
        ] {
            assert!(faults(text).contains(said), "{text:?}: {}", faults(text));
        }
    }
}
