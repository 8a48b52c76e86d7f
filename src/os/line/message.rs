//! Netlink's messages and attributes (`linux/netlink.h`): written into a buffer, and read back with every length checked.

use std::io;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct nlattr`.
const ATTRIBUTE: usize = 4;
const ALIGN: usize = 4;
/// The value is attributes itself.
const NESTED: u16 = 1 << 15;
/// The bits of an attribute's type that name it.
const KIND: u16 = 0x3fff;

/// A request being written.
pub(in crate::os) struct Request(Vec<u8>);

impl Request {
    /// `flags` are `NLM_F_…` beside NLM_F_REQUEST. `head` is the structure that messages of this kind begin with, in whole
    /// words, and may have attributes behind it.
    pub(in crate::os) fn new(kind: u16, flags: i32, head: &[u8]) -> Self {
        let flags = u16::try_from(libc::NLM_F_REQUEST | flags).unwrap_or_default();
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(head);
        Self(bytes)
    }

    pub(in crate::os) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        self
    }

    pub(in crate::os) fn nested(self, kind: u16, value: &[u8]) -> Self {
        self.attribute(kind | NESTED, value)
    }

    /// The bytes to send; the answer's messages carry the same sequence number.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// One message of an answer.
pub(in crate::os) enum Message<'a> {
    Data(Data<'a>),
    /// The answer is complete, or refused.
    End(io::Result<()>),
}

/// A message that tells something.
#[derive(Clone, Copy)]
pub(in crate::os) struct Data<'a> {
    pub(in crate::os) kind: u16,
    /// The structure that messages of this kind begin with, and attributes.
    pub(in crate::os) body: &'a [u8],
}

impl<'a> Data<'a> {
    /// The structure at the beginning, of `N` bytes, and the attributes behind it.
    pub(in crate::os) fn split<const N: usize>(self) -> Option<([u8; N], Attributes<'a>)> {
        let (head, attributes) = self.body.split_first_chunk()?;
        Some((*head, Attributes(attributes)))
    }
}

/// The messages of one read.
pub(in crate::os) struct Messages<'a> {
    bytes: &'a [u8],
    /// Of the answer waited for; `None`: whatever comes.
    sequence: Option<u32>,
}

impl<'a> Messages<'a> {
    pub(in crate::os) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, sequence: None }
    }

    /// Those that answer one request; what is left of an older answer is passed over.
    pub(super) fn answering(sequence: u32, bytes: &'a [u8]) -> Self {
        Self { bytes, sequence: Some(sequence) }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        loop {
            let length = u32::from_ne_bytes(head(self.bytes)?) as usize;
            if length < HEADER || length > self.bytes.len() {
                return None;
            }
            let (message, rest) = (&self.bytes[..length], self.bytes.get(length.next_multiple_of(ALIGN)..));
            self.bytes = rest.unwrap_or_default();
            let kind = u16::from_ne_bytes([message[4], message[5]]);
            let sequence = head(&message[8..]).map(u32::from_ne_bytes);
            if self.sequence.is_some() && self.sequence != sequence {
                continue;
            }
            let body = &message[HEADER..];
            match i32::from(kind) {
                libc::NLMSG_NOOP => {}
                // A dump's end may carry an error's number too.
                libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                    let code = head(body).map_or(0, i32::from_ne_bytes);
                    return Some(Message::End(match code {
                        0.. => Ok(()),
                        _ => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                    }));
                }
                _ => return Some(Message::Data(Data { kind, body })),
            }
        }
    }
}

/// Attributes, each its kind and value. What is cut short ends them.
#[derive(Clone, Copy)]
pub(in crate::os) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The first of this kind.
    pub(in crate::os) fn find(mut self, wanted: u16) -> Option<&'a [u8]> {
        self.find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// The attributes inside the first of this kind.
    pub(in crate::os) fn inside(self, wanted: u16) -> Option<Self> {
        self.find(wanted).map(Self)
    }

    /// The value of the first of this kind, when it has just this many bytes.
    pub(in crate::os) fn array<const N: usize>(self, wanted: u16) -> Option<[u8; N]> {
        self.find(wanted)?.try_into().ok()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let [a, b, c, d] = head(self.0)?;
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]) & KIND);
        let value = self.0.get(ATTRIBUTE..length)?;
        self.0 = self.0.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((kind, value))
    }
}

fn head<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let request = Request::new(0x0102, libc::NLM_F_ACK, &[10, 0, 0, 0]);
        let bytes = request.attribute(5, b"abc").nested(7, &[4, 0, 1, 0]).finish(3);
        let mut messages = Messages::answering(3, &bytes);
        let Some(Message::Data(data)) = messages.next() else { panic!() };
        let (head, attributes) = data.split::<4>().unwrap();
        assert_eq!((data.kind, head), (0x0102, [10, 0, 0, 0]));
        assert_eq!(attributes.find(5), Some(&b"abc"[..]));
        assert_eq!(attributes.array::<3>(5), Some(*b"abc"));
        assert_eq!(attributes.array::<4>(5), None);
        assert_eq!(attributes.inside(7).unwrap().count(), 1);
        assert!(messages.next().is_none());
    }

    #[test]
    fn what_is_left_of_an_older_answer_is_passed_over() {
        let older = Request::new(20, 0, &[1, 0, 0, 0]).attribute(1, b"old!").finish(6);
        let newer = Request::new(20, 0, &[2, 0, 0, 0]).finish(7);
        let both = [older, newer].concat();
        let seen: Vec<u8> = Messages::answering(7, &both)
            .map(|message| match message {
                Message::Data(data) => data.body[0],
                Message::End(_) => panic!("nothing ends"),
            })
            .collect();
        assert_eq!(seen, [2]);
        assert_eq!(Messages::new(&both).count(), 2, "news are whoever's");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let request = Request::new(0x0102, 0, &[2, 0, 0, 0]);
        let good = request.nested(1, &[8, 0, 1, 0, 1, 2, 3, 4]).attribute(2, &[1]).finish(0);
        for end in 0..good.len() {
            for (at, byte) in [(0, 0), (0, 0xff), (20, 1), (20, 0xff), (24, 0xff)] {
                let mut bytes = good[..end].to_vec();
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
                for message in Messages::new(&bytes) {
                    if let Message::Data(data) = message
                        && let Some((_, attributes)) = data.split::<4>()
                    {
                        for (_, value) in attributes {
                            assert!(Attributes(value).count() <= value.len());
                        }
                    }
                }
            }
        }
    }
}
