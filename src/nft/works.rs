//! Where a table is put together: what is alike is made once.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use ipnetwork::IpNetwork;

use super::counter::Counter;
use super::reach::{Family, Reach, element, elements, is_one_address};
use super::schema::{Chain, Counting, Expression, Hook, Item, Limit, Rule, Set, Statement, Table, Verdict};
use super::service::one_of;
use crate::base::DropReason;

/// Lines in the log, a second and at once, of all rules together.
const LOG: Limit = Limit { name: "log_lines", per_second: 10, burst: 50 };
/// The longest name that a chain is given.
const NAME_MAX: usize = 100;

/// The chain that denies whatever comes to it.
pub(super) const DENY: &str = "deny";

#[derive(Debug, Default)]
pub(super) struct Works {
    table: Table,
    counters: BTreeSet<Counter>,
    chains: HashMap<Vec<Rule>, String>,
    names: HashMap<String, u32>,
    address_sets: HashMap<Vec<IpNetwork>, String>,
    maps: HashMap<(Vec<&'static str>, Vec<Item>), String>,
}

impl Works {
    pub(super) fn finish(mut self) -> (Table, Vec<Counter>) {
        let counters: Vec<_> = self.counters.into_iter().collect();
        self.table.counters = counters.iter().map(|counter| counter.name()).collect();
        self.table.limits.push(LOG);
        (self.table, counters)
    }

    pub(super) fn count(&mut self, counter: Counter) -> Statement {
        self.counters.insert(counter);
        Statement::Counter(Counting::Name(counter.name()))
    }

    /// A counter that a map names.
    pub(super) fn counter_item(&mut self, key: Expression, counter: Counter) -> Item {
        self.counters.insert(counter);
        Item::Counter(key, counter.name())
    }

    /// Counts and drops.
    pub(super) fn turn_away(&mut self, reason: DropReason) -> [Statement; 2] {
        [self.count(Counter::Drop(reason)), Statement::Verdict(Verdict::Drop(()))]
    }

    pub(super) fn log(prefix: String) -> Rule {
        Rule::new(vec![Statement::Limit(LOG.name), Statement::Log { prefix, level: "info" }])
    }

    /// A chain that meets packets.
    pub(super) fn base_chain(&mut self, hook: Hook, rules: Vec<Rule>) {
        self.table.chains.push(Chain { name: hook.name.to_owned(), hook: Some(hook), rules });
    }

    /// A chain with these rules: one that there is, or a new one with a name like this.
    pub(super) fn chain(&mut self, name: &str, rules: Vec<Rule>) -> String {
        if let Some(name) = self.chains.get(&rules) {
            return name.clone();
        }
        let short = name.char_indices().nth(NAME_MAX).map_or(name, |(end, _)| &name[..end]);
        let times = self.names.entry(short.to_owned()).or_default();
        *times += 1;
        // No node's name has a dot.
        let name = if *times == 1 { short.to_owned() } else { format!("{short}.{times}") };
        self.chains.insert(rules.clone(), name.clone());
        self.table.chains.push(Chain { name: name.clone(), hook: None, rules });
        name
    }

    pub(super) fn set(&mut self, name: String, family: Family, prefixes: &[IpNetwork]) {
        let interval = !prefixes.iter().all(is_one_address);
        let kind = vec![family.address_type()];
        let items = elements(prefixes);
        self.table.sets.push(Set { name, kind, map: None, interval, items });
    }

    /// The name of a map with these items, for use in a rule.
    pub(super) fn map(&mut self, kind: Vec<&'static str>, interval: bool, items: Vec<Item>) -> Expression {
        let of = if matches!(items.first(), Some(Item::Counter(..))) { "counter" } else { "verdict" };
        let next = format!("map_{}", self.maps.len() + 1);
        let content = (kind, items);
        if let Some(name) = self.maps.get(&content) {
            return Expression::Word(format!("@{name}"));
        }
        let (kind, items) = content.clone();
        self.table.sets.push(Set { name: next.clone(), kind, map: Some(of), interval, items });
        let reference = Expression::Word(format!("@{next}"));
        self.maps.insert(content, next);
        reference
    }

    /// That `field` is one of a rule's addresses; `None` where all are.
    pub(super) fn addresses(&mut self, field: Expression, reach: &Reach) -> Option<Statement> {
        match reach {
            Reach::All | Reach::Nobody => None,
            Reach::Some(prefixes) if prefixes.len() == 1 => one_of(field, elements(prefixes)),
            // Other rules share it.
            Reach::Some(prefixes) => {
                let right = Expression::Word(format!("@{}", self.address_set(prefixes)));
                Some(Statement::Match { op: "==", left: field, right })
            }
        }
    }

    /// The set of these addresses.
    pub(super) fn address_set(&mut self, prefixes: &[IpNetwork]) -> String {
        if let Some(name) = self.address_sets.get(prefixes) {
            return name.clone();
        }
        let name = format!("addresses_{}", self.address_sets.len() + 1);
        let family = Family::of(prefixes[0].ip());
        self.set(name.clone(), family, prefixes);
        self.address_sets.insert(prefixes.to_vec(), name.clone());
        name
    }

    /// One rule that sends each of these addresses to its chain.
    pub(super) fn dispatch(
        &mut self,
        family: Family,
        field: &'static str,
        targets: Vec<(IpNetwork, String)>,
    ) -> Option<Rule> {
        let key = family.field(field);
        let jump = |target: String| Verdict::Jump { target };
        match targets.as_slice() {
            [] => None,
            [(address, target)] => {
                let left = Statement::Match { op: "==", left: key, right: element(address) };
                Some(Rule::new(vec![left, Statement::Verdict(jump(target.clone()))]))
            }
            _ => {
                let item =
                    |(address, target): (IpNetwork, String)| Item::Verdict(element(&address), jump(target));
                let items = targets.into_iter().map(item).collect();
                let data = self.map(vec![family.address_type()], false, items);
                Some(Rule::new(vec![Statement::Vmap { key, data }]))
            }
        }
    }

    /// The chain that denies.
    pub(super) fn deny(&mut self) -> String {
        let rule = Rule::new(self.turn_away(DropReason::Denied).into());
        self.chain(DENY, vec![rule])
    }
}
