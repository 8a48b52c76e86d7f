//! The interface's addresses, routes, MTU and state, through netlink.
//!
//! [`Interface::apply`] compares what is wanted with what is there and changes the difference only. What others put
//! there stays: an address or route is taken away only when it carries this project's mark. [`Changes`] tells when
//! somebody changed the interface (netifd's `network restart` flushes it), so that it can be applied again.

mod changes;
mod message;

use std::io;
use std::net::IpAddr;
#[cfg(feature = "portmap")]
use std::net::Ipv4Addr;

use ipnetwork::IpNetwork;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::line::Line;
pub use changes::Changes;
use message::{Address, Found, Link, Route};

/// The routing protocol number that marks this project's routes and addresses (`/etc/iproute2/rt_protos` has it free).
pub const PROTOCOL: u8 = 88;

/// What the interface should have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Whether it is up.
    pub up: bool,
    pub mtu: u16,
    pub addresses: Vec<IpNetwork>,
    pub routes: Vec<IpNetwork>,
}

/// What one `apply` did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Changes that the kernel took.
    pub changes: usize,
    /// Changes that it refused. The others were made all the same.
    pub refused: Vec<Refused>,
}

/// One change that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `address fd00::1/128`, `route fd00::/48`, …
    pub what: String,
    pub why: String,
}

/// Why nothing can be applied.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    #[error("cannot talk to the kernel through netlink: {0}")]
    Connection(io::Error),
    #[error("the interface is gone: somebody deleted it")]
    Gone,
    #[error("not permitted to change the interface; run as root, or with CAP_NET_ADMIN")]
    NotPermitted,
    #[error("netlink: {0}")]
    Other(io::Error),
}

impl From<io::Error> for NetlinkError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENODEV) => Self::Gone,
            Some(libc::EPERM) => Self::NotPermitted,
            _ => Self::Other(error),
        }
    }
}

fn line() -> Result<Line, NetlinkError> {
    Line::open(NETLINK_ROUTE).map_err(NetlinkError::Connection)
}

/// One interface.
#[derive(Debug)]
pub struct Interface {
    index: u32,
    /// Addresses that were added: kernels before 5.18 keep no mark.
    added: Vec<IpNetwork>,
    line: Line,
}

/// The links that are up and take multicast, by their index; no loopback, and not `except`.
///
/// # Errors
/// [`NetlinkError`].
pub async fn multicast_links(except: u32) -> Result<Vec<u32>, NetlinkError> {
    let mut found = Vec::new();
    line()?
        .ask(Link::get(0, libc::NLM_F_DUMP), |data| {
            let Some(link) = Link::read(data) else { return };
            let takes = link.is(libc::IFF_UP | libc::IFF_MULTICAST) && !link.is(libc::IFF_LOOPBACK);
            if takes && link.index != except {
                found.push(link.index);
            }
        })
        .await?;
    Ok(found)
}

impl Interface {
    /// # Errors
    /// [`NetlinkError::Connection`].
    pub fn open(index: u32) -> Result<Self, NetlinkError> {
        Ok(Self { index, added: Vec::new(), line: line()? })
    }

    /// Makes the interface what is wanted. Routes go before the addresses that they come from, and come after them.
    ///
    /// # Errors
    /// [`NetlinkError`] where nothing can be done; single refusals are in [`Applied`].
    pub async fn apply(&mut self, wanted: &Wanted) -> Result<Applied, NetlinkError> {
        let mut applied = Applied::default();
        if !wanted.up {
            self.take_away(&[], &[], &mut applied).await?;
            self.set_link(wanted, &mut applied).await?;
            return Ok(applied);
        }
        self.set_link(wanted, &mut applied).await?;
        let routes: Vec<Route> =
            wanted.routes.iter().map(|route| Route::to(*route, &wanted.addresses)).collect();
        let there = self.take_away(&wanted.addresses, &routes, &mut applied).await?;
        for address in wanted.addresses.iter().filter(|address| !there.addresses.contains(address)) {
            let outcome = self.line.tell(Address::add(self.index, *address));
            applied.note(|| format!("address {address}"), outcome)?;
            self.added.push(*address);
        }
        for route in routes.iter().filter(|route| !there.routes.contains(route)) {
            let outcome = self.line.tell(route.add(self.index));
            applied.note(|| format!("route {}", route.to), outcome)?;
        }
        Ok(applied)
    }

    async fn set_link(&mut self, wanted: &Wanted, applied: &mut Applied) -> Result<(), NetlinkError> {
        let mut link = None;
        self.line
            .ask(Link::get(self.index, libc::NLM_F_ACK), |data| link = link.take().or(Link::read(data)))
            .await?;
        let link = link.ok_or(NetlinkError::Gone)?;
        let mtu = Some(u32::from(wanted.mtu)).filter(|mtu| wanted.up && link.mtu != Some(*mtu));
        if mtu.is_none() && link.is(libc::IFF_UP) == wanted.up {
            return Ok(());
        }
        let outcome = self.line.tell(Link::set(self.index, wanted.up, mtu));
        let is_refused = outcome.is_err();
        applied.note(|| "the interface's MTU and state".to_owned(), outcome)?;
        if is_refused && mtu.is_some() {
            // An MTU that it can't have is no reason to be down.
            let outcome = self.line.tell(Link::set(self.index, wanted.up, None));
            applied.note(|| "the interface's state".to_owned(), outcome)?;
        }
        Ok(())
    }

