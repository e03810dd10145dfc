//! Models and searches, as people look at them and use them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use prost::Message;
use serde_json::Value;

use crate::world::World;
use netsec::export::onnx::proto::ModelProto;
use netsec::frame::codec;
use netsec::source::files::{self, Options};

fn trained() -> World {
    let world = World::shipped();
    world.ok(&["run", "pipelines/default.yaml"]);
    world
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_learner_of_the_default_search_has_learned() {
    let world = trained();
    let board = json(&world.ok(&["sweep", "show", "--json"]));
    let trials = board["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 13);
    for trial in trials {
        assert!(
            trial["metrics"]["roc_auc"].as_f64().unwrap() > 0.8,
            "{trial}"
        );
        assert_eq!(trial["folds"].as_array().unwrap().len(), 3);
    }
    let shown = world.ok(&["sweep", "show", "--top", "3"]);
    assert!(
        shown
            .lines()
            .nth(4)
            .is_some_and(|line| line.contains("10 more trials")),
        "{shown}"
    );
    let svg = world.ok(&["sweep", "plot"]);
    assert!(
        svg.starts_with("<svg") && svg.matches("<circle").count() > 26,
        "{svg}"
    );
    let points = json(&world.ok(&["sweep", "plot", "--json"]));
    assert_eq!(
        points["hyperparameters"]["trees"].as_array().unwrap().len(),
        6
    );
    let other = world.netsec(&["sweep", "show", "train.model"]);
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(
        other.stderr.contains("is not a leaderboard"),
        "{}",
        other.stderr
    );
}

#[test]
fn rows_are_scored_and_those_that_cannot_be_say_why() {
    let world = trained();
    world.ok(&["cat", "split.test", "-o", "test.csv"]);
    let summary = json(&world.ok(&[
        "predict",
        "ref:champion/default",
        "test.csv",
        "-o",
        "all.csv",
        "--json",
    ]));
    let scored = std::fs::read_to_string(world.root().join("all.csv")).unwrap();
    let rows = scored.lines().count() as u64 - 1;
    for refused in ["test.csv", "./test.csv", "nowhere/all.csv"] {
        let over = world.netsec(&["predict", "ref:champion/default", "test.csv", "-o", refused]);
        assert_eq!(over.code, 2, "{refused}: {}", over.stderr);
    }
    assert_eq!(summary["rows"], rows);
    assert!(
        summary["alarms"].as_u64().unwrap() > 50 && summary["errors"] == 0,
        "{summary}"
    );
    // Into what is no file, and through links.
    std::os::unix::fs::symlink("all.csv", world.root().join("link.csv")).unwrap();
    world.ok(&[
        "predict",
        "ref:champion/default",
        "test.csv",
        "-o",
        "link.csv",
    ]);
    assert!(
        std::fs::symlink_metadata(world.root().join("link.csv"))
            .unwrap()
            .is_symlink()
    );
    world.ok(&[
        "predict",
        "ref:champion/default",
        "test.csv",
        "-o",
        "/dev/null",
    ]);
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    // Scored as Parquet, they can be read again, and are the same.
    world.ok(&[
        "predict",
        "ref:champion/default",
        "test.csv",
        "-o",
        "all.parquet",
    ]);
    let again = world.netsec(&["predict", "ref:champion/default", "all.parquet"]);
    assert_eq!(again.code, 4, "{}", again.stderr);
    assert!(
        again.stderr.contains("the rows were scored before"),
        "{}",
        again.stderr
    );
    let parquet = codec::decode(std::fs::read(world.root().join("all.parquet")).unwrap()).unwrap();
    let read = files::read(scored.clone().into_bytes(), &Options::plain(&[])).unwrap();
    assert_eq!(
        parquet.numbers("netsec_probability").unwrap(),
        read.numbers("netsec_probability").unwrap()
    );
    // The figures of the decision are those of these rows.
    let decision = json(&world.ok(&["cat", "evaluate.decision"]));
    assert_eq!(decision["challenger"]["metrics"]["rows"], rows);

    let text = std::fs::read_to_string(world.root().join("test.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let cut = lines[2].find(',').unwrap();
    lines[2] = format!("many{}", &lines[2][cut..]);
    world.write("odd.csv", &(lines[..5].join("\n") + "\n"));
    let odd = world.netsec(&[
        "predict",
        "ref:champion/default",
        "odd.csv",
        "-o",
        "scored.csv",
    ]);
    assert_eq!(odd.code, 4, "{}", odd.stderr);
    assert!(
        odd.stderr.contains("4 rows") && odd.stderr.contains("1 rows could not be scored"),
        "{}",
        odd.stderr
    );
    let scored = std::fs::read_to_string(world.root().join("scored.csv")).unwrap();
    let told: Vec<&str> = scored
        .lines()
        .filter(|line| line.contains("is not a number"))
        .collect();
    assert_eq!(told.len(), 1, "{scored}");
    let none = world.netsec(&["predict", "ref:champion/default", "pipelines/default.yaml"]);
    assert_ne!(none.code, 0);
    assert!(
        none.stderr.contains("pipelines/default.yaml"),
        "{}",
        none.stderr
    );
}

#[test]
fn a_model_is_shown_and_explained() {
    let world = trained();
    world.ok(&["cat", "split.test", "-o", "test.csv"]);
    let shown = world.ok(&["model", "show", "train.model"]);
    assert!(
        shown.contains("ROC AUC") && shown.contains("Feature importance:"),
        "{shown}"
    );
    assert_eq!(
        json(&world.ok(&["model", "show", "train.model", "--json"]))["features"]
            .as_array()
            .unwrap()
            .len(),
        12
    );
    assert_added_up(&world, "train.model");
    let pipeline = std::fs::read_to_string(world.root().join("pipelines/default.yaml")).unwrap();
    let boosted = pipeline.replacen(
        "select: {",
        "candidates: [{ learner: gradient_boosting }], select: {",
        1,
    );
    world.write(
        "boosted.yaml",
        boosted.replace("champion/default", "champion/boosted"),
    );
    world.ok(&["run", "boosted.yaml", "--until", "train"]);
    let learner = |text: &str| json(text)["learner"].clone();
    assert_eq!(
        learner(&world.ok(&["model", "show", "boosted.yaml:train.model", "--json"])),
        "gradient_boosting"
    );
    assert_added_up(&world, "boosted:train.model");
    let ambiguous = world.netsec(&["model", "show", "train.model"]);
    assert!(
        ambiguous.code == 2 && ambiguous.stderr.contains("`boosted.yaml:train.model`"),
        "{}",
        ambiguous.stderr
    );
    // Of other learners the values are sampled, with their error.
    world.write(
        "nearest.yaml",
        pipeline.replacen("select: {", "candidates: [{ learner: knn }], select: {", 1),
    );
    world.ok(&["run", "nearest.yaml", "--until", "train"]);
    let head = std::fs::read_to_string(world.root().join("test.csv")).unwrap();
    world.write(
        "few.csv",
        head.lines().take(9).collect::<Vec<_>>().join("\n"),
    );
    let explain = |more: &[&str]| {
        world.ok(&[
            &[
                "model",
                "explain",
                "train.model",
                "few.csv",
                "--pipeline",
                "nearest",
                "--samples",
                "200",
            ],
            more,
        ]
        .concat())
    };
    let (sampled, scored) = (
        explain(&[]),
        world.ok(&["predict", "train.model", "few.csv", "--pipeline", "nearest"]),
    );
    assert_eq!(sampled, explain(&[]), "the seed decides");
    assert_ne!(sampled, explain(&["--seed", "7"]));
    let names: Vec<&str> = sampled.lines().next().unwrap().split(',').collect();
    for (line, p) in sampled
        .lines()
        .skip(1)
        .zip(column(&scored, "netsec_probability"))
    {
        let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let of = |is_error: bool| {
            cells
                .iter()
                .zip(&names)
                .skip(1)
                .filter(move |(_, name)| name.ends_with('±') == is_error)
        };
        let (told, error): (f64, f64) = (
            of(false).map(|(cell, _)| cell).sum(),
            of(true).map(|(cell, _)| cell * cell).sum::<f64>().sqrt(),
        );
        assert!(
            (told - p).abs() <= 5.0 * error + 1e-9,
            "{told} and {p}, error {error}"
        );
    }
}

fn column(text: &str, name: &str) -> Vec<f64> {
    let at = text
        .lines()
        .next()
        .unwrap()
        .split(',')
        .position(|column| column == name)
        .unwrap();
    text.lines()
        .skip(1)
        .map(|line| line.split(',').nth(at).unwrap().parse().unwrap())
        .collect()
}

/// What the columns add makes the probability.
fn assert_added_up(world: &World, model: &str) {
    let explained = world.ok(&["model", "explain", model, "test.csv"]);
    let scored = world.ok(&["predict", model, "test.csv"]);
    for (line, p) in explained
        .lines()
        .skip(1)
        .zip(column(&scored, "netsec_probability"))
    {
        let raw: f64 = line
            .split(',')
            .skip(1)
            .map(|cell| cell.parse::<f64>().unwrap())
            .sum();
        let told = 1.0 / (1.0 + (-raw).exp());
        assert!((told - p).abs() < 1e-9, "{model}: {told} and {p}");
    }
}

#[test]
fn parts_of_a_column_are_explained_together_and_one_by_one() {
    let world = World::new();
    world.write("flows.csv", flows());
    world.write("p.yaml", FLOWS);
    world.ok(&["run", "p.yaml"]);
    world.ok(&["cat", "split.test", "-o", "test.csv"]);
    let header = |more: &[&str]| {
        let explained =
            world.ok(&[&["model", "explain", "train.model", "test.csv"], more].concat());
        explained.lines().next().unwrap().to_owned()
    };
    assert_eq!(
        header(&[]),
        "netsec_row,netsec_base,bytes,packets,per_packet,proto"
    );
    assert!(
        header(&["--by-feature"]).contains("proto=tcp,proto=udp"),
        "{}",
        header(&["--by-feature"])
    );
}

/// Rows with holes, a column of text, groups and times; the default pipeline's would be too clean.
fn flows() -> String {
    let mut text = "at,host,proto,bytes,packets,attack,kind\n".to_owned();
    for row in 0_u32..900 {
        let noise = |salt: u32| {
            let mixed = (row * 8 + salt).wrapping_mul(2_654_435_761);
            ((mixed ^ mixed >> 15).wrapping_mul(2_246_822_519) >> 13) % 1000
        };
        let attack = noise(1) < 350;
        let bytes = if noise(2) < 40 {
            String::new()
        } else {
            (noise(3) + if attack { 400 } else { 0 }).to_string()
        };
        let proto = ["tcp", "udp", "icmp", ""][(noise(4) % if attack { 4 } else { 2 }) as usize];
        let kind = if !attack {
            "none"
        } else if noise(5) < 500 {
            "scan"
        } else {
            "flood"
        };
        let _ = writeln!(
            text,
            "{row},h{},{proto},{bytes},{},{},{kind}",
            noise(6) % 40,
            noise(7) % 90,
            u8::from(attack)
        );
    }
    text
}

const FLOWS: &str = "stages:
  ingest: { kind: ingest, inputs: { data: flows.csv } }
  split: { kind: split, inputs: { data: ingest.data }, with: { target: attack } }
  transform:
    kind: transform
    inputs: { train: split.train, test: split.test }
    with:
      target: attack
      target_map: { 0: 0, 1: 1 }
      drop: [at, host, kind]
      steps:
        - ratio: { of: bytes, and: packets, name: per_packet }
        - impute: { with: knn, neighbours: 4, weights: distance, indicator: true }
          columns: [bytes, packets]
        - impute: { with: median }
        - onehot: { min_count: 5 }
        - scale: { with: robust }
          match: bytes|packets|per_.*
  train:
    kind: train
    inputs: { train: transform.train, preprocessor: transform.preprocessor, rows: split.train }
    with:
      candidates:
        - { learner: gradient_boosting, grid: { trees: [10, 20], leaves: [2, 7] } }
        - { learner: decision_tree, grid: { max_depth: [1, 2, 3] } }
      search: { prune: true }
      fold_by: group
      fold_column: host
      monotone: { bytes: rising }
      learning_curve: [0.25, 1]
      calibrate: platt
      threshold_fpr: 0.1
      select: { metric: recall, min_score: 0.2, max_fpr: 0.1 }
  evaluate:
    kind: evaluate
    inputs: { model: train.model, test: split.test, champion: \"ref:champion/flows\" }
    with: { metric: recall, min_score: 0.2, slices: [kind] }
";

#[test]
fn steps_folds_by_group_pruning_and_a_card_go_through() {
    let world = World::new();
    world.write("flows.csv", flows());
    world.write("p.yaml", FLOWS);
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    assert!(
        told.contains("`flood` is found least") && told.contains("false-positive rate"),
        "{told}"
    );
    let board = json(&world.ok(&["cat", "train.metrics"]));
    let trials = board["trials"].as_array().unwrap();
    let given_up = trials.iter().filter(|trial| {
        trial["objection"]
            .as_str()
            .is_some_and(|why| why.contains("given up after"))
    });
    assert!((1..=5).contains(&given_up.count()), "{board}");
    assert!(
        trials[0]["metrics"]["false_positive_rate"]
            .as_f64()
            .unwrap()
            <= 0.1,
        "judged at the threshold: {board}"
    );
    let [low, high] = [0, 1].map(|at| board["intervals"]["recall"][at].as_f64().unwrap());
    let score = trials
        .iter()
        .find(|trial| trial["objection"].is_null())
        .unwrap()["score"]
        .as_f64()
        .unwrap();
    assert!(low < score && score < high && low > 0.0, "{low} to {high}");
    let curve = board["learning_curve"].as_array().unwrap();
    assert_eq!(
        (curve.len(), curve[1]["score"].as_f64()),
        (2, Some(score)),
        "with all rows it is the trial itself"
    );
    let decision = json(&world.ok(&["cat", "evaluate.decision"]));
    let attacks = decision["slices"].as_array().unwrap().iter();
    let kinds: Vec<&str> = attacks
        .filter(|slice| !slice["recall"].is_null())
        .filter_map(|slice| slice["value"].as_str())
        .collect();
    assert_eq!(kinds, ["flood", "scan"]);
    let shown = world.ok(&["sweep", "show"]);
    assert!(
        shown.contains("95 % of the recall")
            && shown.contains("25.0 %")
            && shown.contains("given up after 1 of 3"),
        "{shown}"
    );

    world.ok(&["cat", "split.test", "-o", "test.csv"]);
    let falls = json(&world.ok(&[
        "model",
        "importance",
        "train.model",
        "test.csv",
        "--metric",
        "roc_auc",
        "--json",
    ]));
    let columns: Vec<&str> = falls["columns"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|fall| fall["column"].as_str())
        .collect();
    assert_eq!((columns[0], columns.len()), ("bytes", 3), "{falls}");

    world.ok(&["model", "export", "train.model", "-o", "card.md"]);
    let card = std::fs::read_to_string(world.root().join("card.md")).unwrap();
    for part in [
        "| roc_auc |",
        "| proto | text | `icmp`, `tcp`, `udp` |",
        "calibrated (Platt)",
        "flows.csv",
        "fill 2 columns from the 4 nearest",
    ] {
        assert!(card.contains(part), "{part} in {card}");
    }
    world.ok(&["model", "export", "train.model", "-o", "packed"]);
    assert_eq!(
        world
            .netsec(&["model", "export", "train.model", "-o", "packed"])
            .code,
        2,
        "a folder is not written over"
    );
    world.ok(&["model", "export", "train.model", "-o", "model.onnx"]);
    let bytes = std::fs::read(world.root().join("model.onnx")).unwrap();
    assert_eq!(
        bytes,
        std::fs::read(world.root().join("packed/model.onnx")).unwrap()
    );
    let model = ModelProto::decode(bytes.as_slice()).unwrap();
    let graph = model.graph.unwrap();
    let inputs: Vec<&str> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    assert_eq!(inputs, ["proto", "bytes", "packets"]);
    // Every node takes what stands before it.
    let mut known: BTreeSet<&str> = inputs
        .into_iter()
        .chain(graph.initializer.iter().map(|tensor| tensor.name.as_str()))
        .collect();
    for node in &graph.node {
        assert!(
            node.input
                .iter()
                .all(|input| known.contains(input.as_str())),
            "{}",
            node.name
        );
        known.extend(node.output.iter().map(String::as_str));
    }
    assert!(
        graph
            .output
            .iter()
            .all(|output| known.contains(output.name.as_str()))
    );
}

#[test]
fn folds_by_time_learn_from_what_was_before_and_a_short_search_ends() {
    let world = World::new();
    world.write("flows.csv", flows());
    let text = FLOWS
        .replace("fold_by: group", "fold_by: time")
        .replace("fold_column: host", "fold_column: at");
    world.write(
        "p.yaml",
        text.replace(
            "{ prune: true }",
            "{ strategy: random, trials: 30, minutes: 0 }",
        ),
    );
    let told = world.netsec(&["run", "p.yaml", "--until", "train"]).stderr;
    assert!(
        told.contains("time limit reached after 7 trials") || told.contains("best of 7 trials"),
        "{told}"
    );
    let board = json(&world.ok(&["cat", "train.metrics"]));
    let whole = board["rows"].as_u64().unwrap();
    let told = board["trials"][0]["metrics"]["rows"].as_u64().unwrap();
    assert!(
        told < whole * 4 / 5 && told > whole * 7 / 10,
        "the first of four blocks is only learned from: {told} of {whole}"
    );
    for (from, to, why) in [
        ("fold_column: host", "", "folds by group need a column"),
        (
            "rows: split.train",
            "profile: split.report",
            "the input `rows` is not given",
        ),
        (
            "monotone: { bytes: rising }",
            "monotone: { byts: rising }",
            "there is no feature `byts`: did you mean `bytes`?",
        ),
        (
            "- { learner: decision_tree, grid: { max_depth: [1, 2, 3] } }",
            "- { learner: adaboost }",
            "`adaboost` cannot keep to `monotone`",
        ),
        (
            "- onehot: { min_count: 5 }",
            "- onehot: {}\n          scale: {}",
            "this step does more than one thing",
        ),
        (
            "- onehot: { min_count: 5 }",
            "- target: {}",
            "the step `target` of `transform` tells every row the classes of others",
        ),
        (
            "- onehot: { min_count: 5 }",
            "- drop: {}",
            "this would leave out all columns",
        ),
        (
            "- onehot: { min_count: 5 }",
            "- clip: { low: 3, high: 1 }",
            "these are no bounds",
        ),
        (
            "match: bytes|packets|per_.*",
            "match: \"(\"",
            "this is no regular expression",
        ),
        (
            "- onehot: { min_count: 5 }",
            "- log1p: {}",
            "the column `proto` is still text after all steps",
        ),
    ] {
        assert!(FLOWS.contains(from), "{from}");
        world.write(
            "odd.yaml",
            FLOWS
                .replacen(from, to, 1)
                .replace("profile: split.report", ""),
        );
        let odd = world.netsec(&["run", "odd.yaml", "--until", "train"]);
        assert!(
            odd.code != 0 && format!("{}{}", odd.stdout, odd.stderr).contains(why),
            "{why}: {} {}",
            odd.stdout,
            odd.stderr
        );
    }
}

#[test]
fn a_row_is_told_the_same_wherever_it_stands_and_unknown_words_spoil_it_alone() {
    let world = World::new();
    let mut text = "version,bytes,attack\n".to_owned();
    for row in 0..300_u32 {
        let version = ["1.10", "1.2", "beta", "2.0"][(row % 4) as usize];
        let _ = writeln!(
            text,
            "{version},{},{}",
            row * 37 % 101,
            u8::from(row % 4 == 0)
        );
    }
    world.write("rows.csv", &text);
    let steps = "steps: [ { onehot: { unknown: error } } ]";
    world.write("p.yaml", format!("stages:\n  ingest: {{ kind: ingest, inputs: {{ data: rows.csv }} }}\n  split: {{ kind: split, inputs: {{ data: ingest.data }}, with: {{ target: attack }} }}\n  transform: {{ kind: transform, inputs: {{ train: split.train, test: split.test }}, with: {{ target: attack, target_map: {{ 0: 0, 1: 1 }}, {steps} }} }}\n  train: {{ kind: train, inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}, with: {{ candidates: [ {{ learner: decision_tree }} ] }} }}\n"));
    world.ok(&["run", "p.yaml"]);
    let told = |rows: &str| {
        world.write("some.csv", format!("version,bytes\n{rows}"));
        let out = world.netsec(&["predict", "train.model", "some.csv"]);
        (
            out.code,
            out.stdout
                .lines()
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(told("1.10,50\n"), (0, vec!["1.10,50,1.0,true,".to_owned()]));
    let (code, rows) = told("1.10,50\nbeta,7\n1.3,7\n");
    assert_eq!(
        (code, rows[0].as_str(), rows[1].as_str()),
        (4, "1.10,50,1.0,true,", "beta,7,0.0,false,")
    );
    assert!(
        rows[2].contains("the column `version` is `1.3`, which training did not have"),
        "{rows:?}"
    );
}
