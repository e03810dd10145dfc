//! How long the engine itself takes: `cargo bench`, or `cargo bench -- hash` for one of them.
//!
//! - `noop`: the second run of 100, 1,000 and 10,000 toy stages that all can be reused, and the
//!   first run before it.
//! - `hash`: a file of 2 GiB, hashed as inputs are, against `b3sum` in the same run (skipped where
//!   it is not installed), and the same file again when its digest is known.
//! - `large`: a blob of 1 GiB and what it becomes when one hundredth of it changes: how much room the
//!   change takes, and how long it takes to name, cut and keep, against `b3sum` of the same file.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netsec::app::workspace::{Overrides, RunOptions, RunRequest, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::clock::SystemClock;
use netsec::base::digest::Digest;
use netsec::base::{disk, hashing};
use netsec::stage::context::StageContext;
use netsec::stage::error::StageError;
use netsec::stage::io::{Inputs, Outputs};
use netsec::stage::kind::{Stage, StageKind};
use netsec::stage::param::{Param, ParamError, ParamFallback, ParamType, Values};
use netsec::stage::port::{Port, PortFormat, PortNeed, Ports};
use netsec::stage::registry::Registry;
use netsec::stage::remote::RemoteWork;
use netsec::store::blob::Store;
use netsec::store::chunked;
use netsec::store::digest_cache::DigestCache;
use netsec::store::local::LocalStore;

const REPEATS: usize = 5;

struct Echo(String);

impl Stage for Echo {
    fn run(
        &self,
        _: &Inputs,
        outputs: &mut Outputs,
        _: &StageContext<'_>,
    ) -> Result<(), StageError> {
        outputs.bytes("out", self.0.clone().into_bytes());
        Ok(())
    }
}

const ECHO: StageKind = StageKind {
    name: "echo",
    version: 1,
    doc: "Says its text.",
    inputs: Ports::Free,
    outputs: Ports::Fixed(&[Port {
        name: "out",
        format: PortFormat::Any,
        need: PortNeed::One,
        doc: "the text",
    }]),
    params: &[Param {
        name: "text",
        kind: ParamType::Text,
        default: ParamFallback::Required,
        doc: "The text.",
    }],
    seeded: false,
    runs_elsewhere: false,
    remote: RemoteWork::Never,
    make,
};

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    Ok(Box::new(Echo(
        values.text("text").unwrap_or_default().to_owned(),
    )))
}

/// `count` stages in chains of ten.
fn pipeline(count: usize) -> String {
    let stage = |i: usize| {
        let input = if i.is_multiple_of(10) {
            String::new()
        } else {
            format!(", inputs: {{ x: s{}.out }}", i - 1)
        };
        format!("  s{i}: {{ kind: echo, with: {{ text: t{i} }}{input} }}\n")
    };
    format!("stages:\n{}", (0..count).map(stage).collect::<String>())
}

fn run(folder: &Path) -> Duration {
    let started = Instant::now();
    let workspace = Workspace::open(folder).expect("the folder is there");
    let loaded = workspace
        .load(
            "p.yaml",
            &Overrides::default(),
            &Registry::new(vec![ECHO]),
            &|_| None,
        )
        .unwrap_or_else(|e| panic!("{e}"));
    let cancel = Cancel::new();
    let terms = RunOptions::quiet(2, &cancel);
    workspace
        .run(&loaded, &RunRequest::default(), &terms)
        .unwrap_or_else(|e| panic!("{e}"));
    started.elapsed()
}

/// The least of several timings: what is above it is noise of the machine.
fn least(mut time: impl FnMut() -> Duration) -> Duration {
    (0..REPEATS)
        .map(|_| time())
        .min()
        .expect("there are repeats")
}

fn show(name: &str, time: Duration) {
    say(&format!(
        "{name:<44} {:>10.2} ms",
        time.as_secs_f64() * 1000.0
    ));
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn say(line: &str) {
    println!("{line}");
}

fn noop() {
    for count in [100, 1_000, 10_000] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        disk::write_plain(&folder.path().join("p.yaml"), pipeline(count).as_bytes())
            .expect("it can be written");
        show(&format!("first run of {count} stages"), run(folder.path()));
        let again = least(|| run(folder.path()));
        show(&format!("no-op rerun of {count} stages"), again);
        show(
            "  a stage",
            again / u32::try_from(count).expect("a small number"),
        );
    }
}

