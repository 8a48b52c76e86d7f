//! Many rules of one border as few lookups.
//!
//! A rule is cut into cells: an address or prefix at either end, a protocol, ports, each where the rule has one. Cells
//! of one form go into one map, whose key is what they have; the map gives the counter of the cell's rule, and so says
//! whether any matches. Prefixes that lie inside others are in maps of their own by how deep they lie, and ports that
//! overlap are cut apart, so no two keys of a map meet. A rule that would be cut into too many cells has its addresses
//! in a set beside. So memory grows with the length of the roster, and a packet costs as many lookups as there are forms.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use ipnetwork::IpNetwork;

use super::border::{Border, Effect, Reached, end};
use super::counter::Counter;
use super::reach::{Reach, element, is_one_address};
use super::schema::{Counting, Expression, Item, Rule, Statement, Verdict};
use super::service::port;
use super::works::Works;

/// Ends with more addresses than this are sets.
const KEYS_MAX: usize = 4;
/// The most cells of one rule.
const CELLS_MAX: usize = 64;

/// How one end of a cell is matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum EndForm {
    /// All are meant.
    Absent,
    /// By a set beside the map.
    Set(String),
    /// By one address.
    Address,
    /// By a prefix that lies in this many others.
    Prefix(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ServiceForm {
    Any,
    Protocol,
    Port,
    Ports,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    log: bool,
    from: EndForm,
    to: EndForm,
    service: ServiceForm,
}

/// What a cell's key has besides ports.
type Ends = (Option<IpNetwork>, Option<IpNetwork>, Option<u8>);

/// One key, and its rule by its place in the order in which they decide.
#[derive(Debug, Clone, Copy)]
struct Cell {
    ends: Ends,
    ports: Option<[u16; 2]>,
    rule: usize,
}

pub(super) fn merge(
    works: &mut Works,
    border: &Border<'_>,
    reached: &[Reached],
    effect: Effect,
    rules: &mut Vec<Rule>,
) {
    let mut forms: BTreeMap<Form, Vec<Cell>> = BTreeMap::new();
    let depths = [
        Depths::new(reached.iter().map(|rule| &rule.from)),
        Depths::new(reached.iter().map(|rule| &rule.to)),
    ];
    for (at, rule) in reached.iter().enumerate() {
        cut(works, rule, at, &depths, &mut forms);
    }
    for (form, cells) in forms {
        let keys = apart(cells);
        rules.push(lookup(works, border, reached, effect, &form, &keys));
    }
}

/// How many other prefixes each prefix lies in.
struct Depths(HashMap<IpNetwork, usize>);

impl Depths {
    fn new<'r>(ends: impl Iterator<Item = &'r Reach>) -> Self {
        let lists = ends.filter_map(|end| match end {
            Reach::Some(list) => Some(list),
            _ => None,
        });
        let mut all: Vec<_> = lists.flatten().filter(|prefix| !is_one_address(prefix)).copied().collect();
        all.sort_unstable_by_key(|prefix| (prefix.ip(), prefix.prefix()));
        all.dedup();
        let mut around: Vec<IpNetwork> = Vec::new();
        let mut depths = HashMap::new();
        for prefix in all {
            while around.last().is_some_and(|outer| !outer.contains(prefix.ip())) {
                around.pop();
            }
            depths.insert(prefix, around.len());
            around.push(prefix);
        }
        Self(depths)
    }

    fn form(&self, prefix: &IpNetwork) -> EndForm {
        if is_one_address(prefix) {
            EndForm::Address
        } else {
            EndForm::Prefix(self.0.get(prefix).copied().unwrap_or_default())
        }
    }
}

/// Cuts one rule into cells.
fn cut(
    works: &mut Works,
    rule: &Reached,
    at: usize,
    depths: &[Depths; 2],
    forms: &mut BTreeMap<Form, Vec<Cell>>,
) {
    let count = |end: &Reach| match end {
        Reach::Some(list) => list.len(),
        _ => 1,
    };
    let services = rule.services.len().max(1);
    let is_too_many = count(&rule.from) * count(&rule.to) * services > CELLS_MAX;
    let mut ends = |end: &Reach, depths: &Depths| match end {
        Reach::Some(list) if list.len() > KEYS_MAX && (is_too_many || list.iter().all(is_one_address)) => {
            vec![(EndForm::Set(works.address_set(list)), None)]
        }
        Reach::Some(list) => list.iter().map(|prefix| (depths.form(prefix), Some(*prefix))).collect(),
        Reach::All | Reach::Nobody => vec![(EndForm::Absent, None)],
    };
    let (from, to) = (ends(&rule.from, &depths[0]), ends(&rule.to, &depths[1]));
    let protocols = rule.services.protocols.iter().map(|&number| (ServiceForm::Protocol, Some(number), None));
    let ports = rule.services.ports().map(|(number, ports)| {
        let form = if ports[0] == ports[1] { ServiceForm::Port } else { ServiceForm::Ports };
        (form, Some(number), Some(ports))
    });
    let any = rule.services.is_any.then_some((ServiceForm::Any, None, None));
    for (service, protocol, ports) in any.into_iter().chain(protocols).chain(ports) {
        for (from_form, from) in &from {
            for (to_form, to) in &to {
                let form = Form { log: rule.log, from: from_form.clone(), to: to_form.clone(), service };
                let cell = Cell { ends: (*from, *to, protocol), ports, rule: at };
                forms.entry(form).or_default().push(cell);
            }
        }
    }
}

