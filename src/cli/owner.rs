//! `vpmesh owner`: an owner's signing key; a roster signed, verified, published.
//!
//! A roster is signed only when it is good by itself, stands beside its friends' rosters that are at hand, passes its
//! own tests, and has a higher serial than the one signed last. What was signed last is in the comment of the `.sig`
//! file: nobody vouches for it, but this is the owner's own desk.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::key::no_randomness;
use super::publish::{Node, publish};
use super::rosters::{self, Sheet};
use crate::base::Name;
use crate::base::signify::{self, FILE_MAX, OwnerKey, OwnerSecret, Signature};
use crate::os::whole_file;
use crate::roster::{self, edit};

#[derive(Debug, clap::Args)]
pub struct OwnerArgs {
    #[command(subcommand)]
    command: OwnerCommand,
}

#[derive(Debug, clap::Subcommand)]
enum OwnerCommand {
    /// Make a signing key: NAME.sec, NAME.pub, and a roster to start with.
    New {
        name: Name,
        /// The folder for the files.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// Check a roster, run its tests, and sign it.
    Sign {
        roster: PathBuf,
        /// The signing key's file; OWNER.sec beside the roster, if left out.
        #[arg(long)]
        key: Option<PathBuf>,
        /// Write this serial into the roster; `auto` is one more than was signed last.
        #[arg(long, value_name = "N|auto")]
        serial: Option<Serial>,
    },
    /// Introduce a signed roster to one node of the mesh; it travels from there.
    Publish {
        roster: PathBuf,
        /// The mesh address of this station's gateway; else the daemon on this host.
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
    },
    /// Check a roster's signature.
    Verify {
        roster: PathBuf,
        /// The owner's public key, RWQ…, or its file.
        #[arg(long)]
        key: String,
    },
}

#[derive(Debug, Clone, Copy)]
enum Serial {
    Auto,
    Number(u64),
}

impl std::str::FromStr for Serial {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => {
                text.parse().ok().filter(|n| *n > 0).map(Self::Number).ok_or("write a number from 1, or auto")
            }
        }
    }
}

/// Runs `vpmesh owner …`.
///
/// # Errors
/// What a person can mend. Faults of a roster are printed, and the exit code is 1.
pub fn run(args: OwnerArgs, socket: &Path) -> anyhow::Result<ExitCode> {
    match args.command {
        OwnerCommand::New { name, dir } => new(&name, &dir),
        OwnerCommand::Sign { roster, key, serial } => sign(&roster, key, serial),
        OwnerCommand::Publish { roster, to } => {
            let node = to.as_deref().map_or(Node::Here(socket), Node::At);
            println!("{}", publish(&roster, &node)?);
            Ok(ExitCode::SUCCESS)
        }
        OwnerCommand::Verify { roster, key } => verify(&roster, &key),
    }
}

fn new(name: &Name, dir: &Path) -> anyhow::Result<ExitCode> {
    let file = |ending: &str| dir.join(format!("{name}.{ending}"));
    let (secret_file, public_file, roster_file) = (file("sec"), file("pub"), file("toml"));
    if public_file.exists() {
        bail!("{}: is there already; choose another name or folder", public_file.display());
    }
    let secret = OwnerSecret::generate().map_err(no_randomness)?;
    let key = secret.public();
    let text = secret.to_file(&format!("{name} secret key")).map_err(no_randomness)?;
    whole_file::write_new(&secret_file, text.as_bytes(), 0o600)?;
    whole_file::write_new(&public_file, key.to_file(&format!("{name} public key")).as_bytes(), 0o644)?;
    println!("{}  the signing key: keep it off the nodes, and keep a copy", secret_file.display());
    println!("{}  the public key, for nodes and friends: {key}", public_file.display());
    if !roster_file.exists() {
        whole_file::write_new(&roster_file, starter(name).as_bytes(), 0o644)?;
        println!("{}  a roster to start with", roster_file.display());
    }
    println!("{name} has the IPv6 prefix {}", key.prefix());
    Ok(ExitCode::SUCCESS)
}

fn starter(name: &Name) -> String {
    format!(
        "# The roster of {name}. Sign it after every change: vpmesh owner sign {name}.toml --serial auto\n\n\
         owner  = \"{name}\"\n\
         serial = 1                      # goes up with every signing\n\
         # ipv4 = \"10.88.0.0/16\"         # a claim, good where the reader grants it; IPv6 needs none\n\n\
         # Nothing leaves {name} and nothing comes in without a rule. Inside, all is open until a border is tightened.\n\n\
         [[egress]]\n\
         allow = [\"tcp/80\", \"tcp/443\", \"udp/443\", \"udp/123\", \"icmp\"]\n\
         to    = \"internet\"\n\n\
         [[room]]\n\
         name = \"home\"\n\n\
         # [[room.gateway]]\n\
         # name = \"gw\"\n\
         # key  = \"…\"                    # what `vpmesh key new FILE` prints on the gateway\n\
         # endpoints = [\"home.example.net:51888\"]\n\n\
         # Stations are added by: vpmesh station add {name}/home/laptop --roster {name}.toml\n"
    )
}

