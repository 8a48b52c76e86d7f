//! Datagrams as fast as one thread sends them, from one address or from many.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::internet::Place;
use super::worker::Worker;
use super::{Internet, Namespace};

/// A host that has its own address and a whole /15 more.
#[derive(Debug)]
pub struct Attacker {
    pub place: Place,
    pub namespace: Arc<Namespace>,
}

/// A flood that goes on until it is stopped.
#[derive(Debug)]
pub struct Flood(Worker<u64>);

impl Attacker {
    pub fn new(internet: &Internet) -> Self {
        let namespace = Namespace::new("attacker");
        let place = internet.attach(&namespace);
        namespace.ip("route add local 198.18.0.0/15 dev lo");
        internet.namespace().ip(&format!("route add 198.18.0.0/15 via {}", place.v4));
        Self { place, namespace }
    }

    /// As many source addresses as asked for; the first is its own.
    pub fn sources(&self, count: u16) -> Vec<IpAddr> {
        let own = IpAddr::V4(self.place.v4);
        let many = (1..count).map(|n| IpAddr::from([198, 18, n.to_be_bytes()[0], n.to_be_bytes()[1]]));
        std::iter::once(own).chain(many).collect()
    }

    fn sockets(&self, sources: &[IpAddr]) -> Vec<UdpSocket> {
        let bind =
            |source: &IpAddr| UdpSocket::bind(SocketAddr::new(*source, 0)).expect("the attacker has it");
        self.namespace.inside(|| sources.iter().map(bind).collect())
    }

    /// Sends these datagrams over and over, each next one from the next source.
    pub fn flood(&self, sources: &[IpAddr], target: SocketAddr, datagrams: Vec<Vec<u8>>) -> Flood {
        let sockets = self.sockets(sources);
        Flood(Worker::start(move |goes_on| {
            let pairs = sockets.iter().cycle().zip(datagrams.iter().cycle()).take_while(|_| goes_on());
            pairs.map(|(socket, datagram)| u64::from(socket.send_to(datagram, target).is_ok())).sum()
        }))
    }
}

impl Flood {
    /// Sends what `make` makes of 0, 1, 2 and so on.
    pub fn start(
        socket: UdpSocket,
        target: SocketAddr,
        make: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> Self {
        Self(Worker::start(move |goes_on| {
            let numbers = (0..).take_while(|_| goes_on());
            numbers.map(|number| u64::from(socket.send_to(&make(number), target).is_ok())).sum()
        }))
    }

    /// Ends it; how many datagrams went out.
    pub fn stop(mut self) -> u64 {
        self.0.stop().unwrap_or(0)
    }
}
