//! Who may be connected: so many in all, and so many of one site.
//!
//! A connection has to prove itself within its time: a peer's tunnel answers through it, or it ends. Where all places
//! are taken, the one that has been unproven for longest makes room; so strangers displace strangers only.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lane::Line;
use crate::base::canonical;

/// Connections that are accepted: a relay's gateways, where half of them have no UDP.
const PLACES: usize = 256;
/// Of one site: gateways behind one address.
const PLACES_OF_SITE: usize = 32;

/// Every connection that was accepted and has not ended.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<BTreeMap<u32, Taken>>,
    next: AtomicU32,
}

#[derive(Debug)]
struct Taken {
    site: IpAddr,
    line: Arc<Line>,
}

impl Places {
    /// A number that no connection has had.
    pub(super) fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A place for a connection from there, unless there is none.
    pub(super) fn take(&self, from: IpAddr) -> Option<(u32, Arc<Line>)> {
        let site = site(from);
        let mut taken = self.taken();
        if taken.values().filter(|other| other.site == site).count() >= PLACES_OF_SITE {
            return None;
        }
        if taken.len() >= PLACES {
            let (&oldest, _) = taken.iter().find(|(_, other)| !other.line.is_proven())?;
            if let Some(gone) = taken.remove(&oldest) {
                gone.line.cut();
            }
        }
        let (number, line) = (self.number(), Arc::new(Line::default()));
        taken.insert(number, Taken { site, line: line.clone() });
        Some((number, line))
    }

    pub(super) fn give_back(&self, number: u32) {
        self.taken().remove(&number);
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u32, Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// IPv6 by /64, which is what one host has.
fn site(address: IpAddr) -> IpAddr {
    match canonical(address) {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::V6(octets.into())
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: usize) -> IpAddr {
        IpAddr::V4(u32::try_from(host).unwrap().into())
    }

    #[test]
    fn one_site_has_its_share_and_no_more() {
        let places = Places::default();
        for host in 0..PLACES_OF_SITE as u16 {
            assert!(places.take([0x2001, 0xdb8, 0, 0, 0, 0, 0, host].into()).is_some());
        }
        assert!(places.take("2001:db8::ffff".parse().unwrap()).is_none());
        let (number, _) = places.take("2001:db8:0:1::1".parse().unwrap()).unwrap();
        places.give_back(number);
    }

    #[test]
    fn strangers_make_room_and_peers_do_not() {
        let places = Places::default();
        let lines: Vec<_> = (0..PLACES).map(|host| places.take(address(host)).unwrap().1).collect();
        lines.iter().skip(1).for_each(|line| line.prove());
        assert!(places.take(address(PLACES)).is_some());
        assert!(lines[0].is_cut() && !lines[1].is_cut());
        let last = places.take(address(PLACES + 1)).unwrap().1;
        last.prove();
        assert!(places.take(address(PLACES + 2)).is_none(), "every place is a peer's");
    }
}
