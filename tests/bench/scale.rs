//! What a run needs of this machine, of the network and of a server when thousands of machines carry out
//! a million actions: the real scheduler, queue, keys and messages against a simulated server.
//!
//! How: time in the simulation is what the server and its machines take, by latencies that were measured
//! on real ones; what is measured here is what netsec itself takes for it. `docs/design/scale.md` has the
//! figures and what follows from them.

#![expect(clippy::print_stdout, reason = "a benchmark tells its figures")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Instant;

use netsec::base::artifact::ContentRef;
use netsec::base::digest::Digest;
use netsec::engine::dispatch::{DispatchLimits, DispatchTerms, Dispatcher};
use netsec::engine::dispatch_command::{ActionEnd, DispatchCommand};
use netsec::engine::part_queue::PartQueue;
use netsec::engine::task::{ActionTask, TaskLimits, WantedParts};
use netsec::graph::build::Graph;
use netsec::plan::key::Ingredients;
use netsec::stage::limits::Limits;
use netsec::stage::param::Value;

/// What an action costs beside its own work, in seconds: taken up, given to a machine, its inputs and
/// outputs moved. The median on BuildGrid with three workers of buildbox.
const OVERHEAD: f64 = 0.71;

/// Requests that an action costs: what is missing, what is sent, the execution, its result, the list of
/// what it made, and that.
const REQUESTS: usize = 6;

fn main() {
    println!("parts of one stage, in batches for so many machines:");
    println!(
        "{:>9} {:>8} {:>6} {:>8} {:>8} {:>9} {:>11} {:>10} {:>9} {:>9}",
        "parts",
        "machines",
        "fit s",
        "batches",
        "hours",
        "of ideal",
        "requests/s",
        "sent MB",
        "driver s",
        "memory MB"
    );
    for parts in [10_000, 100_000, 1_000_000] {
        for (machines, fit) in [(100, 1.0), (1000, 1.0), (1000, 0.05), (1000, 10.0)] {
            sweep(parts, machines, fit);
        }
    }
    println!("\nstages by themselves:");
    println!(
        "{:>9} {:>8} {:>9} {:>12} {:>9} {:>9}",
        "stages", "machines", "hours", "of ideal", "driver s", "memory MB"
    );
    for stages in [1_000, 10_000, 100_000] {
        for machines in [16, 1000] {
            graph(stages, machines, 10.0);
        }
    }
}

/// The memory of this process, in megabytes.
fn memory_mb() -> f64 {
    let status = netsec::base::disk::read(std::path::Path::new("/proc/self/statm"));
    let status = String::from_utf8_lossy(&status.unwrap_or_default()).into_owned();
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or_default() * 4096.0 / 1e6
}

/// What determines a fit of a search.
fn ingredients(at: usize) -> Ingredients {
    let setting = BTreeMap::from([("trees", at as f64), ("leaves", 31.0), ("rate", 0.1)]);
    let content = ContentRef {
        digest: Digest::of(b"a table"),
        directory: false,
    };
    Ingredients {
        kind: "train/trial".to_owned(),
        version: 9,
        seed: Some(42),
        with: BTreeMap::from([
            (
                "learner".to_owned(),
                Value::Text("gradient_boosting".to_owned()),
            ),
            ("setting".to_owned(), Value::of(setting)),
            ("folds".to_owned(), Value::Text(Digest::of(b"folds").hex())),
            ("fold".to_owned(), Value::Int((at % 5) as i64)),
        ]),
        inputs: BTreeMap::from([("train".to_owned(), Some(content))]),
        seen: None,
    }
}

