//! `vpmesh peers`.

use std::path::Path;
use std::process::ExitCode;

use super::output::{Output, Paint, exit, plain};
use super::table::{Lean, Table};
use super::{amount, client, flows, status};
use crate::daemon::question::Request;
use crate::engine::PeerRow;

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
