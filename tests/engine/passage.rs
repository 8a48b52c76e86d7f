//! Where UDP is blocked: a passage is asked for, used, and given up. The connections are played.

use std::time::Duration;

use vpmesh::base::VirtualEndpoint;
use vpmesh::engine::{Event, Now, Outbox};

use crate::town::Town;
use crate::town::gateway::datagram;
use crate::town::roster::Roster;

const GW: &str = "alice/attic/gw";

/// `gw` alone: nobody is at the hub's endpoint.
fn town() -> Town {
    let alice = Roster::of("alice").room("attic").gateway("gw").room("cellar").gateway("hub").at(9);
    Town::new(&[("alice", &alice.text())], &[GW], &[])
}

/// What `gw` asks for and where it sends, until so many milliseconds have passed.
fn run(town: &mut Town, milliseconds: u64) -> (Vec<Event>, Vec<std::net::SocketAddr>) {
    let (mut events, mut sent) = (Vec::new(), Vec::new());
    for _ in 0..milliseconds / 50 {
        town.now = Now { instant: town.now.instant + Duration::from_millis(50), ..town.now };
        let now = town.now;
        let mut out = Outbox::with_capacity(1 << 16, 1 << 16);
        let engine = &mut town.gateway(GW).engine;
        engine.handle_timeout(now, &mut out);
        sent.extend(out.transmits().map(|transmit| transmit.destination));
        events.extend(std::iter::from_fn(|| engine.poll_event()));
    }
    (events, sent)
}

fn dials(events: &[Event]) -> Vec<String> {
    let host = |event: &Event| match event {
        Event::Dial { endpoints, .. } => Some(endpoints[0].to_string()),
        _ => None,
    };
    events.iter().filter_map(host).collect()
}

#[test]
fn a_gateway_that_does_not_answer_is_dialled_and_spoken_to_through_what_answers() {
    let mut town = town();
    let (events, _) = run(&mut town, 1_000);
    assert_eq!(dials(&events), ["203.0.113.9:51888"]);
    let Some(Event::Dial { peer, .. }) = events.iter().find(|event| matches!(event, Event::Dial { .. }))
    else {
        panic!()
    };
    let passage = VirtualEndpoint::Tls { connection: 0 }.address();
    let now = town.now;
    town.gateway(GW).engine.handle_dialled(*peer, Some(passage), now);
    let (events, sent) = run(&mut town, 1_000);
    assert!(sent.contains(&passage), "{sent:?}");
    assert!(dials(&events).is_empty(), "one is enough");
    let now = town.now;
    town.gateway(GW).engine.handle_hung_up(passage, now);
    let (_, sent) = run(&mut town, 6_000);
    assert!(!sent.contains(&passage), "{sent:?}");
}

#[test]
fn a_gateway_that_nobody_answers_for_is_dialled_with_longer_and_longer_pauses() {
    let mut town = town();
    let mut counts = Vec::new();
    for _ in 0..4 {
        let mut dialled = 0;
        for _ in 0..60 {
            let (events, _) = run(&mut town, 1_000);
            for event in events {
                if let Event::Dial { peer, .. } = event {
                    dialled += 1;
                    let now = town.now;
                    town.gateway(GW).engine.handle_dialled(peer, None, now);
                }
            }
        }
        counts.push(dialled);
    }
    assert!(counts[0] <= 5 && counts[3] <= 1, "{counts:?}");
}

#[test]
fn nobody_else_speaks_from_an_address_that_no_host_has() {
    let mut town = town();
    let now = town.now;
    let engine = &mut town.gateway(GW).engine;
    let source = VirtualEndpoint::Tls { connection: 0 }.address();
    let mut out = Outbox::with_capacity(1 << 16, 1 << 16);
    let mut bytes = [1; 148];
    engine.handle_udp(&mut [datagram(source, &mut bytes)], now, &mut out);
    assert_eq!(engine.status(now).drops.get("virtual_source"), Some(&1));
    engine.handle_passage(&mut [datagram(source, &mut bytes)], now, &mut out);
    assert_eq!(engine.status(now).drops.get("virtual_source"), Some(&1));
}
