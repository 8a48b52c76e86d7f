//! Floor 3: TCP inside of tunnels, without a kernel. The only module that names smoltcp's sockets and interface.
//!
//! A [`Stack`] holds connections between addresses of this node and of others; each belongs to the way ([`Via`]) that
//! its first packet came or went, and a packet that comes another way is none of its. There is no listening socket:
//! the first packet of a connection makes one, so an idle node holds no buffer. Connections, their memory, and how
//! long they may say nothing are bounded, and nobody has more than a few: who is over is not answered.

mod wire;

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as Ticks;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpProtocol, Ipv6Packet, TcpPacket};

use crate::base::DropReason;
use crate::table::Via;
use wire::{OUT_MAX, Wire};

/// Connections that others began, and of them those of one peer.
pub const INCOMING_MAX: usize = 10;
pub const INCOMING_OF_ONE_MAX: usize = 2;
/// Connections that this node began.
pub const OUTGOING_MAX: usize = 6;
/// Bytes that one connection holds in each direction.
const BUFFER: usize = 16 * 1024;
/// How long the other side may say nothing while something is owed.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The dynamic ports (RFC 6335, section 6).
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A connection. Numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// Both ends of a connection, ours first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    local: (Ipv6Addr, u16),
    remote: (Ipv6Addr, u16),
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    handle: SocketHandle,
    via: Via,
    ends: Ends,
    incoming: bool,
}

/// All connections of one node.
pub struct Stack {
    /// Made when the first connection is.
    interface: Option<Interface>,
    sockets: SocketSet<'static>,
    wire: Wire,
    outgoing: VecDeque<(Via, Vec<u8>)>,
    connections: Vec<Connection>,
    addresses: Vec<Ipv6Addr>,
    next: u64,
    next_port: u16,
    seed: u64,
    epoch: Instant,
    /// When smoltcp wants to look again.
    wake: Option<Instant>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("connections", &self.connections).finish_non_exhaustive()
    }
}

impl Stack {
    /// No connections. `seed` is random: it keeps sequence numbers from being guessed.
    #[must_use]
    pub fn new(seed: u64, now: Instant) -> Self {
        let span = PORTS.end() - PORTS.start();
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is less than a port")]
        let offset = (seed % u64::from(span)) as u16;
        Self {
            interface: None,
            sockets: SocketSet::new(Vec::new()),
            wire: Wire::default(),
            outgoing: VecDeque::new(),
            connections: Vec::new(),
            addresses: Vec::new(),
            next: 0,
            next_port: PORTS.start() + offset,
            seed,
            epoch: now,
            wake: None,
        }
    }

    /// The addresses that connections may be to or from: two at most, others are left out. Connections of an address
    /// that is gone end.
    pub fn set_addresses(&mut self, addresses: &[Ipv6Addr]) {
        self.addresses = addresses.iter().copied().take(2).collect();
        for at in (0..self.connections.len()).rev() {
            if !self.addresses.contains(&self.connections[at].ends.local.0) {
                self.remove_at(at);
            }
        }
        self.interface = None;
    }

    /// Ends the connections of a peer that is gone.
    pub fn remove_via(&mut self, via: Via) {
        for at in (0..self.connections.len()).rev() {
            if self.connections[at].via == via {
                self.remove_at(at);
            }
        }
    }

