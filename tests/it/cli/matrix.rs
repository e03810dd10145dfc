//! The crash matrix: a real run is killed, or told that the disk is full or broken, at each call
//! that changes the disk.
//!
//! By default some of the calls of each sort are tried; with `NETSEC_FULL=1` all of them. The page
//! `docs/reliability.md` is written by `NETSEC_FULL=1 NETSEC_UPDATE=1 cargo test crash_matrix`.
//! Skipped where there is no strace.

use std::collections::BTreeMap;
use std::process::Command;

use rayon::prelude::*;

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

/// What else was tried, by other tests with `NETSEC_FULL=1`, and what came of it.
const OTHERS: &str = "
Every byte of every file below `cache/` of a workspace of three runs changed, one at a time (`a_changed_byte…`): 539,713 changes, of
which 8,683 were noticed by `cache verify`; after each other one `runs`, records and refs were what they had been, with the
database and without it. All but 23 kB of the database are zeros that it keeps for later.

Twenty runs at once, with two of `status`, `runs` and `cache gc --apply` each and four of `cache verify` beside them, 100
rounds (`twenty_runs_at_once…`): 2,000 runs, none lost, and no alarm in 1,000 looks.

Loss of power (`tests/power/loss.py`, as root): 100 images of an ext4 file system, copied at chance moments of a run as far as
they were written, half of them of `data=ordered`, half of `data=writeback`: 1,002 stages were told to be made before, none was
lost, `cache verify` found nothing bad, and every run ended as it should.
";

/// What is done to the n-th call of a sort, and how strace is told which.
const FAULTS: [(&str, &str, &str); 5] = [
    ("killed", "signal=KILL", ""),
    ("disk full", "error=ENOSPC", ""),
    ("disk broken", "error=EIO", ""),
    ("disk full from then on", "error=ENOSPC", "+"),
    ("disk broken from then on", "error=EIO", "+"),
];

/// What is done while it happens.
struct Story {
    name: &'static str,
    args: &'static [&'static str],
    /// How many calls of a sort are tried at most with `NETSEC_FULL`.
    most: usize,
    /// What is there before; the pipeline it is about.
    prepare: fn() -> (World, &'static str),
}

/// The pipeline of programs is tried by default; the others with `NETSEC_FULL`, and a few of their
/// calls otherwise.
const STORIES: [Story; 7] = [
    Story {
        name: "run of programs",
        args: &["run", "p.yaml", "--jobs", "2"],
        most: usize::MAX,
        prepare: || (world(), "p.yaml"),
    },
    Story {
        name: "run of `default.yaml`",
        args: &[
            "run",
            "pipelines/default.yaml",
            "--jobs",
            "2",
            "--set",
            "rows=300",
        ],
        most: usize::MAX,
        prepare: || (World::shipped(), "pipelines/default.yaml"),
    },
    Story {
        name: "import",
        args: &["import", "run.netsec"],
        most: usize::MAX,
        prepare: || {
            let (from, to) = (world(), world());
            from.run(&["p.yaml"]);
            from.ok(&["export", "run.netsec"]);
            std::fs::copy(from.root().join("run.netsec"), to.root().join("run.netsec")).unwrap();
            (to, "p.yaml")
        },
    },
    Story {
        name: "cache gc",
        args: &["cache", "gc", "--keep-runs", "1", "--apply"],
        most: usize::MAX,
        prepare: || {
            let world = world();
            world.run(&["p.yaml"]);
            world.write("in.txt", "other\n");
            world.run(&["p.yaml"]);
            world.write("in.txt", "hello\n");
            (world, "p.yaml")
        },
    },
    Story {
        name: "run that packs records",
        args: &["run", "p.yaml", "--jobs", "2"],
        most: MANY,
        prepare: || {
            let world = world();
            // With what the run adds there are enough pairs for a pack.
            let stage =
                |n: usize| format!("  s{n}: {{ kind: command, with: {{ run: [echo, s{n}] }} }}\n");
            let stages: String = (0..60).map(stage).collect();
            world.write("p.yaml", format!("{PIPELINE}{stages}"));
            world.write("in.txt", "other\n");
            world.run(&["p.yaml", "--until", "c"]);
            let names: Vec<String> = (0..60).map(|n| format!("s{n}")).collect();
            let only = names.iter().flat_map(|name| ["--only", name]);
            let args: Vec<&str> = ["p.yaml"].into_iter().chain(only).collect();
            world.run(&args);
            world.write("in.txt", "hello\n");
            (world, "p.yaml")
        },
    },
    Story {
        name: "promotion",
        args: &[
            "model",
            "promote",
            "train.model",
            "--to",
            "champion/pilot",
            "--why",
            "x",
            "--by",
            "y",
        ],
        most: usize::MAX,
        prepare: || {
            let world = World::shipped();
            world.run(&["pipelines/default.yaml", "--set", "rows=300"]);
            (world, "pipelines/default.yaml")
        },
    },
    Story {
        name: "export",
        args: &["export", "run.netsec"],
        most: usize::MAX,
        prepare: || {
            let world = world();
            world.run(&["p.yaml"]);
            (world, "p.yaml")
        },
    },
];

