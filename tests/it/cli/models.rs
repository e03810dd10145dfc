//! Models and searches, as people look at them and use them.

use netsec::frame::codec;
use netsec::source::files::{self, Options};
use serde_json::Value;

use crate::world::World;

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
        assert!(trial["metrics"]["roc_auc"].as_f64().unwrap() > 0.8, "{trial}");
        assert_eq!(trial["folds"].as_array().unwrap().len(), 3);
    }
    let shown = world.ok(&["sweep", "show", "--top", "3"]);
    assert_eq!(shown.lines().count(), 5, "{shown}");
    let svg = world.ok(&["sweep", "plot"]);
    assert!(svg.starts_with("<svg") && svg.matches("<circle").count() > 26, "{svg}");
    let points = json(&world.ok(&["sweep", "plot", "--json"]));
    assert_eq!(points["hyperparameters"]["trees"].as_array().unwrap().len(), 6);
    let other = world.netsec(&["sweep", "show", "train.model"]);
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(other.stderr.contains("is no leaderboard"), "{}", other.stderr);
}

#[test]
fn rows_are_scored_and_those_that_cannot_be_say_why() {
    let world = trained();
    world.ok(&["cat", "split.test", "-o", "test.csv"]);
    let summary = json(&world.ok(&["predict", "ref:champion/default", "test.csv", "-o", "all.csv", "--json"]));
    let scored = std::fs::read_to_string(world.root().join("all.csv")).unwrap();
    let rows = scored.lines().count() as u64 - 1;
    for refused in ["test.csv", "./test.csv", "nowhere/all.csv"] {
        let over = world.netsec(&["predict", "ref:champion/default", "test.csv", "-o", refused]);
        assert_eq!(over.code, 2, "{refused}: {}", over.stderr);
    }
    assert_eq!(summary["rows"], rows);
    assert!(summary["alarms"].as_u64().unwrap() > 50 && summary["errors"] == 0, "{summary}");
    // Scored as Parquet, they can be read again, and are the same.
    world.ok(&["predict", "ref:champion/default", "test.csv", "-o", "all.parquet"]);
    let again = world.netsec(&["predict", "ref:champion/default", "all.parquet"]);
    assert_eq!(again.code, 4, "{}", again.stderr);
    assert!(again.stderr.contains("the rows were scored before"), "{}", again.stderr);
    let parquet = codec::decode(std::fs::read(world.root().join("all.parquet")).unwrap()).unwrap();
    let read = files::read(scored.clone().into_bytes(), &Options::plain(&[])).unwrap();
    assert_eq!(parquet.numbers("netsec_probability").unwrap(), read.numbers("netsec_probability").unwrap());
    // The figures of the decision are those of these rows.
    let decision = json(&world.ok(&["cat", "evaluate.decision"]));
    assert_eq!(decision["challenger"]["metrics"]["rows"], rows);

    let text = std::fs::read_to_string(world.root().join("test.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let cut = lines[2].find(',').unwrap();
    lines[2] = format!("many{}", &lines[2][cut..]);
    world.write("odd.csv", &(lines[..5].join("\n") + "\n"));
    let odd = world.netsec(&["predict", "ref:champion/default", "odd.csv", "-o", "scored.csv"]);
    assert_eq!(odd.code, 4, "{}", odd.stderr);
    assert!(odd.stderr.contains("4 rows") && odd.stderr.contains("1 rows could not be scored"), "{}", odd.stderr);
    let scored = std::fs::read_to_string(world.root().join("scored.csv")).unwrap();
    let told: Vec<&str> = scored.lines().filter(|line| line.contains("is no number")).collect();
    assert_eq!(told.len(), 1, "{scored}");
    let none = world.netsec(&["predict", "ref:champion/default", "pipelines/default.yaml"]);
    assert_ne!(none.code, 0);
    assert!(none.stderr.contains("pipelines/default.yaml"), "{}", none.stderr);
}

#[test]
fn a_model_is_shown_and_explained() {
    let world = trained();
    world.ok(&["cat", "split.test", "-o", "test.csv"]);
    let shown = world.ok(&["model", "show", "train.model"]);
    assert!(shown.contains("ROC AUC") && shown.contains("What counts:"), "{shown}");
    assert_eq!(json(&world.ok(&["model", "show", "train.model", "--json"]))["features"].as_array().unwrap().len(), 12);
    let linear = world.netsec(&["model", "explain", "train.model", "test.csv"]);
    assert_eq!(linear.code, 2, "{}", linear.stderr);
    assert!(linear.stderr.contains("not made of trees"), "{}", linear.stderr);
    let pipeline = std::fs::read_to_string(world.root().join("pipelines/default.yaml")).unwrap();
    let boosted = pipeline.replacen("select: {", "candidates: [{ learner: gradient_boosting }], select: {", 1);
    world.write("boosted.yaml", boosted.replace("champion/default", "champion/boosted"));
    world.ok(&["run", "boosted.yaml", "--until", "train"]);
    let learner = |text: &str| json(text)["learner"].clone();
    assert_eq!(learner(&world.ok(&["model", "show", "train.model", "--json"])), "gradient_boosting");
    let explained = world.ok(&["model", "explain", "train.model", "test.csv"]);
    let scored = world.ok(&["predict", "train.model", "test.csv"]);
    let column = |text: &str, name: &str| -> Vec<f64> {
        let at = text.lines().next().unwrap().split(',').position(|column| column == name).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(at).unwrap().parse().unwrap()).collect()
    };
    let p = column(&scored, "netsec_probability");
    for (line, p) in explained.lines().skip(1).zip(p) {
        let raw: f64 = line.split(',').map(|cell| cell.parse::<f64>().unwrap()).sum();
        let told = 1.0 / (1.0 + (-raw).exp());
        assert!((told - p).abs() < 1e-9, "what features add makes the probability: {told} and {p}");
    }
}
