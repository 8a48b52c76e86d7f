//! `vpmesh peers`.

use std::path::Path;
use std::process::ExitCode;

use super::output::{Output, Paint, exit, plain};
use super::table::{Lean, Table};
use super::{amount, client, flows, status};
use crate::daemon::question::Request;
use crate::engine::{PathRow, PeerRow};

pub(super) fn peers(socket: &Path, json: bool) -> ExitCode {
    exit(show(socket, json))
}

fn show(socket: &Path, json: bool) -> Result<(), String> {
    let (rows, _) = client::ask_rows(socket, &Request::Peers).map_err(|error| error.to_string())?;
    if json {
        return flows::print_list(&rows).map_err(|error| error.to_string());
    }
    let peers: Result<Vec<PeerRow>, _> = rows.iter().map(|row| client::parse(socket, row)).collect();
    print(&peers.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

fn print(peers: &[PeerRow]) -> std::io::Result<()> {
    let mut output = Output::new();
    if peers.is_empty() {
        output.line("no peers");
        return output.print();
    }
    let mut table = Table::new(&[
        ("peer", Lean::Left),
        ("kind", Lean::Left),
        ("state", Lean::Left),
        ("endpoint", Lean::Left),
        ("handshake", Lean::Right),
        ("received", Lean::Right),
        ("sent", Lean::Right),
        ("turned away", Lean::Right),
    ]);
    for peer in peers {
        table.row([
            peer.peer.to_string(),
            plain(&peer.kind),
            if peer.up { "up" } else { "down" }.to_owned(),
            peer.endpoint.map_or_else(|| "unknown".to_owned(), |endpoint| endpoint.to_string()),
            peer.handshake
                .map_or_else(|| "never".to_owned(), |seconds| format!("{} ago", amount::time(seconds))),
            amount::bytes(peer.received.bytes),
            amount::bytes(peer.sent.bytes),
            peer.drops.values().fold(0u64, |sum, count| sum.saturating_add(*count)).to_string(),
        ]);
        table.paint(2, if peer.up { Paint::Good } else { Paint::Doubt });
    }
    table.print(&mut output, 0);
    print_attached(peers, &mut output);
    print_paths(peers, &mut output);
    let mut drops = Table::new(&[("", Lean::Left), ("", Lean::Right), ("", Lean::Left), ("", Lean::Left)]);
    let mut any = false;
    for peer in peers {
        for (name, count, sentence) in status::reasons(&peer.drops) {
            drops.row([peer.peer.to_string(), count.to_string(), name, sentence.to_owned()]);
            any = true;
        }
    }
    if any {
        output.line("");
        output.line("turned away");
        drops.print(&mut output, 2);
    }
    output.print()
}

/// Where the stations are, if the room has several gateways.
fn print_attached(peers: &[PeerRow], output: &mut Output) {
    let mut table = Table::new(&[("", Lean::Left), ("", Lean::Left), ("", Lean::Right)]);
    let mut any = false;
    for (peer, attached) in peers.iter().filter_map(|peer| Some((peer, peer.attached.as_ref()?))) {
        let epoch = format!("epoch {}", attached.epoch);
        table.row([peer.peer.to_string(), format!("at {}", attached.gateway), epoch]);
        any = true;
    }
    if any {
        output.line("");
        output.line("stations");
        table.print(output, 2);
    }
}

/// Where gateways may be reached: the path in use first.
fn print_paths(peers: &[PeerRow], output: &mut Output) {
    let mut table = Table::new(&[
        ("", Lean::Left),
        ("", Lean::Left),
        ("", Lean::Left),
        ("", Lean::Right),
        ("", Lean::Right),
        ("", Lean::Left),
    ]);
    let mut any = false;
    for peer in peers {
        let Some(paths) = &peer.paths else { continue };
        let mut candidates: Vec<_> = paths.candidates.iter().collect();
        candidates.sort_by_key(|path| (!path.in_use, path.round_trip.is_none(), path.round_trip));
        for path in candidates {
            let round_trip = path.round_trip.map_or_else(|| "silent".to_owned(), amount::round_trip);
            let why = format!("in use for {} ({})", amount::time(paths.since), plain(&paths.why));
            table.row([
                peer.peer.to_string(),
                plain(&path.kind),
                place(path),
                round_trip,
                path.round_trip.map_or_else(String::new, |_| format!("{} % lost", path.loss / 10)),
                if path.in_use { why } else { String::new() },
            ]);
            if path.in_use {
                table.paint(5, Paint::Good);
            }
            any = true;
        }
    }
    if any {
        output.line("");
        output.line("paths");
        table.print(output, 2);
    }
}

fn place(path: &PathRow) -> String {
    let address = path.address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    match &path.relay {
        Some(relay) => format!("{address} through {relay}"),
        None => address,
    }
}
