//! `vpmesh reload`.

use std::path::Path;
use std::process::ExitCode;

use super::output::{self, Output, exit, plain};
use super::{amount, client};
use crate::daemon::question::{Reloaded, Request};
use crate::engine::ReloadReport;

pub(super) fn reload(socket: &Path, json: bool) -> ExitCode {
    exit(ask(socket, json))
}

fn ask(socket: &Path, json: bool) -> Result<(), String> {
    let line = client::ask(socket, &Request::Reload).map_err(|error| match error {
        client::AskError::Refused(why) => format!("not reloaded, and what ran before runs on:\n{why}"),
        error => error.to_string(),
    })?;
    if json {
        return output::print(&(line + "\n")).map_err(|error| error.to_string());
    }
    let Reloaded { reloaded, errors, notes } =
        client::parse(socket, &line).map_err(|error| error.to_string())?;
    let mut output = Output::new();
    output.line(format_args!("reloaded: {}", sentence(&reloaded)));
    for error in &errors {
        output.line(format_args!("error: {}", plain(error)));
    }
    for note in &notes {
        output.line(format_args!("note: {}", plain(note)));
    }
    output.print().map_err(|error| error.to_string())
}

/// What a reload changed.
pub(super) fn sentence(report: &ReloadReport) -> String {
    format!(
        "{}, {}; {} added, {} removed, {} cut",
        amount::count(report.owners, "owner"),
        amount::count(report.nodes, "node"),
        amount::count(report.peers_added, "peer"),
        report.peers_removed,
        amount::count(report.flows_cut, "flow"),
    )
}
