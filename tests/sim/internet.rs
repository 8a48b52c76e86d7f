//! The network between sites: latency, loss, reordering, duplication, partitions, and what translates at the edge.
//!
//! A site is a LAN with one or more hosts. In IPv4 it is either public or behind one translator or two (a provider's);
//! in IPv6 it is open or behind a firewall. All LANs behind a translator have the same addresses, as they do in life.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::clock::{MILLISECOND, Time};
use crate::diagram::{Diagram, Fate};
use crate::nat::{Hairpin, Nat};
use crate::rng::Rng;

pub type SiteId = usize;
pub type HostId = usize;

/// The delay inside a LAN.
const LAN: Time = MILLISECOND / 5;

#[derive(Debug)]
pub struct Site {
    /// `None`: no IPv4 here. From the inside out; none: public addresses.
    pub v4: Option<Vec<Nat>>,
    pub v6: Option<Vec<Nat>>,
    /// From here to the middle of the network.
    pub latency: Time,
    /// Which side of a partition it is on.
    pub side: u8,
    /// It hears its like on the other side all the same, where the network is divided: a relay's.
    pub bridges: bool,
    /// Whether anything gets in and out.
    pub up: bool,
    /// Counts renumberings.
    generation: u8,
}

#[derive(Debug)]
pub struct Host {
    pub site: SiteId,
    number: u8,
    pub port: u16,
}

/// What the network does to datagrams between sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Of a thousand.
    pub loss: u64,
    pub duplication: u64,
    /// Up to so much more delay for each datagram, so that they overtake each other.
    pub jitter: Time,
    /// Sites on different sides don't hear each other.
    pub partitioned: bool,
    /// But those that bridge the gap.
    pub bridged: bool,
}

#[derive(Debug)]
pub struct Flight {
    pub from: HostId,
    source: SocketAddr,
    destination: SocketAddr,
    /// `Some`: it never left the LAN, and this is the host.
    inside: Option<HostId>,
    pub bytes: Vec<u8>,
}

/// A datagram at its host.
#[derive(Debug)]
pub struct Arrival {
    pub host: HostId,
    pub source: SocketAddr,
    pub local: IpAddr,
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
pub struct Internet {
    pub sites: Vec<Site>,
    pub hosts: Vec<Host>,
    pub conditions: Conditions,
    flights: BinaryHeap<Reverse<(Time, u64)>>,
    /// By number; `None`: landed.
    aloft: std::collections::BTreeMap<u64, Flight>,
    number: u64,
    rng: Rng,
    pub sent: u64,
    pub sent_bytes: u64,
}

impl Site {
    pub fn new(v4: Option<Vec<Nat>>, v6: Option<Vec<Nat>>, latency: Time) -> Self {
        Self { v4, v6, latency, side: 0, bridges: false, up: true, generation: 0 }
    }

    fn is_translated(&self) -> bool {
        self.v4.as_ref().is_some_and(|nats| !nats.is_empty())
    }
}

/// The site's public IPv4 addresses: `last` 1 and 2 are a translator's, hosts' from 10 on.
fn public4(site: SiteId, generation: u8, last: u8) -> IpAddr {
    Ipv4Addr::new(20 + generation % 200, (site >> 8) as u8, site as u8, last).into()
}

/// The outside addresses of a site's translator before any renumbering.
pub fn outside_of(site: SiteId, count: u8) -> Vec<IpAddr> {
    (1..=count).map(|last| public4(site, 0, last)).collect()
}

impl Internet {
    pub fn new(rng: Rng) -> Self {
        Self {
            sites: Vec::new(),
            hosts: Vec::new(),
            conditions: Conditions::default(),
            flights: BinaryHeap::new(),
            aloft: std::collections::BTreeMap::new(),
            number: 0,
            rng,
            sent: 0,
            sent_bytes: 0,
        }
    }

    pub fn add_host(&mut self, site: SiteId, port: u16) -> HostId {
        let number = self.hosts.iter().filter(|host| host.site == site).count() as u8 + 10;
        self.hosts.push(Host { site, number, port });
        self.hosts.len() - 1
    }

    /// The host's own address of that family.
    pub fn address(&self, host: HostId, v6: bool) -> Option<IpAddr> {
        let Host { site: id, number, .. } = self.hosts[host];
        let site = &self.sites[id];
        if v6 {
            site.v6.as_ref()?;
            let prefix = [0x2001, 0xdb8, id as u16, u16::from(site.generation), 0, 0, 0, u16::from(number)];
            return Some(Ipv6Addr::from(prefix).into());
        }
        let nats = site.v4.as_ref()?;
        let inside = || Ipv4Addr::new(192, 168, 1, number).into();
        Some(if nats.is_empty() { public4(id, site.generation, number) } else { inside() })
    }

