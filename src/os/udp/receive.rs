//! Reading the socket, a batch at a time.

use std::array;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::Instant;

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef};
use tokio::io::Interest;

use super::{UdpPort, from_socket};
use crate::base::canonical;
use crate::engine::Datagram;
use crate::os::batch::Batch;

/// Bytes of one slot: a train of GRO's has up to 64 KiB, and what doesn't fit is lost.
const SLOT: usize = 64 * 1024;

/// Trains read at once: more would make whoever is behind them wait, and take memory that stays.
pub(super) const TRAINS: usize = 2;
/// What is longer than this, in bytes, is read as trains are.
const LONG: usize = 8 * 1024;

/// "Congestion experienced" (RFC 3168, section 5). The tunnel carries it to the packet inside.
const CONGESTED: u8 = 3;

/// Memory that datagrams are read into, used again for every batch. Pages that no train touched are never resident.
pub struct ReceiveSlots {
    memory: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
}

impl std::fmt::Debug for ReceiveSlots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveSlots").field("bytes", &self.memory.len()).finish_non_exhaustive()
    }
}

impl ReceiveSlots {
    /// The most bytes of one batch.
    pub const BYTES: usize = SLOT * BATCH_SIZE;
}

impl Default for ReceiveSlots {
    fn default() -> Self {
        Self { memory: vec![0; Self::BYTES], metas: [RecvMeta::default(); BATCH_SIZE] }
    }
}

impl UdpPort {
    /// Waits until a queue may have something to read.
    ///
    /// # Errors
    /// The runtime's, when it shuts down.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| {
            for queue in &self.queues {
                // Readiness is cleared by `receive`, once it has seen the socket empty.
                if let Poll::Ready(ready) = queue.socket.poll_read_ready(context) {
                    return Poll::Ready(ready.map(|mut guard| guard.retain_ready()));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Reads a batch from a queue without waiting and hands it to `handle`, unless nothing waits.
    ///
    /// # Errors
    /// The kernel's for this read. The next one may well succeed.
    pub fn receive(
        &mut self,
        queue: usize,
        slots: &mut ReceiveSlots,
        now: Instant,
        handle: impl FnOnce(&mut [Datagram<'_>]),
    ) -> io::Result<Batch> {
        let Some(queue) = self.queues.get_mut(queue) else { return Ok(Batch::Empty) };
        let mut memory = slots.memory.chunks_exact_mut(SLOT);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            array::from_fn(|_| IoSliceMut::new(memory.next().unwrap_or_default()));
        let asked = queue.batch;
        let mut count = 0;
        let outcome = queue.socket.try_io(Interest::READABLE, |socket| {
            let socket = UdpSockRef::from(socket);
            count = queue.state.recv(socket, &mut buffers[..asked], &mut slots.metas[..asked])?;
            // A batch that is not full emptied the socket. Saying so spares the read that would find it empty.
            if count < asked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ if count == 0 => return Ok(Batch::Empty),
            _ => {}
        }
        let metas = &slots.metas[..count];
        let more = count == asked;
        let (longest, bytes) =
            metas.iter().fold((0, 0), |(longest, bytes), meta| (meta.len.max(longest), bytes + meta.len));
        queue.batch = if more && longest <= LONG { BATCH_SIZE.min(2 * asked) } else { TRAINS };
        let marks = queue.marks(count, bytes, more, now);
        let mut filled = slots.memory.chunks_exact_mut(SLOT).zip(metas);
        let mut datagrams: [Datagram<'_>; BATCH_SIZE + 1] =
            array::from_fn(|_| filled.next().map_or_else(none, datagram));
        let mut read = count;
        if marks {
            // The last one: what is behind the marked datagram of a train stays in its place.
            let (marked, rest) = mark(mem::replace(&mut datagrams[count - 1], none()));
            datagrams[count - 1] = marked;
            if !rest.bytes.is_empty() {
                datagrams[count] = rest;
                read += 1;
            }
        }
        handle(&mut datagrams[..read]);
        Ok(if more { Batch::More } else { Batch::Last })
    }
}

fn datagram<'m>((slot, meta): (&'m mut [u8], &RecvMeta)) -> Datagram<'m> {
    let length = meta.len.min(slot.len());
    Datagram {
        source: from_socket(meta.addr),
        local: meta.dst_ip.map(canonical),
        ecn: meta.ecn.map_or(0, |ecn| ecn as u8),
        bytes: &mut slot[..length],
        stride: meta.stride.clamp(1, SLOT),
    }
}

/// Marks the first datagram of a train as a router with a long queue does; the others stay as they are.
fn mark(train: Datagram<'_>) -> (Datagram<'_>, Datagram<'_>) {
    let (first, rest) = train.bytes.split_at_mut(train.stride.min(train.bytes.len()));
    (Datagram { ecn: CONGESTED, bytes: first, ..train }, Datagram { bytes: rest, ..train })
}

/// What fills the array behind the last datagram. Never seen.
fn none<'m>() -> Datagram<'m> {
    let source = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    Datagram { source, local: None, ecn: 0, bytes: &mut [], stride: 1 }
}
