//! From files on disk to rosters in force, and back: what was accepted is kept.
//!
//! It reads, verifies, joins and judges, which may take seconds for a large mesh: it runs beside the event loop, and
//! hands over a set that is whole.

use std::sync::Arc;

use super::room_key::RoomKey;
use crate::base::Name;
use crate::base::signify::{self, OwnerKey, SignifyError};
use crate::config::{Config, OwnerKeySource};
use crate::mesh::accept::{self, InForce, Kept, Meaning, NotAccepted, Offer, Own};
use crate::mesh::sync::Shelf;
use crate::os::store::{Found, Store};
use crate::os::whole_file::{self, FileError};
use crate::roster::{Fault, Line, Model, ROSTER_BYTES_MAX};

/// Rosters that stand beside each other.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub model: Arc<Model>,
    /// For the log at ERROR: what is refused, or could not be read.
    pub errors: Vec<String>,
    /// For the log at WARN.
    pub notes: Vec<String>,
    pub room_key: RoomKey,
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

/// A roster in force that the disk had no room for.
#[derive(Debug, Clone)]
pub struct Unstored {
    offer: Offer,
    /// The hash of the file that is in its place, if there is one.
    instead_of: Option<[u8; 32]>,
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
pub fn load(
    config: &Config,
    running: Option<&Loaded>,
    unstored: &[Unstored],
    unconfirmed: Unconfirmed,
) -> Result<Loaded, Refusal> {
    let own = own(config)?;
    let store = Store::new(&config.rosters);
    let unfinished = store.finish().err();
    let mut found = store.read().map_err(Refusal::Folder)?;
    found.notes.extend(unfinished.map(|error| Fault {
        file: config.rosters.to_string_lossy().into(),
        line: Line(0),
        what: format!("a roster could not be put there: {error}"),
        mend: "make room on the disk".to_owned(),
    }));
    if let Some(running) = running {
        unread(&store, &found, running)?;
    }
    for unstored in unstored {
        unstored.put_into(&mut found);
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
    let room_key = RoomKey::read(config.room_key.as_deref(), running.map(|running| &running.room_key));
    Ok(Loaded::new(in_force, &found.notes, room_key))
}

/// Who this node belongs to.
///
/// # Errors
/// When its owner's key can't be read.
pub fn own(config: &Config) -> Result<Own, Refusal> {
    Ok(Own { owner: config.node.owner().clone(), key: owner_key(&config.owner_key)? })
}

/// Judges a roster that somebody gave, of this owner or, with none, of whoever signed it. `None`: it is in force
/// already.
///
/// # Errors
/// [`NotAccepted`]: what runs stays in force.
pub fn judge(
    config: &Config,
    running: Option<&Loaded>,
    owner: Option<&Name>,
    signature: &Arc<[u8]>,
    bytes: &Arc<[u8]>,
) -> Result<Option<(Name, Loaded)>, NotAccepted> {
    let not_now = |why: String| NotAccepted { why, meaning: Meaning::NotNow };
    let own = own(config).map_err(|refusal| not_now(refusal.to_string()))?;
    let in_force = running.map(|running| &*running.in_force);
    let owner = match owner {
        Some(owner) => owner.clone(),
        None => accept::signer(&own, in_force, signature, bytes).ok_or_else(|| NotAccepted {
            why: "its signature is by no owner who is accepted here".to_owned(),
            meaning: Meaning::Forged,
        })?,
    };
    let store = Store::new(&config.rosters);
    let found = match running {
        Some(_) => Found::default(),
        None => store.read().map_err(|error| not_now(error.to_string()))?,
    };
    let offer = Offer {
        file: store.folder().join(format!("{owner}.toml")).to_string_lossy().into(),
        owner: owner.clone(),
        bytes: bytes.clone(),
        signature: Some(signature.clone()),
    };
    let tests = &accept::failing_tests;
    let in_force = accept::offered(&own, offer, in_force, (&found.offers, &found.kept), tests)?;
    let room_key = match running {
        Some(running) => running.room_key.clone(),
        None => RoomKey::read(config.room_key.as_deref(), None),
    };
    Ok(in_force.map(|in_force| (owner, Loaded::new(in_force, &found.notes, room_key))))
}

impl Unstored {
    /// Stands in for the file that it could not replace, unless somebody else has replaced it.
    fn put_into(&self, found: &mut Found) {
        let there = found.offers.iter().position(|offer| offer.owner == self.offer.owner);
        let hash = there.map(|at| accept::hash(&found.offers[at].bytes));
        if hash == self.instead_of {
            found.offers.retain(|offer| offer.owner != self.offer.owner);
            found.offers.push(self.offer.clone());
        }
    }

    #[must_use]
    pub fn owner(&self) -> &Name {
        &self.offer.owner
    }
}

impl Loaded {
    fn new(in_force: InForce, found: &[Fault], room_key: RoomKey) -> Self {
        let told = |faults: &[Fault]| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        let errors = in_force.refusals.iter().flat_map(|refusal| told(&refusal.faults)).collect();
        let notes = told(found).into_iter().chain(told(&in_force.notes)).collect();
        Self { model: Arc::clone(&in_force.model), errors, notes, room_key, in_force: Arc::new(in_force) }
    }

    /// The serial of an owner's roster in force.
    #[must_use]
    pub fn serial(&self, owner: &Name) -> Option<u64> {
        let accepted = self.in_force.rosters.iter().find(|one| one.kept.owner == *owner)?;
        Some(accepted.kept.serial)
    }

    /// What others may have of it.
    #[must_use]
    pub fn shelf(&self, own: &Own) -> Shelf {
        Shelf::of(own, Some(&self.in_force))
    }

    /// Whether it is the same rosters, and the same key of the room.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let hashes =
            |loaded: &Self| loaded.in_force.rosters.iter().map(|one| one.kept.hash).collect::<Vec<_>>();
        let said = self.errors == other.errors && self.notes == other.notes;
        hashes(self) == hashes(other) && said && self.room_key.is_same(&other.room_key)
    }

    /// Puts an owner's roster that came from elsewhere into the folder, and keeps all.
    ///
    /// # Errors
    /// The system's, and what to have until there is room.
    pub fn install(&self, config: &Config, owner: &Name) -> Result<(), Box<(FileError, Unstored)>> {
        let store = Store::new(&config.rosters);
        let Some(accepted) = self.in_force.rosters.iter().find(|one| one.kept.owner == *owner) else {
            return Ok(());
        };
        store.install(&self.in_force.kept, &accepted.kept).map_err(|error| {
            let Kept { owner, bytes, signature, .. } = accepted.kept.clone();
            let file = store.folder().join(format!("{owner}.toml"));
            let there = whole_file::read(&file, ROSTER_BYTES_MAX).ok();
            let file = file.to_string_lossy().into();
            let offer = Offer { owner, file, bytes, signature: Some(signature) };
            let instead_of = there.map(|bytes| accept::hash(&bytes));
            Box::new((error, Unstored { offer, instead_of }))
        })
    }

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
