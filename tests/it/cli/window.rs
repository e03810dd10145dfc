//! Features over the past from the log to the verdict: computed once a part, and by the model
//! itself.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dice::Dice;
use crate::world::World;

/// A log of connections: hosts that talk now and then, and one that scans ports, row by row like
/// the others.
fn log(rows: usize, from: f64, seed: u64) -> String {
    let mut dice = Dice(seed);
    let (mut text, mut clock) = ("ts,src,port,bytes,label\n".to_owned(), from);
    for _ in 0..rows {
        clock += 0.05 + dice.unit();
        let scans = dice.chance(0.3);
        let (src, port, label) = match scans {
            true => ("10.0.0.66".to_owned(), dice.below(1000), "scan"),
            false => (
                format!("10.0.0.{}", dice.below(20)),
                [53, 80, 443][dice.below(3)],
                "normal",
            ),
        };
        let bytes = dice.below(900);
        let _ = writeln!(text, "{clock:.3},{src},{port},{bytes},{label}");
    }
    text
}

const PIPELINE: &str = "stages:
  rows: { kind: ingest, inputs: { data: conn.csv }, with: { types: { ts: epoch_s } } }
  past:
    kind: window
    inputs: { data: rows.data }
    with:
      time: ts
      windows:
        - { by: [src], over: [30s, 20], count: true, distinct: [port], gap: true }
  split:
    kind: split
    inputs: { data: past.data }
    with: { by: time, time: ts, test_from: \"1970-01-01T00:12:00Z\", target: label }
  transform:
    kind: transform
    inputs: { train: split.train, test: split.test, windows: past.windows }
    with: { target: label, target_map: { normal: benign, scan: attack }, drop: [ts, src, port], steps: [] }
  train:
    kind: train
    inputs: { train: transform.train, preprocessor: transform.preprocessor }
    with: { candidates: [{ learner: gradient_boosting, grid: { trees: [20] } }] }
";

#[test]
fn the_model_computes_the_same_of_a_raw_log() {
    let world = World::new();
    world.write("conn.csv", log(1500, 0.0, 3));
    world.write("p.yaml", PIPELINE);
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    assert!(told.contains("6 columns are added to 1500 rows"), "{told}");
    assert!(
        !told.contains("came before the last training row"),
        "{told}"
    );
    // The rows as they came, and those of the dataset with the columns in them.
    world.write("raw.csv", log(1500, 0.0, 3));
    world.ok(&["predict", "train.model", "raw.csv", "-o", "raw_scored.csv"]);
    world.write("with.csv", world.ok(&["cat", "past.data"]));
    world.ok(&[
        "predict",
        "train.model",
        "with.csv",
        "-o",
        "with_scored.csv",
    ]);
    let verdicts = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(world.root().join(file)).unwrap();
        let last = |line: &str| line.rsplitn(4, ',').take(3).collect::<Vec<_>>().join(",");
        text.lines().map(last).collect()
    };
    assert_eq!(verdicts("raw_scored.csv"), verdicts("with_scored.csv"));
    let scored = verdicts("raw_scored.csv");
    assert!(
        scored.iter().any(|line| line.contains(",true,")),
        "{scored:?}"
    );
    // A log without the column that is counted over is refused by name.
    let without = log(50, 0.0, 3).replace("src,", "source,");
    world.write("without.csv", without);
    let told = world
        .netsec(&["predict", "train.model", "without.csv"])
        .stderr;
    assert!(
        told.contains("features over the past, of columns that are not there: `src`"),
        "{told}"
    );
}

#[test]
fn windows_that_reach_across_a_split_are_told() {
    let world = World::new();
    world.write("conn.csv", log(1500, 0.0, 3));
    let random = PIPELINE.replace(
        "by: time, time: ts, test_from: \"1970-01-01T00:12:00Z\"",
        "by: content",
    );
    world.write("p.yaml", random);
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    assert!(
        told.contains("test rows came before the last training row"),
        "{told}"
    );
}

#[test]
fn a_row_without_a_time_is_told_and_spoils_no_other() {
    let world = World::new();
    world.write("conn.csv", log(1500, 0.0, 3));
    world.write("p.yaml", PIPELINE);
    world.ok(&["run", "p.yaml"]);
    let rows = "ts,src,port,bytes\n1,10.0.0.1,53,7\nsoon,10.0.0.1,53,7\n2,10.0.0.1,53,7\n";
    world.write("raw.csv", rows);
    let told = world.netsec(&["predict", "train.model", "raw.csv", "-o", "scored.csv"]);
    assert_eq!(told.code, 4, "{}", told.stderr);
    let scored = std::fs::read_to_string(world.root().join("scored.csv")).unwrap();
    let lines: Vec<&str> = scored.lines().collect();
    assert!(
        lines[2].ends_with("\"\"\"soon\"\" in `ts` is no time\""),
        "{scored}"
    );
    assert!(
        lines[1].ends_with(',') && lines[3].ends_with(','),
        "{scored}"
    );
    // A record without the features is no quiet row.
    let told = world
        .netsec(&["model", "explain", "train.model", "raw.csv"])
        .stderr;
    assert!(told.contains("a feature over the past"), "{told}");
}

