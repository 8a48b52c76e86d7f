//! DNS's messages (RFC 1035, section 4), as much of them as one question and its answer take.

use std::net::{Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
/// Bytes of a name at most.
const NAME_MAX: usize = 255;

const IS_ANSWER: u8 = 0x80;
const OPCODE: u8 = 0x78;
const IS_THE_AUTHORITY: u8 = 0x04;
const WANTS_RECURSION: u8 = 0x01;

const MALFORMED: u8 = 1;
pub(super) const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
pub(super) const REFUSED: u8 = 5;

const INTERNET: u16 = 1;
const A: u16 = 1;
const AAAA: u16 = 28;
const ANY: u16 = 255;
/// Where the question's name is in every message.
const NAME_OF_QUESTION: u16 = 0xc000 | HEADER as u16;

/// What is asked of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
    Any,
    /// Something that no place has.
    Other,
}

/// What a name has.
pub(super) enum Record {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// A message that asks.
pub(super) struct Query<'a> {
    bytes: &'a [u8],
    header: [u8; HEADER],
}

impl<'a> Query<'a> {
    /// `None` for what is too short, or itself an answer.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = *bytes.first_chunk()?;
        (header[2] & IS_ANSWER == 0).then_some(Self { bytes, header })
    }

    /// The name that is asked about, in lower case without a last dot, and what is asked of it; else the code that says
    /// what is wrong.
    pub(super) fn name(&self) -> Result<(String, Kind), u8> {
        if self.header[2] & OPCODE != 0 {
            return Err(NOT_IMPLEMENTED);
        }
        if self.header[4..6] != [0, 1] {
            return Err(MALFORMED);
        }
        let (name, rest) = name(&self.bytes[HEADER..]).ok_or(MALFORMED)?;
        let [a, b, c, d] = *rest.first_chunk().ok_or(MALFORMED)?;
        if u16::from_be_bytes([c, d]) != INTERNET {
            return Err(REFUSED);
        }
        let kind = match u16::from_be_bytes([a, b]) {
            A => Kind::V4,
            AAAA => Kind::V6,
            ANY => Kind::Any,
            _ => Kind::Other,
        };
        Ok((name, kind))
    }

    /// An answer without records.
    pub(super) fn refuse(&self, code: u8) -> Vec<u8> {
        self.head(code, 0)
    }

    /// An answer with these records of the name, or with none.
    pub(super) fn answer(&self, kept: u32, records: impl Iterator<Item = Record>) -> Vec<u8> {
        let records: Vec<Record> = records.collect();
        let mut bytes = self.head(0, u8::try_from(records.len()).unwrap_or(u8::MAX));
        for record in records {
            let (kind, data) = match record {
                Record::V4(address) => (A, address.octets().to_vec()),
                Record::V6(address) => (AAAA, address.octets().to_vec()),
            };
            for word in [NAME_OF_QUESTION, kind, INTERNET] {
                bytes.extend_from_slice(&word.to_be_bytes());
            }
            bytes.extend_from_slice(&kept.to_be_bytes());
            bytes.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend_from_slice(&data);
        }
        bytes
    }

    /// The header, and the question where it can be read.
    fn head(&self, code: u8, answers: u8) -> Vec<u8> {
        let [id, id_too, flags, ..] = self.header;
        let flags = IS_ANSWER | IS_THE_AUTHORITY | (flags & (OPCODE | WANTS_RECURSION));
        let question = name(&self.bytes[HEADER..])
            .filter(|_| self.header[4..6] == [0, 1])
            .and_then(|(_, rest)| self.bytes.get(HEADER..self.bytes.len() - rest.len() + 4));
        let mut bytes =
            vec![id, id_too, flags, code, 0, u8::from(question.is_some()), 0, answers, 0, 0, 0, 0];
        bytes.extend_from_slice(question.unwrap_or_default());
        bytes
    }
}

/// A name in lower case, and what follows it. `None` for one that is cut short, too long, or not of plain labels.
fn name(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut name, mut rest) = (String::new(), bytes);
    loop {
        let (&length, after) = rest.split_first()?;
        if length == 0 {
            return Some((name, after));
        }
        // A longer one is a pointer, and there is nothing yet to point to.
        let (label, after) = after.split_at_checked(usize::from(length)).filter(|_| length < 64)?;
        if name.len() + label.len() + 2 > NAME_MAX {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        // A dot inside a label would be taken for the end of one.
        let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'.';
        name.push_str(std::str::from_utf8(label).ok().filter(|_| label.iter().all(plain))?);
        name.make_ascii_lowercase();
        rest = after;
    }
}
