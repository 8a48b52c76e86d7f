//! A packet socket (packet(7)) on an interface without link-layer headers: whole IP packets in and out.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use super::Namespace;

/// Bound to one interface.
#[derive(Debug)]
pub struct PacketSocket {
    descriptor: OwnedFd,
    index: i32,
}

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

impl PacketSocket {
    /// Opens one; [`PacketSocket::receive`] gives up after a while.
    pub fn open(namespace: &Namespace, interface: &str, wait: Duration) -> Self {
        namespace
            .inside(|| Self::open_here(interface, wait))
            .unwrap_or_else(|e| panic!("no packet socket: {e}"))
    }

    fn open_here(interface: &str, wait: Duration) -> io::Result<Self> {
        let name = CString::new(interface)?;
        // SAFETY: `name` is a C string that lives for the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let index = i32::try_from(index).map_err(io::Error::other)?;
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: socket(2) takes numbers only.
        let raw =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, every_protocol()) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave this descriptor and nobody else has it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        let socket = Self { descriptor, index };
        socket.bind()?;
        socket2::SockRef::from(&socket.descriptor).set_read_timeout(Some(wait))?;
        let _ = socket2::SockRef::from(&socket.descriptor).set_recv_buffer_size(8 << 20);
        Ok(socket)
    }

    fn address(&self, protocol: u16) -> libc::sockaddr_ll {
        // SAFETY: all zeroes is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = self.index;
        address
    }

    fn bind(&self) -> io::Result<()> {
        let address = self.address(libc::ETH_P_ALL as u16);
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address lives for the call and `length` is its size.
        let result = unsafe { libc::bind(self.descriptor.as_raw_fd(), (&raw const address).cast(), length) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends one IP packet out of the interface, past routing and address checks.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let is_v6 = packet.first().is_some_and(|byte| byte >> 4 == 6);
        let address = self.address(if is_v6 { libc::ETH_P_IPV6 } else { libc::ETH_P_IP } as u16);
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let (data, descriptor) = (packet.as_ptr().cast(), self.descriptor.as_raw_fd());
        // SAFETY: packet and address live for the call and the lengths are theirs.
        let sent =
            unsafe { libc::sendto(descriptor, data, packet.len(), 0, (&raw const address).cast(), length) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next packet, cut to the buffer; `None` when none came in time.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(usize, Direction)> {
        let mut address = self.address(0);
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let (data, descriptor) = (buffer.as_mut_ptr().cast(), self.descriptor.as_raw_fd());
        // SAFETY: buffer, address and length are exclusively ours for the call, with their true sizes.
        let received = unsafe {
            libc::recvfrom(descriptor, data, buffer.len(), 0, (&raw mut address).cast(), &raw mut length)
        };
        let received = usize::try_from(received).ok()?;
        let direction =
            if address.sll_pkttype == libc::PACKET_OUTGOING { Direction::Out } else { Direction::In };
        Some((received, direction))
    }
}

fn every_protocol() -> i32 {
    i32::from((libc::ETH_P_ALL as u16).to_be())
}
