//! Rows that count differently, from the table to the verdict.

use std::fmt::Write as _;

use crate::dice::Dice;
use crate::world::World;

/// Flows, a fifth of them scans; a benign one stands for as many as `times` says.
fn flows(rows: usize, times: impl Fn(usize) -> String) -> String {
    let mut dice = Dice(4);
    let mut text = "bytes,secs,times,label\n".to_owned();
    for row in 0..rows {
        let is_scan = dice.below(5) == 0;
        let shift = if is_scan { 1.0 } else { 0.0 };
        let label = if is_scan { "scan" } else { "normal" };
        let times = if is_scan { "1".to_owned() } else { times(row) };
        let (bytes, secs) = (dice.normal() + shift, dice.normal() - shift);
        let _ = writeln!(text, "{bytes:.3},{secs:.3},{times},{label}");
    }
    text
}

fn world(text: String, learner: &str, weight: &str) -> World {
    let world = World::new();
    world.write("flows.csv", text);
    world.write(
        "p.yaml",
        format!(
            "stages:
  rows: {{ kind: ingest, inputs: {{ data: flows.csv }} }}
  split: {{ kind: split, inputs: {{ data: rows.data }}, with: {{ target: label }} }}
  transform:
    kind: transform
    inputs: {{ train: split.train, test: split.test }}
    with: {{ target: label, target_map: {{ normal: benign, scan: attack }}, steps: [], {weight} }}
  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}
    with: {{ candidates: [{{ learner: {learner} }}], threshold_fpr: 0.1, select: {{ metric: roc_auc, min_score: 0.1 }} }}
"
        ),
    );
    world
}

#[test]
fn a_column_says_how_much_a_row_counts() {
    let probabilities = |weight: &str| -> Vec<f64> {
        let world = world(
            flows(900, |_| "20".to_owned()),
            "logistic_regression",
            weight,
        );
        world.ok(&["run", "p.yaml"]);
        world.write("new.csv", "bytes,secs\n1,-1\n0,0\n");
        let scored = world.ok(&["predict", "train.model", "new.csv"]);
        let p = |line: &str| line.split(',').nth(2).unwrap().parse().unwrap();
        scored.lines().skip(1).map(p).collect()
    };
    let (with, without) = (
        probabilities("weight: times"),
        probabilities("drop: [times]"),
    );
    // The odds are twenty times lower, as attacks are twenty times rarer.
    for (with, without) in with.iter().zip(&without) {
        let odds = |p: f64| p / (1.0 - p);
        let lower = odds(*without) / odds(*with);
        assert!((10.0..40.0).contains(&lower), "{with} {without}");
    }
}

#[test]
fn what_is_wrong_with_weights_is_told() {
    let twice = || flows(300, |_| "2".to_owned());
    let now_and_then =
        |odd: &'static str| move |row: usize| if row % 7 == 3 { odd } else { "2" }.to_owned();
    for (text, learner, weight, why) in [
        (
            twice(),
            "knn",
            "weight: times",
            "`knn` lets every row count the same",
        ),
        (
            twice(),
            "svm",
            "weight: tims",
            "weight: there is no column `tims`: did you mean `times`",
        ),
        (
            flows(300, now_and_then("-1")),
            "svm",
            "weight: times",
            "weight: `times` is -1 in row",
        ),
        (
            flows(300, now_and_then("")),
            "svm",
            "weight: times",
            "weight: `times` is missing in row",
        ),
        (
            twice(),
            "svm",
            "weight: label",
            "the column `label` holds text, not numbers",
        ),
    ] {
        let told = world(text, learner, weight)
            .netsec(&["run", "p.yaml"])
            .stderr;
        assert!(told.contains(why), "{why}: {told}");
    }
}
