//! Descriptors that the runtime watches.

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use inotify::Inotify;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A value that owns one descriptor.
///
/// # Safety
/// `as_raw_fd` gives the same open descriptor for as long as the value lives.
pub(super) unsafe trait OwnsDescriptor: AsRawFd {}

// SAFETY: std's socket owns its descriptor and closes it when dropped; nothing replaces it.
unsafe impl OwnsDescriptor for UdpSocket {}
// SAFETY: std's file owns its descriptor and closes it when dropped; nothing replaces it.
unsafe impl OwnsDescriptor for File {}
// SAFETY: inotify's descriptor is behind a guard that closes it when dropped; `close` takes the value.
unsafe impl OwnsDescriptor for Inotify {}
// SAFETY: netlink-sys' socket owns its descriptor and closes it when dropped; nothing replaces it.
unsafe impl OwnsDescriptor for netlink_sys::Socket {}

/// Has the runtime watch a descriptor. In the context of a tokio runtime.
pub(super) fn watch<T: OwnsDescriptor>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: `OwnsDescriptor` promises what `register_with_interest` asks for.
    unsafe { AsyncFd::register_with_interest(inner, interest) }.map_err(|refused| refused.into_parts().1)
}
