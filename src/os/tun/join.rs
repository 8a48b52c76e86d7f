//! Packets for the kernel, joined into super packets where they follow each other, as the kernel's GRO does.
//!
//! A [`Run`] is of one flow, and its headers differ in nothing but what the kernel makes anew when it cuts them apart:
//! lengths, checksums, TCP's sequence and IPv4's identification, each one on from the last. All carry equally much but
//! the last, which may carry less. PSH ends a run too. A packet whose checksum is wrong is never joined: that would
//! mend it. The order within a flow stays.

use std::io::{self, IoSlice};

use super::open::Offload;
use super::run::Run;
use super::segment::Segment;
use super::vnet_header::VnetHeader;

/// Flows that may be joined at the same time.
const RUNS: usize = 8;
/// What super packets can be of, by [`Segment::kind`].
const KINDS: [&str; 4] = ["TCP over IPv4", "TCP over IPv6", "UDP over IPv4", "UDP over IPv6"];

/// Hands batches of packets to the kernel. It keeps none of them.
#[derive(Debug)]
pub struct Join {
    /// A [`VnetHeader`] goes before each packet.
    is_framed: bool,
    /// By [`Segment::kind`]: whether the kernel takes super packets of it.
    kinds: [bool; 4],
}

/// One batch on its way out.
struct Exit<'a, W> {
    join: &'a mut Join,
    write: W,
    refused: u64,
}

impl Join {
    pub(super) fn new(offload: Offload) -> Self {
        let (tcp, udp) = (offload >= Offload::Framed, offload >= Offload::Udp);
        Self { is_framed: tcp, kinds: [tcp, tcp, udp, udp] }
    }

    /// For a kernel that takes everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::new(Offload::Udp)
    }

    /// Hands a batch over, one `write` a packet or super packet; how many packets were refused.
    ///
    /// A kind of which super packets are refused, and their packets one by one are not, is given up.
    pub fn send<'p>(
        &mut self,
        packets: impl IntoIterator<Item = &'p [u8]>,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<()>,
    ) -> u64 {
        let mut runs: [Option<Run<'p>>; RUNS] = [const { None }; RUNS];
        let mut exit = Exit { join: self, write, refused: 0 };
        for (number, packet) in packets.into_iter().enumerate() {
            let segment = exit.join.is_framed.then(|| Segment::read(packet)).flatten();
            let Some(segment) = segment else {
                // It may be of any of the flows.
                exit.finish(&mut runs);
                exit.write_packet(packet);
                continue;
            };
            let is_of_flow = |run: &Option<Run<'_>>| run.as_ref().is_some_and(|run| run.is_of_flow(&segment));
            if let Some(place) = runs.iter_mut().find(|run| is_of_flow(run))
                && let Some(run) = place
            {
                let is_taken = run.take(&segment);
                if !is_taken || run.is_closed() {
                    exit.write_run(run);
                    *place = None;
                }
                if is_taken {
                    continue;
                }
            }
            if !segment.may_be_joined || segment.is_last || !exit.join.kinds[segment.kind()] {
                exit.write_packet(packet);
                continue;
            }
            if runs.iter().all(Option::is_some) {
                exit.write_oldest(&mut runs);
            }
            if let Some(place) = runs.iter_mut().find(|run| run.is_none()) {
                *place = Some(Run::begin(segment, number));
            }
        }
        exit.finish(&mut runs);
        exit.refused
    }
}

impl<W: FnMut(&[IoSlice<'_>]) -> io::Result<()>> Exit<'_, W> {
    fn finish(&mut self, runs: &mut [Option<Run<'_>>]) {
        while self.write_oldest(runs) {}
    }

    /// Writes and forgets the run that began first, if there is any.
    fn write_oldest(&mut self, runs: &mut [Option<Run<'_>>]) -> bool {
        let number = |run: &Option<Run<'_>>| run.as_ref().map_or(usize::MAX, |run| run.number);
        let Some(place) = runs.iter_mut().min_by_key(|run| number(run)) else { return false };
        let Some(run) = place else { return false };
        self.write_run(run);
        *place = None;
        true
    }

    fn write_run(&mut self, run: &Run<'_>) {
        if let [packet] = run.packets() {
            self.write_packet(packet);
            return;
        }
        let Err(error) = run.write(&mut self.write) else { return };
        let before = self.refused;
        for packet in run.packets() {
            self.write_packet(packet);
        }
        let passed = run.packets().len() as u64 - (self.refused - before);
        if passed > 0 && is_about_the_packet(&error) {
            self.join.kinds[run.kind()] = false;
            tracing::warn!(kind = KINDS[run.kind()], %error, "the kernel takes no super packets");
        }
    }

    fn write_packet(&mut self, packet: &[u8]) {
        let none = VnetHeader::default().to_bytes();
        let slices = [IoSlice::new(&none), IoSlice::new(packet)];
        let skipped = usize::from(!self.join.is_framed);
        if let Err(error) = (self.write)(&slices[skipped..]) {
            tracing::trace!(%error, "packet refused");
            self.refused += 1;
        }
    }
}

/// Whether what was refused may be refused for ever. Short of memory, the kernel refuses what is large first.
fn is_about_the_packet(error: &io::Error) -> bool {
    !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM | libc::ENOBUFS))
}
