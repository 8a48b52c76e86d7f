//! What stands at a roster's top: the owner, its serial and claim, its friends, its tests.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnetwork::{IpNetwork, Ipv4Network};
use toml::de::DeValue;

use super::super::selector::{CidrError, parse_cidr};
use super::super::{Expect, Friend, Line, Party, TestCase};
use super::checker::{Checker, Fields, quoted};
use super::lists::tables;
use super::policy::Policies;
use crate::base::Name;
use crate::base::signify::OwnerKey;

const FRIEND_KEYS: &[&str] = &["owner", "key", "ipv4"];
const TEST_KEYS: &[&str] = &["from", "to", "service", "expect"];
const FRIENDS_MAX: usize = 1000;
const GRANTS_MAX: usize = 64;
/// Tests, each service of each counted: all are judged whenever a roster changes.
const TESTS_MAX: usize = 10_000;

/// What names and bounds everything else.
#[derive(Debug)]
pub(super) struct Head {
    pub owner: Option<Name>,
    pub serial: Option<u64>,
    pub claim: Option<Ipv4Network>,
}

/// Stands in for a missing name while the rest is looked at.
pub(super) fn placeholder() -> Name {
    "unnamed".parse().unwrap_or_else(|_| unreachable!("\"unnamed\" is a name"))
}

pub(super) fn head(top: Fields<'_>, c: &mut Checker<'_>) -> Head {
    let owner = c.required::<Name>(top, "owner", "write owner = \"your-name\" in the first line");
    c.require(top, "serial", "write serial = 1; it goes up with every signing");
    let claim = c.text(top, "ipv4").and_then(|(text, line)| claim(text, line, "ipv4", c));
    Head { owner: owner.map(|(owner, _)| owner), serial: serial(top, c), claim }
}

fn serial(top: Fields<'_>, c: &mut Checker<'_>) -> Option<u64> {
    let value = top.table.get("serial")?;
    // TOML's integers end at 2^63 - 1 (TOML 1.0, "Integer"), so that every tool reads the same.
    if let DeValue::Integer(number) = value.get_ref()
        && let Ok(serial) = i64::from_str_radix(number.as_str(), number.radix())
        && let Ok(serial) = u64::try_from(serial)
        && serial > 0
    {
        return Some(serial);
    }
    let found = match value.get_ref() {
        DeValue::Integer(number) => quoted(number.as_str()),
        other => other.type_str().to_owned(),
    };
    let mend = "write a whole number from 1, higher than the last one signed";
    c.fault(c.line_of(value), format!("`serial` is no serial: {found}"), mend);
    None
}

/// A claim or a grant of IPv4.
fn claim(text: &str, line: Line, key: &str, c: &mut Checker<'_>) -> Option<Ipv4Network> {
    let mend = match parse_cidr(text) {
        Ok(IpNetwork::V4(prefix)) => match reserved(prefix) {
            None => return Some(prefix),
            Some(what) => {
                format!("{what} can't be claimed; choose one of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16")
            }
        },
        Err(CidrError::HostBits(prefix)) => format!("write {prefix}"),
        _ => "write a prefix such as \"10.88.0.0/16\"".into(),
    };
    c.fault(line, format!("`{key}` {} is no prefix that an owner can have", quoted(text)), mend);
    None
}

/// What no node can have as an address (RFC 6890): the first such part that the prefix meets.
fn reserved(prefix: Ipv4Network) -> Option<&'static str> {
    const RESERVED: [(Ipv4Addr, u8, &str); 5] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8, "0.0.0.0/8 (this network)"),
        (Ipv4Addr::new(127, 0, 0, 0), 8, "127.0.0.0/8 (loopback)"),
        (Ipv4Addr::new(169, 254, 0, 0), 16, "169.254.0.0/16 (link-local)"),
        (Ipv4Addr::new(224, 0, 0, 0), 4, "224.0.0.0/4 (multicast)"),
        (Ipv4Addr::new(240, 0, 0, 0), 4, "240.0.0.0/4 (reserved)"),
    ];
    RESERVED.into_iter().find_map(|(network, length, what)| {
        let reserved = Ipv4Network::new(network, length).ok()?;
        (reserved.contains(prefix.network()) || prefix.contains(network)).then_some(what)
    })
}

