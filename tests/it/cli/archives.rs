//! What is taken in from elsewhere is checked, marked, and decides nothing.

use std::path::Path;

use crate::world::{World, outcomes};
use netsec::base::artifact::ContentRef;
use netsec::base::digest::{Digest, FramedHasher};
use netsec::lineage::journal;
use netsec::lineage::record::{ActionRecord, LedgerEntry, RunRecord};

const PIPELINE: &str = "\
stages:
  ingest: { kind: ingest, with: { source: synthetic, rows: 600 } }
  split: { kind: split, inputs: { data: ingest.data }, with: { target: result } }
  transform: { kind: transform, inputs: { train: split.train, test: split.test }, with: { target: result } }
  train:
    kind: train
    inputs: { train: transform.train, preprocessor: transform.preprocessor }
    with: { candidates: [{ learner: naive_bayes }] }
  evaluate:
    kind: evaluate
    inputs: { model: train.model, test: split.test, champion: 'ref:champion/default' }
";

/// An archive taken apart: the records, the blobs.
struct Archive {
    entries: Vec<LedgerEntry>,
    blobs: Vec<Vec<u8>>,
}

fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut rest = bytes.strip_prefix(b"netsec-run-2\n").unwrap();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[1..9].try_into().unwrap()) as usize;
        frames.push((rest[0], rest[41..41 + length].to_vec()));
        rest = &rest[41 + length..];
    }
    frames
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    [
        &[tag],
        (body.len() as u64).to_le_bytes().as_slice(),
        Digest::of(body).as_bytes(),
        body,
    ]
    .concat()
}

impl Archive {
    fn read(path: &Path) -> Self {
        let frames = frames(&std::fs::read(path).unwrap());
        let entries = journal::decode(&frames[0].1).unwrap();
        let blobs = frames
            .into_iter()
            .filter(|(tag, _)| *tag == b'b')
            .map(|(_, body)| body)
            .collect();
        Self { entries, blobs }
    }

    /// The file that a forger makes of it: right in form.
    fn forged(&self) -> Vec<u8> {
        self.forged_of(&journal::encode(&self.entries))
    }

    fn forged_of(&self, records: &[u8]) -> Vec<u8> {
        let mut bytes = b"netsec-run-2\n".to_vec();
        let mut all = FramedHasher::new("netsec 2026-11 archive 2");
        let bodies = std::iter::once((b'r', records))
            .chain(self.blobs.iter().map(|blob| (b'b', blob.as_slice())));
        let mut count = 0_u64;
        for (tag, body) in bodies {
            all.number(u64::from(tag)).digest(&Digest::of(body));
            bytes.extend(frame(tag, body));
            count += 1;
        }
        let seal = serde_json::json!({"frames": count, "all": all.finish(), "signature": null});
        bytes.extend(frame(b's', &rmp_serde::to_vec_named(&seal).unwrap()));
        bytes
    }

    fn run(&mut self) -> &mut RunRecord {
        self.entries
            .iter_mut()
            .find_map(|entry| {
                if let LedgerEntry::Run(run) = entry {
                    Some(run.as_mut())
                } else {
                    None
                }
            })
            .unwrap()
    }

    fn actions(&mut self) -> impl Iterator<Item = &mut ActionRecord> {
        self.entries.iter_mut().filter_map(|entry| {
            if let LedgerEntry::Action(action) = entry {
                Some(action.as_mut())
            } else {
                None
            }
        })
    }
}

fn exported() -> (World, Archive) {
    let world = World::new();
    world.write("p.yaml", "stages:\n  a: { kind: command, with: { run: [echo, hi] } }\n  b: { kind: command, inputs: { x: a.stdout }, with: { run: [cat, x] } }\n");
    world.run(&["p.yaml"]);
    world.ok(&["export", "run.netsec"]);
    let archive = Archive::read(&world.root().join("run.netsec"));
    (world, archive)
}

#[test]
fn an_archive_that_is_cut_or_changed_anywhere_is_refused() {
    let (world, _) = exported();
    let bytes = std::fs::read(world.root().join("run.netsec")).unwrap();
    let other = World::new();
    let refused = |bytes: &[u8], what: &str| {
        other.write("run.netsec", bytes);
        let taken = other.netsec(&["import", "run.netsec"]);
        assert_eq!(taken.code, 5, "{what}: {}{}", taken.stdout, taken.stderr);
        assert!(
            taken.stderr.contains("could not take in") || taken.stderr.contains("could not read"),
            "{}",
            taken.stderr
        );
    };
    let mut at = b"netsec-run-2\n".len();
    for (_, body) in frames(&bytes) {
        refused(&bytes[..at], "cut at a border");
        refused(&bytes[..at + 20], "cut in a frame's head");
        at += 41 + body.len();
    }
    for at in (0..bytes.len()).step_by(bytes.len() / 60) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        refused(&bad, &format!("byte {at}"));
    }
    refused(&[&bytes[..], b"x"].concat(), "something follows");
    refused(b"netsec-run-1\n", "the first format");
    assert!(other.ok(&["runs"]).is_empty(), "nothing was recorded");
    other.write("run.netsec", &bytes);
    other.ok(&["import", "run.netsec"]);
}

