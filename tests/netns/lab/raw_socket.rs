//! Raw sockets (raw(7), ipv6(7)) of a host: what is delivered to it past its filters, and packets of its own making.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Namespace;

/// Sees what is delivered of one protocol.
#[derive(Debug)]
pub struct Delivered {
    socket: Socket,
    is_v6: bool,
    pub protocol: u8,
}

impl Delivered {
    pub fn on(host: &Namespace, protocol: u8, is_v6: bool) -> Self {
        let domain = if is_v6 { Domain::IPV6 } else { Domain::IPV4 };
        let number = Some(Protocol::from(i32::from(protocol)));
        let socket = host.inside(|| Socket::new(domain, Type::RAW, number)).expect("root has raw sockets");
        socket.set_nonblocking(true).expect("a socket can be made nonblocking");
        let _ = socket.set_recv_buffer_size(4 << 20);
        Self { socket, is_v6, protocol }
    }

    /// What follows the IP header of the next packet; `None` when there is no more yet.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        let length = std::io::Read::read(&mut &self.socket, &mut buffer).ok()?;
        buffer.truncate(length);
        let header = if self.is_v6 { 0 } else { usize::from(buffer.first()? & 15) * 4 };
        Some(buffer.split_off(header))
    }
}

/// Sends whole packets as the host's own.
#[derive(Debug)]
pub struct Sender {
    v4: Socket,
    v6: Socket,
}

impl Sender {
    pub fn on(host: &Namespace) -> Self {
        let raw = |domain| {
            host.inside(|| Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW))))
                .expect("root has raw sockets")
        };
        Self { v4: raw(Domain::IPV4), v6: raw(Domain::IPV6) }
    }

    /// A filter's refusal is no error here: the packet goes nowhere.
    pub fn send(&self, packet: &[u8], to: IpAddr) {
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        let _ = socket.send_to(packet, &SockAddr::from(SocketAddr::new(to, 0)));
    }
}