fn hash() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("big");
    let block: Vec<u8> = (0..1_u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    disk::write_plain(&path, &block.repeat(2048)).expect("there is room for 2 GiB");
    let disk::PathEntry::File(signature) = disk::look(&path).expect("it is there") else {
        return;
    };
    let ours = least(|| {
        let started = Instant::now();
        hashing::hash(&path, signature.size, &Cancel::new()).expect("it can be read");
        started.elapsed()
    });
    show("hash 2 GiB", ours);
    let b3sum = || {
        let started = Instant::now();
        Command::new("b3sum")
            .arg(&path)
            .output()
            .ok()
            .filter(|output| output.status.success())
            .map(|_| started.elapsed())
    };
    match b3sum() {
        Some(_) => {
            let peer = least(|| b3sum().expect("it worked before"));
            show("b3sum of the same file", peer);
            say(&format!(
                "{:<44} {:>10.2} ×",
                "ratio of speeds, ours to b3sum",
                peer.as_secs_f64() / ours.as_secs_f64()
            ));
        }
        None => say("b3sum is not installed: no comparison"),
    }
    let known = DigestCache::load(&folder.path().join("known"), Box::new(SystemClock));
    known.note(
        &path,
        hashing::hash(&path, signature.size, &Cancel::new()).expect("it can be read"),
    );
    let remembered = least(|| {
        let started = Instant::now();
        let disk::PathEntry::File(signature) = disk::look(&path).expect("it is there") else {
            return Duration::MAX;
        };
        known.digest(&path, signature).expect("it is known");
        started.elapsed()
    });
    show("the same file when it is known", remembered);
}

/// Bytes that do not shrink.
fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut noise);
    noise
}

/// A content of 1 GiB, and it with one hundredth appended, put at the start, and written over in one and
/// in three places.
fn refreshes() -> Vec<(&'static str, Vec<u8>)> {
    let content = noise(1, 1 << 30);
    let new = noise(2, content.len() / 100);
    let write = |places: usize| {
        let mut content = content.clone();
        let piece = new.len() / places;
        for (at, new) in new.chunks_exact(piece).enumerate() {
            let start = content.len() / (places + 1) * (at + 1);
            content[start..start + piece].copy_from_slice(new);
        }
        content
    };
    vec![
        ("appended", [&content[..], &new].concat()),
        ("put at the start", [&new[..], &content].concat()),
        ("written over in the middle", write(1)),
        ("written over in three places", write(3)),
        ("the content", content),
    ]
}

fn large() {
    let mut contents = refreshes();
    let (_, content) = contents.pop().expect("it is the last");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("taken");
    let take = |cache: &str, content: &[u8]| {
        let cache = folder.path().join(cache);
        let known = DigestCache::load(&cache.join("known"), Box::new(SystemClock));
        let store = LocalStore::open(&cache, Arc::new(known));
        disk::write_plain(&path, content).expect("there is room");
        let started = Instant::now();
        store.take(&path, &Cancel::new()).expect("it can be kept");
        let taken = started.elapsed();
        let sizes = store.list().expect("it can be listed");
        (taken, sizes.iter().map(|(_, size)| size).sum::<u64>())
    };
    let (taken, alone) = take("cache", &content);
    show("name, cut and write 1 GiB", taken);
    let cut = least(|| {
        let started = Instant::now();
        chunked::cut(
            &content[..],
            &|chunk| Ok::<_, std::io::Error>(Digest::of(chunk)),
            &Cancel::new(),
        )
        .expect("it is in memory");
        started.elapsed()
    });
    show("cut 1 GiB and name the chunks", cut);
    disk::write_plain(&path, &content).expect("there is room");
    let hashed = least(|| {
        let started = Instant::now();
        hashing::hash(&path, content.len() as u64, &Cancel::new()).expect("it can be read");
        started.elapsed()
    });
    show("hash 1 GiB", hashed);
    for threads in [1, 2] {
        let b3sum = || {
            let started = Instant::now();
            let threads = format!("--num-threads={threads}");
            let output = Command::new("b3sum").arg(threads).arg(&path).output();
            let is_done = output.is_ok_and(|output| output.status.success());
            is_done.then(|| started.elapsed())
        };
        if b3sum().is_none() {
            say("b3sum is not installed: no comparison");
            break;
        }
        let peer = least(|| b3sum().expect("it worked before"));
        show(&format!("b3sum of 1 GiB, {threads} threads"), peer);
        say(&format!(
            "{:<44} {:>10.2} ×",
            "ratio of speeds, hashing and cutting to it",
            peer.as_secs_f64() / (hashed + cut).as_secs_f64()
        ));
    }
    for (name, changed) in contents {
        // What the first has is there already; each change goes into a copy of its cache.
        let cache = name.replace(' ', "-");
        let mut copy = Command::new("cp");
        copy.arg("-r")
            .arg(folder.path().join("cache"))
            .arg(folder.path().join(&cache));
        let _ = copy.status();
        let (taken, all) = take(&cache, &changed);
        show(&format!("1 % {name}"), taken);
        let ratio = (all - alone) as f64 / (content.len() / 100) as f64;
        say(&format!(
            "{:<44} {ratio:>10.2} ×",
            "  new bytes to bytes that changed"
        ));
        let _ = disk::remove_dir(&folder.path().join(&cache));
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if is_wanted("noop") {
        noop();
    }
    if is_wanted("hash") {
        hash();
    }
    if is_wanted("large") {
        large();
    }
}
