//! The whole engine, played by a script that the input's bytes are: datagrams and packets of any content, from
//! strangers and from inside of real sessions, in any order, at any time.
//!
//! A step is an operation, a number, a length and that many bytes. What must hold: nothing panics, what goes to the
//! kernel and to stations are packets that can be read, a station gets only what is addressed to it, and the closed
//! station gets nothing from anybody but the gateway itself.

mod played;

use std::net::IpAddr;

use played::{Played, STATIONS};
use vpmesh::packet::Sum;

/// Steps of one run; a longer script is a slower fuzzer, not a better one.
const STEPS_MAX: usize = 64;
const LENGTH_MAX: usize = 2_000;

/// Returns how many packets stations got from each other.
pub fn run(data: &[u8]) -> usize {
    let mut script = Script(data);
    let mut played = Played::new();
    for _ in 0..STEPS_MAX {
        let Some((operation, number, bytes)) = script.step() else { break };
        let who = usize::from(number) % STATIONS;
        match operation % 8 {
            0 => played.datagram(number, &mut bytes.to_vec()),
            1 => played.train(number, &mut bytes.to_vec()),
            2 => played.seal(who, bytes, None),
            3 => played.seal(who, &addressed(&played, number, bytes), None),
            4 => played.seal(who, &addressed(&played, number >> 4, bytes), Some(number)),
            5 => played.kernel(&mut addressed(&played, number, bytes)),
            6 => played.pass(number),
            _ => played.reload(number % 2 == 0),
        }
        played.check();
    }
    played.tell();
    played.delivered
}

struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn step(&mut self) -> Option<(u8, u8, &'a [u8])> {
        let (&[operation, number, low, high], rest) = self.0.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes([low, high])).min(LENGTH_MAX).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        self.0 = rest;
        Some((operation, number, bytes))
    }
}

/// The bytes as a packet with good addresses, lengths and IPv4 checksum, so that it comes further than a stranger's:
/// from the station of this number to one of its others, or to one outside.
fn addressed(played: &Played, number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut packet = bytes.to_vec();
    let from = usize::from(number) % STATIONS;
    let to = usize::from(number >> 2) % (STATIONS + 1);
    let (Ok(length), Some(first)) = (u16::try_from(packet.len()), packet.first_mut()) else { return packet };
    let six = *first >> 4 == 6;
    let ends = [played.address(from, six), played.address(to, six)];
    match ends {
        [IpAddr::V4(from), IpAddr::V4(to)] if length >= 20 => {
            *first = 0x45;
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            packet[12..16].copy_from_slice(&from.octets());
            packet[16..20].copy_from_slice(&to.octets());
            packet[10..12].fill(0);
            let checksum = Sum::default().with(&packet[..20]).checksum();
            packet[10..12].copy_from_slice(&checksum);
        }
        [IpAddr::V6(from), IpAddr::V6(to)] if length >= 40 => {
            packet[4..6].copy_from_slice(&(length - 40).to_be_bytes());
            packet[8..24].copy_from_slice(&from.octets());
            packet[24..40].copy_from_slice(&to.octets());
        }
        _ => {}
    }
    packet
}