#[test]
fn names_in_archives_are_parsed() {
    let (_, archive) = exported();
    let text = String::from_utf8_lossy(&journal::encode(&archive.entries)).into_owned();
    assert!(text.contains("p.yaml"));
    type Forge = fn(&mut Archive);
    let forgeries: [(&str, Forge); 11] = [
        ("a run of a day that has not come", |archive| {
            archive.run().run = netsec::base::name::RunId::parse("89991231-235959-63999").unwrap();
        }),
        ("an action of a day that has not come", |archive| {
            archive
                .actions()
                .for_each(|action| action.started_ms = u64::MAX);
        }),
        ("no time at all", |archive| archive.run().seconds = f64::NAN),
        ("less than no time", |archive| {
            archive.run().stages[0].seconds = -1.0
        }),
        ("more time than there is", |archive| {
            archive.actions().for_each(|action| action.seconds = 1e300)
        }),
        ("text that turns", |archive| {
            archive.run().host = "a\u{202e}b".to_owned()
        }),
        ("escape sequences", |archive| {
            archive.run().pipeline = "\u{1b}[2Jp.yaml".to_owned()
        }),
        ("a line break", |archive| {
            archive
                .actions()
                .for_each(|action| action.host = "a\nb".to_owned())
        }),
        ("a blob is missing", |archive| drop(archive.blobs.pop())),
        ("a blob too many", |archive| {
            archive.blobs.push(b"more".to_vec())
        }),
        ("records that do not belong to a run", |archive| {
            archive
                .entries
                .push(LedgerEntry::Swept(vec![Digest::of(b"x")]))
        }),
    ];
    for (what, forge) in forgeries {
        let (world, mut archive) = exported();
        forge(&mut archive);
        world.write("forged.netsec", archive.forged());
        let taken = world.netsec(&["import", "forged.netsec"]);
        assert_eq!(taken.code, 5, "{what}: {}{}", taken.stdout, taken.stderr);
    }
    // Names that the types do not let anybody write, and what follows the records.
    let (world, archive) = exported();
    let records = journal::encode(&archive.entries);
    world.write(
        "forged.netsec",
        archive.forged_of(&[&records[..], b"\0"].concat()),
    );
    let taken = world.netsec(&["import", "forged.netsec"]);
    assert!(
        taken.code == 5 && taken.stderr.contains("1 bytes follow the last record"),
        "{}",
        taken.stderr
    );
    let run = archive
        .entries
        .iter()
        .find_map(|entry| {
            if let LedgerEntry::Run(run) = entry {
                Some(run.run.to_string())
            } else {
                None
            }
        })
        .unwrap();
    for odd in [
        "../../../etc/passwd-x",
        "120261122-101403-0123",
        "20261122\u{1b}101403-01234",
    ] {
        let odd = &format!("{odd:<21}")[..21];
        let mut bytes = records.clone();
        while let Some(at) = bytes
            .windows(21)
            .position(|window| window == run.as_bytes())
        {
            bytes.splice(at..at + 21, odd.bytes());
        }
        world.write("forged.netsec", archive.forged_of(&bytes));
        let taken = world.netsec(&["import", "forged.netsec"]);
        assert!(
            taken.code == 5 && taken.stderr.contains("is not the name of a run"),
            "{odd}: {}",
            taken.stderr
        );
    }
}

#[test]
fn what_is_not_for_terminals_does_not_reach_them() {
    let (_, mut archive) = exported();
    archive
        .actions()
        .for_each(|action| action.notes.push("\u{1b}]0;title\u{7}".to_owned()));
    let other = World::new();
    other.write("forged.netsec", archive.forged());
    other.ok(&["import", "forged.netsec"]);
    other.write(
        "p.yaml",
        "stages:\n  a: { kind: command, with: { run: [echo, hi] } }\n",
    );
    let run = other.netsec(&["run", "p.yaml"]);
    assert!(
        !run.stderr.contains('\u{1b}') && !run.stdout.contains('\u{1b}'),
        "{}",
        run.stderr
    );
}

/// What a forger puts behind the champion.
const BYTES: &[u8] = b"not a model at all";

