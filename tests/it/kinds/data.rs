//! Data on its way in: parts that are read once, rows that are set aside, splits that stay, what
//! leaks.

use serde_json::Value;

use crate::world::{World, outcomes, shared};

const VALIDATE: &str = "stages:\n  ingest: { kind: ingest, inputs: { data: ./t.csv } }\n  validate: { kind: validate, inputs: { schema: ./s.yaml, data: ingest.data } }\n";

fn json(world: &World, target: &str) -> Value {
    serde_json::from_str(&world.ok(&["cat", target])).unwrap()
}

/// Rows with a number each; of every hundredth the cell `b` is too large.
fn rows(range: std::ops::Range<usize>) -> String {
    range
        .map(|i| {
            format!(
                "{i},{},{}\n",
                if i % 100 == 99 { 5_000 } else { i * 7 % 1_000 },
                ["x", "y", "z"][i % 3]
            )
        })
        .collect()
}

#[test]
fn rows_that_break_a_rule_are_set_aside_and_the_others_go_on() {
    let world = World::new();
    world.write("t.csv", format!("id,b,c\n{}", rows(0..1_000)));
    world.write("s.yaml", "columns:\n  id: { type: int, unique: true }\n  b: { type: int, max: 1000 }\n  c: { type: text, allowed: [x, y] , severity: warn }\n");
    world.write("p.yaml", VALIDATE);
    let output = world.netsec(&["run", "p.yaml"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output
            .stderr
            .contains("990 of 1000 rows keep the schema, 10 are set aside"),
        "{}",
        output.stderr
    );
    assert!(
        output
            .stderr
            .contains("c (allowed): 333 rows (33.3 %) are not one of x, y, first `z` in row 3"),
        "{}",
        output.stderr
    );
    assert_eq!(world.ok(&["cat", "validate.data"]).lines().count(), 991);
    let quarantine = world.ok(&["cat", "validate.quarantine"]);
    assert_eq!(
        quarantine.lines().take(3).collect::<Vec<_>>(),
        [
            "netsec_row,netsec_rules,id,b,c",
            "100,b.max,99,5000,x",
            "200,b.max,199,5000,y"
        ]
    );
    // Every failure, also of rules that only warn, with row, rule and value.
    let failures = world.ok(&["cat", "validate.failures"]);
    assert_eq!(failures.lines().count(), 1 + 10 + 333);
    assert_eq!(failures.lines().nth(1), Some("3,c,allowed,warn,z"));
    let report = json(&world, "validate.report");
    assert_eq!(
        (report["valid"].as_bool(), report["quarantined"].as_u64()),
        (Some(true), Some(10))
    );
    let junit = world.ok(&["cat", "validate.junit"]);
    assert!(
        junit.contains("<testcase classname=\"b\" name=\"max\"><system-out>")
            && junit.contains("failures=\"0\""),
        "{junit}"
    );
    assert!(
        world
            .ok(&["cat", "validate.page"])
            .contains("<td>quarantined</td><td><code>b</code></td>")
    );
    // A newer schema lets them go on.
    world.write("n.yaml", "columns:\n  id: { type: int, unique: true }\n  b: { type: int, max: 5000 }\n  c: { type: text, allowed: [x, y] }\n");
    let replayed = world.ok(&["quarantine", "replay", "n.yaml", "-o", "back.csv"]);
    assert_eq!(
        replayed,
        "7 of 10 rows that were set aside keep `n.yaml`\n  3 rows still break c.allowed\n"
    );
    assert_eq!(
        std::fs::read_to_string(world.root().join("back.csv"))
            .unwrap()
            .lines()
            .count(),
        8
    );
    let diff = world.netsec(&["schema", "diff", "s.yaml", "n.yaml"]);
    assert_eq!(diff.code, 1);
    insta::assert_snapshot!(diff.stdout, @"
    breaking: 4 changes
      breaking    c.type.severity: warn → quarantine
      breaking    c.null.severity: warn → quarantine
      breaking    c.allowed.severity: warn → quarantine
      widening    b.max: 1000 → 5000
    ");
}

#[test]
fn a_table_that_breaks_too_much_is_refused_with_its_report() {
    let world = World::new();
    world.write("t.csv", format!("id,b,c\n{}", rows(0..1_000)));
    world.write("p.yaml", VALIDATE);
    let refused = |schema: &str| {
        world.write("s.yaml", schema);
        let output = world.netsec(&["run", "p.yaml"]);
        assert_eq!(output.code, 4, "{}", output.stderr);
        output.stderr
    };
    let rest = "  id: { type: int }\n  b: { type: int }\n";
    let many = refused(&format!(
        "columns:\n{rest}  c: {{ type: text, allowed: [x, y] }}\n"
    ));
    assert!(
        many.contains(
            "333 of 1000 rows (33.3 %) break a rule, at most 10.0 % may (`quarantine_at_most`)"
        ),
        "{many}"
    );
    let some = refused(
        "columns:\n  id: { type: int }\n  b: { type: int, max: 1000, at_most: 0.5% }\n  c: { type: text }\n",
    );
    assert!(
        some.contains("b (max): 10 rows (1.0 %) are not at most 1000, first `5000` in row 100; at most 0.50 % may"),
        "{some}"
    );
    let fail = refused(
        "columns:\n  id: { type: int }\n  b: { type: int, max: 1000, severity: fail }\n  c: { type: text }\n",
    );
    assert!(fail.contains("b (max): 10 rows"), "{fail}");
    let columns =
        refused("columns:\n  id: { type: int }\n  bb: { type: int }\n  c: { type: text }\n");
    assert!(
        columns.contains("bb (missing): the column is missing: did you mean `b`?")
            && columns.contains("b (unexpected)"),
        "{columns}"
    );
    let table = refused(&format!(
        "columns:\n{rest}  c: {{ type: text }}\ntable:\n  rows: {{ min: 5000 }}\n  duplicates: {{ max: 0 }}\n"
    ));
    assert!(
        table.contains("rows of the table is 1000, where at least 5000 is asked")
            && !table.contains("duplicates"),
        "{table}"
    );
    let text = refused(&format!("columns:\n{rest}  c: {{ type: int }}\n"));
    assert!(
        text.contains("c (type): 1000 rows (100.0 %) are not a whole number, first `x` in row 1"),
        "{text}"
    );
}

#[test]
fn data_do_not_steer_the_terminal_and_names_are_no_numbers() {
    let world = World::new();
    world.write(
        "t.csv",
        "id,c\n007,x\n7,y\n7.0,\u{1b}[31mred\n1e1,z\n10,x\n",
    );
    world.write("s.yaml", "columns:\n  id: { type: text, unique: true }\n  c: { type: text, allowed: [x, y, z], severity: warn }\ntable:\n  duplicates: { max: 0 }\n");
    world.write(
        "p.yaml",
        VALIDATE.replace("./t.csv } }", "./t.csv }, with: { types: { id: text } } }"),
    );
    let output = world.netsec(&["run", "p.yaml"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stderr.contains("5 rows keep the schema") && !output.stderr.contains('\u{1b}'),
        "{:?}",
        output.stderr
    );
}

#[test]
fn freshness_counts_from_the_moment_that_is_named() {
    let world = World::new();
    world.write(
        "t.csv",
        "at,v\n2026-01-01T00:00:00Z,1\n2026-01-02T00:00:00Z,2\n",
    );
    world.write(
        "s.yaml",
        "columns:\n  at: { type: time }\n  v: { type: int }\ntable:\n  freshness: { column: at, max_hours: 24 }\n",
    );
    let pipeline = |more: &str| {
        VALIDATE
            .replace("./t.csv } }", "./t.csv }, with: { types: { at: time } } }")
            .replace("ingest.data } }", &format!("ingest.data }}{more} }}"))
    };
    world.write("p.yaml", pipeline(""));
    assert!(
        world
            .netsec(&["run", "p.yaml"])
            .stderr
            .contains("set `as_of` to `today` or a moment")
    );
    world.write(
        "p.yaml",
        pipeline(", with: { as_of: '2026-01-02T12:00:00Z' }"),
    );
    world.ok(&["run", "p.yaml"]);
    world.write("p.yaml", pipeline(", with: { as_of: '2026-01-04' }"));
    assert!(
        world
            .netsec(&["run", "p.yaml"])
            .stderr
            .contains("freshness of at, hours of the table is 48, where at most 24 is asked")
    );
    world.write("p.yaml", pipeline(", with: { as_of: today }"));
    let today = world.netsec(&["run", "p.yaml"]);
    assert_eq!(today.code, 4, "{}", today.stderr);
}

#[test]
fn values_that_repeat_across_parts_are_found() {
    let world = World::new();
    // Three parts; two values of the first stand again in the last.
    let wide = "w".repeat(60);
    let text: String = (0..90_000)
        .map(|i| {
            format!(
                "{},{wide}\n",
                if i == 89_000 {
                    5
                } else if i == 89_001 {
                    70_000
                } else {
                    i
                }
            )
        })
        .collect();
    world.write("t.csv", format!("id,w\n{text}"));
    world.write(
        "s.yaml",
        "columns:\n  id: { type: int, unique: true }\n  w: { type: text }\n",
    );
    world.write("p.yaml", VALIDATE);
    world.ok(&["run", "p.yaml"]);
    let failures = world.ok(&["cat", "validate.failures"]);
    assert_eq!(
        failures.lines().collect::<Vec<_>>(),
        [
            "row,column,rule,severity,value",
            "89001,id,unique,quarantine,5",
            "89002,id,unique,quarantine,70000"
        ]
    );
    assert_eq!(json(&world, "validate.report")["clean"], 89_998);
}

#[test]
fn files_that_are_new_are_read_and_the_others_are_not() {
    let world = World::new();
    world.write("data/a.csv", format!("id,b,c\n{}", rows(0..1_000)));
    world.write(
        "data/b.csv.gz",
        gz(&format!("id,b,c\n{}", rows(1_000..2_000))),
    );
    let lenient = "columns:\n  id: { type: int }\n  b: { type: int }\n  c: { type: text }\n";
    world.write("s.yaml", lenient);
    world.write(
        "p.yaml",
        "stages:\n  ingest: { kind: ingest, inputs: { data: data/ } }\n  validate: { kind: validate, inputs: { schema: ./s.yaml, data: ingest.data } }\n  split: { kind: split, inputs: { data: validate.data } }\n  drift: { kind: drift, inputs: { current: split.test, reference: split.train } }\n",
    );
    let made = |log: &str| {
        log.lines()
            .filter(|line| line.contains("\"part_finished\"") || line.contains("\"part\""))
            .count()
    };
    let first = world.netsec(&["run", "p.yaml", "--log-format", "json"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    world.write("data/c.csv", format!("id,b,c\n{}", rows(2_000..2_010)));
    let second = world.netsec(&["run", "p.yaml", "--log-format", "json"]);
    let (before, after) = (made(&first.stderr), made(&second.stderr));
    assert!(
        before > 0 && after > 0 && after <= before * 2 / 3,
        "{before} parts, then {after}"
    );
    assert_eq!(world.ok(&["cat", "ingest.data"]).lines().count(), 2_011);
    // A column that turns out to be text is read again as text, everywhere.
    world.write("data/d.csv", "id,b,c\nseven,1,x\n");
    world.write(
        "s.yaml",
        lenient.replace("id: { type: int", "id: { type: text"),
    );
    let third = world.netsec(&["run", "p.yaml"]);
    assert!(
        third.stderr.contains(
            "read as text, because not all cells of the column are numbers: `id` in `data/: a.csv`"
        ),
        "{}",
        third.stderr
    );
    let other = "id,b\n1,2\n";
    world.write("data/e.csv", other);
    let refused = world.netsec(&["run", "p.yaml"]);
    assert!(
        refused
            .stderr
            .contains("the column `c` is in `data/: a.csv` and not in `data/: e.csv`"),
        "{}",
        refused.stderr
    );
}

fn gz(text: &str) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer =
        std::thread::spawn(move || std::io::Write::write_all(&mut input, text.as_bytes()).unwrap());
    let packed = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    packed
}

#[test]
fn the_leaks_of_the_phishing_table_are_counted() {
    let Some(path) = shared("phishing.csv") else {
        return;
    };
    let world = World::new();
    world.write("t.csv", std::fs::read(path).unwrap());
    let split = |with: &str| {
        world.write("p.yaml", format!("stages:\n  ingest: {{ kind: ingest, inputs: {{ data: ./t.csv }} }}\n  split: {{ kind: split, inputs: {{ data: ingest.data }}, with: {{ target: Result{with} }} }}\n"));
        world.ok(&["run", "p.yaml"]);
        json(&world, "split.leakage")
    };
    // The counts of pandas: duplicated(), nunique of the features, labels a group.
    let leakage = split("");
    for (name, count) in [
        ("rows", 11_055),
        ("duplicate_rows", 5_206),
        ("distinct_features", 5_785),
        ("contradictory_features", 64),
        ("contradictory_rows", 357),
    ] {
        assert_eq!(leakage[name], count, "{name}");
    }
    assert_eq!(leakage["test"]["features_in_train"], 0);
    // Split by something else, the same rows are on both sides.
    let leaky = split(
        ", by: group, group: [web_traffic, Links_in_tags, SFH, age_of_domain, Page_Rank, popUpWidnow]",
    );
    assert_eq!(leaky["duplicate_rows"], 5_206);
    let shares = split(", stratify: true, test_share: 0.25, validation_share: 0.25");
    let (validation, test) = (&shares["validation"], &shares["test"]);
    assert_eq!(
        (
            validation["features_in_train"].as_u64(),
            test["features_in_train"].as_u64()
        ),
        (Some(0), Some(0))
    );
    assert!(
        validation["rows"].as_u64().unwrap() > 2_000 && test["rows"].as_u64().unwrap() > 2_000,
        "{shares}"
    );
}

/// The rows of a side, as text.
fn side(world: &World, name: &str) -> std::collections::BTreeSet<String> {
    world
        .ok(&["cat", &format!("split.{name}")])
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect()
}

#[test]
fn rows_stay_on_their_side_when_others_are_added() {
    for with in [
        "by: content",
        "by: group, group: [host]",
        "by: time, time: at, test_from: '2026-01-20', validation_from: '2026-01-10', gap_hours: 24",
        "stratify: true",
    ] {
        let world = World::new();
        let rows = |days: std::ops::Range<usize>| -> String {
            days.flat_map(|day| {
                (0..40).map(move |i| {
                    format!(
                        "2026-01-{:02}T{:02}:00:00Z,h{},{},{}\n",
                        day + 1,
                        i % 24,
                        (day * 7 + i) % 60,
                        day * 40 + i,
                        i % 4 / 3
                    )
                })
            })
            .collect()
        };
        let pipeline = format!(
            "stages:\n  ingest: {{ kind: ingest, inputs: {{ data: ./t.csv }}, with: {{ types: {{ at: time }} }} }}\n  split: {{ kind: split, inputs: {{ data: ingest.data }}, with: {{ target: y, validation_share: 0.2, {with} }} }}\n"
        );
        world.write("p.yaml", pipeline);
        world.write("t.csv", format!("at,host,n,y\n{}", rows(0..25)));
        world.ok(&["run", "p.yaml"]);
        let before: Vec<_> = ["train", "validation", "test"]
            .map(|name| side(&world, name))
            .into();
        assert!(
            before.iter().all(|rows| rows.len() > 50),
            "{with}: {:?}",
            before
                .iter()
                .map(std::collections::BTreeSet::len)
                .collect::<Vec<_>>()
        );
        world.write("t.csv", format!("at,host,n,y\n{}", rows(0..28)));
        world.ok(&["run", "p.yaml"]);
        for (name, before) in ["train", "validation", "test"].iter().zip(&before) {
            assert!(side(&world, name).is_superset(before), "{with}: {name}");
        }
        if with.contains("group") {
            let hosts = |name: &str| {
                side(&world, name)
                    .iter()
                    .map(|row| row.split(',').nth(1).unwrap().to_owned())
                    .collect::<std::collections::BTreeSet<_>>()
            };
            assert!(
                hosts("train").is_disjoint(&hosts("test"))
                    && hosts("train").is_disjoint(&hosts("validation"))
            );
        }
        if with.contains("time") {
            let last = side(&world, "train").into_iter().max().unwrap();
            assert!(
                last.starts_with("2026-01-08") || last.starts_with("2026-01-09T00"),
                "{last}"
            );
            assert!(
                json(&world, "split.leakage")["rows_nowhere"]
                    .as_u64()
                    .unwrap()
                    > 0
            );
        }
        if with.contains("stratify") {
            let share = |name: &str| {
                side(&world, name)
                    .iter()
                    .filter(|row| row.ends_with(",1"))
                    .count() as f64
            };
            let all = share("train") + share("validation") + share("test");
            assert!(
                (share("test") / all - 0.2).abs() < 0.01,
                "{}",
                share("test") / all
            );
        }
    }
}

#[test]
fn columns_that_tell_too_much_are_named() {
    let world = World::new();
    let text: String = (0..2_000)
        .map(|i| format!("{i},{},{},{}\n", i % 2 * 10 + i % 5, i * 7919 % 101, i % 2))
        .collect();
    world.write("t.csv", format!("flow_id,hint,noise,y\n{text}"));
    world.write("p.yaml", "stages:\n  ingest: { kind: ingest, inputs: { data: ./t.csv } }\n  split: { kind: split, inputs: { data: ingest.data }, with: { target: y } }\n");
    let output = world.netsec(&["run", "p.yaml"]);
    assert!(
        output
            .stderr
            .contains("LEAK? `hint` alone predicts the label (AUC 1.000): drop it unless"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("LEAK? `flow_id` numbers the rows"),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("`noise`"), "{}", output.stderr);
}

#[test]
fn drift_is_compared_with_a_profile_a_file_or_the_champion() {
    let world = World::shipped();
    world.ok(&["run", "pipelines/default.yaml"]);
    world.ok(&["cat", "drift.reference", "-o", "kept.profile"]);
    world.ok(&["cat", "split.train", "-o", "train.csv"]);
    for reference in [
        "champion: 'ref:champion/default'",
        "reference: ./kept.profile",
        "reference: ./train.csv",
    ] {
        world.write("d.yaml", format!("stages:\n  ingest: {{ kind: ingest, with: {{ source: synthetic, rows: 500 }} }}\n  later: {{ kind: drift, inputs: {{ current: ingest.data, {reference} }} }}\nseed: 7\n"));
        world.ok(&["run", "d.yaml"]);
        let report = json(&world, "later.report");
        assert_eq!(
            (
                report["reference_rows"].as_u64(),
                report["current_rows"].as_u64()
            ),
            (Some(1_601), Some(500)),
            "{reference}"
        );
        assert_eq!(report["drifted"], false, "{report:#}");
    }
    world.write("d.yaml", "stages:\n  ingest: { kind: ingest, with: { source: synthetic, rows: 500, missing: 0.2 } }\n  later: { kind: drift, inputs: { current: ingest.data, champion: 'ref:champion/default' }, with: { fail: true } }\n");
    let output = world.netsec(&["run", "d.yaml"]);
    assert_eq!(output.code, 4, "{}", output.stderr);
    assert!(
        output.stderr.contains("(missing difference 0."),
        "{}",
        output.stderr
    );
    world.write("d.yaml", "stages:\n  ingest: { kind: ingest, with: { source: synthetic, rows: 500 } }\n  later: { kind: drift, inputs: { current: ingest.data, champion: 'ref:champion/nobody' } }\n");
    assert!(
        world
            .netsec(&["run", "d.yaml"])
            .stderr
            .contains("there is nothing to compare with yet")
    );
}

#[test]
fn a_schema_is_proposed_that_its_own_data_keep() {
    let world = World::new();
    world.write("t.csv", format!("id,b,c\n{}", rows(0..1_000)));
    let proposed = world.ok(&["schema", "infer", "t.csv", "-o", "s.yaml"]);
    assert_eq!(proposed, "");
    insta::assert_snapshot!(std::fs::read_to_string(world.root().join("s.yaml")).unwrap(), @"
    # What `t.csv` looks like. Made by `netsec schema infer`: correct it where you know better.
    columns:
      id: { type: int, min: 0, unique: true }
      b: { type: int, min: 0 }
      c: { type: text, allowed: [x, y, z] }
    ");
    world.write("p.yaml", VALIDATE);
    let summary = world.run(&["p.yaml"]);
    assert_eq!(outcomes(&summary), ["ingest made", "validate made"]);
    assert_eq!(json(&world, "validate.report")["quarantined"], 0);
    assert_eq!(
        world.ok(&["schema", "diff", "s.yaml", "s.yaml"]),
        "compatible: 0 changes\n"
    );
}

#[test]
fn pages_need_nothing_else_and_open_in_a_browser() {
    let world = World::shipped();
    world.ok(&["run", "pipelines/default.yaml", "--until", "drift"]);
    for (target, words) in [
        ("validate.page", "rows keep"),
        ("drift.page", "rows of the reference"),
    ] {
        let page = world.ok(&["cat", target]);
        assert!(
            !page.contains("http") && !page.contains("<script") && !page.contains("src="),
            "{target} asks for nothing"
        );
        world.write("page.html", &page);
        let path = format!("file://{}", world.root().join("page.html").display());
        let browser = std::process::Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--dump-dom",
                &path,
            ])
            .output();
        let Ok(shown) = browser else {
            crate::world::skip("there is no browser here");
            return;
        };
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            shown.contains("</table>") && (shown.contains(words) || target == "validate.page"),
            "{target}: {shown}"
        );
        assert_eq!(
            shown.matches("<tr").count(),
            page.matches("<tr").count(),
            "{target}: every row is understood"
        );
    }
}
