//! Logs go to stderr: systemd and procd take them from there and add the time themselves.

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config;

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
    let layer = if terminal { layer.boxed() } else { layer.without_time().boxed() };
    let begun = tracing_subscriber::registry().with(layer.with_filter(targets(asked))).try_init();
    if let (Ok(()), Err(fault)) = (begun, config::levels(asked)) {
        tracing::warn!("{LEVEL_VARIABLE} {fault}; logging at info");
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
    use tracing::Level;

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
