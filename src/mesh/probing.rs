//! What two gateways say to each other about the paths between them, as fields of [`wire`](super::wire)'s messages.
//!
//! A Ping and its Pong have the same length. An address is 16 octets (IPv4 as v4-mapped) and a port.

use std::net::{Ipv6Addr, SocketAddr};

use super::paths::Kind;
use super::relaying::{ADDRESS, read_address, write_address};
use super::wire::kind;

/// Addresses that a gateway tells of itself, at most.
pub const CANDIDATES_MAX: usize = 8;
/// Octets of one: its kind and the address.
const CANDIDATE: usize = 1 + ADDRESS;
/// Octets of the longest message's fields.
pub const PROBING_MAX: usize = CANDIDATES_MAX * CANDIDATE;

/// One message, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one is read or written at a time, on the stack")]
pub enum Probing {
    /// Asks for a Pong of this number, to where this comes from.
    Ping { id: u32 },
    /// The answer.
    Pong { id: u32 },
    /// Where the sender may be reached besides.
    Candidates(Candidates),
}

/// A few addresses, each with how the one who has it learned of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidates {
    len: usize,
    list: [(SocketAddr, Kind); CANDIDATES_MAX],
}

impl Default for Candidates {
    fn default() -> Self {
        let nowhere = (Ipv6Addr::UNSPECIFIED, 0).into();
        Self { len: 0, list: [(nowhere, Kind::Interface); CANDIDATES_MAX] }
    }
}

impl Candidates {
    /// Adds one, unless it is in the list, or the list is full, or nobody can be told of its kind.
    pub fn push(&mut self, at: SocketAddr, kind: Kind) {
        let known = self.iter().any(|(known, _)| known == at);
        if !known && number_of(kind).is_some() && self.len < CANDIDATES_MAX {
            self.list[self.len] = (at, kind);
            self.len += 1;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, Kind)> + '_ {
        self.list[..self.len].iter().copied()
    }

    fn read(fields: &[u8]) -> Option<Self> {
        let (entries, rest) = fields.as_chunks::<CANDIDATE>();
        if !rest.is_empty() || entries.len() > CANDIDATES_MAX {
            return None;
        }
        let mut list = Self::default();
        for [number, address @ ..] in entries {
            let kind = KINDS.into_iter().find(|&kind| number_of(kind) == Some(*number))?;
            list.push(read_address(address)?, kind);
        }
        // Said twice is said wrong.
        (list.len == entries.len()).then_some(list)
    }
}

const KINDS: [Kind; 3] = [Kind::Interface, Kind::Reflexive, Kind::Mapped];

fn number_of(kind: Kind) -> Option<u8> {
    KINDS.iter().zip(1..).find(|(known, _)| **known == kind).map(|(_, number)| number)
}

impl Probing {
    /// Reads a message's fields. `None`: not of this kind, or damaged.
    #[must_use]
    pub fn read(number: u8, fields: &[u8]) -> Option<Self> {
        if number == kind::CANDIDATES {
            return Candidates::read(fields).map(Self::Candidates);
        }
        let id = u32::from_be_bytes(fields.try_into().ok()?);
        match number {
            kind::PING => Some(Self::Ping { id }),
            kind::PONG => Some(Self::Pong { id }),
            _ => None,
        }
    }

    /// The kind of the message.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Ping { .. } => kind::PING,
            Self::Pong { .. } => kind::PONG,
            Self::Candidates(_) => kind::CANDIDATES,
        }
    }

    /// Writes the fields to the front of `buffer`, which holds [`PROBING_MAX`] octets; their length.
    pub fn write(&self, buffer: &mut [u8]) -> usize {
        let mut len = 0;
        let mut put = |bytes: &[u8]| {
            buffer[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
        };
        match *self {
            Self::Ping { id } | Self::Pong { id } => put(&id.to_be_bytes()),
            Self::Candidates(list) => {
                for (at, kind) in list.iter() {
                    put(&[number_of(kind).unwrap_or_default()]);
                    put(&write_address(at));
                }
            }
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: Probing) -> Vec<u8> {
        let mut buffer = [0; PROBING_MAX];
        let len = message.write(&mut buffer);
        buffer[..len].to_vec()
    }

    #[test]
    fn every_message_comes_out_as_it_went_in() {
        let mut list = Candidates::default();
        assert!(written(Probing::Candidates(list)).is_empty());
        for port in 1..20 {
            list.push(([192, 0, 2, 1], port.min(12)).into(), KINDS[usize::from(port) % 3]);
        }
        list.push(([192, 0, 2, 2], 1).into(), Kind::Heard);
        assert_eq!(list.iter().count(), CANDIDATES_MAX);
        for message in [Probing::Ping { id: 7 }, Probing::Pong { id: 8 }, Probing::Candidates(list)] {
            assert_eq!(Probing::read(message.kind(), &written(message)), Some(message));
        }
    }

    #[test]
    fn a_pong_is_as_long_as_a_ping_and_nothing_else_is_read() {
        let (ping, pong) = (written(Probing::Ping { id: 1 }), written(Probing::Pong { id: 1 }));
        assert_eq!(ping.len(), pong.len());
        for number in [kind::PING, kind::PONG] {
            for bad in [&pong[..0], &pong[1..], &[&pong[..], &[0]].concat()] {
                assert_eq!(Probing::read(number, bad), None);
            }
        }
        let mut list = Candidates::default();
        list.push("203.0.113.9:1".parse().unwrap(), Kind::Mapped);
        let one = written(Probing::Candidates(list));
        for bad in [&one[1..], &[&one[..], &one[..]].concat(), &[&[9], &one[1..]].concat()] {
            assert_eq!(Probing::read(kind::CANDIDATES, bad), None);
        }
        let many: Vec<u8> = (1..=9).flat_map(|port| [&one[..one.len() - 1], &[port]].concat()).collect();
        assert_eq!(Probing::read(kind::CANDIDATES, &many), None);
    }
}
