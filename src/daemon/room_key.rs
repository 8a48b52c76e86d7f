//! The room's private key, which each of its gateways has besides its own: read with the rosters, and held against them.
//!
//! Nothing that is wrong with it keeps anybody from the mesh. Stations know this gateway by its own key then, as where the
//! room has none; those that have the room's are not served, and that is said.

use std::path::Path;
use std::sync::Arc;

use crate::base::{Fault, Line, PrivateKey, PublicKey};
use crate::config::Config;
use crate::os::key_file::read_private_key;
use crate::roster::Model;

/// What `room_key` names.
#[derive(Debug, Clone, Default)]
pub struct RoomKey {
    pub key: Option<Arc<PrivateKey>>,
    /// Why it could not be read.
    unread: Option<String>,
}

impl RoomKey {
    /// Reads it; what can't be read replaces nothing.
    #[must_use]
    pub fn read(path: Option<&Path>, before: Option<&Self>) -> Self {
        match path.map(read_private_key) {
            None => Self::default(),
            Some(Ok(key)) => Self { key: Some(Arc::new(key)), unread: None },
            Some(Err(error)) => Self {
                key: before.and_then(|before| before.key.clone()),
                unread: Some(format!("room_key: {error}")),
            },
        }
    }

    #[must_use]
    pub fn public(&self) -> Option<PublicKey> {
        self.key.as_deref().map(PrivateKey::public)
    }

    /// What is wrong with it, for the log at ERROR; or else what is odd, for the log at WARN.
    #[must_use]
    pub fn said(&self, config: &Config, model: &Model) -> (Vec<String>, Option<String>) {
        let mut errors: Vec<_> = self.unread.iter().cloned().collect();
        let mut note = None;
        match fault(config, model, self.public()) {
            Some((Weight::Unserved, fault)) => errors.push(fault.to_string()),
            Some((Weight::Odd, fault)) => note = Some(fault.to_string()),
            None => {}
        }
        (errors, note)
    }

    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.public() == other.public() && self.unread == other.unread
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Stations that have the room's key are not served here.
    Unserved,
    Odd,
}

/// Whether the roster's key of the room and the one here, `own`, are two.
#[must_use]
pub fn fault(config: &Config, model: &Model, own: Option<PublicKey>) -> Option<(Weight, Fault)> {
    let room = model.find(&config.node).and_then(|id| model.room_of(id)).map(|id| model.node(id));
    let listed = model.find(&config.node).and_then(|id| model.room_key(id));
    let (what, mend) = match (room, listed, own) {
        (Some(room), Some(listed), own) if own != Some(listed) => {
            let own = own.map_or("this node has no room_key".into(), |own| {
                format!("the private key that room_key names here belongs to {own}")
            });
            (
                format!(
                    "{} has the key {listed}, and {own}; stations that know the room by it are not served here",
                    room.name
                ),
                "copy the room's private key here from another gateway of it, and name the file: room_key = \"…\"",
            )
        }
        (_, None, Some(own)) => {
            let what =
                format!("room_key is not used: no room of {} has the key {own} in the roster", config.node);
            let fault = Fault {
                file: config.file.clone(),
                line: Line(0),
                what,
                mend: "write key = \"…\" at its [[room]], or leave room_key out".into(),
            };
            return Some((Weight::Odd, fault));
        }
        _ => return None,
    };
    let (file, line) = (model.owners.first()?.roster.file.clone(), room?.line);
    Some((Weight::Unserved, Fault { file, line, what, mend: mend.into() }))
}
