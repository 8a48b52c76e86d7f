//! Names of owners, rooms, stations and applications, and the paths that they make.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: a DNS label (RFC 1035, section 2.3.4).
pub const NAME_MAX: usize = 63;
/// The most segments a path has: owner, room, station, application.
pub const PATH_MAX: usize = 4;

/// Why a text is not a name or a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("is empty")]
    Empty,
    #[error("is {0} characters long; a name has at most {NAME_MAX}")]
    TooLong(usize),
    #[error("has the character {0:?}; a name has a-z, 0-9 and '-', and neither begins nor ends with '-'")]
    Character(char),
    #[error("is a word with a meaning of its own")]
    Reserved,
    #[error("has {0} segments; a path is OWNER[/ROOM[/STATION[/APPLICATION]]]")]
    Segments(usize),
}

/// One name: a lower-case DNS label, so that every node has a name in DNS as it stands.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if let Some(c) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            return Err(NameError::Character(c));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::Character('-'));
        }
        if matches!(text, "any" | "internet") {
            return Err(NameError::Reserved);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place by name: one to four names, `alice/attic/nas/web`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodePath(Vec<Name>);

impl NodePath {
    /// The path of an owner.
    #[must_use]
    pub fn owner_of(name: Name) -> Self {
        Self(vec![name])
    }

    /// This path with one more segment.
    ///
    /// # Errors
    /// [`NameError::Segments`] when it has four already.
    pub fn join(&self, name: Name) -> Result<Self, NameError> {
        if self.0.len() == PATH_MAX {
            return Err(NameError::Segments(PATH_MAX + 1));
        }
        let mut segments = self.0.clone();
        segments.push(name);
        Ok(Self(segments))
    }

    /// The first segment.
    #[must_use]
    pub fn owner(&self) -> &Name {
        &self.0[0]
    }

    /// The last segment.
    #[must_use]
    pub fn leaf(&self) -> &Name {
        &self.0[self.0.len() - 1]
    }

    /// One to four names, outermost first.
    #[must_use]
    pub fn segments(&self) -> &[Name] {
        &self.0
    }

    /// The path without its last segment.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        (self.0.len() > 1).then(|| Self(self.0[..self.0.len() - 1].to_vec()))
    }

    /// Whether `other` is this place or inside it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl FromStr for NodePath {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let count = text.split('/').count();
        if count > PATH_MAX {
            return Err(NameError::Segments(count));
        }
        text.split('/').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for NodePath {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<NodePath> for String {
    fn from(path: NodePath) -> Self {
        path.to_string()
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            f.write_str(name.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label() {
        assert!("attic-2".parse::<Name>().is_ok());
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        assert_eq!("Attic".parse::<Name>(), Err(NameError::Character('A')));
        assert_eq!("-a".parse::<Name>(), Err(NameError::Character('-')));
        assert_eq!("internet".parse::<Name>(), Err(NameError::Reserved));
        assert_eq!("x".repeat(10_000).parse::<Name>(), Err(NameError::TooLong(10_000)));
    }

    #[test]
    fn a_path_has_one_to_four_segments_and_contains_what_is_inside() {
        let nas: NodePath = "alice/attic/nas".parse().unwrap();
        let web: NodePath = "alice/attic/nas/web".parse().unwrap();
        assert!(nas.contains(&web) && nas.contains(&nas) && !web.contains(&nas));
        assert_eq!(web.parent(), Some(nas));
        assert_eq!("a/b/c/d/e".parse::<NodePath>(), Err(NameError::Segments(5)));
        assert_eq!("a//b".parse::<NodePath>(), Err(NameError::Empty));
    }
}
