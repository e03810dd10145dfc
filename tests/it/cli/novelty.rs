//! Novelty detectors from the table to the decision: without any label, and beside a model that was
//! trained on attacks.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dice::Dice;
use crate::world::World;

/// Flows; a tenth of them scans and a tenth floods where labels are told.
fn flows(rows: usize, with_labels: bool, seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = "bytes,packets,secs".to_owned();
    text.push_str(if with_labels { ",label\n" } else { "\n" });
    for _ in 0..rows {
        let label = match dice.below(if with_labels { 10 } else { 8 }) {
            8 => "scan",
            9 => "flood",
            _ => "normal",
        };
        let shift = match label {
            "scan" => [-4.0, -1.0, -4.0],
            "flood" => [3.0, 4.0, 0.0],
            _ => [0.0, 0.0, 0.0],
        };
        let cells = shift.map(|shift| format!("{:.3}", 5.0 + dice.normal() + shift));
        text.push_str(&cells.join(","));
        let _ = match with_labels {
            true => writeln!(text, ",{label}"),
            false => writeln!(text),
        };
    }
    text
}

fn pipeline(train: &str, candidates: &str, more: &str) -> String {
    format!(
        "stages:
  train_rows: {{ kind: ingest, inputs: {{ data: {train} }} }}
  test_rows: {{ kind: ingest, inputs: {{ data: later.csv }} }}
  transform:
    kind: transform
    inputs: {{ train: train_rows.data, test: test_rows.data }}
    with: {{ target: label, target_map: {{ \"\": benign, normal: benign }}, other_labels: each, steps: [{{scale: {{}}}}] }}
  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}
    with: {{ candidates: {candidates}, select: {{ min_score: 0.1 }}{more} }}
  evaluate:
    kind: evaluate
    inputs: {{ model: train.model, test: test_rows.data, champion: \"ref:champion/novelty\" }}
    with: {{ metric: recall_at_fpr_0_01, min_score: 0.1 }}
"
    )
}

fn world(train: &str, candidates: &str, more: &str) -> World {
    let world = World::new();
    world.write("quiet.csv", flows(900, false, 5));
    world.write("known.csv", flows(900, true, 6));
    world.write("later.csv", flows(700, true, 7));
    world.write("p.yaml", pipeline(train, candidates, more));
    world
}

#[test]
fn a_detector_is_made_of_rows_without_labels_and_judged_by_others() {
    let world = world(
        "quiet.csv",
        "[{learner: mahalanobis}]",
        ", threshold_fpr: 0.01",
    );
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    let why = "of 900 benign rows raise an alarm, each told by a model that did not see it";
    assert!(told.contains(why), "{told}");
    assert!(told.contains("what the model finds is not known"), "{told}");
    let decision: Value = serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap();
    assert_eq!(decision["accepted"], Value::Bool(true), "{told}");
    let shown = world.ok(&["model", "show", "train.model"]);
    assert!(shown.contains("No attack was among the rows"), "{shown}");
    assert!(!shown.contains("recall"), "{shown}");
    // Rows without the column are scored as any.
    world.ok(&["predict", "train.model", "quiet.csv", "-o", "scored.csv"]);
}

#[test]
fn without_attacks_nothing_is_chosen() {
    let several = "[{learner: hbos, grid: {bins: [5, 10]}}]";
    let world = world("quiet.csv", several, ", threshold_fpr: 0.01");
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    assert!(
        told.contains("several novelty detectors cannot be compared"),
        "{told}"
    );
}

#[test]
fn a_detector_needs_a_budget() {
    let world = world("known.csv", "[{learner: ecod}]", "");
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    assert!(
        told.contains("what `ecod` tells is no probability"),
        "{told}"
    );
    assert!(told.contains("set `threshold_fpr`"), "{told}");
}

#[test]
fn what_novelty_finds_stands_beside_what_is_found_by_training() {
    let both = "[{learner: gradient_boosting, grid: {trees: [20]}}, {learner: copod}, {learner: knn_distance}]";
    let world = world(
        "known.csv",
        both,
        ", threshold_fpr: 0.01, leave_out: each_class",
    );
    world.ok(&["run", "p.yaml"]);
    let board: Value = serde_json::from_str(&world.ok(&["cat", "train.metrics"])).unwrap();
    let novelty = &board["novelty"];
    assert_eq!(novelty["novelty"]["learner"], "knn_distance", "{novelty}");
    assert_eq!(novelty["supervised"]["learner"], "gradient_boosting");
    let families = novelty["families"].as_array().unwrap();
    let name = |family: &Value| family["family"].as_str().unwrap().to_owned();
    assert_eq!(
        families.iter().map(name).collect::<Vec<_>>(),
        ["flood", "scan"]
    );
    let hits = |of: &Value| of["at_fpr_0_01"]["hits"].as_u64().unwrap();
    let each: u64 = families.iter().map(|family| hits(&family["novelty"])).sum();
    assert_eq!(each, hits(&novelty["attacks"]["novelty"]));
    let shown = world.ok(&["sweep", "show", "train.metrics"]);
    assert!(shown.contains("by the best novelty detector"), "{shown}");
    // The decision and the card tell the same.
    let decision: Value = serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap();
    assert_eq!(decision["challenger"]["novelty"], *novelty);
    world.ok(&["model", "export", "train.model", "-o", "card.md"]);
    let card = std::fs::read_to_string(world.root().join("card.md")).unwrap();
    assert!(card.contains("## Novelty"), "{card}");
}
