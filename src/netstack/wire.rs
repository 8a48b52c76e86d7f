//! The wire between smoltcp and the tunnels: one packet in at a time, some packets out.

use std::collections::VecDeque;

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::packet::link::LINK_MTU;

/// Packets that wait to be sent; TCP sends again what found no room.
pub(super) const OUT_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Wire {
    incoming: Option<Vec<u8>>,
    pub(super) outgoing: VecDeque<Vec<u8>>,
}

impl Wire {
    pub(super) fn put(&mut self, packet: &[u8]) {
        self.incoming = Some(packet.to_vec());
    }
}

/// A packet that came.
pub(super) struct Incoming(Vec<u8>);

/// Room for a packet that goes; `None` where there is none, and the packet is lost.
pub(super) struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        self.incoming.take().map(|packet| (Incoming(packet), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        (self.outgoing.len() < OUT_MAX).then_some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = LINK_MTU;
        capabilities
    }
}

impl phy::RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        if self.0.len() < OUT_MAX {
            self.0.push_back(packet);
        }
        result
    }
}
