//! The TUN device: packets to and from the kernel, in batches.
//!
//! The device is gone when the process is, with its addresses and routes. Its MTU, addresses and routes are
//! `netlink`'s. Where the kernel has segmentation offload (`IFF_VNET_HDR`), many packets of one flow cross the device
//! at once, as a super packet of up to 64 KiB: [`split`] cuts what comes, [`join`] joins what goes, and nobody else
//! sees it.

mod intake;
#[doc(hidden)]
pub mod join;
mod layout;
mod open;
mod run;
mod segment;
#[doc(hidden)]
pub mod split;
#[doc(hidden)]
pub mod vnet_header;

#[cfg(test)]
mod tests;

use std::array;
use std::fs::{self, File};
use std::io::{self, Write};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use self::intake::Intake;
use self::join::Join;
use self::open::{Offload, Opened};
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
    device: AsyncFd<File>,
    name: InterfaceName,
    index: u32,
    intake: Intake,
    join: Join,
    memory: Vec<u8>,
    /// Bytes of one slot of `memory`: the MTU, and what makes them lie well.
    slot: usize,
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
        let Opened { file, index, offload } = open::open(name.as_str()).map_err(refused)?;
        tracing::debug!(?offload, "TUN device is open");
        // The kernel would give the device a link-local address and solicit routers through the mesh; and a host that
        // does without IPv6 elsewhere has it here. A kernel without IPv6 has no such files.
        for (setting, value) in [("addr_gen_mode", "1"), ("disable_ipv6", "0")] {
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{setting}"), value);
        }
        let slot = usize::from(mtu).next_multiple_of(64);
        Ok(Self {
            device: ready::watch(file, INTEREST).map_err(refused)?,
            name: name.clone(),
            index,
            intake: Intake::new(offload > Offload::Plain, mtu),
            join: Join::new(offload),
            memory: vec![0; slot * BATCH],
            slot,
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

    /// Reads a batch without waiting and hands it to `handle`, unless nothing waits. What of a super packet is too much
    /// for the batch begins the next.
    ///
    /// # Errors
    /// The kernel's; [`is_gone`] tells the one that stays.
    pub fn receive(&mut self, handle: impl FnOnce(&mut [&mut [u8]])) -> io::Result<Batch> {
        let Self { device, intake, memory, slot, .. } = self;
        let (mut lengths, mut count, mut reads) = ([0; BATCH], 0, 0);
        let mut fill = |device: Option<&File>| {
            loop {
                while count < BATCH
                    && let Some(length) = intake.next(&mut memory[count * *slot..][..*slot])
                {
                    lengths[count] = length;
                    count += 1;
                }
                match device {
                    Some(device) if count < BATCH && reads < BATCH => intake.read(device)?,
                    _ => return Ok(()),
                }
                reads += 1;
            }
        };
        // What is left of the last batch waits for no readiness.
        fill(None)?;
        // The runtime keeps the two kinds of readiness apart, and tries one at a time.
        let outcome = match device.try_io(Interest::READABLE, |device| fill(Some(device))) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                device.try_io(Interest::ERROR, |device| fill(Some(device)))
            }
            outcome => outcome,
        };
        if let Err(error) = outcome
            && error.kind() != io::ErrorKind::WouldBlock
            && count == 0
        {
            return Err(error);
        }
        if count > 0 {
            let mut slots = memory.chunks_exact_mut(*slot).zip(lengths);
            let mut packets: [&mut [u8]; BATCH] = array::from_fn(|_| {
                slots.next().map_or_else(Default::default, |(slot, length)| &mut slot[..length])
            });
            handle(&mut packets[..count]);
        }
        Ok(match count {
            _ if count == BATCH || reads == BATCH => Batch::More,
            0 => Batch::Empty,
            _ => Batch::Last,
        })
    }

    /// Hands packets to the kernel, those of each flow in order; how many it refused: all while the interface is down
    /// (`EIO`), and what is no packet (`EINVAL`).
    pub fn send<'a>(&mut self, packets: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut device = self.device.get_ref();
        self.join.send(packets, |slices| device.write_vectored(slices).map(|_| ()))
    }

    /// Packets larger than the MTU that the kernel handed over.
    #[must_use]
    pub fn oversized(&self) -> u64 {
        self.intake.oversized
    }

    /// What the kernel handed over, since this was asked last, that could not be made into packets.
    pub fn take_malformed(&mut self) -> u64 {
        std::mem::take(&mut self.intake.malformed)
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
