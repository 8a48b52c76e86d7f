//! `iperf3`: bulk traffic with a report of every interval.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::{Lab, Namespace};

/// A server in a namespace.
#[derive(Debug)]
pub struct Server {
    _process: Process,
}

impl Server {
    pub fn start(lab: &Lab, namespace: &Namespace, port: u16) -> Self {
        let mut command = namespace.command("iperf3");
        command.args(["-s", "--forceflush", "-p", &port.to_string()]);
        let mut process = Process::start(lab, "iperf3-server", &mut command);
        process.wait_for_output("Server listening", Duration::from_secs(10));
        Self { _process: process }
    }
}

/// A running client.
#[derive(Debug)]
pub struct Client {
    process: Process,
    _namespace: Arc<Namespace>,
}

/// What a client reported.
#[derive(Debug, Clone)]
pub struct Report {
    pub intervals: Vec<Interval>,
    /// iperf3's own word for what went wrong.
    pub error: Option<String>,
    /// Datagrams that did not arrive; only of UDP.
    pub lost: Option<u64>,
}

/// One interval of the sum of all streams.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    /// Seconds from the start.
    pub start: f64,
    pub end: f64,
    pub bytes: u64,
    pub retransmits: u64,
}

impl Client {
    /// Starts it; `options` as on iperf3's command line (`-t 5 -b 20M`). Reports every half second.
    pub fn start(lab: &Lab, from: &Arc<Namespace>, to: IpAddr, port: u16, options: &str) -> Self {
        let mut command = from.command("iperf3");
        command.args(["-J", "-i", "0.5", "-c", &to.to_string(), "-p", &port.to_string()]);
        command.args(["--connect-timeout", "5000"]).args(options.split_whitespace());
        Self { process: Process::start(lab, "iperf3-client", &mut command), _namespace: Arc::clone(from) }
    }

    /// Waits for its end.
    pub fn report(mut self, limit: Duration) -> Report {
        self.process.end(limit);
        Report::parse(&self.process.output())
    }
}

impl Report {
    fn parse(text: &str) -> Self {
        let json: Value =
            serde_json::from_str(text).unwrap_or_else(|e| panic!("iperf3 wrote no JSON ({e}): {text}"));
        let intervals = json["intervals"].as_array().into_iter().flatten().map(|interval| {
            let sum = &interval["sum"];
            Interval {
                start: sum["start"].as_f64().unwrap_or(0.0),
                end: sum["end"].as_f64().unwrap_or(0.0),
                bytes: sum["bytes"].as_u64().unwrap_or(0),
                retransmits: sum["retransmits"].as_u64().unwrap_or(0),
            }
        });
        Self {
            intervals: intervals.collect(),
            error: json["error"].as_str().map(str::to_owned),
            lost: json["end"]["sum"]["lost_packets"].as_u64(),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.intervals.iter().map(|interval| interval.bytes).sum()
    }

    /// The most retransmissions of one interval, the first second left out: TCP seeks its pace in that.
    pub fn retransmits_max(&self) -> u64 {
        let later = self.intervals.iter().filter(|interval| interval.start >= 1.0);
        later.map(|interval| interval.retransmits).max().unwrap_or(0)
    }

    /// Intervals in which nothing passed at all.
    pub fn stalls(&self) -> Vec<Interval> {
        // The last one can be of a few milliseconds.
        let whole = self.intervals.iter().filter(|interval| interval.end - interval.start > 0.3);
        whole.filter(|interval| interval.bytes == 0).copied().collect()
    }
}
