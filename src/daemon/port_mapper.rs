//! Has the home router, where there is one, forward the UDP port, beside the event loop.
//!
//! PCP is asked for first, then NAT-PMP, then UPnP; what worked last goes before them. A mapping is renewed at half its
//! life and given back at the end. Where no router answers, the questions become rare: half a minute apart at first,
//! then up to an hour. News (another gateway, a router that calls out that it began anew) are a reason to ask at once,
//! but each a little later than the one before. A gateway with a public address of its own asks nobody.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::notice::{Notice, Notices};
use super::status::Mapped;
use crate::os::netlink::Changes;
use crate::os::portmap::{self, Announcements, Gateway, Mapping, PROTOCOLS, default_gateway, is_public};
use crate::os::random;

/// How long giving back may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// After so long without news the next ones are the first again.
const QUIET: Duration = Duration::from_secs(60);
/// How long a new way out is left alone at most: looking costs the router nothing.
const WAY_OUT_MAX: Duration = Duration::from_secs(30);
/// News that one look is enough for.
const NEWS_AT_ONCE: usize = 1000;

/// The task that keeps the mapping.
#[derive(Debug)]
pub(super) struct PortMapper {
    task: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl PortMapper {
    /// Asks routers from now on, where that is wanted; never one that the interface `except` leads to.
    pub(super) fn begin(wanted: bool, port: u16, except: u32, notices: &Notices) -> Self {
        let Some(port) = NonZeroU16::new(port).filter(|_| wanted) else { return Self { task: None } };
        let (stop, stopped) = oneshot::channel();
        let keeping =
            Keeping { port, except, notices: notices.clone(), gateway: None, last: None, told: None };
        Self { task: Some((stop, tokio::spawn(keeping.run(stopped)))) }
    }

    /// Gives the mapping back.
    pub(super) async fn end(self) {
        let Some((stop, task)) = self.task else { return };
        drop(stop);
        if timeout(FAREWELL, task).await.is_err() {
            tracing::debug!("the router's mapping is left to end by itself");
        }
    }
}

/// The task's own state.
#[derive(Debug)]
struct Keeping {
    port: NonZeroU16,
    except: u32,
    notices: Notices,
    /// Who is asked; none where there is nobody, or no need.
    gateway: Option<Gateway>,
    /// What the gateway gave last: to be renewed, and given back.
    last: Option<Mapping>,
    /// What the event loop was told.
    told: Option<Mapped>,
}

/// Why the task wakes up.
enum Wake {
    Due,
    /// The way out may have changed.
    WayOut,
    /// The gateway calls out.
    Called,
}

impl Keeping {
    async fn run(mut self, stopped: oneshot::Receiver<()>) {
        tokio::select! {
            // Also when the sender is dropped.
            _ = stopped => {}
            () = self.keep() => {}
        }
        if let Some(mapping) = self.last
            && let Err(error) = portmap::unmap(&mapping).await
        {
            tracing::debug!(%error, by = mapping.by.name(), "the router did not take the mapping back");
        }
    }

