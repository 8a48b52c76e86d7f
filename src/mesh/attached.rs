//! Which gateway has which station, where a room has several.
//!
//! A gateway that a station comes to claims it, with an epoch above every one that it knows of. Whoever hears of claims
//! keeps the newest; of two with one epoch, the one of the higher address. So in whatever order claims come, and how often,
//! all come to think the same. Whose word about a station counts is decided before ([`crate::engine`]): gateways of its own
//! room, in their own tunnels.

use std::cmp::Ordering;
use std::net::{Ipv6Addr, SocketAddr};

use super::paths::is_probeable;
use super::relaying::{ADDRESS, read_address, write_address};

/// Who has a station, since when. The order is that of newness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub epoch: u64,
    /// The gateway's address of the overlay.
    pub gateway: Ipv6Addr,
}

/// The newest claims, in the order of the stations' addresses. Bounded by whoever says which stations there are.
#[derive(Debug, Default)]
pub struct Attached(Vec<(Ipv6Addr, Claim)>);

impl Attached {
    #[must_use]
    pub fn get(&self, station: Ipv6Addr) -> Option<Claim> {
        self.find(station).ok().map(|at| self.0[at].1)
    }

    fn find(&self, station: Ipv6Addr) -> Result<usize, usize> {
        self.0.binary_search_by_key(&station, |&(station, _)| station)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, Claim)> {
        self.0.iter().copied()
    }

    /// Takes a claim that is newer than what is known; how it compares with that.
    pub fn take(&mut self, station: Ipv6Addr, claim: Claim) -> Ordering {
        match self.find(station) {
            Ok(at) => {
                let known = &mut self.0[at].1;
                let order = claim.cmp(known);
                *known = claim.max(*known);
                order
            }
            Err(at) => {
                self.0.insert(at, (station, claim));
                Ordering::Greater
            }
        }
    }

    /// The station is at this gateway now, whatever was before, and whatever is known elsewhere up to `above`. `false`: there
    /// is no higher epoch.
    pub fn claim(&mut self, station: Ipv6Addr, gateway: Ipv6Addr, above: u64) -> bool {
        let epoch = self.get(station).map_or(0, |known| known.epoch).max(above).saturating_add(1);
        self.take(station, Claim { epoch, gateway }) == Ordering::Greater
    }

    /// Forgets stations that are no more, and claims of gateways that are no more.
    pub fn retain(&mut self, mut stays: impl FnMut(Ipv6Addr, Claim) -> bool) {
        self.0.retain(|&(station, claim)| stays(station, claim));
    }
}

/// A claim as it lies in a message; or, with no gateway, a question: who has the station, if not in the epoch that is
/// known; and with no station either, which stations the other one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub station: Ipv6Addr,
    pub claim: Claim,
    /// Where on the underlay it was last, if a gateway says it to another one of the same room.
    pub seen: Option<SocketAddr>,
}

impl Entry {
    /// Octets of one.
    pub const LENGTH: usize = 40 + ADDRESS;

    /// Asks for all that the other one has.
    pub const ALL: Self = Self::question(Ipv6Addr::UNSPECIFIED, 0);

