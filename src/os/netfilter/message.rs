//! Netlink's messages and attributes (`linux/netlink.h`, `linux/netfilter/nfnetlink.h`): written into a buffer, and read
//! back with every length checked.

use std::io;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct nfgenmsg`.
const FAMILY: usize = 4;
/// `struct nlattr`.
const ATTRIBUTE: usize = 4;
const ALIGN: usize = 4;
/// The value is attributes itself.
const NESTED: u16 = 1 << 15;
/// The bits of an attribute's type that name it.
const KIND: u16 = 0x3fff;

/// A request being written.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// `subsystem` and `kind` name it (`NFNL_SUBSYS_…`), `flags` are `NLM_F_…` beside NLM_F_REQUEST.
    pub(super) fn new(subsystem: u8, kind: u8, flags: i32, family: u8) -> Self {
        let flags = u16::try_from(libc::NLM_F_REQUEST | flags).unwrap_or_default();
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(u16::from(subsystem) << 8 | u16::from(kind)).to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        // Sequence and port: one question at a time on a socket of its own needs neither.
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[family, 0, 0, 0]);
        Self(bytes)
    }

    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        self
    }

    pub(super) fn nested(self, kind: u16, value: &[u8]) -> Self {
        self.attribute(kind | NESTED, value)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// One message of an answer.
pub(super) enum Message<'a> {
    Data(Data<'a>),
    /// The answer is complete, or refused.
    End(io::Result<()>),
}

pub(super) struct Data<'a> {
    pub(super) subsystem: u8,
    pub(super) kind: u8,
    /// `AF_INET`, `NFPROTO_INET`, …
    pub(super) family: u8,
    pub(super) attributes: Attributes<'a>,
}

/// The messages of one read.
pub(super) struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        loop {
            let length = u32::from_ne_bytes(head(self.0)?) as usize;
            if length < HEADER || length > self.0.len() {
                return None;
            }
            let (message, rest) = (&self.0[..length], self.0.get(length.next_multiple_of(ALIGN)..));
            self.0 = rest.unwrap_or_default();
            let kind = u16::from_ne_bytes([message[4], message[5]]);
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
                _ => {
                    let attributes = Attributes(body.get(FAMILY..).unwrap_or_default());
                    let [subsystem, kind] = kind.to_be_bytes();
                    let family = body.first().copied().unwrap_or_default();
                    return Some(Message::Data(Data { subsystem, kind, family, attributes }));
                }
            }
        }
    }
}

/// Attributes, each its kind and value. What is cut short ends them.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The first of this kind.
    pub(super) fn find(mut self, wanted: u16) -> Option<&'a [u8]> {
        self.find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// The attributes inside the first of this kind.
    pub(super) fn inside(self, wanted: u16) -> Option<Self> {
        self.find(wanted).map(Self)
    }

    /// The value of the first of this kind, when it has just this many bytes.
    pub(super) fn array<const N: usize>(self, wanted: u16) -> Option<[u8; N]> {
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
        let bytes =
            Request::new(1, 2, libc::NLM_F_ACK, 10).attribute(5, b"abc").nested(7, &[4, 0, 1, 0]).finish();
        let mut messages = Messages::new(&bytes);
        let Some(Message::Data(data)) = messages.next() else { panic!() };
        assert_eq!((data.subsystem, data.kind, data.family), (1, 2, 10));
        assert_eq!(data.attributes.find(5), Some(&b"abc"[..]));
        assert_eq!(data.attributes.array::<3>(5), Some(*b"abc"));
        assert_eq!(data.attributes.array::<4>(5), None);
        assert_eq!(data.attributes.inside(7).unwrap().count(), 1);
        assert!(messages.next().is_none());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = Request::new(1, 2, 0, 2).nested(1, &[8, 0, 1, 0, 1, 2, 3, 4]).attribute(2, &[1]).finish();
        for end in 0..good.len() {
            for (at, byte) in [(0, 0), (0, 0xff), (20, 1), (20, 0xff), (24, 0xff)] {
                let mut bytes = good[..end].to_vec();
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
                for message in Messages::new(&bytes) {
                    if let Message::Data(data) = message {
                        for (_, value) in data.attributes {
                            assert!(Attributes(value).count() <= value.len());
                        }
                    }
                }
            }
        }
    }
}
