//! A gateway or relay: an engine, and what its daemon would do for it.

use std::net::SocketAddr;
use std::sync::Arc;

use vpmesh::base;
use vpmesh::engine::backlog::Backlog;
use vpmesh::engine::{Datagram, Engine, EngineConfig, Event, Now, Outbox, ReloadError, ReloadReport};
use vpmesh::roster::Model;

use super::roster::key;
use super::{Sent, segments};

pub struct Gateway {
    pub engine: Engine,
    pub(super) at: SocketAddr,
    /// What is sent there arrives as well.
    pub(super) also_at: Option<SocketAddr>,
    pub(super) out: Outbox,
    /// What the kernel was given.
    pub kernel: Vec<Vec<u8>>,
    /// Its way out has no room: what waits, and how many datagrams had to go.
    pub(super) narrow: Option<(Backlog, u64)>,
    pub(super) is_off: bool,
    /// The room whose key it holds.
    pub(super) room: Option<String>,
}

impl Gateway {
    pub(super) fn new(path: &str, at: SocketAddr, now: Now) -> Self {
        Self {
            engine: Engine::new(config(path), now),
            at,
            also_at: None,
            out: Outbox::with_capacity(1 << 18, 1 << 18),
            kernel: vec![],
            narrow: None,
            is_off: false,
            room: None,
        }
    }

    pub(super) fn is_at(&self, address: SocketAddr) -> bool {
        self.at == address || self.also_at == Some(address)
    }

    /// From the next reload on.
    pub(super) fn hold_room_key(&mut self, room: &str) {
        self.engine.set_room_key(Some(Arc::new(key(room))));
        self.room = Some(room.to_owned());
    }

    pub(super) fn reload(&mut self, model: &Arc<Model>, now: Now) -> Result<ReloadReport, ReloadError> {
        let report = self.engine.reload(Arc::clone(model), now)?;
        while let Some(event) = self.engine.poll_event() {
            if let Event::Resolve { peer, endpoints } = event {
                self.engine.handle_resolved(peer, resolved(&endpoints), now);
            }
        }
        Ok(report)
    }

    /// A datagram arrives; what is sent then.
    pub(super) fn receive(&mut self, from: SocketAddr, bytes: &mut [u8], now: Now) -> Vec<Sent> {
        self.engine.handle_udp(&mut [datagram(from, bytes)], now, &mut self.out);
        self.drain()
    }

    /// What its engine gave out: the kernel's is kept, and the wire's is on its way.
    pub(super) fn drain(&mut self) -> Vec<Sent> {
        let at = self.at;
        if let Some((backlog, lost)) = &mut self.narrow {
            *lost += self.out.transmits().map(|transmit| backlog.push(&transmit)).sum::<u64>();
            self.out.clear();
            return Vec::new();
        }
        let wire = self.out.transmits().flat_map(|transmit| segments(at, &transmit)).collect();
        self.kernel.extend(self.out.tun_packets().map(<[u8]>::to_vec));
        self.out.clear();
        wire
    }
}

/// What every engine here begins with.
pub fn config(path: &str) -> EngineConfig {
    EngineConfig {
        node: path.parse().unwrap(),
        private_key: key(path),
        mtu: 1420,
        listen: 51888,
        flows_max: 1_000,
        seed: [3; 32],
        index_secret: 0x5a_5a5a,
        introducers: Vec::new(),
    }
}

/// One datagram, unmarked.
pub fn datagram(source: SocketAddr, bytes: &mut [u8]) -> Datagram<'_> {
    let stride = bytes.len();
    Datagram { source, local: None, ecn: 0, bytes, stride }
}

/// What a resolver finds that knows addresses, and no name.
pub fn resolved(endpoints: &[base::Endpoint]) -> Vec<SocketAddr> {
    endpoints.iter().filter_map(|e| Some(SocketAddr::new(e.host.parse().ok()?, e.port))).collect()
}
