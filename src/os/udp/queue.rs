//! One socket of the port's.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};

use libc::sock_filter;
use quinn_udp::UdpSocketState;
use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Family, receive, view};
use crate::os::{ready, sockopt};

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) socket: AsyncFd<UdpSocket>,
    /// quinn-udp's view of the socket; made anew when a refusal made it give up on offloads for good.
    pub(super) state: UdpSocketState,
    /// How many datagrams or trains are asked for at once.
    pub(super) batch: usize,
}

impl Queue {
    pub(super) fn new(socket: Socket, family: Family, interest: Interest) -> io::Result<Self> {
        let socket = UdpSocket::from(socket);
        let state = view(&socket, family)?;
        Ok(Self { socket: ready::watch(socket, interest)?, state, batch: receive::TRAINS })
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

/// Datagrams that the kernel had for a socket and did not put into its buffer, since it was opened. Wraps around.
pub(super) fn drops(socket: BorrowedFd<'_>) -> u32 {
    // sock_diag(7): SK_MEMINFO_DROPS is the ninth word of SO_MEMINFO.
    sockopt::get::<9>(socket, libc::SOL_SOCKET, libc::SO_MEMINFO).map_or(0, |words| words[8])
}
