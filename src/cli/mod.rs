//! Floor 7: the command line. One binary: `vpmesh run`, and every tool.
//!
//! A tool prints for people, or with `--json` for programs; what went wrong is on stderr with its mend. Colour only on
//! a terminal.

mod amount;
mod check;
mod client;
mod explain;
mod flows;
#[cfg(feature = "desk")]
mod invite;
mod join;
mod key;
mod output;
#[cfg(feature = "desk")]
mod owner;
mod peers;
#[cfg(feature = "desk")]
mod publish;
#[cfg(feature = "desk")]
mod qr;
mod reload;
pub mod rosters;
mod ruleset;
mod run;
#[cfg(feature = "desk")]
mod station;
mod status;
mod table;
mod topology;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{CONFIG_FILE, CONTROL_SOCKET, UCI_FILE};
use crate::daemon::configuration;
use crate::daemon::kernel::guard;

/// A virtual private mesh for rooms, stations and applications.
#[derive(Debug, Parser)]
#[command(name = "vpmesh", version, disable_help_subcommand = true)]
struct Arguments {
    /// The node's configuration; /etc/vpmesh/node.toml unless another is named, or /etc/config/vpmesh where there is
    /// only that.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
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
    Flows(flows::FlowsArgs),
    /// The WireGuard peers.
    Peers(Print),
    /// This node and its peers as a NetJSON NetworkGraph.
    Topology,
    /// Read the rosters and the configuration again, or nothing at all.
    Reload(reload::ReloadArgs),
    /// Print the kernel's half of policy as it would be loaded: an nft script, or with --json a transaction.
    Ruleset(ruleset::RulesetArgs),
    /// Check the configuration and rosters: every error as FILE:LINE, what, and the mend.
    Check(check::CheckArgs),
    /// An owner's key; a roster signed (tests first), verified, published.
    #[cfg(feature = "desk")]
    Owner(owner::OwnerArgs),
    /// Print the line that makes a new node of an owner's: its public key and where nodes can be reached.
    #[cfg(feature = "desk")]
    Invite(invite::InviteArgs),
    /// Make this node's key and configuration from such a line, and print the roster's entry.
    Join(join::JoinArgs),
    /// What outlives the daemon (`daemon::kernel::guard`).
    #[command(name = guard::COMMAND, hide = true)]
    Guard,
    /// A node's WireGuard key.
    Key(key::KeyArgs),
    /// Stations of a roster.
    #[cfg(feature = "desk")]
    Station(station::StationArgs),
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
    let config = arguments.config.as_deref().unwrap_or_else(|| usual_config());
    let socket = arguments.control.clone().unwrap_or_else(|| socket(config));
    let result = match arguments.command {
        Command::Ruleset(args) => ruleset::run(&args, config),
        Command::Check(args) => check::run(&args, arguments.config.as_deref()),
        #[cfg(feature = "desk")]
        Command::Owner(args) => owner::run(args, &socket),
        #[cfg(feature = "desk")]
        Command::Invite(args) => invite::run(&args),
        Command::Join(args) => join::run(&args, config),
        Command::Key(args) => key::run(args),
        #[cfg(feature = "desk")]
        Command::Station(args) => station::run(args),
        Command::Run => Ok(run::run(config)),
        Command::Explain(explain) => Ok(explain::explain(&explain, &socket)),
        Command::Status(print) => Ok(status::status(&socket, print.json)),
        Command::Flows(args) => Ok(flows::flows(&socket, &args)),
        Command::Peers(print) => Ok(peers::peers(&socket, print.json)),
        Command::Topology => Ok(topology::topology(&socket)),
        Command::Reload(args) => Ok(reload::reload(&socket, &args)),
        Command::Guard => Ok(output::exit(guard::keep_watch())),
    };
    result.unwrap_or_else(|error| {
        output::complain(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

/// Where the configuration is when nobody says.
fn usual_config() -> &'static Path {
    let (file, uci) = (Path::new(CONFIG_FILE), Path::new(UCI_FILE));
    if !file.exists() && uci.exists() { uci } else { file }
}

/// The control socket: as configured, else the usual one. A configuration that can't be read doesn't keep anybody from
/// asking a daemon that runs.
fn socket(config: &Path) -> PathBuf {
    configuration::read(config).map_or_else(|_| Path::new(CONTROL_SOCKET).to_owned(), |config| config.control)
}
