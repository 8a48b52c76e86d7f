//! Writing to the socket: trains where the path takes them, datagram by datagram where it doesn't.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use quinn_udp::{EcnCodepoint, UdpSockRef};
use tokio::io::Interest;

use super::{UdpPort, to_socket, view};
use crate::engine::Transmit;
use crate::engine::backlog::count;

/// Bytes of one train at most: what fits one IP packet, as the kernel counts it.
const TRAIN_MAX: usize = 65_000;
/// How long an address that the host lost is left out.
const STALE: Duration = Duration::from_secs(10);
/// quinn-udp's state is made anew this often at most.
const RENEW: Duration = Duration::from_secs(1);

/// Datagrams that were not sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// The kernel refused them.
    pub refused: u64,
    /// The socket's buffer and the backlog were full.
    pub full: u64,
}

/// How far a datagram or train came.
enum Progress {
    Done,
    /// The socket's buffer is full; so many bytes went out before.
    Blocked {
        sent: usize,
    },
}

/// What the kernel said to one write.
enum Answer {
    Sent,
    Blocked,
    /// The path takes no trains.
    NoTrain,
    Refused,
}

impl UdpPort {
    /// Sends a datagram or train, or puts it in the backlog, or counts it as lost. Never waits.
    pub fn send(&mut self, transmit: &Transmit<'_>, now: Instant) {
        let mut sent = 0;
        if self.backlog.is_empty() {
            match self.try_send(transmit, now) {
                Progress::Done => return,
                Progress::Blocked { sent: before } => sent = before,
            }
        }
        let rest = Transmit { bytes: &transmit.bytes[sent..], ..*transmit };
        self.losses.full += self.backlog.push(&rest);
    }

    /// Whether datagrams wait for room in the socket's buffer.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Waits until the socket's buffer has room.
    ///
    /// # Errors
    /// The runtime's, when it shuts down.
    pub async fn writable(&self) -> io::Result<()> {
        self.queues[0].socket.writable().await?.retain_ready();
        Ok(())
    }

    /// Sends what waits, as far as there is room.
    pub fn flush(&mut self, now: Instant) {
        let mut backlog = std::mem::take(&mut self.backlog);
        while let Some(transmit) = backlog.first() {
            let length = transmit.bytes.len();
            match self.try_send(&transmit, now) {
                Progress::Done => backlog.advance(length),
                Progress::Blocked { sent } => {
                    backlog.advance(sent);
                    break;
                }
            }
        }
        self.backlog = backlog;
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    fn try_send(&mut self, transmit: &Transmit<'_>, now: Instant) -> Progress {
        let length = transmit.bytes.len();
        let segment = transmit.segment.clamp(1, length.max(1));
        let Some(destination) = to_socket(transmit.destination, self.family) else {
            self.losses.refused += count(length, segment);
            return Progress::Done;
        };
        let mut step = segment;
        if segment < length && !self.no_trains.contains(transmit.destination, now) {
            step = segment * self.segments_max.min(TRAIN_MAX / segment).max(1);
        }
        let mut sent = 0;
        while sent < length {
            let bytes = &transmit.bytes[sent..length.min(sent + step)];
            let write = Write { destination, local: transmit.local, ecn: transmit.ecn, bytes, segment };
            match self.write(&write, now) {
                Answer::Sent => {}
                Answer::Blocked => return Progress::Blocked { sent },
                Answer::NoTrain => {
                    self.no_trains.insert(transmit.destination, now);
                    step = segment;
                    continue;
                }
                Answer::Refused => self.losses.refused += count(bytes.len(), segment),
            }
            sent += bytes.len();
        }
        Progress::Done
    }

    /// One write, and a second one from any address of the host where it lost the one it was to come from.
    fn write(&mut self, write: &Write<'_>, now: Instant) -> Answer {
        let stale = self.stale_local.is_some_and(|(local, until)| Some(local) == write.local && until > now);
        let local = if stale { None } else { write.local };
        let mut outcome = self.write_from(write, local);
        if let (Err(error), Some(address)) = (&outcome, local)
            && is_about_the_source(error)
        {
            outcome = self.write_from(write, None);
            if outcome.is_ok() {
                self.stale_local = Some((address, now + STALE));
            }
        }
        self.renew(now);
        let Err(error) = outcome else { return Answer::Sent };
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                // Clears the readiness, so that `writable` waits for the next room.
                let _ = self.queues[0].socket.try_io(Interest::WRITABLE, |_| io::Result::<()>::Err(error));
                Answer::Blocked
            }
            _ if write.is_train() && is_about_the_train(&error) => Answer::NoTrain,
            _ => {
                tracing::trace!(%error, "datagram refused");
                Answer::Refused
            }
        }
    }

    fn write_from(&self, write: &Write<'_>, local: Option<IpAddr>) -> io::Result<()> {
        let queue = &self.queues[0];
        let transmit = quinn_udp::Transmit {
            destination: write.destination,
            ecn: EcnCodepoint::from_bits(write.ecn),
            contents: write.bytes,
            segment_size: write.is_train().then_some(write.segment),
            src_ip: local,
        };
        queue.state.try_send(UdpSockRef::from(queue.socket.get_ref()), &transmit)
    }

    /// quinn-udp takes one refusal for the host's last word: it gives up on GSO, and on ECN in IPv4. A refusal is
    /// about one path, so its state is made anew.
    fn renew(&mut self, now: Instant) {
        let queue = &mut self.queues[0];
        let gave_up = queue.state.max_gso_segments() < self.segments_max;
        if !gave_up || self.renewed.is_some_and(|last| now < last + RENEW) {
            return;
        }
        self.renewed = Some(now);
        if let Ok(state) = view(queue.socket.get_ref(), self.family) {
            queue.state = state;
        }
    }
}

/// One system call's worth.
struct Write<'a> {
    destination: SocketAddr,
    local: Option<IpAddr>,
    ecn: u8,
    bytes: &'a [u8],
    segment: usize,
}

impl Write<'_> {
    fn is_train(&self) -> bool {
        self.bytes.len() > self.segment
    }
}

/// What Linux says when GSO is not for this path (udp_send_skb): a segment is larger than the MTU, the device computes
/// no checksum, IPsec is on the path, or the kernel knows no GSO.
fn is_about_the_train(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

/// What Linux says when the host has no such address to send from, or no route from it.
fn is_about_the_source(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EADDRNOTAVAIL | libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENODEV)
    )
}
