//! Socket options that neither std nor socket2 has.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_void, socklen_t};

/// Sets an option whose value is an `int`.
pub(super) fn set(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open while it is borrowed; the pointer is to a c_int that lives through the call, and
    // the length is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast::<c_void>(),
            mem::size_of::<c_int>() as socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads an option whose value is an array of `N` 32-bit words. Words that the kernel doesn't know are zero.
pub(super) fn get<const N: usize>(socket: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<[u32; N]> {
    let mut value = [0u32; N];
    let mut length = mem::size_of_val(&value) as socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; `value` and `length` live through the call, and the kernel
    // writes at most `length` bytes, which is the size of `value`; every bit pattern is a u32.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Has the kernel run `program` for each datagram to the socket's port, to choose among the sockets that share it; in
/// the place of the last one.
pub(super) fn choose_by(socket: BorrowedFd<'_>, program: &mut [libc::sock_filter]) -> io::Result<()> {
    attach(socket, libc::SO_ATTACH_REUSEPORT_CBPF, program)
}

/// Has the kernel turn away whatever comes to the socket.
pub(super) fn keep_nothing(socket: BorrowedFd<'_>) -> io::Result<()> {
    let code = (libc::BPF_RET | libc::BPF_K) as u16;
    attach(socket, libc::SO_ATTACH_FILTER, &mut [libc::sock_filter { code, jt: 0, jf: 0, k: 0 }])
}

/// Gives the kernel a program of classic BPF.
fn attach(socket: BorrowedFd<'_>, name: c_int, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let description = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: the descriptor is open while it is borrowed; `description` and the `len` instructions that it points to
    // live through the call, which copies them; the length is that of `description`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw const description).cast::<c_void>(),
            mem::size_of_val(&description) as socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
