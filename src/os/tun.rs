//! The TUN device: packets to and from the kernel, in batches.
//!
//! The device is gone when the process is, with its addresses and routes. Its MTU, addresses and routes are
//! `netlink`'s. Offloads (`IFF_VNET_HDR`) are not asked for yet; when they are, `receive` splits what the kernel hands
//! over and nobody else sees it.

use std::array;
use std::fs;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tun_rs::{DeviceBuilder, SyncDevice};

use super::batch::Batch;
use super::ready;
use crate::config::InterfaceName;

/// Packets in one batch.
const BATCH: usize = 64;
/// A device that is deleted tells it as an error.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    #[error("the kernel has no TUN driver; install kmod-tun (OpenWrt) or run `modprobe tun`")]
    NoDriver,
    #[error("not permitted to make interface {name}; run as root, or with CAP_NET_ADMIN")]
    NotPermitted { name: InterfaceName },
    #[error("interface {name} is in use by another program; stop it or write another `interface`")]
    InUse { name: InterfaceName },
    #[error("interface {name} exists and is no TUN device; remove it or write another `interface`")]
    NoTun { name: InterfaceName },
    #[error("cannot make interface {name}: {error}")]
    Other { name: InterfaceName, error: io::Error },
}

/// The device, and the memory that packets are read into. Made inside a tokio runtime.
pub struct TunDevice {
    device: AsyncFd<SyncDevice>,
    name: InterfaceName,
    index: u32,
    mtu: u16,
    memory: Vec<u8>,
    /// Bytes of one slot of `memory`: more than the MTU, so that a packet that is too large is seen to be.
    slot: usize,
    oversized: u64,
}

impl std::fmt::Debug for TunDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TunDevice")
            .field("name", &self.name)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl TunDevice {
    /// Makes the device, down and without addresses.
    ///
    /// # Errors
    /// [`TunError`], with the mend.
    pub fn open(name: &InterfaceName, mtu: u16) -> Result<Self, TunError> {
        let refused = |error: io::Error| refusal(name, error);
        let device = DeviceBuilder::new().name(name.as_str()).enable(false).build_sync().map_err(refused)?;
        device.set_nonblocking(true).map_err(refused)?;
        let index = device.if_index().map_err(refused)?;
        // The kernel would give the device a link-local address and solicit routers through the mesh; and a host that
        // does without IPv6 elsewhere has it here. A kernel without IPv6 has no such files.
        for (setting, value) in [("addr_gen_mode", "1"), ("disable_ipv6", "0")] {
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{setting}"), value);
        }
        let slot = (usize::from(mtu) + 1).next_multiple_of(64);
        Ok(Self {
            device: ready::watch(device, INTEREST).map_err(refused)?,
            name: name.clone(),
            index,
            mtu,
            memory: vec![0; slot * BATCH],
            slot,
            oversized: 0,
        })
    }

    #[must_use]
    pub fn name(&self) -> &InterfaceName {
        &self.name
    }

    /// The kernel's number of the interface.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Waits until there may be something to read.
    ///
    /// # Errors
    /// The runtime's, when it shuts down.
    pub async fn readable(&self) -> io::Result<()> {
        // Readiness is cleared by `receive`, once it has seen the device empty.
        self.device.ready(INTEREST).await?.retain_ready();
        Ok(())
    }

    /// Reads a batch without waiting and hands it to `handle`, unless nothing waits.
    ///
    /// # Errors
    /// The kernel's; [`is_gone`] tells the one that stays.
    pub fn receive(&mut self, handle: impl FnOnce(&mut [&mut [u8]])) -> io::Result<Batch> {
        let mut lengths = [0; BATCH];
        let mut count = 0;
        let (size, mtu) = (self.slot, usize::from(self.mtu));
        let mut read = |device: &SyncDevice| {
            while count < BATCH {
                let length = device.recv(&mut self.memory[count * size..][..size])?;
                if length > mtu {
                    // Somebody changed the interface's MTU; `netlink` sets it back.
                    self.oversized += 1;
                    continue;
                }
                lengths[count] = length;
                count += 1;
            }
            Ok(())
        };
        // The runtime keeps the two kinds of readiness apart, and tries one at a time.
        let outcome = match self.device.try_io(Interest::READABLE, &mut read) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.device.try_io(Interest::ERROR, &mut read)
            }
            outcome => outcome,
        };
        if let Err(error) = outcome
            && error.kind() != io::ErrorKind::WouldBlock
            && count == 0
        {
            return Err(error);
        }
        if count == 0 {
            return Ok(Batch::Empty);
        }
        let mut slots = self.memory.chunks_exact_mut(self.slot).zip(lengths);
        let mut packets: [&mut [u8]; BATCH] = array::from_fn(|_| {
            slots.next().map_or_else(Default::default, |(slot, length)| &mut slot[..length])
        });
        handle(&mut packets[..count]);
        Ok(if count < BATCH { Batch::Last } else { Batch::More })
    }

    /// Hands one packet to the kernel.
    ///
    /// # Errors
    /// The kernel's: `EIO` while the interface is down, `EINVAL` for what is no packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.device.get_ref().send(packet).map(|_| ())
    }

    /// Packets larger than the MTU that the kernel handed over.
    #[must_use]
    pub fn oversized(&self) -> u64 {
        self.oversized
    }
}

/// Whether an error says that the interface was deleted under the daemon.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADFD)
}

fn refusal(name: &InterfaceName, error: io::Error) -> TunError {
    let name = name.clone();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => TunError::NoDriver,
        Some(libc::EPERM | libc::EACCES) => TunError::NotPermitted { name },
        Some(libc::EBUSY) => TunError::InUse { name },
        Some(libc::EINVAL | libc::EEXIST) => TunError::NoTun { name },
        _ => TunError::Other { name, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_the_kernel_has_its_mend() {
        for (code, mend) in [
            (libc::ENODEV, "install kmod-tun (OpenWrt) or run `modprobe tun`"),
            (libc::EPERM, "run as root, or with CAP_NET_ADMIN"),
            (libc::EBUSY, "stop it or write another `interface`"),
            (libc::EINVAL, "remove it or write another `interface`"),
            (libc::ENOMEM, "cannot make interface vpm0"),
        ] {
            let said = refusal(&InterfaceName::default(), io::Error::from_raw_os_error(code)).to_string();
            assert!(said.contains(mend), "{said}");
        }
    }
}
