//! A roster with its signature over TCP, big-endian like [`wire`](super::wire).
//!
//! Who begins the connection says one thing: which roster it wants, or that it brings one. A roster goes as its two
//! lengths, the signature file and the roster file; whoever brought one hears a verdict. What comes is read as it
//! comes, in any pieces; memory follows what came, never what was promised.

use std::sync::Arc;

use super::wire::{OwnerTag, ShortHash, VERSION};
use crate::base::signify;
use crate::roster::ROSTER_BYTES_MAX;

const GET: u8 = 1;
const BRING: u8 = 2;
const HERE: u8 = 3;
const NOT_HERE: u8 = 4;
const ACCEPTED: u8 = 5;
const REFUSED: u8 = 6;
/// Octets of the words of a verdict.
pub const WORDS_MAX: usize = 4_096;
/// What every head has at least, so that it can be told what follows.
const HEAD: usize = 8;

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Send the roster of this owner and content.
    Get { owner: OwnerTag, hash: ShortHash },
    /// Here is a roster that you may not have.
    Bring { signature: Arc<[u8]>, roster: Arc<[u8]> },
    /// Here is the roster that was asked for.
    Here { signature: Arc<[u8]>, roster: Arc<[u8]> },
    /// It is not here, or not for you.
    NotHere,
    /// What became of the roster that was brought, in words.
    Verdict { accepted: bool, words: String },
}

/// Why what came is none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    #[error("it is of version {0}")]
    Version(u8),
    #[error("it says nothing that is known")]
    Unknown,
    #[error("it is larger than any roster")]
    TooLarge,
    #[error("it ended early")]
    CutShort,
    #[error("more came than was said")]
    TooMuch,
}

/// What is to be sent, piece by piece, without a copy of the roster.
#[derive(Debug)]
pub struct Sending {
    parts: [Arc<[u8]>; 3],
    part: usize,
    at: usize,
}

/// Reads what the other side says, as it comes.
#[derive(Debug, Default)]
pub struct Hearing {
    bytes: Vec<u8>,
}

impl Said {
    /// As it is sent.
    #[must_use]
    pub fn into_sending(self) -> Sending {
        let empty = || Arc::from([]);
        let (head, signature, roster) = match self {
            Self::Get { owner, hash } => {
                let mut head = vec![VERSION, GET, 0, 0, 0, 0, 0, 0];
                head.extend_from_slice(&owner);
                head.extend_from_slice(&hash);
                (head, empty(), empty())
            }
            Self::Bring { signature, roster } => (head_of(BRING, &signature, &roster), signature, roster),
            Self::Here { signature, roster } => (head_of(HERE, &signature, &roster), signature, roster),
            Self::NotHere => (vec![VERSION, NOT_HERE, 0, 0, 0, 0, 0, 0], empty(), empty()),
            Self::Verdict { accepted, mut words } => {
                words.truncate(words.floor_char_boundary(WORDS_MAX));
                let words: Arc<[u8]> = words.into_bytes().into();
                (head_of(if accepted { ACCEPTED } else { REFUSED }, &[], &words), empty(), words)
            }
        };
        Sending { parts: [head.into(), signature, roster], part: 0, at: 0 }
    }
}

fn head_of(kind: u8, signature: &[u8], roster: &[u8]) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "files are read within these bounds")]
    let (first, second) = (signature.len() as u16, roster.len() as u32);
    [&[VERSION, kind][..], &first.to_be_bytes(), &second.to_be_bytes()].concat()
}

impl Sending {
    /// What comes next; empty when all was sent.
    #[must_use]
    pub fn next(&self) -> &[u8] {
        self.parts.get(self.part).map_or(&[], |part| &part[self.at..])
    }

    /// So many octets of it were taken.
    pub fn advance(&mut self, octets: usize) {
        self.at += octets;
        while self.parts.get(self.part).is_some_and(|part| self.at >= part.len()) {
            self.part += 1;
            self.at = 0;
        }
    }
}

