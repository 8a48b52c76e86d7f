//! What waits for a connection to take it: short datagrams ahead of long ones, each lane bounded.
//!
//! Handshakes, probes and keepalives are short, and must not wait behind a transfer, or the tunnel is thought dead
//! where it is only slow. A full lane loses the oldest: who waits for that one has waited longest, and TCP in the tunnel
//! hears of the loss soonest. Little waits in the kernel (TCP_NOTSENT_LOWAT), where nothing can be dropped.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::frame::{DATAGRAM_MAX, DATAGRAM_MIN, LENGTH};

/// What is not longer than this, in bytes, is short: WireGuard's handshakes (148) and less.
const SHORT: usize = 148;
/// Bytes of the lanes: at 10 Mbit/s the long one is 50 ms.
const SHORT_BYTES_MAX: usize = 8 * 1024;
const LONG_BYTES_MAX: usize = 64 * 1024;

/// One connection, between the event loop and its task. The lock is never waited for: the runtime has one thread.
#[derive(Debug, Default)]
pub(super) struct Line {
    lanes: Mutex<Lanes>,
    wake: Notify,
    /// The engine had more to say to it than a stranger gets.
    proven: AtomicBool,
    cut: AtomicBool,
}

#[derive(Debug, Default)]
struct Lanes {
    short: Lane,
    long: Lane,
}

/// Whole frames, one behind the other.
#[derive(Debug, Default)]
struct Lane {
    frames: VecDeque<u8>,
}

impl Line {
    /// Takes datagrams; how many were lost.
    pub(super) fn push<'d>(&self, datagrams: impl Iterator<Item = &'d [u8]>) -> u64 {
        let mut lost = 0;
        let mut lanes = self.lanes();
        for datagram in datagrams {
            if !(DATAGRAM_MIN..=DATAGRAM_MAX).contains(&datagram.len()) {
                lost += 1;
                continue;
            }
            // A cookie (3) is what a stranger may get; everything else goes to who has proved a peer's key.
            if datagram[0] != 3 {
                self.proven.store(true, Ordering::Relaxed);
            }
            lost += match datagram.len() {
                ..=SHORT => lanes.short.push(datagram, SHORT_BYTES_MAX),
                _ => lanes.long.push(datagram, LONG_BYTES_MAX),
            };
        }
        drop(lanes);
        self.wake.notify_one();
        lost
    }

    /// Moves whole frames to the end of `record`, as long as it is no longer than `bytes` after.
    pub(super) fn take(&self, record: &mut Vec<u8>, bytes: usize) {
        let mut lanes = self.lanes();
        lanes.short.take(record, bytes);
        lanes.long.take(record, bytes);
    }

    /// Waits until something was pushed, or the line was cut.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether a peer was heard through it.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Has the connection end.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// How many others were lost for it.
    fn push(&mut self, datagram: &[u8], bytes_max: usize) -> u64 {
        let mut lost = 0;
        while self.frames.len() + LENGTH + datagram.len() > bytes_max {
            let Some(first) = self.first() else { break };
            self.frames.drain(..first);
            lost += 1;
        }
        let Ok(length) = u16::try_from(datagram.len()) else { return lost + 1 };
        self.frames.extend(length.to_be_bytes());
        self.frames.extend(datagram);
        lost
    }

    /// The first frame's length, with the bytes that say so.
    fn first(&self) -> Option<usize> {
        let (high, low) = (*self.frames.front()?, *self.frames.get(1)?);
        Some(LENGTH + usize::from(u16::from_be_bytes([high, low])))
    }

    fn take(&mut self, record: &mut Vec<u8>, bytes_max: usize) {
        let mut end = 0;
        while let (Some(&high), Some(&low)) = (self.frames.get(end), self.frames.get(end + 1)) {
            let length = LENGTH + usize::from(u16::from_be_bytes([high, low]));
            if record.len() + end + length > bytes_max {
                break;
            }
            end += length;
        }
        record.extend(self.frames.drain(..end));
        // What a busy minute needed is not kept for a quiet day.
        if self.frames.is_empty() && self.frames.capacity() > SHORT_BYTES_MAX {
            self.frames = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &Line) -> Vec<Vec<u8>> {
        let mut record = Vec::new();
        line.take(&mut record, 16 * 1024);
        super::super::frame::datagrams(&mut record).map(|datagram| datagram.to_vec()).collect()
    }

    #[test]
    fn a_handshake_goes_ahead_of_a_transfer() {
        let line = Line::default();
        assert_eq!(line.push([&[4; 1_452][..], &[1; 148], &[4; 32]].into_iter()), 0);
        assert_eq!(taken(&line), [vec![1; 148], vec![4; 32], vec![4; 1_452]]);
        assert!(taken(&line).is_empty());
    }

    #[test]
    fn a_full_lane_loses_the_oldest_and_says_how_many() {
        let line = Line::default();
        let datagrams: Vec<Vec<u8>> = (0..100_u8).map(|n| vec![n; 1_000]).collect();
        let lost = line.push(datagrams.iter().map(Vec::as_slice));
        let mut kept = Vec::new();
        loop {
            let some = taken(&line);
            if some.is_empty() {
                break;
            }
            kept.extend(some);
        }
        assert_eq!(lost + kept.len() as u64, 100);
        assert_eq!(kept, datagrams[usize::try_from(lost).unwrap()..]);
        assert!((60..=65).contains(&kept.len()));
    }

    #[test]
    fn what_is_no_datagram_of_ours_is_lost_and_counted() {
        let line = Line::default();
        assert_eq!(line.push([&[4; 31][..], &[4; 9_601], &[]].into_iter()), 3);
        assert!(taken(&line).is_empty());
    }

    #[test]
    fn a_cookie_proves_nobody() {
        let line = Line::default();
        line.push([&[3; 64][..]].into_iter());
        assert!(!line.is_proven());
        line.push([&[2; 92][..]].into_iter());
        assert!(line.is_proven());
    }
}
