//! SSDP: where the gateway describes itself (UPnP Device Architecture 1.1, 1.3).
//!
//! The question goes to the group and to the gateway itself, because a firewall on this host knows the answer to the
//! latter as one. Answers from elsewhere are not looked at.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::http::Url;
use crate::os::portmap::{Gateway, PortmapError};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const PORT: u16 = 1900;
const DEVICES: [&str; 2] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
];
/// The question is put so often, and each time the answer waited for so long.
const TRIES: usize = 2;
const PATIENCE: Duration = Duration::from_millis(1500);
/// Datagrams that are looked at, whoever sent them.
const DATAGRAMS_MAX: usize = 64;

/// Asks the gateway where its description is.
pub(super) async fn find(gateway: &Gateway) -> Result<Url, PortmapError> {
    let socket = UdpSocket::bind((gateway.own, 0)).await?;
    SockRef::from(&socket).set_multicast_if_v4(&gateway.own)?;
    let mut buffer = [0; 2048];
    let mut looked_at = 0;
    for _ in 0..TRIES {
        for device in DEVICES {
            for to in [gateway.address, GROUP] {
                let question = format!(
                    "M-SEARCH * HTTP/1.1\r\nHOST: {to}:{PORT}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {device}\r\n\r\n"
                );
                // The group may be closed where the gateway is not.
                let _ = socket.send_to(question.as_bytes(), (to, PORT)).await;
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while looked_at < DATAGRAMS_MAX {
            let Ok(received) = timeout_at(deadline, socket.recv_from(&mut buffer)).await else { break };
            looked_at += 1;
            match received {
                Ok((length, SocketAddr::V4(from))) if *from.ip() == gateway.address => {
                    if let Some(url) = location(&buffer[..length], gateway.address) {
                        return Ok(url);
                    }
                }
                // Nobody is there, says ICMP: the group may still answer.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Err(PortmapError::Silent)
}

/// Where an answer says that the gateway's description is.
#[must_use]
pub fn location(datagram: &[u8], gateway: Ipv4Addr) -> Option<Url> {
    let text = std::str::from_utf8(datagram).ok()?;
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    if !words.next()?.starts_with("HTTP/1.")
        || words.next()? != "200"
        || !text.contains("InternetGatewayDevice")
    {
        return None;
    }
    let value = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("location").then(|| Url::parse(value, gateway))?
    };
    lines.find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    fn answer(status: &str, device: &str, location: &str) -> String {
        format!("HTTP/1.1 {status}\r\nST: urn:x:{device}:1\r\nlocation: {location}\r\nUSN: x\r\n\r\n")
    }

    #[test]
    fn the_description_is_where_the_gateway_says_if_it_is_at_the_gateway() {
        let here = "http://192.168.1.1:5000/rootDesc.xml";
        let found = |text: String| location(text.as_bytes(), GATEWAY);
        assert_eq!(found(answer("200 OK", "InternetGatewayDevice", here)), Url::parse(here, GATEWAY));
        assert!(found(answer("200 OK", "InternetGatewayDevice", here)).is_some());
        for wrong in [
            answer("404 Not Found", "InternetGatewayDevice", here),
            answer("200 OK", "MediaServer", here),
            answer("200 OK", "InternetGatewayDevice", "http://203.0.113.1/"),
            answer("200 OK", "InternetGatewayDevice", "file:///etc/passwd"),
            "NOTIFY * HTTP/1.1\r\n\r\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(found(wrong.clone()), None, "{wrong}");
        }
        assert_eq!(location(&[0xff; 100], GATEWAY), None);
    }
}
