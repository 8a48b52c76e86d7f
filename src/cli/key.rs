//! `vpmesh key`: a node's WireGuard key. The private key goes into its own file and nowhere else.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use zeroize::Zeroizing;

use crate::base::PrivateKey;
use crate::os::key_file::{new_private_key, read_private_key};

#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    /// Make a private key in a new file (mode 0600), and print its public key.
    New { file: PathBuf },
    /// Print the public key that belongs to a private one.
    Public {
        /// The private key's file; `-` reads it from standard input.
        file: PathBuf,
    },
}

/// Runs `vpmesh key …`.
///
/// # Errors
/// What a person can mend: a file that is there already, that others may read, that holds no key.
pub fn run(args: KeyArgs) -> anyhow::Result<ExitCode> {
    let key = match args.command {
        KeyCommand::New { file } => new_private_key(&file)?,
        KeyCommand::Public { file } => read(&file)?,
    };
    println!("{}", key.public());
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "desk")]
pub(super) fn no_randomness(error: getrandom::Error) -> anyhow::Error {
    anyhow::anyhow!("the system has no randomness to give: {error}")
}

fn read(file: &Path) -> anyhow::Result<PrivateKey> {
    const MOST: u64 = 4096;
    if file != Path::new("-") {
        return Ok(read_private_key(file)?);
    }
    let mut text = Zeroizing::new(String::with_capacity(MOST as usize));
    std::io::stdin().take(MOST).read_to_string(&mut text).context("standard input")?;
    text.parse().map_err(|error| anyhow::anyhow!("standard input: the private key {error}"))
}
