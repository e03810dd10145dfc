//! Rows that are forgotten: from models, from the cache, and by nobody else.

use std::fmt::Write as _;
use std::sync::Arc;

use netsec::base::clock::SystemClock;
use netsec::base::digest::Digest;
use netsec::frame::codec;
use netsec::store::blob::Store;
use netsec::store::digest_cache::DigestCache;
use netsec::store::local::LocalStore;
use serde_json::Value;

use crate::cli::matrix::{is_full, traced};
use crate::dice::Dice;
use crate::world::World;

/// Flows, each with a number of bytes of its own.
fn flows(rows: usize, seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = "bytes,packets,label\n".to_owned();
    for row in 0..rows {
        let is_attack = dice.below(10) < 4;
        let (bytes, label) = if is_attack {
            (6, "attack")
        } else {
            (3, "benign")
        };
        let bytes = (bytes + dice.below(5)) * 100_000 + seed as usize * 10_000 + row;
        let _ = writeln!(text, "{bytes},{},{label}", dice.below(50));
    }
    text
}

/// A workspace with a champion, and the table it was made of.
fn world() -> (World, String) {
    let world = World::new();
    let text = flows(900, 1);
    world.write("flows.csv", &text);
    world.ok(&["init", "flows.csv"]);
    world.run(&["pipelines/flows.yaml"]);
    (world, text)
}

fn json(world: &World, args: &[&str]) -> Value {
    serde_json::from_str(&world.ok(args)).unwrap()
}

/// Writes some rows of a table as a request, and the table without them.
fn take_out(world: &World, text: &str, rows: &[&str]) {
    let (head, _) = text.split_once('\n').unwrap();
    world.write("request.csv", format!("{head}\n{}\n", rows.join("\n")));
    let mut rest: String = text.to_owned();
    for row in rows {
        rest = rest.replace(&format!("{row}\n"), "");
    }
    world.write("flows.csv", rest);
}

/// The blobs that are tables and have this cell.
fn tables_with(world: &World, cell: &str) -> Vec<String> {
    let cache = world.root().join("cache");
    let known = DigestCache::load(&cache.join("known"), Box::new(SystemClock));
    let store = LocalStore::open(&cache, Arc::new(known));
    let has_cell = |digest: &Digest| {
        let table = codec::decode(store.get(digest).unwrap());
        table.is_ok_and(|table| {
            let has = |name: &String| {
                let cells = table.texts(name).unwrap_or_default();
                cells.iter().flatten().any(|found| found == cell)
            };
            table.names().iter().any(has)
        })
    };
    let blobs = store.list().unwrap().into_iter();
    let having = blobs.filter(|(digest, _)| has_cell(digest));
    having
        .map(|(digest, _)| world.ok(&["lineage", &digest.hex()]))
        .collect()
}

const APPLY: [&str; 8] = [
    "forget",
    "--rows",
    "request.csv",
    "--apply",
    "--why",
    "ticket 7",
    "--by",
    "alex",
];

fn champion(world: &World) -> Value {
    let listed = json(world, &["models", "list", "--json"]);
    listed[0]["digest"].clone()
}

/// A row that the model was trained on, or one that it was not.
fn row_of<'a>(world: &World, text: &'a str, output: &str) -> &'a str {
    let table = world.ok(&["cat", output]);
    let bytes = bytes_of(table.lines().nth(1).unwrap());
    let mut rows = text.lines();
    rows.find(|row| bytes_of(row) == bytes).unwrap()
}

/// The cell that no other row has.
fn bytes_of(row: &str) -> &str {
    row.split(',').next().unwrap()
}

