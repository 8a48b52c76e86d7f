//! One binary: `vpmesh run`, and every tool.

pub mod check;
pub mod key;
pub mod owner;
pub mod rosters;
pub mod station;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "vpmesh", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the configuration and rosters: every error as FILE:LINE, what, and the mend.
    Check(check::CheckArgs),
    /// An owner's key; a roster signed (tests first), verified.
    Owner(owner::OwnerArgs),
    /// A node's WireGuard key.
    Key(key::KeyArgs),
    /// Stations of a roster.
    Station(station::StationArgs),
}

/// Runs the command line; the exit code.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Check(args) => check::run(args),
        Command::Owner(args) => owner::run(args),
        Command::Key(args) => key::run(args),
        Command::Station(args) => station::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("vpmesh: {error:#}");
        ExitCode::FAILURE
    })
}
