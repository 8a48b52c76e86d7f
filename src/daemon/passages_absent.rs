//! A program that was built without TLS: nobody is dialled, and nobody answered.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use tokio::net::TcpListener;

use super::resolver::Looker;
use crate::engine::{Datagram, Transmit};
use crate::roster::Endpoint;
use crate::table::PeerId;

/// What never comes.
#[derive(Debug)]
#[expect(dead_code, reason = "the event loop knows what would come")]
pub(super) enum Arrival {
    Datagrams { from: SocketAddr, frames: Vec<u8> },
    Dialled { peer: PeerId, endpoint: SocketAddr },
    Refused { peer: PeerId },
    Ended { endpoint: SocketAddr },
}

/// Why nobody is listened to.
#[derive(Debug, thiserror::Error)]
#[error("this program was built without TLS; leave `tls_listen` out, or install the whole package")]
pub struct ListenError;

pub(super) fn bind(_address: SocketAddr) -> Result<TcpListener, ListenError> {
    Err(ListenError)
}

#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) refused: u64,
    pub(super) full: u64,
}

#[derive(Debug)]
pub(super) struct Passages;

impl Passages {
    pub(super) fn begin(_fwmark: Option<NonZeroU32>, _listener: Option<TcpListener>) -> io::Result<Self> {
        Ok(Self)
    }

    /// The engine asks again, and gets no answer.
    pub(super) fn dial(&self, _peer: PeerId, _endpoints: Vec<Endpoint>, _looker: Looker) {}

    pub(super) async fn ready(&mut self) {
        std::future::pending().await
    }

    pub(super) fn take(&mut self) -> Option<Arrival> {
        None
    }

    pub(super) fn send(&mut self, _transmit: &Transmit<'_>) {}

    pub(super) fn take_losses(&mut self) -> Losses {
        Losses::default()
    }
}

pub(super) fn datagrams(_from: SocketAddr, _frames: &mut [u8]) -> Vec<Datagram<'_>> {
    Vec::new()
}
