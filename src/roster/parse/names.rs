//! Whether what rules and tests name is there.
//!
//! A `deny` that names nobody denies nobody, so a path or owner that can match nothing is a fault. Only what this
//! roster knows is looked up: its own places, its friends. What is inside a friend is the friend's.

use std::hash::{BuildHasher, RandomState};

use hashbrown::{HashMap, HashSet};

use super::super::{Line, Party, Roster, Selector};
use super::checker::Checker;
use super::policy::Seen;
use super::suggest;
use crate::base::{Name, NodePath};

/// How many segments of a path are set, and which: bit 0 is the owner.
type Shape = (usize, u8);

pub(super) fn check(roster: &Roster, seen: &[Seen], c: &mut Checker<'_>) {
    let places = Places::new(roster);
    let mut shapes: HashMap<Shape, HashSet<u64>> = HashMap::new();
    for Seen { selector, line } in seen {
        if c.is_full() {
            return;
        }
        match selector {
            Selector::Path(path) => {
                let Some(owner) = path.first().and_then(Option::as_ref) else { continue };
                if known_owner(&places, owner, *line, c) && *owner == roster.owner {
                    let shape = shape_of(path);
                    let matching = shapes.entry(shape).or_insert_with(|| places.hashes(shape));
                    if !matching.contains(&places.hash(path.iter().map(Option::as_ref))) {
                        places.fault(path, *line, c);
                    }
                }
            }
            Selector::Tag { owner, tag }
                if known_owner(&places, owner, *line, c)
                    && *owner == roster.owner
                    && !places.tags.contains(tag) =>
            {
                let mend = match suggest::nearest(tag.as_str(), places.tags.iter().map(|tag| tag.as_str())) {
                    Some(near) => format!("did you mean `tag:{near}`?"),
                    None => format!("write tags = [\"{tag}\"] where it belongs"),
                };
                c.note(*line, format!("`tag:{tag}` is on no node"), mend);
            }
            _ => {}
        }
    }
    let ends = roster.tests.iter().flat_map(|test| [(&test.from, test.line), (&test.to, test.line)]);
    // A test of several services stands here several times.
    let mut told = HashSet::new();
    for (party, line) in ends {
        let Party::Node(path) = party else { continue };
        if c.is_full() {
            return;
        }
        if told.insert((path, line))
            && known_owner(&places, path.owner(), line, c)
            && *path.owner() == roster.owner
        {
            let segments: Vec<_> = path.segments().iter().cloned().map(Some).collect();
            let shape = shape_of(&segments);
            let matching = shapes.entry(shape).or_insert_with(|| places.hashes(shape));
            if !matching.contains(&places.hash(segments.iter().map(Option::as_ref))) {
                places.fault(&segments, line, c);
            } else if !places.is_node(path) {
                let mend = "name a station, gateway, application or guest";
                c.fault(line, format!("the test's \"{path}\" has no address of its own"), mend);
            }
        }
    }
}

/// Whether rules can mean this owner at all.
fn known_owner(places: &Places<'_>, owner: &Name, line: Line, c: &mut Checker<'_>) -> bool {
    let is_known = places.owners.contains(owner);
    if !is_known {
        let mend = match suggest::nearest(owner.as_str(), places.owners.iter().map(|name| name.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare [[friend]] owner = \"{owner}\""),
        };
        c.fault(line, format!("\"{owner}\" is neither this roster's owner nor a friend"), mend);
    }
    is_known
}

fn shape_of(path: &[Option<Name>]) -> Shape {
    let mask = path.iter().enumerate().fold(0, |mask, (i, segment)| mask | u8::from(segment.is_some()) << i);
    (path.len(), mask)
}

/// The roster's own places.
struct Places<'r> {
    roster: &'r Roster,
    /// This roster's owner and its friends.
    owners: HashSet<&'r Name>,
    /// Every place's segments.
    paths: Vec<Vec<&'r Name>>,
    guests: HashSet<&'r Name>,
    tags: HashSet<&'r Name>,
    hasher: RandomState,
}

