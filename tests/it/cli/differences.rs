//! Why two runs and two models differ, and which models were trained on given rows.

use serde_json::Value;

use crate::world::World;

fn json(world: &World, args: &[&str]) -> Value {
    serde_json::from_str(&world.ok(&[args, &["--json"]].concat())).unwrap()
}

/// The runs of a workspace, the earliest first.
fn runs(world: &World) -> Vec<String> {
    let runs = json(world, &["runs"]);
    let names = runs.as_array().unwrap().iter().rev();
    names
        .map(|run| run["run"].as_str().unwrap().to_owned())
        .collect()
}

fn names(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

const PIPELINE: &str = "stages:
  ingest: { kind: ingest, inputs: { data: t.csv } }
  split: { kind: split, inputs: { data: ingest.data }, with: { target: label } }
  transform: { kind: transform, inputs: { train: split.train, test: split.test }, with: { target: label, target_map: { 0: 0, 1: 1 } } }
  train: { kind: train, inputs: { train: transform.train, preprocessor: transform.preprocessor }, with: { candidates: [{ learner: naive_bayes }], select: { min_score: 0 } } }
  evaluate: { kind: evaluate, inputs: { model: train.model, test: split.test, champion: 'ref:champion/t' }, with: { min_score: 0 } }
";

fn rows(more: &str) -> String {
    let rows: String = (0..400)
        .map(|row| {
            format!(
                "{},{},{}\n",
                row * 7 % 13 + row % 2 * 4,
                row * 5 % 11,
                row % 2
            )
        })
        .collect();
    format!("a,b,label\n{rows}{more}")
}

#[test]
fn a_run_differs_where_its_data_do_and_the_rest_follows() {
    let world = World::new();
    world.write("t.csv", rows(""));
    world.write("p.yaml", PIPELINE);
    world.ok(&["run", "p.yaml"]);
    world.write("t.csv", rows("99,99,1\n98,97,0\n"));
    world.netsec(&["run", "p.yaml"]);
    let [first, second] = <[String; 2]>::try_from(runs(&world)).unwrap();
    let found = json(&world, &["diff", &first, &second]);
    let stages = found["stages"].as_array().unwrap();
    assert_eq!(
        names(&found["stages"], "stage"),
        ["ingest", "split", "transform", "train", "evaluate"]
    );
    assert_eq!(stages[0]["causes"][0]["sort"], "data");
    assert_eq!(stages[0]["causes"][0]["name"], "input.data");
    assert_eq!(
        stages[1]["causes"].as_array().unwrap().len(),
        0,
        "it follows"
    );
    assert_eq!(stages[4]["causes"][0]["sort"], "ref");
    let told = world.ok(&["diff", &first, &second]);
    assert!(
        told.contains("ingest (ingest) was changed") && told.contains("2 rows added"),
        "{told}"
    );
    assert!(told.contains("train follows from"), "{told}");
    // A parameter and a stage that fails.
    world.write(
        "p.yaml",
        PIPELINE.replace("naive_bayes", "decision_tree").replace(
            "with: { min_score: 0 }",
            "with: { min_score: 0, min_attacks: 1000 }",
        ),
    );
    world.netsec(&["run", "p.yaml"]);
    let third = runs(&world).pop().unwrap();
    let found = json(&world, &["diff", &second, &third]);
    assert_eq!(found["alike"], 3);
    assert_eq!(found["stages"][0]["causes"][0]["sort"], "parameter");
    assert_eq!(found["unknown"][0]["stage"], "evaluate");
    assert_eq!(found["unknown"][0]["after"], "failed");
    let same = world.ok(&["diff", &third, &third]);
    assert!(same.contains("4 stages alike, 0 differ"), "{same}");
    assert_eq!(world.netsec(&["diff", "nothing", &third]).code, 2);
    let models = [&first, &third].map(|run| format!("{run}:train.model"));
    let told = world.ok(&["models", "diff", &models[0], &models[1]]);
    assert!(
        told.contains("learner: naive_bayes → decision_tree"),
        "{told}"
    );
    assert!(told.contains("data only in the second: t.csv"), "{told}");
    let listed = json(&world, &["models", "list"]);
    assert_eq!(listed[0]["name"], "champion/t");
}

#[test]
fn models_that_were_trained_on_rows_are_found() {
    let world = World::new();
    world.write("t.csv", rows("50,51,1\n52,53,0\n"));
    world.write(
        "p.yaml",
        PIPELINE.replace(
            "with: { target: label } }",
            "with: { target: label, test_share: 0.1 } }",
        ),
    );
    world.ok(&["run", "p.yaml"]);
    world.write("request.csv", "a,b\n50,51\n52,53\n77,78\n");
    let found = json(&world, &["impact", "--rows", "request.csv"]);
    let trained = found[0]["trained_on"].as_u64().unwrap();
    let world_text = world.ok(&["cat", "split.train"]);
    let there = ["50,51,1", "52,53,0"]
        .iter()
        .filter(|row| world_text.contains(**row))
        .count();
    assert_eq!(trained, there as u64, "{found}");
    assert_eq!(found[0]["refs"][0], "champion/t");
    world.write("odd.csv", "x\n1\n");
    let odd = world.netsec(&["impact", "--rows", "odd.csv", "--json"]);
    assert_eq!(odd.code, 1, "not every model could be asked");
    let odd: Value = serde_json::from_str(&odd.stdout).unwrap();
    assert!(odd[0]["unknown"].as_str().unwrap().contains("`a`"), "{odd}");
    // A cell that is no number leaves its row open, and no other.
    world.write("request.csv", "a,b\nx,51\n 50,51\n");
    let one = world.netsec(&["impact", "--rows", "request.csv", "--json"]);
    let one: Value = serde_json::from_str(&one.stdout).unwrap();
    assert_eq!(one[0]["not_known"], 1);
    assert_eq!(
        one[0]["trained_on"].as_u64().unwrap(),
        u64::from(world_text.contains("50,51,1"))
    );
}
