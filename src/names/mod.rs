//! The mesh's names in DNS: `alice/attic/laptop` is `laptop.attic.alice.mesh`.
//!
//! Every place of the rosters in force has its name; stations and applications have addresses. One domain is answered
//! for, to the host's own resolver (dnsmasq on a router) and nobody else: what is asked besides is refused. There are no
//! names for addresses, and none of hosts that no roster has.

mod message;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::base::Name;
use crate::roster::Model;

use message::{Kind, Query, Record};

/// Seconds that an answer may be kept: rosters are replaced, and addresses with them.
const KEPT: u32 = 30;

/// What one domain has.
#[derive(Debug, Default)]
pub struct Names {
    domain: String,
    /// By the name in front of the domain, as `laptop.attic.alice`.
    places: HashMap<String, Addresses>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Addresses {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl Names {
    #[must_use]
    pub fn of(model: &Model, domain: &str) -> Self {
        let places = model.nodes.iter().map(|node| {
            let labels: Vec<&str> = node.name.segments().iter().rev().map(Name::as_str).collect();
            (labels.join("."), Addresses { v4: node.ipv4, v6: node.ipv6 })
        });
        Self { domain: domain.to_owned(), places: places.collect() }
    }

    /// The answer to a question in DNS's bytes (RFC 1035); `None`: it is none, and silence is the answer.
    #[must_use]
    pub fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let query = Query::read(question)?;
        Some(match query.name() {
            Err(code) => query.refuse(code),
            Ok((name, kind)) => match self.place(&name) {
                None => query.refuse(message::REFUSED),
                Some(None) => query.refuse(message::NO_SUCH_NAME),
                Some(Some(place)) => query.answer(KEPT, place.records(kind)),
            },
        })
    }

    /// The place of a name in lower case; outside `None`: it is in another domain.
    fn place(&self, name: &str) -> Option<Option<Addresses>> {
        let inside = name.strip_suffix(self.domain.as_str()).filter(|_| !self.domain.is_empty())?;
        if inside.is_empty() {
            return Some(Some(Addresses { v4: None, v6: None }));
        }
        Some(self.places.get(inside.strip_suffix('.')?).copied())
    }
}

impl Addresses {
    fn records(self, kind: Kind) -> impl Iterator<Item = Record> {
        let v4 = self.v4.filter(|_| matches!(kind, Kind::V4 | Kind::Any)).map(Record::V4);
        let v6 = self.v6.filter(|_| matches!(kind, Kind::V6 | Kind::Any)).map(Record::V6);
        v4.into_iter().chain(v6)
    }
}

#[cfg(test)]
mod tests;
