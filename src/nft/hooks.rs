//! Where the table meets packets, and how each flow is sent past the borders that it crosses.

use hashbrown::HashMap;
use ipnetwork::IpNetwork;

use super::border::Border;
use super::reach::{Family, Local, Side};
use super::schema::{Expression, Hook, Item, Rule, Statement, Verdict};
use super::service::{icmp, one_of};
use super::works::Works;
use super::{AdminGuard, Setting};
use crate::base::DropReason;
use crate::policy::{Direction, Judge};
use crate::roster::model::NodeKind;
use crate::roster::{Model, NodeId};

/// Before fw4 (0), which judges what passes here.
const JUDGING: i32 = -10;

pub(super) struct Hooks<'a> {
    judge: &'a Judge,
    pub(super) model: &'a Model,
    pub(super) interface: &'a str,
    admin: AdminGuard,
    gateway: NodeId,
    room: NodeId,
    /// By family, by rank.
    locals: [Vec<Local>; 2],
    /// Those of each station, the gateway included.
    inside: [HashMap<NodeId, Vec<Local>>; 2],
}

/// Which policy at a node, on its way in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// An application's, or a station's own.
    Own,
    /// A guest's host's.
    Host,
    /// The station's around it.
    Station,
}

/// Which way a flow goes, as far as the kernel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// From the kernel's side to the internet.
    Outward,
    /// From the internet.
    Inward,
    /// Between two of the kernel's side.
    Between,
    /// To this gateway's host.
    Input,
    /// From it.
    Output,
}

impl<'a> Hooks<'a> {
    pub(super) fn new(judge: &'a Judge, setting: &Setting<'a>) -> Self {
        let model = judge.model().as_ref();
        let gateway = setting.gateway;
        // A gateway is in a room; one that is not has nobody to serve.
        let room = model.room_of(gateway).unwrap_or(gateway);
        let mut hooks = Self {
            judge,
            model,
            interface: setting.interface,
            admin: setting.admin,
            gateway,
            room,
            locals: [Vec::new(), Vec::new()],
            inside: [HashMap::new(), HashMap::new()],
        };
        for station in model.children(room) {
            if station != gateway && model.node(station).kind != NodeKind::LanStation {
                continue;
            }
            for node in model.range(station).map(NodeId).filter(|&node| node != gateway) {
                for address in model.node(node).addresses() {
                    let local = Local { rank: judge.rank(node), node, station, address };
                    let family = Family::of(address) as usize;
                    hooks.locals[family].push(local);
                    hooks.inside[family].entry(station).or_default().push(local);
                }
            }
        }
        for locals in hooks.locals.iter_mut().chain(hooks.inside.iter_mut().flat_map(HashMap::values_mut)) {
            locals.sort_unstable_by_key(|local| (local.rank, local.address));
        }
        hooks
    }

    pub(super) fn locals(&self, family: Family) -> &[Local] {
        &self.locals[family as usize]
    }

    /// Those of a station.
    fn inside(&self, family: Family, station: NodeId) -> &[Local] {
        self.inside[family as usize].get(&station).map_or(&[], Vec::as_slice)
    }

    pub(super) fn compile(&self) -> (super::schema::Table, Vec<super::Counter>) {
        let mut works = Works::default();
        works.deny();
        self.address_sets(&mut works);
        self.sources(&mut works);
        self.forward(&mut works);
        self.host(&mut works, Course::Input);
        self.host(&mut works, Course::Output);
        self.leaving(&mut works);
        works.finish()
    }

