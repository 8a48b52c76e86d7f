//! UPnP's Internet Gateway Device, the little of it that a mapping needs.
//!
//! Found by SSDP, described in XML over HTTP, told by SOAP: five messages, written here. `igd-next`, the crate that is
//! kept, brings hyper, url and an XML tree, 0.9 MB and eighty crates; a router's flash has not the room.

mod http;
mod ssdp;
mod xml;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU16;
use std::time::Duration;

use tokio::time::timeout;

pub use http::{Answer, Url, parse as parse_answer};
pub use ssdp::location;

use super::{Gateway, Handle, LIFE, Mapping, PortmapError, Protocol};
use crate::os::random;

/// Services that map ports, in the order of preference.
const KINDS: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// Services of one description that are asked.
const SERVICES_MAX: usize = 4;
/// Outer ports that are asked for, when others have them.
const PORTS_MAX: usize = 4;
/// How long all of it may last.
const PATIENCE: Duration = Duration::from_secs(15);
/// `ConflictInMappingEntry` and `OnlyPermanentLeasesSupported` (WANIPConnection:1, 2.4.16).
const CONFLICT: u16 = 718;
const PERMANENT_ONLY: u16 = 725;

/// A service of the gateway's that maps ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    kind: &'static str,
    control: Url,
}

impl Service {
    /// Where it is told what to do.
    #[must_use]
    pub fn control(&self) -> &Url {
        &self.control
    }
}

/// The services in a description that map ports, the best first; those that are not at the gateway are left out.
#[must_use]
pub fn services(description: &str, from: &Url) -> Vec<Service> {
    let mut base = from.clone();
    let (mut kind, mut control) = (None, None);
    let mut found = Vec::new();
    for tag in xml::tags(description) {
        match (tag.name, tag.closes) {
            ("URLBase", false) => base = from.join(tag.text).unwrap_or(base),
            ("service", false) => (kind, control) = (None, None),
            ("serviceType", false) => kind = KINDS.iter().position(|known| *known == tag.text),
            ("controlURL", false) => control = Some(tag.text),
            ("service", true) => {
                if let (Some(kind), Some(control)) = (kind.take(), control.take())
                    && let Some(control) = base.join(control)
                    && found.len() < SERVICES_MAX
                {
                    found.push((kind, control));
                }
            }
            _ => {}
        }
    }
    found.sort_by_key(|(kind, _)| *kind);
    found.into_iter().map(|(kind, control)| Service { kind: KINDS[kind], control }).collect()
}