#[test]
fn numbers_in_thousandths_are_read_as_they_were() {
    let world = World::new();
    let in_ms = |text: String| -> String {
        let line = |line: &str| match line.split_once(',') {
            Some((time, rest)) if time != "ts" => {
                let seconds: f64 = time.parse().unwrap();
                format!("{},{rest}\n", (seconds * 1000.0).round() as i64)
            }
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    };
    world.write("conn.csv", in_ms(log(1500, 0.0, 3)));
    let typed = PIPELINE.replace("epoch_s", "epoch_ms");
    world.write(
        "p.yaml",
        typed.replace("time: ts\n", "time: ts\n      epoch: s\n"),
    );
    let refused = world.netsec(&["run", "p.yaml"]);
    let why = "the numbers of `ts` were made times by another unit";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    world.write("p.yaml", typed);
    world.ok(&["run", "p.yaml"]);
    world.write("raw.csv", in_ms(log(1500, 0.0, 3)));
    let raw = world.ok(&["predict", "train.model", "raw.csv"]);
    world.write("with.csv", world.ok(&["cat", "past.data"]));
    let with = world.ok(&["predict", "train.model", "with.csv"]);
    let verdicts = |text: &str| -> Vec<String> {
        let last = |line: &str| line.rsplitn(4, ',').take(3).collect::<Vec<_>>().join(",");
        text.lines().map(last).collect()
    };
    assert_eq!(verdicts(&raw), verdicts(&with));
}

#[test]
fn windows_do_not_look_at_labels() {
    let world = World::new();
    world.write("conn.csv", log(1500, 0.0, 3));
    world.write(
        "p.yaml",
        PIPELINE.replace("distinct: [port]", "share: [label]"),
    );
    let told = world.netsec(&["run", "p.yaml"]).stderr;
    assert!(told.contains("`label` is called like a label"), "{told}");
    assert!(
        told.contains("windows: they look at the labels in `label`"),
        "{told}"
    );
}

#[test]
fn what_is_added_to_a_log_is_all_that_is_computed() {
    let world = World::new();
    let (rows, more) = (log(160_000, 0.0, 3), log(400, 160_000.0, 4));
    world.write("conn.csv", rows.clone());
    let until = PIPELINE.find("  split:").unwrap();
    world.write("p.yaml", &PIPELINE[..until]);
    world.ok(&["run", "p.yaml"]);
    let parts = || -> Vec<Value> {
        world.ok(&["cat", "past.data", "-o", "past"]);
        let index = std::fs::read(world.root().join("past/index.json")).unwrap();
        std::fs::remove_dir_all(world.root().join("past")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        index["parts"].as_array().unwrap().clone()
    };
    let before = parts();
    assert!(before.len() > 2, "{before:?}");
    world.write("conn.csv", rows + more.split_once('\n').unwrap().1);
    world.ok(&["run", "p.yaml"]);
    let logs = std::fs::read_dir(world.root().join("cache/runs")).unwrap();
    let mut logs: Vec<_> = logs.map(|log| log.unwrap().path()).collect();
    logs.retain(|log| log.extension().is_some_and(|form| form == "jsonl"));
    logs.sort_by_key(|log| std::fs::metadata(log).unwrap().modified().unwrap());
    let told = std::fs::read_to_string(logs.last().unwrap()).unwrap();
    let is_made = |line: &&str| line.contains("\"past\",\"part\":\"part-");
    assert_eq!(told.lines().filter(is_made).count(), 1, "{told}");
    let after = parts();
    assert_eq!(after[..before.len() - 1], before[..before.len() - 1]);
}

#[test]
fn what_is_wrong_with_windows_is_told() {
    let world = World::new();
    world.write("conn.csv", log(50, 0.0, 3));
    let stage = |with: &str| {
        let rows = "  rows: { kind: ingest, inputs: { data: conn.csv } }\n";
        format!(
            "stages:\n{rows}  past:\n    kind: window\n    inputs: {{ data: rows.data }}\n    with: {with}\n"
        )
    };
    for (with, why) in [
        (
            "{ time: ts, windows: [{ over: [30s] }] }",
            "nothing is computed of this window",
        ),
        (
            "{ time: ts, windows: [{ over: [soon], count: true }] }",
            "`soon` is neither a length of time nor a number of rows",
        ),
        ("{ time: ts, windows: [] }", "there is no window"),
        (
            "{ time: ts, windows: [{ over: [3s, 3s], count: true }] }",
            "`count in 3s` is asked for twice",
        ),
        (
            "{ time: ts, late: later, windows: [{ over: [3s], count: true }] }",
            "`later` is no length of time",
        ),
        (
            "{ time: when, windows: [{ over: [3s], count: true }] }",
            "there is no column `when`",
        ),
        (
            "{ time: ts, windows: [{ over: [3s], sum: [src] }] }",
            "the column `src` holds text, not numbers",
        ),
    ] {
        world.write("p.yaml", stage(with));
        let told = world.netsec(&["run", "p.yaml"]).stderr;
        assert!(told.contains(why), "{told}");
    }
}
