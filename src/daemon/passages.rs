//! Passages inside TLS, between the event loop and `os::tls`.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use tokio::net::TcpListener;

use super::resolver::Looker;
use crate::engine::{Datagram, Transmit};
use crate::os::random;
use crate::os::tls::{self, Losses, Patience, TlsPort};
use crate::roster::Endpoint;
use crate::table::PeerId;

pub(super) use crate::os::tls::{Arrival, ListenError, bind};

/// Every passage of this node.
#[derive(Debug)]
pub(super) struct Passages {
    port: TlsPort,
    /// Came while the loop waited, and waits for its turn.
    first: Option<Arrival>,
}

impl Passages {
    /// None yet; others may come by `listener`.
    pub(super) fn begin(fwmark: Option<NonZeroU32>, listener: Option<TcpListener>) -> io::Result<Self> {
        let port = TlsPort::new(fwmark, Patience::default()).map_err(io::Error::other)?;
        if let Some(listener) = listener {
            port.serve(listener, &random::seed()?).map_err(io::Error::other)?;
        }
        Ok(Self { port, first: None })
    }

    /// Looks the hosts up and dials them; an [`Arrival`] says what came of it.
    pub(super) fn dial(&self, peer: PeerId, endpoints: Vec<Endpoint>, looker: Looker) {
        let dialler = self.port.dialler();
        tokio::spawn(async move {
            let mut targets = Vec::new();
            for endpoint in endpoints {
                let host = endpoint.host.clone();
                let found = looker.look_up(Endpoint { port: tls::PORT, ..endpoint }).await;
                targets.extend(found.into_iter().map(|address| (host.clone(), address)));
            }
            dialler.dial(peer, targets).await;
        });
    }

    /// Waits until [`Passages::take`] has something.
    pub(super) async fn ready(&mut self) {
        if self.first.is_none() {
            self.first = Some(self.port.next().await);
        }
    }

    /// The next thing that came.
    pub(super) fn take(&mut self) -> Option<Arrival> {
        self.first.take().or_else(|| self.port.try_next())
    }

    pub(super) fn send(&mut self, transmit: &Transmit<'_>) {
        self.port.send(transmit);
    }

    pub(super) fn take_losses(&mut self) -> Losses {
        self.port.take_losses()
    }
}

/// What came from there in one read.
pub(super) fn datagrams(from: SocketAddr, frames: &mut [u8]) -> Vec<Datagram<'_>> {
    tls::frame::datagrams(frames)
        .map(|bytes| {
            let stride = bytes.len();
            Datagram { source: from, local: None, ecn: 0, bytes, stride }
        })
        .collect()
}
