//! `vpmesh flows`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use super::output::{self, Output, exit, plain};
use super::table::{Lean, Table};
use super::{amount, client};
use crate::daemon::question::Request;
use crate::engine::FlowRow;

#[derive(Debug, clap::Args)]
pub(super) struct FlowsArgs {
    /// Only so many, those that carried most. With --json: {"total": of all, "rows": [...]}.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    largest: Option<u32>,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn flows(socket: &Path, args: &FlowsArgs) -> ExitCode {
    exit(show(socket, args))
}

fn show(socket: &Path, args: &FlowsArgs) -> Result<(), String> {
    let asked = Request::Flows { largest: args.largest };
    let (rows, total) = client::ask_rows(socket, &asked).map_err(|error| error.to_string())?;
    if args.json {
        let printed = match args.largest {
            Some(_) => output::print(&format!("{{\"total\":{total},\"rows\":[{}]}}\n", rows.join(",\n"))),
            None => print_list(&rows),
        };
        return printed.map_err(|error| error.to_string());
    }
    let flows: Result<Vec<FlowRow>, _> = rows.iter().map(|row| client::parse(socket, row)).collect();
    print(&flows.map_err(|error| error.to_string())?, total).map_err(|error| error.to_string())
}

/// Prints rows as one list of JSON.
pub(super) fn print_list(rows: &[String]) -> std::io::Result<()> {
    match rows.is_empty() {
        true => output::print("[]\n"),
        false => output::print(&format!("[\n{}\n]\n", rows.join(",\n"))),
    }
}

fn print(flows: &[FlowRow], total: usize) -> std::io::Result<()> {
    let mut output = Output::new();
    if flows.is_empty() {
        output.line("no flows");
        return output.print();
    }
    let mut table = Table::new(&[
        ("proto", Lean::Left),
        ("source", Lean::Left),
        ("destination", Lean::Left),
        ("from", Lean::Left),
        ("to", Lean::Left),
        ("via", Lean::Left),
        ("state", Lean::Left),
        ("out", Lean::Right),
        ("back", Lean::Right),
        ("age", Lean::Right),
        ("idle", Lean::Right),
    ]);
    for flow in flows {
        table.row([
            protocol(flow.protocol),
            end(flow.source, flow.source_port),
            end(flow.destination, flow.destination_port),
            plain(&flow.from),
            plain(&flow.to),
            plain(&flow.carrier),
            plain(&flow.state),
            amount::bytes(flow.forward.bytes),
            amount::bytes(flow.back.bytes),
            amount::time(flow.age),
            amount::time(flow.idle),
        ]);
    }
    table.print(&mut output, 0);
    if total > flows.len() {
        output.line(format_args!("the {} of {total} that carried most", flows.len()));
    }
    output.print()
}

/// IANA's names of the protocols that people meet.
fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        47 => "gre".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        _ => number.to_string(),
    }
}

fn end(address: IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
}
