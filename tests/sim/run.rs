//! Seeds: run, compared, shrunk and told.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::build::Size;
use crate::clock::{SECOND, Time};
use crate::faults;
use crate::rng::Rng;
use crate::town::Town;
use crate::transition::{self, Transition};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 200;
const STEPS: usize = 12;
/// Lines of a failing seed's diagram.
const LINES: usize = 60;

fn transitions(seed: u64) -> Vec<Transition> {
    transition::draw(STEPS, &mut Rng::new(seed, 6))
}

/// Plays a seed's town with these transitions; stops at what is broken.
fn play(seed: u64, transitions: &[Transition]) -> Town {
    faults::take();
    let mut town = Town::new(seed, Size::of(seed));
    town.run(10 * SECOND);
    let first = Transition { kind: transition::Kind::Send, seed };
    for &transition in std::iter::once(&first).chain(transitions) {
        if town.broken.is_some() {
            break;
        }
        town.step(transition);
    }
    town
}

/// The same failure with as few transitions as dropping one after the other leaves.
fn shrink(seed: u64, mut transitions: Vec<Transition>) -> (Vec<Transition>, Town) {
    let mut town = play(seed, &transitions);
    let mut at = transitions.len();
    while at > 0 {
        at -= 1;
        let mut fewer = transitions.clone();
        fewer.remove(at);
        let other = play(seed, &fewer);
        if other.broken.is_some() {
            (transitions, town) = (fewer, other);
            at = at.min(transitions.len());
        }
    }
    (transitions, town)
}

fn tell(seed: u64) -> String {
    let (transitions, town) = shrink(seed, transitions(seed));
    let why = town.broken.clone().unwrap_or_default();
    let names: Vec<_> = transitions.iter().map(|transition| transition.kind.name()).collect();
    let diagram = town.diagram.mermaid(LINES);
    format!("seed {seed}: {why}\nafter: {}\n\n{diagram}\nagain: make sim SEED={seed}", names.join(", "))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().expect("a number"))
}

fn listen<T>(act: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(faults::Listener, act)
}

#[derive(Debug, Default)]
struct Sum {
    took: BTreeMap<&'static str, Vec<Time>>,
    delivered: u64,
    relayed: u64,
    chained: u64,
    denied: u64,
    pathless: u64,
    uncertain: u64,
    lies: u64,
    went_on: u64,
    called: u64,
    datagrams: u64,
    engines: u64,
    engines_most: usize,
    hours: f64,
    failing: BTreeMap<u64, String>,
}

impl Sum {
    fn add(&mut self, seed: u64, town: &Town) {
        for (&after, took) in &town.ledger.took {
            self.took.entry(after).or_default().extend(took);
        }
        self.delivered += town.ledger.delivered;
        self.relayed += town.ledger.relayed;
        self.chained += town.ledger.chained;
        self.denied += town.ledger.denied;
        self.pathless += town.ledger.pathless;
        self.uncertain += town.ledger.uncertain;
        self.lies += town.ledger.lies;
        self.went_on += town.ledger.went_on;
        self.called += town.ledger.called;
        self.datagrams += town.internet.sent;
        self.engines += town.gateways.len() as u64;
        self.engines_most = self.engines_most.max(town.gateways.len());
        self.hours += town.now as f64 / SECOND as f64 / 3_600.0;
        if let Some(why) = &town.broken {
            self.failing.insert(seed, why.clone());
        }
    }

    fn print(&mut self) {
        println!(
            "{} engines, at most {} at once; {:.1} virtual hours; {} datagrams",
            self.engines, self.engines_most, self.hours, self.datagrams
        );
        println!(
            "flows: {} delivered, {} of them where only relays join and {} where only two do, {} denied, {} without a path, \
             {} in another's name, {} uncertain, {} went on at another gateway; {} stations were called by their room",
            self.delivered,
            self.relayed,
            self.chained,
            self.denied,
            self.pathless,
            self.lies,
            self.uncertain,
            self.went_on,
            self.called
        );
        println!(
            "{:<22}{:>8}{:>10}{:>10}{:>10}",
            "seconds to pass after", "flows", "median", "99 %", "longest"
        );
        for (after, took) in &mut self.took {
            took.sort_unstable();
            let at = |share: usize| Duration::from_micros(took[(took.len() - 1) * share / 100]).as_secs_f64();
            println!("{after:<22}{:>8}{:>10.2}{:>10.2}{:>10.2}", took.len(), at(50), at(99), at(100));
        }
    }
}

#[test]
fn what_the_rosters_allow_gets_there_and_nothing_else() {
    if let Some(seed) = number("SEED") {
        let town = listen(|| play(seed, &transitions(seed)));
        println!("{}", town.diagram.log());
        assert_eq!(town.broken, None, "{}", listen(|| tell(seed)));
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Sum::default());
    let work = || {
        listen(|| {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return;
                }
                let town = play(seed, &transitions(seed));
                sum.lock().unwrap().add(seed, &town);
            }
        });
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut sum = sum.into_inner().unwrap();
    sum.print();
    if let Some((&first, _)) = sum.failing.first_key_value() {
        let told = listen(|| tell(first));
        panic!("{} of {seeds} seeds fail: {:#?}\n{told}", sum.failing.len(), sum.failing);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 7, 15] {
        let one = listen(|| play(seed, &transitions(seed)));
        let other = listen(|| play(seed, &transitions(seed)));
        assert!(one.diagram.log() == other.diagram.log(), "seed {seed} differs");
        assert!(one.internet.sent > 100);
    }
}