#[test]
fn rows_are_forgotten_by_models_and_by_the_cache() {
    let (world, text) = world();
    let before = champion(&world);
    let rows = [
        row_of(&world, &text, "split.train"),
        text.lines().nth(300).unwrap(),
    ];
    let cell = bytes_of(rows[0]);
    assert!(
        !tables_with(&world, cell).is_empty(),
        "the row is in the cache"
    );
    world.write("elsewhere.csv", flows(500, 2));
    world.ok(&["init", "elsewhere.csv"]);
    world.run(&["pipelines/elsewhere.yaml"]);

    take_out(&world, &text, &rows);
    let kept = std::fs::read_to_string(world.root().join("flows.csv")).unwrap();
    world.write("flows.csv", &text);
    let plan = json(&world, &["forget", "--rows", "request.csv", "--json"]);
    assert_eq!(plan["rows"], 2);
    assert_eq!(plan["models"][0]["digest"], before);
    assert_eq!(plan["sources"][0]["rows"].as_array().unwrap().len(), 2);
    assert_eq!(plan["pipelines"][0], "pipelines/flows.yaml");
    let runs = world.ok(&["runs"]);
    let refused = world.netsec(&APPLY);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("take them out first"),
        "{}",
        refused.stderr
    );
    assert_eq!(world.ok(&["runs"]), runs, "nothing was begun");

    world.write("flows.csv", kept);
    let mut apply = APPLY.to_vec();
    apply.push("--json");
    let done = json(&world, &apply);
    assert!(done["blobs"].as_u64().unwrap() > 10, "{done}");
    assert_ne!(done["moved"]["champion/flows"], before);
    assert_eq!(
        tables_with(&world, cell),
        [""; 0],
        "the row is in no table of the cache"
    );
    let impact = json(&world, &["impact", "--rows", "request.csv", "--json"]);
    for model in impact.as_array().unwrap() {
        let is_gone = model["digest"] == before;
        assert_eq!(model["forgotten_ms"].is_u64(), is_gone, "{model}");
        assert_eq!(model["trained_on"], 0, "{model}");
    }
    // What others made is there, and nothing is taken for damaged.
    world.ok(&["cache", "verify"]);
    world.ok(&["model", "verify", "ref:champion/elsewhere"]);
    world.ok(&["model", "verify", "ref:champion/flows"]);
    for pipeline in ["pipelines/flows.yaml", "pipelines/elsewhere.yaml"] {
        let again = world.run(&[pipeline]);
        let stages = again["stages"].as_array().unwrap();
        assert!(
            stages.iter().all(|stage| stage["outcome"] == "reused"),
            "{again}"
        );
    }
    // What stays can be taken elsewhere, also after a sweep.
    world.ok(&["export", "kept.netsec"]);
    world.ok(&["cache", "gc", "--apply"]);
    world.ok(&["export", "kept.netsec"]);
    let other = World::new();
    std::fs::copy(
        world.root().join("kept.netsec"),
        other.root().join("kept.netsec"),
    )
    .unwrap();
    other.ok(&["import", "kept.netsec"]);
    other.ok(&["cache", "verify"]);
    // It does not come back.
    let promote = [
        "model",
        "promote",
        before.as_str().unwrap(),
        "--to",
        "champion/flows",
    ];
    let refused = world.netsec(&[&promote[..], &["--why", "x", "--by", "y"]].concat());
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    let again = json(&world, &["forget", "--rows", "request.csv", "--json"]);
    assert_eq!(
        (again["models"][0].clone(), again["tables"].clone()),
        (Value::Null, serde_json::json!({}))
    );
    world.ok(&APPLY);
    let history = world.ok(&["model", "history", "champion/flows"]);
    assert!(history.contains("ticket 7"), "{history}");
}

#[test]
fn a_row_that_no_model_was_trained_on_goes_from_the_cache_and_the_champion_stays() {
    let (world, text) = world();
    let before = champion(&world);
    let row = row_of(&world, &text, "split.test");
    let cell = bytes_of(row);
    take_out(&world, &text, &[row]);
    let plan = json(&world, &["forget", "--rows", "request.csv", "--json"]);
    assert_eq!(plan["models"], serde_json::json!([]));
    assert_eq!(plan["tables"].as_object().unwrap().len(), 1);
    world.ok(&APPLY);
    assert_eq!(tables_with(&world, cell), [""; 0]);
    let models = json(&world, &["impact", "--rows", "request.csv", "--json"]);
    let champion = models
        .as_array()
        .unwrap()
        .iter()
        .find(|model| model["digest"] == before);
    assert!(
        champion.is_some_and(|model| model["forgotten_ms"].is_null()),
        "{models}"
    );
}

#[test]
fn a_model_that_is_not_good_enough_takes_no_place() {
    let (world, text) = world();
    let before = champion(&world);
    take_out(&world, &text, &[row_of(&world, &text, "split.train")]);
    let path = world.root().join("pipelines/flows.yaml");
    let pipeline = std::fs::read_to_string(path).unwrap();
    let asked = "recall_at_fpr_0_01: 0.1";
    assert!(pipeline.contains(asked), "{pipeline}");
    let stricter = pipeline.replace(asked, "recall_at_fpr_0_01: 0.9999");
    world.write("pipelines/flows.yaml", stricter);
    let refused = world.netsec(&APPLY);
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("nothing was removed"),
        "{}",
        refused.stderr
    );
    assert_eq!(champion(&world), before, "the ref is back");
    world.ok(&["model", "show", "ref:champion/flows"]);
}

