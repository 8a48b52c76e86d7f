//! Lists that a node writes: its tags, its endpoints, and the tables inside it.

use super::super::Endpoint;
use super::checker::{Checker, Fields, quoted};
use crate::base::Name;

const TAGS_MAX: usize = 64;
const ENDPOINTS_MAX: usize = 16;

/// The tables of a list that may be absent.
pub(super) fn tables<'t>(
    fields: Fields<'t>,
    key: &str,
    kind: &'static str,
    c: &mut Checker<'_>,
) -> Vec<Fields<'t>> {
    c.tables(fields, key, kind).map(|(_, tables)| tables).unwrap_or_default()
}

pub(super) fn tags(fields: Fields<'_>, c: &mut Checker<'_>) -> Vec<Name> {
    let mut tags: Vec<Name> = Vec::new();
    for (text, line) in c.texts(fields, "tags", TAGS_MAX).unwrap_or_default() {
        match text.parse::<Name>() {
            Ok(tag) if tags.contains(&tag) => {
                c.fault(line, format!("the tag \"{tag}\" is there twice"), "write it once");
            }
            Ok(tag) => tags.push(tag),
            Err(error) => {
                c.fault(
                    line,
                    format!("the tag {} {error}", quoted(text)),
                    "write tags = [\"shared\"], without `tag:`",
                );
            }
        }
    }
    tags
}

pub(super) fn endpoints(fields: Fields<'_>, c: &mut Checker<'_>) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (text, line) in c.texts(fields, "endpoints", ENDPOINTS_MAX).unwrap_or_default() {
        match text.parse::<Endpoint>() {
            Ok(endpoint) if endpoints.contains(&endpoint) => {
                c.fault(line, format!("the endpoint {endpoint} is there twice"), "write it once");
            }
            Ok(endpoint) => endpoints.push(endpoint),
            Err(error) => {
                let mend = "write HOST:PORT, such as \"attic.example.net:51888\" or \"[2001:db8::1]:51888\"";
                c.fault(line, format!("the endpoint {} {error}", quoted(text)), mend);
            }
        }
    }
    endpoints
}