/// Cells whose keys don't meet: of those that do, the rule that decides first has what they share.
fn apart(cells: Vec<Cell>) -> Vec<Cell> {
    let mut alike: BTreeMap<Ends, Vec<Cell>> = BTreeMap::new();
    for cell in cells {
        alike.entry(cell.ends).or_default().push(cell);
    }
    alike.into_values().flat_map(|cells| segments(&cells)).collect()
}

/// The same for cells that differ in ports alone. They are in the order in which their rules decide.
fn segments(cells: &[Cell]) -> Vec<Cell> {
    if cells[0].ports.is_none() {
        return vec![cells[0]];
    }
    let mut edges: Vec<u32> = Vec::new();
    for [first, last] in cells.iter().filter_map(|cell| cell.ports) {
        edges.extend([u32::from(first), u32::from(last) + 1]);
    }
    edges.sort_unstable();
    edges.dedup();
    let mut owners: Vec<Option<usize>> = vec![None; edges.len()];
    for cell in cells {
        let Some([first, last]) = cell.ports else { continue };
        let from = edges.partition_point(|&edge| edge < u32::from(first));
        let to = edges.partition_point(|&edge| edge <= u32::from(last));
        for owner in &mut owners[from..to] {
            owner.get_or_insert(cell.rule);
        }
    }
    let mut kept: Vec<Cell> = Vec::new();
    for (pair, owner) in edges.windows(2).zip(owners) {
        let (Some(rule), Ok(first), Ok(last)) = (owner, u16::try_from(pair[0]), u16::try_from(pair[1] - 1))
        else {
            continue;
        };
        match kept.last_mut() {
            Some(Cell { ports: Some(ports), rule: before, .. })
                if *before == rule && u32::from(ports[1]) + 1 == pair[0] =>
            {
                ports[1] = last;
            }
            _ => kept.push(Cell { ends: cells[0].ends, ports: Some([first, last]), rule }),
        }
    }
    kept
}

/// One rule that looks all these cells up.
fn lookup(
    works: &mut Works,
    border: &Border<'_>,
    reached: &[Reached],
    effect: Effect,
    form: &Form,
    cells: &[Cell],
) -> Rule {
    let family = border.family;
    let mut statements = Vec::new();
    let (mut key, mut kind) = (Vec::new(), Vec::new());
    for (end, field) in [(&form.from, "saddr"), (&form.to, "daddr")] {
        match end {
            EndForm::Absent => {}
            EndForm::Set(name) => {
                let right = Expression::Word(format!("@{name}"));
                statements.push(Statement::Match { op: "==", left: family.field(field), right });
            }
            EndForm::Address | EndForm::Prefix(_) => {
                key.push(family.field(field));
                kind.push(family.address_type());
            }
        }
    }
    if form.service != ServiceForm::Any {
        key.push(Expression::Meta { key: "l4proto" });
        kind.push("inet_proto");
    }
    if matches!(form.service, ServiceForm::Port | ServiceForm::Ports) {
        key.push(Expression::Payload { protocol: "th", field: "dport" });
        kind.push("inet_service");
    }
    if key.is_empty() {
        // Nothing to look up: the first of these rules has it all.
        let rule = &reached[cells[0].rule];
        if form.log {
            statements.push(Statement::Verdict(Verdict::Goto { target: border.leaf(works, rule, effect) }));
        } else {
            statements.push(works.count(Counter::Rule(rule.id)));
            statements.extend(end(works, effect));
        }
        return Rule::new(statements);
    }
    let items = cells
        .iter()
        .map(|cell| {
            let rule = &reached[cell.rule];
            let key = cell_key(cell);
            if form.log {
                Item::Verdict(key, Verdict::Goto { target: border.leaf(works, rule, effect) })
            } else {
                works.counter_item(key, Counter::Rule(rule.id))
            }
        })
        .collect();
    let interval = form.service == ServiceForm::Ports
        || [&form.from, &form.to].iter().any(|end| matches!(end, EndForm::Prefix(_)));
    let data = works.map(kind, interval, items);
    let key = concat(key);
    if form.log {
        statements.push(Statement::Vmap { key, data });
    } else {
        statements.push(Statement::Counter(Counting::Map { key, data }));
        statements.extend(end(works, effect));
    }
    Rule::new(statements)
}

fn cell_key(cell: &Cell) -> Expression {
    let (from, to, protocol) = &cell.ends;
    let addresses = [from, to].into_iter().flatten().map(element);
    let protocol = protocol.map(|number| Expression::Number(number.into()));
    concat(addresses.chain(protocol).chain(cell.ports.map(port)).collect())
}

fn concat(mut parts: Vec<Expression>) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => Expression::Concat(parts),
    }
}
