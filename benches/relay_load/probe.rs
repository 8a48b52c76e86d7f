//! Single packets between two stations that are not part of the load: how long does the relaying node take for them
//! while it is busy with others, and does it lose them?

use std::io;
use std::time::{Duration, Instant};

use crate::cost;
use crate::inner;
use crate::stage::Stage;

const SIZE: usize = 64;
const SPACING: Duration = Duration::from_millis(5);
/// What is not there after this is lost.
const PATIENCE_MS: usize = 500;

pub struct Probe {
    from: usize,
    to: usize,
    sent: Vec<Instant>,
    /// In microseconds.
    times: Vec<f64>,
    sealed: Vec<u8>,
}

impl Probe {
    pub fn new(stage: &mut Stage, (from, to): (usize, usize)) -> Self {
        stage.stations[to].expect(SIZE, true);
        Self { from, to, sent: Vec::new(), times: Vec::new(), sealed: Vec::new() }
    }

    /// Sends the next packet if its time has come.
    pub fn send(&mut self, stage: &mut Stage) -> io::Result<()> {
        if self.sent.last().is_some_and(|&last| cost::now() - last < SPACING) {
            return Ok(());
        }
        let to = stage.stations[self.to].address;
        let station = &mut stage.stations[self.from];
        let packet = inner::packet(station.address, to, SIZE, self.sent.len() as u32, 0);
        self.sealed.clear();
        station.seal(&packet, &mut self.sealed)?;
        self.sent.push(cost::now());
        station.send_train(&self.sealed, self.sealed.len()).map(drop)
    }

    /// Notes what arrived.
    pub fn collect(&mut self, stage: &mut Stage) {
        let now = cost::now();
        let Some(numbers) = &mut stage.stations[self.to].numbers else { return };
        let starts = numbers.drain(..).filter_map(|number| self.sent.get(number as usize));
        self.times.extend(starts.map(|&start| (now - start).as_secs_f64() * 1e6));
    }

    /// Sends `count` packets with nothing else going on.
    pub fn run_alone(&mut self, stage: &mut Stage, count: usize) -> io::Result<()> {
        while self.sent.len() < count {
            self.send(stage)?;
            stage.receive(&[self.from, self.to], Duration::from_millis(1))?;
            self.collect(stage);
        }
        Ok(())
    }

    /// The median and the 95th percentile in µs, and the share lost in percent; waits for what is still on its way.
    pub fn finish(mut self, stage: &mut Stage) -> io::Result<serde_json::Value> {
        let sent = self.sent.len();
        for _ in 0..PATIENCE_MS {
            if self.times.len() == sent {
                break;
            }
            stage.receive(&[self.to], Duration::from_millis(1))?;
            self.collect(stage);
        }
        self.times.sort_by(f64::total_cmp);
        let at = |share: f64| self.times.get((self.times.len() as f64 * share) as usize).copied();
        Ok(serde_json::json!({
            "sent": sent,
            "median_us": at(0.5),
            "p95_us": at(0.95),
            "lost_percent": 100.0 * (1.0 - self.times.len() as f64 / sent.max(1) as f64),
        }))
    }
}
