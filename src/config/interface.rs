//! Names of network interfaces, as Linux takes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name in bytes: `IFNAMSIZ` less the closing zero.
const LENGTH_MAX: usize = 15;

/// A name that Linux takes for an interface and that needs no quoting in a shell or in UCI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InterfaceName(Arc<str>);

/// Why a text names no interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceNameError {
    #[error("is empty")]
    Empty,
    #[error("is {0} bytes long")]
    TooLong(usize),
    #[error("has the character {0:?}")]
    Character(char),
    #[error("is a word with a meaning of its own")]
    Reserved,
}

impl InterfaceName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for InterfaceName {
    fn default() -> Self {
        Self("vpm0".into())
    }
}

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;
    fn from_str(text: &str) -> Result<Self, InterfaceNameError> {
        if text.is_empty() {
            return Err(InterfaceNameError::Empty);
        }
        if text.len() > LENGTH_MAX {
            return Err(InterfaceNameError::TooLong(text.len()));
        }
        if let Some(c) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
            return Err(InterfaceNameError::Character(c));
        }
        // "all" and "default" are folders beside the interfaces' own in /proc/sys/net.
        if matches!(text, "." | ".." | "all" | "default" | "lo") {
            return Err(InterfaceNameError::Reserved);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_name_is_one_that_linux_takes() {
        assert!("vpm0".parse::<InterfaceName>().is_ok());
        assert!("vpm-attic.1_a".parse::<InterfaceName>().is_ok());
        assert_eq!("x".repeat(16).parse::<InterfaceName>(), Err(InterfaceNameError::TooLong(16)));
        assert_eq!("a/b".parse::<InterfaceName>(), Err(InterfaceNameError::Character('/')));
        // The kernel fills in a number for "%d", and the name would not be the one that was asked for.
        assert_eq!("vpm%d".parse::<InterfaceName>(), Err(InterfaceNameError::Character('%')));
        assert_eq!("all".parse::<InterfaceName>(), Err(InterfaceNameError::Reserved));
    }
}
