//! Tables with planted faults, as a newcomer would bring them: none ends with a champion that leaks
//! or finds nothing.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dice::Dice;
use crate::world::{World, outcomes};

/// Flows with features that tell something and not all, and what is planted besides.
struct Shape {
    rows: usize,
    attacks: f64,
    /// Names of the planted columns, separated by commas.
    columns: &'static str,
    /// Their cells: of a row, whether it is an attack, its kind (0 of benign rows), and chance.
    cells: fn(usize, bool, usize, &mut Dice) -> String,
    /// The label: whether it is an attack, and its kind.
    label: fn(bool, usize) -> String,
    copies: f64,
}

const PLAIN: Shape = Shape {
    rows: 2_500,
    attacks: 0.3,
    columns: "",
    cells: |_, _, _, _| String::new(),
    label: |attack, _| if attack { "1" } else { "0" }.to_owned(),
    copies: 0.0,
};

fn families(attack: bool, kind: usize) -> String {
    if attack {
        ["DoS", "Scan", "Bot", "Worm", "Shell", "WebAttack"][kind - 1]
    } else {
        "BENIGN"
    }
    .to_owned()
}

fn table(shape: &Shape) -> String {
    let mut dice = Dice(7);
    let mut text = format!("duration,bytes,packets,rate,proto{},label\n", shape.columns);
    let mut lines: Vec<String> = Vec::new();
    for row in 0..shape.rows {
        if row > 20 && dice.unit() < shape.copies {
            let copied = lines[dice.below(row)].clone();
            lines.push(copied);
            continue;
        }
        let attack = dice.unit() < shape.attacks;
        // The last kind is rare.
        let kind = if !attack {
            0
        } else if dice.unit() < 0.04 {
            6
        } else {
            1 + dice.below(5)
        };
        let shift = if attack { 1.1 } else { 0.0 };
        let mut line = String::new();
        let _ = write!(line, "{:.3},", (dice.normal() + shift).exp());
        let _ = write!(line, "{:.0},", (5.0 + 1.5 * dice.normal() + shift).exp());
        let _ = write!(line, "{:.0},", (2.0 + dice.normal() - shift).exp());
        let _ = write!(line, "{:.2},", 50.0 + 20.0 * dice.normal() + 15.0 * shift);
        let protos = if attack {
            ["tcp", "udp", "udp", "icmp"]
        } else {
            ["tcp", "tcp", "udp", "tcp"]
        };
        let _ = write!(line, "{}", protos[dice.below(4)]);
        line.push_str(&(shape.cells)(row, attack, kind, &mut dice));
        let _ = write!(line, ",{}", (shape.label)(attack, kind));
        lines.push(line);
    }
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// What comes of `init` and `run`: all that was said, and the decision if there is one.
fn tried(table: &str, init: &[&str]) -> (World, String, Option<Value>) {
    let world = World::new();
    world.write("flows.csv", table);
    let asked = world.netsec(&[&["init", "flows.csv"], init].concat());
    if asked.code != 0 {
        return (world, asked.stderr, None);
    }
    let ran = world.netsec(&["run", "pipelines/flows.yaml"]);
    let decision = world.netsec(&["cat", "evaluate.decision"]);
    let decision = (decision.code == 0 && ran.code == 0)
        .then(|| serde_json::from_str(&decision.stdout).unwrap());
    (world, asked.stderr + &ran.stderr, decision)
}

/// An honest model, without the planted columns.
fn honest(name: &str, shape: &Shape, init: &[&str], left_out: &[&str]) -> String {
    let (world, said, decision) = tried(&table(shape), init);
    let decision = decision.unwrap_or_else(|| panic!("{name}: {said}"));
    assert_eq!(decision["accepted"], true, "{name}: {said}");
    let auc = decision["challenger"]["metrics"]["roc_auc"]
        .as_f64()
        .unwrap();
    assert!((0.8..0.985).contains(&auc), "{name}: AUC {auc}");
    assert!(
        decision["challenger"]["metrics"]["recall"]
            .as_f64()
            .unwrap()
            > 0.0,
        "{name}"
    );
    let shown = world.ok(&["model", "show", "train.model", "--json"]);
    for column in left_out {
        assert!(
            said.contains(&format!("`{column}`")),
            "{name}: `{column}` is told: {said}"
        );
        assert!(
            !shown.contains(&format!("\"{column}")),
            "{name}: `{column}` is left out"
        );
    }
    said
}

#[test]
fn what_leaks_is_told_and_left_out() {
    let second = Shape {
        columns: ",family",
        cells: |_, attack, kind, _| {
            format!(
                ",{}",
                if attack {
                    ["dos", "scan", "bot", "worm", "shell", "web"][kind - 1]
                } else {
                    "Normal"
                }
            )
        },
        ..PLAIN
    };
    let said = honest("a second label", &second, &[], &["family"]);
    assert!(
        said.contains(
            "LEAK? `family` alone predicts the label (AUC 1.000): drop it unless it is known"
        ),
        "{said}"
    );
    let gaps = Shape {
        columns: ",alert,rtt",
        cells: |_, attack, _, dice| {
            format!(
                ",{},{}",
                if attack {
                    format!("{:.2}", dice.unit())
                } else {
                    String::new()
                },
                if dice.unit() < 0.3 {
                    String::new()
                } else {
                    "0.2".to_owned()
                }
            )
        },
        ..PLAIN
    };
    let said = honest("missing cells", &gaps, &[], &["alert"]);
    assert!(
        said.contains("which cells of `alert` are missing") && !said.contains("`rtt`"),
        "{said}"
    );
    let rare = Shape {
        rows: 5_000,
        columns: ",window",
        cells: |_, _, kind, dice| {
            format!(
                ",{}",
                if kind == 6 { 20_000 } else { 0 } + dice.below(9_000)
            )
        },
        label: families,
        ..PLAIN
    };
    let said = honest("a leak of a rare class", &rare, &[], &["window"]);
    assert!(
        said.contains("`window` alone tells `WebAttack` from every other label"),
        "{said}"
    );
}

#[test]
fn what_names_rows_hosts_and_moments_is_left_out() {
    let id = Shape {
        columns: ",id,uid",
        cells: |row, _, _, _| {
            format!(
                ",{},C{:016x}",
                row + 1,
                (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )
        },
        ..PLAIN
    };
    honest("row numbers and flow ids", &id, &[], &["id", "uid"]);
    let time = Shape {
        columns: ",ts,start",
        cells: |row, attack, _, dice| {
            let second = if attack {
                7_200.0 + 600.0 * dice.unit()
            } else {
                36_000.0 * dice.unit()
            };
            format!(
                ",{:.3},2026-03-01T{:02}:{:02}:00Z",
                1_772_323_200.0 + second,
                (second / 3_600.0) as u32,
                row % 60
            )
        },
        ..PLAIN
    };
    let said = honest("times", &time, &[], &["ts", "start"]);
    assert!(said.contains("`ts` holds times"), "{said}");
    let address = Shape {
        columns: ",srcip,dport",
        cells: |_, attack, _, dice| {
            let host = if attack {
                format!("10.9.9.{}", dice.below(4))
            } else {
                format!("192.168.{}.{}", dice.below(9), dice.below(250))
            };
            format!(",{host},{}", [80, 443, 53, 22][dice.below(4)])
        },
        ..PLAIN
    };
    let said = honest("addresses", &address, &[], &["srcip"]);
    assert!(said.contains("`srcip` holds addresses"), "{said}");
}

#[test]
fn a_time_to_live_is_told_with_what_the_model_is_without_it() {
    let ttl = Shape {
        columns: ",sttl",
        cells: |_, attack, _, dice| {
            format!(
                ",{}",
                if attack == (dice.unit() < 0.93) {
                    254
                } else {
                    31
                }
            )
        },
        ..PLAIN
    };
    let (world, said, decision) = tried(&table(&ttl), &[]);
    let decision = decision.unwrap_or_else(|| panic!("{said}"));
    assert!(
        said.contains("SHORTCUT? `sttl` is a time to live") && said.contains("without `sttl`"),
        "{said}"
    );
    let with = decision["challenger"]["metrics"]["roc_auc"]
        .as_f64()
        .unwrap();
    let without = decision["challenger"]["without_shortcuts"][1]["roc_auc"]
        .as_f64()
        .unwrap();
    assert!(with > without + 0.02 && without > 0.8, "{with} {without}");
    world.ok(&["model", "export", "train.model", "-o", "card.md"]);
    let card = std::fs::read_to_string(world.root().join("card.md")).unwrap();
    assert!(
        card.contains("Without `sttl` the ROC AUC in cross-validation is"),
        "{card}"
    );
}

#[test]
fn too_few_attacks_are_told_as_such_and_never_as_a_score() {
    for (name, rows, attacks) in [("1 in 1,000", 6_000, 0.001), ("11 in 8,000", 8_000, 0.0014)] {
        let (_, said, decision) = tried(
            &table(&Shape {
                rows,
                attacks,
                ..PLAIN
            }),
            &[],
        );
        assert!(decision.is_none(), "{name}: {said}");
        assert!(
            said.contains("attacks are among the") && said.contains("bring more of them"),
            "{name}: {said}"
        );
    }
}

#[test]
fn copies_infinities_labels_of_many_kinds_and_empty_ones_end_with_a_model() {
    let said = honest(
        "copies",
        &Shape {
            rows: 4_000,
            copies: 0.5,
            ..PLAIN
        },
        &[],
        &[],
    );
    assert!(
        !said.contains("columns drifted"),
        "copies are no drift: {said}"
    );
    let infinite = Shape {
        columns: ", Flow Bytes/s",
        cells: |_, _, _, dice| {
            format!(
                ",{}",
                match dice.below(50) {
                    0 => "Infinity".to_owned(),
                    1 => "NaN".to_owned(),
                    _ => format!("{:.2}", 1e4 * dice.unit()),
                }
            )
        },
        ..PLAIN
    };
    honest("infinities", &infinite, &[], &[]);
    let said = honest(
        "seven labels",
        &Shape {
            rows: 4_000,
            label: families,
            ..PLAIN
        },
        &[],
        &[],
    );
    assert!(said.contains("is found least"), "{said}");
    let empty = Shape {
        rows: 4_000,
        label: |attack, kind| {
            if attack {
                families(attack, kind)
            } else {
                String::new()
            }
        },
        ..PLAIN
    };
    let (_, said, decision) = tried(&table(&empty), &[]);
    assert!(
        decision.is_none() && said.contains("`--benign ''` if that means benign"),
        "{said}"
    );
    honest("an empty label is benign", &empty, &["--benign", ""], &[]);
}

#[test]
fn a_leak_keeps_a_model_from_being_accepted_until_it_is_allowed_with_a_reason() {
    let shape = Shape {
        columns: ",engine",
        cells: |_, attack, _, dice| {
            format!(
                ",{}",
                if attack {
                    50 + dice.below(40)
                } else {
                    dice.below(40)
                }
            )
        },
        ..PLAIN
    };
    let world = World::new();
    world.write("t.csv", table(&shape));
    let pipeline = |more: &str| {
        format!(
            "stages:\n  ingest: {{ kind: ingest, inputs: {{ data: ./t.csv }} }}\n  split: {{ kind: split, inputs: {{ data: ingest.data }}, with: {{ target: label }} }}\n  transform: {{ kind: transform, inputs: {{ train: split.train, test: split.test }}, with: {{ target: label, target_map: {{ 0: 0, 1: 1 }}{more} }} }}\n  train: {{ kind: train, inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}, with: {{ candidates: [{{ learner: gradient_boosting }}] }} }}\n  evaluate: {{ kind: evaluate, inputs: {{ model: train.model, test: split.test, champion: 'ref:champion/t' }} }}\n"
        )
    };
    world.write("p.yaml", pipeline(""));
    let refused = world.netsec(&["run", "p.yaml"]);
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("LEAK? `engine` alone predicts the label (AUC 1.000)"),
        "{}",
        refused.stderr
    );
    assert!(
        refused
            .stderr
            .contains("(`allow: {engine: …}` of `transform`)"),
        "{}",
        refused.stderr
    );
    assert_ne!(
        world.netsec(&["lineage", "ref:champion/t"]).code,
        0,
        "there is no champion"
    );
    world.write("p.yaml", pipeline(", allow: { engine: '' }"));
    assert!(
        world
            .netsec(&["check", "p.yaml"])
            .stderr
            .contains("no reason is given for `engine`")
    );
    world.write(
        "p.yaml",
        pipeline(", allow: { engine: an engine in front tells it }"),
    );
    world.ok(&["run", "p.yaml"]);
    let decision: Value = serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap();
    assert_eq!(
        (
            decision["accepted"].as_bool(),
            decision["allowed"]["engine"].as_str()
        ),
        (Some(true), Some("an engine in front tells it"))
    );
    world.ok(&["model", "export", "ref:champion/t", "-o", "card.md"]);
    let card = std::fs::read_to_string(world.root().join("card.md")).unwrap();
    assert!(card.contains("| an engine in front tells it |"), "{card}");
    // The challenger is the champion: that is no first champion.
    world.write(
        "p.yaml",
        pipeline(", allow: { engine: an engine in front tells it }") + "# again\n",
    );
    let again = world.netsec(&["run", "p.yaml", "--force"]);
    assert!(
        again
            .stderr
            .contains("there is no other champion to compare with"),
        "{}",
        again.stderr
    );
}

#[test]
fn two_tables_that_are_given_stay_two_and_rows_of_both_are_no_judges() {
    let world = World::new();
    let text = table(&PLAIN);
    let (header, rows) = text.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    let file = |rows: &[&str]| format!("{header}\n{}\n", rows.join("\n"));
    world.write("train.csv", file(&rows[..1_800]));
    world.write("test.csv", file(&rows[1_500..]));
    world.ok(&["init", "train.csv", "--test", "test.csv", "--name", "given"]);
    let ran = world.netsec(&["run", "pipelines/given.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("leak: 300 of 1000 test rows have features that stand in train too"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("300 of 1000 test rows equal training rows in every column that is used and are left out: judged by 700 rows"), "{}", ran.stderr);
    let decision: Value = serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap();
    assert_eq!(
        (
            decision["rows"]["judged"].as_u64(),
            decision["challenger"]["metrics"]["rows"].as_u64()
        ),
        (Some(700), Some(700))
    );
    // The same file on both sides judges nothing.
    world.write("same.csv", file(&rows[..1_800]));
    world.ok(&["init", "train.csv", "--test", "same.csv", "--name", "same"]);
    let same = world.netsec(&["run", "pipelines/same.yaml"]);
    assert_eq!(same.code, 6, "{}", same.stderr);
    assert!(
        same.stderr
            .contains("judge by rows that training did not have"),
        "{}",
        same.stderr
    );
}

#[test]
fn rows_without_a_label_and_labels_that_say_nothing_are_left_out_and_counted() {
    let shape = Shape {
        label: |attack, kind| match (attack, kind) {
            (true, 1) => String::new(),
            (true, 2) => "Background".to_owned(),
            (true, _) => "attack".to_owned(),
            _ => "normal".to_owned(),
        },
        ..PLAIN
    };
    let (_, said, decision) = tried(&table(&shape), &[]);
    assert!(
        decision.is_none() && said.contains("do not say whether it was an attack: `Background`"),
        "{said}"
    );
    let (world, said, decision) = tried(&table(&shape), &["--unknown", "Back*"]);
    assert!(
        decision.is_some()
            && said
                .contains("rows have no label, or one of `unknown`, in `label` and are left out"),
        "{said}"
    );
    let summary = world.run(&["pipelines/flows.yaml"]);
    assert!(
        outcomes(&summary)
            .iter()
            .all(|outcome| outcome.ends_with("reused")),
        "{summary:#}"
    );
}

#[test]
fn a_time_that_was_left_out_can_split_the_rows() {
    let time = Shape {
        columns: ",ts",
        cells: |row, _, _, dice| {
            format!(
                ",{}",
                1_772_323_200_000_u64 + row as u64 * 20_000 + dice.below(9_000) as u64
            )
        },
        ..PLAIN
    };
    let (world, said, _) = tried(&table(&time), &[]);
    assert!(said.contains("`ts` holds times"), "{said}");
    let read = |path: &str| std::fs::read_to_string(world.root().join(path)).unwrap();
    let pipeline = read("pipelines/flows.yaml");
    assert!(
        pipeline.contains("write here: types: { ts: epoch_ms }"),
        "{pipeline}"
    );
    let drop: String = pipeline
        .lines()
        .filter(|line| line.contains("- ts "))
        .map(|line| format!("{line}\n"))
        .collect();
    let pipeline = pipeline
        .replace(&drop, "        - []\n")
        .replace("      drop:                # take a column out of this list to use it, and `allow` it in `transform`\n        - []\n", "      types: { ts: epoch_ms }\n")
        .replace("      target: label\n      benign", "      by: time\n      time: ts\n      test_from: '2026-03-01T11:00:00Z'\n      target: label\n      benign")
        .replace("      target: label\n      target_map", "      target: label\n      drop: [ts]\n      target_map")
        .replace("      stratify: true", "      # stratify");
    world.write("pipelines/flows.yaml", pipeline);
    world.write(
        "schemas/flows.yaml",
        read("schemas/flows.yaml").replace("  # ts: { type: time }", "  ts: { type: time }"),
    );
    let ran = world.netsec(&["run", "pipelines/flows.yaml"]);
    // The champion of the run before may be as good.
    assert!([0, 6].contains(&ran.code), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("2500 rows: 1980 to train, 520 to test"),
        "{}",
        ran.stderr
    );
}

#[test]
fn copies_make_no_column_a_leak_and_attacks_that_are_new_stay_in_the_test() {
    let world = World::new();
    let text = table(&Shape { rows: 900, ..PLAIN });
    let (header, rows) = text.split_once('\n').unwrap();
    world.write(
        "twice.csv",
        format!(
            "{header}\n{}",
            rows.lines()
                .map(|row| format!("{row}\n{row}\n"))
                .collect::<String>()
        ),
    );
    let init = world.netsec(&["init", "twice.csv"]);
    assert!(
        init.code == 0 && !init.stderr.contains("LEAK"),
        "{}",
        init.stderr
    );
    world.ok(&["run", "pipelines/twice.yaml"]);
    // A kind of attack, and a level of a feature, that only the test table has.
    let known = Shape {
        rows: 2_000,
        label: |attack, _| if attack { "DoS" } else { "benign" }.to_owned(),
        columns: ",flag",
        cells: |_, _, _, dice| format!(",{}", dice.below(2)),
        ..PLAIN
    };
    let train = table(&known);
    let test = table(&Shape {
        rows: 2_001,
        ..known
    });
    let (_, test_rows) = test.split_once('\n').unwrap();
    let renamed: String = test_rows
        .lines()
        .enumerate()
        .map(|(row, line)| {
            if row % 5 == 0 {
                line.replace("DoS", "Zeroday")
            } else {
                line.to_owned()
            }
        })
        .map(|line| format!("9{}\n", line.replace(",1,DoS", ",2,DoS")))
        .collect();
    world.write("train.csv", train);
    world.write(
        "new.csv",
        format!("{header},flag\n").replace(",label,flag", ",flag,label") + &renamed,
    );
    world.ok(&["init", "train.csv", "--test", "new.csv", "--name", "new"]);
    let ran = world.netsec(&["run", "pipelines/new.yaml"]);
    assert!(
        ran.stderr.contains("2001 rows keep the schema"),
        "{}",
        ran.stderr
    );
    // Whether the model is accepted or not, its decision tells of the new kind.
    let left = ran.stderr.split_once("it left `decision`: netsec cat ");
    let decision = left.map_or("evaluate.decision", |(_, rest)| &rest[..12]);
    let decision: Value = serde_json::from_str(&world.ok(&["cat", decision])).unwrap();
    let slices = decision["slices"].as_array().unwrap();
    assert!(
        slices.iter().any(|slice| slice["value"] == "Zeroday"),
        "{decision}"
    );
}

#[test]
fn counters_and_times_of_any_form_are_left_out() {
    for (name, cells) in [
        (
            "a counter with gaps",
            (|row, attack, _, dice: &mut Dice| {
                format!(",{}", row * 7 + dice.below(7) + usize::from(attack))
            }) as fn(usize, bool, usize, &mut Dice) -> String,
        ),
        ("dates of a sensor", |row, _, _, _| {
            format!(
                ",{:02}/07/2017 {:02}:{:02}",
                1 + row / 1_440,
                row / 60 % 24,
                row % 60
            )
        }),
        ("a calendar as a number", |row, _, _, _| {
            format!(
                ",201707{:02}{:02}{:02}",
                1 + row / 1_440,
                row / 60 % 24,
                row % 60
            )
        }),
        ("an address with its port", |_, _, _, dice| {
            format!(
                ",10.0.{}.{}:{}",
                dice.below(9),
                dice.below(250),
                1024 + dice.below(60_000)
            )
        }),
    ] {
        let shape = Shape {
            columns: ",planted",
            cells,
            ..PLAIN
        };
        let said = honest(name, &shape, &[], &["planted"]);
        assert!(said.contains("LEAK? `planted`"), "{name}: {said}");
    }
    let hard = Shape {
        columns: ",difficulty",
        cells: |_, attack, _, dice| format!(",{}", 21 - dice.below(if attack { 9 } else { 6 })),
        ..PLAIN
    };
    let said = honest("a note made after the fact", &hard, &[], &["difficulty"]);
    assert!(
        said.contains("`difficulty` is named like a note made after the fact"),
        "{said}"
    );
}
