//! `vpmesh reload`.

use std::path::Path;
use std::process::ExitCode;

use super::output::{self, Output, exit, plain};
use super::{amount, client};
use crate::daemon::question::{Committed, Reloaded, Request};
use crate::engine::ReloadReport;

#[derive(Debug, clap::Args)]
pub(super) struct ReloadArgs {
    /// Go back to what was in force before after this many seconds, unless `vpmesh reload --commit` comes first.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    commit_within: Option<u32>,
    /// Confirm a reload that would be rolled back: what is in force stays.
    #[arg(long, conflicts_with = "commit_within")]
    commit: bool,
    #[command(flatten)]
    print: super::Print,
}

pub(super) fn reload(socket: &Path, args: &ReloadArgs) -> ExitCode {
    exit(if args.commit { commit(socket, args.print.json) } else { ask(socket, args) })
}

fn ask(socket: &Path, args: &ReloadArgs) -> Result<(), String> {
    let request = Request::Reload { within: args.commit_within };
    let line = client::ask(socket, &request).map_err(|error| match error {
        client::AskError::Refused(why) => format!("not reloaded, and what ran before runs on:\n{why}"),
        error => error.to_string(),
    })?;
    if args.print.json {
        return output::print(&(line + "\n")).map_err(|error| error.to_string());
    }
    let Reloaded { reloaded, errors, notes, within } =
        client::parse(socket, &line).map_err(|error| error.to_string())?;
    let mut output = Output::new();
    output.line(format_args!("reloaded: {}", sentence(&reloaded)));
    print_errors(&mut output, &errors);
    for note in &notes {
        output.line(format_args!("note: {}", plain(note)));
    }
    if let Some(within) = within {
        output.line(format_args!(
            "not confirmed: in {} it is rolled back, unless `vpmesh reload --commit` comes first",
            amount::time(within.into())
        ));
    }
    output.print().map_err(|error| error.to_string())
}

fn commit(socket: &Path, json: bool) -> Result<(), String> {
    let line = client::ask(socket, &Request::Commit).map_err(|error| error.to_string())?;
    if json {
        return output::print(&(line + "\n")).map_err(|error| error.to_string());
    }
    let Committed { errors, .. } = client::parse(socket, &line).map_err(|error| error.to_string())?;
    let mut output = Output::new();
    output.line("confirmed: what is in force stays");
    print_errors(&mut output, &errors);
    output.print().map_err(|error| error.to_string())
}

fn print_errors(output: &mut Output, errors: &[String]) {
    for error in errors {
        output.line(format_args!("error: {}", plain(error)));
    }
}

/// What a reload changed.
pub(super) fn sentence(report: &ReloadReport) -> String {
    let in_kernel = match report.kernel_flows_cut {
        0 => String::new(),
        cut => format!(", {cut} more in the kernel"),
    };
    format!(
        "{}, {}; {} added, {} removed, {} cut{in_kernel}",
        amount::count(report.owners, "owner"),
        amount::count(report.nodes, "node"),
        amount::count(report.peers_added, "peer"),
        report.peers_removed,
        amount::count(report.flows_cut, "flow"),
    )
}
