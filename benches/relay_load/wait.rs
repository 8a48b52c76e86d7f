//! Waiting until one of some sockets has something.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Returns when a socket can be read or the time, in whole milliseconds, is over; a zero time only looks.
pub fn for_any<'a>(sockets: impl Iterator<Item = &'a UdpSocket>, time: Duration) -> io::Result<()> {
    let entry =
        |socket: &UdpSocket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<_> = sockets.map(entry).collect();
    let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer and the length are those of one live, exclusively borrowed vector.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, millis) };
    match ready {
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
    }
}
