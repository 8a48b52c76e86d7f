//! Finds the rules of a large policy that a flow could match, without trying them all.
//!
//! Every rule is filed under what is rarest in it: one of its ends, in as many drawers as that end has selectors, or
//! its services, in the drawer that has no end. A flow opens the drawers of its two ends (the names it is inside of,
//! its labels, the prefixes around its address) and the one with none; in a drawer, rules are in a tree of spans, so
//! that only those for the flow's point are met. Memory grows with the length of the roster, whatever it says.

use hashbrown::{HashMap, HashSet};

use super::ends::{Cidr, EndPoint, EndSet, Ends};
use super::ruleset::{CompiledRule, Flow, Memberships};
use super::span::{Point, Span};

/// What a rule is filed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    From(EndKey),
    To(EndKey),
    Neither,
}

/// One selector of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum EndKey {
    /// A name by its rank, or the internet.
    Name(u32),
    Label(u32),
    Cidr(Cidr),
}

#[derive(Debug)]
pub(super) struct Index {
    drawers: HashMap<Key, SpanTree>,
    from: Probes,
    to: Probes,
}

/// Which kinds of drawers one end has.
#[derive(Debug, Default)]
struct Probes {
    names: bool,
    labels: bool,
    /// One prefix for each family and length.
    cidrs: Vec<Cidr>,
}

impl Index {
    /// `rules` in the order in which they decide; they are told by their place in it.
    pub(super) fn new(rules: &[CompiledRule], ends: &Ends) -> Self {
        let census = Census::new(rules, ends);
        let mut drawers: HashMap<Key, Vec<(Span, u32)>> = HashMap::new();
        for (at, rule) in (0..).zip(rules) {
            for key in census.choose(rule, ends) {
                drawers.entry(key).or_default().extend(rule.spans().map(|span| (span, at)));
            }
        }
        let mut index = Self { drawers: HashMap::new(), from: Probes::default(), to: Probes::default() };
        for (key, spans) in drawers {
            match key {
                Key::From(key) => index.from.add(key),
                Key::To(key) => index.to.add(key),
                Key::Neither => {}
            }
            index.drawers.insert(key, SpanTree::new(spans));
        }
        index
    }

    /// Calls `visit` with every rule whose services match and whose ends may; with some of them more than once.
    pub(super) fn visit(&self, flow: &Flow<'_>, members: &Memberships, visit: &mut impl FnMut(usize)) {
        let mut open = |key| {
            if let Some(tree) = self.drawers.get(&key) {
                tree.visit(flow.point, visit);
            }
        };
        open(Key::Neither);
        self.from.each(&flow.from, members, &mut |key| open(Key::From(key)));
        self.to.each(&flow.to, members, &mut |key| open(Key::To(key)));
    }
}

impl Probes {
    fn add(&mut self, key: EndKey) {
        match key {
            EndKey::Name(_) => self.names = true,
            EndKey::Label(_) => self.labels = true,
            EndKey::Cidr(cidr) => {
                let is_alike = |other: &Cidr| (other.mask, other.is_v6) == (cidr.mask, cidr.is_v6);
                if !self.cidrs.iter().any(is_alike) {
                    self.cidrs.push(cidr);
                }
            }
        }
    }

    fn each(&self, end: &EndPoint, members: &Memberships, open: &mut impl FnMut(EndKey)) {
        if self.names {
            members.around(end.rank).for_each(|rank| open(EndKey::Name(rank)));
        }
        if self.labels {
            members.labels_of(end.rank).iter().for_each(|&label| open(EndKey::Label(label)));
        }
        for cidr in self.cidrs.iter().filter(|cidr| cidr.is_v6 == end.is_v6) {
            match end.bits {
                Some(bits) => open(EndKey::Cidr(cidr.around(bits))),
                None if cidr.mask == 0 => open(EndKey::Cidr(*cidr)),
                None => {}
            }
        }
    }
}

/// How many rules have a key, or services like another's.
struct Census {
    keys: HashMap<Key, usize>,
    spans: HashMap<Span, usize>,
    rules: usize,
}

/// Services wider than this are taken to overlap all others.
const NARROW: Point = 1024;