/// How many calls of a sort are tried by default.
const SAMPLE: usize = 3;
/// How many with `NETSEC_FULL`, of a story of many stages: most calls are those of the stages.
const MANY: usize = 60;

fn world() -> World {
    let world = World::new();
    world.write("in.txt", "hello\n");
    world.write("p.yaml", PIPELINE);
    world
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test harness reads its own switch"
)]
pub(crate) fn is_full() -> bool {
    std::env::var("NETSEC_FULL").is_ok()
}

/// Runs netsec under strace; returns the trace and how netsec ended.
pub(crate) fn traced(
    world: &World,
    args: &[&str],
    flags: &[&str],
) -> (String, std::process::Output) {
    let trace = world.root().join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o"])
        .arg(&trace)
        .args(flags)
        .arg(env!("CARGO_BIN_EXE_netsec"));
    let output = command
        .args(args)
        .current_dir(world.root())
        .output()
        .unwrap();
    (std::fs::read_to_string(trace).unwrap(), output)
}

/// The most calls of each sort that one thread makes: strace counts by thread.
fn most_calls(story: &Story) -> BTreeMap<&'static str, usize> {
    let (world, _) = (story.prepare)();
    let (trace, _) = traced(
        &world,
        story.args,
        &["-e", &format!("trace={}", CALLS.join(","))],
    );
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some(call) = CALLS
            .iter()
            .find(|call| rest.trim_start().starts_with(&format!("{call}(")))
        else {
            continue;
        };
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
fn points(count: usize, story: &Story) -> Vec<usize> {
    let most = match is_full() {
        true => story.most,
        false => SAMPLE,
    };
    if count <= most {
        return (1..=count).collect();
    }
    (0..most)
        .map(|at| 1 + at * (count - 1) / (most - 1))
        .collect()
}

/// Actions that are recorded.
fn recorded(world: &World) -> u64 {
    let stats: serde_json::Value =
        serde_json::from_str(&world.ok(&["cache", "stats", "--json"])).unwrap();
    stats["actions"].as_u64().unwrap()
}