    /// Where the rest of the world may find the host's port: its public address, or its translator's.
    pub fn public_endpoints(&self, host: HostId) -> Vec<SocketAddr> {
        let Host { site: id, port, .. } = self.hosts[host];
        let site = &self.sites[id];
        let v4 = match &site.v4 {
            Some(nats) if !nats.is_empty() => nats.last().map(|nat| nat.outside()[0]),
            _ => self.address(host, false),
        };
        v4.into_iter().chain(self.address(host, true)).map(|ip| SocketAddr::new(ip, port)).collect()
    }

    /// Whether what nobody asked for, from there to this address, would get to its host. None of the translators'
    /// memory is looked at but ports forwarded by hand.
    pub fn is_open(&mut self, from: SiteId, to: SocketAddr, now: Time) -> bool {
        let Some(site) = self.site_of(to.ip()) else { return false };
        let family = if to.is_ipv6() { &self.sites[from].v6 } else { &self.sites[from].v4 };
        let stranger = SocketAddr::new(if to.is_ipv6() { public6() } else { public4(255, 0, 77) }, 7);
        family.is_some() && self.hears(from, site) && self.inward(site, stranger, to, now).is_some()
    }

    /// Whether sites are connected now, translators aside.
    pub fn hears(&self, from: SiteId, to: SiteId) -> bool {
        let (a, b) = (&self.sites[from], &self.sites[to]);
        let Conditions { partitioned, bridged, .. } = self.conditions;
        let joined = !partitioned || a.side == b.side || bridged && a.bridges && b.bridges;
        from == to || (a.up && b.up && joined)
    }

    fn site_of(&self, ip: IpAddr) -> Option<SiteId> {
        let (id, generation) = match ip {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                (usize::from(b) << 8 | usize::from(c), a.checked_sub(20)?)
            }
            IpAddr::V6(v6) => (usize::from(v6.segments()[2]), v6.segments()[3] as u8),
        };
        self.sites.get(id).filter(|site| site.generation % 200 == generation).map(|_| id)
    }

    fn host_at(&self, site: SiteId, at: SocketAddr) -> Option<HostId> {
        (0..self.hosts.len()).find(|&id| {
            let host = &self.hosts[id];
            host.site == site && host.port == at.port() && self.address(id, at.is_ipv6()) == Some(at.ip())
        })
    }

