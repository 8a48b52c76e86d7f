//! From files on disk to rosters in force, and back: what was accepted is kept.
//!
//! It reads, verifies, joins and judges, which may take seconds for a large mesh: it runs beside the event loop, and
//! hands over a set that is whole.

use std::sync::Arc;

use crate::base::signify::{self, OwnerKey, SignifyError};
use crate::config::{Config, OwnerKeySource};
use crate::mesh::accept::{self, InForce, Own};
use crate::os::store::{Found, Store};
use crate::os::whole_file::{self, FileError};
use crate::roster::{Fault, Line, Model};

/// Rosters that stand beside each other.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub model: Arc<Model>,
    /// For the log at ERROR: what is refused, or could not be read.
    pub errors: Vec<String>,
    /// For the log at WARN.
    pub notes: Vec<String>,
    in_force: Arc<InForce>,
}

/// Why nothing was loaded; every fault on a line of its own.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the owner's key: {0}; `vpmesh owner new` writes NAME.pub, and owner_key names it")]
    OwnerKeyFile(FileError),
    #[error("{path}: {error}; put the owner's public key there, as `vpmesh owner new` wrote it")]
    OwnerKey { path: String, error: SignifyError },
    #[error("the rosters: {0}; make the folder, with NAME.toml and NAME.toml.sig in it")]
    Folder(FileError),
    #[error("{}", .0.join("\n"))]
    Rosters(Vec<String>),
}

/// What is done with rosters that were put in force for a while and never confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unconfirmed {
    /// What was accepted before stands in for them.
    LeaveOut,
    /// They are rosters like others: somebody asks for it.
    Take,
}

/// Reads the rosters' folder. With nothing `running` it is a start: what can't be accepted is left out, or what was
/// accepted before stands in for it. Else it is a reload: all of it or nothing.
///
/// # Errors
/// [`Refusal`]: there is nothing to serve, or `running` stays in force.
pub fn load(config: &Config, running: Option<&Loaded>, unconfirmed: Unconfirmed) -> Result<Loaded, Refusal> {
    let own = Own { owner: config.node.owner().clone(), key: owner_key(&config.owner_key)? };
    let store = Store::new(&config.rosters);
    let mut found = store.read().map_err(Refusal::Folder)?;
    if let Some(running) = running {
        unread(&store, &found, running)?;
    }
    if unconfirmed == Unconfirmed::LeaveOut {
        leave_out_unconfirmed(&mut found, running);
    }
    let tests = &accept::failing_tests;
    let result = match running {
        None => accept::start(&own, &found.offers, &found.kept, tests),
        Some(running) => accept::reload(&own, &found.offers, &running.in_force, tests),
    };
    let told = |faults: &[Fault]| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let in_force = result.map_err(|refusals| {
        let lines = refusals.iter().flat_map(|refusal| told(&refusal.faults));
        Refusal::Rosters(lines.chain(told(&found.notes)).collect())
    })?;
    let errors = in_force.refusals.iter().flat_map(|refusal| told(&refusal.faults)).collect();
    let notes = told(&found.notes).into_iter().chain(told(&in_force.notes)).collect();
    Ok(Loaded { model: Arc::clone(&in_force.model), errors, notes, in_force: Arc::new(in_force) })
}

impl Loaded {
    /// Keeps on disk what is in force now, so that the node never goes back; once the engine serves it. A disk that is
    /// full or read-only changes nothing of what runs.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(&self, config: &Config) -> Result<(), FileError> {
        Store::new(&config.rosters).keep(&self.in_force.kept).map(|_| ())
    }

    /// The contents here that are not of `before`.
    #[must_use]
    pub fn new_against(&self, before: &Self) -> Vec<[u8; 32]> {
        let known = |hash: &[u8; 32]| before.in_force.kept.iter().any(|kept| kept.hash == *hash);
        let hashes = self.in_force.rosters.iter().map(|accepted| accepted.kept.hash);
        hashes.filter(|hash| !known(hash)).collect()
    }
}

/// Writes down on disk which contents are in force and not confirmed: a start does without them.
///
/// # Errors
/// The system's.
pub fn doubt(config: &Config, hashes: &[[u8; 32]]) -> Result<(), FileError> {
    Store::new(&config.rosters).set_unconfirmed(Some(hashes))
}

/// A confirmation is waited for no more.
///
/// # Errors
/// The system's.
pub fn trust(config: &Config) -> Result<(), FileError> {
    Store::new(&config.rosters).set_unconfirmed(None)
}

/// Puts what was accepted before in the place of rosters that were never confirmed; who had none is left out.
fn leave_out_unconfirmed(found: &mut Found, running: Option<&Loaded>) {
    let before = running.map_or(&found.kept, |running| &running.in_force.kept);
    for mut offer in std::mem::take(&mut found.offers) {
        let hash = accept::hash(&offer.bytes);
        let kept = before.iter().find(|kept| kept.owner == offer.owner);
        if !found.unconfirmed.contains(&hash) || kept.is_some_and(|kept| kept.hash == hash) {
            found.offers.push(offer);
            continue;
        }
        found.notes.push(Fault {
            file: offer.file.clone(),
            line: Line(0),
            what:
                "was put in force for a while and never confirmed; what was accepted before stands in for it"
                    .into(),
            mend: "`vpmesh reload` takes it for good".into(),
        });
        if let Some(kept) = kept {
            offer.file = format!("{}.toml (the copy accepted before)", offer.owner).into();
            offer.bytes = kept.bytes.clone();
            offer.signature = Some(kept.signature.clone());
            found.offers.push(offer);
        }
    }
}

/// A roster in force whose file is there and can't be read is no roster that was taken away.
fn unread(store: &Store, found: &Found, running: &Loaded) -> Result<(), Refusal> {
    let gone = |owner: &crate::base::Name| found.offers.iter().all(|offer| offer.owner != *owner);
    let there =
        |owner: &crate::base::Name| store.folder().join(format!("{owner}.toml")).symlink_metadata().is_ok();
    let mut owners = running.model.owners.iter().map(|owner| &owner.roster.owner);
    if owners.any(|owner| gone(owner) && there(owner)) {
        return Err(Refusal::Rosters(found.notes.iter().map(ToString::to_string).collect()));
    }
    Ok(())
}

fn owner_key(source: &OwnerKeySource) -> Result<OwnerKey, Refusal> {
    match source {
        OwnerKeySource::Literal(key) => Ok(*key),
        OwnerKeySource::File(path) => {
            let text = whole_file::read_text(path, signify::FILE_MAX).map_err(Refusal::OwnerKeyFile)?;
            OwnerKey::parse_file(&text)
                .map_err(|error| Refusal::OwnerKey { path: path.display().to_string(), error })
        }
    }
}
