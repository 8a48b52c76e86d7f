//! The file's text before it is TOML: its size, its encoding, its lines, and whether the TOML reader can take it.
//!
//! The TOML reader descends one stack frame per segment of a dotted key and keeps every token in memory, so both are
//! bounded here, where counting costs nothing. A friend's stolen key must not take this node down with a file.

use toml_parser::lexer::TokenKind;

use super::super::{Line, ROSTER_BYTES_MAX};

/// The most tokens of TOML, each some sixty bytes while it is read: a roster of 100,000 stations, each with a key, an
/// address and tags, has four million.
const TOKENS_MAX: usize = 4_500_000;
/// The most segments of a dotted key; the longest that means something has four.
const SEGMENTS_MAX: usize = 16;
/// Newlines are counted once for every so many bytes.
const BLOCK: usize = 256;

/// What is wrong with the text as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TextFault {
    pub line: Line,
    pub what: String,
    pub mend: &'static str,
}

/// The line of any offset, without a list of all newlines.
#[derive(Debug)]
pub(super) struct Lines<'s> {
    text: &'s [u8],
    /// Newlines before each block.
    before: Vec<u32>,
}

impl<'s> Lines<'s> {
    pub fn new(text: &'s [u8]) -> Self {
        let before = text
            .chunks(BLOCK)
            .scan(0, |sum, block| {
                let before = *sum;
                *sum += newlines(block);
                Some(before)
            })
            .collect();
        Self { text, before }
    }

    pub fn at(&self, offset: usize) -> Line {
        let offset = offset.min(self.text.len());
        let block = (offset / BLOCK).min(self.before.len().saturating_sub(1));
        let before = self.before.get(block).copied().unwrap_or(0);
        Line(before + newlines(&self.text[block * BLOCK..offset]) + 1)
    }
}

fn newlines(bytes: &[u8]) -> u32 {
    // A roster has fewer than 2^32 bytes.
    bytes.iter().map(|&byte| u32::from(byte == b'\n')).sum()
}

/// Checks what can be checked before reading TOML, and gives the text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, TextFault> {
    let whole = |what: String, mend| TextFault { line: Line(0), what, mend };
    if bytes.len() > ROSTER_BYTES_MAX {
        return Err(whole(
            format!("the file has {} bytes; a roster has at most {ROSTER_BYTES_MAX}", bytes.len()),
            "split the owner in two",
        ));
    }
    let lines = Lines::new(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| TextFault {
        line: lines.at(error.valid_up_to()),
        what: "has bytes that are not UTF-8".into(),
        mend: "save the file as UTF-8",
    })?;
    check_tokens(text, &lines)?;
    Ok(text)
}

fn check_tokens(text: &str, lines: &Lines<'_>) -> Result<(), TextFault> {
    let (mut tokens, mut dots) = (0, 0);
    for token in toml_parser::Source::new(text).lex() {
        tokens += 1;
        match token.kind() {
            TokenKind::Dot => dots += 1,
            TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString | TokenKind::Whitespace => {}
            _ => dots = 0,
        }
        if dots >= SEGMENTS_MAX {
            return Err(TextFault {
                line: lines.at(token.span().start()),
                what: format!("a dotted key of more than {SEGMENTS_MAX} segments"),
                mend: "no key of a roster is so long",
            });
        }
        if tokens > TOKENS_MAX {
            return Err(TextFault {
                line: lines.at(token.span().start()),
                what: format!("more than {TOKENS_MAX} words and signs of TOML come before this line's end"),
                mend: "split the owner in two",
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_more_than_the_newlines_before_it() {
        let text: Vec<u8> = (0..20_000).map(|i| if i % 7 == 3 { b'\n' } else { b'x' }).collect();
        let lines = Lines::new(&text);
        let mut line = 1;
        for (offset, byte) in text.iter().enumerate() {
            assert_eq!(lines.at(offset), Line(line));
            line += u32::from(*byte == b'\n');
        }
        assert_eq!(lines.at(usize::MAX), Line(line));
        assert_eq!(Lines::new(b"").at(0), Line(1));
    }

    #[test]
    fn a_key_deeper_than_the_stack_is_refused_before_it_is_read() {
        let deep = format!("{} = 1", vec!["a"; 1_000_000].join("."));
        assert_eq!(text(deep.as_bytes()).unwrap_err().line, Line(1));
        let spaced = format!("\n{} = 1", vec!["'a'"; 1_000_000].join(" . "));
        assert_eq!(text(spaced.as_bytes()).unwrap_err().line, Line(2));
        assert!(text(b"# ........................................\n").is_ok());
    }
}