/// An archive whose `evaluate` action asks that any bytes become the champion.
fn forged_champion(world: &World) -> Vec<u8> {
    world.ok(&["export", "run.netsec"]);
    let mut archive = Archive::read(&world.root().join("run.netsec"));
    for action in archive.actions().filter(|action| action.kind == "evaluate") {
        action
            .moves
            .iter_mut()
            .for_each(|wish| wish.to = ContentRef::bytes(Digest::of(BYTES)));
        action.outputs[0].digest = Digest::of(BYTES);
    }
    archive.blobs.push(BYTES.to_vec());
    let wanted: std::collections::BTreeSet<Digest> = archive
        .actions()
        .flat_map(|action| {
            action
                .outputs
                .iter()
                .map(|output| output.digest)
                .collect::<Vec<_>>()
        })
        .collect();
    let manifests = archive.blobs.clone();
    let listed = |digest: &Digest| {
        let lists = manifests
            .iter()
            .filter_map(|blob| netsec::store::manifest::Manifest::decode(blob).ok());
        lists
            .flat_map(|list| list.files)
            .any(|file| file.digest == *digest)
    };
    archive
        .blobs
        .retain(|blob| wanted.contains(&Digest::of(blob)) || listed(&Digest::of(blob)));
    archive.forged()
}

#[test]
fn an_archive_does_not_decide_who_is_champion() {
    let world = World::new();
    world.write("p.yaml", PIPELINE);
    let ran = world.run(&["p.yaml"]);
    assert_eq!(ran["outcome"], "succeeded", "{ran}");
    let champion = world.ok(&["lineage", "ref:champion/default", "--json"]);
    let champion: serde_json::Value = serde_json::from_str(&champion).unwrap();
    let other = World::new();
    other.write("p.yaml", PIPELINE);
    other.write("forged.netsec", forged_champion(&world));
    let taken = other.netsec(&["import", "forged.netsec"]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    assert!(
        taken
            .stderr
            .contains("It is not signed, so it moves no ref"),
        "{}",
        taken.stderr
    );
    assert!(other.ok(&["runs"]).contains("succeeded, imported"));
    assert_ne!(
        other.netsec(&["lineage", "ref:champion/default"]).code,
        0,
        "no pointer was moved"
    );
    let status = other.ok(&["status", "p.yaml"]);
    assert!(status.contains("its record was imported"), "{status}");
    let again = other.run(&["p.yaml"]);
    let reused: Vec<String> = outcomes(&again);
    assert_eq!(
        reused,
        [
            "ingest reused",
            "split reused",
            "transform reused",
            "train reused",
            "evaluate made"
        ],
        "{again}"
    );
    let found: serde_json::Value =
        serde_json::from_str(&other.ok(&["lineage", "ref:champion/default", "--json"])).unwrap();
    assert_eq!(
        found["digest"], champion["digest"],
        "the gate judged the model itself"
    );
    assert_ne!(found["digest"], Digest::of(BYTES).hex());
    assert!(
        other
            .ok(&["lineage", "train.model"])
            .contains("imported, not signed")
    );
    // What ran here is not replaced by what comes in later.
    let taken = other.netsec(&["import", "forged.netsec"]);
    assert!(
        taken.stderr.contains("1 of its actions ran here already"),
        "{}",
        taken.stderr
    );
    assert!(
        outcomes(&other.run(&["p.yaml"]))
            .iter()
            .all(|outcome| outcome.ends_with("reused"))
    );
}

#[test]
fn an_archive_signed_by_a_trusted_key_decides() {
    let world = World::new();
    let made = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "ed25519",
            "-outform",
            "DER",
            "-out",
        ])
        .arg(world.root().join("key.der"))
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        return crate::world::skip("openssl is not installed");
    }
    world.write("p.yaml", PIPELINE);
    world.run(&["p.yaml"]);
    let written = world.netsec(&["export", "run.netsec", "--sign", "key.der", "--json"]);
    let written: serde_json::Value = serde_json::from_str(&written.stdout).unwrap();
    let signer = written["signer"].as_str().unwrap();
    let bytes = std::fs::read(world.root().join("run.netsec")).unwrap();
    for (trust, evaluated) in [
        (String::new(), "evaluate made"),
        (format!("trust: [\"{signer}\"]\n"), "evaluate reused"),
    ] {
        let other = World::new();
        other.write("p.yaml", format!("{trust}{PIPELINE}"));
        other.write("run.netsec", &bytes);
        other.ok(&["import", "run.netsec"]);
        let again = other.run(&["p.yaml"]);
        assert_eq!(outcomes(&again)[4], evaluated);
        assert!(
            other
                .ok(&["lineage", "ref:champion/default"])
                .contains("train.model")
        );
    }
    let signature = bytes
        .windows(9)
        .position(|window| window == b"signature")
        .unwrap();
    let other = World::new();
    for at in (signature..bytes.len()).step_by(11) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        other.write("run.netsec", bad);
        assert_eq!(other.netsec(&["import", "run.netsec"]).code, 5);
    }
    other.write("p.yaml", format!("trust: [ed25519:12]\n{PIPELINE}"));
    let refused = other.netsec(&["check", "p.yaml"]);
    assert!(
        refused.code == 3 && refused.stderr.contains("this is no public key"),
        "{}",
        refused.stderr
    );
}
