//! The crash matrix: a real run is killed, or told that the disk is full or broken, at each call that changes the disk.
//!
//! By default some of the calls of each sort are tried; with `NETSEC_FULL=1` all of them. The page `docs/reliability.md` is
//! written by `NETSEC_FULL=1 NETSEC_UPDATE=1 cargo test crash_matrix`. Skipped where there is no strace.

use std::collections::BTreeMap;
use std::process::Command;

use crate::world::{World, digests, outcomes, package};

const PIPELINE: &str = "\
stages:
  a: { kind: command, inputs: { x: ./in.txt }, with: { run: [cat, x] } }
  b: { kind: command, inputs: { x: a.stdout }, with: { run: [sh, -c, 'set -e; mkdir d; cat x >d/one; echo two >d/two'], outputs: { d: d } } }
  c: { kind: command, inputs: { x: ./in.txt }, with: { run: [sh, -c, 'cat x x'] } }
  d: { kind: command, inputs: { b: b.d, c: c.stdout }, with: { run: [sh, -c, 'cat b/one c'] } }
";

/// The calls by which a run changes the disk.
const CALLS: [&str; 12] = [
    "write",
    "rename",
    "fsync",
    "fdatasync",
    "mkdir",
    "unlink",
    "unlinkat",
    "chmod",
    "ftruncate",
    "pwrite64",
    "sync_file_range",
    "copy_file_range",
];

/// What is done to the n-th call of a sort.
const FAULTS: [(&str, &str); 3] =
    [("killed", "signal=KILL"), ("disk full", "error=ENOSPC"), ("disk broken", "error=EIO")];

/// How many calls of a sort are tried by default.
const SAMPLE: usize = 3;

fn world() -> World {
    let world = World::new();
    world.write("in.txt", "hello\n");
    world.write("p.yaml", PIPELINE);
    world
}

#[expect(clippy::disallowed_methods, reason = "a test harness reads its own switch")]
pub(crate) fn is_full() -> bool {
    std::env::var("NETSEC_FULL").is_ok()
}

/// Runs netsec under strace; returns the trace.
fn traced(world: &World, flags: &[&str]) -> String {
    let trace = world.root().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&trace).args(flags).arg(env!("CARGO_BIN_EXE_netsec"));
    command.args(["run", "p.yaml", "--jobs", "2"]).current_dir(world.root()).output().unwrap();
    std::fs::read_to_string(trace).unwrap()
}

/// The most calls of each sort that one thread makes: strace counts by thread.
fn most_calls() -> BTreeMap<&'static str, usize> {
    let trace = traced(&world(), &["-e", &format!("trace={}", CALLS.join(","))]);
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some(call) = CALLS.iter().find(|call| rest.trim_start().starts_with(&format!("{call}("))) else { continue };
        *counts.entry((call, thread)).or_default() += 1;
    }
    let mut most = BTreeMap::new();
    for ((call, _), count) in counts {
        let call = CALLS.iter().find(|known| **known == call).unwrap();
        let before: &mut usize = most.entry(*call).or_default();
        *before = (*before).max(count);
    }
    most
}

/// The calls of a sort that are tried: all, or a few from the first to the last.
fn points(count: usize) -> Vec<usize> {
    if is_full() || count <= SAMPLE {
        return (1..=count).collect();
    }
    (0..SAMPLE).map(|at| 1 + at * (count - 1) / (SAMPLE - 1)).collect()
}

/// Actions that are recorded.
fn recorded(world: &World) -> u64 {
    let stats: serde_json::Value = serde_json::from_str(&world.ok(&["cache", "stats", "--json"])).unwrap();
    stats["actions"].as_u64().unwrap()
}

#[test]
fn crash_matrix() {
    if Command::new("strace").arg("-V").output().is_err() {
        crate::world::skip("strace is not installed");
        return;
    }
    let expected = digests(&world().run(&["p.yaml"]));
    let mut rows = Vec::new();
    for (call, count) in most_calls() {
        for (fault, how) in FAULTS {
            let tried = points(count);
            for &at in &tried {
                let place = format!("{fault} at {call} {at}");
                let world = world();
                traced(&world, &["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{how}:when={at}")]);
                let verified = world.netsec(&["cache", "verify"]);
                assert_eq!(verified.code, 0, "{place}: {}{}", verified.stdout, verified.stderr);
                let before = recorded(&world);
                let after = world.run(&["p.yaml"]);
                assert_eq!(after["outcome"], "succeeded", "{place}: {after}");
                assert_eq!(digests(&after), expected, "{place}");
                let reused = outcomes(&after).iter().filter(|outcome| outcome.ends_with("reused")).count() as u64;
                assert_eq!(reused, before, "{place}: what was finished is not made again");
            }
            rows.push(format!("| `{call}` | {fault} | {} of {count} | all |", tried.len()));
        }
    }
    assert!(rows.len() >= 12, "{rows:?}");
    if is_full() {
        crate::world::same_file(&package().join("docs/reliability.md"), &page(&rows));
    }
}

fn page(rows: &[String]) -> String {
    format!("{HEAD}{}\n", rows.join("\n"))
}

const HEAD: &str = "\
# What a run survives

Made by `NETSEC_FULL=1 NETSEC_UPDATE=1 cargo test crash_matrix` with strace: a pipeline of four programs is run, and its
n-th call of one sort, on any thread, is made to kill the process or to fail as on a full or a broken disk; for every n.
After each: `cache verify` finds nothing bad, the next run ends with the same digests, and every action that was recorded
is reused. Without `NETSEC_FULL` the test tries the first, a middle and the last call of each sort.

| call | what was done to it | calls tried | survived |
|---|---|--:|---|
";
