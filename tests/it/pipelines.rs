//! Every shipped pipeline checks, fits the JSON Schema, and runs once.

use serde_json::Value;

use crate::world::{World, digests, outcomes, package, same_file, shared};

fn all_reused(summary: &Value) -> bool {
    outcomes(summary)
        .iter()
        .all(|outcome| outcome.ends_with("reused"))
}

#[test]
fn the_default_pipeline_ends_with_an_accepted_model_and_then_runs_nothing() {
    let world = World::shipped();
    let first = world.run(&["pipelines/default.yaml"]);
    assert_eq!(first["outcome"], "succeeded", "{first:#}");
    let decision: Value = serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap();
    assert_eq!(decision["accepted"], true);
    assert!(decision["challenger"]["metrics"]["f1"].as_f64().unwrap() > 0.9);
    let again = world.run(&["pipelines/default.yaml"]);
    assert!(all_reused(&again), "{again:#}");
    assert_eq!(digests(&first), digests(&again));
    let refresh = world.run(&["pipelines/default.yaml", "--set", "rows=2500"]);
    assert_eq!(refresh["outcome"], "succeeded");
    let decision: Value = serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap();
    assert_eq!(
        decision["champion"]["digest"].as_str().unwrap().len(),
        64,
        "the second is compared with the first"
    );
    assert!(all_reused(&world.run(&[
        "pipelines/default.yaml",
        "--set",
        "rows=2500"
    ])));
}

#[test]
fn any_number_of_jobs_and_threads_makes_the_same_bytes() {
    let run = |args: &[&str]| {
        let world = World::shipped();
        digests(&world.run(&[&["pipelines/default.yaml"], args].concat()))
    };
    let one = run(&["--jobs", "1", "--threads", "1"]);
    assert_eq!(one.len(), 25);
    assert_eq!(one, run(&["--jobs", "8", "--threads", "8"]));
    assert_eq!(one, run(&["--jobs", "2", "--threads", "3"]));
}

#[test]
fn the_phishing_table_trains_and_is_accepted() {
    let Some(path) = shared("phishing.csv") else {
        return;
    };
    let world = World::shipped();
    let set = format!("data={}", path.display());
    let summary = world.run(&["pipelines/phishing.yaml", "--set", &set]);
    assert_eq!(summary["outcome"], "succeeded", "{summary:#}");
    let decision: Value = serde_json::from_str(&world.ok(&["cat", "evaluate.decision"])).unwrap();
    assert_eq!(decision["accepted"], true);
    let f1 = decision["challenger"]["metrics"]["f1"].as_f64().unwrap();
    assert!(f1 >= 0.95, "test F1 {f1}");
    assert!(all_reused(&world.run(&[
        "pipelines/phishing.yaml",
        "--set",
        &set
    ])));
}

#[test]
fn csv_parquet_and_ndjson_of_the_same_rows_split_alike() {
    let world = World::new();
    world.write(
        "a.csv",
        "x,name,y\n1,ab,1\n2,na,-1\n3.5,cd,1\n4,ef,-1\n5,gh,1\n",
    );
    world.write("b.ndjson", "{\"x\":1,\"name\":\"ab\",\"y\":1}\n{\"x\":2,\"name\":\"na\",\"y\":-1}\n{\"x\":3.5,\"name\":\"cd\",\"y\":1}\n{\"x\":4,\"name\":\"ef\",\"y\":-1}\n{\"x\":5,\"name\":\"gh\",\"y\":1}\n");
    let pipeline = |file: &str| {
        format!(
            "stages: {{ i: {{ kind: ingest, inputs: {{ data: ./{file} }} }}, s: {{ kind: split, inputs: {{ data: i.data }}, with: {{ target: y, test_share: 0.5 }} }} }}"
        )
    };
    world.write("a.yaml", pipeline("a.csv"));
    world.write("b.yaml", pipeline("b.ndjson"));
    world.write("c.yaml", pipeline("c.parquet"));
    let csv = digests(&world.run(&["a.yaml"]));
    world.ok(&["cat", "i.data", "-o", "c.parquet"]);
    assert_eq!(csv, digests(&world.run(&["c.yaml"])));
    assert_eq!(csv, digests(&world.run(&["b.yaml"])));
}

