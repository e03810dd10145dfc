// Every reader of what comes from outside, as a function of bytes, with good files to begin from.
// Shared by the fuzzer's targets (`tests/fuzz`) and the gate's short run
// (`tests/it/laws/fuzzed.rs`).

use std::path::Path;

use netsec::app::workspace::{RunOptions, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::digest::Digest;
use netsec::lineage::journal;
use netsec::lineage::record::LedgerEntry;
use netsec::lineage::tail::JournalTail;
use netsec::model::bundle::ModelBundle;
use netsec::pipeline::condition;
use netsec::prep::preprocessor::Preprocessor;
use netsec::profile::columns::Profile;
use netsec::schema::{expression, parse};
use netsec::source::files::{FileFormat, Options, read};
use netsec::source::parquet;
use netsec::store::manifest::Manifest;
use netsec::store::packed;

/// A reader: its name, a good file, what reads it.
pub(crate) type Fuzzed = (&'static str, &'static [u8], fn(&[u8]));

/// All of them.
pub(crate) const READERS: [Fuzzed; 15] = [
    ("archive", b"netsec-run-2\n", archive),
    ("journal", b"netsec-journal-2\n", whole_journal),
    ("records", b"\x91\x81\xa5Swept\x90", records),
    ("manifest", b"netsec-manifest-1\n{\"files\":[]}", manifest),
    ("packed blob", b"NSBLOBZ1\x04\0\0\0\0\0\0\0", blob),
    ("tail", b"20261122-101403-01234\n", tail),
    (
        "schema",
        b"columns:\n  a: { type: int, min: 1 }\nrows:\n  - { name: n, check: \"a > 1\" }\n",
        schema_file,
    ),
    ("condition", b"not 1 == 2 and a != b or true", when),
    (
        "expression",
        b"not (a + 2 * b <= c) and d in [1, 'x'] or e is null",
        check,
    ),
    ("CSV", b"a,b\n1,\"x\"\"y\"\n2,\n", csv),
    (
        "NDJSON",
        b"{\"a\": {\"b\": [1, null]}, \"c\": 1.5}\n",
        ndjson,
    ),
    (
        "Zeek",
        b"#separator \\x09\n#fields\tts\tid\n#types\ttime\tstring\n1.5\tx\n",
        zeek,
    ),
    (
        "Parquet",
        include_bytes!("../oracle/checksums.parquet"),
        parquet_file,
    ),
    ("model", b"\x92\x01\xa1x", model),
    ("profile", b"{}", profile),
];

fn in_a_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    netsec::base::disk::write_plain(&path, bytes).expect("it is written");
    read(&path);
}

fn archive(bytes: &[u8]) {
    in_a_file("run.netsec", bytes, |path| {
        let workspace =
            Workspace::open(path.parent().expect("it lies in a folder")).expect("it is there");
        let _ = workspace.import(path, &RunOptions::quiet(1, &Cancel::new()));
    });
}

fn whole_journal(bytes: &[u8]) {
    in_a_file("x.records", bytes, |path| drop(journal::read(path)));
}

fn records(bytes: &[u8]) {
    if let Ok(entries) = journal::decode(bytes) {
        let again: Vec<LedgerEntry> =
            journal::decode(&journal::encode(&entries)).expect("what was written is read");
        assert_eq!(again, entries);
    }
}

fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        let manifest = Manifest::new(manifest.files);
        assert_eq!(Manifest::decode(&manifest.encode()).as_ref(), Ok(&manifest));
    }
}

fn blob(bytes: &[u8]) {
    let spoken = packed::spoken_length(bytes).unwrap_or(bytes.len() as u64);
    let content = packed::content(bytes, bytes.len() as u64);
    assert!(content.map_or(0, |content| content.len() as u64) <= spoken);
}

fn tail(bytes: &[u8]) {
    in_a_file("latest", bytes, |path| {
        drop(JournalTail::load(
            path.parent().expect("it lies in a folder"),
        ))
    });
}

fn schema_file(bytes: &[u8]) {
    if let Err(report) = parse::parse("s.yaml", bytes.to_vec()) {
        drop(report.plain());
    }
}

fn when(bytes: &[u8]) {
    drop(condition::holds(&String::from_utf8_lossy(bytes)));
}

fn check(bytes: &[u8]) {
    drop(expression::parse(&String::from_utf8_lossy(bytes)));
}

fn table(bytes: &[u8], format: FileFormat) {
    let options = Options {
        format: Some(format),
        ..Options::plain(&[""])
    };
    if let Ok(table) = read(bytes.to_vec(), &options) {
        assert!(table.height() > 0);
    }
}

fn csv(bytes: &[u8]) {
    table(bytes, FileFormat::Csv);
}

fn ndjson(bytes: &[u8]) {
    table(bytes, FileFormat::Ndjson);
}

fn zeek(bytes: &[u8]) {
    table(bytes, FileFormat::Zeek);
}

/// The library that decodes pages is asked only about files that pass: its own faults are not ours
/// to find here.
fn parquet_file(bytes: &[u8]) {
    drop(parquet::check(bytes));
}

fn model(bytes: &[u8]) {
    drop(ModelBundle::decode(bytes));
    drop(Preprocessor::decode(bytes));
}

fn profile(bytes: &[u8]) {
    if let Ok(profile) = Profile::decode(bytes) {
        assert_ne!(Digest::of(bytes), Digest::of(b""));
        drop(profile);
    }
}
