//! Two owners with rooms, stations and rules, of any size, and flows between them.

use std::net::{IpAddr, Ipv4Addr};

use vpmesh::base::signify::OwnerSecret;
use vpmesh::packet::craft::Craft;
use vpmesh::roster::{self, Model};

const OWNERS: [&str; 2] = ["alice", "bob"];
const ROOM: usize = 25;
/// One flow in so many asks for a port that nobody opened.
const DENIED: usize = 8;

pub struct Town {
    /// Stations of each owner.
    stations: usize,
}

impl Town {
    pub fn new(nodes: usize) -> Self {
        Self { stations: nodes / OWNERS.len() }
    }

    pub fn model(&self) -> anyhow::Result<Model> {
        let secret = |owner: usize| OwnerSecret::from_seed([1; 8], &[owner as u8 + 1; 32]);
        let mut parsed = Vec::new();
        for (owner, name) in OWNERS.into_iter().enumerate() {
            let text = self.roster(owner, &secret(1 - owner).public().to_string());
            let roster = roster::parse(name, text.as_bytes())?;
            parsed.push((roster.into(), secret(owner).public()));
        }
        let joined = Model::join(&parsed)?;
        anyhow::ensure!(joined.refused.is_empty(), "{:?}", joined.refused);
        Ok(joined.model)
    }

    fn roster(&self, owner: usize, friend_key: &str) -> String {
        let (name, friend) = (OWNERS[owner], OWNERS[1 - owner]);
        let rule = |i| format!("{{ allow = \"tcp/{}\", to = \"{}\" }},", port(i), path(owner, i));
        let rules: String = (0..self.stations).map(rule).collect();
        let rooms: String = (0..self.rooms()).map(|room| self.room(owner, room)).collect();
        let (claim, friends) = (prefix(owner), prefix(1 - owner));
        format!(
            "owner = \"{name}\"\n\
             serial = 1\n\
             ipv4 = \"{claim}\"\n\
             egress = [{{ allow = \"any\", to = \"{friend}\" }}]\n\
             ingress = [{rules}]\n\
             [[friend]]\n\
             owner = \"{friend}\"\n\
             key = \"{friend_key}\"\n\
             ipv4 = [\"{friends}\"]\n\
             {rooms}"
        )
    }

    fn room(&self, owner: usize, room: usize) -> String {
        let friend = OWNERS[1 - owner];
        let inside = || (room * ROOM..self.stations).take(ROOM);
        let rule = |i| {
            let (port, from, to) = (port(i), self.visitors(i), path(owner, i));
            format!("{{ allow = \"tcp/{port}\", from = \"{friend}/room{from}\", to = \"{to}\" }},")
        };
        let rules: String = inside().map(rule).collect();
        let stations: String = inside().map(|i| station(owner, i)).collect();
        format!("[[room]]\nname = \"room{room}\"\ningress = [{rules}]\n{stations}")
    }

    fn rooms(&self) -> usize {
        self.stations.div_ceil(ROOM)
    }

    /// The friend's room that may ask station `i`.
    fn visitors(&self, i: usize) -> usize {
        i * 7 % self.rooms()
    }

    /// The SYN of flow `number`, and whether it is to pass.
    pub fn first_packet(&self, number: usize) -> (Vec<u8>, bool) {
        // A prime visits everybody, in no order.
        let (owner, to) = (number % 2, number / 2 * 7_919 % self.stations);
        let from = (self.visitors(to) * ROOM + number / 3 % ROOM).min(self.stations - 1);
        let is_allowed = !number.is_multiple_of(DENIED);
        let port = if is_allowed { port(to) } else { port(to) + 1 };
        let packet = Craft::between(address(1 - owner, from), address(owner, to)).syn(40_000, port);
        (packet, is_allowed)
    }
}

fn station(owner: usize, i: usize) -> String {
    let (friend, address, port) = (OWNERS[1 - owner], address(owner, i), port(i));
    let unloved = path(1 - owner, i);
    format!(
        "[[room.station]]\n\
         name = \"n{i}\"\n\
         lan = true\n\
         ipv4 = \"{address}\"\n\
         egress = [{{ allow = \"tcp/1024-65535\", to = \"{friend}\" }}]\n\
         ingress = [{{ allow = \"tcp/{port}\", from = \"{friend}\" }}, {{ deny = \"tcp/22\", from = \"{unloved}\" }}]\n"
    )
}

fn path(owner: usize, i: usize) -> String {
    format!("{}/room{}/n{i}", OWNERS[owner], i / ROOM)
}

/// What station `i` offers.
fn port(i: usize) -> u16 {
    2_000 + 2 * (i % 30_000) as u16
}

fn prefix(owner: usize) -> String {
    format!("10.{}.0.0/16", 88 + owner)
}

fn address(owner: usize, i: usize) -> IpAddr {
    Ipv4Addr::new(10, 88 + owner as u8, (i / 250 + 1) as u8, (i % 250 + 1) as u8).into()
}
