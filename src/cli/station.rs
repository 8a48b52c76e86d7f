//! `vpmesh station add`: one more station in a roster, and what its WireGuard app needs.
//!
//! The private key is made here and goes to the station's file and QR code only. The roster gets the public key.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use ipnetwork::IpNetwork;
use zeroize::Zeroizing;

use super::key::no_randomness;
use super::owner::write_over;
use super::qr::qr;
use super::rosters::{self, Sheet};
use crate::base::signify::OwnerKey;
use crate::base::{Name, NodePath, PrivateKey};
use crate::os::whole_file;
use crate::roster::model::NodeKind;
use crate::roster::{self, MeshNode, Model, Room, Roster, edit};

#[derive(Debug, clap::Args)]
pub struct StationArgs {
    #[command(subcommand)]
    command: StationCommand,
}

#[derive(Debug, clap::Subcommand)]
enum StationCommand {
    /// Add a station to a roster, and make its WireGuard configuration.
    Add(AddArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// OWNER/ROOM/NAME
    path: NodePath,
    /// The owner's roster; it is changed in place.
    #[arg(long)]
    roster: PathBuf,
    /// A plain host behind the gateway: no key, no configuration.
    #[arg(long, conflicts_with_all = ["out", "internet", "mtu", "gateway"])]
    lan: bool,
    /// Its IPv4 address, of the owner's claim.
    #[arg(long)]
    ipv4: Option<Ipv4Addr>,
    /// A tag; may be given several times.
    #[arg(long = "tag")]
    tags: Vec<Name>,
    /// Write the configuration to this new file (mode 0600); left out: print it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Send the station's internet traffic through the gateway too.
    #[arg(long)]
    internet: bool,
    /// The gateway to use; the room's first with an endpoint, if left out.
    #[arg(long)]
    gateway: Option<Name>,
    /// The owner's public key, RWQ…, or its file; OWNER.pub beside the roster, if left out.
    #[arg(long)]
    owner_key: Option<String>,
    /// Bytes of the largest packet inside the tunnel.
    #[arg(long, default_value_t = 1420, value_parser = clap::value_parser!(u16).range(1280..=9000))]
    mtu: u16,
}

/// Runs `vpmesh station …`.
///
/// # Errors
/// What a person can mend. Faults of a roster are printed, and the exit code is 1.
pub fn run(args: StationArgs) -> anyhow::Result<ExitCode> {
    let StationCommand::Add(args) = args.command;
    match Sheet::read(&args.roster) {
        Ok(sheet) => add(&args, sheet),
        Err(faults) => refuse(&faults),
    }
}

fn refuse(faults: &roster::Faults) -> anyhow::Result<ExitCode> {
    rosters::say(&faults.0);
    Ok(ExitCode::FAILURE)
}

fn add(args: &AddArgs, sheet: Sheet) -> anyhow::Result<ExitCode> {
    let [owner, room, name] = args.path.segments() else { bail!("{}: write OWNER/ROOM/NAME", args.path) };
    let file = args.roster.display();
    if *owner != sheet.roster.owner {
        bail!("{file}: is the roster of \"{}\", not of \"{owner}\"", sheet.roster.owner);
    }
    let key = PrivateKey::generate().map_err(no_randomness)?;
    let station = edit::NewStation {
        name: name.clone(),
        key: (!args.lan).then(|| key.public()),
        ipv4: args.ipv4,
        tags: args.tags.clone(),
    };
    let text = std::str::from_utf8(&sheet.bytes).context("a roster that was parsed is text")?;
    let (text, line) = edit::add_station(text, room, &station).map_err(|e| anyhow::anyhow!("{file}: {e}"))?;
    let roster = match roster::parse(&sheet.roster.file, text.as_bytes()) {
        Ok(roster) => Arc::new(roster),
        Err(faults) => return refuse(&faults),
    };
    let new = Sheet { roster, bytes: text.into_bytes(), ..sheet };
    let owner_key = match &args.owner_key {
        Some(text) => Some(rosters::owner_key(text)?),
        None => rosters::known_key(&new, &[]),
    };
    if args.lan {
        write_over(&args.roster, &new.bytes)?;
    } else {
        let Some(owner_key) = owner_key else {
            bail!(
                "{}: is not there, and addresses follow from it; put it there or give --owner-key",
                new.beside("pub").display()
            );
        };
        let model = match rosters::join_as(&new, Some(owner_key), &[]) {
            Ok(joined) => joined.model,
            Err(faults) => return refuse(&faults),
        };
        let config = wg_quick(&key, args, &model, owner_key)?;
        hand_over(args, &new.bytes, &config)?;
    }
    eprintln!("{file}:{line}: {} is added; sign it: vpmesh owner sign {file} --serial auto", args.path);
    Ok(ExitCode::SUCCESS)
}

/// Gives the configuration to the person and the public key to the roster: both or neither.
fn hand_over(args: &AddArgs, roster: &[u8], config: &str) -> anyhow::Result<()> {
    if let Some(out) = &args.out {
        whole_file::write_new(out, config.as_bytes(), 0o600)?;
    }
    if let Err(error) = write_over(&args.roster, roster) {
        if let Some(out) = &args.out {
            // Nobody knows its key.
            let _ = std::fs::remove_file(out);
        }
        return Err(error);
    }
    let mut stdout = std::io::stdout().lock();
    let is_terminal = stdout.is_terminal();
    if args.out.is_none() {
        stdout.write_all(config.as_bytes())?;
    }
    // A configuration that goes down a pipe is to be just that.
    if is_terminal || args.out.is_some() {
        match qr(config, is_terminal) {
            Some(code) => writeln!(stdout, "\n{}", code.as_str())?,
            None => eprintln!("the configuration is too long for a QR code; use the file"),
        }
    }
    Ok(())
}

/// A file for `wg-quick`, and for every WireGuard app.
fn wg_quick(
    key: &PrivateKey,
    args: &AddArgs,
    model: &Model,
    owner_key: OwnerKey,
) -> anyhow::Result<Zeroizing<String>> {
    let node = model.find(&args.path).map(|id| model.node(id)).context("the new station is in its roster")?;
    let roster = &model.owners[0].roster;
    let room = room(args, roster)?;
    let gateway = gateway(args, roster, room)?;
    let endpoint = gateway.endpoints.first().with_context(|| {
        format!("{}:{}: the gateway \"{}\" has no endpoints", roster.file, gateway.line, gateway.name)
    })?;
    debug_assert!(matches!(node.kind, NodeKind::Station { .. }));
    let addresses: Vec<_> = node.addresses().map(|address| IpNetwork::from(address).to_string()).collect();
    let mut allowed = prefixes(roster, owner_key);
    if args.internet {
        allowed = vec!["0.0.0.0/0".into(), "::/0".into()];
    }
    let private = Zeroizing::new(key.to_base64());
    // Grown in place it would leave copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(8192 + 64 * allowed.len()));
    write!(
        text,
        "[Interface]\n# {}\nPrivateKey = {}\nAddress = {}\nMTU = {}\n\n[Peer]\n# {}/{}/{}\nPublicKey = {}\n\
         AllowedIPs = {}\nEndpoint = {endpoint}\nPersistentKeepalive = 25\n",
        args.path,
        private.as_str(),
        addresses.join(", "),
        args.mtu,
        roster.owner,
        args.path.segments()[1],
        gateway.name,
        room.key.unwrap_or(gateway.key),
        allowed.join(", "),
    )?;
    Ok(text)
}

fn room<'r>(args: &AddArgs, roster: &'r Roster) -> anyhow::Result<&'r Room> {
    let name = &args.path.segments()[1];
    roster.rooms.iter().find(|room| room.name == *name).context("the room is in its roster")
}

fn gateway<'r>(args: &AddArgs, roster: &Roster, room: &'r Room) -> anyhow::Result<&'r MeshNode> {
    let at = format!("{}:{}: the room \"{}\"", roster.file, room.line, room.name);
    match &args.gateway {
        Some(wanted) => room
            .gateways
            .iter()
            .find(|gateway| gateway.name == *wanted)
            .with_context(|| format!("{at} has no gateway \"{wanted}\"")),
        None => room.gateways.iter().find(|gateway| !gateway.endpoints.is_empty()).with_context(|| {
            format!("{at} has no gateway with endpoints; write one, or add the station with --lan")
        }),
    }
}

/// What the mesh has: the prefixes of the owner and of its friends, as far as the roster tells.
fn prefixes(roster: &Roster, owner_key: OwnerKey) -> Vec<String> {
    let friends = roster.friends.iter().map(|friend| (friend.key, friend.ipv4.as_slice()));
    let own = std::iter::once((owner_key, roster.ipv4.as_slice()));
    let mut prefixes = Vec::new();
    for (key, ipv4) in own.chain(friends) {
        prefixes.extend(ipv4.iter().map(ToString::to_string));
        prefixes.push(key.prefix().to_string());
    }
    prefixes
}
