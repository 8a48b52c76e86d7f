//! Services: what a rule allows or denies, by protocol and destination port.

use std::fmt;
use std::str::FromStr;

use crate::base::Name;

/// The name of a list in `[services]`.
pub type ServiceName = Name;

/// One service. A port is always the destination's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Any,
    /// ICMP of the flow's own family: protocol 1 in IPv4, 58 in IPv6.
    Icmp,
    /// `first <= last`; one port is a range of one.
    Tcp {
        first: u16,
        last: u16,
    },
    Udp {
        first: u16,
        last: u16,
    },
    /// An IP protocol number, whatever its ports.
    Proto(u8),
}

/// Why a text is not a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error("is no service")]
    Unknown,
    #[error("has a port that is not 0-65535")]
    Port,
    #[error("has a range whose first port is after its last")]
    Range,
    #[error("has a protocol number that is not 0-255")]
    Protocol,
}

/// Reads `any`, `icmp`, `tcp/22`, `udp/5000-5010`, `proto/47`. Names of `[services]` are the roster's to resolve.
impl FromStr for Service {
    type Err = ServiceError;
    fn from_str(text: &str) -> Result<Self, ServiceError> {
        match text {
            "any" => return Ok(Self::Any),
            "icmp" => return Ok(Self::Icmp),
            _ => {}
        }
        let (protocol, rest) = text.split_once('/').ok_or(ServiceError::Unknown)?;
        match protocol {
            "tcp" => ports(rest).map(|(first, last)| Self::Tcp { first, last }),
            "udp" => ports(rest).map(|(first, last)| Self::Udp { first, last }),
            "proto" => number(rest).map(Self::Proto).ok_or(ServiceError::Protocol),
            _ => Err(ServiceError::Unknown),
        }
    }
}

fn ports(text: &str) -> Result<(u16, u16), ServiceError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first = number(first).ok_or(ServiceError::Port)?;
    let last = number(last).ok_or(ServiceError::Port)?;
    if first > last { Err(ServiceError::Range) } else { Ok((first, last)) }
}

/// Digits only: the standard library takes a `+` too.
fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = |f: &mut fmt::Formatter<'_>, protocol: &str, first: u16, last: u16| {
            if first == last {
                write!(f, "{protocol}/{first}")
            } else {
                write!(f, "{protocol}/{first}-{last}")
            }
        };
        match *self {
            Self::Any => f.write_str("any"),
            Self::Icmp => f.write_str("icmp"),
            Self::Tcp { first, last } => ports(f, "tcp", first, last),
            Self::Udp { first, last } => ports(f, "udp", first, last),
            Self::Proto(number) => write!(f, "proto/{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_reads_as_it_is_written() {
        for text in ["any", "icmp", "tcp/22", "udp/5000-5010", "proto/47", "tcp/0-65535"] {
            assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
        }
        assert_eq!("tcp".parse::<Service>(), Err(ServiceError::Unknown));
        assert_eq!("sctp/1".parse::<Service>(), Err(ServiceError::Unknown));
        assert_eq!("tcp/".parse::<Service>(), Err(ServiceError::Port));
        assert_eq!("tcp/+1".parse::<Service>(), Err(ServiceError::Port));
        assert_eq!("tcp/1-2-3".parse::<Service>(), Err(ServiceError::Port));
        assert_eq!("udp/65536".parse::<Service>(), Err(ServiceError::Port));
        assert_eq!("udp/2-1".parse::<Service>(), Err(ServiceError::Range));
        assert_eq!("proto/256".parse::<Service>(), Err(ServiceError::Protocol));
    }
}
