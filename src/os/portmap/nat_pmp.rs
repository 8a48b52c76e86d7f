//! PCP and NAT-PMP, which share a port and, here, a crate.
//!
//! `crab_nat`'s sockets are connected, so that the kernel lets answers from the gateway in alone. Its own `renew` and
//! `try_drop` are not used: they repeat what the router said (a life of 0, say), and that is the router's to choose.

use std::net::{IpAddr, SocketAddrV4};
use std::num::NonZeroU16;
use std::time::Duration;

use crab_nat::pcp::{BaseMapRequest, DropMappingRange, Nonce};
use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig};
use crab_nat::{natpmp, pcp};

use super::{Gateway, Handle, LIFE, Mapping, PortmapError, Protocol};

/// Half a second, then one, then two.
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(500),
    max_retries: 2,
    max_retry_timeout: Some(Duration::from_secs(2)),
};

pub(super) async fn map_pcp(
    gateway: &Gateway,
    port: NonZeroU16,
    old: Option<&Mapping>,
) -> Result<Mapping, PortmapError> {
    let nonce = old.and_then(|old| match old.handle {
        Handle::Pcp { nonce } => Some(nonce),
        Handle::NatPmp | Handle::Upnp { .. } => None,
    });
    let own: IpAddr = gateway.own.into();
    let request = BaseMapRequest::new(gateway.address.into(), own, InternetProtocol::Udp, port);
    let external = old.map(|old| (*old.external.ip()).into());
    let given = pcp::port_mapping(request, nonce, external, options(port, old)).await?;
    let PortMappingType::Pcp { nonce, external_ip: IpAddr::V4(address), .. } = given.mapping_type() else {
        return Err(PortmapError::Nonsense("an IPv6 address for an IPv4 one"));
    };
    let external = SocketAddrV4::new(address, given.external_port().get());
    Ok(mapping(gateway, port, Protocol::Pcp, external, &given, Handle::Pcp { nonce }))
}

pub(super) async fn map_nat_pmp(
    gateway: &Gateway,
    port: NonZeroU16,
    old: Option<&Mapping>,
) -> Result<Mapping, PortmapError> {
    let address = natpmp::external_address(gateway.address.into(), Some(PATIENCE)).await?;
    let to = gateway.address.into();
    let given = natpmp::port_mapping(to, InternetProtocol::Udp, port, options(port, old)).await?;
    let external = SocketAddrV4::new(address, given.external_port().get());
    Ok(mapping(gateway, port, Protocol::NatPmp, external, &given, Handle::NatPmp))
}

pub(super) async fn unmap_pcp(mapping: &Mapping, nonce: Nonce) -> Result<(), PortmapError> {
    let what = DropMappingRange::Single { protocol: InternetProtocol::Udp, internal_port: mapping.port };
    let (to, own) = (mapping.gateway.address.into(), mapping.gateway.own.into());
    Ok(pcp::try_drop_mapping(to, own, nonce, what, Some(PATIENCE)).await?)
}

pub(super) async fn unmap_nat_pmp(mapping: &Mapping) -> Result<(), PortmapError> {
    let to = mapping.gateway.address.into();
    let port = Some(mapping.port);
    Ok(natpmp::try_drop_mapping(to, InternetProtocol::Udp, port, Some(PATIENCE)).await?)
}

/// The port that was given last is asked for again; at first the one that it leads to.
fn options(port: NonZeroU16, old: Option<&Mapping>) -> PortMappingOptions {
    PortMappingOptions {
        external_port: old.and_then(|old| NonZeroU16::new(old.external.port())).or(Some(port)),
        lifetime_seconds: u32::try_from(LIFE.as_secs()).ok(),
        timeout_config: Some(PATIENCE),
    }
}

fn mapping(
    gateway: &Gateway,
    port: NonZeroU16,
    by: Protocol,
    external: SocketAddrV4,
    given: &PortMapping,
    handle: Handle,
) -> Mapping {
    let life = Duration::from_secs(given.lifetime().into());
    Mapping { external, by, life, port, gateway: *gateway, handle }
}

impl From<pcp::Failure> for PortmapError {
    fn from(failure: pcp::Failure) -> Self {
        match failure {
            pcp::Failure::Socket(error) => Self::Io(error),
            pcp::Failure::Timeout => Self::Silent,
            pcp::Failure::Nonce => Self::Nonsense("an answer to another question"),
            pcp::Failure::InvalidResponse(_) => Self::Nonsense("no answer of PCP"),
            refusal => Self::Refused(refusal.to_string()),
        }
    }
}

impl From<natpmp::Failure> for PortmapError {
    fn from(failure: natpmp::Failure) -> Self {
        match failure {
            natpmp::Failure::Socket(error) => Self::Io(error),
            natpmp::Failure::Timeout => Self::Silent,
            natpmp::Failure::InvalidResponse(_) => Self::Nonsense("no answer of NAT-PMP"),
            refusal => Self::Refused(refusal.to_string()),
        }
    }
}
