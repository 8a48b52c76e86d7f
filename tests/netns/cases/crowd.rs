//! Stations that send more than the gateway can take; the others notice nothing.
//!
//! ```text
//!   laptop ──wg──┐
//!   server ──wg──gw (vpmesh)
//!   2 hogs ──wg──┘               good keys and sessions, and packets as fast as a thread seals them
//! ```

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;

use crate::lab::forge::Forge;
use crate::lab::ping::{Pinger, wait_until_reached};
use crate::lab::worker::Worker;
use crate::lab::{Attic, Gateway, Internet, Lab, Namespace, Node, Room, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
/// Pings while the hog sends, ten a second.
const BEATS: usize = 50;

/// A WireGuard client that knows no measure.
struct Hog {
    tunnel: Tunn,
    socket: UdpSocket,
    gateway: SocketAddr,
}

impl Hog {
    fn join(internet: &Internet, node: &Node, gateway: &Gateway) -> Self {
        let namespace = Namespace::new("hog");
        let place = internet.attach(&namespace);
        let socket = namespace.inside(|| UdpSocket::bind((place.v4, 0)).expect("the hog has the address"));
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout is set");
        let private = x25519::StaticSecret::from(*node.key.as_bytes());
        let public = x25519::PublicKey::from(*gateway.node.public.as_bytes());
        let mut hog = Self {
            tunnel: Tunn::new(private, public, None, None, 1, None),
            socket,
            gateway: gateway.endpoint(),
        };
        wait_for("the hog has a session", LIMIT, || hog.shake_hands());
        hog
    }

    fn shake_hands(&mut self) -> Option<()> {
        let (mut buffer, mut answer) = ([0; 256], [0; 256]);
        if let TunnResult::WriteToNetwork(message) =
            self.tunnel.format_handshake_initiation(&mut buffer, true)
        {
            self.socket.send_to(message, self.gateway).ok()?;
        }
        let length = self.socket.recv(&mut answer).ok()?;
        match self.tunnel.decapsulate(None, &answer[..length], &mut buffer) {
            // The keepalive that confirms the session.
            TunnResult::WriteToNetwork(message) => {
                self.socket.send_to(message, self.gateway).map(|_| ()).ok()
            }
            _ => None,
        }
    }

    /// Sends this packet on and on; how many went out.
    fn send(mut self, packet: Vec<u8>) -> Worker<u64> {
        Worker::start(move |goes_on| {
            let mut buffer = vec![0; packet.len() + 64];
            let mut sent = 0;
            while goes_on() {
                if let TunnResult::WriteToNetwork(message) = self.tunnel.encapsulate(&packet, &mut buffer) {
                    sent += u64::from(self.socket.send_to(message, self.gateway).is_ok());
                }
            }
            sent
        })
    }
}

#[test]
fn stations_that_send_more_than_is_read_lose_their_own_packets_and_nobody_elses() {
    let mut attic = Attic::new(Lab::alone());
    let [laptop, server, hog, sow] = attic.nodes(["laptop", "server", "hog", "sow"]);
    let room = [&laptop, &server, &hog, &sow].into_iter().fold(attic.room(), Room::station);
    attic.start(&room);
    let [laptop, server] = [laptop, server].map(|node| attic.join(&node));
    let Attic { gateway, internet, lab, .. } = attic;
    wait_until_reached(&laptop.namespace, server.node.v4.into(), LIMIT);

    let hogs = [hog, sow].map(|node| {
        // Nobody has the address: what is sent costs the gateway, and no other station.
        let packet = Forge::new(node.v4.into(), "10.88.9.9".parse().expect("an address")).udp(1, 2, &[0; 64]);
        (Hog::join(&internet, &node, &gateway), packet)
    });
    let floods = hogs.map(|(hog, packet)| hog.send(packet));
    let every = Duration::from_millis(100);
    let pinger = Pinger::start(&lab, &laptop.namespace, server.node.v4.into(), every);
    wait_for("pings are answered beside the hogs", LIMIT, || (pinger.answered() >= BEATS).then_some(()));
    let beats = pinger.stop();
    let sent: u64 = floods.map(|mut flood| flood.stop().expect("the flood ends")).iter().sum();
    let status = gateway.status();
    let overflows = status["socket_overflows"].as_u64().expect("status counts overflows");
    eprintln!("{sent} sent, {overflows} overflowed; {beats:?}");
    assert!(overflows > 1_000, "the gateway was not too slow: {overflows} of {sent} overflowed");
    assert_eq!(beats.longest_gap, 0, "{beats:?}");
}
