//! What gateways and relays say to each other about paths through relays, as fields of [`wire`](super::wire)'s messages.
//!
//! A gateway registers ([`Relaying::Register`]) and is told how its frames are to look; it opens a channel to another
//! gateway by its key, and both are told the channel and where the relay sees the other one. If no relay has both, it
//! asks for a channel to a far one ([`Relaying::OpenFar`]), and its relay asks the others. An address is 16 octets (IPv4
//! as v4-mapped) and a port.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::frame::FrameKey;
use super::wire::kind;
use crate::base::{PublicKey, canonical};

/// One message, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relaying {
    /// To the relay: frames to this gateway have this index, and tags of this key.
    Register(Terms),
    /// To the gateway: frames to this relay have these; the gateway is seen at this address.
    Registered { terms: Terms, observed: SocketAddr },
    /// To the relay: a channel to the gateway with this key.
    Open { peer: PublicKey },
    /// To who asked: the channel is open.
    Opened(Introduction),
    /// To the other one: somebody opened a channel.
    Incoming(Introduction),
    /// The channel is not, or no more.
    Closed { channel: u32 },
    /// No channel to the gateway with this key.
    Refused { peer: PublicKey, why: Refusal },
    /// To the relay: a channel to the gateway with this key, by way of another relay if it has to be.
    OpenFar { peer: PublicKey },
    /// From relay to relay: a channel for the first gateway, which is there, to the second, which is here.
    Extend { from: PublicKey, to: PublicKey },
    /// To the relay that asked: this is the channel.
    Extended { from: PublicKey, to: PublicKey, channel: u32 },
    /// To the relay: nothing is behind this channel of its any more.
    Ended { channel: u32 },
}

/// Channels that go on at another relay have this bit in their number, and all others have not.
pub const GOES_ON: u32 = 1 << 31;

/// What frames of one direction look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub index: u32,
    pub key: FrameKey,
}

/// A channel to a gateway, and where the relay sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    pub peer: PublicKey,
    pub channel: u32,
    pub observed: SocketAddr,
}

/// Why there is no channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// This node is no relay, or the one that asks has not registered.
    NotRegistered = 1,
    /// The other one has not.
    NotHere = 2,
    /// The rosters could allow no flow between the two.
    Policy = 3,
    /// The owner, or the relay, has as many as it may.
    Full = 4,
}

impl Refusal {
    fn read(number: u8) -> Option<Self> {
        [Self::NotRegistered, Self::NotHere, Self::Policy, Self::Full]
            .into_iter()
            .find(|&refusal| refusal as u8 == number)
    }

    /// For people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotRegistered => "this gateway is not registered there",
            Self::NotHere => "the other gateway is not registered there",
            Self::Policy => "the rosters that the relay holds could allow no flow between the two",
            Self::Full => "the relay has no room for another channel",
        }
    }
}

/// Octets of the longest of them.
pub const RELAYING_MAX: usize = 32 + 32 + 4;
/// Octets of an address.
pub const ADDRESS: usize = 18;

/// Fields are taken off the front; `None` once they are too short.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn terms(&mut self) -> Option<Terms> {
        Some(Terms { index: self.number()?, key: FrameKey::from_bytes(self.take()?) })
    }

    fn peer(&mut self) -> Option<PublicKey> {
        PublicKey::from_bytes(self.take()?).ok()
    }

    fn address(&mut self) -> Option<SocketAddr> {
        read_address(&self.take()?)
    }

    fn introduction(&mut self) -> Option<Introduction> {
        Some(Introduction { peer: self.peer()?, channel: self.number()?, observed: self.address()? })
    }
}

/// An address as it lies in a message.
#[must_use]
pub fn write_address(address: SocketAddr) -> [u8; ADDRESS] {
    let mut bytes = [0; ADDRESS];
    let ip = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&address.port().to_be_bytes());
    bytes
}

/// The address, which has only one way to lie there.
#[must_use]
pub fn read_address(bytes: &[u8; ADDRESS]) -> Option<SocketAddr> {
    let ip: [u8; 16] = *bytes.first_chunk()?;
    let port = u16::from_be_bytes(*bytes.last_chunk()?);
    Some(SocketAddr::new(canonical(IpAddr::V6(Ipv6Addr::from(ip))), port))
}

