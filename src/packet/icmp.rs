//! ICMP errors that a gateway answers with, written into the caller's buffer.
//!
//! Each builder takes the packet that could not go on (`orig`, as it arrived) and the address to answer from (`from`,
//! of the packet's family). It gives the answer's length, or `None` where there must be no answer: about an ICMP
//! error, a later fragment, a multicast or otherwise no unicast address (RFC 1122, 3.2.2; RFC 4443, 2.4 (e)), or about
//! what is no packet. Callers limit their rate with a [`TokenBucket`](super::TokenBucket) (RFC 4443, 2.4 (f)).

use std::net::IpAddr;

/// Octets that any answer fits into (RFC 4443, 2.4 (c)).
pub const ANSWER_MAX: usize = 1280;

/// Why a destination can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// No node has the address.
    Host,
    /// Policy says no.
    Prohibited,
}

/// "Fragmentation needed" (RFC 1191) or "packet too big" (RFC 4443, 3.2): packets up to `mtu` octets would fit.
pub fn packet_too_big(out: &mut [u8], orig: &[u8], from: IpAddr, mtu: u16) -> Option<usize> {
    let _ = (out, orig, from, mtu);
    None
}

/// "Time exceeded in transit".
pub fn time_exceeded(out: &mut [u8], orig: &[u8], from: IpAddr) -> Option<usize> {
    let _ = (out, orig, from);
    None
}

/// "Destination unreachable".
pub fn unreachable(out: &mut [u8], orig: &[u8], from: IpAddr, why: Unreachable) -> Option<usize> {
    let _ = (out, orig, from, why);
    None
}
