//! The largest packet that crossed an interface, each way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Namespace;
use super::packet_socket::{Direction, PacketSocket};
use super::worker::Worker;

/// Looks until dropped.
#[derive(Debug)]
pub struct Largest {
    /// In and out.
    lengths: Arc<[AtomicUsize; 2]>,
    _worker: Worker,
}

impl Largest {
    pub fn on(namespace: &Namespace, interface: &str) -> Self {
        let socket = PacketSocket::open(namespace, interface, Duration::from_millis(50));
        let lengths = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let ways = Arc::clone(&lengths);
        let worker = Worker::start(move |goes_on| {
            let mut buffer = vec![0; 1 << 17];
            while goes_on() {
                if let Some((length, direction)) = socket.receive(&mut buffer) {
                    ways[usize::from(direction == Direction::Out)].fetch_max(length, Ordering::Relaxed);
                }
            }
        });
        Self { lengths, _worker: worker }
    }

    /// Octets of the largest so far: into the namespace, and out of it.
    pub fn lengths(&self) -> [usize; 2] {
        [0, 1].map(|way| self.lengths[way].load(Ordering::Relaxed))
    }
}