impl Hearing {
    /// How much came so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes what came. `Some` when all was said.
    ///
    /// # Errors
    /// As soon as it can be told that it is none of what may be said.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Option<Said>, TransferError> {
        self.bytes.extend_from_slice(bytes);
        let Some(&[version, kind, a, b, c, d, e, f]) = self.bytes.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        if version != VERSION {
            return Err(TransferError::Version(version));
        }
        let signature = usize::from(u16::from_be_bytes([a, b]));
        let roster = usize::try_from(u32::from_be_bytes([c, d, e, f])).unwrap_or(usize::MAX);
        let (first_max, second_max) = match kind {
            GET | NOT_HERE => (0, 0),
            BRING | HERE => (signify::FILE_MAX, ROSTER_BYTES_MAX),
            ACCEPTED | REFUSED => (0, WORDS_MAX),
            _ => return Err(TransferError::Unknown),
        };
        if signature > first_max || roster > second_max {
            return Err(TransferError::TooLarge);
        }
        let whole = HEAD + if kind == GET { 24 } else { signature + roster };
        match self.bytes.len().cmp(&whole) {
            std::cmp::Ordering::Less => Ok(None),
            std::cmp::Ordering::Greater => Err(TransferError::TooMuch),
            std::cmp::Ordering::Equal => self.said(kind, signature).map(Some),
        }
    }

    fn said(&self, kind: u8, signature: usize) -> Result<Said, TransferError> {
        let rest = &self.bytes[HEAD..];
        let (first, second) = rest.split_at(signature);
        Ok(match kind {
            GET => {
                let (Some(owner), Some(hash)) = (rest.first_chunk(), rest.last_chunk()) else {
                    return Err(TransferError::CutShort);
                };
                Said::Get { owner: *owner, hash: *hash }
            }
            BRING => Said::Bring { signature: first.into(), roster: second.into() },
            HERE => Said::Here { signature: first.into(), roster: second.into() },
            NOT_HERE => Said::NotHere,
            _ => {
                let words = String::from_utf8_lossy(second);
                Said::Verdict { accepted: kind == ACCEPTED, words: words.into_owned() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(said: Said) -> Vec<u8> {
        let mut sending = said.into_sending();
        let mut bytes = Vec::new();
        while !sending.next().is_empty() {
            let some = sending.next().len().min(5);
            bytes.extend_from_slice(&sending.next()[..some]);
            sending.advance(some);
        }
        bytes
    }

    fn hear(pieces: impl IntoIterator<Item = Vec<u8>>) -> Result<Option<Said>, TransferError> {
        let mut hearing = Hearing::default();
        let mut outcome = Ok(None);
        for piece in pieces {
            outcome = Ok(hearing.hear(&piece)?);
        }
        outcome
    }

    fn everything() -> Vec<Said> {
        let roster: Arc<[u8]> = Arc::from(vec![7; 1000]);
        vec![
            Said::Get { owner: [1; 8], hash: [2; 16] },
            Said::Bring { signature: Arc::from(*b"sig"), roster: roster.clone() },
            Said::Here { signature: Arc::from(*b"sig"), roster },
            Said::NotHere,
            Said::Verdict { accepted: true, words: "serial 7".into() },
            Said::Verdict { accepted: false, words: String::new() },
        ]
    }

    #[test]
    fn what_is_said_is_heard_however_it_is_cut() {
        for said in everything() {
            let bytes = sent(said.clone());
            for size in [1, 3, 8, 100, 10_000] {
                assert_eq!(hear(bytes.chunks(size).map(<[u8]>::to_vec)), Ok(Some(said.clone())), "{size}");
            }
            for end in 0..bytes.len() {
                assert_eq!(hear([bytes[..end].to_vec()]), Ok(None), "{said:?} {end}");
            }
            let more = [&bytes[..], b"x"].concat();
            assert_eq!(hear([more]), Err(TransferError::TooMuch));
        }
    }

    #[test]
    fn what_is_none_of_it_is_refused_before_it_is_taken() {
        assert_eq!(hear([vec![2, GET, 0, 0, 0, 0, 0, 0]]), Err(TransferError::Version(2)));
        assert_eq!(hear([vec![VERSION, 9, 0, 0, 0, 0, 0, 0]]), Err(TransferError::Unknown));
        assert_eq!(hear([vec![VERSION, HERE, 0, 0, 0xff, 0, 0, 0]]), Err(TransferError::TooLarge));
        assert_eq!(hear([vec![VERSION, HERE, 0xff, 0, 0, 0, 0, 0]]), Err(TransferError::TooLarge));
        assert_eq!(hear([vec![VERSION, REFUSED, 0, 0, 0, 1, 0, 0]]), Err(TransferError::TooLarge));
    }

    #[test]
    fn long_words_are_cut_at_a_letter() {
        let said = Said::Verdict { accepted: false, words: "ä".repeat(WORDS_MAX) };
        let Ok(Some(Said::Verdict { words, .. })) = hear([sent(said)]) else { panic!() };
        assert_eq!(words, "ä".repeat(WORDS_MAX / 2));
    }

    proptest! {
        #[test]
        fn any_octets_are_heard_or_refused(
            kind in 0u8..8,
            first in proptest::collection::vec(any::<u8>(), 0..100),
            second in proptest::collection::vec(any::<u8>(), 0..100),
            more in prop_oneof![4 => Just(0_usize), 1 => 1..9_usize],
        ) {
            let bytes = [&head_of(kind, &first, &second)[..], &first, &second, &[7].repeat(more)].concat();
            let heard = hear([bytes.clone()]);
            if [BRING, HERE].contains(&kind) {
                prop_assert_eq!(heard.is_ok(), more == 0);
            }
            if let Ok(Some(said @ (Said::Bring { .. } | Said::Here { .. }))) = heard {
                prop_assert_eq!(sent(said), bytes);
            }
        }
    }
}
