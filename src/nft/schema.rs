//! The part of nftables' schema that a ruleset here needs, as JSON (libnftables-json(5)) and as text (nft(8)).

use std::fmt;

use serde::Serialize;

pub(super) const FAMILY: &str = "inet";
pub(super) const TABLE: &str = "vpmesh";

/// What a rule looks at, or compares with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expression {
    Payload {
        protocol: &'static str,
        field: &'static str,
    },
    Meta {
        key: &'static str,
    },
    Ct {
        key: &'static str,
    },
    Rt {
        key: &'static str,
    },
    Fib {
        result: &'static str,
        flags: Vec<&'static str>,
    },
    #[serde(rename = "tcp option")]
    TcpOption {
        name: &'static str,
        field: &'static str,
    },
    #[serde(rename = "&")]
    And(Vec<Expression>),
    #[serde(rename = "|")]
    Or(Vec<Expression>),
    Concat(Vec<Expression>),
    Set(Vec<Item>),
    Range([u16; 2]),
    Prefix {
        addr: String,
        len: u8,
    },
    #[serde(untagged)]
    Number(u32),
    #[serde(untagged)]
    Truth(bool),
    /// A word of nftables, an address, or `@` and the name of a set.
    #[serde(untagged)]
    Word(String),
    /// An interface.
    #[serde(untagged)]
    Name(String),
}

/// What is in a set or a map.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub(super) enum Item {
    Element(Expression),
    Verdict(Expression, Verdict),
    /// The name of a counter.
    Counter(Expression, String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Accept(()),
    Drop(()),
    Return(()),
    Jump { target: String },
    Goto { target: String },
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Statement {
    Match {
        op: &'static str,
        left: Expression,
        right: Expression,
    },
    Counter(Counting),
    Limit(&'static str),
    Log {
        prefix: String,
        level: &'static str,
    },
    Vmap {
        key: Expression,
        data: Expression,
    },
    Mangle {
        key: Expression,
        value: Expression,
    },
    #[serde(untagged)]
    Verdict(Verdict),
}

/// Which counter counts: one by name, or the one that a map has for the packet. Where it has none, the rule ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Counting {
    Map {
        key: Expression,
        data: Expression,
    },
    #[serde(untagged)]
    Name(String),
}

/// A rule: what stands before a statement that does not hold is done, what stands behind it is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rule {
    pub(super) statements: Vec<Statement>,
    pub(super) comment: Option<String>,
}

impl Rule {
    pub(super) fn new(statements: Vec<Statement>) -> Self {
        Self { statements, comment: None }
    }
}

/// Where a chain meets packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Hook {
    pub(super) name: &'static str,
    pub(super) priority: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<Rule>,
}

/// A set, or with `map` a map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) kind: Vec<&'static str>,
    /// What a map gives: `verdict` or `counter`.
    pub(super) map: Option<&'static str>,
    /// It has prefixes or ranges.
    pub(super) interval: bool,
    pub(super) items: Vec<Item>,
}

/// A limit on log lines, shared by all that log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    pub(super) per_second: u32,
    pub(super) burst: u32,
}

/// All of a table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) counters: Vec<String>,
    pub(super) limits: Vec<Limit>,
    pub(super) sets: Vec<Set>,
    pub(super) chains: Vec<Chain>,
}

// ── as JSON ──