    async fn keep(&mut self) {
        let mut changes = Changes::of_way_out()
            .inspect_err(|error| tracing::debug!(%error, "no news of the way to the internet"))
            .ok();
        let mut pace = Pace::default();
        self.look().await;
        loop {
            let life = self.ask().await;
            let due = Instant::now() + pace.after(life, random::word().unwrap_or(0));
            let announcements = self.gateway.as_ref().and_then(|gateway| Announcements::open(gateway).ok());
            loop {
                let wake = self.wait(due, changes.as_mut(), announcements.as_ref()).await;
                if pace.rested.is_none_or(|rested| rested.elapsed() > QUIET) {
                    pace.calm();
                }
                match wake {
                    Wake::Due => break,
                    Wake::Called => {
                        sleep_until(due.min(Instant::now() + pace.after_news())).await;
                        pace.rested = Some(Instant::now());
                        break;
                    }
                    Wake::WayOut => {
                        sleep(pace.after_news().min(WAY_OUT_MAX)).await;
                        pace.rested = Some(Instant::now());
                        if let Some(changes) = &mut changes {
                            skip(changes).await;
                        }
                        if self.look().await {
                            pace.failures = 0;
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn wait(
        &self,
        due: Instant,
        changes: Option<&mut Changes>,
        announcements: Option<&Announcements>,
    ) -> Wake {
        let changed = async {
            if let Some(changes) = changes
                && changes.changed().await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        let called = async {
            if let Some(announcements) = announcements
                && announcements.heard().await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        tokio::select! {
            () = sleep_until(due) => Wake::Due,
            () = changed => Wake::WayOut,
            () = called => Wake::Called,
        }
    }

    /// Looks who is to be asked; whether that is somebody else than before.
    async fn look(&mut self) -> bool {
        let found = match default_gateway(self.except).await {
            Ok(found) => found.filter(|gateway| !is_public(gateway.own)),
            Err(error) => {
                tracing::debug!(%error, "no look at the default route");
                return false;
            }
        };
        if found == self.gateway {
            return false;
        }
        self.gateway = found;
        self.last = None;
        true
    }

    /// Asks the gateway by one protocol after the other; the life of what it gave.
    async fn ask(&mut self) -> Option<Duration> {
        let given = self.ask_gateway().await;
        let mapped = given.as_ref().map(|mapping| Mapped {
            address: SocketAddr::V4(mapping.external),
            by: mapping.by.name().to_owned(),
            public: mapping.is_public(),
        });
        let life = given.as_ref().map(|mapping| mapping.life);
        if given.is_some() {
            self.last = given;
        }
        if mapped != self.told {
            match &mapped {
                Some(Mapped { by, public: true, .. }) => {
                    tracing::info!(%by, "a router forwards the UDP port")
                }
                Some(Mapped { by, public: false, .. }) => {
                    tracing::info!(%by, "a router forwards the UDP port, but is behind a NAT itself");
                }
                None => tracing::info!("no router forwards the UDP port any more"),
            }
            self.told = mapped.clone();
            let _ = self.notices.send(Notice::Mapped(mapped)).await;
        }
        life
    }

    async fn ask_gateway(&self) -> Option<Mapping> {
        let gateway = self.gateway.as_ref()?;
        let first = self.last.as_ref().map(|last| last.by);
        let others = PROTOCOLS.into_iter().filter(|protocol| Some(*protocol) != first);
        for protocol in first.into_iter().chain(others) {
            match portmap::map(gateway, self.port, protocol, self.last.as_ref()).await {
                Ok(mapping) => {
                    let external = mapping.external;
                    tracing::debug!(by = protocol.name(), %external, "the router's port is mapped");
                    return Some(mapping);
                }
                Err(error) => tracing::debug!(by = protocol.name(), %error, "no mapping"),
            }
        }
        None
    }
}

/// Reads news that came meanwhile: one look is for all of them.
async fn skip(changes: &mut Changes) {
    for _ in 0..NEWS_AT_ONCE {
        if !matches!(timeout(Duration::ZERO, changes.changed()).await, Ok(Ok(()))) {
            break;
        }
    }
}

/// When to ask again.
#[derive(Debug, Default)]
struct Pace {
    /// In vain, one after the other.
    failures: u32,
    /// News, one soon after the other.
    news: u32,
    /// When the last of them were taken up.
    rested: Option<Instant>,
}

impl Pace {
    /// The shortest and the longest that a mapping is left alone.
    const RENEWAL: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));
    /// After the first failure, and after many.
    const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3600));
    /// After the first news, and after many.
    const NEWS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

    /// Until it is asked again by itself, after a mapping of this life or none; up to a tenth less, at random.
    fn after(&mut self, life: Option<Duration>, random: u32) -> Duration {
        let whole = match life {
            Some(life) => {
                self.failures = 0;
                (life / 2).clamp(Self::RENEWAL.0, Self::RENEWAL.1)
            }
            None => {
                let wait = Self::RETRY.0 * 4_u32.pow(self.failures.min(8));
                self.failures += 1;
                wait.min(Self::RETRY.1)
            }
        };
        whole - whole / 1000 * (random % 100)
    }

    /// Until it is asked because of news.
    fn after_news(&mut self) -> Duration {
        let wait = Self::NEWS.0 * 2_u32.pow(self.news.min(12));
        self.news += 1;
        wait.min(Self::NEWS.1)
    }

    /// Nothing was new for a while.
    fn calm(&mut self) {
        self.news = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_mapping_is_renewed_at_half_its_life_whatever_a_router_says() {
        let mut pace = Pace::default();
        assert_eq!(pace.after(Some(20 * MINUTE), 0), 10 * MINUTE);
        assert_eq!(pace.after(Some(4 * MINUTE), 0), 2 * MINUTE);
        assert_eq!(pace.after(Some(Duration::ZERO), 0), MINUTE);
        assert_eq!(pace.after(Some(Duration::from_secs(u32::MAX.into())), 0), 10 * MINUTE);
        for random in 0..200 {
            let wait = pace.after(Some(20 * MINUTE), random);
            assert!(wait > 9 * MINUTE && wait <= 10 * MINUTE, "{wait:?}");
        }
    }

    #[test]
    fn where_nobody_answers_the_questions_become_rare() {
        let mut pace = Pace::default();
        let waits: Vec<u64> = (0..6).map(|_| pace.after(None, 0).as_secs()).collect();
        assert_eq!(waits, [30, 120, 480, 1920, 3600, 3600]);
        for _ in 0..100 {
            assert!(pace.after(None, u32::MAX) <= 60 * MINUTE);
        }
        pace.after(Some(MINUTE), 0);
        assert_eq!(pace.after(None, 0).as_secs(), 30);
    }

    #[test]
    fn a_router_that_calls_out_all_the_time_is_not_asked_all_the_time() {
        let mut pace = Pace::default();
        let waits: Vec<u64> = (0..12).map(|_| pace.after_news().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        for _ in 0..100 {
            assert!(pace.after_news() <= 10 * MINUTE);
        }
        pace.calm();
        assert_eq!(pace.after_news().as_secs(), 1);
    }
}
