//! A roster's text changed in place: what a person wrote stays as it is, comments and all.
//!
//! Changes are made to the text, at places that the TOML reader found; nothing is written out from a parsed value.
//! Whoever calls parses the result, which says whether the change was a good one.

use std::net::Ipv4Addr;
use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml_parser::parser::{Event, EventKind};
use toml_parser::{ParseError, Source};

use super::Line;
use crate::base::{Name, PublicKey};

/// Why a text can't be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("is not TOML; `vpmesh check` says where")]
    NotToml,
    #[error("has no `serial`; write serial = 1 at the top")]
    NoSerial,
    #[error("has no room \"{0}\"; write [[room]] name = \"{0}\" first")]
    NoRoom(Name),
    #[error("has the room \"{0}\" written as room = […]; write the station by hand")]
    Inline(Name),
}

/// A station to be written.
#[derive(Debug, Clone)]
pub struct NewStation {
    pub name: Name,
    /// `None`: attached by lan.
    pub key: Option<PublicKey>,
    pub ipv4: Option<Ipv4Addr>,
    pub tags: Vec<Name>,
}

/// The text with another serial.
///
/// # Errors
/// When there is no serial in it.
pub fn set_serial(text: &str, serial: u64) -> Result<String, EditError> {
    let table = DeTable::parse(text).map_err(|_| EditError::NotToml)?.into_inner();
    let span = table.get("serial").ok_or(EditError::NoSerial)?.span();
    Ok(replaced(text, span, &serial.to_string()))
}

/// The text with one more station at the end of a room, and the line where the station begins.
///
/// # Errors
/// When the room is not there, or not written as `[[room]]`.
pub fn add_station(text: &str, room: &Name, station: &NewStation) -> Result<(String, Line), EditError> {
    let number = room_number(text, room)?;
    let headers = headers(text);
    let mut rooms = headers.iter().enumerate().filter(|(_, header)| header.is_room());
    let (index, header) = rooms.nth(number).ok_or_else(|| EditError::Inline(room.clone()))?;
    let inside = headers[index + 1..].iter().take_while(|header| header.is_in_room());
    let end = headers[index + 1..].iter().find(|header| !header.is_in_room()).map_or(text.len(), |h| h.start);
    // As deep as the stations or gateways that are there.
    let example = inside.clone().find(|h| h.path == ["room", "station"]);
    let example = example.or_else(|| inside.clone().find(|h| h.path.len() == 2));
    let indent = match example {
        Some(example) => indent(text, example.start).to_owned(),
        None => indent(text, header.start).to_owned() + "  ",
    };
    let at = after_last_line(text, end);
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let before = &text[..at];
    let mut block = String::new();
    if !before.is_empty() && !before.ends_with('\n') {
        block += newline;
    }
    block += newline;
    let line = before.matches('\n').count() + block.matches('\n').count() + 1;
    for written in lines(station) {
        block += &format!("{indent}{written}{newline}");
    }
    let next_is_blank = text[at..].is_empty() || text[at..].starts_with(['\n', '\r']);
    if !next_is_blank {
        block += newline;
    }
    Ok((replaced(text, at..at, &block), Line(u32::try_from(line).unwrap_or(u32::MAX))))
}

fn lines(station: &NewStation) -> Vec<String> {
    let NewStation { name, key, ipv4, tags } = station;
    let mut lines = vec!["[[room.station]]".to_owned(), format!("name = \"{name}\"")];
    lines.push(match key {
        Some(key) => format!("key  = \"{key}\""),
        None => "lan  = true".to_owned(),
    });
    lines.extend(ipv4.map(|ipv4| format!("ipv4 = \"{ipv4}\"")));
    if !tags.is_empty() {
        let tags: Vec<_> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
        lines.push(format!("tags = [{}]", tags.join(", ")));
    }
    lines
}

/// Which of the rooms has the name, from 0.
fn room_number(text: &str, name: &Name) -> Result<usize, EditError> {
    let table = DeTable::parse(text).map_err(|_| EditError::NotToml)?.into_inner();
    let rooms = table.get("room").and_then(|rooms| rooms.get_ref().as_array());
    let is_it = |room: &toml::Spanned<DeValue<'_>>| {
        room.get_ref().get("name").and_then(|name| name.get_ref().as_str()) == Some(name.as_str())
    };
    rooms.and_then(|rooms| rooms.iter().position(is_it)).ok_or_else(|| EditError::NoRoom(name.clone()))
}

/// A `[header]` or `[[header]]`.
#[derive(Debug)]
struct Header {
    start: usize,
    path: Vec<String>,
    is_list: bool,
}

impl Header {
    fn is_room(&self) -> bool {
        self.is_list && self.path == ["room"]
    }

    fn is_in_room(&self) -> bool {
        self.path.len() > 1 && self.path[0] == "room"
    }
}

