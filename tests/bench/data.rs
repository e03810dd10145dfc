//! What a refresh costs beside a first run: `cargo bench --bench data`, or with `-- memory` the
//! table that is larger than a run may hold.
//!
//! - `refresh`: 1,000,000 rows × 30 columns in ten files, then an eleventh with 1 % more; the same
//!   in one file that grows.
//! - `memory`: 5,000,000 × 30, about 0.9 GB of CSV, read, validated and split; the most memory of
//!   the run.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use netsec::base::disk;

use measure::{children_seconds, say, write};

#[path = "measure.rs"]
mod measure;

/// Ingested, validated and compared with a profile that is kept; then also split, and train
/// compared with test.
const PIPELINES: [(&str, &str); 2] = [
    (
        "to drift",
        "stages:\n  ingest: { kind: ingest, inputs: { data: DATA } }\n  validate: { kind: validate, inputs: { schema: ./s.yaml, data: ingest.data } }\n  drift: { kind: drift, inputs: { current: validate.data, reference: ./first.profile } }\n",
    ),
    (
        "and split",
        "stages:\n  ingest: { kind: ingest, inputs: { data: DATA } }\n  validate: { kind: validate, inputs: { schema: ./s.yaml, data: ingest.data } }\n  split: { kind: split, inputs: { data: validate.data }, with: { target: y } }\n  drift: { kind: drift, inputs: { current: split.test, reference: split.train } }\n",
    ),
];

/// The finisher of splitmix64 over a counter.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Rows of eight measured columns, ten counts, six levels, four texts, a truth value and a label.
fn rows(count: usize, seed: u64) -> String {
    let mut state = seed << 32;
    let mut text = String::with_capacity(count * 190);
    for _ in 0..count {
        for _ in 0..8 {
            let sum: f64 = (0..4)
                .map(|_| (draw(&mut state) >> 11) as f64 / (1_u64 << 53) as f64)
                .sum();
            let _ = write!(text, "{:.9},", (sum - 2.0) * 7.0);
        }
        for column in 0..10 {
            let _ = write!(text, "{},", draw(&mut state) % 10_u64.pow(1 + column % 5));
        }
        for _ in 0..6 {
            let _ = write!(text, "{},", (draw(&mut state) % 3) as i64 - 1);
        }
        let word = |state: &mut u64, words: &[&'static str]| {
            words[(draw(state) % words.len() as u64) as usize]
        };
        let protocol = word(&mut state, &["tcp", "tcp", "tcp", "udp", "icmp"]);
        let service = word(&mut state, &["http", "smtp", "ftp", "dns", "ssh", "other"]);
        let host = draw(&mut state) % 500;
        let flag = word(&mut state, &["SF", "S0", "REJ"]);
        let (ok, label) = (
            draw(&mut state) & 1 == 0,
            (draw(&mut state) & 1) as i64 * 2 - 1,
        );
        let _ = writeln!(
            text,
            "{protocol},{service},h{host}.internal.example,{flag},{ok},{label}"
        );
    }
    text
}

fn header() -> String {
    let names = (0..24)
        .map(|i| format!("c{i}"))
        .chain(["proto", "service", "host", "flag", "ok", "y"].map(str::to_owned));
    names.collect::<Vec<_>>().join(",") + "\n"
}

/// Runs netsec; its processor time in seconds and its most memory in MB, as far as `time` is there
/// to tell.
fn netsec(folder: &Path, args: &[&str]) -> (f64, f64) {
    let before = children_seconds();
    let timed = Path::new("/usr/bin/time").exists();
    let mut command = Command::new(if timed {
        "/usr/bin/time"
    } else {
        env!("CARGO_BIN_EXE_netsec")
    });
    if timed {
        command.args(["-f", "%M", env!("CARGO_BIN_EXE_netsec")]);
    }
    let output = command
        .args(args)
        .current_dir(folder)
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let memory = said
        .lines()
        .last()
        .and_then(|line| line.trim().parse::<f64>().ok())
        .unwrap_or_default()
        / 1024.0;
    (children_seconds() - before, memory)
}

