//! A server of its own for a test, and a client that says exactly what is sent.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::dice::Dice;
use crate::world::World;

/// A pipeline over flows with numbers, text, missing cells and a column whose name has a dot.
const PIPELINE: &str = "name: flows
stages:
  ingest: { kind: ingest, inputs: { data: flows.csv } }
  split: { kind: split, inputs: { data: ingest.data }, with: { target: label } }
  profile: { kind: drift, inputs: { current: split.test, reference: split.train } }
  transform:
    kind: transform
    inputs: { train: split.train, test: split.test }
    with:
      target: label
      target_map: { benign: 0, attack: 1 }
      steps:
        - impute: { with: median }
        - onehot: { min_count: 3 }
        - scale: { with: standard }
  train:
    kind: train
    inputs: { train: transform.train, preprocessor: transform.preprocessor, profile: profile.reference }
    with: { candidates: [LEARNER], select: { metric: f1, min_score: 0.5 } }
  evaluate:
    kind: evaluate
    inputs: { model: train.model, test: split.test, champion: 'ref:champion/flows' }
    with: { metric: f1, min_score: 0 }
";

/// Trees, few enough for a test.
pub(crate) const TREES: &str = "{ learner: gradient_boosting, grid: { trees: [20] } }";

/// The head of the flows.
const HEAD: &str = "duration,id.orig_p,bytes,service,proto,label\n";

/// Flows as CSV.
pub(crate) fn flows(rows: usize, seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = HEAD.to_owned();
    for _ in 0..rows {
        let is_attack = dice.chance(0.4);
        let centre = if is_attack { 4.0 } else { 1.0 };
        let duration = (centre + dice.normal()).exp();
        let port = 1024 + dice.below(40);
        let bytes = match dice.chance(0.1) {
            true => String::new(),
            false => (dice.below(10_000) + usize::from(is_attack) * 3_000).to_string(),
        };
        let service = ["http", "dns", "ssh", "", "smtp"][dice.below(5)];
        let proto = ["tcp", "udp"][usize::from(dice.chance(0.3))];
        let label = if is_attack { "attack" } else { "benign" };
        text.push_str(&format!(
            "{duration},{port},{bytes},{service},{proto},{label}\n"
        ));
    }
    text
}

/// A workspace with a champion over flows.
pub(crate) fn trained(learner: &str) -> World {
    trained_on(flows(600, 1), &PIPELINE.replace("LEARNER", learner))
}

/// The same over flows that have a word where a cell is missing.
pub(crate) fn trained_with(word: &str) -> World {
    let reading = format!("data: flows.csv }}, with: {{ na: ['', '{word}'] }}");
    let pipeline = PIPELINE.replace("LEARNER", TREES);
    let pipeline = pipeline.replace("data: flows.csv }", &reading);
    trained_on(worded(&flows(600, 1), word), &pipeline)
}

/// The same, whose model leaves rows to review.
pub(crate) fn trained_to_review() -> World {
    let pipeline = PIPELINE.replace("LEARNER", TREES);
    let budgets = "threshold_fpr: 0.02, review_fpr: 0.2, select: { metric: f1";
    trained_on(
        flows(600, 1),
        &pipeline.replace("select: { metric: f1", budgets),
    )
}

/// Flows with a word where a cell is missing.
pub(crate) fn worded(csv: &str, word: &str) -> String {
    csv.replace(",,", &format!(",{word},"))
}

fn trained_on(flows: String, pipeline: &str) -> World {
    let world = World::new();
    world.write("flows.csv", flows);
    world.write("flows.yaml", pipeline);
    world.ok(&["run", "flows.yaml"]);
    world
}

/// Trains another model of so many trees, as `ref:champion/other`.
pub(crate) fn train_other(world: &World, trees: &str) {
    let pipeline = std::fs::read_to_string(world.root().join("flows.yaml")).unwrap();
    let pipeline = pipeline.replace("[20]", trees);
    world.write(
        "other.yaml",
        pipeline.replace("champion/flows", "champion/other"),
    );
    world.ok(&["run", "other.yaml"]);
}

/// The digest of what a ref points at.
pub(crate) fn digest_of(world: &World, name: &str) -> String {
    let list: Value = serde_json::from_str(&world.ok(&["model", "list", "--json"])).unwrap();
    let mut list = list.as_array().unwrap().iter();
    let found = list.find(|model| model["name"] == name);
    found.unwrap()["digest"].as_str().unwrap().to_owned()
}

