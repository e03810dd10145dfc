//! Every kind whose work other machines may carry out: whatever parts they are given, the same bytes as
//! here.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use netsec::base::outcome::StageOutcome;
use netsec::kinds::list::registry;
use proptest::prelude::*;

use crate::dice::Dice;
use crate::loopback_runner::Loopback;
use crate::toy::run_of;
use crate::world::World;

const PIPELINE: &str = "seed: 7
stages:
  ingest: { kind: ingest, inputs: { data: rows } }
  validate:
    kind: validate
    inputs: { data: ingest.data, schema: schema.yaml }
    limits: { remote: true }
  split:
    kind: split
    inputs: { data: validate.data }
    with: { target: result }
    limits: { remote: true }
  drift:
    kind: drift
    inputs: { current: split.test, reference: split.train }
    limits: { remote: true }
  transform:
    kind: transform
    inputs: { train: split.train, test: split.test }
    with: { target: result }
    limits: { remote: true }
  train:
    kind: train
    inputs: { train: transform.train, preprocessor: transform.preprocessor }
    with:
      folds: 3
      candidates:
        - { learner: logistic_regression, grid: { alpha: [0.1, 10.0] } }
        - { learner: random_forest, grid: { trees: [3, 6, 9] } }
        - { learner: decision_tree }
  evaluate:
    kind: evaluate
    inputs: { model: train.model, test: split.test, champion: \"ref:champion/away\" }
";

/// Six files of two hundred rows each.
fn world() -> World {
    let world = World::new();
    let columns =
        "a: { type: float, min: 0 }\n  b: { type: int }\n  c: { type: float, nullable: true }";
    world.write(
        "schema.yaml",
        format!("columns:\n  {columns}\n  result: {{ type: int, allowed: [-1, 1] }}\n"),
    );
    let mut dice = Dice(11);
    for file in 0..6 {
        let mut text = "a,b,c,result\n".to_owned();
        for _ in 0..200 {
            let (a, b, c) = (dice.below(1000), dice.below(7), dice.below(50));
            let is_attack = a + 60 * b + dice.below(300) > 800;
            let c = if c < 3 {
                String::new()
            } else {
                (c as f64 / 7.0).to_string()
            };
            let label = if is_attack { 1 } else { -1 };
            text.push_str(&format!("{},{b},{c},{label}\n", a as f64 / 10.0));
        }
        world.write(&format!("rows/{file}.csv"), text);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn whichever_parts_other_machines_make_the_bytes_are_the_same(
        jobs in 1_usize..7, alone: bool, faults in prop_oneof![Just(0_u64), 5_u64..60], seed: u64,
    ) {
        let local = run_of(&world(), PIPELINE, &registry(), None);
        prop_assert!(local.is_all(StageOutcome::Made), "{:?}", local.outcomes());
        let loopback = Loopback::new(registry).faulty(faults, seed);
        let there = world();
        let workers = loopback.workers_with(jobs, alone);
        let away = run_of(&there, PIPELINE, &registry(), Some(&workers));
        prop_assert_eq!(away.digests(), local.digests());
        if faults == 0 && alone {
            let tasks = loopback.tasks.lock().unwrap();
            let kinds: BTreeSet<&str> = tasks.iter().map(|task| task.kind.as_str()).collect();
            let all = BTreeSet::from(["validate", "split", "drift", "transform", "train"]);
            prop_assert_eq!(kinds, all);
            prop_assert!(loopback.jobs.load(Ordering::SeqCst) > 10);
        }
        let again = run_of(&there, PIPELINE, &registry(), None);
        prop_assert!(again.is_all(StageOutcome::Reused), "{:?}", again.outcomes());
    }
}
