//! Datagrams inside TLS, on TCP port 443, for networks that let nothing else out.
//!
//! What rides here are whole UDP datagrams of ours, each behind its length in two bytes ([`frame`]): WireGuard's
//! messages and relay frames, as they would have gone over UDP. Everything in them is encrypted and authenticated end to
//! end, so TLS is passage and camouflage here and nobody's trust: the server's certificate is self-signed, made when it
//! starts and thrown away when it ends, and the client doesn't look at it. Who sits in the middle and ends the TLS sees
//! what he would see of UDP. TLS 1.3 alone, for with it no middlebox sees the certificate either.
//!
//! Each connection is a task of its own beside the event loop, and to the engine an endpoint ([`VirtualEndpoint`]). What
//! comes waits in one bounded channel, and a full one has the sender's TCP wait; what goes waits in bounded lanes
//! ([`lane`]), and a full one loses the oldest. No proxies: who may not connect to port 443 by himself has no passage.

mod carrier;
mod certificate;
mod dial;
pub mod frame;
mod lane;
mod listen;
mod places;
mod session;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::base::VirtualEndpoint;
use crate::engine::Transmit;
use crate::table::PeerId;
use lane::Line;
use places::Places;

pub use listen::{ListenError, bind};

/// The port that relays are dialled at.
pub const PORT: u16 = 443;
/// Batches of datagrams that wait for the event loop, each of one read: at most about 16 KiB.
const ARRIVALS_MAX: usize = 32;

/// What comes from the connections.
#[derive(Debug)]
pub enum Arrival {
    /// Datagrams, each behind its length; [`frame::datagrams`] takes them apart.
    Datagrams { from: SocketAddr, frames: Vec<u8> },
    /// A connection that was dialled for this peer is there.
    Dialled { peer: PeerId, endpoint: SocketAddr },
    /// No connection came to be.
    Refused { peer: PeerId },
    /// The connection is no more.
    Ended { endpoint: SocketAddr },
}

/// From the tasks.
#[derive(Debug)]
enum Word {
    Opened { connection: u32, line: Arc<Line>, peer: Option<PeerId> },
    Came { connection: u32, frames: Vec<u8> },
    Refused { peer: PeerId },
    Ended { connection: u32 },
}

/// Datagrams that were not sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// There is no such connection any more.
    pub refused: u64,
    /// The connection's lane was full.
    pub full: u64,
}

/// How often a connection is looked at, and how long each may take; a test is less patient.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub tick: std::time::Duration,
    pub handshake: std::time::Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tick: std::time::Duration::from_secs(5), handshake: std::time::Duration::from_secs(8) }
    }
}

/// What the tasks share.
#[derive(Debug)]
struct Shared {
    words: mpsc::Sender<Word>,
    places: Places,
    patience: Patience,
    fwmark: Option<NonZeroU32>,
}

/// Every TLS connection of this node, dialled and accepted.
#[derive(Debug)]
pub struct TlsPort {
    shared: Arc<Shared>,
    words: mpsc::Receiver<Word>,
    lines: HashMap<u32, Arc<Line>>,
    client: Arc<rustls::ClientConfig>,
    losses: Losses,
}

/// Makes connections.
#[derive(Debug)]
pub struct Dialler {
    client: Arc<rustls::ClientConfig>,
    shared: Arc<Shared>,
}

impl Dialler {
    /// Connects to one of these addresses, whichever answers first, each with the host's name that it was found by; and
    /// carries until the connection ends. What comes of it is an [`Arrival`].
    pub async fn dial(self, peer: PeerId, targets: Vec<(Arc<str>, SocketAddr)>) {
        dial::dial(peer, targets, self.client, self.shared).await;
    }
}

impl TlsPort {
    /// No connections yet. `fwmark` is set on what is dialled.
    ///
    /// # Errors
    /// What the library can't do on this machine.
    pub fn new(fwmark: Option<NonZeroU32>, patience: Patience) -> Result<Self, rustls::Error> {
        let (sender, words) = mpsc::channel(ARRIVALS_MAX);
        let shared = Shared { words: sender, places: Places::default(), patience, fwmark };
        Ok(Self {
            shared: Arc::new(shared),
            words,
            lines: HashMap::new(),
            client: session::client()?,
            losses: Losses::default(),
        })
    }

    /// Accepts connections from now on, with a certificate of its own for `seed`, which is random. In a tokio runtime.
    ///
    /// # Errors
    /// What the library can't do on this machine.
    pub fn serve(&self, listener: TcpListener, seed: &[u8; 32]) -> Result<(), rustls::Error> {
        tokio::spawn(listen::serve(listener, session::server(seed)?, self.shared.clone()));
        Ok(())
    }

    /// For a task that dials.
    #[must_use]
    pub fn dialler(&self) -> Dialler {
        Dialler { client: self.client.clone(), shared: self.shared.clone() }
    }

    /// Waits for the next thing that comes.
    pub async fn next(&mut self) -> Arrival {
        loop {
            // Never closed: this end holds a sender.
            let Some(word) = self.words.recv().await else { std::future::pending().await };
            if let Some(arrival) = self.hear(word) {
                return arrival;
            }
        }
    }

    /// The next thing that waits already.
    pub fn try_next(&mut self) -> Option<Arrival> {
        loop {
            let word = self.words.try_recv().ok()?;
            if let Some(arrival) = self.hear(word) {
                return Some(arrival);
            }
        }
    }

    fn hear(&mut self, word: Word) -> Option<Arrival> {
        let endpoint = |connection| VirtualEndpoint::Tls { connection }.address();
        match word {
            Word::Opened { connection, line, peer } => {
                self.lines.insert(connection, line);
                peer.map(|peer| Arrival::Dialled { peer, endpoint: endpoint(connection) })
            }
            Word::Came { connection, frames } => {
                Some(Arrival::Datagrams { from: endpoint(connection), frames })
            }
            Word::Refused { peer } => Some(Arrival::Refused { peer }),
            Word::Ended { connection } => {
                self.lines.remove(&connection);
                Some(Arrival::Ended { endpoint: endpoint(connection) })
            }
        }
    }

    /// Puts a datagram or train into its connection's lane. Never waits.
    pub fn send(&mut self, transmit: &Transmit<'_>) {
        let line = match VirtualEndpoint::of(transmit.destination) {
            Some(VirtualEndpoint::Tls { connection }) => self.lines.get(&connection),
            Some(VirtualEndpoint::Relay { .. }) | None => None,
        };
        let datagrams = transmit.bytes.chunks(transmit.segment.max(1));
        match line {
            Some(line) => self.losses.full += line.push(datagrams),
            None => self.losses.refused += datagrams.len() as u64,
        }
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.lines.len()
    }
}
