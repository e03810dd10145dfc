//! When a model in service is to be trained anew: what its log tells, what analysts found, its age.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use netsec::base::digest::Digest;
use netsec::frame::table::Table;
use netsec::scoring::log_follower::LogFollower;
use netsec::scoring::prediction_log::PredictionEntry;
use netsec::scoring::retraining::{
    RetrainingReason, RetrainingTerms, RetrainingWatch, read_verdicts,
};
use netsec::scoring::scorer::Scorer;
use rustix::process::{Pid, Signal, kill_process};

use crate::dice::Dice;
use crate::serve::client::{TREES, TestServer, flows, records, trained};
use crate::world::World;

/// Rows of a log of which the server was asked; all of them attacks or all benign.
fn rows(count: usize, seed: u64, is_attack: bool) -> String {
    let word = if is_attack { ",attack" } else { ",benign" };
    let text = flows(4 * count, seed);
    let (head, lines) = text.split_once('\n').unwrap();
    let kept: Vec<&str> = lines
        .lines()
        .filter(|line| line.ends_with(word))
        .take(count)
        .collect();
    format!("{head}\n{}\n", kept.join("\n"))
}

fn post(server: &TestServer, csv: &str) {
    let body = format!("{{\"rows\": [{}]}}", records(csv, &mut Dice(5)).join(","));
    assert_eq!(server.post("/v1/score", &body).status, 200);
}

fn ends(server: &mut TestServer) {
    server.signal(Signal::TERM);
    assert_eq!(server.ended(), 0);
}

fn watched(world: &World, flags: &[&str]) -> String {
    let known = [
        "watch",
        "flows.yaml",
        "--model",
        "ref:champion/flows",
        "--rounds",
        "2",
        "--every",
        "1",
    ];
    let told = world.netsec(&[known.as_slice(), flags].concat());
    assert_eq!(told.code, 0, "{}", told.stderr);
    told.stderr
}

/// A model whose log has benign rows first, and then attacks alone.
fn changed() -> World {
    let world = trained(TREES);
    let flags = ["--log", "log", "--drain-delay", "0"];
    let mut server = TestServer::start(&world, &flags);
    for seed in 0..4 {
        post(&server, &rows(100, seed, false));
    }
    for seed in 4..8 {
        post(&server, &rows(100, seed, true));
    }
    ends(&mut server);
    world
}

#[test]
fn a_model_is_trained_anew_when_its_rows_drift() {
    // Of the training rows four in ten are attacks.
    let told = watched(&changed(), &["--log", "log", "--drift-rows", "400"]);
    assert!(told.contains("training anew: "), "{told}");
    assert!(told.contains("duration (distribution distance"), "{told}");
}

