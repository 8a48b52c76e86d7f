//! What the harness asks for, as JSON: the relaying node, the stations to play, who sends to whom, and the cells.

use std::net::{Ipv4Addr, SocketAddrV4};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

/// The most stations one run plays.
pub const STATIONS_MAX: usize = 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub relay: Relay,
    pub stations: Vec<StationPlan>,
    /// Pairs of indices into `stations`: the first sends, the second receives. Every station is in one flow at most.
    pub flows: Vec<(usize, usize)>,
    /// A pair that sends single packets now and then beside the load, to see how long they take and how many are lost.
    pub probe: Option<(usize, usize)>,
    pub cells: Vec<CellPlan>,
    /// How long each cell sends, at least.
    pub seconds: f64,
    /// The most packets in flight.
    pub window: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    pub endpoint: SocketAddrV4,
    /// Its public key.
    pub key: Key,
    /// Of the relaying process, for its CPU time.
    pub pid: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StationPlan {
    /// Its private key.
    pub key: Key,
    pub address: Ipv4Addr,
    /// The UDP port it is bound to.
    pub port: u16,
}

/// A key of Curve25519, in base64 as WireGuard's tools write it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct Key(pub [u8; 32]);

impl TryFrom<String> for Key {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| "a key is written in base64")?;
        bytes.try_into().map(Self).map_err(|_| "a key has 32 bytes")
    }
}

/// One measurement: packets of one size, in trains or alone.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellPlan {
    /// Of the inner packet, in bytes, with its IP header.
    pub size: usize,
    /// How many packets one `sendmsg` carries (UDP_SEGMENT); 1 sends singles.
    pub train: usize,
    /// How many source ports each pair uses in turn, a train each: every one is a flow to the relaying node.
    #[serde(default = "one")]
    pub ports: u16,
}

fn one() -> u16 {
    1
}

/// Why a plan cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("a plan has 2 to {STATIONS_MAX} stations, this one {0}")]
    Stations(usize),
    #[error("the pair ({0}, {1}) names a station that is not there, or one that already is in another pair")]
    Pair(usize, usize),
    #[error("a cell's packets are 32 to 1400 bytes, in trains of 1 to 45, from 1 to 20000 ports: {0:?}")]
    Cell(CellPlan),
    #[error("there is no flow")]
    NoFlow,
    #[error("a cell sends for 0.1 to 60 seconds, not {0}")]
    Seconds(f64),
}

impl Plan {
    pub fn check(&self) -> Result<(), PlanError> {
        let count = self.stations.len();
        if !(2..=STATIONS_MAX).contains(&count) {
            return Err(PlanError::Stations(count));
        }
        if self.flows.is_empty() {
            return Err(PlanError::NoFlow);
        }
        if !(0.1..=60.0).contains(&self.seconds) {
            return Err(PlanError::Seconds(self.seconds));
        }
        let mut taken = vec![false; count];
        for &(from, to) in self.flows.iter().chain(&self.probe) {
            for index in [from, to] {
                match taken.get_mut(index) {
                    Some(seen @ false) => *seen = true,
                    _ => return Err(PlanError::Pair(from, to)),
                }
            }
        }
        // A train has to fit one UDP datagram's length field.
        let fits = |cell: &&CellPlan| {
            (32..=1400).contains(&cell.size)
                && (1..=45).contains(&cell.train)
                && (1..=20_000).contains(&cell.ports)
        };
        match self.cells.iter().find(|cell| !fits(cell)) {
            Some(cell) => Err(PlanError::Cell(*cell)),
            None => Ok(()),
        }
    }
}
