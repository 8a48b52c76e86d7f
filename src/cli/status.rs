//! `vpmesh status`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use super::output::{self, Output, Paint, exit, plain};
use super::table::{Lean, Table};
use super::{amount, client, reload};
use crate::base::DropReason;
use crate::daemon::question::Request;
use crate::daemon::status::{DaemonStatus, KernelStatus, Mapped};

pub(super) fn status(socket: &Path, json: bool) -> ExitCode {
    exit(show(socket, json))
}

fn show(socket: &Path, json: bool) -> Result<(), String> {
    let line = client::ask(socket, &Request::Status).map_err(|error| error.to_string())?;
    if json {
        return output::print(&(line + "\n")).map_err(|error| error.to_string());
    }
    let status = read(socket, &line).map_err(|error| error.to_string())?;
    print(&status).map_err(|error| error.to_string())
}

/// # Errors
/// The answer is of another version's daemon.
pub(super) fn read(socket: &Path, line: &str) -> Result<DaemonStatus, client::AskError> {
    Ok(DaemonStatus { daemon: client::parse(socket, line)?, engine: client::parse(socket, line)? })
}

fn print(status: &DaemonStatus) -> std::io::Result<()> {
    let mut output = Output::new();
    let engine = &status.engine;
    let addresses: Vec<String> = engine.addresses.iter().map(ToString::to_string).collect();
    let mut table = Table::new(&[("", Lean::Left), ("", Lean::Left)]);
    let mut fact = |name: &str, value: String| table.row([name.to_owned(), value]);
    fact("node", engine.node.to_string());
    fact("key", engine.public_key.to_string());
    fact("running", format!("{}, vpmesh {}", amount::time(status.daemon.uptime), status.daemon.version));
    fact(
        "interface",
        format!("{}, MTU {}, UDP port {}", status.daemon.interface, engine.mtu, status.daemon.listen),
    );
    if let Some(mapped) = &status.daemon.mapped {
        fact("mapped", mapping(mapped));
    }
    fact("addresses", if addresses.is_empty() { "none".to_owned() } else { addresses.join(", ") });
    fact("peers", format!("{}, {} up", engine.peers, engine.peers_up));
    fact("flows", format!("{} of {} at most", engine.flows, engine.flows_max));
    table.print(&mut output, 0);
    print_kernel(&mut output, &status.daemon.kernel);
    print_reload(&mut output, status);
    print_owners(&mut output, status);
    print_traffic(&mut output, status);
    print_drops(&mut output, status);
    print_rules(&mut output, status);
    output.print()
}

fn mapping(mapped: &Mapped) -> String {
    let nat = if mapped.public { "" } else { "; that router is behind a NAT itself" };
    format!("{} by {}{nat}", mapped.address, plain(&mapped.by))
}

/// What the kernel enforces by itself. Nothing is said before the first rosters, and where nothing is amiss and no host
/// of the LAN is concerned.
fn print_kernel(output: &mut Output, kernel: &KernelStatus) {
    let hosts = amount::count(kernel.lan_stations, "LAN station");
    match (&kernel.why, kernel.in_force) {
        (_, true) => {
            output.line(format_args!("kernel     in force, {hosts}, fail-safe {}", plain(&kernel.fail_safe)))
        }
        (Some(why), false) if kernel.lan_stations > 0 => {
            let bad = output.paint(Paint::Bad, "NOT in force");
            output.line(format_args!(
                "kernel     {bad}, {hosts} unpoliced towards the internet: {}",
                plain(why)
            ));
        }
        (Some(why), false) => output.line(format_args!("kernel     not in force: {}", plain(why))),
        (None, false) => {}
    }
    if kernel.put_back > 0 {
        let times = amount::count(kernel.put_back, "time");
        output.line(format_args!("             put back {times}: others changed table inet vpmesh"));
    }
}

fn print_reload(output: &mut Output, status: &DaemonStatus) {
    let Some(last) = &status.daemon.last_reload else { return };
    let ago = amount::time(last.ago);
    match (&last.report, &last.refusal) {
        (Some(report), _) => output.line(format_args!("reload     {ago} ago: {}", reload::sentence(report))),
        (None, refusal) => {
            let refused = output.paint(Paint::Bad, "refused");
            output.line(format_args!("reload     {ago} ago: {refused}; what ran before runs on"));
            for line in plain(refusal.as_deref().unwrap_or_default()).lines() {
                output.line(format_args!("             {line}"));
            }
        }
    }
    for note in &last.notes {
        output.line(format_args!("             {}", plain(note)));
    }
    if let Some(left) = status.daemon.unconfirmed {
        let left = amount::time(left);
        output.line(format_args!(
            "             not confirmed: rolled back in {left}; `vpmesh reload --commit`"
        ));
    }
}

