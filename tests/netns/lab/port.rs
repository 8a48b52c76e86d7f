//! A port of a router whose far end is the test itself: an interface without link-layer headers (`/dev/net/tun`).
//! What is sent into it arrives at the router; what the router sends out of it is read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use super::Namespace;

#[derive(Debug)]
pub struct Port {
    file: File,
    pub name: String,
}

#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

impl Port {
    /// A new port, up.
    pub fn new(router: &Namespace, name: &str) -> Self {
        let file = router.inside(|| Self::open(name)).unwrap_or_else(|e| panic!("no port {name}: {e}"));
        router.ip(&format!("link set {name} up mtu 1500 txqueuelen 10000"));
        Self { file, name: name.to_owned() }
    }

    fn open(name: &str) -> io::Result<File> {
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
        let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        let mut request = Request { name: [0; libc::IFNAMSIZ], flags, rest: [0; 22] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: the descriptor is open; TUNSETIFF reads and writes one ifreq (40 bytes), which `request` is.
        match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
            0 => Ok(file),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The router receives this.
    pub fn send(&self, packet: &[u8]) {
        (&self.file).write_all(packet).unwrap_or_else(|e| panic!("{} took no packet: {e}", self.name));
    }

    /// What the router has sent, one packet after another; `None` when there is no more yet.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        let length = (&self.file).read(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }
}
