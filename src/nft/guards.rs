//! What is checked of every packet, whatever flow it belongs to: that its source is where it should be, and that
//! nothing of the mesh leaves beside the mesh. And MSS clamping, for the flows under policy.

use ipnetwork::IpNetwork;

use super::hooks::{Hooks, interface_is, is_in, tcp_flags, verdict, word};
use super::reach::{Family, Reach};
use super::schema::{Expression, Hook, Rule, Statement, Verdict};
use super::works::Works;
use crate::base::DropReason;

/// Before other tables' raw chains, behind defragmentation (-400).
const SOURCES: Hook = Hook { name: "prerouting", priority: -310 };
/// Before the source is translated (100), behind whatever routes anew.
const LEAVING: Hook = Hook { name: "postrouting", priority: -140 };

impl Hooks<'_> {
    /// The sets that everything here asks: `local` (addresses on the kernel's side), `nodes` (all other nodes'), and
    /// `owners` (the prefixes of accepted owners).
    pub(super) fn address_sets(&self, works: &mut Works) {
        for family in Family::BOTH {
            let digit = family.digit();
            let mut local: Vec<_> =
                self.locals(family).iter().map(|local| IpNetwork::from(local.address)).collect();
            local.sort_unstable();
            let mut nodes: Vec<_> =
                self.model.nodes.iter().flat_map(|node| node.addresses()).map(IpNetwork::from).collect();
            nodes.retain(|node| Family::of(node.ip()) == family && local.binary_search(node).is_err());
            nodes.sort_unstable();
            // A node's address is in a prefix of its owner; that one which is not is guarded all the same.
            let prefixes = self.model.prefixes().map(|(_, prefix)| prefix);
            let mut owners: Vec<_> = prefixes.filter(|prefix| Family::of(prefix.ip()) == family).collect();
            owners.sort_unstable_by_key(|prefix| (prefix.ip(), prefix.prefix()));
            let is_outside = |node: &&IpNetwork| !owners.iter().any(|prefix| prefix.contains(node.ip()));
            let outside: Vec<_> = local.iter().chain(&nodes).filter(is_outside).copied().collect();
            owners.extend(outside);
            let owners = match Reach::some(owners) {
                Reach::Some(owners) => owners,
                Reach::All | Reach::Nobody => Vec::new(),
            };
            works.set(format!("local{digit}"), family, &local);
            works.set(format!("nodes{digit}"), family, &nodes);
            works.set(format!("owners{digit}"), family, &owners);
        }
    }

    /// Where sources are checked.
    pub(super) fn sources(&self, works: &mut Works) {
        let mut rules = vec![Rule::new(vec![interface_is("iifname", &["lo"]), verdict(Verdict::Accept(()))])];
        for family in Family::BOTH {
            let mut rule = vec![
                interface_is("iifname", &[self.interface]),
                is_in(family.field("saddr"), format!("local{}", family.digit())),
            ];
            rule.extend(works.turn_away(DropReason::Spoofed));
            rules.push(Rule::new(rule));
        }
        rules.push(Rule::new(vec![interface_is("iifname", &[self.interface]), verdict(Verdict::Accept(()))]));
        for family in Family::BOTH {
            let digit = family.digit();
            let own = |set: &str| is_in(family.field("saddr"), format!("{set}{digit}"));
            // The way back to the source goes where the packet came from.
            let way_back = Expression::Fib { result: "oif", flags: vec!["saddr", "iif"] };
            let is_missing = Statement::Match { op: "==", left: way_back, right: Expression::Truth(false) };
            let mut local = vec![own("local"), is_missing];
            local.extend(works.turn_away(DropReason::Spoofed));
            let here = Expression::Fib { result: "type", flags: vec!["daddr"] };
            let for_this_host = Statement::Match { op: "!=", left: here, right: word("unicast") };
            let unlisted = vec![
                own("owners"),
                is_not_in(family.field("saddr"), format!("nodes{digit}")),
                for_this_host,
                verdict(Verdict::Accept(())),
            ];
            let mut stranger = vec![own("owners")];
            stranger.extend(works.turn_away(DropReason::Spoofed));
            let accepted = vec![own("local"), verdict(Verdict::Accept(()))];
            rules.extend([local, accepted, unlisted, stranger].map(Rule::new));
        }
        works.base_chain(SOURCES, rules);
    }

    /// Where what leaves is checked.
    pub(super) fn leaving(&self, works: &mut Works) {
        let mut rules = vec![Rule::new(vec![
            interface_is("oifname", &["lo", self.interface]),
            verdict(Verdict::Accept(())),
        ])];
        let clamp = works.chain("clamp", vec![clamp()]);
        for family in Family::BOTH {
            let digit = family.digit();
            let is = |field, set: &str| is_in(family.field(field), format!("{set}{digit}"));
            let goto = || verdict(Verdict::Goto { target: clamp.clone() });
            let own = Expression::Fib { result: "type", flags: vec!["saddr"] };
            let from_this_host = Statement::Match { op: "==", left: own, right: word("local") };
            let unlisted = vec![
                is("daddr", "owners"),
                is_not_in(family.field("daddr"), format!("nodes{digit}")),
                from_this_host,
                verdict(Verdict::Accept(())),
            ];
            let mut leak = vec![is("daddr", "owners")];
            leak.extend(works.turn_away(DropReason::Leak));
            let to_local = vec![is("daddr", "local"), goto()];
            let from_local = vec![is("saddr", "local"), goto()];
            rules.extend([to_local, unlisted, leak, from_local].map(Rule::new));
        }
        works.base_chain(LEAVING, rules);
    }
}

fn is_not_in(left: Expression, set: String) -> Statement {
    Statement::Match { op: "!=", left, right: Expression::Word(format!("@{set}")) }
}

/// `rt mtu` is the smaller of the ways there and back.
fn clamp() -> Rule {
    Rule::new(vec![
        tcp_flags("==", ["syn", "rst"]),
        Statement::Mangle {
            key: Expression::TcpOption { name: "maxseg", field: "size" },
            value: Expression::Rt { key: "mtu" },
        },
    ])
}