impl<'r> Places<'r> {
    fn new(roster: &'r Roster) -> Self {
        let own = &roster.owner;
        let mut paths = vec![vec![own]];
        let (mut tags, mut guests) = (HashSet::new(), HashSet::new());
        let owners = std::iter::once(own).chain(roster.friends.iter().map(|friend| &friend.owner)).collect();
        for room in &roster.rooms {
            paths.push(vec![own, &room.name]);
            let gateways = room.gateways.iter().map(|g| (&g.name, &g.tags, &g.applications));
            let stations = room.stations.iter().map(|s| (&s.name, &s.tags, &s.applications));
            for (name, station_tags, applications) in gateways.chain(stations) {
                paths.push(vec![own, &room.name, name]);
                tags.extend(station_tags);
                for application in applications {
                    paths.push(vec![own, &room.name, name, &application.name]);
                    tags.extend(&application.tags);
                }
            }
        }
        for guest in &roster.guests {
            paths.push(vec![own, &guest.application.name]);
            guests.insert(&guest.application.name);
            tags.extend(&guest.application.tags);
        }
        Self { roster, owners, paths, guests, tags, hasher: RandomState::new() }
    }

    fn hash<'n>(&self, path: impl Iterator<Item = Option<&'n Name>>) -> u64 {
        self.hasher.hash_one(path.map(|segment| segment.map_or("*", Name::as_str)).collect::<Vec<_>>())
    }

    /// The hashes of all places as paths of this shape see them. One pass for all selectors of a shape, of which
    /// there are fifteen: looking through the places for each selector would take the square of the file's size.
    fn hashes(&self, (length, mask): Shape) -> HashSet<u64> {
        let same_length = self.paths.iter().filter(|path| path.len() == length);
        same_length
            .map(|path| {
                self.hash(path.iter().enumerate().map(|(i, name)| (mask & 1 << i != 0).then_some(*name)))
            })
            .collect()
    }

    /// Whether a place has an address: packets come from it and go to it.
    fn is_node(&self, path: &NodePath) -> bool {
        match path.segments() {
            [_, name] => self.guests.contains(name),
            segments => segments.len() > 2,
        }
    }

    fn fault(&self, path: &[Option<Name>], line: Line, c: &mut Checker<'_>) {
        let text = Selector::Path(path.to_vec()).to_string();
        let same_length = self.paths.iter().filter(|place| place.len() == path.len());
        let texts =
            same_length.map(|place| place.iter().map(|name| name.as_str()).collect::<Vec<_>>().join("/"));
        let mend = if let Some(owner) = self.hosted_at(path) {
            format!(
                "a guest answers to its own owner's name: write {owner}/{}",
                &text[text.rfind('/').map_or(0, |i| i + 1)..]
            )
        } else if self
            .roster
            .relays
            .iter()
            .any(|relay| path.len() == 2 && path[1].as_ref() == Some(&relay.name))
        {
            "a relay takes part in no flow".into()
        } else {
            match suggest::nearest(&text, texts) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name one that is there, or leave it out".into(),
            }
        };
        c.fault(line, format!("\"{text}\" is no place in this roster"), mend);
    }

    /// The owner of the guest whose place this is.
    fn hosted_at(&self, path: &[Option<Name>]) -> Option<&'r Name> {
        let [_, Some(room), Some(station), Some(name)] = path else { return None };
        let room = self.roster.rooms.iter().find(|r| r.name == *room)?;
        let gateways = room.gateways.iter().map(|g| (&g.name, &g.hosted));
        let stations = room.stations.iter().map(|s| (&s.name, &s.hosted));
        let (_, hosted) = gateways.chain(stations).find(|(host, _)| *host == station)?;
        hosted.iter().find(|guest| guest.name == *name).map(|guest| &guest.owner)
    }
}
