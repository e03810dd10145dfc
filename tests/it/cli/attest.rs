//! Keys, signed exports, packages and their import, and what becomes of what was tampered with.

use serde_json::Value;

use crate::world::World;

/// A workspace with an accepted model and a pair of keys, `team.pem` and `team.pub.pem`.
fn signed_world() -> World {
    let world = World::shipped();
    world.run(&["pipelines/default.yaml", "--set", "rows=600"]);
    world.ok(&["keys", "new", "-o", "team"]);
    world
}

const CHAMPION: &str = "ref:champion/default";

#[test]
fn an_exported_folder_is_refused_if_a_file_was_tampered_with() {
    let world = signed_world();
    world.ok(&[
        "model", "export", CHAMPION, "-o", "out", "--sign", "team.pem",
    ]);
    let verify = ["model", "verify", "out", "--key", "team.pub.pem"];
    world.ok(&verify);
    let onnx = world.root().join("out/model.onnx");
    let bytes = std::fs::read(&onnx).unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    world.write("out/model.onnx", changed);
    let refused = world.netsec(&verify);
    assert_eq!(refused.code, 4);
    assert!(
        refused
            .stderr
            .contains("`model.onnx` was changed after the model was signed"),
        "{}",
        refused.stderr
    );
    world.write("out/model.onnx", bytes);
    world.write("out/extra.py", "print()");
    assert!(
        world
            .netsec(&verify)
            .stderr
            .contains("`extra.py` was not there")
    );
    std::fs::remove_file(world.root().join("out/extra.py")).unwrap();
    world.ok(&["keys", "new", "-o", "other"]);
    let other = world.netsec(&["model", "verify", "out", "--key", "other.pub.pem"]);
    assert!(
        other.stderr.contains("not signed by this key"),
        "{}",
        other.stderr
    );
    assert_eq!(
        world.netsec(&["model", "verify", "out"]).code,
        2,
        "a key has to be named"
    );
    // A key is never written over, and the private one is the owner's alone.
    assert_eq!(world.netsec(&["keys", "new", "-o", "team"]).code, 2);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(world.root().join("team.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_package_brings_a_model_to_another_workspace() {
    let world = signed_world();
    let package = "champion.netsec-model";
    world.ok(&[
        "model", "export", CHAMPION, "-o", package, "--sign", "team.pem",
    ]);
    world.ok(&["model", "verify", package, "--key", "team.pub.pem"]);
    let other = World::new();
    for file in [package, "team.pub.pem"] {
        std::fs::copy(world.root().join(file), other.root().join(file)).unwrap();
    }
    let word = [
        "--to",
        "champion/default",
        "--why",
        "trained by the other team",
        "--by",
        "someone",
    ];
    let import = ["model", "import", package];
    let anybody = other.netsec(&[&import[..], &word].concat());
    assert_eq!(anybody.code, 2, "who signed it has to be asked for");
    other.ok(&[&import[..], &word, &["--key", "team.pub.pem"]].concat());
    let shown = |world: &World| -> Value {
        serde_json::from_str(&world.ok(&["model", "show", CHAMPION, "--json"])).unwrap()
    };
    assert_eq!(shown(&world), shown(&other));
    let history: Value =
        serde_json::from_str(&other.ok(&["models", "history", "champion/default", "--json"]))
            .unwrap();
    assert_eq!(history[0]["why"], "trained by the other team");
    let lineage = other.ok(&["lineage", CHAMPION]);
    assert!(
        lineage.contains("imported (import)") && lineage.contains("signed by"),
        "{lineage}"
    );
    let listed = other.ok(&["models", "list"]);
    assert!(listed.contains("someone (imported, signed)"), "{listed}");
    other.ok(&["cache", "verify"]);
    // What was tampered with brings nothing in.
    let text = std::fs::read_to_string(other.root().join(package)).unwrap();
    let mut changed: Value = serde_json::from_str(&text).unwrap();
    let model = changed["model"].as_str().unwrap();
    let swapped = format!("{}A{}", &model[..200], &model[201..]);
    changed["model"] = Value::String(swapped);
    other.write(package, changed.to_string());
    let refused = other.netsec(&[&import[..], &word, &["--key", "team.pub.pem"]].concat());
    assert_eq!(refused.code, 4);
    assert!(
        refused
            .stderr
            .contains("the model is not the one that its statement speaks of"),
        "{}",
        refused.stderr
    );
    for (what, odd) in [("name", "other"), ("card", "all is well")] {
        let mut changed: Value = serde_json::from_str(&text).unwrap();
        changed[what] = Value::String(odd.to_owned());
        other.write(package, changed.to_string());
        let verify = ["model", "verify", package, "--key", "team.pub.pem"];
        assert_eq!(other.netsec(&verify).code, 4, "{what}");
    }
    other.write(package, "{\"format\": 9}");
    assert_eq!(
        other
            .netsec(&[&import[..], &word, &["--unsigned"]].concat())
            .code,
        4
    );
}

#[test]
fn a_chain_is_checked_down_to_the_data() {
    let world = World::new();
    let mut rows = "a,b,label\n".to_owned();
    for row in 0..400 {
        let label = row % 2;
        rows += &format!("{},{},{label}\n", row * 7 % 13 + label * 4, row * 5 % 11);
    }
    world.write("t.csv", &rows);
    world.write(
        "p.yaml",
        "stages:
  ingest: { kind: ingest, inputs: { data: t.csv } }
  split: { kind: split, inputs: { data: ingest.data }, with: { target: label } }
  transform: { kind: transform, inputs: { train: split.train, test: split.test }, with: { target: label, target_map: { 0: 0, 1: 1 } } }
  train: { kind: train, inputs: { train: transform.train, preprocessor: transform.preprocessor }, with: { candidates: [{ learner: naive_bayes }], select: { min_score: 0 } } }
",
    );
    world.ok(&["run", "p.yaml"]);
    let verify = ["model", "verify", "train.model"];
    let told = world.netsec(&verify);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(
        told.stderr.contains("and 1 file agree with the records"),
        "{}",
        told.stderr
    );
    world.write("t.csv", format!("{rows}1,2,0\n"));
    // A file that no statement speaks of is no model, whatever the key.
    world.ok(&["keys", "new", "-o", "team"]);
    for key in [&[][..], &["--key", "team.pub.pem"]] {
        let plain = world.netsec(&[&["model", "verify", "t.csv"], key].concat());
        assert_eq!(plain.code, 4, "{}", plain.stderr);
    }
    let changed = world.netsec(&verify);
    assert_eq!(changed.code, 1);
    assert!(
        changed.stderr.contains("`t.csv` was changed since"),
        "{}",
        changed.stderr
    );
    // A damaged blob is told, the first time and ever after.
    let trace: Value =
        serde_json::from_str(&world.ok(&["lineage", "train.model", "--json"])).unwrap();
    let digest = trace["inputs"][0]["digest"].as_str().unwrap().to_owned();
    let blob = world
        .root()
        .join(format!("cache/blobs/{}/{digest}", &digest[..2]));
    assert!(blob.exists(), "{}", blob.display());
    let relative = blob
        .strip_prefix(world.root())
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[0] ^= 1;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    world.write(&relative, bytes);
    for _ in 0..2 {
        let damaged = world.netsec(&verify);
        assert_eq!(damaged.code, 1);
        assert!(damaged.stderr.contains("is damaged"), "{}", damaged.stderr);
    }
    let bill: Value = serde_json::from_str(&{
        world.ok(&["model", "export", "train.model", "-o", "m.cdx.json"]);
        std::fs::read_to_string(world.root().join("m.cdx.json")).unwrap()
    })
    .unwrap();
    assert_eq!(bill["specVersion"], "1.6");
    assert_eq!(bill["components"][0]["name"], "t.csv");
}

#[test]
fn a_signed_promotion_is_checked_by_its_ref() {
    let world = signed_world();
    let promote = [
        "model",
        "promote",
        "train.model",
        "--to",
        "champion/pilot",
        "--why",
        "the pilot",
        "--by",
        "alex",
    ];
    world.ok(&[&promote[..], &["--sign", "team.pem"]].concat());
    world.ok(&["cache", "gc", "--apply"]);
    let verify = ["model", "verify", "ref:champion/pilot", "--key"];
    let told = world.netsec(&[&verify[..], &["team.pub.pem"]].concat());
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(
        told.stderr.contains("promoted with a statement signed by"),
        "{}",
        told.stderr
    );
    world.ok(&["keys", "new", "-o", "other"]);
    let other = world.netsec(&[&verify[..], &["other.pub.pem"]].concat());
    assert_eq!(other.code, 4, "{}", other.stderr);
    let gate = world.netsec(&["model", "verify", CHAMPION, "--key", "team.pub.pem"]);
    assert!(
        gate.stderr.contains("moved there without a signature"),
        "{}",
        gate.stderr
    );
    let history: Value =
        serde_json::from_str(&world.ok(&["model", "history", "champion/pilot", "--json"])).unwrap();
    let envelope = history[0]["attestation"].as_str().unwrap();
    assert!(
        world
            .ok(&["cat", envelope])
            .contains("application/vnd.in-toto+json")
    );
}
