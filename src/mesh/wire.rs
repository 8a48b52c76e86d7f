//! The short messages between mesh nodes, as they lie in UDP inside of a tunnel.
//!
//! A version, a kind, and the kind's fields, big-endian, with nothing behind them. A kind that is not known is told
//! apart from what is damaged: a newer node may say more than this one understands. A message has at most
//! [`MESSAGE_MAX`](crate::packet::link::MESSAGE_MAX) octets.

use super::attached;
use super::copies::FlowCopy;
use super::probing::Probing;
use super::relaying::Relaying;
use crate::packet::link::MESSAGE_MAX;

/// The first octet of every message.
pub const VERSION: u8 = 1;

/// The second octet.
pub mod kind {
    /// Which rosters the sender has.
    pub const DIGEST: u8 = 1;
    // Paths.
    pub const PING: u8 = 16;
    pub const PONG: u8 = 17;
    pub const CANDIDATES: u8 = 18;
    // Relays.
    pub const REGISTER: u8 = 32;
    pub const REGISTERED: u8 = 33;
    pub const OPEN: u8 = 34;
    pub const OPENED: u8 = 35;
    pub const INCOMING: u8 = 36;
    pub const CLOSED: u8 = 37;
    pub const REFUSED: u8 = 38;
    pub const OPEN_FAR: u8 = 39;
    pub const EXTEND: u8 = 40;
    pub const EXTENDED: u8 = 41;
    pub const ENDED: u8 = 42;
    // Stations of a room with several gateways.
    pub const ATTACHED: u8 = 48;
    pub const FLOWS: u8 = 49;
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one is read or written at a time, on the stack")]
pub enum Message<'a> {
    Digest(Digest<'a>),
    Probing(Probing),
    Relaying(Relaying),
    /// Where stations are: [`attached::Entry`]s that can be read, at most [`ATTACHED_MAX`].
    Attached(&'a [[u8; attached::Entry::LENGTH]]),
    /// The flows of stations: [`FlowCopy`]s that can be read, at most [`FLOWS_MAX`].
    Flows(&'a [[u8; FlowCopy::LENGTH]]),
}

/// Entries of a [`Message::Attached`].
pub const ATTACHED_MAX: usize = (MESSAGE_MAX - 2) / attached::Entry::LENGTH;
/// Entries of a [`Message::Flows`].
pub const FLOWS_MAX: usize = (MESSAGE_MAX - 2) / FlowCopy::LENGTH;

/// Why octets are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the message is of version {0}")]
    Version(u8),
    #[error("the message is of kind {0}, which this version does not know")]
    UnknownKind(u8),
    #[error("the message is cut short, or longer than it says")]
    Malformed,
}

/// What one owner's roster is told by: its owner, its serial, and its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestEntry {
    pub owner: OwnerTag,
    /// 0: the sender has none, and wants one.
    pub serial: u64,
    pub hash: ShortHash,
}

/// Eight octets that tell owners apart: of a hash of the owner's key, so that nobody can have another's.
pub type OwnerTag = [u8; 8];
/// The first half of the hash of a roster's bytes.
pub type ShortHash = [u8; 16];

/// Entries of a [`Message::Digest`], as they lie there: at most [`Digest::ENTRIES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest<'a> {
    entries: &'a [[u8; DigestEntry::LENGTH]],
}

impl DigestEntry {
    /// Octets of one entry.
    pub const LENGTH: usize = 32;

    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.owner);
        bytes[8..16].copy_from_slice(&self.serial.to_be_bytes());
        bytes[16..].copy_from_slice(&self.hash);
        bytes
    }

    fn read(bytes: &[u8; Self::LENGTH]) -> Self {
        let (mut owner, mut serial, mut hash) = ([0; 8], [0; 8], [0; 16]);
        owner.copy_from_slice(&bytes[..8]);
        serial.copy_from_slice(&bytes[8..16]);
        hash.copy_from_slice(&bytes[16..]);
        Self { owner, serial: u64::from_be_bytes(serial), hash }
    }
}

impl<'a> Digest<'a> {
    /// Entries that fit into one message; who has more sends several.
    pub const ENTRIES_MAX: usize = (MESSAGE_MAX - 2) / DigestEntry::LENGTH;

    /// `None` for more than [`Digest::ENTRIES_MAX`].
    #[must_use]
    pub fn new(entries: &'a [[u8; DigestEntry::LENGTH]]) -> Option<Self> {
        (entries.len() <= Self::ENTRIES_MAX).then_some(Self { entries })
    }

    pub fn entries(&self) -> impl Iterator<Item = DigestEntry> + 'a {
        self.entries.iter().map(DigestEntry::read)
    }
}

