//! All played stations, and what they do together: getting sessions, and taking what comes.

use std::io;
use std::time::Duration;

use boringtun::x25519::PublicKey;

use crate::cost;
use crate::plan::Plan;
use crate::socket::Buffers;
use crate::station::Station;
use crate::wait;

/// Between two handshakes: 40 a second bring no relaying node to ask for cookies.
const HANDSHAKE_SPACING: Duration = Duration::from_millis(25);
/// For all sessions together, beside the spacing.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(20);

pub struct Stage {
    pub stations: Vec<Station>,
    buffers: Buffers,
}

impl Stage {
    pub fn new(plan: &Plan) -> io::Result<Self> {
        let (relay, key) = (plan.relay.endpoint.into(), PublicKey::from(plan.relay.key.0));
        let stations =
            (1..).zip(&plan.stations).map(|(index, station)| Station::new(index, station, relay, key));
        Ok(Self { stations: stations.collect::<io::Result<_>>()?, buffers: Buffers::new() })
    }

    /// Waits for anything that comes to these stations, and takes it.
    pub fn receive(&mut self, who: &[usize], time: Duration) -> io::Result<()> {
        wait::for_any(who.iter().map(|&index| self.stations[index].socket()), time)?;
        for &index in who {
            self.stations[index].receive(&mut self.buffers)?;
        }
        Ok(())
    }

    /// Gives each of these stations a young session, and ends with a keepalive from each, which confirms it.
    pub fn connect(&mut self, who: &[usize]) -> io::Result<()> {
        let end = cost::now() + HANDSHAKE_PATIENCE + HANDSHAKE_SPACING * who.len() as u32;
        let mut turn = who.iter().cycle();
        while who.iter().any(|&index| !self.stations[index].has_session()) {
            if cost::now() > end {
                let without = who.iter().filter(|&&index| !self.stations[index].has_session()).count();
                return Err(io::Error::other(format!("{without} of {} stations got no session", who.len())));
            }
            if let Some(&index) = turn.find(|&&index| !self.stations[index].has_session()) {
                self.stations[index].handshake()?;
            }
            self.receive(who, HANDSHAKE_SPACING)?;
        }
        who.iter().try_for_each(|&index| self.stations[index].keepalive())
    }
}