#[test]
fn whoever_is_killed_while_forgetting_can_ask_again() {
    if std::process::Command::new("strace")
        .arg("-V")
        .output()
        .is_err()
    {
        crate::world::skip("strace is not installed");
        return;
    }
    let points: &[usize] = match is_full() {
        true => &[
            1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60, 70,
        ],
        false => &[2, 9, 22, 50],
    };
    let mut killed = 0;
    for call in ["rename", "fdatasync", "unlink"] {
        for at in points {
            let (world, text) = world();
            let before = champion(&world);
            let row = row_of(&world, &text, "split.train");
            take_out(&world, &text, &[row]);
            let inject = format!("inject={call}:signal=KILL:when={at}");
            let flags = ["-e", &format!("trace={call}"), "-e", &inject];
            let (_, output) = traced(&world, &APPLY, &flags);
            killed += usize::from(output.status.code().is_none());
            let place = format!("{call} {at}");
            world.ok(&APPLY);
            assert_eq!(tables_with(&world, bytes_of(row)), [""; 0], "{place}");
            let impact = json(&world, &["impact", "--rows", "request.csv", "--json"]);
            let models = impact.as_array().unwrap();
            assert!(
                models.iter().all(|model| model["trained_on"] == 0),
                "{place}: {impact}"
            );
            let now = champion(&world);
            assert!(now.is_string() && now != before, "{place}: {now}");
            world.ok(&["cache", "verify"]);
        }
    }
    assert!(killed >= 6, "{killed} were killed");
}

#[test]
fn every_ref_gets_another_model_or_stays_and_nothing_comes_back() {
    let (world, text) = world();
    let row = row_of(&world, &text, "split.train");
    let pipeline = std::fs::read_to_string(world.root().join("pipelines/flows.yaml")).unwrap();
    world.write(
        "pipelines/other.yaml",
        pipeline.replace("champion/flows", "champion/other"),
    );
    world.run(&["pipelines/other.yaml"]);
    let word = ["--why", "a pilot", "--by", "kim"];
    let promote = [
        "model",
        "promote",
        "ref:champion/flows",
        "--to",
        "champion/pilot",
    ];
    world.ok(&[&promote[..], &word].concat());
    world.ok(&["export", "run.netsec"]);
    world.ok(&[
        "model",
        "export",
        "ref:champion/flows",
        "-o",
        "m.netsec-model",
    ]);
    let before = champion(&world);
    take_out(&world, &text, &[row]);
    // A column that the model uses is not in the request: it cannot be asked.
    let whole = std::fs::read_to_string(world.root().join("request.csv")).unwrap();
    let part: Vec<&str> = whole
        .lines()
        .map(|line| line.rsplit_once(',').unwrap().0)
        .collect();
    let part: Vec<&str> = part
        .iter()
        .map(|line| line.split(',').next().unwrap())
        .collect();
    world.write("request.csv", part.join("\n"));
    let refused = world.netsec(&APPLY);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("nothing was changed"),
        "{}",
        refused.stderr
    );
    world.write("request.csv", whole);
    let done = json(&world, &[&APPLY[..], &["--json"]].concat());
    for name in ["champion/flows", "champion/other", "champion/pilot"] {
        assert!(done["moved"][name].is_string(), "{name}: {done}");
        assert_ne!(done["moved"][name], before, "{name}");
        world.ok(&["model", "show", &format!("ref:{name}")]);
    }
    // Neither a model nor a run that was taken out before comes back.
    let import = [
        "model",
        "import",
        "m.netsec-model",
        "--unsigned",
        "--to",
        "champion/flows",
    ];
    let refused = world.netsec(&[&import[..], &word].concat());
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    let refused = world.netsec(&["import", "run.netsec"]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert_eq!(tables_with(&world, bytes_of(row)), [""; 0]);
    let gone = world.netsec(&[
        "model",
        "archive",
        "champion/nowhere",
        "--why",
        "x",
        "--by",
        "y",
    ]);
    assert!(gone.stderr.contains("there is no ref"), "{}", gone.stderr);
}

#[test]
fn what_the_new_model_was_made_of_stays() {
    // Of a search with nearest neighbours some fits come to the same bytes with and without the
    // rows.
    let shipped = World::shipped();
    shipped.run(&["pipelines/default.yaml", "--set", "rows=2500"]);
    let text = shipped.ok(&["cat", "ingest.data"]);
    let world = World::new();
    world.write("flows.csv", &text);
    world.ok(&["init", "flows.csv"]);
    world.run(&["pipelines/flows.yaml"]);
    let lines: Vec<&str> = text.lines().collect();
    world.write("request.csv", lines[..4].join("\n") + "\n");
    world.write(
        "flows.csv",
        lines[..1].join("") + "\n" + &lines[4..].join("\n") + "\n",
    );
    let word = ["--apply", "--why", "ticket 7", "--by", "alex"];
    world.ok(&[&["forget", "--rows", "request.csv"][..], &word].concat());
    let again = world.run(&["pipelines/flows.yaml"]);
    let outcomes = crate::world::outcomes(&again);
    assert!(
        outcomes.iter().all(|told| told.ends_with("reused")),
        "{outcomes:?}"
    );
}