impl<'a> Message<'a> {
    /// Reads one whole message.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let &[version, kind, ref fields @ ..] = bytes else { return Err(WireError::Malformed) };
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        match kind {
            kind::DIGEST => {
                let (entries, rest) = fields.as_chunks();
                let digest = Digest::new(entries).filter(|_| rest.is_empty());
                digest.map(Self::Digest).ok_or(WireError::Malformed)
            }
            kind::PING..=kind::CANDIDATES => {
                Probing::read(kind, fields).map(Self::Probing).ok_or(WireError::Malformed)
            }
            kind::REGISTER..=kind::ENDED => {
                Relaying::read(kind, fields).map(Self::Relaying).ok_or(WireError::Malformed)
            }
            kind::ATTACHED => {
                let (entries, rest) = fields.as_chunks();
                let whole = rest.is_empty() && entries.len() <= ATTACHED_MAX;
                let sound = whole && entries.iter().all(|entry| attached::Entry::read(entry).is_some());
                sound.then_some(Self::Attached(entries)).ok_or(WireError::Malformed)
            }
            kind::FLOWS => {
                let (entries, rest) = fields.as_chunks();
                let whole = rest.is_empty() && entries.len() <= FLOWS_MAX;
                let sound = whole && entries.iter().all(|entry| FlowCopy::read(entry).is_some());
                sound.then_some(Self::Flows(entries)).ok_or(WireError::Malformed)
            }
            _ => Err(WireError::UnknownKind(kind)),
        }
    }

    /// Writes it to the front of `buffer`, which holds [`MESSAGE_MAX`] octets; the message's length.
    pub fn write(&self, buffer: &mut [u8; MESSAGE_MAX]) -> usize {
        match self {
            Self::Digest(digest) => copy(kind::DIGEST, digest.entries.as_flattened(), buffer),
            Self::Attached(entries) => copy(kind::ATTACHED, entries.as_flattened(), buffer),
            Self::Flows(entries) => copy(kind::FLOWS, entries.as_flattened(), buffer),
            Self::Probing(message) => {
                buffer[..2].copy_from_slice(&[VERSION, message.kind()]);
                2 + message.write(&mut buffer[2..])
            }
            Self::Relaying(message) => {
                buffer[..2].copy_from_slice(&[VERSION, message.kind()]);
                2 + message.write(&mut buffer[2..])
            }
        }
    }
}

/// Writes a message whose fields lie ready.
fn copy(kind: u8, fields: &[u8], buffer: &mut [u8; MESSAGE_MAX]) -> usize {
    buffer[..2].copy_from_slice(&[VERSION, kind]);
    buffer[2..2 + fields.len()].copy_from_slice(fields);
    2 + fields.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(message: &Message<'_>) -> Vec<u8> {
        let mut buffer = [0; MESSAGE_MAX];
        let len = message.write(&mut buffer);
        buffer[..len].to_vec()
    }

    #[test]
    fn a_digest_comes_out_as_it_went_in() {
        let entry = |n: u8| DigestEntry { owner: [n; 8], serial: u64::from(n) << 40, hash: [n + 1; 16] };
        for count in [0, 1, 3, Digest::ENTRIES_MAX as u8] {
            let entries: Vec<_> = (0..count).map(entry).collect();
            let raw: Vec<_> = entries.iter().map(DigestEntry::to_bytes).collect();
            let bytes = written(&Message::Digest(Digest::new(&raw).unwrap()));
            let Ok(Message::Digest(read)) = Message::parse(&bytes) else { panic!("{count}") };
            assert_eq!(read.entries().collect::<Vec<_>>(), entries);
        }
        assert_eq!(Digest::new(&[[0; 32]; Digest::ENTRIES_MAX + 1]), None);
    }

    #[test]
    fn damage_is_told_apart_from_what_is_newer() {
        assert_eq!(Message::parse(&[]), Err(WireError::Malformed));
        assert_eq!(Message::parse(&[VERSION]), Err(WireError::Malformed));
        assert_eq!(Message::parse(&[2, 1]), Err(WireError::Version(2)));
        assert_eq!(Message::parse(&[VERSION, 200, 1, 2]), Err(WireError::UnknownKind(200)));
        assert_eq!(Message::parse(&[VERSION, kind::DIGEST, 0]), Err(WireError::Malformed));
    }

    /// Fields of whole entries, more often than not.
    fn fields() -> impl Strategy<Value = Vec<u8>> {
        let entry = [1, 4, DigestEntry::LENGTH, attached::Entry::LENGTH, FlowCopy::LENGTH];
        let whole =
            (0..5_usize, prop::sample::select(entry.to_vec())).prop_map(|(count, entry)| count * entry);
        let length = prop_oneof![3 => whole, 1 => 0..64_usize, 1 => 0..1400_usize];
        length.prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn what_can_be_read_is_written_the_same(
            kind in prop_oneof![Just(kind::DIGEST), kind::PING..=kind::CANDIDATES, kind::REGISTER..=kind::ENDED, kind::ATTACHED..=kind::FLOWS, any::<u8>()],
            fields in fields(),
        ) {
            let bytes = [vec![VERSION, kind], fields].concat();
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert_eq!(written(&message), bytes);
            }
        }
    }
}
