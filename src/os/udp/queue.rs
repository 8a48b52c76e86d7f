//! One socket of the port's.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use libc::sock_filter;
use quinn_udp::UdpSocketState;
use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::codel::Codel;
use super::{Family, receive, view};
use crate::os::{ready, sockopt};

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) socket: AsyncFd<UdpSocket>,
    /// quinn-udp's view of the socket; made anew when a refusal made it give up on offloads for good.
    pub(super) state: UdpSocketState,
    /// How many datagrams or trains are asked for at once.
    pub(super) batch: usize,
    codel: Codel,
    pace: Pace,
}

/// How fast the queue is read while it is never empty.
#[derive(Debug, Default)]
struct Pace {
    /// When the last batch was read, if it left something, and its bytes as the kernel counts them.
    last: Option<(Instant, u32)>,
    /// Seconds a byte; 0 is unknown.
    seconds_per_byte: f64,
}

/// What the kernel counts for a datagram or train besides its bytes, about (struct sk_buff and its room).
const OVERHEAD: u32 = 768;

impl Queue {
    pub(super) fn new(socket: Socket, family: Family, interest: Interest) -> io::Result<Self> {
        let socket = UdpSocket::from(socket);
        let state = view(&socket, family)?;
        Ok(Self {
            socket: ready::watch(socket, interest)?,
            state,
            batch: receive::TRAINS,
            codel: Codel::default(),
            pace: Pace::default(),
        })
    }

    /// Whether to mark one of a batch that was just read: so many datagrams or trains of so many bytes, and whether
    /// more waits.
    pub(super) fn marks(&mut self, count: usize, bytes: usize, more: bool, now: Instant) -> bool {
        let cost = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(count as u32 * OVERHEAD);
        let waited =
            if more { self.pace.time_for(waiting(self.socket.get_ref().as_fd())) } else { Duration::ZERO };
        self.pace.handle_batch(cost, more, now);
        self.codel.marks(waited, now)
    }

    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.get_ref().local_addr()?.port())
    }

    /// Lets other sockets have the port too.
    pub(super) fn share(&self) -> io::Result<()> {
        SockRef::from(self.socket.get_ref()).set_reuse_port(true)
    }

    /// Has the kernel choose by this program among the sockets of the port.
    pub(super) fn choose_by(&self, program: &mut [sock_filter]) -> io::Result<()> {
        sockopt::choose_by(self.socket.get_ref().as_fd(), program)
    }

    /// Datagrams that found no room.
    pub(super) fn drops(&self) -> u32 {
        drops(self.socket.get_ref().as_fd())
    }
}

impl Pace {
    fn handle_batch(&mut self, bytes: u32, more: bool, now: Instant) {
        if let Some((last, bytes)) = self.last {
            let pace = now.saturating_duration_since(last).as_secs_f64() / f64::from(bytes.max(1));
            let known = self.seconds_per_byte;
            self.seconds_per_byte = if known > 0.0 { known + (pace - known) / 16.0 } else { pace };
        }
        self.last = more.then_some((now, bytes));
    }

    fn time_for(&self, bytes: u32) -> Duration {
        Duration::try_from_secs_f64(f64::from(bytes) * self.seconds_per_byte).unwrap_or(Duration::MAX)
    }
}

/// Bytes that wait in a socket's buffer, as the kernel counts them.
fn waiting(socket: BorrowedFd<'_>) -> u32 {
    // sock_diag(7): SK_MEMINFO_RMEM_ALLOC is the first word of SO_MEMINFO.
    sockopt::get::<1>(socket, libc::SOL_SOCKET, libc::SO_MEMINFO).map_or(0, |words| words[0])
}

/// Datagrams that the kernel had for a socket and did not put into its buffer, since it was opened. Wraps around.
pub(super) fn drops(socket: BorrowedFd<'_>) -> u32 {
    // sock_diag(7): SK_MEMINFO_DROPS is the ninth word of SO_MEMINFO.
    sockopt::get::<9>(socket, libc::SOL_SOCKET, libc::SO_MEMINFO).map_or(0, |words| words[8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
    fn the_pace_is_that_of_reading_without_a_pause() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        assert_eq!(pace.time_for(1 << 20), Duration::ZERO, "nothing is known yet");
        for n in 0..100 {
            // A batch of 100,000 bytes every millisecond; and a long pause after a batch that left nothing.
            let pause = Duration::from_secs(if n < 50 { 0 } else { 10 });
            pace.handle_batch(100_000, n != 49, start + Duration::from_millis(n) + pause);
        }
        assert_eq!(pace.time_for(1_000_000).as_millis(), 10);
    }
}
