//! The largest packet that crossed an interface, each way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Namespace;
use super::packet_socket::{Direction, PacketSocket};

/// Looks until dropped.
#[derive(Debug)]
pub struct Largest {
    stop: Arc<AtomicBool>,
    /// In and out.
    lengths: Arc<[AtomicUsize; 2]>,
    thread: Option<JoinHandle<()>>,
}

impl Largest {
    pub fn on(namespace: &Namespace, interface: &str) -> Self {
        let socket = PacketSocket::open(namespace, interface, Duration::from_millis(50));
        let stop = Arc::new(AtomicBool::new(false));
        let lengths = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let thread = std::thread::spawn({
            let (stop, lengths) = (Arc::clone(&stop), Arc::clone(&lengths));
            move || {
                let mut buffer = vec![0; 1 << 17];
                while !stop.load(Ordering::Relaxed) {
                    if let Some((length, direction)) = socket.receive(&mut buffer) {
                        lengths[usize::from(direction == Direction::Out)]
                            .fetch_max(length, Ordering::Relaxed);
                    }
                }
            }
        });
        Self { stop, lengths, thread: Some(thread) }
    }

    /// Octets of the largest so far: into the namespace, and out of it.
    pub fn lengths(&self) -> [usize; 2] {
        [0, 1].map(|way| self.lengths[way].load(Ordering::Relaxed))
    }
}

impl Drop for Largest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