    #[must_use]
    pub const fn question(station: Ipv6Addr, epoch: u64) -> Self {
        Self { station, claim: Claim { epoch, gateway: Ipv6Addr::UNSPECIFIED }, seen: None }
    }

    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..16].copy_from_slice(&self.station.octets());
        bytes[16..32].copy_from_slice(&self.claim.gateway.octets());
        bytes[32..40].copy_from_slice(&self.claim.epoch.to_be_bytes());
        if let Some(seen) = self.seen {
            bytes[40..].copy_from_slice(&write_address(seen));
        }
        bytes
    }

    /// `None`: there is no such host, or a question says where.
    #[must_use]
    pub fn read(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let address = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&bytes[at..at + 16]);
            Ipv6Addr::from(octets)
        };
        let mut epoch = [0; 8];
        epoch.copy_from_slice(&bytes[32..40]);
        let claim = Claim { epoch: u64::from_be_bytes(epoch), gateway: address(16) };
        let place: &[u8; ADDRESS] = bytes.last_chunk()?;
        let seen = if *place == [0; ADDRESS] { None } else { Some(read_address(place)?) };
        let is_sound = seen.is_none_or(|seen| is_probeable(seen) && !claim.gateway.is_unspecified());
        is_sound.then_some(Self { station: address(0), claim, seen })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(n: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n)
    }

    #[test]
    fn a_claim_goes_above_all_that_is_known_and_never_round() {
        let mut attached = Attached::default();
        assert!(attached.claim(at(1), at(10), 0));
        assert!(attached.claim(at(1), at(11), 7));
        assert_eq!(attached.get(at(1)), Some(Claim { epoch: 8, gateway: at(11) }));
        assert_eq!(attached.take(at(1), Claim { epoch: 8, gateway: at(10) }), Ordering::Less);
        assert_eq!(attached.take(at(1), Claim { epoch: 8, gateway: at(12) }), Ordering::Greater);
        assert!(attached.claim(at(1), at(13), u64::MAX));
        assert!(!attached.claim(at(1), at(11), 0), "nothing is above the highest");
        attached.retain(|_, claim| claim.gateway != at(13));
        assert_eq!(attached.get(at(1)), None);
    }

    #[test]
    fn an_entry_comes_out_as_it_went_in_and_nothing_else_does() {
        let known = Entry { station: at(1), claim: Claim { epoch: 1, gateway: at(2) }, seen: None };
        for entry in [
            Entry { station: at(1), claim: Claim { epoch: 1 << 40, gateway: at(2) }, seen: None },
            Entry { seen: Some(([192, 0, 2, 7], 40_000).into()), ..known },
            Entry { seen: Some((at(9), 1).into()), ..known },
            Entry::question(at(3), 9),
            Entry::ALL,
        ] {
            assert_eq!(Entry::read(&entry.to_bytes()), Some(entry));
        }
        for seen in [([224, 0, 0, 1], 1).into(), ([192, 0, 2, 7], 0).into(), (Ipv6Addr::LOCALHOST, 1).into()]
        {
            assert_eq!(Entry::read(&Entry { seen: Some(seen), ..known }.to_bytes()), None, "{seen}");
        }
        let question = Entry { seen: Some(([192, 0, 2, 7], 1).into()), ..Entry::question(at(3), 9) };
        assert_eq!(Entry::read(&question.to_bytes()), None);
    }

    proptest! {
        #[test]
        fn claims_in_any_order_some_lost_and_some_twice_end_in_the_same_table(
            claims in prop::collection::vec((0..4_u16, 0..3_u16, 0..5_u64), 1..30),
            orders in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..60), 2),
        ) {
            let told = |(station, gateway, epoch)| (at(station), Claim { epoch, gateway: at(100 + gateway) });
            let table = |order: &[prop::sample::Index]| {
                let mut attached = Attached::default();
                // What came by chance, and then everything once again, from either end.
                for pick in order {
                    let (station, claim) = told(*pick.get(&claims));
                    attached.take(station, claim);
                }
                let rest: Vec<_> = if order.len().is_multiple_of(2) {
                    claims.iter().copied().map(told).collect()
                } else {
                    claims.iter().rev().copied().map(told).collect()
                };
                rest.into_iter().for_each(|(station, claim)| { attached.take(station, claim); });
                attached.iter().collect::<Vec<_>>()
            };
            let one = table(&orders[0]);
            prop_assert_eq!(&one, &table(&orders[1]));
            for (station, claim) in one {
                let newest = claims.iter().copied().map(told).filter(|(s, _)| *s == station).map(|(_, c)| c).max();
                prop_assert_eq!(Some(claim), newest);
            }
        }
    }
}
