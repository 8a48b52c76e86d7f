//! A flow as the gateways of a room tell each other of it, as it lies in a message.

use std::net::{IpAddr, Ipv6Addr};

use crate::packet::{Ports, Tuple, protocol};
use crate::table::State;

/// Who began what with whom, and how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowCopy {
    /// As the first packet had it.
    pub tuple: Tuple,
    pub state: State,
}

/// The states that are told, by their numbers.
const STATES: [State; 4] = [State::Closed, State::Closing, State::Answered, State::Established];

impl FlowCopy {
    /// Octets of one: source, destination, ports, protocol, what the ports are, state.
    pub const LENGTH: usize = 39;

    /// `None`: nobody is told of such a flow: nobody has answered, or an echo needs no memory.
    #[must_use]
    pub fn to_bytes(self) -> Option<[u8; Self::LENGTH]> {
        let state = STATES.iter().position(|&state| state == self.state)?;
        let (kind, src, dst) = match self.tuple.ports {
            Ports::None => (0, 0, 0),
            Ports::Known { src, dst } => (1, src, dst),
            Ports::OneWay => (2, 0, 0),
            Ports::Unknown => (3, 0, 0),
            Ports::Echo { .. } => return None,
        };
        let mut bytes = [0; Self::LENGTH];
        bytes[..16].copy_from_slice(&octets(self.tuple.src));
        bytes[16..32].copy_from_slice(&octets(self.tuple.dst));
        bytes[32..34].copy_from_slice(&src.to_be_bytes());
        bytes[34..36].copy_from_slice(&dst.to_be_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "there are four")]
        bytes[36..].copy_from_slice(&[self.tuple.protocol, kind, state as u8]);
        Some(bytes)
    }

    /// `None`: there is no such flow.
    #[must_use]
    pub fn read(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let address = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&bytes[at..at + 16]);
            Ipv6Addr::from(octets).to_canonical()
        };
        let [a, b, c, d, protocol, kind, state] = bytes[32..] else { return None };
        let (src, dst) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let has_ports = matches!(protocol, protocol::TCP | protocol::UDP);
        let ports = match kind {
            1 if has_ports => Ports::Known { src, dst },
            0 if !has_ports && (src, dst) == (0, 0) => Ports::None,
            2 if (src, dst) == (0, 0) => Ports::OneWay,
            3 if (src, dst) == (0, 0) => Ports::Unknown,
            _ => return None,
        };
        let tuple = Tuple { src: address(0), dst: address(16), protocol, ports };
        let state = *STATES.get(usize::from(state))?;
        (tuple.src.is_ipv4() == tuple.dst.is_ipv4()).then_some(Self { tuple, state })
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_comes_out_as_it_went_in_and_nothing_else_does() {
        let tuple = |src: &str, dst: &str, protocol, ports| {
            let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
            Tuple { src, dst, protocol, ports }
        };
        let known = Ports::Known { src: 5_000, dst: 445 };
        let tcp = FlowCopy { tuple: tuple("fd00::1", "fd00::2", 6, known), state: State::Established };
        let udp = FlowCopy { tuple: tuple("10.0.0.1", "10.0.0.2", 17, known), state: State::Answered };
        let gre = FlowCopy { tuple: tuple("10.0.0.1", "10.0.0.2", 47, Ports::None), state: State::Answered };
        for copy in [tcp, udp, gre] {
            let bytes = copy.to_bytes().unwrap();
            assert_eq!(FlowCopy::read(&bytes), Some(copy));
            // No such state, no such kind of ports, an address of the other family.
            for (at, value) in [(38, 4), (37, 9), (37, 1 - bytes[37]), (0, bytes[0] ^ 1)] {
                let mut bad = bytes;
                bad[at] = value;
                assert!(FlowCopy::read(&bad).is_none_or(|read| read != copy), "{at}");
                assert!(at == 0 || FlowCopy::read(&bad).is_none(), "{at}");
            }
        }
        assert_eq!(FlowCopy { state: State::New, ..tcp }.to_bytes(), None);
        let echo = Ports::Echo { request: true, ident: 1 };
        assert_eq!(FlowCopy { tuple: tuple("fd00::1", "fd00::2", 58, echo), ..udp }.to_bytes(), None);
    }
}
