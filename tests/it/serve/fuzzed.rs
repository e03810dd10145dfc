//! Bodies that nobody would send: none is a panic, and none tells what it should not.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netsec::base::clock::SystemClock;
use netsec::base::digest::Digest;
use netsec::serve::call::{AnswerBody, ScoringCall};
use netsec::serve::options::{DrainTimes, RequestLimits, ServeOptions};
use netsec::serve::slot::{ModelSlot, ModelSource};
use netsec::serve::state::ServeState;
use netsec::serve::{infer, invocations, score};

use crate::dice::Dice;
use crate::serve::client::{TREES, flows, trained};
use crate::world::World;

/// A model that stays what it is.
struct Fixed(Vec<u8>);

impl ModelSource for Fixed {
    fn current(&self) -> Result<Digest, String> {
        Ok(Digest::of(&self.0))
    }

    fn bytes(&self, _: &Digest) -> Result<Vec<u8>, String> {
        Ok(self.0.clone())
    }
}

/// What a server says to its operator.
type Said = Arc<Mutex<Vec<String>>>;

/// A call as the server makes it, with headers; the server has another model beside the one that is asked.
fn call(model: &[u8], other: &[u8], said: &Said) -> ScoringCall {
    let slot = |name: &str, model: &[u8]| {
        let source = Box::new(Fixed(model.to_vec()));
        Arc::new(ModelSlot::open(name.to_owned(), name.to_owned(), source, 0).unwrap())
    };
    let (slot, other) = (slot("flows", model), slot("hidden", other));
    let options = ServeOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: None,
        keys: None,
        without_keys: false,
        tls: None,
        limits: RequestLimits {
            body: 1 << 20,
            rows: 50,
            time: Duration::from_secs(600),
            at_once: 1,
            heavy_at_once: 1,
            per_second: None,
        },
        drain: DrainTimes {
            delay: Duration::ZERO,
            most: Duration::ZERO,
        },
        watch: Duration::from_secs(1),
        log: None,
        drift_window: None,
    };
    let slots = vec![Arc::clone(&slot), other];
    let said = Arc::clone(said);
    let state = ServeState::new(
        options,
        slots,
        Box::new(SystemClock),
        Arc::new(move |line: &str| said.lock().unwrap().push(line.to_owned())),
    )
    .unwrap();
    ScoringCall {
        state: Arc::new(state),
        model: slot.current(),
        slot,
        headers: Default::default(),
        deadline: Instant::now() + Duration::from_secs(600),
        id: "it".to_owned(),
        canary_key: String::new(),
    }
}

/// Bodies that are right, for others to be made of.
const SEEDS: [&str; 8] = [
    r#"{"rows": [{"duration": 1.5, "id.orig_p": 80, "bytes": 3, "service": "http", "proto": "tcp"}], "explain": 2}"#,
    r#"{"rows": [{"duration": "x", "id": {"orig_p": [1, {"a": "b"}]}, "proto": null}, 3, []]}"#,
    r#"{"dataframe_split": {"columns": ["duration", "id.orig_p", "proto"], "data": [[1, 2, "udp"]], "index": [0]}}"#,
    r#"{"dataframe_records": [{"duration": 1, "id.orig_p": 2, "proto": "udp"}]}"#,
    r#"{"inputs": {"duration": [1, 2], "id.orig_p": [[3], [4]], "proto": ["tcp", "udp"]}, "params": {}}"#,
    r#"{"instances": [[1, 2, 3, "http", "tcp"], [1, 2, null, null, "tcp"]]}"#,
    r#"{"inputs": [{"name": "duration", "shape": [2, 1], "datatype": "FP64", "data": [[1], [2e3]]}, {"name": "id.orig_p", "shape": [2], "datatype": "INT64", "data": [3, 4]}, {"name": "bytes", "shape": [2], "datatype": "FP32", "data": [0.5, 1]}, {"name": "service", "shape": [2], "datatype": "BYTES", "data": ["", "dns"]}, {"name": "proto", "shape": [2], "datatype": "BYTES", "data": ["tcp", "udp"]}], "outputs": [{"name": "alarm"}]}"#,
    r#"{"inputs": [{"name": "duration", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}], "parameters": {"binary_data_output": true}}"#,
];

