//! A world in network namespaces: everything in it is made for one test and goes with it.
//!
//! Files are nouns. Below are `command` and `process` (programs with a deadline, programs kept running), `namespace`
//! and `link`; on them stand the underlay's `internet`, the `owner`s with their signed rosters and the `room`s in them, the
//! `gateway` (vpmesh itself), and `station`s (stock wireguard-go). Most cases begin in one `attic`. `echo`, `ping`, `iperf`, `nmap`, `sniffer` and `injector` observe.
//! Nothing sleeps to synchronise: `wait` polls a condition until a deadline.

pub mod attic;
pub mod bulk;
pub mod command;
pub mod container;
pub mod echo;
pub mod explanation;
pub mod flood;
pub mod forge;
pub mod gateway;
pub mod home_router;
pub mod injector;
pub mod inside;
pub mod internet;
pub mod iperf;
pub mod lan;
pub mod largest;
pub mod link;
pub mod meter;
pub mod namespace;
pub mod nmap;
pub mod node;
pub mod owner;
pub mod packet_socket;
pub mod ping;
pub mod port;
pub mod process;
pub mod random;
pub mod raw_socket;
pub mod reaper;
pub mod rogue;
pub mod room;
pub mod sniffer;
pub mod standin;
pub mod station;
pub mod toolbox;
pub mod turn;
pub mod usage;
pub mod wait;
pub mod wireguard;
pub mod worker;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub use attic::Attic;
pub use gateway::Gateway;
pub use internet::Internet;
pub use namespace::Namespace;
pub use node::Node;
pub use owner::Owner;
pub use room::Room;
pub use station::Station;
pub use wait::wait_for;

/// One test's right to build, and its folder. Made first, so dropped last.
#[derive(Debug)]
pub struct Lab {
    dir: PathBuf,
    _turn: turn::Turn,
}

static LABS: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// A lab beside at most one other.
    pub fn new() -> Self {
        Self::with(turn::Turn::shared())
    }

    /// A lab with the machine for itself: for tests that measure.
    pub fn alone() -> Self {
        Self::with(turn::Turn::alone())
    }

    fn with(turn: turn::Turn) -> Self {
        toolbox::check();
        reaper::start();
        let dir = reaper::scratch().join(LABS.fetch_add(1, Ordering::Relaxed).to_string());
        wait::poll_until(command::LIMIT, || std::fs::create_dir_all(&dir).ok())
            .expect("a folder can be made");
        Self { dir, _turn: turn }
    }

    /// A new folder for one part.
    pub fn folder(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).expect("a temporary folder can be made");
        dir
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
        // Gone with the last lab; refused while another stands.
        let _ = std::fs::remove_dir(reaper::scratch());
    }
}