    /// Flows that go through this router.
    fn forward(&self, works: &mut Works) {
        let mut rules = vec![
            known_flows(),
            Rule::new(vec![interface_is("iifname", &[self.interface]), verdict(Verdict::Accept(()))]),
            Rule::new(vec![interface_is("oifname", &[self.interface]), verdict(Verdict::Accept(()))]),
        ];
        for family in Family::BOTH.into_iter().filter(|&family| !self.locals(family).is_empty()) {
            let set = format!("local{}", family.digit());
            let from = || is_in(family.field("saddr"), set.clone());
            let to = || is_in(family.field("daddr"), set.clone());
            for (ends, course, name) in [
                (vec![from(), to()], Course::Between, "between"),
                (vec![from()], Course::Outward, "outward"),
                (vec![to()], Course::Inward, "inward"),
            ] {
                let mut judged = strays(works, family).to_vec();
                judged.extend(self.walk(works, family, course));
                judged.push(Rule::new(vec![verdict(Verdict::Accept(()))]));
                let target = works.chain(&format!("{name}{}", family.digit()), judged);
                let goto = verdict(Verdict::Goto { target });
                rules.push(Rule::new(ends.into_iter().chain([goto]).collect()));
            }
        }
        works.base_chain(Hook { name: "forward", priority: JUDGING }, rules);
    }

    /// Flows between the kernel's side and this gateway's host.
    fn host(&self, works: &mut Works, course: Course) {
        let (name, interface, field) = match course {
            Course::Input => ("input", "iifname", "saddr"),
            _ => ("output", "oifname", "daddr"),
        };
        let mut rules = vec![
            known_flows(),
            Rule::new(vec![interface_is(interface, &["lo", self.interface]), verdict(Verdict::Accept(()))]),
        ];
        for family in Family::BOTH.into_iter().filter(|&family| !self.locals(family).is_empty()) {
            let mut judged = self.housekeeping(family, course);
            judged.extend(strays(works, family));
            judged.extend(self.walk(works, family, course));
            judged.push(Rule::new(vec![verdict(Verdict::Accept(()))]));
            let target = works.chain(&format!("{name}{}", family.digit()), judged);
            let other = is_in(family.field(field), format!("local{}", family.digit()));
            rules.push(Rule::new(vec![other, verdict(Verdict::Goto { target })]));
        }
        works.base_chain(Hook { name, priority: JUDGING }, rules);
    }

    /// What needs no rule between a LAN station and this gateway's host.
    fn housekeeping(&self, family: Family, course: Course) -> Vec<Rule> {
        let accept = || verdict(Verdict::Accept(()));
        let ports = |protocol, ports: &[u16]| {
            let items = ports.iter().map(|&port| Item::Element(Expression::Number(port.into()))).collect();
            let matching = one_of(Expression::Payload { protocol, field: "dport" }, items);
            Rule::new(matching.into_iter().chain([accept()]).collect())
        };
        let types = |types: &[u32]| {
            let protocol = if family == Family::V4 { "icmp" } else { "icmpv6" };
            let items = types.iter().map(|&number| Item::Element(Expression::Number(number))).collect();
            let matching = one_of(Expression::Payload { protocol, field: "type" }, items);
            Rule::new(matching.into_iter().chain([accept()]).collect())
        };
        let (server, client) = if family == Family::V4 { (67, 68) } else { (547, 546) };
        // Multicast listeners and neighbour discovery, redirects among it.
        let links =
            (family == Family::V6).then(|| types(&[130, 131, 132, 133, 134, 135, 136, 137, 143])).into_iter();
        if course == Course::Output {
            // The kernel's own errors, about packets whose flow it has not entered yet.
            let errors: &[u32] = if family == Family::V4 { &[3, 5, 11, 12] } else { &[1, 2, 3, 4] };
            return links.chain([types(errors), ports("udp", &[client])]).collect();
        }
        let destination = Expression::Fib { result: "type", flags: vec!["daddr"] };
        let local = word("local");
        let to_many = vec![Statement::Match { op: "!=", left: destination, right: local }, accept()];
        let services = [Rule::new(to_many), ports("udp", &[53, server]), ports("tcp", &[53])];
        let admin = (self.admin == AdminGuard::On).then(|| ports("tcp", &[22, 80, 443]));
        links.chain(services).chain(admin).collect()
    }

