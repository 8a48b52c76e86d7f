//! Logs go to stderr: systemd takes them from there and adds the time itself. procd would write all of it at one level,
//! so on a router they go to the log's own socket.
//!
//! One line an event: its level, its message, its fields as `name=value`. What a remote or a file put into a value can't
//! begin a line of its own or move a terminal's cursor. There are no spans, so none are told.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::config;
use crate::os::clock::Clock;
use crate::os::syslog::{Severity, Syslog};

/// The socket of the system's log, in the environment: the init script's word. Without it, stderr.
pub const SOCKET_VARIABLE: &str = "VPMESH_SYSLOG";

/// The environment's word on the level, before the configuration's.
pub const LEVEL_VARIABLE: &str = "VPMESH_LOG";

/// Begins to log. `levels` is as the configuration has it: `info`, `info,vpmesh::os=debug`. A second call does
/// nothing.
pub fn begin(levels: &str) {
    let terminal = io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let from_environment = std::env::var(LEVEL_VARIABLE).ok().filter(|levels| !levels.is_empty());
    let asked = from_environment.as_deref().unwrap_or(levels);
    let log = Log { levels: Levels::parse(asked), syslog: syslog(), terminal, colour };
    let begun = tracing::subscriber::set_global_default(log);
    if let (Ok(()), Err(fault)) = (begun, config::levels(asked)) {
        tracing::warn!("{LEVEL_VARIABLE} {fault}; logging at info");
    }
}

/// The system's log, where the environment names its socket.
fn syslog() -> Option<Syslog> {
    let path = std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty())?;
    Syslog::new(Path::new(&path)).ok()
}

/// Where events go.
#[derive(Debug)]
struct Log {
    levels: Levels,
    syslog: Option<Syslog>,
    /// Time is the terminal's to have; whoever else reads stderr stamps it.
    terminal: bool,
    colour: bool,
}

impl Log {
    /// What stands before the message on stderr.
    fn head(&self, level: Level) -> String {
        let mut head = String::new();
        if self.terminal {
            let now =
                Clock::default().read().wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
            let _ = write!(head, "{:02}:{:02}:{:02}Z ", now / 3600 % 24, now / 60 % 60, now % 60);
        }
        let _ = match (self.colour, level) {
            (false, _) => write!(head, "{level:>5} "),
            (true, Level::ERROR) => write!(head, "\x1b[31m{level:>5}\x1b[0m "),
            (true, Level::WARN) => write!(head, "\x1b[33m{level:>5}\x1b[0m "),
            (true, _) => write!(head, "\x1b[2m{level:>5}\x1b[0m "),
        };
        head
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.levels.pass(metadata.target(), *metadata.level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.levels.0.iter().map(|(_, level)| *level).max()
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = *event.metadata().level();
        if let Some(syslog) = &self.syslog
            && syslog.line(severity(level), &text.0).is_ok()
        {
            return;
        }
        let line = match self.syslog {
            Some(_) => text.0 + "\n",
            None => self.head(level) + &text.0 + "\n",
        };
        // Whoever reads it has gone: there is nobody left to tell.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event's message and fields, in their order.
#[derive(Debug, Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        if field.name() != "message" {
            self.0.push_str(field.name());
            self.0.push('=');
        }
        let _ = write!(Plain(&mut self.0), "{value:?}");
    }
}

/// Writes control characters as their escapes.
struct Plain<'a>(&'a mut String);

impl fmt::Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() { self.0.extend(c.escape_default()) } else { self.0.push(c) }
        }
        Ok(())
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warning,
        Level::INFO => Severity::Info,
        _ => Severity::Debug,
    }
}

/// From which level on a target is told: by the longest of these that it begins with.
#[derive(Debug)]
struct Levels(Vec<(String, LevelFilter)>);

impl Levels {
    /// The levels asked for, with boringtun's kept down: it calls a session that ends an ERROR and a handshake that begins
    /// a WARN, and both are every day's. What is not understood is `info`.
    fn parse(asked: &str) -> Self {
        const QUIET: [(&str, LevelFilter); 2] =
            [("boringtun", LevelFilter::WARN), ("boringtun::noise::timers", LevelFilter::OFF)];
        let mut levels: Vec<_> = QUIET.map(|(target, level)| (target.to_owned(), level)).into();
        match config::levels(asked) {
            Ok(_) => levels.extend(asked.split(',').filter_map(|part| {
                let (target, level) = part.rsplit_once('=').unwrap_or(("", part));
                Some((target.to_owned(), level.trim().parse().ok()?))
            })),
            Err(_) => levels.push((String::new(), LevelFilter::INFO)),
        }
        Self(levels)
    }

    fn pass(&self, target: &str, level: Level) -> bool {
        let named = self.0.iter().filter(|(named, _)| target.starts_with(named.as_str()));
        named.max_by_key(|(named, _)| named.len()).is_some_and(|(_, from)| level <= *from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boringtun_is_quiet_unless_it_is_asked_for_by_name() {
        let plain = Levels::parse("debug");
        assert!(plain.pass("vpmesh::engine", Level::DEBUG));
        assert!(!plain.pass("boringtun::noise", Level::INFO));
        assert!(!plain.pass("boringtun::noise::timers", Level::ERROR));
        let asked = Levels::parse("info,boringtun=trace");
        assert!(asked.pass("boringtun::noise", Level::TRACE));
        assert!(!asked.pass("boringtun::noise::timers", Level::ERROR));
    }

    #[test]
    fn the_longest_target_says_and_what_is_not_understood_is_info() {
        let levels = Levels::parse("off,vpmesh=warn,vpmesh::os=debug");
        assert!(levels.pass("vpmesh::os::tun", Level::DEBUG) && !levels.pass("vpmesh::os", Level::TRACE));
        assert!(levels.pass("vpmesh::engine", Level::WARN) && !levels.pass("vpmesh::engine", Level::INFO));
        assert!(!levels.pass("tokio", Level::ERROR));
        let loud = Levels::parse("loud");
        assert!(loud.pass("vpmesh", Level::INFO) && !loud.pass("vpmesh", Level::DEBUG));
    }

    #[test]
    fn a_value_begins_no_line_of_its_own() {
        let mut text = String::new();
        write!(Plain(&mut text), "no\nERROR \x1b[2J é").unwrap();
        assert_eq!(text, "no\\nERROR \\u{1b}[2J é");
    }
}
