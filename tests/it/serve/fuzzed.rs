//! Bodies that nobody would send: none is a panic, and none tells what it should not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netsec::base::clock::SystemClock;
use netsec::base::digest::Digest;
use netsec::serve::call::{AnswerBody, ScoringCall};
use netsec::serve::options::{DrainTimes, RequestLimits, ServeOptions};
use netsec::serve::slot::{ModelSlot, ModelSource};
use netsec::serve::state::ServeState;
use netsec::serve::{infer, invocations, score};

use crate::cli::matrix::is_full;
use crate::dice::Dice;
use crate::serve::client::{TREES, trained};

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

/// A call as the server makes it, with headers.
fn call(model: &[u8]) -> ScoringCall {
    let source = Box::new(Fixed(model.to_vec()));
    let slot = ModelSlot::open("flows".to_owned(), "flows".to_owned(), source, 0).unwrap();
    let slot = Arc::new(slot);
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
    let slots = vec![Arc::clone(&slot)];
    let state = ServeState::new(
        options,
        slots,
        Box::new(SystemClock),
        Arc::new(|_: &str| ()),
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

#[test]
fn no_body_is_a_panic_or_tells_what_it_should_not() {
    let world = trained(TREES);
    world.ok(&["cat", "train.model", "-o", "model.bin"]);
    let model = std::fs::read(world.root().join("model.bin")).unwrap();
    let mut call = call(&model);
    let mut dice = Dice(17);
    let rounds = if is_full() { 100_000 } else { 10_000 };
    let kinds: [AnswerBody; 3] = [score::answer, infer::answer, invocations::answer];
    let root = world.root().to_str().unwrap();
    let (mut answered, mut refused) = (0, 0);
    for round in 0..rounds {
        let body = spoilt(&mut dice);
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
                    assert!(!reply.body.is_empty());
                }
                Err(problem) => {
                    refused += 1;
                    let status = problem.status.as_u16();
                    assert!(matches!(status, 400 | 422), "round {round}: {problem:?}");
                    assert!(problem.detail.len() < 1500, "round {round}: {problem:?}");
                    assert!(!problem.detail.contains(root) && !problem.detail.contains("src/"));
                }
            }
        }
    }
    assert!(
        answered > rounds / 100 && refused > rounds,
        "{answered} {refused}"
    );
}