    /// Whether an address is on the LAN of a site.
    fn is_local(&self, site: SiteId, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) if self.sites[site].is_translated() => v4.is_private(),
            _ => self.site_of(ip) == Some(site),
        }
    }

    fn nats(&mut self, site: SiteId, v6: bool) -> &mut [Nat] {
        let site = &mut self.sites[site];
        if v6 { site.v6.as_deref_mut() } else { site.v4.as_deref_mut() }.unwrap_or_default()
    }

    /// From a host into the network.
    pub fn send(&mut self, from: HostId, to: SocketAddr, bytes: Vec<u8>, now: Time, diagram: &mut Diagram) {
        self.sent += 1;
        self.sent_bytes += bytes.len() as u64;
        let fate = self.dispatch(from, to, bytes.clone(), now);
        diagram.datagram(now, from, to, &bytes, fate);
    }

    fn dispatch(&mut self, from: HostId, to: SocketAddr, bytes: Vec<u8>, now: Time) -> Fate {
        let Host { site, port, .. } = self.hosts[from];
        let Some(own) = self.address(from, to.is_ipv6()) else { return Fate::NoAddress };
        let mut source = SocketAddr::new(own, port);
        if self.is_local(site, to.ip()) {
            let Some(host) = self.host_at(site, to) else { return Fate::Nobody };
            let flight = Flight { from, source, destination: to, inside: Some(host), bytes };
            self.launch(now + LAN, flight);
            return Fate::Arrives(now + LAN);
        }
        for level in 0..self.nats(site, to.is_ipv6()).len() {
            let nat = &mut self.nats(site, to.is_ipv6())[level];
            let Some(outside) = nat.outbound(source, to, now) else { return Fate::TableFull };
            source = outside;
            if nat.outside().contains(&to.ip()) && nat.kind.ports != crate::nat::Ports::Untranslated {
                if nat.kind.hairpin == Hairpin::Dropped {
                    return Fate::NoHairpin;
                }
                let Some(inside) = self.inward_from(site, level, source, to, now) else {
                    return Fate::Filtered;
                };
                let Some(host) = self.host_at(site, inside) else { return Fate::Nobody };
                let flight = Flight { from, source, destination: inside, inside: Some(host), bytes };
                self.launch(now + LAN, flight);
                return Fate::Arrives(now + LAN);
            }
        }
        let Some(there) = self.site_of(to.ip()) else { return Fate::Nobody };
        if !self.hears(site, there) {
            return Fate::Partitioned;
        }
        if self.rng.per_mille(self.conditions.loss) {
            return Fate::Lost;
        }
        let mut at = now + self.sites[site].latency + self.sites[there].latency;
        if self.rng.per_mille(self.conditions.duplication) {
            let copy = Flight { from, source, destination: to, inside: None, bytes: bytes.clone() };
            let later = at + self.rng.below(self.conditions.jitter + MILLISECOND);
            self.launch(later, copy);
        }
        at += self.rng.below(self.conditions.jitter + 1);
        self.launch(at, Flight { from, source, destination: to, inside: None, bytes });
        Fate::Arrives(at)
    }

    fn launch(&mut self, at: Time, flight: Flight) {
        self.flights.push(Reverse((at, self.number)));
        self.aloft.insert(self.number, flight);
        self.number += 1;
    }

    pub fn next_arrival(&self) -> Option<Time> {
        self.flights.peek().map(|Reverse((at, _))| *at)
    }

    /// Lands the datagram that is due next; `None`: it was turned away at the edge.
    pub fn land(&mut self, diagram: &mut Diagram) -> Option<Arrival> {
        let Reverse((now, number)) = self.flights.pop()?;
        let Flight { from, source, destination, inside, bytes } = self.aloft.remove(&number)?;
        let landed = match inside {
            Some(host) => Ok((host, destination.ip())),
            None => self.landing(source, destination, now),
        };
        match landed {
            Ok((host, local)) => {
                diagram.arrived(now, from, host, &bytes);
                Some(Arrival { host, source, local, bytes })
            }
            Err(fate) => {
                diagram.datagram(now, from, destination, &bytes, fate);
                None
            }
        }
    }

    fn landing(&mut self, from: SocketAddr, to: SocketAddr, now: Time) -> Result<(HostId, IpAddr), Fate> {
        // It may have been renumbered while the datagram was on its way.
        let site = self.site_of(to.ip()).filter(|&id| self.sites[id].up).ok_or(Fate::Nobody)?;
        let inside = self.inward(site, from, to, now).ok_or(Fate::Filtered)?;
        self.host_at(site, inside).map(|host| (host, inside.ip())).ok_or(Fate::Nobody)
    }

    fn inward(&mut self, site: SiteId, from: SocketAddr, to: SocketAddr, now: Time) -> Option<SocketAddr> {
        let levels = self.nats(site, to.is_ipv6()).len();
        if levels == 0 { Some(to) } else { self.inward_from(site, levels - 1, from, to, now) }
    }

    /// Through the translators from `level` on, inwards.
    fn inward_from(
        &mut self,
        site: SiteId,
        level: usize,
        from: SocketAddr,
        to: SocketAddr,
        now: Time,
    ) -> Option<SocketAddr> {
        let nats = &mut self.nats(site, to.is_ipv6())[..=level];
        nats.iter_mut().rev().try_fold(to, |at, nat| nat.inbound(from, at, now))
    }

    /// The site gets other addresses, and its translators forget.
    pub fn renumber(&mut self, id: SiteId) {
        let site = &mut self.sites[id];
        site.generation = (site.generation + 1) % 200;
        let generation = site.generation;
        if let Some(nat) = site.v4.as_mut().and_then(|nats| nats.last_mut()) {
            let count = nat.outside().len() as u8;
            nat.reboot((1..=count).map(|last| public4(id, generation, last)).collect());
        }
        for nat in site.v6.iter_mut().flatten() {
            nat.reboot(Vec::new());
        }
    }

    /// The site's translators forget everything.
    pub fn reboot_nats(&mut self, id: SiteId) {
        let site = &mut self.sites[id];
        for nat in site.v4.iter_mut().chain(site.v6.iter_mut()).flatten() {
            let outside = nat.outside().to_vec();
            nat.reboot(outside);
        }
    }

    pub fn mappings_most(&self) -> usize {
        let nats = self.sites.iter().flat_map(|site| site.v4.iter().chain(&site.v6).flatten());
        nats.map(Nat::mappings).max().unwrap_or(0)
    }
}

fn public6() -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x77).into()
}
