//! The two ends of a question, as people write them.

use std::fmt;
use std::str::FromStr;

use super::Party;
use crate::base::canonical;

/// Why a text is not one end of a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no node's path, no address, and not `internet`")]
pub struct PartyError;

impl FromStr for Party {
    type Err = PartyError;
    fn from_str(text: &str) -> Result<Self, PartyError> {
        if text == "internet" {
            return Ok(Self::Internet);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(canonical(address)));
        }
        text.parse().map(Self::Node).map_err(|_| PartyError)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(path) => path.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Internet => f.write_str("internet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v4_mapped_end_is_the_ipv4_address() {
        assert_eq!("::ffff:10.0.0.1".parse(), Ok(Party::Address("10.0.0.1".parse().unwrap())));
        assert_eq!("internet".parse(), Ok(Party::Internet));
        assert_eq!("a b".parse::<Party>(), Err(PartyError));
    }
}
