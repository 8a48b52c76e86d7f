//! `vpmesh join`: a fresh node's key and configuration, from the line that `vpmesh invite` printed.
//!
//! The private key is made here and stays here. What goes back to the owner's desk is the roster entry, printed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::output::print;
use crate::base::{Endpoint, NodePath, PublicKey};
use crate::config::{CONFIG_BYTES_MAX, Config, Invitation, UCI_FILE, UCI_FOLDER, uci_text};
use crate::os::key_file::{KeyFileError, new_private_key, read_private_key};
use crate::os::whole_file;

#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// The line that `vpmesh invite` printed.
    line: Invitation,
    /// What this node is: OWNER/ROOM/GATEWAY or OWNER/RELAY; the line's, if left out.
    #[arg(long, value_name = "PATH")]
    node: Option<NodePath>,
    /// Where others can reach this node, HOST:PORT, for the roster's entry; may be given several times.
    #[arg(long = "endpoint", value_name = "ENDPOINT")]
    endpoints: Vec<Endpoint>,
}

/// Runs `vpmesh join`. `config` is the file to write.
///
/// # Errors
/// What a person can mend; nothing that was there is overwritten.
pub fn run(args: &JoinArgs, config: &Path) -> anyhow::Result<ExitCode> {
    let node = args.node.as_ref().unwrap_or(&args.line.node);
    if node.owner() != args.line.node.owner() {
        bail!("{node}: the line is of \"{}\", not of \"{}\"", args.line.node.owner(), node.owner());
    }
    if !matches!(node.segments().len(), 2 | 3) {
        bail!("{node}: say what this node is with --node: OWNER/ROOM/GATEWAY or OWNER/RELAY");
    }
    let invitation = Invitation { node: node.clone(), ..args.line.clone() };
    let plan = Plan::new(config, &invitation)?;
    for folder in [plan.key.parent(), Some(plan.rosters.as_path())].into_iter().flatten() {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: can't be made", folder.display()))?;
    }
    let public = key(&plan.key)?;
    match plan.mode {
        Some(mode) => whole_file::write_atomic(config, plan.text.as_bytes(), mode)?,
        None => whole_file::write_new(config, plan.text.as_bytes(), 0o644)?,
    }
    print(&entry(node, public, &args.endpoints))?;
    eprintln!(
        "{} and {} are written; the lines above belong into {}'s roster, signed and published",
        config.display(),
        plan.key.display(),
        node.owner()
    );
    Ok(ExitCode::SUCCESS)
}

/// What will be written.
struct Plan {
    /// Of the configuration that is changed; `None`: there is none yet.
    mode: Option<u32>,
    text: String,
    key: PathBuf,
    rosters: PathBuf,
}

impl Plan {
    fn new(path: &Path, invitation: &Invitation) -> anyhow::Result<Self> {
        let old = match whole_file::read_text(path, CONFIG_BYTES_MAX) {
            Ok(text) => Some(text),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        let text = match &old {
            None if path == Path::new(UCI_FILE) => uci(path, "config node 'main'\n", invitation)?,
            None => toml(invitation),
            Some(old) => uci(path, old, invitation)?,
        };
        let folder = std::path::absolute(path)?;
        let folder = folder.parent().unwrap_or(Path::new("/"));
        let config = Config::parse(&path.to_string_lossy(), folder, &text)?;
        let mode = match &old {
            Some(_) => Some(std::fs::metadata(path)?.permissions().mode() & 0o7777),
            None => None,
        };
        Ok(Self { mode, text, key: config.private_key, rosters: config.rosters })
    }
}

fn toml(invitation: &Invitation) -> String {
    let introducers: Vec<_> = invitation.introducers.iter().map(|one| format!("    \"{one}\",\n")).collect();
    format!(
        "# Made by `vpmesh join`.\nnode        = \"{}\"\nprivate_key = \"node.key\"\nowner_key   = \"{}\"\n\
         rosters     = \"rosters\"\nintroducers = [\n{}]\n",
        invitation.node,
        invitation.owner_key,
        introducers.concat(),
    )
}

/// A router's configuration changed in place: what it had besides stays.
fn uci(path: &Path, old: &str, invitation: &Invitation) -> anyhow::Result<String> {
    let file = path.display();
    if !uci_text::is_uci(old) {
        bail!("{file}: is there already, and is not overwritten; name another with --config");
    }
    if uci_text::get(old, "node").is_some_and(|had| had != invitation.node.to_string()) {
        bail!("{file}: is of another node already, and is not overwritten");
    }
    let mut lines = vec![
        "option enabled '1'".to_owned(),
        format!("option node '{}'", invitation.node),
        format!("option owner_key '{}'", invitation.owner_key),
    ];
    if uci_text::get(old, "private_key").is_none() {
        lines.push(format!("option private_key '{UCI_FOLDER}/node.key'"));
    }
    lines.extend(invitation.introducers.iter().map(|one| format!("list introducers '{one}'")));
    Ok(uci_text::set(old, &lines))
}

/// The node's key: the one that is there, else a new one.
fn key(path: &Path) -> anyhow::Result<PublicKey> {
    let key = match read_private_key(path) {
        Err(KeyFileError::Missing { .. }) => new_private_key(path),
        there => there,
    };
    Ok(key?.public())
}

/// What the owner's roster is to have.
fn entry(node: &NodePath, key: PublicKey, endpoints: &[Endpoint]) -> String {
    let (header, place) = match node.segments() {
        [_, room, _] => ("[[room.gateway]]", format!("in the room \"{room}\"")),
        _ => ("[[relay]]", "beside the rooms".to_owned()),
    };
    let name = node.segments().last().map(ToString::to_string).unwrap_or_default();
    let endpoints: Vec<_> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
    format!(
        "# {place} of {}'s roster\n{header}\nname = \"{name}\"\nkey  = \"{key}\"\nendpoints = [{}]\n",
        node.owner(),
        endpoints.join(", ")
    )
}
