//! A threshold by what mistakes cost.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dice::Dice;
use crate::world::World;

const BOOSTING: &str =
    "{ learner: gradient_boosting, grid: { trees: [20], class_weight: [none, 5] } }";

fn world(candidate: &str, train: &str) -> World {
    let mut dice = Dice(4);
    let mut text = "bytes,secs,label\n".to_owned();
    for _ in 0..1500 {
        let is_scan = dice.below(5) == 0;
        let shift = if is_scan { 1.5 } else { 0.0 };
        let label = if is_scan { "scan" } else { "normal" };
        let _ = writeln!(
            text,
            "{:.3},{:.3},{label}",
            dice.normal() + shift,
            dice.normal() - shift
        );
    }
    let world = World::new();
    world.write("flows.csv", &text);
    world.write(
        "p.yaml",
        format!(
            "stages:
  rows: {{ kind: ingest, inputs: {{ data: flows.csv }} }}
  split: {{ kind: split, inputs: {{ data: rows.data }}, with: {{ target: label }} }}
  transform:
    kind: transform
    inputs: {{ train: split.train, test: split.test }}
    with: {{ target: label, target_map: {{ normal: benign, scan: attack }}, steps: [] }}
  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}
    with: {{ candidates: [{candidate}], select: {{ min_score: 0.1 }}, {train} }}
"
        ),
    );
    world
}

fn threshold(world: &World) -> f64 {
    let shown = world.ok(&["model", "show", "train.model", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown["validation"]["threshold"].as_f64().unwrap()
}

#[test]
fn dear_misses_lower_the_threshold() {
    let at = |cost: &str| {
        let world = world(BOOSTING, cost);
        let told = world.netsec(&["run", "p.yaml"]).stderr;
        assert!(told.contains("mistakes cost least there"), "{told}");
        threshold(&world)
    };
    let (dear, cheap) = (
        at("cost: { miss: 100, prevalence: 0.2 }"),
        at("cost: { miss: 1, prevalence: 0.2 }"),
    );
    assert!(dear < cheap, "{dear} {cheap}");
    let world = world(BOOSTING, "cost: { miss: 100, prevalence: 0.2 }");
    world.ok(&["run", "p.yaml"]);
    let board: Value = serde_json::from_str(&world.ok(&["cat", "train.metrics"])).unwrap();
    let weights = board["trials"].as_array().unwrap().iter();
    let mut weights: Vec<String> = weights
        .map(|trial| trial["setting"]["class_weight"].to_string())
        .collect();
    weights.sort_unstable();
    assert_eq!(weights, ["\"none\"", "5.0"]);
}

#[test]
fn a_threshold_is_set_once_and_alarms_may_not_pay() {
    let told = world(
        BOOSTING,
        "threshold_fpr: 0.01, cost: { miss: 100, prevalence: 0.2 }",
    );
    let told = told.netsec(&["run", "p.yaml"]).stderr;
    assert!(told.contains("sets the threshold already"), "{told}");
    // Two leaves, both with benign rows.
    let stump = "{ learner: decision_tree, grid: { max_depth: [1] } }";
    let told = world(
        stump,
        "cost: { miss: 1, alarm: 1000, prevalence: 0.0000001 }",
    );
    let told = told.netsec(&["run", "p.yaml"]).stderr;
    assert!(told.contains("no alarm at all costs least"), "{told}");
}

#[test]
fn rows_between_two_budgets_are_left_to_review() {
    let world = world(BOOSTING, "threshold_fpr: 0.02, review_fpr: 0.1");
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    assert!(told.contains("rows are left to review"), "{told}");
    let rows = std::fs::read_to_string(world.root().join("flows.csv")).unwrap();
    let features = rows.lines().map(|line| line.rsplit_once(',').unwrap().0);
    world.write("new.csv", features.collect::<Vec<_>>().join("\n"));
    world.ok(&["predict", "train.model", "new.csv", "-o", "scored.csv"]);
    let scored = std::fs::read_to_string(world.root().join("scored.csv")).unwrap();
    let mut lines = scored.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = |name: &str| names.iter().position(|known| *known == name).unwrap();
    let [p, alarm, review] =
        ["probability", "alarm", "review"].map(|name| at(&format!("netsec_{name}")));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let p: f64 = cells[p].parse().unwrap();
        (p, cells[alarm] == "true", cells[review] == "true")
    };
    let rows: Vec<(f64, bool, bool)> = lines.map(row).collect();
    assert!(rows.iter().all(|(_, alarm, review)| !(*alarm && *review)));
    let of = |alarm: bool, review: bool| {
        let mine = rows.iter().filter(|row| (row.1, row.2) == (alarm, review));
        let p = mine.map(|row| row.0);
        (p.clone().fold(1.0, f64::min), p.fold(0.0, f64::max))
    };
    let (passed, reviewed, alarmed) = (of(false, false), of(false, true), of(true, false));
    assert!(
        passed.1 < reviewed.0 && reviewed.1 < alarmed.0,
        "{passed:?} {reviewed:?} {alarmed:?}"
    );
}

#[test]
fn what_is_reviewed_is_more_than_what_raises_an_alarm() {
    let refused = world(BOOSTING, "threshold_fpr: 0.02, review_fpr: 0.01");
    let refused = refused.netsec(&["run", "p.yaml"]).stderr;
    assert!(
        refused.contains("set it above `threshold_fpr`"),
        "{refused}"
    );
}
