//! The door on 443.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::carrier::{Carrier, End, Wire};
use super::lane::Line;
use super::{Shared, Word};

/// Connections that the kernel holds until they are looked at.
const BACKLOG: u32 = 64;

/// Why the address can't be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("TCP {0} is in use; stop the other program (`ss -tlpn`) or write another `tls_listen`")]
    Taken(SocketAddr),
    #[error("not permitted to open TCP {0}; ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    Port(SocketAddr),
    #[error(
        "this host has no address {0}; write one of its own as `tls_listen`, or [::]:443 for all of them"
    )]
    Address(SocketAddr),
    #[error("cannot open TCP {address}: {error}")]
    Other { address: SocketAddr, error: io::Error },
}

/// Opens the address. `[::]` is IPv4 also. In a tokio runtime.
///
/// # Errors
/// [`ListenError`], with the mend.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if address.is_ipv6() {
            socket2::SockRef::from(&socket).set_only_v6(!address.ip().is_unspecified())?;
        }
        // A daemon that starts again needn't wait for connections of the last one to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken(address),
        io::ErrorKind::PermissionDenied => ListenError::Port(address),
        io::ErrorKind::AddrNotAvailable => ListenError::Address(address),
        _ => ListenError::Other { address, error },
    })
}

/// Accepts as long as the daemon runs.
pub(super) async fn serve(listener: TcpListener, config: Arc<ServerConfig>, shared: Arc<Shared>) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // One too many is hung up on.
        let Some((connection, line)) = shared.places.take(from.ip()) else { continue };
        let (config, shared) = (config.clone(), shared.clone());
        tokio::spawn(async move {
            let end = answer(stream, connection, line, config, &shared).await;
            tracing::debug!(connection, %end, "TLS connection ended");
            shared.places.give_back(connection);
            let _ = shared.words.send(Word::Ended { connection }).await;
        });
    }
}

async fn answer(
    stream: TcpStream,
    connection: u32,
    line: Arc<Line>,
    config: Arc<ServerConfig>,
    shared: &Shared,
) -> End {
    let tls = match ServerConnection::new(config) {
        Ok(tls) => tls,
        Err(error) => return error.into(),
    };
    let wire = match Wire::shake(stream, tls, shared.patience.handshake).await {
        Ok(wire) => wire,
        Err(end) => return end,
    };
    let opened = Word::Opened { connection, line: line.clone(), peer: None };
    if shared.words.send(opened).await.is_err() {
        return End::Stop;
    }
    Carrier::new(wire, connection, line, shared.words.clone()).carry(shared.patience.tick).await
}
