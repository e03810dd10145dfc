//! The same graphs carried out by netsec and by its peers, side by side: `cargo bench --bench
//! peers`, or `cargo bench --bench peers -- cold` for one of them.
//!
//! - `noop`: a rerun of 1,000 and 10,000 stages with one input file each, where nothing has
//!   changed.
//! - `cold`: a first run of 1,000 of them, each in a fresh folder, with two jobs.
//! - `stages`: time and memory of planning and of a first run, and what each stage adds.
//! - `file`: a run over one input of 2 GiB that has not changed.
//!
//! Ninja, Make, DVC and Snakemake take part where they are installed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use measure::{children_seconds, say, write};

#[path = "measure.rs"]
mod measure;

/// A tool: its name, the program, the arguments of a run with two jobs, and the largest graph it is
/// asked for.
const PEERS: [(&str, &str, &[&str], usize); 5] = [
    (
        "netsec",
        env!("CARGO_BIN_EXE_netsec"),
        &["run", "p.yaml", "--jobs", "2"],
        usize::MAX,
    ),
    ("ninja", "ninja", &["-j2"], usize::MAX),
    ("make", "make", &["-j2", "-s"], usize::MAX),
    ("snakemake", "snakemake", &["-c2", "-q"], 100),
    ("dvc", "dvc", &["repro", "-q"], 100),
];

/// Writes a graph of `count` stages side by side, each of one input file, for every tool.
fn graph(folder: &Path, count: usize) {
    let mut files = [
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ];
    let [ours, ninja, make, snake, dvc] = &mut files;
    ours.push_str("stages:\n");
    ninja.push_str("rule c\n  command = cat $in > $out\n");
    dvc.push_str("stages:\n");
    let outputs = |count: usize| {
        (0..count)
            .map(|i| format!("out/{i}.txt"))
            .collect::<Vec<_>>()
    };
    let _ = writeln!(make, "all: {}\n", outputs(count).join(" "));
    let _ = writeln!(
        snake,
        "rule all:\n    input: expand('out/{{i}}.txt', i=range({count}))\n"
    );
    snake
        .push_str("rule c:\n    input: 'in/{i}.txt'\n    output: 'out/{i}.txt'\n    shell: 'cat {input} > {output}'\n");
    for i in 0..count {
        let _ = writeln!(
            ours,
            "  s{i}:\n    kind: command\n    inputs: {{ in: in/{i}.txt }}\n    with: {{ run: [sh, -c, 'cat in > out'], outputs: {{ out: out }} }}"
        );
        let _ = writeln!(ninja, "build out/{i}.txt: c in/{i}.txt");
        let _ = writeln!(make, "out/{i}.txt: in/{i}.txt\n\tcat $< > $@");
        let _ = writeln!(
            dvc,
            "  s{i}:\n    cmd: cat in/{i}.txt > out/{i}.txt\n    deps: [in/{i}.txt]\n    outs: [out/{i}.txt]"
        );
        write(&folder.join(format!("in/{i}.txt")), &format!("input {i}\n"));
    }
    for (name, text) in ["p.yaml", "build.ninja", "Makefile", "Snakefile", "dvc.yaml"]
        .iter()
        .zip(&files)
    {
        write(&folder.join(name), text);
    }
    write(&folder.join("out/.keep"), "");
}

