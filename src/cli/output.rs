//! What a tool prints.

use std::fmt::{self, Display, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

/// What to paint a word with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Good,
    Bad,
    Doubt,
    Head,
}

/// Text for stdout, with colour if it may have any.
#[derive(Debug)]
pub(super) struct Output {
    text: String,
    colour: bool,
}

impl Output {
    pub(super) fn new() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        Self { text: String::new(), colour: io::stdout().is_terminal() && !plain }
    }

    /// Adds a line.
    pub(super) fn line(&mut self, line: impl Display) {
        // Writing to a String never fails.
        let _ = writeln!(self.text, "{line}");
    }

    /// A word in colour.
    pub(super) fn paint<T: Display>(&self, paint: Paint, word: T) -> Painted<T> {
        Painted { paint: self.colour.then_some(paint), word }
    }

    /// Prints it all. A reader that has seen enough is no error.
    pub(super) fn print(self) -> io::Result<()> {
        print(&self.text)
    }
}

/// A word that may be in colour.
#[derive(Debug)]
pub(super) struct Painted<T> {
    paint: Option<Paint>,
    word: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match self.paint {
            None => return self.word.fmt(f),
            Some(Paint::Good) => 32,
            Some(Paint::Bad) => 31,
            Some(Paint::Doubt) => 33,
            Some(Paint::Head) => 1,
        };
        write!(f, "\x1b[{code}m{}\x1b[0m", self.word)
    }
}

/// Prints to stdout. A reader that has seen enough is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Says on stderr what went wrong.
pub(super) fn complain(what: impl Display) {
    let _ = writeln!(io::stderr(), "vpmesh: {}", plain(&what.to_string()));
}

/// Text from elsewhere, without what would move a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The exit code of a tool that may have failed with something to say.
pub(super) fn exit(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_moves_the_cursor() {
        assert_eq!(plain("a\x1b[2Jb\nc\r"), "a\u{fffd}[2Jb\nc\u{fffd}");
    }
}