fn sign(path: &Path, key: Option<PathBuf>, serial: Option<Serial>) -> anyhow::Result<ExitCode> {
    let sheet = match Sheet::read(path) {
        Ok(sheet) => sheet,
        Err(faults) => return Ok(refuse(&faults.0)),
    };
    let key_file = key.unwrap_or_else(|| sheet.beside("sec"));
    let secret = whole_file::read_secret(&key_file)?;
    let secret = OwnerSecret::parse_file(&secret)
        .map_err(|error| anyhow::anyhow!("{}: the signing key {error}", key_file.display()))?;
    if let Some(known) = beside_key(&sheet)?
        && known != secret.public()
    {
        let beside = sheet.beside("pub");
        bail!(
            "{}: is not the public key of {}; sign with the owner's own",
            beside.display(),
            key_file.display()
        );
    }
    let signature_file = signature_of(path);
    let last = LastSigned::read(&signature_file, &sheet, secret.public());
    if last == LastSigned::ThisText && !matches!(serial, Some(Serial::Number(_))) {
        println!("{}: is signed already, serial {}", path.display(), sheet.roster.serial);
        return Ok(ExitCode::SUCCESS);
    }
    let sheet = match with_serial(sheet, serial, last)? {
        Ok(sheet) => sheet,
        Err(faults) => return Ok(refuse(&faults.0)),
    };
    if let Err(faults) = examine(&sheet, secret.public()) {
        return Ok(refuse(&faults));
    }
    let serial = sheet.roster.serial;
    let signature =
        secret.sign(&sheet.bytes).to_file(&format!("vpmesh {} serial {serial}", sheet.roster.owner));
    write_over(path, &sheet.bytes)?;
    whole_file::write_atomic(&signature_file, signature.as_bytes(), 0o644)?;
    println!("{}: signed, serial {serial}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn refuse(faults: &[roster::Fault]) -> ExitCode {
    rosters::say(faults);
    ExitCode::FAILURE
}

/// The `.pub` file beside a roster, if there is one.
fn beside_key(sheet: &Sheet) -> anyhow::Result<Option<OwnerKey>> {
    let path = sheet.beside("pub");
    if path.exists() { rosters::owner_key(&path.to_string_lossy()).map(Some) } else { Ok(None) }
}

/// NAME.toml.sig.
fn signature_of(roster: &Path) -> PathBuf {
    let mut path = roster.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// What the `.sig` file says was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastSigned {
    /// There is no signature, or one that doesn't say.
    Unknown,
    /// Something else with this serial.
    Serial(u64),
    /// The very text that is there.
    ThisText,
}

impl LastSigned {
    fn read(path: &Path, sheet: &Sheet, key: OwnerKey) -> Self {
        let Ok(text) = whole_file::read_text(path, FILE_MAX) else { return Self::Unknown };
        let signed = Signature::parse_file(text.as_bytes()).and_then(|s| key.verify(&sheet.bytes, &s));
        if signed.is_ok() {
            return Self::ThisText;
        }
        let serial =
            signify::comment(&text).and_then(|comment| comment.rsplit_once(" serial ")?.1.parse().ok());
        serial.map_or(Self::Unknown, Self::Serial)
    }
}

/// The roster with the serial that it is to be signed with.
fn with_serial(
    sheet: Sheet,
    wanted: Option<Serial>,
    last: LastSigned,
) -> anyhow::Result<Result<Sheet, roster::Faults>> {
    let written = sheet.roster.serial;
    let last = match last {
        LastSigned::Unknown => 0,
        LastSigned::Serial(serial) => serial,
        LastSigned::ThisText => written,
    };
    let serial = match wanted {
        None => written,
        Some(Serial::Number(number)) => number,
        Some(Serial::Auto) if written > last => written,
        Some(Serial::Auto) => last.saturating_add(1),
    };
    if serial <= last {
        bail!(
            "{}: serial {last} was signed before; sign with --serial auto, or write a higher one",
            sheet.path.display()
        );
    }
    if serial == written {
        return Ok(Ok(sheet));
    }
    let text = std::str::from_utf8(&sheet.bytes).context("a roster that was parsed is text")?;
    let bytes = edit::set_serial(text, serial)?.into_bytes();
    let roster = roster::parse(&sheet.roster.file, &bytes).map(Arc::new);
    Ok(roster.map(|roster| Sheet { roster, bytes, path: sheet.path }))
}

/// Joins a roster with those of its friends and runs its tests. Notes are said; the faults are given.
fn examine(sheet: &Sheet, key: OwnerKey) -> Result<(), Vec<roster::Fault>> {
    let (friends, faults) = rosters::friends_beside(sheet);
    rosters::warn(&faults);
    let joined = rosters::join_as(sheet, Some(key), &friends).map_err(|faults| faults.0)?;
    rosters::warn(&joined.notes);
    for refused in &joined.refused {
        rosters::warn(&refused.faults.0);
    }
    let (failed, unknown) = rosters::failing_tests(&sheet.roster, &Arc::new(joined.model));
    rosters::warn(&unknown);
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

/// Writes a roster whose text changed; its mode stays.
pub(super) fn write_over(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if whole_file::read(path, bytes.len()).is_ok_and(|before| before == bytes) {
        return Ok(());
    }
    // A link stays a link: what it points to is replaced.
    let path = path.canonicalize().with_context(|| path.display().to_string())?;
    let mode = path.metadata().map_or(0o644, |metadata| metadata.mode() & 0o777);
    Ok(whole_file::write_atomic(&path, bytes, mode)?)
}

fn verify(path: &Path, key: &str) -> anyhow::Result<ExitCode> {
    let key = rosters::owner_key(key)?;
    let bytes = whole_file::read(path, roster::ROSTER_BYTES_MAX)?;
    let signature_file = signature_of(path);
    let signature = whole_file::read(&signature_file, FILE_MAX)?;
    let checked = Signature::parse_file(&signature).and_then(|signature| key.verify(&bytes, &signature));
    checked.map_err(|error| anyhow::anyhow!("{}: the signature {error}", signature_file.display()))?;
    match roster::parse(&path.to_string_lossy(), &bytes) {
        Ok(roster) => {
            println!("{}: signed by {key}: {}, serial {}", path.display(), roster.owner, roster.serial);
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            println!("{}: signed by {key}, and at fault", path.display());
            Ok(refuse(&faults.0))
        }
    }
}
