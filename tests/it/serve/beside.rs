//! What happens beside the answers: the log and its replay, a challenger that is asked unseen, a canary,
//! drift of the rows that come.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::dice::Dice;
use crate::serve::client::{
    TREES, TestServer, ask, digest_of, flows, records, train_other, trained,
};
use crate::world::World;

fn body(csv: &str) -> String {
    format!("{{\"rows\": [{}]}}", records(csv, &mut Dice(5)).join(","))
}

fn json(world: &World, args: &[&str]) -> Value {
    let told = world.netsec(args);
    serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{args:?}: {}", told.stderr))
}

fn ends(server: &mut TestServer) {
    server.signal(Signal::TERM);
    assert_eq!(server.ended(), 0);
}

fn segments(world: &World) -> Vec<PathBuf> {
    let files = netsec::base::disk::list(&world.root().join("log")).unwrap();
    let is_closed = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "predictions");
    files.into_iter().filter(is_closed).collect()
}

#[test]
fn a_log_is_scored_again_to_the_same_bits() {
    let world = trained(TREES);
    let flags = ["--log", "log", "--drain-delay", "0"];
    let mut server = TestServer::start(&world, &flags);
    for seed in 0..5 {
        assert_eq!(
            server.post("/v1/score", &body(&flows(40, seed))).status,
            200
        );
    }
    let odd = r#"{"rows": [{}, {"duration": "SECRET", "id.orig_p": 1, "proto": "tcp"}]}"#;
    assert_eq!(server.post("/v1/score", odd).status, 200);
    ends(&mut server);
    let told = json(&world, &["serve", "replay", "log", "--json"]);
    let counts = ["rows", "same", "different", "not_kept", "no_model"].map(|name| &told[name]);
    assert_eq!(counts, [202, 200, 0, 2, 0], "{told}");
    let shown = world.ok(&["serve", "replay", "log", "--show"]);
    assert_eq!(shown.lines().count(), 202);
    assert!(!shown.contains("SECRET"));
    let row: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    assert!(
        row["cells"]["duration"].is_f64() && row["probability"].is_f64(),
        "{row}"
    );
    // A model that is gone cannot be asked, and another one that stands in its place is none.
    let lost = World::new();
    let file = segments(&world).pop().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    lost.write(&format!("log/{name}"), std::fs::read(&file).unwrap());
    let told = lost.netsec(&["serve", "replay", "log"]);
    assert_eq!(told.code, 1, "{}", told.stderr);
    assert!(
        told.stderr.contains("is not in this workspace"),
        "{}",
        told.stderr
    );
    // So is a model whose bytes were changed, which is not one that is gone.
    let model = digest_of(&world, "champion/flows");
    let is_model = |path: &&PathBuf| path.to_str().unwrap().replace('/', "").ends_with(&model);
    let blob = world
        .blobs()
        .into_iter()
        .find(|path| is_model(&path))
        .unwrap();
    let whole = std::fs::read(&blob).unwrap();
    world.flip(&blob);
    let told = world.netsec(&["serve", "replay", "log"]);
    assert_eq!(told.code, 1, "{}", told.stderr);
    assert!(told.stderr.contains("cannot be read"), "{}", told.stderr);
    netsec::base::disk::write_atomic(&blob, &whole).unwrap();
    // A byte that was changed is noticed.
    world.flip(&file);
    let told = world.netsec(&["serve", "replay", "log"]);
    assert_eq!(told.code, 4, "{}", told.stderr);
    assert!(told.stderr.contains("was changed"), "{}", told.stderr);
}

#[test]
fn columns_are_left_out_of_a_log_whole() {
    let world = trained(TREES);
    let flags = [
        "--log",
        "log",
        "--log-without",
        "service",
        "--drain-delay",
        "0",
    ];
    let mut server = TestServer::start(&world, &flags);
    let secret =
        r#"{"rows": [{"duration": 1, "id.orig_p": 80, "proto": "tcp", "service": "PLANTED"}]}"#;
    assert_eq!(server.post("/v1/score", secret).status, 200);
    ends(&mut server);
    let shown = world.ok(&["serve", "replay", "log", "--show"]);
    assert!(
        !shown.contains("PLANTED") && !shown.contains("service"),
        "{shown}"
    );
    let told = json(&world, &["serve", "replay", "log", "--json"]);
    assert_eq!(
        (&told["rows"], &told["not_kept"]),
        (&1.into(), &1.into()),
        "{told}"
    );
    world.assert_not_in_cache(b"PLANTED");
}

