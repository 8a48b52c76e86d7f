//! From the kernel: what this host, its LAN or the internet sends into the mesh.

use super::{Engine, Now, Outbox};
use crate::packet::Ecn;
use crate::table::Via;

impl Engine {
    /// Takes IP packets as the TUN device gave them; see [`Engine::handle_udp`] for `out`.
    pub fn handle_tun(&mut self, packets: &mut [&mut [u8]], now: Now, out: &mut Outbox) {
        for packet in packets {
            self.counters.from_kernel.add(packet.len());
            if let Err(reason) = self.forward(packet, Via::Kernel, Ecn::NotCapable, now.instant, out) {
                self.counters.drop(reason);
            }
        }
        self.settle(now.instant, out);
    }
}