/// The rows of a table as records of JSON: numbers as numbers, missing cells as null or left out.
pub(crate) fn records(csv: &str, dice: &mut Dice) -> Vec<String> {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut records = Vec::new();
    for line in lines {
        let mut cells = Vec::new();
        for (name, cell) in names.iter().zip(line.split(',')) {
            let is_number = cell.parse::<f64>().is_ok();
            let value = match (cell, is_number) {
                ("", _) if dice.chance(0.5) => continue,
                ("", _) => "null".to_owned(),
                (cell, true) if dice.chance(0.7) => cell.to_owned(),
                (cell, _) => Value::from(cell).to_string(),
            };
            cells.push(match name.split_once('.') {
                Some((outer, inner)) if dice.chance(0.5) => {
                    format!("\"{outer}\": {{\"{inner}\": {value}, \"resp\": 7}}")
                }
                _ => format!("\"{name}\": {value}"),
            });
        }
        let order = dice.shuffled(cells.len());
        let cells: Vec<&str> = order.iter().map(|at| cells[*at].as_str()).collect();
        records.push(format!("{{{}}}", cells.join(", ")));
    }
    records
}

/// What `netsec predict` tells of the rows of a file: probabilities, alarms and errors.
pub(crate) fn predicted(world: &World, file: &str) -> Vec<(Option<f64>, Option<bool>, String)> {
    let told = world.netsec(&["predict", "ref:champion/flows", file]);
    let mut lines = told.stdout.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = |name: &str| head.iter().position(|column| *column == name).unwrap();
    let places = [
        at("netsec_probability"),
        at("netsec_alarm"),
        at("netsec_error"),
    ];
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let [probability, alarm, error] = places.map(|at| cells[at]);
            (
                probability.parse().ok(),
                alarm.parse().ok(),
                error.to_owned(),
            )
        })
        .collect()
}

/// A server that ends with the test.
pub(crate) struct TestServer {
    child: Child,
    /// Where rows are scored.
    pub(crate) address: String,
    /// Where metrics are told.
    pub(crate) admin: String,
    /// What it says after it began.
    pub(crate) says: BufReader<std::process::ChildStderr>,
}

impl TestServer {
    /// Serves the champion over flows.
    pub(crate) fn start(world: &World, flags: &[&str]) -> Self {
        Self::of(world, &[&["ref:champion/flows"], flags].concat())
    }

    /// Serves what the flags say.
    pub(crate) fn of(world: &World, flags: &[&str]) -> Self {
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut command = world.command(&[&fixed, flags].concat());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut says = BufReader::new(child.stderr.take().unwrap());
        let mut address = |before: &str| {
            let mut heard = String::new();
            loop {
                let mut line = String::new();
                let read = says.read_line(&mut line).unwrap();
                assert!(read > 0, "the server ended: {heard}");
                if let Some((_, rest)) = line.split_once(before) {
                    return rest.split('/').next().unwrap().trim().to_owned();
                }
                heard += &line;
            }
        };
        let (address, admin) = (
            address("scores rows at http://"),
            address("metrics at http://"),
        );
        Self {
            child,
            address,
            admin,
            says,
        }
    }

    /// Waits for a line that it says.
    pub(crate) fn hears(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.says.read_line(&mut line).unwrap() > 0,
                "it never said `{part}`"
            );
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits for its end; returns its exit code.
    pub(crate) fn ended(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Sends JSON and returns the answer.
    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.send(
            "POST",
            path,
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
    }

    /// Asks and returns the answer.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// Sends a request and returns the answer.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        ask(&self.address, method, path, headers, body)
    }

    /// Returns what is counted under a name with all labels; nothing was counted that is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = ask(&self.admin, "GET", "/metrics", &[], b"").text();
        let line = text.lines().find(|line| line.starts_with(name));
        line.map_or(0.0, |line| {
            line.rsplit(' ').next().unwrap().parse().unwrap()
        })
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Sends a request on a connection of its own.
pub(crate) fn ask(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: netsec\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses a body need not read it.
    let _ = stream.write_all(body);
    read_answer(&mut BufReader::new(stream))
}

/// Reads an answer.
pub(crate) fn read_answer(stream: &mut impl BufRead) -> Answer {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer: `{line}`"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let find = |name: &str| headers.iter().find(|(known, _)| known == name);
    let mut body = Vec::new();
    if let Some((_, length)) = find("content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).unwrap();
    } else if find("transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).unwrap();
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    Answer {
        status,
        headers,
        body,
    }
}
