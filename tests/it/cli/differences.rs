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

/// A collector that answers each event with this status; the bodies that it took, and the keys.
fn collector(
    status: &'static str,
    events: usize,
) -> (String, std::thread::JoinHandle<Vec<String>>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let taken = std::thread::spawn(move || {
        let mut bodies = Vec::new();
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        while bodies.len() < events {
            let (mut length, mut head) = (0, String::new());
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let lower = line.to_lowercase();
                if let Some(told) = lower.strip_prefix("content-length:") {
                    length = told.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&lower);
            }
            assert!(head.starts_with("post /api/v1/lineage "), "{head}");
            assert!(head.contains("authorization: bearer of-the-team"), "{head}");
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            bodies.push(String::from_utf8(body).unwrap());
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 7\r\n\r\nno room");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        bodies
    });
    (address, taken)
}

#[test]
fn events_are_sent_to_a_collector() {
    let world = World::new();
    world.write("in.txt", "hello\n");
    world.write(
        "p.yaml",
        "stages: { a: { kind: command, inputs: { x: ./in.txt }, with: { run: [cat, x] } } }\n",
    );
    world.run(&["p.yaml"]);
    let send = |address: &str| {
        let args = ["lineage", "a.stdout", "--send", address];
        let mut command = world.command(&args);
        let output = command
            .env("OPENLINEAGE_API_KEY", "of-the-team")
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (address, taken) = collector("201 Created", 2);
    let (code, said) = send(&address);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 events sent"), "{said}");
    let told = world.ok(&["lineage", "a.stdout", "--format", "openlineage"]);
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(taken.join().unwrap(), told);
    let (address, taken) = collector("507 Insufficient Storage", 1);
    let (code, said) = send(&address);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("507") && said.contains("no room"), "{said}");
    assert!(!said.contains("of-the-team"), "{said}");
    taken.join().unwrap();
    let (code, said) = send("http://127.0.0.1:1");
    assert_eq!(code, Some(4), "{said}");
}
