//! Models promoted and rolled back by hand, and the history of a ref.

use serde_json::Value;

use crate::world::World;

fn history(world: &World) -> Vec<Value> {
    let text = world.ok(&["model", "history", "champion/default", "--json"]);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_ref_tells_who_moved_it_and_why() {
    let world = World::shipped();
    let run = world.run(&["pipelines/default.yaml", "--set", "rows=600"]);
    let first = &history(&world)[0];
    assert_eq!(first["stage"], "evaluate");
    assert_eq!(first["run"], run["run"]);
    // Another model, whatever the gate said of it.
    world.run(&["pipelines/default.yaml", "--set", "rows=700"]);
    let before = history(&world).len();
    let current = history(&world)[before - 1]["to"].clone();
    let other = if current == first["to"] {
        "train.model".to_owned()
    } else {
        first["to"].as_str().unwrap()[..12].to_owned()
    };
    let why = "the other one alarms on backups";
    let word = ["--why", why, "--by", "someone"];
    let promote = ["model", "promote", &other, "--to", "champion/default"];
    world.ok(&[&promote[..], &word].concat());
    let moved = history(&world);
    assert_eq!(moved.len(), before + 1);
    assert_eq!(moved[before]["who"], "someone");
    assert_eq!(moved[before]["why"], why);
    assert_eq!(moved[before]["from"], current);
    let text = world.ok(&["model", "history", "champion/default"]);
    assert!(text.contains(why) && text.contains("`evaluate`"), "{text}");
    let rollback = ["model", "rollback", "champion/default"];
    world.ok(&[&rollback[..], &word].concat());
    assert_eq!(history(&world)[before + 1]["to"], current);
    // A decision that is up to date does not undo what a person decided.
    world.run(&["pipelines/default.yaml", "--set", "rows=700"]);
    assert_eq!(history(&world).len(), before + 2);
    let table = [
        "model",
        "promote",
        "ingest.data",
        "--to",
        "champion/default",
        "--why",
        "x",
    ];
    let refused = world.netsec(&table);
    assert_eq!(refused.code, 2, "only models are promoted");
}

#[test]
fn status_tells_what_a_run_would_make_of_a_ref() {
    let world = World::shipped();
    let status = |args: &[&str]| world.ok(&[&["status", "pipelines/default.yaml"], args].concat());
    let told = status(&["--set", "rows=600"]);
    assert!(
        told.contains("champion/default is at nothing yet; evaluate decides whether it moves"),
        "{told}"
    );
    world.run(&["pipelines/default.yaml", "--set", "rows=600"]);
    let told = status(&["--set", "rows=600"]);
    assert!(
        told.contains(", where pipelines/default.yaml put it"),
        "{told}"
    );
    // Another pipeline on the same ref is no surprise.
    let copy = std::fs::read_to_string(world.root().join("pipelines/default.yaml")).unwrap();
    world.write("pipelines/copy.yaml", copy);
    let told = world.ok(&["status", "pipelines/copy.yaml", "--set", "rows=700"]);
    assert!(
        told.contains("where another pipeline, pipelines/default.yaml, put it"),
        "{told}"
    );
    let json: Value =
        serde_json::from_str(&world.ok(&["status", "pipelines/copy.yaml", "--json"])).unwrap();
    assert_eq!(json["refs"][0]["prospect"], "undecided");
    // Which runs used or made something, and how often the test rows were asked.
    let runs = |target: &str| -> usize {
        let listed = world.ok(&["runs", "--using", target, "--json"]);
        serde_json::from_str::<Value>(&listed)
            .unwrap()
            .as_array()
            .unwrap()
            .len()
    };
    world.run(&["pipelines/default.yaml", "--set", "rows=650"]);
    assert_eq!(runs("schemas/synthetic.yaml"), 2);
    assert_eq!(runs("ref:champion/default"), 2);
    assert_eq!(runs("train.model"), 1);
    let first = &history(&world)[0];
    assert_eq!(first["judged_by_same_rows"], 1);
    assert_eq!(first["decision"].as_str().unwrap().len(), 64);
}
