//! A detector that tells families of attacks apart: from the table to the decision, the rows that
//! are scored, and what is said of them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dice::Dice;
use crate::world::World;

/// Flows of four families; those of `worm` stand only below the line `TRAINED`.
const TRAINED: usize = 1_600;

fn flows() -> (String, String) {
    let mut dice = Dice(11);
    let head = "duration,bytes,packets,proto,kind\n";
    let (mut train, mut test) = (head.to_owned(), head.to_owned());
    for row in 0..2_400 {
        let is_trained = row < TRAINED;
        let kind = match dice.below(20) {
            0..11 => "normal",
            11..15 => "smurf",
            15..18 => "nmap",
            18 => "satan",
            _ if is_trained => "normal",
            _ => "worm",
        };
        let shift = match kind {
            "normal" => [0.0, 0.0, 0.0],
            "smurf" => [-1.0, 2.0, 1.5],
            "worm" => [0.5, 2.0, 2.0],
            _ => [-2.0, -2.0, 0.5],
        };
        let line = if is_trained { &mut train } else { &mut test };
        for shift in shift {
            let _ = write!(line, "{:.2},", (3.0 + dice.normal() + shift).exp());
        }
        let proto = ["tcp", "udp", "icmp"][dice.below(if kind == "smurf" { 3 } else { 2 })];
        let _ = writeln!(line, "{proto},{kind}");
    }
    (train, test)
}

fn world(classes: &str, more: &str) -> World {
    let world = World::new();
    let (train, test) = flows();
    world.write("flows.csv", &train);
    world.write("later.csv", &test);
    world.write("p.yaml", pipeline(classes, more));
    world
}

