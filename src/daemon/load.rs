//! From files on disk to rosters in force, and back: what was accepted is kept.

use std::io;
use std::path::PathBuf;

use crate::base::signify::{OwnerKey, SignifyError};
use crate::config::{Config, OwnerKeySource};
use crate::mesh::accept::{self, InForce, Own, Refusal};
use crate::os::store::{Store, Unreadable, read_bounded};

/// A key file: a comment line and sixty bytes of base64.
const KEY_BYTES_MAX: u64 = 4 * 1024;

/// Why no rosters are in force, or the running ones stay.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{path}: {error}; put the owner's public key there (`vpmesh owner new` writes NAME.pub)")]
    OwnerKeyFile { path: PathBuf, error: io::Error },
    #[error("{path}: {error}; put signify's public key file there")]
    OwnerKey { path: PathBuf, error: SignifyError },
    #[error("{path}: {error}; make the folder, with NAME.toml and NAME.toml.sig in it")]
    Folder { path: PathBuf, error: io::Error },
    #[error("{}", join(.0))]
    Refused(Vec<Refusal>),
    #[error("{}", join(.0))]
    Unreadable(Vec<Unreadable>),
}

fn join<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join("\n")
}

/// The rosters' folder as one node reads it.
#[derive(Debug)]
pub struct Loader {
    store: Store,
    folder: PathBuf,
    own: Own,
}

impl Loader {
    /// Reads the owner's key.
    ///
    /// # Errors
    /// When the key file can't be read, or is none.
    pub fn new(config: &Config) -> Result<Self, LoadError> {
        let own = Own { owner: config.node.owner().clone(), key: owner_key(&config.owner_key)? };
        Ok(Self { store: Store::new(&config.rosters), folder: config.rosters.clone(), own })
    }

    /// The set to start with: what can be accepted, and for the rest what was accepted before. A node whose folder
    /// can't be read starts with what it kept.
    ///
    /// # Errors
    /// When there is no good own roster, neither offered nor kept.
    pub fn start(&self) -> Result<InForce, LoadError> {
        let (kept, damaged) = self.store.kept();
        for file in &damaged {
            tracing::error!(%file, "an accepted roster that was kept can't be read back; its serial is forgotten");
        }
        let (offers, unreadable) = match self.store.offers() {
            Ok(read) => read,
            Err(error) if kept.is_empty() => {
                return Err(LoadError::Folder { path: self.folder.clone(), error });
            }
            Err(error) => {
                tracing::error!(path = %self.folder.display(), %error, "the rosters can't be read");
                (Vec::new(), Vec::new())
            }
        };
        for file in &unreadable {
            tracing::error!(%file, "a roster can't be read");
        }
        accept::start(&self.own, &offers, &kept, &accept::failing_tests).map_err(LoadError::Refused)
    }

    /// The set after a change: all of it or nothing.
    ///
    /// # Errors
    /// Every roster that is refused or can't be read; `running` stays in force.
    pub fn again(&self, running: &InForce) -> Result<InForce, LoadError> {
        let read =
            self.store.offers().map_err(|error| LoadError::Folder { path: self.folder.clone(), error });
        let (offers, unreadable) = read?;
        if !unreadable.is_empty() {
            return Err(LoadError::Unreadable(unreadable));
        }
        accept::reload(&self.own, &offers, running, &accept::failing_tests).map_err(LoadError::Refused)
    }

    /// Keeps what is in force on disk. A disk that is full or read-only is said, and changes nothing of what runs.
    pub fn keep(&self, in_force: &InForce) {
        if let Err(error) = self.store.keep(&in_force.kept) {
            tracing::error!(path = %self.folder.display(), %error, "accepted rosters can't be kept on disk");
        }
    }
}

fn owner_key(source: &OwnerKeySource) -> Result<OwnerKey, LoadError> {
    let path = match source {
        OwnerKeySource::Literal(key) => return Ok(*key),
        OwnerKeySource::File(path) => path,
    };
    let bytes = read_bounded(path, KEY_BYTES_MAX)
        .map_err(|error| LoadError::OwnerKeyFile { path: path.clone(), error })?;
    OwnerKey::parse_file(&String::from_utf8_lossy(&bytes))
        .map_err(|error| LoadError::OwnerKey { path: path.clone(), error })
}

/// Says in the log what came of loading.
pub fn log(in_force: &InForce) {
    for refusal in &in_force.refusals {
        for fault in &refusal.faults {
            tracing::error!(owner = %refusal.owner, %fault, "a roster is refused");
        }
    }
    for note in &in_force.notes {
        tracing::warn!("{note}");
    }
}
