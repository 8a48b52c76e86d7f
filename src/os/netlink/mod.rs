//! The interface's addresses, routes, MTU and state, through netlink.
//!
//! [`Interface::apply`] compares what is wanted with what is there and changes the difference only. What others put
//! there stays: an address or route is taken away only when it carries this project's mark. [`Changes`] tells when
//! somebody changed the interface (netifd's `network restart` flushes it), so that it can be applied again.

mod changes;
mod message;

use std::io;
use std::net::IpAddr;

use futures_util::{StreamExt as _, TryStreamExt as _};
use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_packet_route::route::RouteMessage;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, new_connection};
use tokio::task::JoinHandle;

pub use changes::Changes;

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
    Other(rtnetlink::Error),
}

impl From<rtnetlink::Error> for NetlinkError {
    fn from(error: rtnetlink::Error) -> Self {
        match errno(&error) {
            Some(libc::ENODEV) => Self::Gone,
            Some(libc::EPERM) => Self::NotPermitted,
            _ => Self::Other(error),
        }
    }
}

/// One interface. Made inside a tokio runtime.
#[derive(Debug)]
pub struct Interface {
    index: u32,
    /// Addresses that were added: kernels before 5.18 keep no mark.
    added: Vec<IpNetwork>,
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Interface {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// The links that are up and take multicast, by their index; no loopback, and not `except`.
///
/// # Errors
/// [`NetlinkError`].
pub async fn multicast_links(except: u32) -> Result<Vec<u32>, NetlinkError> {
    let all = Interface::open(except)?;
    let mut links = all.handle.link().get().execute();
    let mut found = Vec::new();
    while let Some(link) = links.try_next().await? {
        let (index, flags) = (link.header.index, link.header.flags);
        let takes =
            flags.contains(LinkFlags::Up | LinkFlags::Multicast) && !flags.contains(LinkFlags::Loopback);
        if takes && index != except {
            found.push(index);
        }
    }
    Ok(found)
}

impl Interface {
    /// # Errors
    /// [`NetlinkError::Connection`].
    pub fn open(index: u32) -> Result<Self, NetlinkError> {
        let (connection, handle, _) = new_connection().map_err(NetlinkError::Connection)?;
        Ok(Self { index, added: Vec::new(), handle, connection: tokio::spawn(connection) })
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
        let routes: Vec<RouteMessage> =
            wanted.routes.iter().map(|route| message::route(self.index, *route, &wanted.addresses)).collect();
        let there = self.take_away(&wanted.addresses, &routes, &mut applied).await?;
        for address in wanted.addresses.iter().filter(|address| !there.addresses.contains(address)) {
            let request = self.handle.address().add(self.index, address.ip(), address.prefix());
            let outcome = message::marked(request).execute().await;
            applied.note(|| format!("address {address}"), outcome)?;
            self.added.push(*address);
        }
        for (route, to) in routes.iter().zip(&wanted.routes) {
            if !there.routes.iter().any(|there| message::is_same_route(there, route)) {
                let outcome = self.handle.route().add(route.clone()).execute().await;
                applied.note(|| format!("route {to}"), outcome)?;
            }
        }
        Ok(applied)
    }

    async fn set_link(&self, wanted: &Wanted, applied: &mut Applied) -> Result<(), NetlinkError> {
        let link = self
            .handle
            .link()
            .get()
            .match_index(self.index)
            .execute()
            .try_next()
            .await?
            .ok_or(NetlinkError::Gone)?;
        let is_up = link.header.flags.contains(LinkFlags::Up);
        let mtu = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        });
        let mut message = LinkMessageBuilder::<LinkUnspec>::default().index(self.index);
        message = if wanted.up { message.up() } else { message.down() };
        if wanted.up && mtu != Some(wanted.mtu.into()) {
            message = message.mtu(wanted.mtu.into());
        } else if is_up == wanted.up {
            return Ok(());
        }
        let outcome = self.handle.link().change(message.build()).execute().await;
        applied.note(|| "the interface's MTU and state".to_owned(), outcome)
    }