    /// The borders that flows of this course cross, in order.
    fn walk(&self, works: &mut Works, family: Family, course: Course) -> Vec<Rule> {
        use Direction::{Egress, Ingress};
        let mut rules = Vec::new();
        let outer: &[NodeId] = &[Some(self.room), self.model.node(self.room).parent]
            .into_iter()
            .flatten()
            .filter(|&node| node != self.gateway)
            .collect::<Vec<_>>();
        if matches!(course, Course::Outward | Course::Between | Course::Input) {
            for layer in [Layer::Own, Layer::Host, Layer::Station] {
                rules.extend(self.layer(works, family, course, Egress, layer));
            }
        }
        match course {
            Course::Outward => rules
                .extend(outer.iter().filter_map(|&border| self.outer(works, family, course, Egress, border))),
            Course::Inward => rules.extend(
                outer.iter().rev().filter_map(|&border| self.outer(works, family, course, Ingress, border)),
            ),
            Course::Input => rules.extend(self.own_host(works, family, Ingress)),
            Course::Output => rules.extend(self.own_host(works, family, Egress)),
            Course::Between => {}
        }
        if matches!(course, Course::Inward | Course::Between | Course::Output) {
            for layer in [Layer::Station, Layer::Host, Layer::Own] {
                rules.extend(self.layer(works, family, course, Ingress, layer));
            }
        }
        rules
    }

    /// The far end of a flow.
    fn far(&self, family: Family, course: Course) -> Side<'_> {
        match course {
            Course::Outward | Course::Inward => Side::Internet,
            Course::Between => Side::Locals(self.locals(family)),
            Course::Input | Course::Output => Side::Gateway(self.judge.rank(self.gateway)),
        }
    }

    /// The chain of one border, where it has one.
    #[expect(clippy::too_many_arguments, reason = "a border, which way it is crossed, and by whom")]
    fn border(
        &self,
        works: &mut Works,
        family: Family,
        border: NodeId,
        direction: Direction,
        of_host: bool,
        near: Side<'_>,
        far: Side<'_>,
    ) -> Option<String> {
        let standing = self.judge.standing(border, direction, of_host);
        let host = if of_host { "/host" } else { "" };
        let name = format!("{direction}{host}/{}", self.model.node(border).name);
        let (from, to) = match direction {
            Direction::Egress => (near, far),
            Direction::Ingress => (far, near),
        };
        Border { judge: self.judge, family, from, to }.compile(works, &name, &standing)
    }

    /// The room's border or the owner's.
    fn outer(
        &self,
        works: &mut Works,
        family: Family,
        course: Course,
        direction: Direction,
        border: NodeId,
    ) -> Option<Rule> {
        let (near, far) = (Side::Locals(self.locals(family)), self.far(family, course));
        let target = self.border(works, family, border, direction, false, near, far)?;
        Some(Rule::new(vec![verdict(Verdict::Jump { target })]))
    }

    /// The border of this gateway's own host, for its own flows with who is not inside it.
    fn own_host(&self, works: &mut Works, family: Family, direction: Direction) -> Option<Rule> {
        let near = Side::Gateway(self.judge.rank(self.gateway));
        let far = Side::Locals(self.locals(family));
        let target = self.border(works, family, self.gateway, direction, false, near, far)?;
        let field = far_field(direction);
        let mut rule = Vec::from_iter(is_outside(works, family, field, self.inside(family, self.gateway)));
        rule.push(verdict(Verdict::Jump { target }));
        Some(Rule::new(rule))
    }

    /// One rule that sends each address on the kernel's side past one of its borders.
    fn layer(
        &self,
        works: &mut Works,
        family: Family,
        course: Course,
        direction: Direction,
        layer: Layer,
    ) -> Option<Rule> {
        let mut targets = Vec::new();
        match layer {
            Layer::Own | Layer::Host => {
                for local in self.locals(family).iter().filter(|local| local.node != local.station) {
                    let (near, far) = (Side::Locals(std::slice::from_ref(local)), self.far(family, course));
                    let of_host = layer == Layer::Host;
                    let target = self.border(works, family, local.node, direction, of_host, near, far);
                    targets.extend(target.map(|target| (IpNetwork::from(local.address), target)));
                }
            }
            Layer::Station => {
                let host = matches!(course, Course::Input | Course::Output);
                let stations =
                    self.model.children(self.room).filter(|&station| !host || station != self.gateway);
                for station in stations {
                    let inside = self.inside(family, station);
                    targets.extend(self.station(works, family, course, direction, station, inside));
                }
            }
        }
        let field = match direction {
            Direction::Egress => "saddr",
            Direction::Ingress => "daddr",
        };
        works.dispatch(family, field, targets)
    }

    /// A station's border, for it and all inside it.
    fn station(
        &self,
        works: &mut Works,
        family: Family,
        course: Course,
        direction: Direction,
        station: NodeId,
        inside: &[Local],
    ) -> Vec<(IpNetwork, String)> {
        if inside.is_empty() {
            return Vec::new();
        }
        let (near, far) = (Side::Locals(inside), self.far(family, course));
        let Some(mut target) = self.border(works, family, station, direction, false, near, far) else {
            return Vec::new();
        };
        if course == Course::Between && inside.len() > 1 {
            // Two ends inside it don't cross it.
            let mut rule = Vec::from_iter(is_outside(works, family, far_field(direction), inside));
            rule.push(verdict(Verdict::Goto { target }));
            let name = format!("{direction}/{}/apart", self.model.node(station).name);
            target = works.chain(&name, vec![Rule::new(rule)]);
        }
        inside.iter().map(|local| (IpNetwork::from(local.address), target.clone())).collect()
    }
}

