//! Beacons on this host's links, beside the event loop.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

use super::notice::{Notice, Notices};
use crate::mesh::beacon::{BEACON_BYTES, BEACON_PORT};
use crate::os::multicast::LinkSocket;
use crate::os::netlink::multicast_links;

/// How often links are looked for.
const LOOK: Duration = Duration::from_secs(15);
/// How long what comes waits for the next to be read: a flood of it costs nobody else anything.
const PACE: Duration = Duration::from_millis(10);
/// How long after a socket failed it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The task that sends beacons and hears them.
#[derive(Debug)]
pub(super) struct Neighbours {
    beacons: mpsc::Sender<[u8; BEACON_BYTES]>,
}

impl Neighbours {
    /// `interface` is the mesh's own, which is no link. A host without IPv6 has no neighbours.
    pub(super) fn begin(interface: u32, notices: Notices) -> Self {
        let (beacons, waiting) = mpsc::channel(1);
        match LinkSocket::bind(BEACON_PORT) {
            Ok(socket) => drop(tokio::spawn(run(socket, interface, waiting, notices))),
            Err(error) => tracing::info!(%error, "nodes on the same link are not looked for"),
        }
        Self { beacons }
    }

    /// Sends a beacon on every link, unless one is on its way.
    pub(super) fn send(&self, beacon: [u8; BEACON_BYTES]) {
        let _ = self.beacons.try_send(beacon);
    }
}

async fn run(
    mut socket: LinkSocket,
    interface: u32,
    mut beacons: mpsc::Receiver<[u8; BEACON_BYTES]>,
    notices: Notices,
) {
    let mut look = interval(LOOK);
    // One octet more than a beacon has, to tell what is longer.
    let mut buffer = [0; BEACON_BYTES + 1];
    loop {
        tokio::select! {
            beacon = beacons.recv() => match beacon {
                Some(beacon) => socket.send(&beacon).await,
                None => return,
            },
            _ = look.tick() => {
                let links = multicast_links(interface).await.unwrap_or_default();
                if socket.join(&links) > 0 && notices.send(Notice::LinkUp).await.is_err() {
                    return;
                }
            }
            heard = socket.receive(&mut buffer) => match heard {
                Ok((len, source)) => {
                    let bytes = buffer[..len].to_vec();
                    if notices.send(Notice::Beacon { source, bytes }).await.is_err() {
                        return;
                    }
                    sleep(PACE).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "beacons can't be read");
                    sleep(AGAIN).await;
                }
            },
        }
    }
}
