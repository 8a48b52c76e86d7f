//! `/metrics` over HTTP, for Prometheus: as much of HTTP/1.1 as it takes to answer one GET and hang up.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::control::ask;
use super::kernel::Kernel;
use super::notice::Notices;
use super::question::{Answer, Question};
use super::status::{DaemonStatus, KernelStatus};
use crate::base::DropReason;

/// Bytes of a request at most.
const REQUEST_MAX: usize = 4096;
/// Clients at a time.
const CLIENTS_MAX: usize = 4;
/// How long one client takes at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers scrapers until the event loop ends.
pub(super) async fn serve(listener: TcpListener, notices: Notices, kernel: Kernel) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // One scraper too many is hung up on, and comes again.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (notices, kernel) = (notices.clone(), kernel.clone());
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, answer(stream, notices, kernel)).await;
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, notices: Notices, kernel: Kernel) -> std::io::Result<()> {
    let mut request = [0; REQUEST_MAX];
    let mut length = 0;
    while length < REQUEST_MAX && !request[..length].windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut request[length..]).await? {
            0 => return Ok(()),
            more => length += more,
        }
    }
    let (status, body) = match path(&request[..length]) {
        Ok("/metrics") => {
            kernel.count().await;
            match ask(&notices, Question::Status).await {
                Some(Answer::Status(status)) => ("200 OK", Exposition(&status).to_string()),
                _ => ("503 Service Unavailable", "vpmesh is stopping\n".to_owned()),
            }
        }
        Ok(_) => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        Err(status) => (status, String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The path that a GET asks for, without its query; else what is wrong, as HTTP says it.
fn path(request: &[u8]) -> Result<&str, &'static str> {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| "400 Bad Request")?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(if request.len() == REQUEST_MAX {
            "431 Request Header Fields Too Large"
        } else {
            "400 Bad Request"
        });
    };
    match (method, version) {
        (_, version) if !version.starts_with("HTTP/1.") => Err("505 HTTP Version Not Supported"),
        ("GET", _) => Ok(target.split('?').next().unwrap_or_default()),
        _ => Err("405 Method Not Allowed"),
    }
}

/// A status in Prometheus' text format, version 0.0.4.
struct Exposition<'a>(&'a DaemonStatus);

impl fmt::Display for Exposition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0;
        let engine = &status.engine;
        let node = engine.node.to_string();
        head(f, "info", "gauge", "What runs.")?;
        line(f, "info", &[("node", &node), ("version", &status.daemon.version)], 1)?;
        single(f, "uptime_seconds", "gauge", "Seconds since the daemon started.", status.daemon.uptime)?;
        let reloaded = status.daemon.last_reload.as_ref().is_some_and(|last| last.report.is_some());
        single(f, "last_reload_ok", "gauge", "Whether the last reload was taken.", u64::from(reloaded))?;
        head(f, "roster_serial", "gauge", "The accepted roster's serial, by owner.")?;
        for owner in &engine.owners {
            line(f, "roster_serial", &[("owner", owner.owner.as_str())], owner.serial)?;
        }
        single(f, "peers", "gauge", "Known peers.", engine.peers)?;
        single(f, "peers_up", "gauge", "Peers with a session.", engine.peers_up)?;
        single(f, "flows", "gauge", "Live flows.", engine.flows)?;
        single(f, "flows_max", "gauge", "Flows that are kept at most.", engine.flows_max)?;
        let traffic = [
            ("from_peers", engine.from_peers),
            ("to_peers", engine.to_peers),
            ("from_kernel", engine.from_kernel),
            ("to_kernel", engine.to_kernel),
        ];
        head(f, "packets_total", "counter", "Packets that passed, by direction.")?;
        for (direction, traffic) in traffic {
            line(f, "packets_total", &[("direction", direction)], traffic.packets)?;
        }
        head(f, "bytes_total", "counter", "Bytes that passed, by direction.")?;
        for (direction, traffic) in traffic {
            line(f, "bytes_total", &[("direction", direction)], traffic.bytes)?;
        }
        head(f, "drops_total", "counter", "Packets turned away, by reason.")?;
        for reason in DropReason::ALL {
            let count = engine.drops.get(reason.name()).copied().unwrap_or(0);
            line(f, "drops_total", &[("reason", reason.name())], count)?;
        }
        let overflows = u64::from(status.daemon.socket_overflows);
        single(f, "socket_overflows_total", "counter", "Datagrams lost in a full socket buffer.", overflows)?;
        let refused = u64::from(status.daemon.socket_refused);
        single(
            f,
            "socket_refused_total",
            "counter",
            "Datagrams that were no message for this gateway.",
            refused,
        )?;
        exposition_of_kernel(f, &status.daemon.kernel)?;
        head(f, "rule_matches_total", "counter", "First packets that a rule matched, by file and line.")?;
        for rule in &engine.rules {
            let (border, line_number) = (rule.border.to_string(), rule.line.to_string());
            let labels = [
                ("file", rule.file.as_str()),
                ("line", &line_number),
                ("border", &border),
                ("direction", &rule.direction),
            ];
            line(f, "rule_matches_total", &labels, rule.matches)?;
        }
        single(
            f,
            "oversized_total",
            "counter",
            "Packets from the kernel above the MTU.",
            status.daemon.oversized,
        )
    }
}

fn exposition_of_kernel(f: &mut fmt::Formatter<'_>, kernel: &KernelStatus) -> fmt::Result {
    let in_force = u64::from(kernel.in_force);
    single(f, "kernel_in_force", "gauge", "Whether table inet vpmesh is in force.", in_force)?;
    head(f, "kernel_put_back_total", "counter", "Times that others changed the table, and it was put back.")?;
    line(f, "kernel_put_back_total", &[], kernel.put_back)?;
    head(f, "kernel_drops_total", "counter", "Packets that the kernel turned away, by reason.")?;
    for (reason, count) in &kernel.drops {
        line(f, "kernel_drops_total", &[("reason", reason)], *count)?;
    }
    Ok(())
}

fn head(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP vpmesh_{name} {help}\n# TYPE vpmesh_{name} {kind}")
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, labels: &[(&str, &str)], value: u64) -> fmt::Result {
    write!(f, "vpmesh_{name}")?;
    for (n, (label, text)) in labels.iter().enumerate() {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(f, "{}{label}=\"{text}\"", if n == 0 { '{' } else { ',' })?;
    }
    if !labels.is_empty() {
        f.write_char('}')?;
    }
    writeln!(f, " {value}")
}

fn single(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str, value: u64) -> fmt::Result {
    head(f, name, kind, help)?;
    line(f, name, &[], value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_is_understood() {
        assert_eq!(path(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), Ok("/metrics"));
        assert_eq!(path(b"GET /metrics?x=1 HTTP/1.0\r\n\r\n"), Ok("/metrics"));
        assert_eq!(path(b"POST /metrics HTTP/1.1\r\n\r\n"), Err("405 Method Not Allowed"));
        assert_eq!(path(b"GET /metrics HTTP/2\r\n\r\n"), Err("505 HTTP Version Not Supported"));
        assert_eq!(path(b"\xff\r\n\r\n"), Err("400 Bad Request"));
        assert_eq!(path(&[b'x'; REQUEST_MAX]), Err("431 Request Header Fields Too Large"));
    }
}