/// Where the far end of a flow that crosses a border in this direction is.
fn far_field(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "daddr",
        Direction::Ingress => "saddr",
    }
}

/// That the address is none of these.
fn is_outside(works: &mut Works, family: Family, field: &'static str, inside: &[Local]) -> Option<Statement> {
    if inside.is_empty() {
        return None;
    }
    let mut inside: Vec<_> = inside.iter().map(|local| IpNetwork::from(local.address)).collect();
    inside.sort_unstable();
    let right = Expression::Word(format!("@{}", works.address_set(&inside)));
    Some(Statement::Match { op: "!=", left: family.field(field), right })
}

pub(super) fn verdict(verdict: Verdict) -> Statement {
    Statement::Verdict(verdict)
}

pub(super) fn is_in(left: Expression, set: String) -> Statement {
    Statement::Match { op: "==", left, right: Expression::Word(format!("@{set}")) }
}

pub(super) fn interface_is(key: &'static str, names: &[&str]) -> Statement {
    let items = names.iter().map(|name| Item::Element(Expression::Name((*name).to_owned()))).collect();
    one_of(Expression::Meta { key }, items).expect("an interface is named")
}

/// The first packet decides; replies, and ICMP errors about it, follow.
fn known_flows() -> Rule {
    let state = |state: &str| Item::Verdict(word(state), Verdict::Accept(()));
    let data = Expression::Set(vec![state("established"), state("related")]);
    Rule::new(vec![Statement::Vmap { key: Expression::Ct { key: "state" }, data }])
}

/// What belongs to no flow and begins none: ICMP, and TCP that is no SYN. Conntrack would take up a connection in its
/// middle, from whichever side speaks first: the side that may begin others would bring back one that was cut.
fn strays(works: &mut Works, family: Family) -> [Rule; 2] {
    let state = Expression::Ct { key: "state" };
    let mut unrelated = vec![
        Statement::Match {
            op: "==",
            left: Expression::Meta { key: "l4proto" },
            right: Expression::Number(icmp(family).into()),
        },
        Statement::Match { op: "in", left: state, right: word("invalid") },
    ];
    unrelated.extend(works.turn_away(DropReason::NoFlow));
    let mut middle = vec![tcp_flags("!=", ["syn", "ack"])];
    middle.extend(works.turn_away(DropReason::NoFlow));
    [unrelated, middle].map(Rule::new)
}

/// Whether of two flags of TCP's only SYN is set.
pub(super) fn tcp_flags(op: &'static str, of: [&str; 2]) -> Statement {
    let flags = Expression::Payload { protocol: "tcp", field: "flags" };
    let of = Expression::Or(of.map(word).into());
    Statement::Match { op, left: Expression::And(vec![flags, of]), right: word("syn") }
}

pub(super) fn word(word: &str) -> Expression {
    Expression::Word(word.to_owned())
}
