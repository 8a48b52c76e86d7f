//! What an owner's desk tells a new node, in one line.
//!
//! ```text
//! vpmesh:alice/attic/gw2,RWQ…,KEY@attic.example.net:51888,KEY@[2001:db8::1]:51888
//! ```
//!
//! Which node it is to be, its owner's public key, and where mesh nodes are that have the owner's roster. Nothing of it
//! is secret: who has the line can ask those nodes for a handshake, and gets none with a key that no roster lists.

use std::fmt;
use std::str::FromStr;

use crate::base::signify::{OwnerKey, SignifyError};
use crate::base::{Endpoint, EndpointError, KeyError, NameError, NodePath, PublicKey};

const SCHEME: &str = "vpmesh:";

/// A mesh node that can be reached, and its WireGuard key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introducer {
    pub key: PublicKey,
    pub endpoint: Endpoint,
}

/// What a new node starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// OWNER/ROOM/GATEWAY or OWNER/RELAY; the owner alone where the new node has no name yet.
    pub node: NodePath,
    pub owner_key: OwnerKey,
    pub introducers: Vec<Introducer>,
}

/// Why a text is not an introducer or an invitation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    #[error("has no key and '@'")]
    NoKey,
    #[error("has a key that {0}")]
    Key(#[from] KeyError),
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    #[error("does not begin with \"vpmesh:\"")]
    Scheme,
    #[error("names a node that {0}")]
    Node(#[from] NameError),
    #[error("names an application, not a gateway or a relay")]
    Application,
    #[error("has no owner's key")]
    NoOwnerKey,
    #[error("has an owner's key that {0}")]
    OwnerKey(#[from] SignifyError),
    #[error("has no introducer")]
    NoIntroducer,
}

impl FromStr for Introducer {
    type Err = InvitationError;
    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let (key, endpoint) = text.split_once('@').ok_or(InvitationError::NoKey)?;
        Ok(Self { key: key.parse()?, endpoint: endpoint.parse()? })
    }
}

impl fmt::Display for Introducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.endpoint)
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;
    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let text = text.trim().strip_prefix(SCHEME).ok_or(InvitationError::Scheme)?;
        let mut parts = text.split(',');
        let node: NodePath = parts.next().unwrap_or_default().parse()?;
        if node.segments().len() > 3 {
            return Err(InvitationError::Application);
        }
        let owner_key = parts.next().ok_or(InvitationError::NoOwnerKey)?.parse()?;
        let introducers = parts.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        if introducers.is_empty() {
            return Err(InvitationError::NoIntroducer);
        }
        Ok(Self { node, owner_key, introducers })
    }
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{},{}", self.node, self.owner_key)?;
        self.introducers.iter().try_for_each(|introducer| write!(f, ",{introducer}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "RWR4AFrWc+kWZ8ybNZPSq2zAwoXVpu4GgKIRGmwXQGCzuvC5RlGy4bMJ";
    const KEY: &str = "LpHbXZJY4P+Ac4WZ85FjdxUiH7ZA3nAa4mHOT0ltB2o=";

    #[test]
    fn a_line_survives_the_round_trip() {
        let owner = crate::base::signify::OwnerSecret::from_seed([7; 8], &[3; 32]).public();
        for line in [
            format!("vpmesh:alice/attic/gw2,{owner},{KEY}@attic.example.net:51888,{KEY}@[2001:db8::1]:1"),
            format!("vpmesh:alice,{owner},{KEY}@192.0.2.1:51888"),
        ] {
            assert_eq!(line.parse::<Invitation>().unwrap().to_string(), line);
            assert!(format!(" {line}\n").parse::<Invitation>().is_ok(), "as it is pasted");
        }
    }

    #[test]
    fn what_is_no_line_says_why() {
        let owner = crate::base::signify::OwnerSecret::from_seed([7; 8], &[3; 32]).public();
        for (line, said) in [
            (String::new(), "does not begin with"),
            ("vpmesh:".to_owned(), "names a node that"),
            ("vpmesh:alice".to_owned(), "has no owner's key"),
            (format!("vpmesh:alice,{KEY}"), "has an owner's key that"),
            (format!("vpmesh:alice,{owner}"), "has no introducer"),
            (format!("vpmesh:alice,{owner},"), "has no key and '@'"),
            (format!("vpmesh:alice,{owner},{OWNER}@a:1"), "has a key that"),
            (format!("vpmesh:alice,{owner},{KEY}@a"), "has no port"),
            (format!("vpmesh:alice/a/b/c,{owner},{KEY}@a:1"), "an application"),
        ] {
            let error = line.parse::<Invitation>().unwrap_err().to_string();
            assert!(error.contains(said), "{line:?}: {error}");
        }
    }
}
