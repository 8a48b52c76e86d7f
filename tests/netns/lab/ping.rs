//! `ping`, once or on and on.

use std::net::IpAddr;
use std::time::Duration;

use super::command::LIMIT;
use super::process::{Process, Signal};
use super::wait::wait_for;
use super::{Lab, Namespace};

/// Whether one of a few pings is answered. The first packet of all may wait for a handshake.
pub fn reaches(from: &Namespace, to: IpAddr) -> bool {
    answers(from, to, "-c 1 -W 1") || answers(from, to, "-c 3 -i 0.2 -W 1")
}

/// Whether pings with these options are answered (at least one).
pub fn answers(from: &Namespace, to: IpAddr, options: &str) -> bool {
    from.run(&format!("ping -n -q {options} {to}"), LIMIT).is_success()
}

/// Waits until a ping is answered.
pub fn wait_until_reached(from: &Namespace, to: IpAddr, limit: Duration) {
    wait_for(&format!("{} reaches {to}", from.name()), limit, || {
        answers(from, to, "-c 1 -W 1").then_some(())
    });
}

/// A ping that runs in the background.
#[derive(Debug)]
pub struct Pinger {
    process: Process,
}

/// Which pings were answered.
#[derive(Debug, Clone)]
pub struct Beats {
    pub answered: u64,
    /// The most beats missed one after the other.
    pub longest_gap: u64,
}

impl Pinger {
    /// One ping every so many milliseconds.
    pub fn start(lab: &Lab, from: &Namespace, to: IpAddr, every: Duration) -> Self {
        let mut command = from.command("ping");
        command.args(["-n", "-O", "-i", &format!("{:.3}", every.as_secs_f64()), &to.to_string()]);
        Self { process: Process::start(lab, "ping", &mut command) }
    }

    /// How many answers have come.
    pub fn answered(&self) -> usize {
        self.process.output().lines().filter(|line| is_answer(line)).count()
    }

    /// Ends it.
    pub fn stop(mut self) -> Beats {
        self.process.signal(Signal::Interrupt);
        self.process.end(LIMIT);
        let output = self.process.output();
        let mut answered: Vec<u64> =
            output.lines().filter(|line| is_answer(line)).filter_map(sequence).collect();
        answered.sort_unstable();
        answered.dedup();
        // The last one may still be under way when ping is told to stop.
        let sent = output.lines().filter_map(sequence).max().unwrap_or(0);
        let mut longest_gap = 0;
        let mut before = 0;
        for &beat in answered.iter().chain(&[sent + 1]) {
            longest_gap = longest_gap.max(beat.saturating_sub(before + 1));
            before = beat;
        }
        Beats { answered: answered.len() as u64, longest_gap }
    }
}

fn is_answer(line: &str) -> bool {
    line.contains("bytes from") && line.contains("time=")
}

fn sequence(line: &str) -> Option<u64> {
    let rest = line.split_once("icmp_seq=")?.1;
    rest.split_whitespace().next()?.parse().ok()
}
