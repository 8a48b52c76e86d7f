//! Services and traffic on one line of numbers: a flow is a point, a service is one or two spans of it, and matching is
//! two comparisons.

use super::question::Traffic;
use crate::packet::protocol;
use crate::roster::Service;

/// A flow's kind as a number: its class in the upper half, its port or protocol in the lower.
pub(super) type Point = u32;

const TCP: Point = 0 << 16;
const UDP: Point = 1 << 16;
const ICMP: Point = 2 << 16;
const ICMPV6: Point = 3 << 16;
const OPAQUE: Point = 4 << 16;
const UNKNOWN: Point = 5 << 16;

/// Both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Span {
    pub(super) first: Point,
    pub(super) last: Point,
}

impl Span {
    pub(super) fn contains(self, point: Point) -> bool {
        self.first <= point && point <= self.last
    }

    fn one(point: Point) -> Self {
        Self { first: point, last: point }
    }
}

pub(super) fn point(traffic: Traffic) -> Point {
    match traffic {
        Traffic::Tcp(port) => TCP | Point::from(port),
        Traffic::Udp(port) => UDP | Point::from(port),
        Traffic::Icmp => ICMP,
        Traffic::Icmpv6 => ICMPV6,
        Traffic::Opaque(number) => OPAQUE | Point::from(number),
        Traffic::Unknown => UNKNOWN,
    }
}

/// What a service matches. A protocol by its number is matched whether its ports are known or not.
pub(super) fn spans(service: Service) -> impl Iterator<Item = Span> {
    let ports =
        |class, first, last| Span { first: class | Point::from(first), last: class | Point::from(last) };
    let (span, other) = match service {
        Service::Any => (Span { first: 0, last: Point::MAX }, None),
        Service::Icmp => (Span { first: ICMP, last: ICMPV6 }, None),
        Service::Tcp { first, last } => (ports(TCP, first, last), None),
        Service::Udp { first, last } => (ports(UDP, first, last), None),
        Service::Proto(number) => {
            let known = match number {
                protocol::TCP => Some(ports(TCP, 0, u16::MAX)),
                protocol::UDP => Some(ports(UDP, 0, u16::MAX)),
                protocol::ICMP => Some(Span::one(ICMP)),
                protocol::ICMPV6 => Some(Span::one(ICMPV6)),
                _ => None,
            };
            (Span::one(OPAQUE | Point::from(number)), known)
        }
    };
    std::iter::once(span).chain(other)
}
