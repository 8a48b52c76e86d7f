//! Opening the device (`linux/if_tun.h`), with as much of segmentation offload as the kernel has.

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use libc::{c_int, c_short, c_uint, c_ulong};

use super::vnet_header::VnetHeader;

/// A device that is open.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) index: u32,
    pub(super) offload: Offload,
}

/// How packets cross the device; each has what those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Offload {
    /// One packet a call, and nothing else.
    Plain,
    /// Behind a [`VnetHeader`]: the kernel takes super packets of TCP. What it gives is whole.
    Framed,
    /// It leaves checksums to us.
    Checksum,
    /// It gives super packets of TCP.
    Tcp,
    /// It takes and gives those of UDP (Linux 6.2).
    Udp,
}

/// Everything first, then less.
const OFFERS: [(Offload, c_uint); 5] = {
    use libc::{TUN_F_CSUM, TUN_F_TSO_ECN, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6};
    let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    [
        (Offload::Udp, tcp | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6),
        (Offload::Tcp, tcp | TUN_F_TSO_ECN),
        (Offload::Tcp, tcp),
        (Offload::Checksum, TUN_F_CSUM),
        (Offload::Framed, 0),
    ]
};

/// What TUNSETIFF reads of a `struct ifreq`, and the rest of it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: c_short,
    rest: [u8; 32],
}

/// Makes the device, down; or takes a persistent one that nobody has.
pub(super) fn open(name: &str) -> io::Result<Opened> {
    let name = CString::new(name)?;
    if cfg!(feature = "no-offload") {
        return plain(&name);
    }
    // What is wrong with the name or our rights, the second says again.
    framed(&name).or_else(|_| plain(&name))
}

fn framed(name: &CStr) -> io::Result<Opened> {
    let file = attach(name, libc::IFF_VNET_HDR)?;
    set_header_length(&file)?;
    if cfg!(target_endian = "big") {
        set_little_endian(&file)?;
    }
    let mut refusal = None;
    for (offload, bits) in OFFERS {
        match set_offload(&file, bits) {
            Ok(()) => return Ok(Opened { index: index(name)?, file, offload }),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
}

fn plain(name: &CStr) -> io::Result<Opened> {
    let file = attach(name, 0)?;
    // Who had a persistent device before may have left it with offloads. A kernel that refuses has none.
    let _ = set_offload(&file, 0);
    Ok(Opened { index: index(name)?, file, offload: Offload::Plain })
}

fn attach(name: &CStr, flags: c_int) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    #[expect(clippy::cast_possible_truncation, reason = "the kernel's flags of an interface have 16 bits")]
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI | flags) as c_short;
    let mut request = Request { name: [0; libc::IFNAMSIZ], flags, rest: [0; 32] };
    let bytes = name.to_bytes_with_nul();
    let space = request.name.get_mut(..bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
    space.copy_from_slice(bytes);
    // SAFETY: the descriptor is open; TUNSETIFF reads and writes one ifreq (at most 40 bytes), which `request` has room
    // for and any bytes of which are a Request.
    done(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(file)
}

/// Has a persistent device forget a longer header that somebody set.
fn set_header_length(file: &File) -> io::Result<()> {
    let length: c_int = VnetHeader::LENGTH as c_int;
    // SAFETY: the descriptor is open; TUNSETVNETHDRSZ reads one int, which lives through the call.
    done(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const length) })
}

/// The header's words have the same order everywhere, whichever the kernel's own is: a program under qemu-user has another
/// than its kernel.
fn set_little_endian(file: &File) -> io::Result<()> {
    /// `_IOW('T', 220, int)`, by its neighbour of number 216: targets encode the rest differently.
    const TUNSETVNETLE: libc::Ioctl = libc::TUNSETVNETHDRSZ + 4;
    let is_little: c_int = 1;
    // SAFETY: the descriptor is open; TUNSETVNETLE reads one int, which lives through the call.
    done(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETVNETLE, &raw const is_little) })
}

fn set_offload(file: &File, bits: c_uint) -> io::Result<()> {
    // SAFETY: the descriptor is open; TUNSETOFFLOAD takes a number.
    done(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, c_ulong::from(bits)) })
}

fn index(name: &CStr) -> io::Result<u32> {
    // SAFETY: `name` is a C string that lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

fn done(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
