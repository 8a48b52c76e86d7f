//! `vpmesh key`: a node's WireGuard key. The private key goes into its own file and nowhere else.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use zeroize::Zeroizing;

use crate::base::PrivateKey;
use crate::os::whole_file;

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
        KeyCommand::New { file } => {
            let key = PrivateKey::generate().map_err(no_randomness)?;
            let text = Zeroizing::new(format!("{}\n", Zeroizing::new(key.to_base64()).as_str()));
            whole_file::write_new(&file, text.as_bytes(), 0o600)?;
            key
        }
        KeyCommand::Public { file } => read(&file)?,
    };
    println!("{}", key.public());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn no_randomness(error: getrandom::Error) -> anyhow::Error {
    anyhow::anyhow!("the system has no randomness to give: {error}")
}

fn read(file: &Path) -> anyhow::Result<PrivateKey> {
    const MOST: u64 = 4096;
    let (name, text) = if file == Path::new("-") {
        let mut text = Zeroizing::new(String::with_capacity(MOST as usize));
        std::io::stdin().take(MOST).read_to_string(&mut text).context("standard input")?;
        ("standard input".into(), text)
    } else {
        (file.to_string_lossy(), whole_file::read_secret(file)?)
    };
    text.parse().map_err(|error| anyhow::anyhow!("{name}: the private key {error}"))
}
