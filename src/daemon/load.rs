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
use crate::roster::{Fault, Model};

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

/// Reads the rosters' folder. With nothing `running` it is a start: what can't be accepted is left out, or what was
/// accepted before stands in for it. Else it is a reload: all of it or nothing.
///
/// # Errors
/// [`Refusal`]: there is nothing to serve, or `running` stays in force.
pub fn load(config: &Config, running: Option<&Loaded>) -> Result<Loaded, Refusal> {
    let own = Own { owner: config.node.owner().clone(), key: owner_key(&config.owner_key)? };
    let store = Store::new(&config.rosters);
    let found = store.read().map_err(Refusal::Folder)?;
    let tests = &accept::failing_tests;
    let result = match running {
        None => accept::start(&own, &found.offers, &found.kept, tests),
        Some(running) => {
            unread(&store, &found, running)?;
            accept::reload(&own, &found.offers, &running.in_force, tests)
        }
    };
    let told = |faults: &[Fault]| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let in_force = result.map_err(|refusals| {
        let lines = refusals.iter().flat_map(|refusal| told(&refusal.faults));
        Refusal::Rosters(lines.chain(told(&found.notes)).collect())
    })?;
    let mut errors: Vec<_> = in_force.refusals.iter().flat_map(|refusal| told(&refusal.faults)).collect();
    // A disk that is full or read-only is said, and changes nothing of what runs.
    if let Err(error) = store.keep(&in_force.kept) {
        errors.push(format!("accepted rosters can't be kept on disk: {error}"));
    }
    let notes = told(&found.notes).into_iter().chain(told(&in_force.notes)).collect();
    Ok(Loaded { model: Arc::clone(&in_force.model), errors, notes, in_force: Arc::new(in_force) })
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
