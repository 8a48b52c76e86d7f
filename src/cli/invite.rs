//! `vpmesh invite`: what an owner's desk tells a new node, in one line. Nothing of it is secret.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use super::output::print;
use super::qr::qr;
use super::rosters::{self, Sheet};
use crate::base::NodePath;
use crate::config::{INTRODUCERS_MAX, Introducer, Invitation};
use crate::roster::Roster;

#[derive(Debug, clap::Args)]
pub struct InviteArgs {
    /// The owner's roster.
    roster: PathBuf,
    /// What the new node is to be: OWNER/ROOM/GATEWAY or OWNER/RELAY. Left out, `vpmesh join` has to say.
    #[arg(long, value_name = "PATH")]
    node: Option<NodePath>,
    /// The owner's public key, RWQ…, or its file; OWNER.pub beside the roster, if left out.
    #[arg(long)]
    owner_key: Option<String>,
}

/// Runs `vpmesh invite`.
///
/// # Errors
/// What a person can mend. Faults of the roster are printed, and the exit code is 1.
pub fn run(args: &InviteArgs) -> anyhow::Result<ExitCode> {
    let sheet = match Sheet::read(&args.roster) {
        Ok(sheet) => sheet,
        Err(faults) => {
            rosters::say(&faults.0);
            return Ok(ExitCode::FAILURE);
        }
    };
    let file = args.roster.display();
    let owner_key = match &args.owner_key {
        Some(text) => Some(rosters::owner_key(text)?),
        None => rosters::known_key(&sheet, &[]),
    };
    let Some(owner_key) = owner_key else {
        bail!("{}: is not there; put it there or give --owner-key", sheet.beside("pub").display());
    };
    let introducers = introducers(&sheet.roster);
    if introducers.is_empty() {
        bail!("{file}: no gateway and no relay has endpoints; write one where a new node can reach it");
    }
    let node = match &args.node {
        Some(node) if *node.owner() != sheet.roster.owner => {
            bail!("{file}: is the roster of \"{}\", not of \"{}\"", sheet.roster.owner, node.owner())
        }
        Some(node) if !matches!(node.segments().len(), 2 | 3) => {
            bail!("{node}: write OWNER/ROOM/GATEWAY or OWNER/RELAY")
        }
        Some(node) => node.clone(),
        None => NodePath::owner_of(sheet.roster.owner.clone()),
    };
    let line = Invitation { node, owner_key, introducers }.to_string();
    print(&format!("{line}\n"))?;
    let is_terminal = std::io::stdout().is_terminal();
    // A line that goes down a pipe is to be just that.
    if is_terminal && let Some(code) = qr(&line, is_terminal) {
        print(&format!("\n{}\n", code.as_str()))?;
    }
    eprintln!("on the new node: vpmesh join '{line}'");
    Ok(ExitCode::SUCCESS)
}

/// The mesh nodes that can be reached: one endpoint of each first, so that the loss of one leaves others.
fn introducers(roster: &Roster) -> Vec<Introducer> {
    let gateways = roster.rooms.iter().flat_map(|room| &room.gateways);
    let nodes: Vec<_> = gateways.chain(&roster.relays).collect();
    let most = nodes.iter().map(|node| node.endpoints.len()).max().unwrap_or(0);
    let ranked = (0..most).flat_map(|rank| {
        nodes.iter().filter_map(move |node| {
            Some(Introducer { key: node.key, endpoint: node.endpoints.get(rank)?.clone() })
        })
    });
    ranked.take(INTRODUCERS_MAX).collect()
}
