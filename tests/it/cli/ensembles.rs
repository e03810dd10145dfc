//! Trials that are put together: how they stand beside others, and what is made of them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dice::Dice;
use crate::world::World;

/// Flows of which half of the attacks are like those of training, and half are not.
fn flows(rows: usize, has_worms: bool, seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = "bytes,packets,secs,label\n".to_owned();
    for _ in 0..rows {
        let label = match dice.below(10) {
            8 => "scan",
            9 if has_worms => "worm",
            _ => "normal",
        };
        let shift = match label {
            "scan" => [-3.0, -1.0, 0.0],
            "worm" => [3.0, 4.0, 5.0],
            _ => [0.0, 0.0, 0.0],
        };
        for shift in shift {
            let _ = write!(text, "{:.3},", 5.0 + dice.normal() + shift);
        }
        let _ = writeln!(text, "{label}");
    }
    text
}

fn world(candidates: &str, ensembles: &str, select: &str) -> World {
    let world = World::new();
    world.write("known.csv", flows(1200, false, 6));
    world.write("later.csv", flows(900, true, 7));
    world.write(
        "p.yaml",
        format!(
            "stages:
  train_rows: {{ kind: ingest, inputs: {{ data: known.csv }} }}
  test_rows: {{ kind: ingest, inputs: {{ data: later.csv }} }}
  transform:
    kind: transform
    inputs: {{ train: train_rows.data, test: test_rows.data }}
    with: {{ target: label, target_map: {{ normal: benign, scan: attack, worm: attack }}, steps: [{{scale: {{}}}}] }}
  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}
    with: {{ candidates: {candidates}, ensembles: {ensembles}, select: {select}, threshold_fpr: 0.02 }}
  evaluate:
    kind: evaluate
    inputs: {{ model: train.model, test: test_rows.data, champion: \"ref:champion/both\" }}
    with: {{ metric: recall_at_fpr_0_01, min_score: 0.1, slices: [label] }}
"
        ),
    );
    world
}

fn json(world: &World, what: &str) -> Value {
    serde_json::from_str(&world.ok(&["cat", what])).unwrap()
}

const SUPERVISED: &str = "[{learner: logistic_regression}, {learner: decision_tree, grid: {max_depth: [3]}}, \
                          {learner: naive_bayes}, {learner: mahalanobis}]";

#[test]
fn ensembles_stand_on_the_leaderboard_and_are_picked_where_they_are_best() {
    let ensembles =
        "[{rule: voting}, {rule: stacking, members: 2}, {rule: either, novelty_share: 0.5}]";
    let world = world(
        SUPERVISED,
        ensembles,
        "{metric: log_loss, min_score: -1, among: [stacking]}",
    );
    world.ok(&["run", "p.yaml"]);
    let board = json(&world, "train.metrics");
    let trials = board["trials"].as_array().unwrap();
    let of = |name: &str| {
        trials
            .iter()
            .find(|trial| trial["learner"] == name)
            .unwrap()
    };
    assert_eq!(trials.len(), 7);
    let stacking = of("stacking");
    assert_eq!(stacking["trial"], 6);
    assert_eq!(stacking["folds"].as_array().unwrap().len(), 3);
    let members = stacking["setting"].as_object().unwrap();
    assert_eq!(members.keys().collect::<Vec<_>>(), ["member 1", "member 2"]);
    assert_eq!(of("either")["setting"]["novelty_share"], 0.5);
    let shown: Value =
        serde_json::from_str(&world.ok(&["model", "show", "train.model", "--json"])).unwrap();
    assert_eq!(shown["learner"], "stacking");
    world.ok(&["predict", "train.model", "later.csv", "-o", "scored.csv"]);
    world.ok(&[
        "model",
        "explain",
        "train.model",
        "later.csv",
        "--background",
        "known.csv",
        "--samples",
        "2",
        "-o",
        "why.csv",
    ]);
}

#[test]
fn what_neither_training_nor_novelty_finds_alone_both_find() {
    let candidates = "[{learner: gradient_boosting, grid: {trees: [20]}}, {learner: mahalanobis}]";
    let found = |name: &str| {
        let select = format!("{{metric: recall_at_fpr_0_01, min_score: 0.1, among: [{name}]}}");
        let world = world(candidates, "[{rule: either, novelty_share: 0.5}]", &select);
        world.ok(&["run", "p.yaml"]);
        let decision = json(&world, "evaluate.decision");
        let name = decision["challenger"]["learner"]
            .as_str()
            .unwrap()
            .to_owned();
        (
            name,
            decision["challenger"]["metrics"]["recall"]
                .as_f64()
                .unwrap(),
        )
    };
    // By the attacks of training alone the model is better: the other is asked for.
    let (alone, without) = found("gradient_boosting");
    assert_eq!(alone, "gradient_boosting");
    let (both, with) = found("either");
    assert_eq!(both, "either");
    assert!(with > without + 0.3, "{with} {without}");
}

#[test]
fn what_cannot_be_put_together_is_refused() {
    for (candidates, ensembles, why) in [
        (
            "[{learner: knn}]",
            "[{rule: voting}]",
            "two different learners",
        ),
        (
            "[{learner: knn}]",
            "[{rule: either}]",
            "needs a novelty detector",
        ),
        (
            "[{learner: hbos}]",
            "[{rule: either}]",
            "needs a learner that is trained on attacks",
        ),
    ] {
        let world = world(candidates, ensembles, "{min_score: 0.1}");
        let told = world.netsec(&["run", "p.yaml"]).stderr;
        assert!(told.contains(why), "{told}");
    }
    let world = world("[{learner: knn}]", "[]", "{among: [eitther, knm]}");
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    assert!(told.contains("`knm` is not among the candidates"), "{told}");
}
