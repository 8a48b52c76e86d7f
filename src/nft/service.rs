//! The services of a rule, as the kernel can match them in one family.

use super::reach::Family;
use super::schema::{Expression, Item, Statement};
use crate::packet::protocol;
use crate::roster::Service;

/// Ports, or protocols, up to this many are each matched by a rule of the kernel's.
const APART_MAX: usize = 4;

/// In order, apart from each other, and none twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Services {
    pub(super) is_any: bool,
    pub(super) tcp: Vec<[u16; 2]>,
    pub(super) udp: Vec<[u16; 2]>,
    /// Protocols whatever their ports, known or not.
    pub(super) protocols: Vec<u8>,
}

impl Services {
    pub(super) fn new(written: &[Service], family: Family) -> Self {
        let mut services = Self::default();
        for service in written {
            match *service {
                Service::Any => return Self { is_any: true, ..Self::default() },
                Service::Tcp { first, last } => services.tcp.push([first, last]),
                Service::Udp { first, last } => services.udp.push([first, last]),
                Service::Proto(number) => services.protocols.push(number),
                Service::Icmp => services.protocols.push(icmp(family)),
            }
        }
        services.protocols.sort_unstable();
        services.protocols.dedup();
        for (number, ports) in [(protocol::TCP, &mut services.tcp), (protocol::UDP, &mut services.udp)] {
            if services.protocols.contains(&number) {
                ports.clear();
            }
            ports.sort_unstable();
            ports.dedup_by(|next, before| {
                let touch = u32::from(next[0]) <= u32::from(before[1]) + 1;
                if touch {
                    before[1] = before[1].max(next[1]);
                }
                touch
            });
        }
        services
    }

    /// Ports with their protocol.
    pub(super) fn ports(&self) -> impl Iterator<Item = (u8, [u16; 2])> {
        let tcp = self.tcp.iter().map(|&ports| (protocol::TCP, ports));
        tcp.chain(self.udp.iter().map(|&ports| (protocol::UDP, ports)))
    }

    pub(super) fn len(&self) -> usize {
        self.tcp.len() + self.udp.len() + self.protocols.len()
    }

    /// One match for each rule of the kernel's that these services take; no packet fits two of them.
    pub(super) fn matches(&self) -> Vec<Option<Statement>> {
        if self.is_any {
            return vec![None];
        }
        let mut matches = Vec::new();
        for (protocol, ports) in [("tcp", &self.tcp), ("udp", &self.udp)] {
            let ports = ports.iter().map(|&ports| port(ports)).collect();
            matches.extend(each_or_all(&Expression::Payload { protocol, field: "dport" }, ports));
        }
        let protocols = self.protocols.iter().map(|&number| Expression::Number(number.into())).collect();
        matches.extend(each_or_all(&Expression::Meta { key: "l4proto" }, protocols));
        matches.into_iter().map(Some).collect()
    }
}

/// ICMP of the family.
pub(super) fn icmp(family: Family) -> u8 {
    match family {
        Family::V4 => protocol::ICMP,
        Family::V6 => protocol::ICMPV6,
    }
}

pub(super) fn port([first, last]: [u16; 2]) -> Expression {
    if first == last { Expression::Number(first.into()) } else { Expression::Range([first, last]) }
}

/// A few are matched one by one: to name an anonymous set the kernel walks over all the sets of the table, so that
/// thousands of them take seconds to load.
fn each_or_all(left: &Expression, values: Vec<Expression>) -> Vec<Statement> {
    if values.len() > APART_MAX {
        return one_of(left.clone(), values.into_iter().map(Item::Element).collect()).into_iter().collect();
    }
    let each = |right| Statement::Match { op: "==", left: left.clone(), right };
    values.into_iter().map(each).collect()
}

/// That something is one of these; `None` where there are none.
pub(super) fn one_of(left: Expression, mut items: Vec<Item>) -> Option<Statement> {
    let right = match items.as_slice() {
        [] => return None,
        [Item::Element(_)] => match items.pop() {
            Some(Item::Element(only)) => only,
            _ => return None,
        },
        _ => Expression::Set(items),
    };
    Some(Statement::Match { op: "==", left, right })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(texts: &[&str]) -> Services {
        let written: Vec<Service> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Services::new(&written, Family::V6)
    }

    #[test]
    fn ports_that_touch_are_one_range() {
        assert_eq!(services(&["tcp/20", "tcp/30-40", "tcp/21", "tcp/35-50"]).tcp, [[20, 21], [30, 50]]);
        assert_eq!(services(&["udp/65535", "udp/0-65534"]).udp, [[0, 65535]]);
    }

    #[test]
    fn a_protocol_takes_its_ports_in() {
        let both = services(&["tcp/20", "proto/6", "icmp"]);
        assert!(both.tcp.is_empty());
        assert_eq!(both.protocols, [6, 58]);
        assert!(services(&["tcp/1", "any"]).is_any);
    }
}