#[derive(Serialize)]
struct Document<'a> {
    nftables: Vec<Command<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Command<'a> {
    Add(Object<'a>),
    Delete(Object<'a>),
}

#[derive(Serialize)]
struct Owned<T> {
    family: &'static str,
    table: &'static str,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Object<'a> {
    Table { family: &'static str, name: &'static str },
    Counter(Owned<Named<'a>>),
    Limit(Owned<LimitFields>),
    Set(Owned<SetFields<'a>>),
    Map(Owned<SetFields<'a>>),
    Chain(Owned<ChainFields<'a>>),
    Rule(Owned<RuleFields<'a>>),
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct LimitFields {
    name: &'static str,
    rate: u32,
    per: &'static str,
    burst: u32,
}

#[derive(Serialize)]
struct SetFields<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: Kind<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "<[Item]>::is_empty")]
    elem: &'a [Item],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Kind<'a> {
    One(&'static str),
    Many(&'a [&'static str]),
}

#[derive(Serialize)]
struct ChainFields<'a> {
    name: &'a str,
    #[serde(flatten)]
    base: Option<Base>,
}

#[derive(Serialize)]
struct Base {
    #[serde(rename = "type")]
    kind: &'static str,
    hook: &'static str,
    prio: i32,
    policy: &'static str,
}

#[derive(Serialize)]
struct RuleFields<'a> {
    chain: &'a str,
    expr: &'a [Statement],
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
}

fn owned<T>(rest: T) -> Owned<T> {
    Owned { family: FAMILY, table: TABLE, rest }
}

fn set(set: &Set) -> Object<'_> {
    let kind = match set.kind.as_slice() {
        &[one] => Kind::One(one),
        many => Kind::Many(many),
    };
    let flags = set.interval.then_some(["interval"]);
    let fields = owned(SetFields { name: &set.name, kind, map: set.map, flags, elem: &set.items });
    if set.map.is_some() { Object::Map(fields) } else { Object::Set(fields) }
}

/// Taking the table away, whether it is there or not.
fn clearing<'a>() -> [Command<'a>; 2] {
    let table = || Object::Table { family: FAMILY, name: TABLE };
    [Command::Add(table()), Command::Delete(table())]
}

fn print(commands: Vec<Command<'_>>) -> String {
    serde_json::to_string(&Document { nftables: commands }).expect("strings, numbers and lists are JSON")
}

/// One transaction that takes the table away.
pub(super) fn removal() -> String {
    print(clearing().into())
}

impl Table {
    /// One transaction: the table as it is now instead of whatever there was.
    pub(super) fn to_json(&self) -> String {
        let mut objects = vec![Object::Table { family: FAMILY, name: TABLE }];
        objects.extend(self.counters.iter().map(|name| Object::Counter(owned(Named { name }))));
        objects.extend(self.limits.iter().map(|limit| {
            let Limit { name, per_second: rate, burst } = *limit;
            Object::Limit(owned(LimitFields { name, rate, per: "second", burst }))
        }));
        // Maps name chains, and rules name both.
        objects.extend(self.chains.iter().map(|chain| {
            let base = chain.hook.map(|hook| Base {
                kind: "filter",
                hook: hook.name,
                prio: hook.priority,
                policy: "accept",
            });
            Object::Chain(owned(ChainFields { name: &chain.name, base }))
        }));
        objects.extend(self.sets.iter().map(set));
        objects.extend(self.chains.iter().flat_map(|chain| {
            chain.rules.iter().map(|rule| {
                let comment = rule.comment.as_deref();
                Object::Rule(owned(RuleFields { chain: &chain.name, expr: &rule.statements, comment }))
            })
        }));
        print(clearing().into_iter().chain(objects.into_iter().map(Command::Add)).collect())
    }
}

// ── as text ──

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload { protocol, field } => write!(f, "{protocol} {field}"),
            Self::Meta { key } => write!(f, "meta {key}"),
            Self::Ct { key } => write!(f, "ct {key}"),
            Self::Rt { key } => write!(f, "rt {key}"),
            Self::Fib { result, flags } => {
                f.write_str("fib ")?;
                list(f, flags, " . ")?;
                write!(f, " {result}")
            }
            Self::TcpOption { name, field } => write!(f, "tcp option {name} {field}"),
            Self::And(both) => list(f, both, " & "),
            Self::Or(either) => {
                f.write_str("(")?;
                list(f, either, " | ")?;
                f.write_str(")")
            }
            Self::Concat(parts) => list(f, parts, " . "),
            Self::Set(items) => {
                f.write_str("{ ")?;
                list(f, items, ", ")?;
                f.write_str(" }")
            }
            Self::Range([first, last]) => write!(f, "{first}-{last}"),
            Self::Prefix { addr, len } => write!(f, "{addr}/{len}"),
            Self::Number(number) => number.fmt(f),
            Self::Truth(truth) => f.write_str(if *truth { "exists" } else { "missing" }),
            Self::Word(word) => f.write_str(word),
            Self::Name(name) => write!(f, "\"{name}\""),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element(element) => element.fmt(f),
            Self::Verdict(key, verdict) => write!(f, "{key} : {verdict}"),
            Self::Counter(key, name) => write!(f, "{key} : \"{name}\""),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept(()) => f.write_str("accept"),
            Self::Drop(()) => f.write_str("drop"),
            Self::Return(()) => f.write_str("return"),
            Self::Jump { target } => write!(f, "jump {target}"),
            Self::Goto { target } => write!(f, "goto {target}"),
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Match { op: "!=", left, right } => write!(f, "{left} != {right}"),
            Self::Match { left: left @ Expression::And(_), right, .. } => write!(f, "{left} == {right}"),
            Self::Match { left, right, .. } => write!(f, "{left} {right}"),
            Self::Counter(Counting::Name(name)) => write!(f, "counter name \"{name}\""),
            Self::Counter(Counting::Map { key, data }) => write!(f, "counter name {key} map {data}"),
            Self::Limit(name) => write!(f, "limit name \"{name}\""),
            Self::Log { prefix, level } => write!(f, "log prefix \"{prefix}\" level {level}"),
            Self::Vmap { key, data } => write!(f, "{key} vmap {data}"),
            Self::Mangle { key, value } => write!(f, "{key} set {value}"),
            Self::Verdict(verdict) => verdict.fmt(f),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\ntable {FAMILY} {TABLE} {{")?;
        for name in &self.counters {
            writeln!(f, "\tcounter {name} {{ }}")?;
        }
        for Limit { name, per_second, burst } in &self.limits {
            writeln!(f, "\tlimit {name} {{ rate {per_second}/second burst {burst} packets; }}")?;
        }
        for set in &self.sets {
            let word = if set.map.is_some() { "map" } else { "set" };
            write!(f, "\t{word} {} {{\n\t\ttype ", set.name)?;
            list(f, &set.kind, " . ")?;
            if let Some(map) = set.map {
                write!(f, " : {map}")?;
            }
            writeln!(f)?;
            if set.interval {
                writeln!(f, "\t\tflags interval")?;
            }
            if !set.items.is_empty() {
                f.write_str("\t\telements = { ")?;
                list(f, &set.items, ",\n\t\t\t     ")?;
                writeln!(f, " }}")?;
            }
            writeln!(f, "\t}}")?;
        }
        for chain in &self.chains {
            writeln!(f, "\tchain {} {{", chain.name)?;
            if let Some(Hook { name, priority }) = chain.hook {
                writeln!(f, "\t\ttype filter hook {name} priority {priority}; policy accept;")?;
            }
            for rule in &chain.rules {
                f.write_str("\t\t")?;
                list(f, &rule.statements, " ")?;
                if let Some(comment) = &rule.comment {
                    write!(f, " comment \"{comment}\"")?;
                }
                writeln!(f)?;
            }
            writeln!(f, "\t}}")?;
        }
        writeln!(f, "}}")
    }
}