fn pipeline(classes: &str, more: &str) -> String {
    format!(
        "stages:
  train_rows: {{ kind: ingest, inputs: {{ data: flows.csv }} }}
  test_rows: {{ kind: ingest, inputs: {{ data: later.csv }} }}
  transform:
    kind: transform
    inputs: {{ train: train_rows.data, test: test_rows.data }}
    with: {{ target: kind, {classes}, steps: [{{onehot: {{}}}}] }}
  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}
    with:
      candidates: [{{ learner: gradient_boosting, grid: {{ trees: [20] }} }}]
      select: {{ metric: macro_f1, min_score: 0.5 }}
      threshold_fpr: 0.05
  evaluate:
    kind: evaluate
    inputs: {{ model: train.model, test: test_rows.data, champion: \"ref:champion/families\" }}
    with: {{ metric: macro_f1, min_score: 0.3{more} }}
"
    )
}

const FAMILIES: &str =
    "target_map: {normal: benign, smurf: dos, nmap: probe, satan: probe, worm: worm}";

/// The decision of the latest run, the challenger's figures of each class, and the names of these.
fn decided(world: &World) -> (Value, Vec<Value>, Vec<String>) {
    let decision: Value = serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap();
    let classes = decision["challenger"]["by_class"]["classes"]
        .as_array()
        .unwrap()
        .clone();
    let name = |class: &Value| class["class"].as_str().unwrap().to_owned();
    let names = classes.iter().map(name).collect();
    (decision, classes, names)
}

#[test]
fn a_family_is_told_behind_every_alarm() {
    let world = world(
        FAMILIES,
        ", at_least_by_class: {dos: {recall: 0.6}, probe: {alarms: 0.6}}",
    );
    let ran = world.netsec(&["run", "p.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (decision, classes, names) = decided(&world);
    assert_eq!(names, ["benign", "dos", "probe", "worm"]);
    // Training had no row of the last: none is told to be one, and alarms on its rows still count.
    assert_eq!(classes[3]["told"], 0);
    assert!(
        classes[3]["alarms"]["hits"].as_u64().unwrap() > 0,
        "{}",
        classes[3]
    );
    let rows: u64 = classes
        .iter()
        .map(|class| class["rows"].as_u64().unwrap())
        .sum();
    let told: u64 = classes
        .iter()
        .map(|class| class["told"].as_u64().unwrap())
        .sum();
    assert_eq!((rows, told), (800, 800));
    let rules = decision["rules"].as_array().unwrap();
    let by_class = rules
        .iter()
        .filter(|rule| rule["rule"] == "at_least_by_class");
    assert_eq!(by_class.filter(|rule| rule["passes"] == true).count(), 2);
    world.ok(&["predict", "train.model", "later.csv", "-o", "scored.csv"]);
    let scored = std::fs::read_to_string(world.root().join("scored.csv")).unwrap();
    let head = scored.lines().next().unwrap();
    let added =
        "netsec_probability,netsec_alarm,netsec_class,netsec_class_probability,netsec_error";
    assert!(head.ends_with(added), "{head}");
    for line in scored.lines().skip(1) {
        let cells: Vec<&str> = line.rsplit(',').take(4).collect();
        let is_attack = ["dos", "probe", "worm"].contains(&cells[2]);
        assert_eq!(cells[3] == "true", is_attack, "{line}");
    }
    world.ok(&[
        "model",
        "explain",
        "train.model",
        "later.csv",
        "-o",
        "why.csv",
    ]);
    let why = std::fs::read_to_string(world.root().join("why.csv")).unwrap();
    let head = why.lines().next().unwrap();
    assert_eq!(
        head,
        "netsec_row,netsec_class,netsec_base,duration,bytes,packets,proto"
    );
    // What is explained is what is told.
    for (why, scored) in why.lines().zip(scored.lines()).skip(1) {
        assert_eq!(why.split(',').nth(1), scored.rsplit(',').nth(2));
    }
    world.ok(&["model", "export", "train.model", "-o", "card.md"]);
    let card = std::fs::read_to_string(world.root().join("card.md")).unwrap();
    assert!(card.contains("| dos |"), "{card}");
}

#[test]
fn each_label_may_be_a_class_and_one_that_training_did_not_have_is_unseen() {
    let world = world("target_map: {normal: benign}, other_labels: each", "");
    world.ok(&["run", "p.yaml"]);
    let (_, classes, names) = decided(&world);
    assert_eq!(names, ["benign", "nmap", "satan", "smurf", "unseen"]);
    assert!(classes[4]["rows"].as_u64().unwrap() > 20);
}

#[test]
fn what_does_not_go_with_classes_is_refused_with_what_to_do() {
    let refused = |classes: &str, more: &str, said: &str| {
        let world = world(classes, more);
        let ran = world.netsec(&["run", "p.yaml"]);
        assert_ne!(ran.code, 0);
        // The terminal may break lines.
        let words: Vec<&str> = ran.stderr.split_whitespace().collect();
        assert!(words.join(" ").contains(said), "{}", ran.stderr);
    };
    refused(
        "target_map: {normal: 0}, other_labels: 1",
        "",
        "`macro_f1` tells more than two classes apart, and `target_map` of `transform` names two",
    );
    refused(
        FAMILIES,
        ", at_least_by_class: {prob: {recall: 0.5}}",
        "there is no class `prob`: did you mean `probe`?",
    );
    refused(
        FAMILIES,
        ", at_least_by_class: {probe: {recal: 0.5}}",
        "there is no figure `recal` of a class",
    );
    refused(
        FAMILIES,
        ", not_worse: [{metric: recall, slice: proto, each_class: true}]",
        "for each value of a column or for each class, not for both",
    );
    refused(
        "target_map: {normal: dos}, other_labels: each",
        "",
        "a label must be benign, and one must be an attack",
    );
    refused(
        "target_map: {normal: benign, smurf: 2}, other_labels: each",
        "",
        "`2` is no class: one is 0, 1 or a name",
    );
}

#[test]
fn a_family_that_is_left_out_is_found_less_and_the_gate_may_ask_for_it() {
    let asked = |unseen: &str| {
        let world = world(FAMILIES, &format!(", unseen: {{at_fpr_0_01: {unseen}}}"));
        let text = pipeline(FAMILIES, &format!(", unseen: {{at_fpr_0_01: {unseen}}}"));
        world.write(
            "p.yaml",
            text.replace(
                "threshold_fpr: 0.05",
                "threshold_fpr: 0.05\n      leave_out: each_class",
            ),
        );
        world
    };
    let strict = asked("0.9");
    let ran = strict.netsec(&["run", "p.yaml"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("had it never been seen"),
        "{}",
        ran.stderr
    );
    let board: Value = serde_json::from_str(&strict.ok(&["cat", "train.metrics"])).unwrap();
    let families = board["unseen_families"].as_array().unwrap();
    let names: Vec<&str> = families
        .iter()
        .map(|family| family["family"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let share = |family: &Value, side: &str| family[side]["at_fpr_0_01"]["share"].as_f64().unwrap();
    for family in families {
        assert!(
            share(family, "unseen") <= share(family, "trained"),
            "{family}"
        );
    }
    assert!(
        share(&families[0], "unseen") <= share(&families[1], "unseen"),
        "the worst first"
    );
    let lax = asked("0.0");
    lax.ok(&["run", "p.yaml"]);
    // What was fitted for it is kept: a new gate asks for no fit.
    let page = lax.ok(&["cat", "evaluate.page"]);
    assert!(page.contains("Families that were never seen"));
    let refused = world("target_map: {normal: 0}, other_labels: 1", "");
    let binary = pipeline("target_map: {normal: 0}, other_labels: 1", "").replace("macro_f1", "f1");
    refused.write(
        "p.yaml",
        binary.replace(
            "threshold_fpr: 0.05",
            "threshold_fpr: 0.05\n      leave_out: each_class",
        ),
    );
    let said = refused.netsec(&["run", "p.yaml"]).stderr;
    assert!(
        said.contains("the attacks are of one family by `each_class`"),
        "{said}"
    );
    let by_column = binary
        .replace(
            "threshold_fpr: 0.05",
            "threshold_fpr: 0.05\n      leave_out: kind",
        )
        .replace(
            "transform.preprocessor }",
            "transform.preprocessor, rows: train_rows.data }",
        );
    refused.write("p.yaml", by_column);
    refused.ok(&["run", "p.yaml"]);
    let board: Value = serde_json::from_str(&refused.ok(&["cat", "train.metrics"])).unwrap();
    assert_eq!(board["unseen_families"].as_array().unwrap().len(), 3);
}

#[test]
fn a_model_that_decays_is_seen_window_by_window() {
    let mut dice = Dice(5);
    let table = |from: usize, rows: usize, dice: &mut Dice| {
        let mut text = "at,bytes,packets,label\n".to_owned();
        for row in 0..rows {
            // Attacks look more and more like other rows.
            let apart = 2.5 - 0.2 * ((from + row) as f64 / 400.0);
            let is_attack = dice.chance(0.4);
            let shift = if is_attack { apart } else { 0.0 };
            let (bytes, packets) = (dice.normal() + shift, dice.normal() - shift);
            let _ = writeln!(
                text,
                "{},{bytes:.4},{packets:.4},{}",
                (from + row) * 9,
                u8::from(is_attack)
            );
        }
        text
    };
    let world = World::new();
    world.write("flows.csv", table(0, 800, &mut dice));
    world.write("later.csv", table(800, 3_200, &mut dice));
    let pipeline = |more: &str| {
        format!(
            "stages:
  train_rows: {{ kind: ingest, inputs: {{ data: flows.csv }} }}
  test_rows: {{ kind: ingest, inputs: {{ data: later.csv }} }}
  transform:
    kind: transform
    inputs: {{ train: train_rows.data, test: test_rows.data }}
    with: {{ target: label, target_map: {{0: 0, 1: 1}}, drop: [at] }}
  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}
    with: {{ candidates: [{{ learner: logistic_regression }}] }}
  evaluate:
    kind: evaluate
    inputs: {{ model: train.model, test: test_rows.data, champion: \"ref:champion/decay\" }}
    with: {{ metric: recall, min_score: 0.3, by_time: {{ column: at, window: 1h{more} }} }}
"
        )
    };
    world.write("p.yaml", pipeline(""));
    world.ok(&["run", "p.yaml"]);
    let decision: Value = serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap();
    let decay = &decision["by_time"];
    let windows = decay["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 8);
    let rows: u64 = windows
        .iter()
        .map(|window| window["rows"].as_u64().unwrap())
        .sum();
    assert_eq!(rows, 3_200);
    assert!(
        decay["change_interval"][1].as_f64().unwrap() < 0.0,
        "it falls: {decay}"
    );
    assert!(decay["half_life"].as_f64().unwrap() > 2.0, "{decay}");
    let scores: Vec<f64> = windows
        .iter()
        .map(|window| window["score"].as_f64().unwrap())
        .collect();
    let area: f64 = scores
        .windows(2)
        .map(|pair| (pair[0] + pair[1]) / 2.0)
        .sum::<f64>()
        / 7.0;
    assert!((decay["area_under_time"].as_f64().unwrap() - area).abs() < 1e-12);
    assert!(
        world
            .ok(&["cat", "evaluate.page"])
            .contains("Over time, by windows of 1h")
    );
    world.write("p.yaml", pipeline(", at_least: 0.9"));
    let ran = world.netsec(&["run", "p.yaml"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("the least of all, does not reach the least 0.9"),
        "{}",
        ran.stderr
    );
    let refused = |more: &str, said: &str| {
        world.write("p.yaml", pipeline("").replace("window: 1h", more));
        let ran = world.netsec(&["run", "p.yaml"]);
        let words: Vec<&str> = ran.stderr.split_whitespace().collect();
        assert!(
            ran.code != 0 && words.join(" ").contains(said),
            "{}",
            ran.stderr
        );
    };
    refused("window: 1 fortnight", "`1 fortnight` is no length of time");
    refused("window: 1s", "at most 1000 are told apart");
}
