//! `vpmesh explain FROM TO SERVICE`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::client;
use super::output::{self, Output, Paint, complain, plain};
use super::rosters::{Sheet, join_as, known_key};
use super::table::{Lean, Table};
use crate::daemon::question::{Request, party, service};
use crate::engine::ExplainAnswer;
use crate::engine::ExplainVerdict;
use crate::policy::Judge;
use crate::roster::{Party, Service};

/// The question.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// Where the flow starts: a node's path, an address, or `internet`.
    from: String,
    /// Where it ends.
    to: String,
    /// any, icmp, tcp/PORT, udp/FIRST-LAST, proto/NUMBER.
    service: String,
    /// Judge these rosters, unsigned as they are, instead of asking the daemon.
    #[arg(long, value_name = "FILE")]
    roster: Vec<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What can't be told.
const CANNOT_TELL: u8 = 2;

/// Explains; the exit code is the verdict.
pub(super) fn explain(question: &Explain, socket: &Path) -> ExitCode {
    match judge(question, socket) {
        Ok((json, answer)) => {
            let printed =
                if question.json { output::print(&(json + "\n")) } else { print(question, &answer) };
            match (printed, answer.verdict) {
                (Err(error), _) => {
                    complain(error);
                    ExitCode::from(CANNOT_TELL)
                }
                (Ok(()), ExplainVerdict::Allow) => ExitCode::SUCCESS,
                (Ok(()), ExplainVerdict::Deny) => ExitCode::FAILURE,
                (Ok(()), ExplainVerdict::Unknown) => ExitCode::from(CANNOT_TELL),
            }
        }
        Err(error) => {
            complain(error);
            ExitCode::from(CANNOT_TELL)
        }
    }
}

/// The answer as JSON, and read.
fn judge(question: &Explain, socket: &Path) -> Result<(String, ExplainAnswer), String> {
    let (from, to) = (party(&question.from)?, party(&question.to)?);
    let asked = service(&question.service)?;
    if !question.roster.is_empty() {
        let answer = offline(&question.roster, &from, &to, asked)?;
        let json = serde_json::to_string(&answer).map_err(|error| error.to_string())?;
        return Ok((json, answer));
    }
    let request = Request::Explain {
        from: question.from.clone(),
        to: question.to.clone(),
        service: question.service.clone(),
    };
    let json = client::ask(socket, &request).map_err(|error| error.to_string())?;
    let answer = client::parse(socket, &json).map_err(|error| error.to_string())?;
    Ok((json, answer))
}

/// Judges rosters by name, without their signatures, as the first one's owner reads them.
fn offline(files: &[PathBuf], from: &Party, to: &Party, service: Service) -> Result<ExplainAnswer, String> {
    let read = |path: &PathBuf| Sheet::read(path).map_err(|faults| faults.to_string());
    let sheets = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let Some((reader, others)) = sheets.split_first() else { return Err("name a roster".to_owned()) };
    let joined = join_as(reader, known_key(reader, others), others).map_err(|faults| faults.to_string())?;
    if let Some(refused) = joined.refused.first() {
        return Err(refused.faults.to_string());
    }
    let judge = Judge::new(Arc::new(joined.model));
    Ok(match judge.ask(from, to, service) {
        Ok(answer) => answer.explanation.into(),
        Err(why) => ExplainAnswer::unknown(&why.to_string()),
    })
}

fn print(question: &Explain, answer: &ExplainAnswer) -> std::io::Result<()> {
    let mut output = Output::new();
    let word = match answer.verdict {
        ExplainVerdict::Unknown => output.paint(Paint::Doubt, "cannot tell"),
        verdict => output.paint(paint(verdict), name(verdict)),
    };
    let why = answer.why.as_ref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
    output.line(format_args!("{} → {}, {}: {word}{why}", question.from, question.to, question.service));
    if answer.borders.is_empty() && answer.verdict != ExplainVerdict::Unknown {
        output.line("  no border lies between them");
    }
    let mut table = Table::new(&[
        ("", Lean::Left),
        ("", Lean::Left),
        ("", Lean::Left),
        ("", Lean::Left),
        ("", Lean::Left),
    ]);
    for border in &answer.borders {
        let place = match (&border.file, border.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, _) => String::new(),
        };
        let reason = match &border.rule {
            Some(rule) => format!("{} [{rule}]", border.reason),
            None => border.reason.clone(),
        };
        table.row([
            border.direction.clone(),
            border.border.clone(),
            name(border.verdict).to_owned(),
            plain(&reason),
            plain(&place),
        ]);
        table.paint(2, paint(border.verdict));
    }
    table.print(&mut output, 2);
    output.print()
}

fn name(verdict: ExplainVerdict) -> &'static str {
    match verdict {
        ExplainVerdict::Allow => "allow",
        ExplainVerdict::Deny => "deny",
        ExplainVerdict::Unknown => "unknown",
    }
}

fn paint(verdict: ExplainVerdict) -> Paint {
    match verdict {
        ExplainVerdict::Allow => Paint::Good,
        ExplainVerdict::Deny => Paint::Bad,
        ExplainVerdict::Unknown => Paint::Doubt,
    }
}
