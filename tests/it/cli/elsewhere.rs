//! A model judged by rows of another network, too.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dice::Dice;
use crate::world::World;

/// Flows of a site at which everything is shifted by so much.
fn flows(rows: usize, by: f64, seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = "bytes,secs,label\n".to_owned();
    for _ in 0..rows {
        let is_scan = dice.below(4) == 0;
        let shift = by + if is_scan { 3.0 } else { 0.0 };
        let label = if is_scan { "scan" } else { "normal" };
        let _ = writeln!(
            text,
            "{:.3},{:.3},{label}",
            dice.normal() + shift,
            dice.normal() + shift
        );
    }
    text
}

fn world(rows: usize, inputs: &str, rules: &str) -> World {
    let world = World::new();
    world.write("known.csv", flows(900, 0.0, 1));
    world.write("later.csv", flows(500, 0.0, 2));
    world.write("branch.csv", flows(rows, -3.0, 3));
    world.write(
        "p.yaml",
        format!(
            "stages:
  train_rows: {{ kind: ingest, inputs: {{ data: known.csv }} }}
  test_rows: {{ kind: ingest, inputs: {{ data: later.csv }} }}
  branch_rows: {{ kind: ingest, inputs: {{ data: branch.csv }} }}
  transform:
    kind: transform
    inputs: {{ train: train_rows.data, test: test_rows.data }}
    with: {{ target: label, target_map: {{ normal: benign, scan: attack }}, steps: [] }}
  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}
    with: {{ candidates: [{{ learner: logistic_regression }}] }}
  evaluate:
    kind: evaluate
    inputs: {{ model: train.model, test: test_rows.data, champion: \"ref:champion/p\"{inputs} }}
    with: {{ min_score: 0.5{rules} }}
"
        ),
    );
    world
}

const BRANCH: &str = ", elsewhere: branch_rows.data";

fn decision(world: &World) -> Value {
    serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap()
}

#[test]
fn what_holds_here_and_not_elsewhere_is_told_first() {
    let world = world(500, BRANCH, "");
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    let notes: Vec<&str> = told.lines().map(str::trim).collect();
    let first = notes
        .iter()
        .position(|line| line.starts_with("elsewhere it finds"));
    let accepted = notes.iter().position(|line| line.starts_with("accepted"));
    assert!(first.unwrap() < accepted.unwrap(), "{told}");
    let found = decision(&world);
    let recall = |of: &Value| of["recall"].as_f64().unwrap();
    let there = &found["elsewhere"];
    assert!(
        recall(&there["metrics"]) < 0.3 && recall(&there["here"]) > 0.8,
        "{there}"
    );
    let page = world.ok(&["cat", "evaluate.page"]);
    assert!(page.contains("On another network"));
}

#[test]
fn a_rule_on_another_network_is_a_rule() {
    let floor = ", at_least_elsewhere: { recall: 0.5 }";
    let refused = world(500, BRANCH, floor);
    let ran = refused.netsec(&["run", "p.yaml"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(ran.stderr.contains("elsewhere recall"), "{}", ran.stderr);
    let few = world(20, BRANCH, floor);
    let ran = few.netsec(&["run", "p.yaml"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("too few to tell recall by"),
        "{}",
        ran.stderr
    );
    let none = world(500, "", floor).netsec(&["run", "p.yaml"]).stderr;
    assert!(
        none.contains("name them as the input `elsewhere`"),
        "{none}"
    );
}
