//! Sends packets as they are out of a station's tunnel, as a hostile client would.

use std::io;
use std::time::Duration;

use super::packet_socket::PacketSocket;
use super::{Namespace, Station};

#[derive(Debug)]
pub struct Injector {
    socket: PacketSocket,
}

impl Injector {
    /// Into the tunnel of a station.
    pub fn of(station: &Station) -> Self {
        Self::on(&station.namespace, station.interface())
    }

    /// Out of any interface without link-layer headers.
    pub fn on(namespace: &Namespace, interface: &str) -> Self {
        Self { socket: PacketSocket::open(namespace, interface, Duration::from_millis(1)) }
    }

    /// # Panics
    /// When the kernel refuses (the packet is larger than the interface's MTU).
    pub fn send(&self, packet: &[u8]) {
        self.socket.send(packet).unwrap_or_else(|e: io::Error| panic!("a forged packet was not sent: {e}"));
    }
}