/// Lets one fault happen, and checks what is left.
fn suffer(
    story: &Story,
    expected: &[String],
    (call, fault, flag): (&str, &str, &str),
    place: &str,
) {
    let (world, pipeline) = (story.prepare)();
    let before = if world.root().join("cache/runs").exists() {
        world.ok(&["runs"])
    } else {
        String::new()
    };
    let inject = format!("inject={call}:{flag}");
    let (_, output) = traced(
        &world,
        story.args,
        &["-e", &format!("trace={call}"), "-e", &inject],
    );
    let said = String::from_utf8_lossy(&output.stderr);
    if fault != "killed" {
        // 1 and 4: the fault hit a program, or a stage whose work it was.
        let code = output.status.code();
        assert!(
            matches!(code, Some(0 | 1 | 4 | 5)) && !said.contains("panicked"),
            "{place}: {code:?} {said}"
        );
    }
    let verified = world.netsec(&["cache", "verify"]);
    assert_eq!(
        verified.code, 0,
        "{place}: {}{}",
        verified.stdout, verified.stderr
    );
    let is_told = |line: &str| {
        line.split_whitespace()
            .next()
            .is_some_and(|run| world.ok(&["runs", "-n", "99"]).contains(run))
    };
    assert!(
        before.lines().skip(1).all(is_told),
        "{place}: every run is told of as before"
    );
    let recorded = recorded(&world);
    let after =
        world.run(&[pipeline, "--set", "rows=300"][..if pipeline == "p.yaml" { 1 } else { 3 }]);
    assert_eq!(after["outcome"], "succeeded", "{place}: {after}");
    assert_eq!(digests(&after), expected, "{place}");
    let verified = world.netsec(&["cache", "verify"]);
    assert_eq!(
        verified.code, 0,
        "{place}, after the next run: {}{}",
        verified.stdout, verified.stderr
    );
    if story.name == "run of programs" {
        let reused = outcomes(&after)
            .iter()
            .filter(|outcome| outcome.ends_with("reused"))
            .count() as u64;
        assert_eq!(
            reused, recorded,
            "{place}: what was finished is not made again"
        );
    }
}

#[test]
fn crash_matrix() {
    if Command::new("strace").arg("-V").output().is_err() {
        crate::world::skip("strace is not installed");
        return;
    }
    let mut rows = Vec::new();
    for story in &STORIES {
        let (clean, pipeline) = (story.prepare)();
        let args = [pipeline, "--set", "rows=300"];
        let expected = digests(&clean.run(&args[..if pipeline == "p.yaml" { 1 } else { 3 }]));
        let is_small = story.name == "run of programs";
        for (call, count) in most_calls(story) {
            for (fault, how, from) in FAULTS {
                let tried = if is_small || is_full() {
                    points(count, story)
                } else {
                    vec![count.div_ceil(2)]
                };
                let is_telling = matches!(fault, "killed" | "disk broken from then on");
                if !is_full() && !is_telling && !is_small {
                    continue;
                }
                tried.par_iter().for_each(|at| {
                    let place = format!("{}: {fault} at {call} {at}", story.name);
                    suffer(
                        story,
                        &expected,
                        (call, fault, &format!("{how}:when={at}{from}")),
                        &place,
                    );
                });
                rows.push(format!(
                    "| {} | `{call}` | {fault} | {} of {count} | all |",
                    story.name,
                    tried.len()
                ));
            }
        }
    }
    assert!(rows.len() >= 50, "{rows:?}");
    if is_full() {
        crate::world::same_file(&package().join("docs/reliability.md"), &page(&rows));
    }
}

fn page(rows: &[String]) -> String {
    format!("{HEAD}{}\n{OTHERS}", rows.join("\n"))
}

const HEAD: &str = "\
# What a run survives

Made by `NETSEC_FULL=1 NETSEC_UPDATE=1 cargo test crash_matrix` with strace: the n-th call of one sort, on any thread, is
made to kill the process or to fail as on a full or a broken disk, once or from then on; for every n, or for so many of them as the table says. After each: netsec
ended with an exit code that says so and did not panic, `cache verify` finds nothing bad, every run that was told of still is,
the next run ends with the same digests, `cache verify` finds nothing bad after it either, and (of the pipeline of programs)
every action that was recorded is reused. Without `NETSEC_FULL` the test tries some calls of each sort.

| what | call | what was done to it | calls tried | survived |
|---|---|---|--:|---|
";
