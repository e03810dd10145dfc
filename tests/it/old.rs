//! Workspaces of earlier versions: runs, lineage, refs, reports and models of them are read, and
//! what runs anew is compared with the champion that they hold.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::world::{World, package};

fn unpacked(name: &str) -> World {
    let world = World::new();
    let archive = package().join("tests/old").join(name);
    let status = Command::new("tar")
        .args([Path::new("xzf"), &archive])
        .current_dir(world.root())
        .status()
        .unwrap();
    assert!(status.success());
    world
}

#[test]
fn a_workspace_of_054f85b_is_read() {
    let world = unpacked("054f85b.tar.gz");
    let verified: Value = serde_json::from_str(&world.ok(&["cache", "verify", "--json"])).unwrap();
    assert_eq!(verified["bad"], serde_json::json!([]));
    assert_eq!(
        verified["records"],
        serde_json::json!([]),
        "no alarm without cause"
    );
    let runs: Value = serde_json::from_str(&world.ok(&["runs", "--json"])).unwrap();
    assert_eq!(runs.as_array().unwrap().len(), 3);
    for pipeline in ["default", "phishing"] {
        let champion = format!("ref:champion/{pipeline}");
        let lineage = world.ok(&["lineage", &champion]);
        assert!(lineage.contains("made by train (train)"), "{lineage}");
        assert!(lineage.contains("ingest.data"), "{lineage}");
        let shown = world.ok(&["model", "show", &champion]);
        assert!(shown.contains("false-positive rate"), "{shown}");
        let file = format!("pipelines/{pipeline}.yaml");
        let board = world.ok(&["sweep", "show", &format!("{file}:train.metrics")]);
        assert!(board.contains("random_forest"), "{board}");
        let decision = world.ok(&["cat", &format!("{file}:evaluate.decision")]);
        assert!(decision.contains("\"accepted\""), "{decision}");
    }
    let rows = world.ok(&["cat", "pipelines/phishing.yaml:split.test"]);
    world.write("rows.csv", rows);
    let scored = world.ok(&["predict", "ref:champion/phishing", "rows.csv"]);
    assert!(scored.starts_with("having_IP_Address,"), "{scored}");
    assert!(
        scored.lines().nth(1).unwrap().ends_with(','),
        "no row is in error: {scored}"
    );
}

#[test]
fn a_run_in_a_workspace_of_054f85b_says_why_it_runs_and_judges_against_its_champion() {
    let world = unpacked("054f85b.tar.gz");
    let why = world.ok(&["explain", "ingest", "-f", "pipelines/default.yaml"]);
    assert!(why.contains("version"), "{why}");
    let summary = world.run(&["pipelines/default.yaml", "--set", "rows=420"]);
    assert_eq!(summary["outcome"], "succeeded", "{summary:#}");
    let decision: Value =
        serde_json::from_str(&world.ok(&["cat", "pipelines/default.yaml:evaluate.decision"]))
            .unwrap();
    assert_eq!(decision["champion"]["learner"], "logistic_regression");
    let again = world.run(&["pipelines/default.yaml", "--set", "rows=420"]);
    let outcomes = crate::world::outcomes(&again);
    assert!(
        outcomes.iter().all(|outcome| outcome.ends_with("reused")),
        "{outcomes:?}"
    );
    let verified: Value = serde_json::from_str(&world.ok(&["cache", "verify", "--json"])).unwrap();
    assert_eq!(verified["records"], serde_json::json!([]));
}
