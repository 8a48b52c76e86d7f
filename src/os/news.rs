//! News from the kernel: a netlink socket in some groups, read into one fixed buffer. News that were lost count as news.

use std::io;

use netlink_sys::{Socket, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ready;

/// Bytes of the largest message that Linux sends (`NLMSG_GOODSIZE` is 8 KiB), and room besides.
const MESSAGE_MAX: usize = 64 * 1024;

/// Made inside a tokio runtime.
#[derive(Debug)]
pub(super) struct News {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
}

impl News {
    /// `groups` has a bit for each group of the protocol, the first group's the lowest.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn open(protocol: isize, groups: u32) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind(&SocketAddr::new(0, groups))?;
        socket.set_non_blocking(true)?;
        let socket = ready::watch(socket, Interest::READABLE)?;
        Ok(Self { socket, buffer: Vec::with_capacity(MESSAGE_MAX) })
    }

    /// Waits for messages that are the news meant; what comes besides costs a read and nothing else.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) async fn heard(&mut self, are_meant: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        loop {
            let mut guard = self.socket.readable().await?;
            self.buffer.clear();
            let buffer = &mut self.buffer;
            match guard.try_io(|socket| socket.get_ref().recv(buffer, 0)) {
                // Would block: wait again.
                Err(_) => {}
                Ok(Ok(_)) if are_meant(&self.buffer) => return Ok(()),
                Ok(Ok(_)) => {}
                // More news than there was room for.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// Forgets what happened so far.
    pub(super) fn forget(&mut self) {
        loop {
            self.buffer.clear();
            match self.socket.get_ref().recv(&mut self.buffer, 0) {
                Ok(_) => {}
                Err(error)
                    if error.raw_os_error() == Some(libc::ENOBUFS)
                        || error.kind() == io::ErrorKind::Interrupted => {}
                // Nothing more; or an error that the next wait meets.
                Err(_) => return,
            }
        }
    }
}
