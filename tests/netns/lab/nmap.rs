//! `nmap`: what a scan finds open.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::Namespace;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    Tcp,
    Udp,
}

/// Ports that answered. `ports` as nmap writes them: `1-1024,8080`.
pub fn open_ports(from: &Namespace, to: IpAddr, scan: Scan, ports: &str) -> BTreeSet<u16> {
    let kind = match scan {
        Scan::Tcp => "-sS",
        Scan::Udp => "-sU",
    };
    let family = if to.is_ipv6() { "-6" } else { "" };
    let speed = "-T4 --max-retries 2 --min-rate 2000 --max-rtt-timeout 300ms --initial-rtt-timeout 200ms";
    let line = format!("nmap {family} -Pn -n --send-ip {kind} {speed} -p {ports} -oG - {to}");
    let outcome = from.run(&line, Duration::from_secs(120));
    assert!(outcome.is_success(), "`{line}` failed: {outcome:?}");
    let listed = outcome.stdout.lines().filter_map(|line| line.split_once("Ports: ")).map(|(_, ports)| ports);
    let ports = listed.flat_map(|ports| ports.split('\t').next().unwrap_or("").split(", "));
    ports.filter_map(open_port).collect()
}

/// `22/open/tcp//ssh///`
fn open_port(text: &str) -> Option<u16> {
    let mut fields = text.trim().split('/');
    let port = fields.next()?.parse().ok()?;
    (fields.next()? == "open").then_some(port)
}
