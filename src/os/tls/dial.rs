//! Connecting: to every address of a host in turn, a moment apart, and on with whichever answers first (RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::carrier::{Carrier, End, Wire};
use super::lane::Line;
use super::{Shared, Word};
use crate::table::PeerId;

/// How far apart the attempts begin (RFC 8305, section 5).
const APART: Duration = Duration::from_millis(250);
/// Addresses that are tried.
const TARGETS_MAX: usize = 8;

/// Connects, and carries until the connection ends.
pub(super) async fn dial(
    peer: PeerId,
    targets: Vec<(Arc<str>, SocketAddr)>,
    config: Arc<ClientConfig>,
    shared: Arc<Shared>,
) {
    let wire = match open(targets, config, &shared).await {
        Ok(wire) => wire,
        Err(end) => {
            tracing::debug!(%end, "nothing answers TLS");
            let _ = shared.words.send(Word::Refused { peer }).await;
            return;
        }
    };
    let (connection, line) = (shared.places.number(), Arc::new(Line::default()));
    // What we asked for ourselves needs no proof; its tunnel finds out soon enough.
    line.prove();
    let opened = Word::Opened { connection, line: line.clone(), peer: Some(peer) };
    if shared.words.send(opened).await.is_ok() {
        let carrier = Carrier::new(wire, connection, line, shared.words.clone());
        let end = carrier.carry(shared.patience.tick).await;
        tracing::debug!(connection, %end, "TLS connection ended");
        let _ = shared.words.send(Word::Ended { connection }).await;
    }
}

async fn open(
    targets: Vec<(Arc<str>, SocketAddr)>,
    config: Arc<ClientConfig>,
    shared: &Arc<Shared>,
) -> Result<Wire, End> {
    let connecting = connect(targets, shared.clone());
    let (host, stream) =
        timeout(shared.patience.handshake, connecting).await.map_err(|_| End::Handshake)??;
    let name =
        ServerName::try_from(&*host).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?.to_owned();
    Wire::shake(stream, ClientConnection::new(config, name)?, shared.patience.handshake).await
}

/// The first connection that is there; the other attempts end with the set.
async fn connect(
    targets: Vec<(Arc<str>, SocketAddr)>,
    shared: Arc<Shared>,
) -> io::Result<(Arc<str>, TcpStream)> {
    let mut attempts = JoinSet::new();
    for (n, (host, address)) in in_turns(targets).into_iter().take(TARGETS_MAX).enumerate() {
        let shared = shared.clone();
        attempts.spawn(async move {
            sleep(APART * u32::try_from(n).unwrap_or(u32::MAX)).await;
            connect_to(address, &shared).await.map(|stream| (host, stream))
        });
    }
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    while let Some(outcome) = attempts.join_next().await {
        match outcome {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
    }
    Err(last)
}

/// The families by turns, each in its own order.
fn in_turns(targets: Vec<(Arc<str>, SocketAddr)>) -> Vec<(Arc<str>, SocketAddr)> {
    let first_is_v4 = targets.first().is_some_and(|(_, address)| address.is_ipv4());
    let (first, second): (Vec<_>, Vec<_>) =
        targets.into_iter().partition(|(_, address)| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair.iter().all(Option::is_none) {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

async fn connect_to(address: SocketAddr, shared: &Shared) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(mark) = shared.fwmark {
        socket2::SockRef::from(&socket).set_mark(mark.get())?;
    }
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_tried_by_turns() {
        let targets = ["192.0.2.1:443", "192.0.2.2:443", "192.0.2.3:443", "[2001:db8::1]:443"];
        let targets = targets.map(|address| (Arc::from("hill"), address.parse().unwrap()));
        let turns: Vec<_> =
            in_turns(targets.to_vec()).into_iter().map(|(_, address)| address.to_string()).collect();
        assert_eq!(turns, ["192.0.2.1:443", "[2001:db8::1]:443", "192.0.2.2:443", "192.0.2.3:443"]);
    }
}