    /// Takes away what carries the mark and is not wanted. What there is after that.
    async fn take_away(
        &mut self,
        addresses: &[IpNetwork],
        routes: &[Route],
        applied: &mut Applied,
    ) -> Result<There, NetlinkError> {
        let mut there = There::default();
        for found in self.marked_routes().await? {
            if routes.contains(&found.route) {
                there.routes.push(found.route);
            } else {
                let outcome = self.line.tell(found.delete());
                applied.note(|| format!("old route {}", found.route.to), gone_is_done(outcome))?;
            }
        }
        let all = all_addresses(&mut self.line).await?;
        for address in all.iter().filter(|address| address.index == self.index) {
            let network = address.network;
            if addresses.contains(&network) {
                there.addresses.push(network);
            } else if address.is_marked || self.added.contains(&network) {
                let outcome = self.line.tell(address.delete());
                applied.note(|| format!("old address {network}"), gone_is_done(outcome))?;
            }
        }
        self.added.retain(|address| addresses.contains(address));
        Ok(there)
    }

    /// This project's routes into this interface.
    async fn marked_routes(&mut self) -> Result<Vec<Found>, NetlinkError> {
        let (index, mut marked) = (self.index, Vec::new());
        for family in [message::V6, message::V4] {
            let all = self.line.ask(Found::all(family), |data| {
                marked.extend(Found::read(data).filter(|found| found.is_ours(index)));
            });
            match all.await {
                // The kernel has no IPv6.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT)) => {
                }
                outcome => outcome?,
            }
        }
        Ok(marked)
    }
}

async fn all_addresses(line: &mut Line) -> io::Result<Vec<Address>> {
    let mut all = Vec::new();
    line.ask(Address::all(), |data| all.extend(Address::read(data))).await?;
    Ok(all)
}

/// This host's own addresses, of all interfaces.
///
/// # Errors
/// [`NetlinkError`].
pub async fn own_addresses() -> Result<Vec<IpAddr>, NetlinkError> {
    let all = all_addresses(&mut line()?).await?;
    Ok(all.iter().map(|address| address.network.ip()).collect())
}

/// The gateway of the IPv4 default route with the lowest metric, in the main table, that doesn't lead into the interface
/// `except`.
///
/// # Errors
/// The kernel's.
#[cfg(feature = "portmap")]
pub(super) async fn default_gateway(except: u32) -> io::Result<Option<Ipv4Addr>> {
    let mut best: Option<(u32, Ipv4Addr)> = None;
    let mut line = Line::open(NETLINK_ROUTE)?;
    line.ask(Found::all(message::V4), |data| {
        if let Some(Found { route, into, gateway: Some(IpAddr::V4(gateway)), metric, .. }) = Found::read(data)
            && route.to.prefix() == 0
            && into != Some(except)
            && best.is_none_or(|(lowest, _)| metric < lowest)
        {
            best = Some((metric, gateway));
        }
    })
    .await?;
    Ok(best.map(|(_, gateway)| gateway))
}

/// What is on the interface already, of what is wanted.
#[derive(Default)]
struct There {
    addresses: Vec<IpNetwork>,
    routes: Vec<Route>,
}

impl Applied {
    /// Counts a change, or notes its refusal.
    fn note(&mut self, what: impl FnOnce() -> String, outcome: io::Result<()>) -> Result<(), NetlinkError> {
        let Err(error) = outcome else {
            self.changes += 1;
            return Ok(());
        };
        let why = match error.raw_os_error() {
            Some(libc::ENODEV | libc::EPERM) => return Err(error.into()),
            Some(libc::EEXIST) => "there is one already that is not this program's".to_owned(),
            Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => {
                "the kernel has no IPv6 on this interface".to_owned()
            }
            _ => error.to_string(),
        };
        self.refused.push(Refused { what: what(), why });
        Ok(())
    }
}

/// Deleting what is gone is done.
fn gone_is_done(outcome: io::Result<()>) -> io::Result<()> {
    match &outcome {
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EADDRNOTAVAIL | libc::ENOENT)) =>
        {
            Ok(())
        }
        _ => outcome,
    }
}

/// The address a host has in a network as the engine gives it: `fd00::1/128` is itself.
fn source_for(route: IpNetwork, addresses: &[IpNetwork]) -> Option<IpAddr> {
    addresses.iter().map(IpNetwork::ip).find(|address| address.is_ipv6() == route.is_ipv6())
}
