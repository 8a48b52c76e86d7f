//! Keeps the interface as it should be: what the engine serves is what it has, whatever others do to it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::os::netlink::{Changes, Interface, NetlinkError, Wanted};

/// How long others get to finish what they do to the interface (`network restart` does a dozen things).
const SETTLE: Duration = Duration::from_millis(100);
/// The same, when they did something a moment ago: a fight is fought slowly.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);
/// How long taking everything down may last.
const FAREWELL: Duration = Duration::from_secs(2);

/// The task that keeps the interface.
#[derive(Debug)]
pub(super) struct Keeper {
    wanted: watch::Sender<Wanted>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Makes the interface what is wanted, and keeps it so.
    ///
    /// # Errors
    /// [`NetlinkError`] when it can't be made so the first time.
    pub(super) async fn begin(index: u32, wanted: Wanted) -> Result<Self, NetlinkError> {
        let mut interface = Interface::open(index)?;
        let changes = Changes::open(index).map_err(NetlinkError::Connection)?;
        apply(&mut interface, &wanted).await?;
        let (wanted, news) = watch::channel(wanted);
        Ok(Self { wanted, task: tokio::spawn(keep(interface, changes, news)) })
    }

    /// Wants something else from now on.
    pub(super) fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|last| {
            let differs = *last != wanted;
            *last = wanted;
            differs
        });
    }

    /// Takes everything down.
    pub(super) async fn end(self) {
        drop(self.wanted);
        if timeout(FAREWELL, self.task).await.is_err() {
            tracing::warn!("the interface's addresses and routes are left to the kernel to remove");
        }
    }
}

async fn keep(mut interface: Interface, mut changes: Changes, mut wanted: watch::Receiver<Wanted>) {
    let mut applied = Instant::now();
    loop {
        let mut by_others = tokio::select! {
            changed = wanted.changed() => match changed {
                Ok(()) => false,
                Err(_) => break,
            },
            changed = changes.changed() => match changed {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(%error, "no news of the interface; what others do to it stays done");
                    // Without news there is still the engine's word to keep.
                    while wanted.changed().await.is_ok() {
                        let now = wanted.borrow_and_update().clone();
                        say(apply(&mut interface, &now).await);
                    }
                    break;
                }
            },
        };
        if by_others {
            let settle = if applied.elapsed() < SETTLE_AGAIN * 5 { SETTLE_AGAIN } else { SETTLE };
            tokio::select! {
                () = sleep(settle) => {}
                // The engine's word doesn't wait for others to finish.
                _ = wanted.changed() => by_others = false,
            }
        }
        let now = wanted.borrow_and_update().clone();
        let outcome = apply(&mut interface, &now).await;
        if by_others && matches!(&outcome, Ok(changes) if *changes > 0) {
            tracing::info!("interface was changed by others and is put right again");
        }
        if matches!(&outcome, Ok(changes) if *changes > 0) {
            applied = Instant::now();
        }
        say(outcome);
    }
    say(apply(&mut interface, &Wanted::default()).await);
}

/// How many changes were made.
async fn apply(interface: &mut Interface, wanted: &Wanted) -> Result<usize, NetlinkError> {
    let applied = interface.apply(wanted).await?;
    for refused in &applied.refused {
        tracing::warn!(
            what = refused.what,
            why = refused.why,
            "the kernel refused a change of the interface"
        );
    }
    Ok(applied.changes)
}

fn say(outcome: Result<usize, NetlinkError>) {
    match outcome {
        // The device says so to the event loop too, which stops.
        Ok(_) | Err(NetlinkError::Gone) => {}
        Err(error) => tracing::warn!(%error, "interface not changed"),
    }
}
