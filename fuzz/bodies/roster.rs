//! Any bytes as a roster: it is refused with faults, or it joins to a model that can be judged by.

use std::net::IpAddr;
use std::sync::Arc;

use vpmesh::base::signify::OwnerSecret;
use vpmesh::policy::Judge;
use vpmesh::roster::model::NodeKind;
use vpmesh::roster::{Model, Party, parse};

pub fn run(data: &[u8]) {
    let roster = match parse::parse("fuzz.toml", data) {
        Ok(roster) => Arc::new(roster),
        Err(faults) => {
            assert!(!faults.0.is_empty(), "refused, and nobody knows why");
            assert!(!faults.to_string().is_empty());
            return;
        }
    };
    let key = OwnerSecret::from_seed([1; 8], &[7; 32]).public();
    let Ok(joined) = Model::join(&[(Arc::clone(&roster), key)]) else { return };
    let model = Arc::new(joined.model);
    check(&model);
    let judge = Judge::new(Arc::clone(&model));
    // Its own tests and one question about each pair of the first nodes are answered somehow.
    let _ = vpmesh::policy::trial::failures(&judge, &roster);
    let nodes = model.nodes.iter().filter(|node| node.ipv6.is_some()).take(4);
    let parties: Vec<_> = nodes.map(|node| Party::Node(node.name.clone())).chain([Party::Internet]).collect();
    for (from, to) in parties.iter().flat_map(|from| parties.iter().map(move |to| (from, to))) {
        for service in ["any", "tcp/22", "icmp", "proto/47"] {
            let Ok(service) = service.parse() else { continue };
            let _ = judge.ask(from, to, service);
        }
    }
}

/// What everything above the roster relies on.
fn check(model: &Model) {
    for (index, node) in model.nodes.iter().enumerate() {
        let id = index as u32;
        assert!(node.end.0 > id && node.end.0 as usize <= model.nodes.len());
        if let Some(parent) = node.parent {
            assert!(
                parent.0 < id && node.end.0 <= model.nodes[parent.0 as usize].end.0,
                "nodes are depth first"
            );
        }
        let owner = &model.owners[node.owner.0 as usize];
        if let Some(address) = node.ipv6 {
            assert!(owner.prefix6.contains(address), "an address outside of its owner's prefix");
        }
        if let Some(address) = node.ipv4 {
            assert!(owner.prefixes4.iter().any(|prefix| prefix.contains(address)));
        }
        let is_group = matches!(node.kind, NodeKind::Owner | NodeKind::Room { .. });
        let addresses = [node.ipv4.map(IpAddr::from), node.ipv6.map(IpAddr::from)];
        assert!(!is_group || addresses == [None, None], "owners and rooms have no address");
    }
}