    /// Whether the connection is there still.
    #[must_use]
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.connections.iter().any(|connection| connection.id == id)
    }

    /// Begins a connection; `None` when there are too many.
    pub fn connect(
        &mut self,
        via: Via,
        from: Ipv6Addr,
        to: (Ipv6Addr, u16),
        now: Instant,
    ) -> Option<ConnectionId> {
        let begun = self.connections.iter().filter(|connection| !connection.incoming).count();
        if begun >= OUTGOING_MAX || !self.addresses.contains(&from) {
            return None;
        }
        let port = self.next_port;
        self.next_port = if port == *PORTS.end() { *PORTS.start() } else { port + 1 };
        let ends = Ends { local: (from, port), remote: to };
        let ticks = self.ticks(now);
        let mut socket = socket();
        self.interface_at(ticks);
        let interface = self.interface.as_mut()?;
        socket.connect(interface.context(), endpoint(to), endpoint((from, port))).ok()?;
        let id = self.insert(socket, via, ends, false);
        self.poll(now);
        Some(id)
    }

    /// Takes a whole IPv6 packet with TCP in it that came this way. Both lengths and the checksum were checked, and
    /// that whoever sent it may send from its source. `Some`: it began a connection.
    ///
    /// # Errors
    /// [`DropReason::NotControl`] for what belongs to no connection and begins none; [`DropReason::ControlLimited`]
    /// when there are too many.
    pub fn handle_packet(
        &mut self,
        via: Via,
        packet: &[u8],
        port: u16,
        now: Instant,
    ) -> Result<Option<ConnectionId>, DropReason> {
        let (ends, begins) = ends(packet).ok_or(DropReason::Malformed)?;
        let known =
            self.connections.iter().any(|connection| connection.ends == ends && connection.via == via);
        let mut begun = None;
        if !known {
            if !begins || ends.local.1 != port || !self.addresses.contains(&ends.local.0) {
                return Err(DropReason::NotControl);
            }
            begun = Some(self.listen(via, ends).ok_or(DropReason::ControlLimited)?);
        }
        self.wire.put(packet);
        self.poll(now);
        if let Some(id) = begun
            && self.socket(id).is_some_and(|socket| socket.state() == State::Listen)
        {
            self.remove(id);
            return Err(DropReason::NotControl);
        }
        Ok(begun)
    }

    fn listen(&mut self, via: Via, ends: Ends) -> Option<ConnectionId> {
        let incoming = || self.connections.iter().filter(|connection| connection.incoming);
        let of_one = incoming().filter(|connection| connection.via == via).count();
        let taken = self.connections.iter().any(|connection| connection.ends == ends);
        if taken || incoming().count() >= INCOMING_MAX || of_one >= INCOMING_OF_ONE_MAX {
            return None;
        }
        let mut socket = socket();
        socket.listen(endpoint(ends.local)).ok()?;
        Some(self.insert(socket, via, ends, true))
    }

    fn insert(&mut self, socket: Socket<'static>, via: Via, ends: Ends, incoming: bool) -> ConnectionId {
        let id = ConnectionId(self.next);
        self.next += 1;
        let handle = self.sockets.add(socket);
        self.connections.push(Connection { id, handle, via, ends, incoming });
        id
    }

    /// The next packet to send, and which way.
    pub fn poll_packet(&mut self) -> Option<(Via, Vec<u8>)> {
        self.outgoing.pop_front()
    }

    /// Finds out which way what smoltcp sends goes.
    fn sort_outgoing(&mut self) {
        for packet in self.wire.outgoing.drain(..) {
            let Some((theirs, _)) = ends(&packet) else { continue };
            let ends = Ends { local: theirs.remote, remote: theirs.local };
            let connection = self.connections.iter().find(|connection| connection.ends == ends);
            if let Some(connection) = connection.filter(|_| self.outgoing.len() < OUT_MAX) {
                self.outgoing.push_back((connection.via, packet));
            }
        }
    }

    /// When [`Stack::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// Sends again what was not answered, and ends what is silent.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.wake.is_some_and(|at| at <= now) {
            self.poll(now);
        }
    }

    /// Hands out bytes that came, in order; `take` says how many of them it took. Whether more may come: once the
    /// other side has closed and all is read, or the connection is gone, no more does.
    pub fn read(&mut self, id: ConnectionId, mut take: impl FnMut(&[u8]) -> usize) -> bool {
        let Some(socket) = self.socket(id) else { return false };
        while socket.can_recv() {
            let taken = socket.recv(|bytes| {
                let taken = take(bytes).min(bytes.len());
                (taken, taken)
            });
            if taken.is_ok_and(|taken| taken == 0) || taken.is_err() {
                break;
            }
        }
        socket.may_recv() || matches!(socket.state(), State::SynSent | State::SynReceived | State::Listen)
    }

    /// Takes bytes to send, as many as there is room for; `None`: the connection takes no more, ever.
    pub fn write(&mut self, id: ConnectionId, bytes: &[u8]) -> Option<usize> {
        let socket = self.socket(id)?;
        match socket.state() {
            State::SynSent | State::SynReceived | State::Listen => Some(0),
            _ => socket.send_slice(bytes).ok(),
        }
    }

    /// Nothing more will be written. The connection goes when the other side has all and closes too.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(socket) = self.socket(id) {
            socket.close();
        }
    }

    /// Ends the connection now; nobody is told.
    pub fn remove(&mut self, id: ConnectionId) {
        if let Some(at) = self.connections.iter().position(|connection| connection.id == id) {
            self.remove_at(at);
        }
    }

    fn remove_at(&mut self, at: usize) {
        let connection = self.connections.swap_remove(at);
        self.sockets.remove(connection.handle);
        if self.connections.is_empty() {
            self.sockets = SocketSet::new(Vec::new());
            self.interface = None;
            self.wake = None;
        }
    }

    fn socket(&mut self, id: ConnectionId) -> Option<&mut Socket<'static>> {
        let handle = self.connections.iter().find(|connection| connection.id == id)?.handle;
        Some(self.sockets.get_mut(handle))
    }

    /// Lets smoltcp do what is due, and forgets connections that ended.
    pub fn poll(&mut self, now: Instant) {
        if self.connections.is_empty() {
            return;
        }
        let ticks = self.ticks(now);
        self.interface_at(ticks);
        let Some(interface) = &mut self.interface else { return };
        interface.poll(ticks, &mut self.wire, &mut self.sockets);
        self.sort_outgoing();
        for at in (0..self.connections.len()).rev() {
            let socket: &Socket<'_> = self.sockets.get(self.connections[at].handle);
            // Who waits for the last segment's last acknowledgement has all that was said.
            if matches!(socket.state(), State::Closed | State::TimeWait) && !socket.can_recv() {
                self.remove_at(at);
            }
        }
        let Some(interface) = &mut self.interface else { return };
        let wake = interface.poll_at(ticks, &self.sockets).filter(|_| !self.connections.is_empty());
        self.wake = wake.map(|at| {
            let micros = u64::try_from(at.total_micros()).unwrap_or(0);
            // What is due at once was found no room for; it is tried again soon.
            (self.epoch + Duration::from_micros(micros)).max(now + Duration::from_millis(1))
        });
    }

    fn ticks(&self, now: Instant) -> Ticks {
        let micros = now.saturating_duration_since(self.epoch).as_micros();
        Ticks::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// The interface, made if there is none.
    fn interface_at(&mut self, ticks: Ticks) {
        if self.interface.is_some() {
            return;
        }
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = self.seed;
        let mut interface = Interface::new(config, &mut self.wire, ticks);
        interface.update_ip_addrs(|list| {
            for &address in self.addresses.iter().filter(|address| !address.is_multicast()) {
                // Everybody is on the link: which way a packet goes is the connection's.
                let _ = list.push(IpCidr::new(IpAddress::Ipv6(address), 0));
            }
        });
        self.interface = Some(interface);
    }
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_timeout(Some(smoltcp::time::Duration::from_millis(SILENCE_MAX.as_millis() as u64)));
    socket.set_nagle_enabled(false);
    socket
}

fn endpoint((address, port): (Ipv6Addr, u16)) -> IpEndpoint {
    IpEndpoint::new(IpAddress::Ipv6(address), port)
}

/// Both ends of a packet as its receiver sees them, and whether it begins a connection.
fn ends(packet: &[u8]) -> Option<(Ends, bool)> {
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    if ip.next_header() != IpProtocol::Tcp {
        return None;
    }
    let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
    let ends = Ends { local: (ip.dst_addr(), tcp.dst_port()), remote: (ip.src_addr(), tcp.src_port()) };
    Some((ends, tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin()))
}

#[cfg(test)]
mod tests;