fn print_owners(output: &mut Output, status: &DaemonStatus) {
    if status.engine.owners.is_empty() {
        return;
    }
    output.line("");
    let mut table = Table::new(&[
        ("owner", Lean::Left),
        ("serial", Lean::Right),
        ("nodes", Lean::Right),
        ("prefixes", Lean::Left),
    ]);
    for owner in &status.engine.owners {
        let prefixes: Vec<String> = owner.prefixes.iter().map(ToString::to_string).collect();
        table.row([
            owner.owner.to_string(),
            owner.serial.to_string(),
            owner.nodes.to_string(),
            prefixes.join(", "),
        ]);
    }
    table.print(output, 0);
    for owner in &status.engine.owners {
        if let (Some(from), Some(since)) = (&owner.from, owner.since) {
            let (name, from, since) = (&owner.owner, plain(from), amount::time(since));
            output.line(format_args!("{name}'s roster came from {from} {since} ago"));
        }
        if let Some(refused) = &owner.refused {
            let word = output.paint(Paint::Bad, "refused");
            output.line(format_args!("{word}: {}", plain(refused)));
        }
    }
}

fn print_traffic(output: &mut Output, status: &DaemonStatus) {
    let engine = &status.engine;
    output.line("");
    let mut table = Table::new(&[("passed", Lean::Left), ("packets", Lean::Right), ("bytes", Lean::Right)]);
    for (way, traffic) in [
        ("from peers", engine.from_peers),
        ("to peers", engine.to_peers),
        ("from the kernel", engine.from_kernel),
        ("to the kernel", engine.to_kernel),
    ] {
        table.row([way.to_owned(), traffic.packets.to_string(), amount::bytes(traffic.bytes)]);
    }
    table.print(output, 0);
}

fn print_drops(output: &mut Output, status: &DaemonStatus) {
    let mut table = Table::new(&[("turned away", Lean::Left), ("packets", Lean::Right), ("", Lean::Left)]);
    let mut any = false;
    for (name, count, sentence) in reasons(&status.engine.drops) {
        table.row([name, count.to_string(), sentence.to_owned()]);
        any = true;
    }
    let outside = [
        (u64::from(status.daemon.socket_overflows), "socket_overflows", "the UDP socket's buffer was full"),
        (
            u64::from(status.daemon.socket_refused),
            "socket_refused",
            "the kernel saw that it is no message for this gateway",
        ),
        (status.daemon.oversized, "oversized", "the kernel handed over a packet larger than the MTU"),
    ];
    for (name, count, sentence) in reasons(&status.daemon.kernel.drops) {
        table.row([name, count.to_string(), format!("in the kernel: {sentence}")]);
        any = true;
    }
    for (count, name, sentence) in outside.into_iter().filter(|(count, ..)| *count > 0) {
        table.row([name.to_owned(), count.to_string(), sentence.to_owned()]);
        any = true;
    }
    output.line("");
    if any { table.print(output, 0) } else { output.line("nothing was turned away") }
}

fn print_rules(output: &mut Output, status: &DaemonStatus) {
    let rules = &status.engine.rules;
    if rules.is_empty() {
        return;
    }
    output.line("");
    let mut table = Table::new(&[
        ("matched", Lean::Left),
        ("flows", Lean::Right),
        ("", Lean::Left),
        ("", Lean::Left),
        ("", Lean::Left),
    ]);
    for rule in rules {
        let place = format!("{}:{}", rule.file, rule.line);
        let text = if rule.stage { format!("staged: {}", rule.rule) } else { rule.rule.clone() };
        let border = rule.border.to_string();
        table.row([border, rule.matches.to_string(), rule.direction.clone(), plain(&text), plain(&place)]);
    }
    table.print(output, 0);
}

/// Drops by reason with what each means, the most frequent first.
pub(super) fn reasons(drops: &BTreeMap<String, u64>) -> Vec<(String, u64, &'static str)> {
    let sentence = |name: &str| {
        DropReason::ALL.iter().find(|reason| reason.name() == name).map_or("", |reason| reason.sentence())
    };
    let mut reasons: Vec<_> = drops
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| (plain(name), *count, sentence(name)))
        .collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    reasons
}
