//! This host's addresses, for gateways elsewhere that look for a path to it; told to the event loop when they change.

use std::time::Duration;

use tokio::time::sleep;

use super::notice::{Notice, Notices};
use crate::os::netlink::{Changes, own_addresses};

/// How long others get to finish what they do to the addresses.
const SETTLE: Duration = Duration::from_millis(200);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Tells the addresses now and whenever they change, until nobody listens.
pub(super) async fn run(notices: Notices) {
    loop {
        match watch(&notices).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(error, "no news of this host's addresses"),
        }
        sleep(AGAIN).await;
    }
}

async fn watch(notices: &Notices) -> Result<(), String> {
    let mut changes = Changes::of_addresses().map_err(|error| error.to_string())?;
    let mut told = None;
    loop {
        let own = own_addresses().await.map_err(|error| error.to_string())?;
        if told.as_ref() != Some(&own) {
            told = Some(own.clone());
            if notices.send(Notice::Addresses(own)).await.is_err() {
                return Ok(());
            }
        }
        changes.changed().await.map_err(|error| error.to_string())?;
        sleep(SETTLE).await;
    }
}
