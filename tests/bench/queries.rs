//! What it costs to ask: `cargo bench --bench queries`, or `-- 100000 10` for so many stages and sets of
//! parameters (10,000 and 10 by default).
//!
//! A pipeline of chains of ten stages over one file, and a stage that gathers a thousand of them, is run
//! with every set of parameters, and then thirty times more, of which every third run makes ten actions.
//! Then every query is asked by a process of its own, five times: the least time, and the most memory
//! where `time` is installed. `ninja -n` on as many edges stands beside `status`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use measure::{children_seconds, say, write};
use netsec::base::disk;

#[path = "measure.rs"]
mod measure;

const NETSEC: &str = env!("CARGO_BIN_EXE_netsec");
/// So often each query is asked.
const REPEATS: usize = 5;
/// So many runs follow those that make everything.
const FURTHER: usize = 30;
/// So many stages flow into the last.
const GATHERED: usize = 1_000;

fn pipeline(stages: usize) -> String {
    let mut text = "params: { p: 0 }\nstages:\n".to_owned();
    for i in 0..stages - 1 {
        let input = match i % 10 {
            0 => "./root.txt".to_owned(),
            _ => format!("s{}.out", i - 1),
        };
        let _ = writeln!(
            text,
            "  s{i}: {{ kind: command, inputs: {{ in: {input} }}, with: {{ run: [sh, -c, 'echo {i} ${{params.p}} > out; cat in >> out'], \
             outputs: {{ out: out }} }} }}"
        );
    }
    let gathered = (9..stages - 1).step_by((stages / GATHERED).max(1));
    let inputs: Vec<String> = gathered.map(|i| format!("i{i}: s{i}.out")).collect();
    let _ = writeln!(
        text,
        "  gather: {{ kind: command, inputs: {{ {} }}, with: {{ run: [sh, -c, 'echo ${{params.p}} > out'], outputs: {{ out: out }} }} }}",
        inputs.join(", ")
    );
    text
}

fn ask(folder: &Path, program: &str, args: &[&str]) -> Duration {
    let started = Instant::now();
    let status = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{program} {args:?}"
    );
    started.elapsed()
}

/// The most memory that a query takes, as `time` tells it.
fn memory(folder: &Path, args: &[&str]) -> Option<u64> {
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%M", NETSEC])
        .args(args)
        .current_dir(folder)
        .stdout(Stdio::null())
        .output()
        .ok()?;
    let told = String::from_utf8(output.stderr).ok()?;
    Some(told.lines().last()?.trim().parse::<u64>().ok()? / 1024)
}

fn show(folder: &Path, args: &[&str]) {
    let least = (0..REPEATS).map(|_| ask(folder, NETSEC, args)).min();
    let memory = memory(folder, args).map_or(String::new(), |most| format!("{most:>5} MB"));
    say(&format!(
        "{:<52} {:>8.1} ms {memory}",
        args.join(" "),
        least.unwrap_or_default().as_secs_f64() * 1e3
    ));
}

fn size(path: &Path) -> u64 {
    let files = disk::walk(path).unwrap_or_default();
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    files.iter().map(|(_, path)| size(path)).sum()
}

/// The time of `ninja -n` on as many edges that are up to date, where it is installed.
fn ninja(stages: usize) -> Option<Duration> {
    let folder = tempfile::tempdir().ok()?;
    let mut text = "rule c\n  command = cat $in > $out\n".to_owned();
    for i in 0..stages {
        let input = match i % 10 {
            0 => "root.txt".to_owned(),
            _ => format!("out/s{}", i - 1),
        };
        let _ = writeln!(text, "build out/s{i}: c {input}");
    }
    write(&folder.path().join("build.ninja"), &text);
    write(&folder.path().join("root.txt"), "root\n");
    let made = Command::new("ninja")
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .status();
    made.ok()?.success().then_some(())?;
    (0..REPEATS)
        .map(|_| ask(folder.path(), "ninja", &["-n"]))
        .min()
}

fn main() {
    let numbers = std::env::args().filter_map(|arg| arg.parse::<usize>().ok());
    let numbers: Vec<usize> = numbers.collect();
    let (stages, sets) = match numbers.as_slice() {
        [stages, sets, ..] => (*stages, *sets),
        _ => (10_000, 10),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    write(&path.join("p.yaml"), &pipeline(stages));
    write(&path.join("root.txt"), "root\n");
    let run = |set: usize, more: &[&str]| {
        let set = format!("p={set}");
        ask(
            path,
            NETSEC,
            &[&["run", "p.yaml", "--quiet", "--set", &set], more].concat(),
        )
    };
    let before = children_seconds();
    let first = run(0, &[]);
    let cpu = children_seconds() - before;
    for set in 1..sets {
        run(set, &[]);
    }
    let last = sets - 1;
    for further in 1..=FURTHER {
        match further % 3 {
            0 => run(1_000 + further, &["--until", "s9"]),
            _ => run(last, &[]),
        };
    }
    // What is up to date is told from what this leaves.
    run(last, &[]);
    run(last, &[]);
    let actions = (stages * sets + FURTHER / 3 * 10) as u64;
    let cache = path.join("cache");
    let records = disk::list(&cache.join("runs")).unwrap_or_default();
    let journals = records
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "records"));
    let journals: u64 = journals
        .map(|path| std::fs::metadata(path).map_or(0, |meta| meta.len()))
        .sum();
    let (packs, database) = (size(&cache.join("packs")), size(&cache.join("ledger")));
    say(&format!(
        "{actions} actions; first run {:.2} ms and {:.2} CPU ms a stage; packs {} + database {} + journals {} = {:.0} bytes an action",
        first.as_secs_f64() * 1e3 / stages as f64,
        cpu * 1e3 / stages as f64,
        packs / actions,
        database / actions,
        journals / actions,
        (packs + database + journals) as f64 / actions as f64
    ));
    let set = format!("p={last}");
    let other = format!("p={}", sets + 1);
    let listed = Command::new(NETSEC)
        .args(["runs", "--json"])
        .current_dir(path)
        .output();
    let listed: serde_json::Value =
        serde_json::from_slice(&listed.expect("it runs").stdout).expect("JSON");
    let named = |at: usize| listed[at]["run"].as_str().unwrap_or_default().to_owned();
    let oldest = listed.as_array().map_or(0, Vec::len) - 1;
    let (one, two) = (named(oldest), named(oldest - 1));
    let of_first = format!("{one}:s{}.out", stages / 2 - stages / 2 % 10 + 1);
    let queries: [&[&str]; 17] = [
        &["runs"],
        &["models", "list"],
        &["cat", "gather.out"],
        &["lineage", "s9.out"],
        &["lineage", "--downstream", &of_first],
        &["lineage", "gather.out"],
        &["lineage", "--downstream", "root.txt"],
        &["runs", "--using", "root.txt"],
        &["diff", &one, &two],
        &["impact", "--rows", "root.txt"],
        &["status", "p.yaml", "--set", &set],
        &["status", "p.yaml", "--set", &other],
        &["explain", "s9", "-f", "p.yaml", "--set", &other],
        &["cache", "stats"],
        &["cache", "gc"],
        &["cache", "verify", "--records"],
        &["cache", "verify"],
    ];
    for query in queries {
        show(path, query);
    }
    match ninja(stages) {
        Some(time) => say(&format!(
            "{:<52} {:>8.1} ms",
            "ninja -n",
            time.as_secs_f64() * 1e3
        )),
        None => say("ninja is not installed: no comparison"),
    }
}
