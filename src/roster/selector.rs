//! Selectors as text: `any`, `internet`, a path with `*`, `tag:x`, `bob#tag:x`, `kind:station`, a CIDR.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;

use super::rule::{Kind, Selector};
use crate::base::name::PATH_MAX;
use crate::base::{Name, NameError};

/// Why a text is not a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("has a segment that {0}")]
    Segment(NameError),
    #[error("has a tag that {0}")]
    Tag(NameError),
    #[error("has an owner that {0}")]
    Owner(NameError),
    #[error("is no kind; kinds are station, application and gateway")]
    Kind,
    #[error(transparent)]
    Cidr(CidrError),
}

/// Why a text is not a prefix of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    #[error("is no address and no ADDRESS/LENGTH")]
    Text,
    #[error("has bits set after its length; the prefix is {0}")]
    HostBits(IpNetwork),
    #[error("is IPv4 written as IPv6; packets are matched as IPv4")]
    Mapped,
}

/// Reads a prefix strictly: no bits after its length, no v4-mapped form. An address alone is a prefix of its length.
///
/// # Errors
/// See [`CidrError`].
pub fn parse_cidr(text: &str) -> Result<IpNetwork, CidrError> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| CidrError::Text)?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length: u8 = match length {
        // The standard library would take `+8`.
        Some(text) if !text.bytes().all(|b| b.is_ascii_digit()) => return Err(CidrError::Text),
        Some(text) => text.parse().map_err(|_| CidrError::Text)?,
        None => longest,
    };
    let cidr = IpNetwork::new(address, length).map_err(|_| CidrError::Text)?;
    if cidr.network() != address {
        return Err(IpNetwork::new(cidr.network(), length).map_or(CidrError::Text, CidrError::HostBits));
    }
    if length >= 96 && address.to_canonical() != address {
        return Err(CidrError::Mapped);
    }
    Ok(cidr)
}

impl Selector {
    /// Reads a selector; `tag:x` is a tag of `own`.
    ///
    /// # Errors
    /// See [`SelectorError`].
    pub fn parse(text: &str, own: &Name) -> Result<Self, SelectorError> {
        let tag =
            |owner: Name, tag: &str| Ok(Self::Tag { owner, tag: tag.parse().map_err(SelectorError::Tag)? });
        match text {
            "any" => return Ok(Self::Any),
            "internet" => return Ok(Self::Internet),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("tag:") {
            return tag(own.clone(), name);
        }
        if let Some((owner, name)) = text.split_once("#tag:") {
            return tag(owner.parse().map_err(SelectorError::Owner)?, name);
        }
        if let Some(kind) = text.strip_prefix("kind:") {
            return kind.parse().map(Self::Kind);
        }
        // No name has a dot or a colon, and every address has one.
        if text.contains(['.', ':']) {
            return parse_cidr(text).map(Self::Cidr).map_err(SelectorError::Cidr);
        }
        let count = text.split('/').count();
        if count > PATH_MAX {
            return Err(SelectorError::Segment(NameError::Segments(count)));
        }
        text.split('/')
            .map(|segment| if segment == "*" { Ok(None) } else { segment.parse().map(Some) })
            .collect::<Result<_, _>>()
            .map(Self::Path)
            .map_err(SelectorError::Segment)
    }
}

impl FromStr for Kind {
    type Err = SelectorError;
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        match text {
            "station" => Ok(Self::Station),
            "application" => Ok(Self::Application),
            "gateway" => Ok(Self::Gateway),
            _ => Err(SelectorError::Kind),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Station => "station",
            Self::Application => "application",
            Self::Gateway => "gateway",
        })
    }
}

/// As it is written in a roster; a tag with its owner, so that the text means the same in every roster.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Internet => f.write_str("internet"),
            Self::Path(segments) => {
                for (i, segment) in segments.iter().enumerate() {
                    let slash = if i > 0 { "/" } else { "" };
                    write!(f, "{slash}{}", segment.as_ref().map_or("*", Name::as_str))?;
                }
                Ok(())
            }
            Self::Tag { owner, tag } => write!(f, "{owner}#tag:{tag}"),
            Self::Kind(kind) => write!(f, "kind:{kind}"),
            Self::Cidr(cidr) => cidr.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_reads_as_it_is_written() {
        let own = "alice".parse().unwrap();
        for text in [
            "any",
            "internet",
            "bob",
            "bob/*/phone",
            "*",
            "*/attic",
            "a/b/c/d",
            "bob#tag:shared",
            "kind:station",
            "kind:application",
            "kind:gateway",
            "10.0.0.0/8",
            "fd00::/8",
            "0.0.0.0/0",
            "::/0",
        ] {
            assert_eq!(Selector::parse(text, &own).unwrap().to_string(), text);
        }
        assert_eq!(Selector::parse("tag:shared", &own).unwrap().to_string(), "alice#tag:shared");
        assert_eq!(Selector::parse("10.0.0.7", &own).unwrap().to_string(), "10.0.0.7/32");
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        let own = "alice".parse().unwrap();
        for text in [
            "",
            "/",
            "bob/",
            "a/b/c/d/e",
            "tag:",
            "#tag:x",
            "tag:X",
            "kind:relay",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::ffff:10.0.0.0/104",
            "bob**",
            "Any",
            "bob#tag",
            "a b",
        ] {
            assert!(Selector::parse(text, &own).is_err(), "{text:?}");
        }
        let mend = CidrError::HostBits("10.0.0.0/8".parse().unwrap());
        assert_eq!(Selector::parse("10.0.0.1/8", &own), Err(SelectorError::Cidr(mend)));
    }
}