/// Asks for a mapping: of the service that gave the old one, or of one that is looked for.
pub(super) async fn map(
    gateway: &Gateway,
    port: NonZeroU16,
    old: Option<&Mapping>,
) -> Result<Mapping, PortmapError> {
    let asked = async {
        if let Some(old) = old
            && let Handle::Upnp { service } = &old.handle
            && let Ok(mapping) = map_by(service, gateway, port, old.external.port()).await
        {
            return Ok(mapping);
        }
        let place = ssdp::find(gateway).await?;
        let description = http::ask(&place, "", None).await?;
        let mut last = PortmapError::Nonsense("a description without a service that maps ports");
        for service in services(&description.text, &place) {
            match map_by(&service, gateway, port, port.get()).await {
                Ok(mapping) => return Ok(mapping),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    timeout(PATIENCE, asked).await.map_err(|_| PortmapError::Silent)?
}

/// Asks one service for a mapping, of this outer port or, where somebody else has it, of another.
async fn map_by(
    service: &Service,
    gateway: &Gateway,
    port: NonZeroU16,
    mut outer: u16,
) -> Result<Mapping, PortmapError> {
    let told = call(service, "GetExternalIPAddress", "").await?;
    let address: Ipv4Addr = xml::text(&told, "NewExternalIPAddress")
        .and_then(|text| text.parse().ok())
        .filter(|address: &Ipv4Addr| !address.is_unspecified())
        .ok_or(PortmapError::Nonsense("no outer address"))?;
    let mut lease = LIFE.as_secs();
    let mut tries = 0;
    loop {
        tries += 1;
        let own = gateway.own;
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{outer}</NewExternalPort><NewProtocol>UDP</NewProtocol>\
             <NewInternalPort>{port}</NewInternalPort><NewInternalClient>{own}</NewInternalClient>\
             <NewEnabled>1</NewEnabled><NewPortMappingDescription>vpmesh</NewPortMappingDescription>\
             <NewLeaseDuration>{lease}</NewLeaseDuration>"
        );
        match call(service, "AddPortMapping", &arguments).await {
            Ok(_) => break,
            Err(Fault::Code(PERMANENT_ONLY)) if lease != 0 => lease = 0,
            Err(Fault::Code(CONFLICT)) if tries < PORTS_MAX => {
                // Of the dynamic ports (RFC 6335, 6), so that nobody's service is taken.
                outer = 49_152 + (random::word().map_err(PortmapError::from)? % 16_384) as u16;
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(Mapping {
        external: SocketAddrV4::new(address, outer),
        by: Protocol::Upnp,
        life: LIFE,
        port,
        gateway: *gateway,
        handle: Handle::Upnp { service: service.clone() },
    })
}

pub(super) async fn unmap(mapping: &Mapping, service: &Service) -> Result<(), PortmapError> {
    let arguments = format!(
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{}</NewExternalPort><NewProtocol>UDP</NewProtocol>",
        mapping.external.port()
    );
    call(service, "DeletePortMapping", &arguments).await?;
    Ok(())
}

/// Why an action was not done.
#[derive(Debug)]
enum Fault {
    /// UPnP's own number for it.
    Code(u16),
    Other(PortmapError),
}

impl From<PortmapError> for Fault {
    fn from(error: PortmapError) -> Self {
        Self::Other(error)
    }
}

impl From<Fault> for PortmapError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Code(code) => Self::Refused(format!("UPnP error {code}")),
            Fault::Other(error) => error,
        }
    }
}

/// Has a service do something; its answer.
async fn call(service: &Service, action: &str, arguments: &str) -> Result<String, Fault> {
    let Service { kind, control } = service;
    let headers = format!("Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: \"{kind}#{action}\"\r\n");
    let body = format!(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{action} xmlns:u=\"{kind}\">{arguments}\
         </u:{action}></s:Body></s:Envelope>\r\n"
    );
    let answer = http::ask(control, &headers, Some(&body)).await?;
    match outcome(&answer) {
        Ok(()) => Ok(answer.text),
        Err(fault) => Err(fault),
    }
}

/// Whether an answer says that it was done.
fn outcome(answer: &Answer) -> Result<(), Fault> {
    if answer.status == 200 {
        return Ok(());
    }
    match xml::text(&answer.text, "errorCode").and_then(|code| code.parse().ok()) {
        Some(code) => Err(Fault::Code(code)),
        None => Err(Fault::Other(PortmapError::Refused(format!("HTTP status {}", answer.status)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    fn service(kind: &str, control: &str) -> String {
        format!("<service><serviceType>{kind}</serviceType><controlURL>{control}</controlURL></service>")
    }

    #[test]
    fn the_best_service_comes_first_and_others_addresses_are_left_out() {
        let place = Url::parse("http://192.168.1.1:5000/root.xml", GATEWAY).unwrap();
        let description = [
            service("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/ctl/l3"),
            service(KINDS[2], "/ctl/ppp"),
            service(KINDS[1], "http://203.0.113.1/ctl/ip"),
            service(KINDS[1], "ctl/ip"),
        ]
        .concat();
        let found = services(&format!("<root><device>{description}</device></root>"), &place);
        let at = |path: &str| place.join(path).unwrap();
        assert_eq!(
            found,
            [
                Service { kind: KINDS[1], control: at("/ctl/ip") },
                Service { kind: KINDS[2], control: at("/ctl/ppp") },
            ]
        );
    }

    #[test]
    fn a_description_without_end_gives_a_few_services_at_most() {
        let place = Url::parse("http://192.168.1.1/", GATEWAY).unwrap();
        assert_eq!(services(&service(KINDS[0], "/c").repeat(1000), &place).len(), SERVICES_MAX);
        assert_eq!(services(&"<service>".repeat(1000), &place), []);
        assert_eq!(services("</service><serviceType/><controlURL/>", &place), []);
    }

    #[test]
    fn a_base_elsewhere_changes_nothing() {
        let place = Url::parse("http://192.168.1.1:5000/", GATEWAY).unwrap();
        let with =
            |base: &str| services(&format!("<URLBase>{base}</URLBase>{}", service(KINDS[0], "c")), &place);
        assert_eq!(with("http://203.0.113.1:1/")[0].control, place.join("/c").unwrap());
        assert_eq!(
            with("http://192.168.1.1:49000/x/")[0].control,
            place.join("http://192.168.1.1:49000/x/c").unwrap()
        );
    }

    #[test]
    fn a_refusal_has_its_number() {
        let fault = "<s:Fault><detail><UPnPError><errorCode>718</errorCode></UPnPError></detail></s:Fault>";
        let answer = |status, text: &str| Answer { status, text: text.to_owned() };
        assert!(matches!(outcome(&answer(500, fault)), Err(Fault::Code(CONFLICT))));
        assert!(matches!(outcome(&answer(500, "")), Err(Fault::Other(PortmapError::Refused(_)))));
        assert!(outcome(&answer(200, "")).is_ok());
    }
}