fn is_there(program: &str) -> bool {
    let asked = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

struct Time {
    wall: Duration,
    cpu: f64,
}

fn run(folder: &Path, program: &str, args: &[&str]) -> Duration {
    let started = Instant::now();
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .output()
        .expect("it was there before");
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    started.elapsed()
}

/// A run that takes longer is repeated a few times only.
const SLOW: Duration = Duration::from_millis(500);

/// The least wall time of several runs, and the mean processor time: one run is too short for the
/// kernel's clock.
fn repeat(folder: &Path, program: &str, args: &[&str], times: u32) -> Time {
    // What was just written is looked at once more; then everything is calm.
    std::thread::sleep(Duration::from_millis(200));
    run(folder, program, args);
    let times = if run(folder, program, args) > SLOW {
        5
    } else {
        times
    };
    let before = children_seconds();
    let wall = (0..times)
        .map(|_| run(folder, program, args))
        .min()
        .unwrap_or_default();
    Time {
        wall,
        cpu: (children_seconds() - before) / f64::from(times),
    }
}

/// The most memory of a run, in MB; nothing if there is no `time`.
fn memory(folder: &Path, program: &str, args: &[&str]) -> Option<f64> {
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%M", program])
        .args(args)
        .current_dir(folder)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines()
        .last()?
        .trim()
        .parse::<f64>()
        .ok()
        .map(|kilobytes| kilobytes / 1024.0)
}

fn show(name: &str, time: &Time, ours: Option<&Time>, memory: Option<f64>) {
    let ratio = ours.map_or_else(String::new, |ours| {
        let wall = ours.wall.as_secs_f64() / time.wall.as_secs_f64();
        format!(
            "  netsec takes {wall:.2} × its wall time, {:.2} × its CPU time",
            ours.cpu / time.cpu
        )
    });
    let memory = memory.map_or_else(String::new, |memory| format!(" {memory:>7.0} MB"));
    say(&format!(
        "  {name:<10} {:>10.1} ms wall {:>10.1} ms CPU{memory}{ratio}",
        time.wall.as_secs_f64() * 1e3,
        time.cpu * 1e3
    ));
}

fn noop() {
    for count in [100, 1_000, 10_000] {
        say(&format!("no-op rerun of {count} stages"));
        let mut ours = None;
        for (name, program, args, most) in PEERS {
            if !is_there(program) || count > most {
                continue;
            }
            let folder = tempfile::tempdir().expect("a temporary folder");
            graph(folder.path(), count);
            prepare(name, folder.path());
            run(folder.path(), program, args);
            let time = repeat(
                folder.path(),
                program,
                args,
                if count > 1000 { 20 } else { 50 },
            );
            show(
                name,
                &time,
                ours.as_ref(),
                memory(folder.path(), program, args),
            );
            if name == "netsec" {
                ours = Some(time);
            }
        }
    }
}

/// What a tool wants done in a folder before its first run.
fn prepare(name: &str, folder: &Path) {
    if name == "dvc" {
        run(folder, "dvc", &["init", "--no-scm", "-q"]);
    }
}

fn cold() {
    for count in [100, 1_000] {
        say(&format!("first run of {count} stages, two jobs"));
        let mut ours: Option<Time> = None;
        for (name, program, args, most) in PEERS {
            if !is_there(program) || count > most {
                continue;
            }
            // Folders stay until all are done: some file systems are slow to create where much was
            // just removed.
            let count_of_folders = if matches!(name, "dvc" | "snakemake") {
                2
            } else {
                5
            };
            let folders: Vec<_> = (0..count_of_folders)
                .map(|_| tempfile::tempdir().expect("a temporary folder"))
                .collect();
            folders.iter().for_each(|folder| {
                graph(folder.path(), count);
                prepare(name, folder.path());
            });
            let before = children_seconds();
            let wall = folders
                .iter()
                .map(|folder| run(folder.path(), program, args))
                .min()
                .unwrap_or_default();
            let time = Time {
                wall,
                cpu: (children_seconds() - before) / folders.len() as f64,
            };
            show(name, &time, ours.as_ref(), None);
            if name == "netsec" {
                ours = Some(time);
            }
        }
    }
}

fn stages() {
    let counts = [1_000, 10_000];
    let (_, program, _, _) = PEERS[0];
    for (name, args) in [
        ("plan", ["status", "p.yaml"]),
        ("run", ["run", "p.yaml"]),
        ("plan again", ["status", "p.yaml"]),
    ] {
        let mut measured = Vec::new();
        for count in counts {
            let folder = tempfile::tempdir().expect("a temporary folder");
            graph(folder.path(), count);
            if name == "plan again" {
                run(folder.path(), program, &["run", "p.yaml"]);
            }
            let started = Instant::now();
            let memory = memory(folder.path(), program, &args).unwrap_or_default();
            measured.push((started.elapsed().as_secs_f64() * 1e3, memory));
        }
        let more = (counts[1] - counts[0]) as f64;
        say(&format!(
            "{name:<10} {counts:?} stages: {:.0} and {:.0} ms, {:.0} and {:.0} MB; each stage more: {:.3} ms, {:.1} kB",
            measured[0].0,
            measured[1].0,
            measured[0].1,
            measured[1].1,
            (measured[1].0 - measured[0].0) / more,
            (measured[1].1 - measured[0].1) * 1024.0 / more
        ));
    }
}

fn file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path: PathBuf = folder.path().join("big");
    let block: Vec<u8> = (0..1_u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    netsec::base::disk::write_plain(&path, &block.repeat(2048)).expect("there is room for 2 GiB");
    write(
        &folder.path().join("p.yaml"),
        "stages: { a: { kind: command, inputs: { x: ./big }, with: { run: ['true'] } } }\n",
    );
    let (_, program, args, _) = PEERS[0];
    // The first run copies the input into the stage's folder; afterwards only its entry is looked
    // at.
    say(&format!(
        "a stage over 2 GiB, first run {:>10.0} ms",
        run(folder.path(), program, args).as_secs_f64() * 1e3
    ));
    let time = repeat(folder.path(), program, args, 20);
    say(&format!(
        "the same, unchanged        {:>10.1} ms",
        time.wall.as_secs_f64() * 1e3
    ));
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let all: [(&str, fn()); 4] = [
        ("noop", noop),
        ("cold", cold),
        ("stages", stages),
        ("file", file),
    ];
    for (name, measure) in all {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            measure();
        }
    }
}