/// Words that turn up in bodies.
const WORDS: [&str; 22] = [
    "null",
    "true",
    "1e308",
    "-0.0",
    "1e-400",
    "18446744073709551616",
    "\"\"",
    "{}",
    "[]",
    "\"\\ud83d\"",
    "\"\\u0000\"",
    "9007199254740993",
    "\"1e999\"",
    "[[[[",
    "}}}}",
    "\"rows\"",
    "\"data\"",
    "\"shape\"",
    "-1",
    "0.1",
    "\"duration\":",
    ",",
];

/// Spoils a body in a few places.
fn spoilt(dice: &mut Dice) -> Vec<u8> {
    let mut body = SEEDS[dice.below(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(body.len() + 1);
        match dice.below(5) {
            0 => body.truncate(at),
            1 => body.insert(at, dice.below(256) as u8),
            2 => {
                let to = (at + dice.below(12)).min(body.len());
                body.drain(at..to);
            }
            3 => {
                let word = WORDS[dice.below(WORDS.len())];
                body.splice(at..at, word.bytes());
            }
            _ => {
                let other = SEEDS[dice.below(SEEDS.len())].as_bytes();
                let from = dice.below(other.len());
                body.splice(at..at, other[from..].iter().copied());
            }
        }
    }
    body
}

/// A word that a round alone has.
fn planted(round: i32) -> String {
    format!("planted{round:07}")
}

#[test]
fn no_body_is_a_panic_or_tells_what_it_should_not() {
    let world = trained(TREES);
    world.ok(&["cat", "train.model", "-o", "model.bin"]);
    let model = std::fs::read(world.root().join("model.bin")).unwrap();
    // Another model, over columns and words that nobody who asks the first is to learn of.
    let elsewhere = World::new();
    let pipeline = std::fs::read(world.root().join("flows.yaml")).unwrap();
    elsewhere.write("flows.yaml", pipeline);
    let table = flows(600, 2).replace("bytes", "hidden");
    elsewhere.write("flows.csv", table.replace("smtp", "hidden"));
    elsewhere.ok(&["run", "flows.yaml"]);
    elsewhere.ok(&["cat", "train.model", "-o", "model.bin"]);
    let other = std::fs::read(elsewhere.root().join("model.bin")).unwrap();
    let said = Said::default();
    let mut call = call(&model, &other, &said);
    let mut dice = Dice(17);
    let rounds = 100_000;
    let kinds: [AnswerBody; 3] = [score::answer, infer::answer, invocations::answer];
    let root = world.root().to_str().unwrap();
    let (mut answered, mut refused) = (0, 0);
    for round in 0..rounds {
        let mut body = spoilt(&mut dice);
        // Whoever asks is told of their own rows alone.
        let (mine, before) = (planted(round), planted(round - 1));
        if let Some(at) = body.windows(3).position(|word| word == b"tcp") {
            body.splice(at..at + 3, mine.bytes());
        }
        call.headers.clear();
        if dice.chance(0.3) {
            let length = dice.below(body.len() + 10).to_string();
            call.headers
                .insert(infer::JSON_LENGTH, length.parse().unwrap());
        }
        if dice.chance(0.1) {
            let kind = "text/csv".parse().unwrap();
            call.headers.insert("content-type", kind);
        }
        for work in kinds {
            match work(&call, &body) {
                Ok(reply) => {
                    answered += 1;
                    let told = String::from_utf8_lossy(&reply.body).into_owned();
                    assert!(!told.is_empty());
                    assert!(
                        !told.contains("hidden") && !told.contains(&before),
                        "{told}"
                    );
                }
                Err(problem) => {
                    refused += 1;
                    let status = problem.status.as_u16();
                    assert!(matches!(status, 400 | 422), "round {round}: {problem:?}");
                    assert!(problem.detail.len() < 1500, "round {round}: {problem:?}");
                    let leaks = [root, "src/", "hidden", &before];
                    assert!(
                        !leaks.iter().any(|part| problem.detail.contains(part)),
                        "round {round}: {problem:?}"
                    );
                }
            }
        }
    }
    assert_eq!(*said.lock().unwrap(), Vec::<String>::new());
    assert!(
        answered > rounds / 100 && refused > rounds,
        "{answered} {refused}"
    );
}
