//! One question and one answer of HTTP, with the gateway alone.
//!
//! A [`Url`] that is not at the gateway's own address can't be made, so nothing that a device says leads elsewhere.

use std::fmt::{Display, Formatter};
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::os::portmap::PortmapError;

/// Bytes of the largest answer that is read; descriptions have a tenth of it.
const ANSWER_MAX: usize = 64 * 1024;
/// Bytes of the longest path that is asked for.
const PATH_MAX: usize = 512;
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// A path at a port of the gateway's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    gateway: Ipv4Addr,
    port: u16,
    path: String,
}

impl Url {
    /// Reads what a device wrote. `None`: it is at another address, or nothing that could be asked for.
    #[must_use]
    pub fn parse(text: &str, gateway: Ipv4Addr) -> Option<Self> {
        let rest = strip_http(text.trim())?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match host.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (host, 80),
        };
        let url = Self { gateway, port, path: String::new() };
        url.at(if path.is_empty() { "/" } else { path }).filter(|_| host.parse() == Ok(gateway))
    }

    /// A reference in what was read from here (RFC 3986, without dots): whole, or a path.
    #[must_use]
    pub fn join(&self, text: &str) -> Option<Self> {
        let text = text.trim().replace("&amp;", "&");
        if text.contains("://") {
            return Self::parse(&text, self.gateway);
        }
        if text.starts_with('/') {
            return self.at(&text);
        }
        let folder = &self.path[..=self.path.rfind('/')?];
        self.at(&format!("{folder}{text}"))
    }

    fn at(&self, path: &str) -> Option<Self> {
        let good =
            path.len() <= PATH_MAX && path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self { path: path.to_owned(), ..self.clone() })
    }
}

impl Display for Url {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}:{}{}", self.gateway, self.port, self.path)
    }
}

fn strip_http(text: &str) -> Option<&str> {
    let (scheme, rest) = (text.get(..7)?, &text[7..]);
    scheme.eq_ignore_ascii_case("http://").then_some(rest)
}

/// A status code and the text that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

/// Asks. With a body it is a POST, and `headers` are lines that end as HTTP's do.
///
/// # Errors
/// [`PortmapError`], after four seconds at most.
pub(super) async fn ask(url: &Url, headers: &str, body: Option<&str>) -> Result<Answer, PortmapError> {
    let (method, body) = if let Some(body) = body { ("POST", body) } else { ("GET", "") };
    let Url { gateway, port, path } = url;
    let question = format!(
        "{method} {path} HTTP/1.1\r\nHost: {gateway}:{port}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let asked = async {
        let mut stream = TcpStream::connect((*gateway, *port)).await?;
        stream.write_all(question.as_bytes()).await?;
        let mut bytes = Vec::new();
        let mut reading = Reading::default();
        while bytes.len() < ANSWER_MAX && !reading.is_whole(&bytes) {
            let mut part = [0; 4096];
            match stream.read(&mut part).await? {
                0 => break,
                read => bytes.extend_from_slice(&part[..read]),
            }
        }
        parse(&bytes).ok_or(PortmapError::Nonsense("no answer of HTTP"))
    };
    timeout(PATIENCE, asked).await.map_err(|_| PortmapError::Silent)?
}

/// How far an answer is read, so that each byte is looked at once.
#[derive(Debug, Default)]
struct Reading {
    looked_at: usize,
    /// Where the body begins, and how it ends.
    body: Option<(usize, Ending)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    After(usize),
    Chunks,
    Close,
}

impl Reading {
    fn is_whole(&mut self, bytes: &[u8]) -> bool {
        if self.body.is_none() {
            let from = self.looked_at.saturating_sub(3);
            self.looked_at = bytes.len();
            let Some(end) = bytes[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
                return false;
            };
            let start = from + end + 4;
            self.body = Some((start, ending(&String::from_utf8_lossy(&bytes[..start]))));
        }
        match self.body {
            Some((start, Ending::After(length))) => bytes.len() - start >= length,
            Some((start, Ending::Chunks)) => {
                bytes[start..].ends_with(b"\r\n0\r\n\r\n") || &bytes[start..] == b"0\r\n\r\n"
            }
            Some((_, Ending::Close)) | None => false,
        }
    }
}

