//! The three ways to make a gateway read its rosters again.
//!
//! ```text
//!   gw (vpmesh)      room attic, owner alice; its rosters' folder
//! ```

use crate::lab::owner::Signed;
use crate::lab::process::Signal;
use crate::lab::{Attic, Gateway, Internet, Lab, Owner, Room};

struct World {
    alice: Owner,
    gateway: Gateway,
    _internet: Internet,
    lab: Lab,
}

impl World {
    fn new() -> Self {
        let Attic { alice, gateway, internet, lab } = Attic::new(Lab::new());
        let mut world = Self { alice, gateway, _internet: internet, lab };
        let roster = world.roster("tcp/22");
        world.gateway.start_with(&world.lab, &[&roster]);
        world.shows("tcp/22", "tcp/23");
        world
    }

    /// A roster whose owner lets one service out.
    fn roster(&self, service: &str) -> Signed {
        let room = Room::new("attic").gateway(&self.gateway);
        self.alice.sign(&format_args!("egress = [{{ allow = \"{service}\", to = \"internet\" }}]\n{room}"))
    }

    fn shows(&self, allowed: &str, denied: &str) {
        self.gateway.wait_for_verdict("alice/attic/gw", "internet", allowed, true);
        self.gateway.wait_for_verdict("alice/attic/gw", "internet", denied, false);
    }
}

#[test]
fn a_reload_comes_by_command() {
    let world = World::new();
    world.gateway.reload(&[&world.roster("tcp/23")]);
    world.shows("tcp/23", "tcp/22");
}

#[test]
fn a_reload_comes_by_signal() {
    let world = World::new();
    world.gateway.take(&[&world.roster("tcp/23")]);
    world.gateway.signal(Signal::Hangup);
    world.shows("tcp/23", "tcp/22");
}

#[test]
fn a_reload_comes_by_a_changed_file() {
    let world = World::new();
    world.gateway.take(&[&world.roster("tcp/23")]);
    world.shows("tcp/23", "tcp/22");
}