/// The bytes of all blobs.
fn blobs(folder: &Path) -> u64 {
    let files = disk::walk(&folder.join("cache/blobs")).expect("there are blobs");
    files
        .iter()
        .map(|(_, path)| std::fs::metadata(path).map_or(0, |data| data.len()))
        .sum()
}

fn refresh(folder: &Path) {
    say("| 1,000,000 × 30, then 1 % more | first run | refresh | share | blobs | new | share |");
    say("|---|--:|--:|--:|--:|--:|--:|");
    let first: Vec<String> = (0..10).map(|file| rows(100_000, file + 1)).collect();
    let more = rows(10_000, 99);
    write(
        &folder.join("sample.csv"),
        &format!("{}{}", header(), first[0]),
    );
    netsec(
        folder,
        &["schema", "infer", "sample.csv", "--lenient", "-o", "s.yaml"],
    );
    // The profile of another sample of the same kind: what the rows are compared with.
    write(
        &folder.join("p.yaml"),
        "stages:\n  a: { kind: ingest, inputs: { data: ./sample.csv } }\n  d: { kind: drift, inputs: { current: a.data, reference: a.data } }\n",
    );
    netsec(folder, &["run", "p.yaml"]);
    netsec(folder, &["cat", "d.current", "-o", "first.profile"]);
    for (form, data) in [
        ("a file more", "data/*.csv"),
        ("one file that grows", "all/all.csv"),
    ] {
        for (name, pipeline) in PIPELINES {
            for left in ["cache", "data", "all"] {
                let _ = disk::remove_dir(&folder.join(left));
            }
            for (number, rows) in first.iter().enumerate() {
                write(
                    &folder.join(format!("data/{number}.csv")),
                    &format!("{}{rows}", header()),
                );
            }
            write(
                &folder.join("all/all.csv"),
                &format!("{}{}", header(), first.concat()),
            );
            write(&folder.join("p.yaml"), &pipeline.replace("DATA", data));
            std::thread::sleep(std::time::Duration::from_secs(3));
            let (cpu, _) = netsec(folder, &["run", "p.yaml"]);
            let kept = blobs(folder);
            write(
                &folder.join("data/more.csv"),
                &format!("{}{more}", header()),
            );
            write(
                &folder.join("all/all.csv"),
                &format!("{}{}{more}", header(), first.concat()),
            );
            std::thread::sleep(std::time::Duration::from_secs(3));
            let (again, _) = netsec(folder, &["run", "p.yaml"]);
            let new = blobs(folder) - kept;
            say(&format!(
                "| {form}, {name} | {cpu:.2} CPU s | {again:.2} | {:.1} % | {:.1} MB | {:.2} MB | {:.2} % |",
                100.0 * again / cpu,
                kept as f64 / 1e6,
                new as f64 / 1e6,
                100.0 * new as f64 / kept as f64
            ));
        }
    }
}

fn memory(folder: &Path) {
    let path = folder.join("five.csv");
    write(&path, &header());
    let mut file = disk::append(&path).expect("it can be written");
    for part in 0..50 {
        std::io::Write::write_all(&mut file, rows(100_000, 1_000 + part).as_bytes())
            .expect("it can be written");
    }
    write(
        &folder.join("sample.csv"),
        &format!("{}{}", header(), rows(20_000, 5)),
    );
    netsec(
        folder,
        &["schema", "infer", "sample.csv", "--lenient", "-o", "s.yaml"],
    );
    let pipeline = PIPELINES[1].1.replace("DATA", "./five.csv");
    write(&folder.join("p.yaml"), &pipeline);
    let (cpu, most) = netsec(folder, &["run", "p.yaml", "--until", "split"]);
    let size = std::fs::metadata(&path).map_or(0, |data| data.len());
    say(&format!(
        "5,000,000 × 30 ({:.2} GB): {cpu:.1} CPU s, at most {most:.0} MB",
        size as f64 / 1e9
    ));
}

fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let wants = |name: &str| asked.is_empty() || asked.iter().any(|word| word == name);
    let folder = tempfile::tempdir().expect("there is room");
    if wants("refresh") {
        refresh(folder.path());
    }
    if wants("memory") {
        memory(folder.path());
    }
}