fn sweep(parts: usize, machines: usize, fit: f64) {
    let before = memory_mb();
    let began = Instant::now();
    let keys: Vec<Digest> = (0..parts).map(|at| ingredients(at).key()).collect();
    let queue = PartQueue::new((0..parts).map(|at| vec![at]));
    // Free machines, by when; a batch that is out, by when it is back.
    let mut free: BinaryHeap<Reverse<(u64, usize)>> =
        (0..machines).map(|machine| Reverse((0, machine))).collect();
    let mut out: BTreeMap<usize, Vec<Vec<usize>>> = BTreeMap::new();
    let (mut batches, mut sent, mut end) = (0, 0, 0);
    while let Some(Reverse((now, machine))) = free.pop() {
        end = end.max(now);
        if let Some(batch) = out.remove(&machine) {
            let size: usize = batch.iter().map(Vec::len).sum();
            queue.made(&batch, size as f64 * fit);
        }
        let Some(batch) = queue.take_batch(machines) else {
            continue;
        };
        let size: usize = batch.iter().map(Vec::len).sum();
        let chosen: BTreeSet<Digest> = batch.iter().flatten().map(|at| keys[*at]).collect();
        sent += task(chosen).encode().len();
        batches += 1;
        let takes = OVERHEAD + size as f64 * fit;
        out.insert(machine, batch);
        free.push(Reverse((now + (takes * 1000.0) as u64, machine)));
    }
    let seconds = end as f64 / 1000.0;
    let ideal = parts as f64 * fit / machines as f64;
    println!(
        "{parts:>9} {machines:>8} {fit:>6} {batches:>8} {:>8.2} {:>8.0}% {:>11.0} {:>10.1} {:>9.2} {:>9.0}",
        seconds / 3600.0,
        100.0 * ideal / seconds,
        (batches * REQUESTS) as f64 / seconds,
        sent as f64 / 1e6,
        began.elapsed().as_secs_f64(),
        memory_mb() - before,
    );
}

fn task(chosen: BTreeSet<Digest>) -> ActionTask {
    let Ingredients {
        kind,
        version,
        seed,
        with,
        ..
    } = ingredients(0);
    ActionTask {
        key: Digest::of(b"the stage"),
        kind,
        version,
        seed,
        with,
        inputs: Vec::new(),
        outputs: vec!["model".to_owned(), "metrics".to_owned()],
        limits: TaskLimits::of(&Limits::default()),
        parts: Some(WantedParts {
            chosen,
            known: Digest::of(b"what is known"),
        }),
    }
}

/// Layers of a hundred stages, each of which needs two of the layer before.
fn graph(stages: usize, machines: usize, takes: f64) {
    let before = memory_mb();
    let began = Instant::now();
    let needs = (100..stages).flat_map(|user| {
        let below = user / 100 * 100 - 100;
        [
            (user, below + user * 7 % 100),
            (user, below + user * 13 % 100),
        ]
    });
    let graph = match Graph::new(stages, needs) {
        Ok(graph) => graph,
        Err(_) => return println!("the stages go in a circle"),
    };
    let limits = Limits::default();
    let terms = DispatchTerms {
        limits: &limits,
        reads_ref: false,
        may_go_away: true,
    };
    let run = DispatchLimits {
        jobs: 2,
        away: machines,
        ..DispatchLimits::default()
    };
    let wanted = (0..stages).collect();
    let mut dispatcher =
        Dispatcher::new(&graph, &wanted, vec![0; stages], vec![terms; stages], run);
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut now = 0;
    while !dispatcher.is_over() {
        dispatcher.tick(now);
        while let Some(stage) = dispatcher.next_ready() {
            dispatcher.run(stage, ingredients(stage).key());
        }
        while let Some(command) = dispatcher.command() {
            let seconds = match command {
                DispatchCommand::SendAway(_) => OVERHEAD + takes,
                DispatchCommand::Perform(_) => takes,
                _ => continue,
            };
            if let DispatchCommand::SendAway(stage) | DispatchCommand::Perform(stage) = command {
                dispatcher.began(stage, now);
                running.push(Reverse((now + (seconds * 1000.0) as u64, stage)));
            }
        }
        if let Some(Reverse((at, stage))) = running.pop() {
            now = at;
            dispatcher.ended(stage, ActionEnd::Made, now);
        }
    }
    let width = 100.0_f64.min((machines + 4) as f64);
    let ideal = stages as f64 * takes / width;
    let seconds = now as f64 / 1000.0;
    println!(
        "{stages:>9} {machines:>8} {:>9.2} {:>11.0}% {:>9.2} {:>9.0}",
        seconds / 3600.0,
        100.0 * ideal / seconds,
        began.elapsed().as_secs_f64(),
        memory_mb() - before,
    );
}