impl Relaying {
    /// Reads a message's fields. `None`: not of this kind, or damaged.
    #[must_use]
    pub fn read(number: u8, fields: &[u8]) -> Option<Self> {
        let mut fields = Fields(fields);
        let message = match number {
            kind::REGISTER => Self::Register(fields.terms()?),
            kind::REGISTERED => Self::Registered { terms: fields.terms()?, observed: fields.address()? },
            kind::OPEN => Self::Open { peer: fields.peer()? },
            kind::OPENED => Self::Opened(fields.introduction()?),
            kind::INCOMING => Self::Incoming(fields.introduction()?),
            kind::CLOSED => Self::Closed { channel: fields.number()? },
            kind::REFUSED => {
                let (peer, [why]) = (fields.peer()?, fields.take()?);
                Self::Refused { peer, why: Refusal::read(why)? }
            }
            kind::ENDED => Self::Ended { channel: fields.number()? },
            kind::OPEN_FAR => Self::OpenFar { peer: fields.peer()? },
            kind::EXTEND => Self::Extend { from: fields.peer()?, to: fields.peer()? },
            kind::EXTENDED => {
                Self::Extended { from: fields.peer()?, to: fields.peer()?, channel: fields.number()? }
            }
            _ => return None,
        };
        fields.0.is_empty().then_some(message)
    }

    /// The kind of the message.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Register(_) => kind::REGISTER,
            Self::Registered { .. } => kind::REGISTERED,
            Self::Open { .. } => kind::OPEN,
            Self::Opened(_) => kind::OPENED,
            Self::Incoming(_) => kind::INCOMING,
            Self::Closed { .. } => kind::CLOSED,
            Self::Refused { .. } => kind::REFUSED,
            Self::OpenFar { .. } => kind::OPEN_FAR,
            Self::Ended { .. } => kind::ENDED,
            Self::Extend { .. } => kind::EXTEND,
            Self::Extended { .. } => kind::EXTENDED,
        }
    }

    /// Writes the fields to the front of `buffer`, which holds [`RELAYING_MAX`] octets; their length.
    pub fn write(&self, buffer: &mut [u8]) -> usize {
        let mut len = 0;
        let mut put = |bytes: &[u8]| {
            buffer[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
        };
        match self {
            Self::Register(terms) => {
                put(&terms.index.to_be_bytes());
                put(terms.key.as_bytes());
            }
            Self::Registered { terms, observed } => {
                put(&terms.index.to_be_bytes());
                put(terms.key.as_bytes());
                put(&write_address(*observed));
            }
            Self::Open { peer } | Self::OpenFar { peer } => put(peer.as_bytes()),
            Self::Opened(introduction) | Self::Incoming(introduction) => {
                put(introduction.peer.as_bytes());
                put(&introduction.channel.to_be_bytes());
                put(&write_address(introduction.observed));
            }
            Self::Closed { channel } | Self::Ended { channel } => put(&channel.to_be_bytes()),
            Self::Refused { peer, why } => {
                put(peer.as_bytes());
                put(&[*why as u8]);
            }
            Self::Extend { from, to } => {
                put(from.as_bytes());
                put(to.as_bytes());
            }
            Self::Extended { from, to, channel } => {
                put(from.as_bytes());
                put(to.as_bytes());
                put(&channel.to_be_bytes());
            }
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PrivateKey;

    #[test]
    fn every_message_comes_out_as_it_went_in_and_no_other_length_does() {
        let [peer, other] = [4, 5].map(|byte| PrivateKey::from_random([byte; 32]).public());
        let terms = Terms { index: 0x0102_0304, key: FrameKey::from_bytes([9; 16]) };
        for observed in ["203.0.113.9:1", "[2001:db8::7]:65535"] {
            let observed = observed.parse().unwrap();
            let introduction = Introduction { peer, channel: 77, observed };
            let messages = [
                Relaying::Register(terms),
                Relaying::Registered { terms, observed },
                Relaying::Open { peer },
                Relaying::Opened(introduction),
                Relaying::Incoming(introduction),
                Relaying::Closed { channel: 3 },
                Relaying::Refused { peer, why: Refusal::Policy },
                Relaying::OpenFar { peer },
                Relaying::Ended { channel: 8 },
                Relaying::Extend { from: peer, to: other },
                Relaying::Extended { from: other, to: peer, channel: 5 },
            ];
            for message in messages {
                let mut buffer = [0; RELAYING_MAX];
                let len = message.write(&mut buffer);
                assert_eq!(Relaying::read(message.kind(), &buffer[..len]), Some(message));
                for other in (0..RELAYING_MAX).filter(|&other| other != len) {
                    assert_eq!(Relaying::read(message.kind(), &buffer[..other]), None, "{message:?} {other}");
                }
            }
        }
        assert_eq!(Relaying::read(kind::PING, &[]), None);
        assert_eq!(Relaying::read(kind::REFUSED, &[&peer.as_bytes()[..], &[9]].concat()), None);
    }
}
