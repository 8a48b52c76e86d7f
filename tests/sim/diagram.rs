//! What happened, in order: the log that a seed is compared by, and the sequence diagram (Mermaid's text) that a failing
//! seed prints.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::clock::Time;
use crate::internet::HostId;

/// What the network did with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Arrives(Time),
    Lost,
    Partitioned,
    Filtered,
    NoHairpin,
    TableFull,
    /// The sender has no address of that family.
    NoAddress,
    /// No host is at that address.
    Nobody,
}

#[derive(Debug)]
enum What {
    Sent { from: HostId, to: SocketAddr, kind: u8, len: usize, fate: Fate },
    Arrived { from: HostId, to: HostId, kind: u8, len: usize },
    Note { at: Option<HostId>, text: String },
}

#[derive(Debug, Default)]
pub struct Diagram {
    names: Vec<String>,
    lines: Vec<(Time, What)>,
    /// Byte strings that no datagram may have in it, and whether one had.
    pub secret: Vec<u8>,
    pub leaked: bool,
    /// Nothing is noted.
    pub quiet: bool,
}

fn kind_of(kind: u8) -> &'static str {
    match kind {
        1 => "initiation",
        2 => "response",
        3 => "cookie",
        4 => "data",
        5 => "frame",
        _ => "?",
    }
}

impl Diagram {
    pub fn name(&mut self, host: HostId, name: &str) {
        assert_eq!(host, self.names.len(), "hosts are named as they come");
        self.names.push(name.to_owned());
    }

    pub fn datagram(&mut self, now: Time, from: HostId, to: SocketAddr, bytes: &[u8], fate: Fate) {
        if !self.secret.is_empty() && bytes.windows(self.secret.len()).any(|part| part == self.secret) {
            self.leaked = true;
        }
        let (kind, len) = (bytes.first().copied().unwrap_or(0), bytes.len());
        self.push(now, What::Sent { from, to, kind, len, fate });
    }

    pub fn arrived(&mut self, now: Time, from: HostId, to: HostId, bytes: &[u8]) {
        let (kind, len) = (bytes.first().copied().unwrap_or(0), bytes.len());
        self.push(now, What::Arrived { from, to, kind, len });
    }

    pub fn note(&mut self, now: Time, at: Option<HostId>, text: impl Into<String>) {
        self.push(now, What::Note { at, text: text.into() });
    }

    fn push(&mut self, now: Time, what: What) {
        if !self.quiet {
            self.lines.push((now, what));
        }
    }

    fn host(&self, host: HostId) -> &str {
        &self.names[host]
    }

    /// Everything, a line each.
    pub fn log(&self) -> String {
        let mut out = String::new();
        for (at, what) in &self.lines {
            let _ = write!(out, "{:>12.6} ", *at as f64 / 1e6);
            let _ = match what {
                What::Sent { from, to, kind, len, fate } => {
                    writeln!(out, "{} -> {to} {} {len} {fate:?}", self.host(*from), kind_of(*kind))
                }
                What::Arrived { from, to, kind, len } => {
                    writeln!(out, "{} => {} {} {len}", self.host(*from), self.host(*to), kind_of(*kind))
                }
                What::Note { at: Some(host), text } => writeln!(out, "{}: {text}", self.host(*host)),
                What::Note { at: None, text } => writeln!(out, "* {text}"),
            };
        }
        out
    }

    /// The last `count` lines as a sequence diagram. What arrived is drawn when it did, and what did not, crossed.
    pub fn mermaid(&self, count: usize) -> String {
        let shown = |what: &What| !matches!(what, What::Sent { fate: Fate::Arrives(_), .. });
        let lines: Vec<_> = self.lines.iter().filter(|(_, what)| shown(what)).collect();
        let lines = &lines[lines.len().saturating_sub(count)..];
        let hosts: BTreeSet<HostId> = lines
            .iter()
            .flat_map(|(_, what)| match what {
                What::Sent { from, .. } => vec![*from],
                What::Arrived { from, to, .. } => vec![*from, *to],
                What::Note { at, .. } => at.iter().copied().collect(),
            })
            .collect();
        let (Some(first), Some(last)) = (hosts.first(), hosts.last()) else { return String::new() };
        let mut out = "sequenceDiagram\n".to_owned();
        for &host in &hosts {
            let _ = writeln!(out, "    participant h{host} as {}", self.host(host));
        }
        for (at, what) in lines {
            let at = *at as f64 / 1e6;
            let _ = match what {
                What::Sent { from, to, kind, len, fate } => {
                    let address = to.to_string().replace(':', "#58;");
                    let kind = kind_of(*kind);
                    writeln!(out, "    h{from}-xh{from}: {at:.3} {kind} {len} to {address}, {fate:?}")
                }
                What::Arrived { from, to, kind, len } => {
                    writeln!(out, "    h{from}->>h{to}: {at:.3} {} {len}", kind_of(*kind))
                }
                What::Note { at: Some(host), text } => {
                    writeln!(out, "    Note over h{host}: {at:.3} {}", text.replace([';', '\n'], ","))
                }
                What::Note { at: None, text } => {
                    writeln!(
                        out,
                        "    Note over h{first},h{last}: {at:.3} {}",
                        text.replace([';', '\n'], ",")
                    )
                }
            };
        }
        out
    }
}