#[test]
fn a_log_is_rotated_bounded_and_taken_up_after_a_kill() {
    let world = trained(TREES);
    let small = [
        "--log",
        "log",
        "--log-file",
        "4000",
        "--log-keep",
        "6000",
        "--drain-delay",
        "0",
    ];
    let mut server = TestServer::start(&world, &small);
    for seed in 0..40 {
        assert_eq!(
            server.post("/v1/score", &body(&flows(20, seed))).status,
            200
        );
        // A log is scored again while it is written and rotated.
        if seed % 8 == 0 {
            let told = json(&world, &["serve", "replay", "log", "--json"]);
            assert_eq!(told["rows"], told["same"], "{told}");
        }
    }
    while server.metric("netsec_logged_rows_total") < 800.0 {}
    for path in segments(&world) {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    let second = world.netsec(&[
        "serve",
        "ref:champion/flows",
        "--listen",
        "127.0.0.1:0",
        "--log",
        "log",
    ]);
    assert!(
        second.stderr.contains("another server logs to"),
        "{}",
        second.stderr
    );
    let kept: u64 = segments(&world)
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!(kept > 0 && kept <= 6000, "{kept}");
    server.signal(Signal::KILL);
    server.ended();
    let mut again = TestServer::start(&world, &small);
    assert!(
        !world.root().join("log/open").exists(),
        "what was left open is closed"
    );
    assert_eq!(again.post("/v1/score", &body(&flows(3, 1))).status, 200);
    ends(&mut again);
    let told = json(&world, &["serve", "replay", "log", "--json"]);
    assert_eq!(told["rows"], told["same"], "{told}");
    assert!(told["rows"].as_u64().unwrap() > 100, "{told}");
}

#[test]
fn a_challenger_is_asked_unseen_and_a_canary_answers_its_share() {
    let world = trained(TREES);
    train_other(&world, "[3]");
    let flags = ["--shadow", "ref:champion/other", "--drain-delay", "0"];
    let mut server = TestServer::start(&world, &flags);
    let plain = server.post("/v1/score", &body(&flows(300, 7)));
    let lines = records(&flows(100, 8), &mut Dice(1)).join("\n");
    let kind = [("content-type", "application/x-ndjson")];
    server.send("POST", "/v1/score/stream", &kind, lines.as_bytes());
    while server.metric("netsec_shadow_rows") < 400.0 {}
    let told = ask(&server.admin, "GET", "/admin/shadow", &[], b"").json();
    let told = &told["flows"];
    let number = |name: &str| told[name].as_u64().unwrap();
    assert_eq!(number("rows"), 400, "{told}");
    assert!(number("both") > 0 && number("champion_only") + number("challenger_only") > 0);
    let share = told["disagreement"].as_f64().unwrap();
    let interval = &told["disagreement_interval"];
    assert!(interval[0].as_f64().unwrap() < share && share < interval[1].as_f64().unwrap());
    // The agreement is what two predictions of the same rows say.
    let [first, second] = ["flows", "other"].map(|name| {
        world.write("a.csv", flows(300, 7));
        let told = world.ok(&["predict", &format!("ref:champion/{name}"), "a.csv"]);
        let alarm = |line: &str| line.split(',').nth(7) == Some("true");
        told.lines().skip(1).map(alarm).collect::<Vec<bool>>()
    });
    let differ = first.iter().zip(&second).filter(|(a, b)| a != b).count() as u64;
    assert!(number("champion_only") + number("challenger_only") >= differ && differ > 0);
    ends(&mut server);

    // A challenger that needs another column reads nothing, and that is told.
    world.write("more.csv", flows(600, 3).replace("duration", "length"));
    let pipeline = std::fs::read_to_string(world.root().join("other.yaml")).unwrap();
    let pipeline = pipeline.replace("flows.csv", "more.csv");
    world.write(
        "more.yaml",
        pipeline.replace("champion/other", "champion/more"),
    );
    world.ok(&["run", "more.yaml"]);
    let flags = ["--shadow", "ref:champion/more", "--drain-delay", "0"];
    let mut server = TestServer::start(&world, &flags);
    let full = body(&flows(5, 7).replace(",,", ",1,"));
    server.post("/v1/score", &full);
    let shadows = || ask(&server.admin, "GET", "/admin/shadow", &[], b"").json();
    while shadows()["flows"].is_null() {}
    let told = shadows();
    let told = &told["flows"];
    assert_eq!(
        (&told["rows"], &told["disagreement"]),
        (&0.into(), &Value::Null),
        "{told}"
    );
    server.signal(Signal::TERM);
    server.hears("scored no row that");
    assert_eq!(server.ended(), 0);

    let flags = ["--canary", "ref:champion/other", "--canary-share", "0.3"];
    let server = TestServer::start(&world, &flags);
    let digest = |key: &str| {
        let headers = [("content-type", "application/json"), ("x-canary-key", key)];
        let told = server.send("POST", "/v1/score", &headers, body(&flows(1, 1)).as_bytes());
        told.header("x-netsec-model").unwrap().to_owned()
    };
    let champion = plain.header("x-netsec-model").unwrap();
    let told: Vec<String> = (0..200)
        .map(|key| digest(&format!("sensor-{key}")))
        .collect();
    let canary = told.iter().filter(|digest| *digest != champion).count();
    assert!((40..=80).contains(&canary), "{canary}");
    assert!((0..20).all(|key| digest(&format!("sensor-{key}")) == told[key]));
}

#[test]
fn rows_that_drift_are_told_and_rows_that_do_not_are_not() {
    let world = trained(TREES);
    let server = TestServer::start(&world, &["--drift-window", "400"]);
    let drift = || ask(&server.admin, "GET", "/admin/drift?format=json", &[], b"");
    assert_eq!(drift().status, 404);
    for seed in 20..24 {
        server.post("/v1/score", &body(&flows(100, seed)));
    }
    while drift().status == 404 {}
    let calm = drift().json();
    assert_eq!(
        (&calm["drifted"], &calm["current_rows"]),
        (&false.into(), &400.into()),
        "{calm}"
    );
    let shifted = flows(400, 30).replace(",tcp,", ",icmp,");
    server.post("/v1/score", &body(&shifted));
    while server.metric("netsec_drift_windows") < 2.0 {}
    let told = drift().json();
    assert_eq!(told["drifted"], true);
    let drifted = told["columns"].as_array().unwrap().iter();
    let names: Vec<&Value> = drifted
        .filter(|column| column["drifted"] == true)
        .map(|column| &column["column"])
        .collect();
    assert_eq!(names, ["proto"]);
    assert_eq!(
        server.metric("netsec_drift_alarm{model=\"flows\",column=\"proto\"}"),
        1.0
    );
    assert_eq!(
        server.metric("netsec_drift_alarm{model=\"flows\",column=\"duration\"}"),
        0.0
    );
    let page = ask(&server.admin, "GET", "/admin/drift", &[], b"");
    assert!(page.text().contains("<title>") && page.text().contains("icmp"));
    // The statistics are those of `drift` over the same rows.
    world.write("live.csv", &shifted);
    world.write(
        "drift.yaml",
        "stages:
  ingest: { kind: ingest, inputs: { data: live.csv } }
  drift: { kind: drift, inputs: { current: ingest.data, champion: 'ref:champion/flows' }, with: { rows: false, ignore: [label] } }
",
    );
    world.ok(&["run", "drift.yaml"]);
    let offline: Value = serde_json::from_str(&world.ok(&["cat", "drift.report"])).unwrap();
    let tests = |report: &Value| -> Vec<(String, Value, Value)> {
        let mut list = Vec::new();
        for column in report["columns"].as_array().unwrap() {
            for asked in column["asked"].as_array().unwrap() {
                let name = format!("{} {}", column["column"], asked["about"]);
                list.push((name, asked["statistic"].clone(), asked["p"].clone()));
            }
        }
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    };
    assert_eq!(tests(&told), tests(&offline));
}