/// The headers of a text that parses.
fn headers(text: &str) -> Vec<Header> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut headers: Vec<Header> = Vec::new();
    let mut is_open = false;
    let mut see = |event: Event| match event.kind() {
        EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
            let is_list = event.kind() == EventKind::ArrayTableOpen;
            headers.push(Header { start: event.span().start(), path: Vec::new(), is_list });
            is_open = true;
        }
        EventKind::StdTableClose | EventKind::ArrayTableClose => is_open = false,
        EventKind::SimpleKey if is_open => {
            if let (Some(header), Some(raw)) = (headers.last_mut(), source.get(event)) {
                let mut key = std::borrow::Cow::Borrowed("");
                raw.decode_key(&mut key, &mut |_: ParseError| {});
                header.path.push(key.into_owned());
            }
        }
        _ => {}
    };
    toml_parser::parser::parse_document(&tokens, &mut see, &mut |_: ParseError| {});
    headers
}

/// Where the lines that say something end, before `end`: what follows is blank, or comments that belong to what
/// comes next. Comments right below the last line belong to it.
fn after_last_line(text: &str, end: usize) -> usize {
    // The header's own line begins after its indentation.
    let end = end - indent(text, end).len();
    let mut at = end;
    let mut best = end;
    for line in text[..end].split_inclusive('\n').rev() {
        let trimmed = line.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            break;
        }
        at -= line.len();
        if trimmed.is_empty() {
            best = at;
        }
    }
    best
}

/// The white space before an offset, back to the line's start.
fn indent(text: &str, offset: usize) -> &str {
    let line = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[line..offset];
    if before.trim().is_empty() { before } else { "" }
}

fn replaced(text: &str, span: Range<usize>, with: &str) -> String {
    let mut out = String::with_capacity(text.len() + with.len());
    out.push_str(&text[..span.start]);
    out.push_str(with);
    out.push_str(&text[span.end..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printer() -> NewStation {
        NewStation {
            name: "printer".parse().unwrap(),
            key: None,
            ipv4: None,
            tags: vec!["shared".parse().unwrap()],
        }
    }

    fn add(text: &str, room: &str) -> (String, u32) {
        let (text, line) = add_station(text, &room.parse().unwrap(), &printer()).unwrap();
        (text, line.0)
    }

    #[test]
    fn a_serial_changes_and_nothing_else_does() {
        let text = "# mine\nowner = \"a\"\nserial   =  7   # goes up\n";
        assert_eq!(set_serial(text, 10).unwrap(), "# mine\nowner = \"a\"\nserial   =  10   # goes up\n");
        assert_eq!(set_serial("x = 1", 10), Err(EditError::NoSerial));
        assert_eq!(set_serial("x", 10), Err(EditError::NotToml));
    }

    #[test]
    fn a_station_goes_to_the_end_of_its_room_and_comments_stay_where_they_belong() {
        let text = "[[room]]\nname = \"attic\"\n\n    [[room.station]]\n    name = \"nas\"\n    # of the nas\n\n\
                    # the cellar\n[[room]]\nname = \"cellar\"";
        let (attic, line) = add(text, "attic");
        assert_eq!(
            attic,
            "[[room]]\nname = \"attic\"\n\n    [[room.station]]\n    name = \"nas\"\n    # of the nas\n\n    \
             [[room.station]]\n    name = \"printer\"\n    lan  = true\n    tags = [\"shared\"]\n\n\
             # the cellar\n[[room]]\nname = \"cellar\""
        );
        assert_eq!((line, attic.lines().nth(7)), (8, Some("    [[room.station]]")));
        let (cellar, line) = add(text, "cellar");
        assert!(
            cellar.ends_with(
                "name = \"cellar\"\n\n  [[room.station]]\n  name = \"printer\"\n  lan  = true\n  tags = [\"shared\"]\n"
            ),
            "{cellar}"
        );
        assert_eq!(line, 12);
    }

    #[test]
    fn what_looks_like_a_header_in_a_text_is_none() {
        let text = "[[room]]\nname = \"attic\"\nnote = \"\"\"\n[[room]]\n\"\"\"\nlist = [\n  [\"relay\"],\n]\n[[relay]]\n";
        let (new, _) = add(text, "attic");
        assert!(new.ends_with("]\n\n  [[room.station]]\n  name = \"printer\"\n  lan  = true\n  tags = [\"shared\"]\n\n[[relay]]\n"), "{new}");
    }

    #[test]
    fn quoted_headers_windows_lines_and_missing_rooms_are_understood() {
        let (new, _) = add("[[\"room\"]]\r\nname = \"attic\"\r\n[\"room\".\"x\"]\r\n[relay]\r\n", "attic");
        assert!(new.ends_with("[\"room\".\"x\"]\r\n\r\n[[room.station]]\r\nname = \"printer\"\r\nlan  = true\r\ntags = [\"shared\"]\r\n\r\n[relay]\r\n"), "{new:?}");
        let refused = |text: &str| add_station(text, &"attic".parse().unwrap(), &printer()).unwrap_err();
        assert_eq!(refused("[[room]]\nname = \"hall\""), EditError::NoRoom("attic".parse().unwrap()));
        assert_eq!(refused("room = [{ name = \"attic\" }]"), EditError::Inline("attic".parse().unwrap()));
    }
}
