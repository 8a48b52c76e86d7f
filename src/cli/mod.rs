//! Floor 7: the command line. One binary: `vpmesh run`, and every tool.
//!
//! A tool prints for people, or with `--json` for programs; what went wrong is on stderr with its mend. Colour only on
//! a terminal.

mod amount;
mod client;
mod explain;
mod flows;
mod output;
mod peers;
mod reload;
mod run;
mod status;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{CONFIG_FILE, CONTROL_SOCKET};
use crate::daemon::configuration;

/// A virtual private mesh for rooms, stations and applications.
#[derive(Debug, Parser)]
#[command(name = "vpmesh", version, disable_help_subcommand = true)]
struct Arguments {
    /// The node's configuration.
    #[arg(long, global = true, value_name = "FILE", default_value = CONFIG_FILE)]
    config: PathBuf,
    /// The running daemon's control socket, else the configuration's.
    #[arg(long, global = true, value_name = "SOCKET")]
    control: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon, in the foreground.
    Run,
    /// Tell whether a flow would pass, and each border's say: exit 0 allowed, 1 denied, 2 cannot tell.
    Explain(explain::Explain),
    /// What is up, what passed, and what was turned away and why.
    Status(Print),
    /// The live flows.
    Flows(Print),
    /// The WireGuard peers.
    Peers(Print),
    /// Read the rosters and the configuration again, or nothing at all.
    Reload(Print),
}

/// How to print.
#[derive(Debug, clap::Args)]
struct Print {
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Runs the command line; the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let socket = || socket(&arguments);
    match &arguments.command {
        Command::Run => run::run(&arguments.config),
        Command::Explain(explain) => explain::explain(explain, &socket()),
        Command::Status(print) => status::status(&socket(), print.json),
        Command::Flows(print) => flows::flows(&socket(), print.json),
        Command::Peers(print) => peers::peers(&socket(), print.json),
        Command::Reload(print) => reload::reload(&socket(), print.json),
    }
}

/// The control socket: as told, else as configured, else the usual one. A configuration that can't be read doesn't keep
/// anybody from asking a daemon that runs.
fn socket(arguments: &Arguments) -> PathBuf {
    if let Some(socket) = &arguments.control {
        return socket.clone();
    }
    configuration::read(&arguments.config)
        .map_or_else(|_| Path::new(CONTROL_SOCKET).to_owned(), |c| c.control)
}