/// The friends, and the line of each by name.
pub(super) fn friends(
    top: Fields<'_>,
    own: &Name,
    c: &mut Checker<'_>,
) -> (Vec<Friend>, BTreeMap<Name, Line>) {
    let tables = tables(top, "friend", "a friend", c);
    if tables.len() > FRIENDS_MAX {
        c.fault(tables[FRIENDS_MAX].line, format!("more than {FRIENDS_MAX} friends"), "leave some out");
    }
    let mut friends: Vec<Friend> = Vec::new();
    let mut lines = BTreeMap::new();
    let mut keys: hashbrown::HashMap<OwnerKey, Line> = hashbrown::HashMap::new();
    for fields in tables.into_iter().take(FRIENDS_MAX) {
        c.refuse_unknown(fields, FRIEND_KEYS);
        let owner = c.name(fields, "owner").and_then(|(owner, line)| {
            let (what, mend) = if owner == *own {
                (format!("the friend \"{owner}\" is this roster's own owner"), "leave it out")
            } else if let Some(first) = lines.get(&owner) {
                (format!("the friend \"{owner}\" is there twice; first in line {first}"), "make one of them")
            } else {
                lines.insert(owner.clone(), line);
                return Some(owner);
            };
            c.fault(line, what, mend);
            None
        });
        let key =
            c.required::<OwnerKey>(fields, "key", "write the base64 line of the friend's .pub file, RWQ…");
        let key = key.and_then(|(key, line)| {
            if let Some(first) = keys.insert(key, line) {
                c.fault(
                    line,
                    format!("the key {key} is there twice; first in line {first}"),
                    "each owner has its own",
                );
                return None;
            }
            Some(key)
        });
        let texts = c.texts(fields, "ipv4", GRANTS_MAX).unwrap_or_default();
        let ipv4 = texts.into_iter().filter_map(|(text, line)| claim(text, line, "ipv4", c)).collect();
        if let (Some(owner), Some(key)) = (owner, key) {
            friends.push(Friend { owner, key, ipv4, line: fields.line });
        }
    }
    (friends, lines)
}

/// `[[test]]`: one per service.
pub(super) fn tests(top: Fields<'_>, policies: &mut Policies, c: &mut Checker<'_>) -> Vec<TestCase> {
    let mut tests = Vec::new();
    for fields in tables(top, "test", "a test", c) {
        c.refuse_unknown(fields, TEST_KEYS);
        let mend = "write a node's path, an address, or \"internet\"";
        let from = c.required::<Party>(fields, "from", mend);
        let to = c.required::<Party>(fields, "to", mend);
        c.require(fields, "service", "write service = \"tcp/445\"");
        let services = policies.services(fields, "service", c);
        let expect = expect(fields, c);
        if let (Some((from, _)), Some((to, _)), Some(services), Some(expect)) = (from, to, services, expect) {
            if tests.len() + services.len() > TESTS_MAX {
                c.fault(
                    fields.line,
                    format!("more than {TESTS_MAX} tests"),
                    "keep those that would hurt to lose",
                );
                break;
            }
            tests.extend(services.into_iter().map(|service| TestCase {
                from: from.clone(),
                to: to.clone(),
                service,
                expect,
                line: fields.line,
            }));
        }
    }
    tests
}

fn expect(fields: Fields<'_>, c: &mut Checker<'_>) -> Option<Expect> {
    let mend = "write expect = \"allow\" or \"deny\"";
    c.require(fields, "expect", mend);
    match c.text(fields, "expect")? {
        ("allow", _) => Some(Expect::Allow),
        ("deny", _) => Some(Expect::Deny),
        (other, line) => {
            c.fault(line, format!("`expect` {} is no verdict", quoted(other)), mend);
            None
        }
    }
}
