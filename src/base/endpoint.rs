//! Where a mesh node can be reached, as people write it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use super::canonical;

/// Where a mesh node can be reached: a host name or an address, and a UDP port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub host: Arc<str>,
    pub port: u16,
}

/// Why a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("has no port")]
    NoPort,
    #[error("has a port that is not 1-65535")]
    Port,
    #[error("has a host that is neither an address nor a host name")]
    Host,
    #[error("has an IPv6 address without brackets")]
    Brackets,
}

impl FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = text.rsplit_once(':').ok_or(EndpointError::NoPort)?;
        if text.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok() {
            return Err(EndpointError::Brackets);
        }
        // `+51888` is a number to the standard library.
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|&port| digits && port != 0).ok_or(EndpointError::Port)?;
        if let Some(host) = host.strip_prefix('[') {
            let address = host.strip_suffix(']').and_then(|host| host.parse::<Ipv6Addr>().ok());
            let address = canonical(IpAddr::V6(address.ok_or(EndpointError::Host)?));
            return Ok(Self { host: address.to_string().into(), port });
        }
        if !is_host_name(host) {
            return Err(EndpointError::Host);
        }
        Ok(Self { host: host.to_ascii_lowercase().into(), port })
    }
}

/// An IPv4 address or a name in DNS (RFC 1123, section 2.1).
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = host.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    if last_is_number {
        return host.parse::<std::net::Ipv4Addr>().is_ok();
    }
    host.len() <= 253 && host.split('.').all(is_label)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for text in ["attic.example.net:51888", "[2001:db8::1]:51888", "203.0.113.7:1", "localhost:65535"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let refused = |text: &str| text.parse::<Endpoint>().unwrap_err();
        assert_eq!(refused("attic"), EndpointError::NoPort);
        assert_eq!(refused("attic:"), EndpointError::Port);
        assert_eq!(refused("attic:0"), EndpointError::Port);
        assert_eq!(refused("attic:+1"), EndpointError::Port);
        assert_eq!(refused("attic:65536"), EndpointError::Port);
        assert_eq!(refused("2001:db8::1"), EndpointError::Brackets);
        assert_eq!(refused("2001:db8::1:1:51888"), EndpointError::Brackets);
        assert_eq!(refused("[fe80::1%eth0]:1"), EndpointError::Host);
        assert_eq!(refused("1.2.3:4"), EndpointError::Host);
        assert_eq!(refused("a b:4"), EndpointError::Host);
        assert_eq!(refused(":4"), EndpointError::Host);
    }
}