impl Census {
    fn new(rules: &[CompiledRule], ends: &Ends) -> Self {
        let mut census = Self { keys: HashMap::new(), spans: HashMap::new(), rules: rules.len() };
        for rule in rules {
            let from = keys_of(rule.from, ends).into_iter().flatten().map(Key::From);
            let to = keys_of(rule.to, ends).into_iter().flatten().map(Key::To);
            for key in from.chain(to) {
                *census.keys.entry(key).or_default() += 1;
            }
            for span in rule.spans().collect::<HashSet<_>>() {
                *census.spans.entry(span).or_default() += 1;
            }
        }
        census
    }

    /// The keys of the end, or of neither, that the fewest other rules share.
    fn choose(&self, rule: &CompiledRule, ends: &Ends) -> Vec<Key> {
        let keys = |set, side: fn(EndKey) -> Key| -> (usize, Vec<Key>) {
            match keys_of(set, ends) {
                None => (usize::MAX, Vec::new()),
                Some(keys) => {
                    let keys: Vec<_> = keys.into_iter().map(side).collect();
                    (keys.iter().map(|key| self.keys[key]).max().unwrap_or(usize::MAX), keys)
                }
            }
        };
        let alike = |span: Span| if span.last - span.first < NARROW { self.spans[&span] } else { self.rules };
        let neither = (rule.spans().map(alike).max().unwrap_or(self.rules), vec![Key::Neither]);
        let candidates = [keys(rule.from, Key::From), keys(rule.to, Key::To), neither];
        let [from, to, neither] = candidates;
        let end = if from.0 <= to.0 { from } else { to };
        if end.0 <= neither.0 { end.1 } else { neither.1 }
    }
}

/// The keys of an end, one for each selector; `None` where it means all.
fn keys_of(set: EndSet, ends: &Ends) -> Option<Vec<EndKey>> {
    match set {
        EndSet::All => None,
        EndSet::Nobody => Some(Vec::new()),
        EndSet::Ranks((first, _)) => Some(vec![EndKey::Name(first)]),
        EndSet::Set(number) => {
            let set = ends.set(number);
            let names = set.ranks.iter().map(|&(first, _)| EndKey::Name(first));
            let labels = set.labels.iter().map(|&label| EndKey::Label(label));
            let cidrs = set.cidrs.iter().map(|&cidr| EndKey::Cidr(cidr));
            Some(names.chain(labels).chain(cidrs).collect::<HashSet<_>>().into_iter().collect())
        }
    }
}

/// Spans in a balanced tree that lies in an array: the middle of each part is its root.
#[derive(Debug)]
struct SpanTree(Box<[SpanNode]>);

#[derive(Debug)]
struct SpanNode {
    span: Span,
    /// The furthest point of the part that this is the root of.
    furthest: Point,
    rule: u32,
}

impl SpanTree {
    fn new(mut spans: Vec<(Span, u32)>) -> Self {
        spans.sort_unstable_by_key(|&(span, rule)| (span.first, span.last, rule));
        let node = |(span, rule): (Span, u32)| SpanNode { span, furthest: span.last, rule };
        let mut nodes: Box<[_]> = spans.into_iter().map(node).collect();
        raise(&mut nodes);
        Self(nodes)
    }

    fn visit(&self, point: Point, visit: &mut impl FnMut(usize)) {
        descend(&self.0, point, visit);
    }
}

/// Works out `furthest` for each part; gives that of the whole.
fn raise(part: &mut [SpanNode]) -> Point {
    if part.is_empty() {
        return 0;
    }
    let (left, rest) = part.split_at_mut(part.len() / 2);
    let Some((root, right)) = rest.split_first_mut() else { return 0 };
    root.furthest = root.span.last.max(raise(left)).max(raise(right));
    root.furthest
}

fn descend(part: &[SpanNode], point: Point, visit: &mut impl FnMut(usize)) {
    let (left, rest) = part.split_at(part.len() / 2);
    let Some((root, right)) = rest.split_first() else { return };
    if root.furthest < point {
        return;
    }
    descend(left, point, visit);
    if root.span.first <= point {
        if point <= root.span.last {
            visit(root.rule as usize);
        }
        descend(right, point, visit);
    }
}