#[test]
fn shipped_pipelines_fit_the_generated_schema() {
    let world = World::shipped();
    let schema: Value = serde_json::from_str(&world.ok(&["schema"])).unwrap();
    same_file(
        &package().join("schemas/pipeline.schema.json"),
        &format!("{schema:#}\n"),
    );
    let validator = jsonschema::validator_for(&schema).unwrap();
    for name in ["default", "phishing"] {
        let path = package().join(format!("pipelines/{name}.yaml"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("# yaml-language-server: $schema="),
            "{name} tells editors its schema"
        );
        let errors: Vec<String> = validator
            .iter_errors(&json(&text))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
    let wrong = json("stages: { a: { kind: train, inputs: {}, with: { folds: many } } }");
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn shipped_schemas_fit_the_generated_schema() {
    let world = World::shipped();
    let schema: Value = serde_json::from_str(&world.ok(&["schema", "--format", "data"])).unwrap();
    same_file(
        &package().join("schemas/data.schema.json"),
        &format!("{schema:#}\n"),
    );
    let validator = jsonschema::validator_for(&schema).unwrap();
    let full = "columns: { a: { type: int, min: 0, at_most: { min: 0.1% }, severity: warn }, b: { type: text, regex: x } }\n\
                rows: [{ name: n, check: a > 1, severity: fail }]\ntable: { duplicates: { max: 20%, severity: warn } }\n";
    let shipped = ["phishing", "synthetic"].map(|name| {
        std::fs::read_to_string(package().join(format!("schemas/{name}.yaml"))).unwrap()
    });
    for text in shipped.iter().map(String::as_str).chain([full]) {
        let errors: Vec<String> = validator
            .iter_errors(&json(text))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
        assert!(netsec::schema::parse::parse("s.yaml", text.as_bytes().to_vec()).is_ok());
    }
    for wrong in [
        "columns: { a: { type: nit } }",
        "columns: { a: { type: int, mim: 1 } }",
        "rows: []",
        "columns: {}\ntable: { rows: { share: 1 } }",
    ] {
        assert!(!validator.is_valid(&json(wrong)), "{wrong}");
        assert!(
            netsec::schema::parse::parse("s.yaml", wrong.as_bytes().to_vec()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn stored_reports_fit_their_generated_schemas() {
    let world = World::shipped();
    let first = world.run(&["pipelines/default.yaml"]);
    assert_eq!(first["outcome"], "succeeded", "{first:#}");
    // The second run has a champion to compare with and a reference for drift.
    world.run(&["pipelines/default.yaml", "--set", "rows=2500"]);
    for (name, artifact) in [
        ("ingest", "ingest.report"),
        ("validation", "validate.report"),
        ("leakage", "split.leakage"),
        ("drift", "drift.report"),
        ("leaderboard", "train.metrics"),
        ("decision", "evaluate.decision"),
    ] {
        let text = world.ok(&["schema", "--format", name]);
        same_file(
            &package().join(format!("schemas/{name}.schema.json")),
            &text,
        );
        let schema: Value = serde_json::from_str(&text).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mut report: Value = serde_json::from_str(&world.ok(&["cat", artifact])).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{artifact}: {errors:#?}");
        report["format"] = 1000.into();
        assert!(!validator.is_valid(&report), "{artifact} of another format");
    }
}

fn json(text: &str) -> Value {
    fn of(value: &netsec::base::syntax::SyntaxValue) -> Value {
        use netsec::base::syntax::SyntaxValue as Tree;
        match value {
            Tree::Null => Value::Null,
            Tree::Bool(flag) => (*flag).into(),
            Tree::Int(number) => (*number).into(),
            Tree::Float(number) => (*number).into(),
            Tree::Text(text) => text.clone().into(),
            Tree::List(items) => items.iter().map(|item| of(&item.value)).collect(),
            Tree::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.value.clone(), of(&node.value)))
                    .collect(),
            ),
        }
    }
    of(&netsec::base::syntax::parse_snippet(text).unwrap())
}
