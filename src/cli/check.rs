//! `vpmesh check`: the configuration and rosters, without touching anything. Every error is FILE:LINE, what, the mend.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::rosters::{self, Sheet};
use crate::base::signify::{FILE_MAX, OwnerKey};
use crate::base::{Fault, Line, PublicKey};
use crate::config::{CONFIG_BYTES_MAX, Config, OwnerKeySource};
use crate::daemon::kernel;
use crate::daemon::room_key::{self, Weight};
use crate::mesh::accept::{self, Own};
use crate::os::key_file::{KeyFileError, read_private_key};
use crate::os::nft::{Nft, NftError};
use crate::os::store::Store;
use crate::os::whole_file;
use crate::roster::{Joined, Model};

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Rosters, signed or not; each is read beside the others. None: the configuration, and what it names.
    rosters: Vec<PathBuf>,
}

/// Runs `vpmesh check`.
///
/// # Errors
/// None: what is wrong is printed, and the exit code is 1.
pub fn run(args: &CheckArgs, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let config = match (config, args.rosters.is_empty()) {
        (Some(path), _) => Some(path),
        (None, true) => Some(super::usual_config()),
        (None, false) => None,
    };
    if let Some(path) = config {
        check_config(path, &mut report);
    }
    check_rosters(&args.rosters, &mut report);
    rosters::warn(&report.notes);
    rosters::say(&report.faults);
    if report.faults.is_empty() {
        for line in report.good {
            println!("{line}");
        }
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

/// What was found, each once.
#[derive(Debug, Default)]
struct Report {
    faults: Vec<Fault>,
    notes: Vec<Fault>,
    good: Vec<String>,
}

impl Report {
    fn faults(&mut self, faults: impl IntoIterator<Item = Fault>) {
        add(&mut self.faults, faults);
    }

    fn notes(&mut self, notes: impl IntoIterator<Item = Fault>) {
        add(&mut self.notes, notes);
    }

    fn fault(&mut self, path: &Path, what: impl Into<String>, mend: impl Into<String>) {
        let file = path.to_string_lossy().into();
        self.faults([Fault { file, line: Line(0), what: what.into(), mend: mend.into() }]);
    }
}

/// Two readers of one roster see the same.
fn add(list: &mut Vec<Fault>, more: impl IntoIterator<Item = Fault>) {
    for fault in more {
        if !list.contains(&fault) {
            list.push(fault);
        }
    }
}

/// Reads each roster as its owner's nodes would, with those of the others that are its friends.
fn check_rosters(paths: &[PathBuf], report: &mut Report) {
    let mut sheets = Vec::new();
    for path in paths {
        match Sheet::read(path) {
            Ok(sheet) => sheets.push(sheet),
            Err(faults) => report.faults(faults.0),
        }
    }
    for sheet in &sheets {
        let key = rosters::known_key(sheet, &sheets);
        match rosters::join_as(sheet, key, &sheets) {
            Ok(joined) => check_joined(sheet, joined, report),
            Err(faults) if key.is_some() => report.faults(faults.0),
            Err(_) => {
                let what =
                    format!("addresses are written in {}, and they can't be checked", sheet.path.display());
                report.fault(&sheet.beside("pub"), what, "put the owner's public key there");
            }
        }
    }
}

fn check_joined(sheet: &Sheet, joined: Joined, report: &mut Report) {
    report.notes(joined.notes);
    report.faults(joined.refused.into_iter().flat_map(|refused| refused.faults.0));
    let (failed, unknown) = rosters::failing_tests(&sheet.roster, &Arc::new(joined.model));
    report.faults(failed);
    report.notes(unknown);
    let roster = &sheet.roster;
    let stations: usize = roster.rooms.iter().map(|room| room.gateways.len() + room.stations.len()).sum();
    report.good.push(format!(
        "{}: good: {}, serial {}, {} rooms, {stations} stations, {} tests",
        sheet.path.display(),
        roster.owner,
        roster.serial,
        roster.rooms.len(),
        roster.tests.len()
    ));
}

/// Checks what `vpmesh run` would start with.
fn check_config(path: &Path, report: &mut Report) {
    let text = match whole_file::read_text(path, CONFIG_BYTES_MAX) {
        Ok(text) => text,
        Err(error) => return report.faults(rosters::unreadable(path, &error).0),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let config = match Config::parse(&path.to_string_lossy(), folder, &text) {
        Ok(config) => config,
        Err(faults) => return report.faults(faults.0),
    };
    let key = private_key(&config.private_key, "make one: `vpmesh key new FILE`", report);
    let room_key = config
        .room_key
        .as_deref()
        .map(|path| private_key(path, "copy it from another gateway of the room, or make the first", report));
    let owner_key = owner_key(&config, report);
    if let Some(owner_key) = owner_key {
        check_accepted(&config, owner_key, (key, room_key), report);
    }
    report.good.push(format!("{}: good: {}", path.display(), config.node));
}

fn private_key(path: &Path, make: &str, report: &mut Report) -> Option<PublicKey> {
    match read_private_key(path) {
        Ok(key) => return Some(key.public()),
        Err(KeyFileError::Key { error, .. }) => report.fault(path, format!("the private key {error}"), make),
        Err(KeyFileError::File(error @ whole_file::FileError::Readable { .. })) => {
            let mut fault = rosters::unreadable(path, &error).0;
            fault.iter_mut().for_each(|fault| {
                "a key that others have read is no secret any more".clone_into(&mut fault.mend)
            });
            report.faults(fault);
        }
        Err(KeyFileError::File(error)) => report.faults(rosters::unreadable(path, &error).0),
        Err(_) => report.fault(path, "there is no private key", make),
    }
    None
}

fn owner_key(config: &Config, report: &mut Report) -> Option<OwnerKey> {
    let path = match &config.owner_key {
        OwnerKeySource::Literal(key) => return Some(*key),
        OwnerKeySource::File(path) => path,
    };
    match whole_file::read_text(path, FILE_MAX) {
        Ok(text) => match OwnerKey::parse_file(&text) {
            Ok(key) => return Some(key),
            Err(error) => {
                report.fault(path, format!("the owner's key {error}"), "put the owner's .pub file there")
            }
        },
        Err(error) => report.faults(rosters::unreadable(path, &error).0),
    }
    None
}

/// Accepts rosters as at a start, and looks for this node in them.
fn check_accepted(
    config: &Config,
    key: OwnerKey,
    keys: (Option<PublicKey>, Option<Option<PublicKey>>),
    report: &mut Report,
) {
    let found = match Store::new(&config.rosters).read() {
        Ok(found) => found,
        Err(error) => return report.faults(rosters::unreadable(&config.rosters, &error).0),
    };
    report.notes(found.notes);
    let own = Own { owner: config.node.owner().clone(), key };
    match accept::start(&own, &found.offers, &found.kept, &accept::failing_tests) {
        Ok(set) => {
            report.faults(set.refusals.into_iter().flat_map(|refusal| refusal.faults));
            report.notes(set.notes);
            check_node(config, &set.model, keys.0, report);
            // One that can't be read was told of.
            if keys.1 != Some(None) {
                check_room_key(config, &set.model, keys.1.flatten(), report);
            }
        }
        Err(refusals) => report.faults(refusals.into_iter().flat_map(|refusal| refusal.faults)),
    }
}

/// Whether the kernel can enforce its half here.
fn check_kernel(config: &Config, model: &Model, report: &mut Report) {
    let hosts = kernel::lan_stations(model, config);
    if let Err(error @ NftError::NotFound) = Nft::find() {
        let what =
            format!("policy can't be enforced between the internet and LAN stations of this room: {error}");
        let fault = Fault {
            file: config.file.clone(),
            line: Line(0),
            what,
            mend: format!("without it {hosts} of them stay unpoliced, whatever fail_safe is; the mesh works"),
        };
        if hosts > 0 { report.faults([fault]) } else { report.notes([fault]) }
    }
}

fn check_room_key(config: &Config, model: &Model, own: Option<PublicKey>, report: &mut Report) {
    match room_key::fault(config, model, own) {
        Some((Weight::Unserved, fault)) => report.faults([fault]),
        Some((Weight::Odd, fault)) => report.notes([fault]),
        None => {}
    }
}

fn check_node(config: &Config, model: &Model, node_key: Option<PublicKey>, report: &mut Report) {
    let file = &model.owners[0].roster.file;
    let node = model.find(&config.node).map(|id| model.node(id));
    let is_mesh_node = |node: &&crate::roster::model::Node| {
        use crate::roster::model::NodeKind::{Gateway, Relay};
        matches!(node.kind, Gateway { .. } | Relay { .. })
    };
    let Some(node) = node.filter(is_mesh_node) else {
        let what = format!("node = \"{}\" is no gateway and no relay in {file}", config.node);
        return report.fault(
            Path::new(&*config.file),
            what,
            "name one that is there, or list it in the roster",
        );
    };
    check_kernel(config, model, report);
    let (Some(listed), Some(own)) = (node.key(), node_key) else { return };
    if listed != own {
        let what =
            format!("\"{}\" has the key {listed}, and this node's private key belongs to {own}", config.node);
        let mend = "write the node's public key into the roster".into();
        report.faults([Fault { file: file.clone(), line: node.line, what, mend }]);
    }
}