/// Reads an answer that was received whole, or as far as it came.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Answer> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (String::from_utf8_lossy(&bytes[..head]), &bytes[head + 4..]);
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let body = match ending(&head) {
        Ending::After(length) => body.get(..length)?.to_vec(),
        Ending::Chunks => chunks(body)?,
        Ending::Close => body.to_vec(),
    };
    Some(Answer { status, text: String::from_utf8_lossy(&body).into_owned() })
}

/// How a body ends (RFC 9112, 6.3).
fn ending(head: &str) -> Ending {
    let mut ending = Ending::Close;
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked") {
            return Ending::Chunks;
        }
        if name.eq_ignore_ascii_case("content-length")
            && let Ok(length) = value.trim().parse()
        {
            ending = Ending::After(length);
        }
    }
    ending
}

/// Joins the chunks of a body (RFC 9112, 7.1).
fn chunks(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[..end]).ok()?;
        let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(whole);
        }
        let chunk = bytes.get(end + 2..)?;
        whole.extend_from_slice(chunk.get(..length)?);
        bytes = chunk.get(length..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    fn url(text: &str) -> Option<String> {
        Url::parse(text, GATEWAY).map(|url| format!("{} {}", url.port, url.path))
    }

    #[test]
    fn a_url_that_is_not_at_the_gateways_own_address_is_none() {
        assert_eq!(url("http://192.168.1.1:5000/rootDesc.xml").as_deref(), Some("5000 /rootDesc.xml"));
        assert_eq!(url(" HTTP://192.168.1.1 ").as_deref(), Some("80 /"));
        for text in [
            "http://192.168.1.2:5000/rootDesc.xml",
            "http://router.lan/",
            "http://192.168.1.1@203.0.113.1/",
            "http://192.168.1.1.example.net/",
            "http://203.0.113.1/http://192.168.1.1/",
            "https://192.168.1.1/",
            "http://192.168.1.1:0/",
            "http://192.168.1.1:99999/",
            "http://192.168.1.1/a b",
            "http://192.168.1.1/a\r\nHost: x",
            "http:/",
            "httü://é",
            "",
        ] {
            assert_eq!(url(text), None, "{text:?}");
        }
        assert_eq!(url(&format!("http://192.168.1.1/{}", "x".repeat(PATH_MAX))), None);
    }

    #[test]
    fn a_reference_is_followed_at_the_gateway_only() {
        let base = Url::parse("http://192.168.1.1:5000/igd/root.xml", GATEWAY).unwrap();
        let joined = |text: &str| base.join(text).map(|url| format!("{} {}", url.port, url.path));
        assert_eq!(joined("/ctl?a=1&amp;b=2").as_deref(), Some("5000 /ctl?a=1&b=2"));
        assert_eq!(joined("ctl").as_deref(), Some("5000 /igd/ctl"));
        assert_eq!(joined("http://192.168.1.1:49000/ctl").as_deref(), Some("49000 /ctl"));
        assert_eq!(joined("http://192.168.1.9:49000/ctl"), None);
        assert_eq!(joined("ctl\r\nX: y"), None);
    }

    #[test]
    fn an_answer_is_read_however_it_ends() {
        let text = |bytes: &[u8]| parse(bytes).map(|answer| (answer.status, answer.text));
        let hello = Some((200, "hello".to_owned()));
        assert_eq!(text(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more"), hello);
        assert_eq!(text(b"HTTP/1.0 200 OK\r\n\r\nhello"), hello);
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(text(chunked), hello);
        for cut in 0..chunked.len() {
            assert!(!Reading::default().is_whole(&chunked[..cut]), "{cut}");
        }
        assert!(Reading::default().is_whole(chunked));
        for wrong in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx",
        ] {
            assert_eq!(text(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