#[test]
fn a_model_is_trained_anew_when_its_alert_rate_changes() {
    let world = changed();
    let told = watched(&world, &["--log", "log", "--alert-rate"]);
    assert!(
        told.contains("training anew: the alert rate has changed from"),
        "{told}"
    );
    assert_eq!(told.matches("succeeded in").count(), 2, "{told}");
    assert_eq!(told.matches("training anew").count(), 1, "{told}");
    // What was there for an earlier run is no reason again: nothing is told until it is stopped.
    let mut again = world
        .command(&[
            "watch",
            "flows.yaml",
            "--model",
            "ref:champion/flows",
            "--log",
            "log",
            "--alert-rate",
            "--every",
            "1",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(again.stderr.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.contains("watching")));
    let pid = Pid::from_raw(i32::try_from(again.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert!(lines.all(|line| !line.contains("training anew")));
    again.wait().unwrap();
}

#[test]
fn a_model_is_trained_anew_when_it_is_old() {
    let world = trained(TREES);
    let told = watched(&world, &["--max-age", "1s"]);
    assert!(
        told.contains("training anew: the model is 0.0 days old"),
        "{told}"
    );
}

#[test]
fn what_does_not_go_together_is_told() {
    let world = trained(TREES);
    for (flags, why) in [
        (
            ["--model", "train.model", "--max-age", "7d"].as_slice(),
            "`train.model` never changes: name a ref",
        ),
        (
            &["--model", "ref:champion/flows"],
            "say when the model is to be trained anew",
        ),
        (
            &["--model", "ref:champion/flows", "--max-age", "soon"],
            "`soon` is no length of time",
        ),
        (
            &[
                "--model",
                "ref:champion/flows",
                "--log",
                "none",
                "--alert-rate",
            ],
            "there is no log `none`",
        ),
    ] {
        let told = world.netsec(&[["watch", "flows.yaml"].as_slice(), flags].concat());
        assert!(
            told.code == 2 && told.stderr.contains(why),
            "{}",
            told.stderr
        );
    }
}

/// A model, and entries of it: of so many rows which raise an alarm.
fn scorer(world: &World) -> Scorer {
    world.ok(&["cat", "train.model", "-o", "model"]);
    Scorer::load(&std::fs::read(world.root().join("model")).unwrap()).unwrap()
}

fn entry(request: &str, alarms: &[bool]) -> PredictionEntry {
    PredictionEntry {
        at_ms: 0,
        request: request.to_owned(),
        name: "flows".to_owned(),
        model: Digest::of(b"a model"),
        columns: Vec::new(),
        left_out: Vec::new(),
        unread: Vec::new(),
        probabilities: alarms
            .iter()
            .map(|alarm| Some(f64::from(u8::from(*alarm))))
            .collect(),
        alarms: alarms.to_vec(),
    }
}

#[test]
fn a_precision_is_a_reason_when_its_whole_interval_is_too_low() {
    let world = trained(TREES);
    let scorer = scorer(&world);
    let terms = RetrainingTerms {
        min_precision: Some(0.5),
        ..RetrainingTerms::default()
    };
    let mut watch = RetrainingWatch::new(terms, &scorer);
    assert_eq!(watch.add(&entry("r1", &[true; 30]), &scorer), []);
    let found = |attacks: u64, of: u64| -> BTreeMap<(String, u64), bool> {
        (1..=of)
            .map(|row| (("r1".to_owned(), row), row <= attacks))
            .collect()
    };
    // 3 of 10: up to 65 %. What is judged beyond the alarms is no alarm of this model.
    assert_eq!(watch.judge(&found(3, 10)), None);
    let Some(RetrainingReason::Precision(6, 30, [_, high], _)) = watch.judge(&found(6, 99)) else {
        panic!("6 of 30 is less than half")
    };
    assert!((high - 0.3857).abs() < 1e-4, "{high}");
    // The same verdicts are no reason twice.
    assert_eq!(watch.judge(&found(6, 99)), None);
}

#[test]
fn a_rate_that_stays_is_no_reason() {
    let world = trained(TREES);
    let scorer = scorer(&world);
    let terms = RetrainingTerms {
        alert_rate: true,
        ..RetrainingTerms::default()
    };
    // A look has a chance of .2 %, and there are many.
    let mut dice = Dice(7);
    let mut alarms_of = |rate: f64| -> Vec<bool> { (0..500).map(|_| dice.chance(rate)).collect() };
    let mut watch = RetrainingWatch::new(terms, &scorer);
    for _ in 0..40 {
        let entry = entry("r", &alarms_of(0.02));
        assert_eq!(watch.add(&entry, &scorer), []);
    }
    let reasons: Vec<RetrainingReason> = (0..8)
        .flat_map(|_| watch.add(&entry("r", &alarms_of(0.1)), &scorer))
        .collect();
    assert!(
        matches!(reasons.first(), Some(RetrainingReason::AlertRate(change)) if change.now > change.before),
        "{reasons:?}"
    );
}

/// The requests of the entries that were added to a log.
fn added(follower: &mut LogFollower) -> Vec<String> {
    let mut requests = Vec::new();
    let mut told = |entry: &PredictionEntry| requests.push(entry.request.clone());
    follower.look(&mut told).unwrap();
    requests
}

#[test]
fn each_entry_of_a_log_that_grows_comes_once() {
    let world = trained(TREES);
    let flags = ["--log", "log", "--log-file", "1024", "--drain-delay", "0"];
    let mut server = TestServer::start(&world, &flags);
    let mut follower = LogFollower::new(world.root().join("log"));
    let mut seen = Vec::new();
    for seed in 0..12 {
        post(&server, &rows(7, seed, seed % 2 == 0));
        seen.extend(added(&mut follower));
    }
    ends(&mut server);
    seen.extend(added(&mut follower));
    assert_eq!(added(&mut follower), Vec::<String>::new());
    let mut requests = seen.clone();
    requests.sort_unstable();
    requests.dedup();
    assert_eq!((seen.len(), requests.len()), (12, 12));
}

#[test]
fn verdicts_are_read_or_told() {
    let text = |name: &str, cells: &[&str]| {
        Table::of_texts(
            name,
            cells.iter().map(|cell| Some((*cell).to_owned())).collect(),
        )
        .unwrap()
    };
    let requests = text("request", &["a", "a", "a"]);
    let rows = Table::of_ints("row", vec![1, 2, 1]).unwrap();
    let both = requests.beside(&rows).unwrap();
    let verdicts = both
        .beside(&text("verdict", &["attack", "benign", "benign"]))
        .unwrap();
    let found = read_verdicts(&verdicts).unwrap();
    let expected = [(("a".to_owned(), 1), false), (("a".to_owned(), 2), false)];
    assert_eq!(found, BTreeMap::from(expected));
    let odd = both
        .beside(&text("verdict", &["attack", "maybe", "benign"]))
        .unwrap();
    assert_eq!(
        read_verdicts(&odd).unwrap_err().0,
        "the verdict \"maybe\" of row 2 is neither `attack` nor `benign`"
    );
    let zeros = requests
        .beside(&Table::of_ints("row", vec![1, 0, 1]).unwrap())
        .unwrap();
    let zeros = zeros
        .beside(&text("verdict", &["attack", "benign", "benign"]))
        .unwrap();
    let why = read_verdicts(&zeros).unwrap_err().0;
    assert!(
        why.starts_with("the verdict of row 2 names no request, or no row of it"),
        "{why}"
    );
}
