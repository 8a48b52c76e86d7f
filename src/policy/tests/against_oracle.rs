//! Random owners, trees, guests, policies and flows: the judge, its explanation and the oracle say the same.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::policy::sketch::dice::{Dice, STRANGERS};

fn check(judge: &Judge, model: &Model, question: &Question) -> Result<(), TestCaseError> {
    let (allowed, rows) = oracle::evaluate(model, question);
    let judgement = judge.judge(question);
    prop_assert_eq!(judgement.is_allowed(), allowed);
    let explanation = judge.explain(question);
    prop_assert_eq!(explanation.verdict == Verdict::Allow, allowed);
    let staged_lines = |staged: &[String]| {
        let line = |text: &String| text.split(':').nth(1).and_then(|line| line.parse().ok()).unwrap();
        staged.iter().map(line).collect::<Vec<u32>>()
    };
    let told: Vec<_> = explanation
        .borders
        .iter()
        .map(|row| oracle::Row {
            border: row.border.clone(),
            direction: row.direction,
            allows: row.verdict == Verdict::Allow,
            rule_line: row.rule.as_ref().and(row.line),
            staged_lines: staged_lines(&row.staged),
        })
        .collect();
    prop_assert_eq!(&told, &rows);

    // What the packet path is told: the first denial, and the rules up to it.
    let asked = rows.iter().position(|row| !row.allows).map_or(rows.len(), |at| at + 1);
    let denial =
        judgement.denial.map(|denial| (model.node(denial.border).name.to_string(), denial.direction));
    let denied = rows.get(asked.wrapping_sub(1)).filter(|row| !row.allows);
    prop_assert_eq!(denial, denied.map(|row| (row.border.clone(), row.direction)));
    let lines = |stage: bool| {
        let views = judgement.matched().iter().map(|&id| judge.rule(id).unwrap());
        views.filter(|rule| rule.stage == stage).map(|rule| rule.line.0).collect::<BTreeSet<_>>()
    };
    let deciders: BTreeSet<_> = rows[..asked].iter().filter_map(|row| row.rule_line).collect();
    prop_assert_eq!(lines(false), deciders);
    let staged: BTreeSet<_> = rows[..asked].iter().flat_map(|row| row.staged_lines.iter().copied()).collect();
    prop_assert!(lines(true).is_subset(&staged));
    prop_assert_eq!(lines(true).len(), staged.len().min(6));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_judge_says_what_the_oracle_says(rolls in prop::collection::vec(any::<u32>(), 0..400), seed: u64) {
        let mut dice = Dice::new(rolls, seed);
        let model = dice.world().model();
        let judge = Judge::new(Arc::clone(&model));
        for (_, node) in model.iter() {
            for address in node.addresses() {
                prop_assert_eq!(judge.place(address), oracle::place(&model, address));
            }
        }
        for stranger in STRANGERS {
            let address = stranger.parse().unwrap();
            prop_assert_eq!(judge.place(address), oracle::place(&model, address));
        }
        for _ in 0..60 {
            let is_v6 = dice.chance(60);
            let (from, to) = (dice.end(&model, is_v6), dice.end(&model, is_v6));
            if from.address.is_none() && to.address.is_none() {
                continue;
            }
            let question = Question { from, to, traffic: dice.traffic(is_v6) };
            check(&judge, &model, &question)?;
        }
    }

    #[test]
    fn two_places_between_which_the_oracle_lets_anything_pass_could_flow(
        rolls in prop::collection::vec(any::<u32>(), 0..400),
        seed: u64,
    ) {
        let mut dice = Dice::new(rolls, seed);
        let model = dice.world().model();
        let judge = Judge::new(Arc::clone(&model));
        let rooms: Vec<_> = model.iter().filter(|(_, node)| node.place.segments().len() == 2).collect();
        for (one, _) in &rooms {
            for (other, _) in rooms.iter().filter(|(other, _)| other != one) {
                let could = judge.could_flow(*one, *other);
                prop_assert_eq!(could, judge.could_flow(*other, *one));
                let ends = |room| model.range(room).map(|id| &model.nodes[id as usize]);
                for (a, b) in ends(*one).flat_map(|a| ends(*other).map(move |b| (a, b))) {
                    for (from, to) in a.addresses().flat_map(|from| b.addresses().map(move |to| (from, to))) {
                        if from.is_ipv6() != to.is_ipv6() || could {
                            continue;
                        }
                        for _ in 0..4 {
                            let traffic = dice.traffic(from.is_ipv6());
                            let (from, to) = (judge.end(from), judge.end(to));
                            for (from, to) in [(from, to), (to, from)] {
                                let allowed = oracle::evaluate(&model, &Question { from, to, traffic }).0;
                                prop_assert!(!allowed);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_range_of_ports_has_the_answer_of_each_of_its_ports(
        seed: u64,
        first in 15..35u16,
        width in 0..40u16,
    ) {
        let mut dice = Dice::new(Vec::new(), seed);
        let mut sketch = two_owners();
        let rules: Vec<_> = (0..dice.below(12)).map(|_| dice.rule()).collect();
        sketch.ingress("bob", &rules.iter().map(String::as_str).collect::<Vec<_>>());
        let bench = Bench::new(&sketch);
        let last = first + width;
        let service = crate::roster::Service::Tcp { first, last };
        let answer = bench.judge.ask(&party("alice/room/host"), &party("bob/room/host"), service).unwrap();
        let each = |port| bench.allows("alice/room/host", "bob/room/host", Traffic::Tcp(port));
        let allowed = (first..=last).filter(|&port| each(port)).count();
        let expected = match allowed {
            0 => Outcome::Denied,
            n if n == usize::from(width) + 1 => Outcome::Allowed,
            _ => Outcome::Mixed,
        };
        prop_assert_eq!(answer.outcome, expected);
    }
}