    /// Takes away what carries the mark and is not wanted. What there is after that.
    async fn take_away(
        &mut self,
        addresses: &[IpNetwork],
        routes: &[RouteMessage],
        applied: &mut Applied,
    ) -> Result<There, NetlinkError> {
        let mut there = There::default();
        for route in self.marked_routes().await? {
            if routes.iter().any(|wanted| message::is_same_route(&route, wanted)) {
                there.routes.push(route);
            } else {
                let to = message::destination(&route);
                let outcome = self.handle.route().del(route).execute().await;
                applied.note(|| format!("old route {to}"), gone_is_done(outcome))?;
            }
        }
        let mut all = self.handle.address().get().set_link_index_filter(self.index).execute();
        let mut old: Vec<(IpNetwork, AddressMessage)> = Vec::new();
        while let Some(message) = all.next().await {
            let message = message?;
            let Some(address) = message::address(&message) else { continue };
            if addresses.contains(&address) {
                there.addresses.push(address);
            } else if message::is_marked(&message) || self.added.contains(&address) {
                old.push((address, message));
            }
        }
        self.added.retain(|address| addresses.contains(address));
        for (address, message) in old {
            let outcome = self.handle.address().del(message).execute().await;
            applied.note(|| format!("old address {address}"), gone_is_done(outcome))?;
        }
        Ok(there)
    }

    /// This project's routes into this interface.
    async fn marked_routes(&self) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut marked = Vec::new();
        for family in [AddressFamily::Inet6, AddressFamily::Inet] {
            let mut all = self.handle.route().get(message::all_routes(family)).execute();
            while let Some(route) = all.next().await {
                match route {
                    Ok(route) if message::is_ours(&route, self.index) => marked.push(route),
                    Ok(_) => {}
                    // The kernel has no IPv6.
                    Err(error) if matches!(errno(&error), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT)) => {
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(marked)
    }
}

/// This host's own addresses, of all interfaces. Inside a tokio runtime.
///
/// # Errors
/// [`NetlinkError`].
pub async fn own_addresses() -> Result<Vec<IpAddr>, NetlinkError> {
    let (connection, handle, _) = new_connection().map_err(NetlinkError::Connection)?;
    let connection = tokio::spawn(connection);
    let mut all = handle.address().get().execute();
    let mut own = Vec::new();
    while let Some(message) = all.try_next().await? {
        own.extend(message::address(&message).map(|address| address.ip()));
    }
    connection.abort();
    Ok(own)
}

/// What is on the interface already, of what is wanted.
#[derive(Default)]
struct There {
    addresses: Vec<IpNetwork>,
    routes: Vec<RouteMessage>,
}

impl Applied {
    /// Counts a change, or notes its refusal.
    fn note(
        &mut self,
        what: impl FnOnce() -> String,
        outcome: Result<(), rtnetlink::Error>,
    ) -> Result<(), NetlinkError> {
        let Err(error) = outcome else {
            self.changes += 1;
            return Ok(());
        };
        let why = match errno(&error) {
            Some(libc::ENODEV | libc::EPERM) => return Err(error.into()),
            Some(libc::EEXIST) => "there is one already that is not this program's".to_owned(),
            Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => {
                "the kernel has no IPv6 on this interface".to_owned()
            }
            Some(code) => io::Error::from_raw_os_error(code).to_string(),
            None => error.to_string(),
        };
        self.refused.push(Refused { what: what(), why });
        Ok(())
    }
}

/// Deleting what is gone is done.
fn gone_is_done(outcome: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    match &outcome {
        Err(error) if matches!(errno(error), Some(libc::ESRCH | libc::EADDRNOTAVAIL | libc::ENOENT)) => {
            Ok(())
        }
        _ => outcome,
    }
}

/// The kernel's error number, positive.
fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        _ => None,
    }
}

/// The address a host has in a network as the engine gives it: `fd00::1/128` is itself.
fn source_for(route: IpNetwork, addresses: &[IpNetwork]) -> Option<IpAddr> {
    addresses.iter().map(IpNetwork::ip).find(|address| address.is_ipv6() == route.is_ipv6())
}
