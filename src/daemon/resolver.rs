//! Host names of gateways and relays, looked up beside the event loop.
//!
//! The system's resolver may take half a minute to fail, and holds a thread meanwhile; a few at a time, so that
//! threads for other work are always left.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::notice::{Notice, Notices};
use crate::roster::Endpoint;
use crate::table::PeerId;

/// Look-ups at a time, those included that nobody waits for any more.
pub(super) const AT_A_TIME: usize = 3;
/// How long a look-up is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses that one peer gets at most.
const ADDRESSES_MAX: usize = 16;

/// Looks host names up.
#[derive(Debug)]
pub(super) struct Resolver {
    notices: Notices,
    permits: Arc<Semaphore>,
    /// Peers whose answer is not in yet: asking again changes nothing.
    waiting: HashSet<PeerId>,
}

impl Resolver {
    pub(super) fn new(notices: Notices) -> Self {
        Self { notices, permits: Arc::new(Semaphore::new(AT_A_TIME)), waiting: HashSet::new() }
    }

    /// Looks a peer's endpoints up; the answer is a [`Notice::Resolved`], with no address where none was found.
    pub(super) fn resolve(&mut self, peer: PeerId, endpoints: Vec<Endpoint>) {
        if !self.waiting.insert(peer) {
            return;
        }
        let (notices, permits) = (self.notices.clone(), self.permits.clone());
        tokio::spawn(async move {
            let mut addresses = Vec::new();
            for endpoint in endpoints {
                addresses.extend(look_up(&permits, endpoint).await);
            }
            addresses.truncate(ADDRESSES_MAX);
            let _ = notices.send(Notice::Resolved { peer, addresses }).await;
        });
    }

    /// For who looks host names up by himself.
    pub(super) fn looker(&self) -> Looker {
        Looker(self.permits.clone())
    }

    /// A peer's answer is in.
    pub(super) fn answered(&mut self, peer: PeerId) {
        self.waiting.remove(&peer);
    }
}

/// Looks names up as the resolver does, within its limits.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nobody looks names up then"))]
pub(super) struct Looker(Arc<Semaphore>);

#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nobody looks names up then"))]
impl Looker {
    /// Every address of one endpoint.
    pub(super) async fn look_up(&self, endpoint: Endpoint) -> Vec<SocketAddr> {
        look_up(&self.0, endpoint).await
    }
}

/// Every address of one endpoint, in both families, in the order that the system prefers (RFC 6724).
async fn look_up(permits: &Arc<Semaphore>, endpoint: Endpoint) -> Vec<SocketAddr> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return vec![(address, endpoint.port).into()];
    }
    // The semaphore is never closed.
    let Ok(permit) = permits.clone().acquire_owned().await else { return Vec::new() };
    let host = endpoint.host.clone();
    let found = tokio::task::spawn_blocking(move || {
        let found = (&*endpoint.host, endpoint.port).to_socket_addrs().map(Iterator::collect);
        // Given back when the thread is, which may be long after anybody waited.
        drop(permit);
        found
    });
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(Ok(Ok(addresses))) => addresses,
        Ok(Ok(Err(error))) => {
            tracing::warn!(%host, %error, "host name not found");
            Vec::new()
        }
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(%host, "no answer to the host name");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn addresses_need_no_look_up_and_asking_twice_asks_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sender, mut notices) = mpsc::channel(4);
            let mut resolver = Resolver::new(sender);
            let endpoint = |host: &str| Endpoint { host: host.into(), port: 51888 };
            let endpoints = vec![endpoint("2001:db8::1"), endpoint("localhost"), endpoint("192.0.2.1")];
            resolver.resolve(PeerId(1), endpoints.clone());
            resolver.resolve(PeerId(1), endpoints);
            let Some(Notice::Resolved { peer: PeerId(1), addresses }) = notices.recv().await else {
                panic!()
            };
            assert_eq!(addresses[0], "[2001:db8::1]:51888".parse().unwrap());
            assert!(addresses.iter().any(|address| address.ip().is_loopback()));
            assert_eq!(*addresses.last().unwrap(), "192.0.2.1:51888".parse().unwrap());
            assert!(notices.try_recv().is_err());
            resolver.answered(PeerId(1));
        });
    }
}
