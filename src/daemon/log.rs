//! Logs go to stderr: systemd takes them from there and adds the time itself. procd would write all of it at one level,
//! so on a router they go to the log's own socket.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config;
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
    let layer = fmt::layer().with_writer(io::stderr).with_ansi(colour).with_target(false);
    // Time is the terminal's to have; whoever else reads stderr stamps it.
    let layer = match log_socket() {
        Some(log) => layer.without_time().with_level(false).with_writer(log).boxed(),
        None if terminal => layer.boxed(),
        None => layer.without_time().boxed(),
    };
    let begun = tracing_subscriber::registry().with(layer.with_filter(targets(asked))).try_init();
    if let (Ok(()), Err(fault)) = (begun, config::levels(asked)) {
        tracing::warn!("{LEVEL_VARIABLE} {fault}; logging at info");
    }
}

/// The system's log, where the environment names its socket.
fn log_socket() -> Option<Log> {
    let path = std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty())?;
    Syslog::new(Path::new(&path)).ok().map(Log)
}

/// Writes events to the system's log, and to stderr while nobody reads that.
#[derive(Debug)]
struct Log(Syslog);

/// One event, on its way there.
struct Event<'a> {
    log: &'a Syslog,
    severity: Severity,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event { log: &self.0, severity: Severity::Info }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Event<'a> {
        Event { log: &self.0, severity: severity(*meta.level()) }
    }
}

/// tracing gives the whole text of an event at once.
impl Write for Event<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.log.line(self.severity, &String::from_utf8_lossy(text)).is_err() {
            io::stderr().write_all(text)?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
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

/// The levels asked for, with boringtun's and netlink's kept down: boringtun calls a session that ends an ERROR and a
/// handshake that begins a WARN, and both are every day's.
fn targets(levels: &str) -> Targets {
    let good = config::levels(levels).ok().and_then(|levels| levels.parse::<Targets>().ok());
    let asked = good.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let quiet = [
        ("boringtun", LevelFilter::WARN),
        ("boringtun::noise::timers", LevelFilter::OFF),
        ("netlink_proto", LevelFilter::ERROR),
    ];
    let named: Vec<String> = asked.iter().map(|(target, _)| target.to_owned()).collect();
    quiet
        .into_iter()
        .filter(|(target, _)| !named.iter().any(|name| name == target))
        .fold(asked, |targets, (target, level)| targets.with_target(target, level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boringtun_is_quiet_unless_it_is_asked_for_by_name() {
        let plain = targets("debug");
        assert!(plain.would_enable("vpmesh::engine", &Level::DEBUG));
        assert!(!plain.would_enable("boringtun::noise", &Level::INFO));
        assert!(!plain.would_enable("boringtun::noise::timers", &Level::ERROR));
        let asked = targets("info,boringtun=trace");
        assert!(asked.would_enable("boringtun::noise", &Level::TRACE));
        assert!(!asked.would_enable("boringtun::noise::timers", &Level::ERROR));
    }

    #[test]
    fn a_level_that_is_not_understood_is_info() {
        let targets = targets("loud");
        assert!(
            targets.would_enable("vpmesh", &Level::INFO) && !targets.would_enable("vpmesh", &Level::DEBUG)
        );
    }
}
