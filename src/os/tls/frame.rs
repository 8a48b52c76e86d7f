//! Datagrams in a stream: each behind its length, two bytes, big-endian.
//!
//! Nothing of ours is shorter than WireGuard's keepalive or much longer than the largest packet of a tunnel. Whoever
//! says otherwise speaks something else, and there is no finding the next frame behind it: the connection ends.

use std::io::{self, Read};

/// The shortest datagram, in bytes: a keepalive (WireGuard paper, section 5.4.6).
pub const DATAGRAM_MIN: usize = 32;
/// The longest: a tunnel's packet of 9,000 bytes, sealed and in a relay frame, with room to spare.
pub const DATAGRAM_MAX: usize = 9_600;
/// What a datagram is longer in the stream.
pub const LENGTH: usize = 2;

/// The stream is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes")]
pub struct FrameError(usize);

/// The stream's end that is no whole frame yet.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Takes what `stream` has, up to `bytes`.
    ///
    /// # Errors
    /// The stream's.
    pub fn read(&mut self, stream: &mut impl Read, bytes: usize) -> io::Result<()> {
        let before = self.bytes.len();
        self.bytes.resize(before + bytes, 0);
        let mut filled = before;
        while filled < self.bytes.len() {
            match stream.read(&mut self.bytes[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }

    /// Every frame that is whole, one behind the other; empty when none is any more.
    ///
    /// # Errors
    /// What comes next is no frame.
    pub fn take(&mut self) -> Result<Vec<u8>, FrameError> {
        let mut end = 0;
        while let Some(&[high, low]) = self.bytes[end..].first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let is_frame = (DATAGRAM_MIN..=DATAGRAM_MAX).contains(&length);
            if !is_frame && end == 0 {
                return Err(FrameError(length));
            }
            if !is_frame || self.bytes.len() - end < LENGTH + length {
                break;
            }
            end += LENGTH + length;
        }
        let rest = self.bytes.split_off(end);
        Ok(std::mem::replace(&mut self.bytes, rest))
    }

    /// Bytes that wait for the rest of their frame.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.bytes.len()
    }
}

/// The datagrams of whole frames. What is cut short is left out.
pub fn datagrams(frames: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let (&mut [high, low], behind) = std::mem::take(&mut rest).split_first_chunk_mut()?;
        let (datagram, behind) = behind.split_at_mut_checked(usize::from(u16::from_be_bytes([high, low])))?;
        rest = behind;
        Some(datagram)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(datagrams: &[&[u8]]) -> Vec<u8> {
        let mut stream = Vec::new();
        for datagram in datagrams {
            stream.extend_from_slice(&u16::try_from(datagram.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(datagram);
        }
        stream
    }

    #[test]
    fn datagrams_come_out_whole_however_the_stream_is_cut() {
        let sent: Vec<Vec<u8>> =
            [32, 148, 1452, 9_600, 33].iter().map(|&length| vec![length as u8; length]).collect();
        let stream = framed(&sent.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for step in [1, 2, 3, 31, 1_000, stream.len()] {
            let (mut frames, mut came) = (Frames::default(), Vec::new());
            for mut part in stream.chunks(step) {
                frames.read(&mut part, step).unwrap();
                let mut whole = frames.take().unwrap();
                came.extend(datagrams(&mut whole).map(|datagram| datagram.to_vec()));
            }
            assert_eq!(came, sent, "in steps of {step}");
            assert_eq!(frames.waiting(), 0);
        }
    }

    #[test]
    fn what_is_no_frame_of_ours_is_seen_at_its_length() {
        for (stream, length) in [
            (&[0, 0][..], 0),
            (&[0, 31], 31),
            (b"HTTP/1.1 400 Bad Request\r\n", 0x4854),
            (&[0xff, 0xff], 65_535),
        ] {
            let mut frames = Frames::default();
            frames.read(&mut &stream[..], stream.len()).unwrap();
            assert_eq!(frames.take(), Err(FrameError(length)));
        }
    }
}
