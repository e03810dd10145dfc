//! Runs and refs that are shared by a bucket; here a folder, since the tests with S3 are those of
//! `tests/interop/sync_check.py`.

use std::path::PathBuf;

use serde_json::Value;

use crate::serve::client::{TREES, digest_of, train_other, trained};
use crate::world::World;

/// A bucket in a folder of its own.
struct TestBucket(World);

impl TestBucket {
    fn new() -> Self {
        Self(World::new())
    }

    fn url(&self) -> String {
        format!("file://{}/shared", self.0.root().display())
    }

    /// Every blob in it.
    fn blobs(&self) -> Vec<PathBuf> {
        let files = netsec::base::disk::walk(&self.0.root().join("shared/v1/blobs")).unwrap();
        files.into_iter().map(|(_, path)| path).collect()
    }
}

fn push(world: &World, bucket: &TestBucket, more: &[&str]) -> Value {
    let url = bucket.url();
    let args = [
        &["sync", "push", &url, "--ref", "champion/flows", "--json"],
        more,
    ]
    .concat();
    serde_json::from_str(&world.ok(&args)).unwrap()
}

fn pull(world: &World, bucket: &TestBucket, more: &[&str]) -> crate::world::Output {
    let url = bucket.url();
    let word = ["--by", "it", "--why", "a test"];
    let args = ["sync", "pull", &url, "--ref", "champion/flows"];
    world.netsec(&[&args[..], &word[..], more].concat())
}

fn champion(world: &World) -> String {
    digest_of(world, "champion/flows")
}

/// Makes another model the champion.
fn promote_other(world: &World) {
    train_other(world, "[3]");
    let to = ["--to", "champion/flows", "--by", "it", "--why", "another"];
    world.ok(&[&["model", "promote", "ref:champion/other"], &to[..]].concat());
}

#[test]
fn a_champion_goes_to_a_bucket_and_to_another_workspace() {
    let (here, there, bucket) = (trained(TREES), World::new(), TestBucket::new());
    let sent = push(&here, &bucket, &[]);
    assert_eq!(
        (&sent[0]["changed"], &sent[0]["moved"]),
        (&true.into(), &sent[0]["blobs"])
    );
    let again = push(&here, &bucket, &[]);
    assert_eq!(
        (&again[0]["changed"], &again[0]["moved"]),
        (&false.into(), &0.into()),
        "{again}"
    );
    let pulled = pull(&there, &bucket, &[]);
    assert_eq!(pulled.code, 0, "{}", pulled.stderr);
    assert_eq!(champion(&there), champion(&here));
    there.write(
        "flows.csv",
        std::fs::read(here.root().join("flows.csv")).unwrap(),
    );
    let predict = ["predict", "ref:champion/flows", "flows.csv"];
    assert_eq!(there.ok(&predict), here.ok(&predict));
    let history = there.ok(&["model", "history", "champion/flows"]);
    assert!(history.contains("a test"), "{history}");
    // What a run made is reused in the other workspace.
    there.write(
        "flows.yaml",
        std::fs::read(here.root().join("flows.yaml")).unwrap(),
    );
    let summary = there.run(&["flows.yaml", "--until", "train"]);
    let stages = summary["stages"].as_array().unwrap();
    assert!(
        stages.iter().all(|stage| stage["outcome"] == "reused"),
        "{summary}"
    );
    let listed = here.ok(&["sync", "list", &bucket.url()]);
    assert!(
        listed.contains("champion/flows") && listed.contains("run 2"),
        "{listed}"
    );
}

#[test]
fn a_sync_that_was_cut_off_goes_on_and_what_was_changed_is_noticed() {
    let (here, there, bucket) = (trained(TREES), World::new(), TestBucket::new());
    push(&here, &bucket, &[]);
    let blobs = bucket.blobs();
    let lost = blobs.last().unwrap();
    std::fs::remove_file(lost).unwrap();
    let pulled = pull(&there, &bucket, &[]);
    assert_eq!(pulled.code, 4, "{}", pulled.stderr);
    assert!(pulled.stderr.contains("is not there"), "{}", pulled.stderr);
    let sent = push(&here, &bucket, &[]);
    assert_eq!(sent[0]["moved"], 1, "{sent}");
    bucket.0.flip(&bucket.blobs()[0]);
    // A workspace that has none of it yet.
    let there = World::new();
    let pulled = pull(&there, &bucket, &[]);
    assert_eq!(pulled.code, 4, "{}", pulled.stderr);
    assert!(
        pulled.stderr.contains("was changed in the bucket"),
        "{}",
        pulled.stderr
    );
    let none = there.ok(&["model", "list"]);
    assert!(!none.contains("champion/flows"), "{none}");
}

#[test]
fn refs_that_went_apart_are_not_overwritten() {
    let (here, there, bucket) = (trained(TREES), World::new(), TestBucket::new());
    push(&here, &bucket, &[]);
    assert_eq!(pull(&there, &bucket, &[]).code, 0);
    there.write(
        "flows.csv",
        std::fs::read(here.root().join("flows.csv")).unwrap(),
    );
    there.write(
        "flows.yaml",
        std::fs::read(here.root().join("flows.yaml")).unwrap(),
    );
    let first = champion(&there);
    promote_other(&there);
    push(&there, &bucket, &[]);
    // The bucket has seen what stands here: it is the newer one.
    assert_eq!(pull(&here, &bucket, &[]).code, 0);
    assert_eq!(champion(&here), champion(&there));
    assert_ne!(champion(&here), first);
    let retrained = std::fs::read_to_string(here.root().join("flows.yaml")).unwrap();
    here.write(
        "flows.yaml",
        retrained
            .replace("[20]", "[7]")
            .replace("champion/flows", "champion/third"),
    );
    here.ok(&["run", "flows.yaml"]);
    here.ok(&[
        "model",
        "promote",
        "ref:champion/third",
        "--to",
        "champion/flows",
        "--by",
        "it",
        "--why",
        "here",
    ]);
    there.ok(&[
        "model",
        "rollback",
        "champion/flows",
        "--by",
        "it",
        "--why",
        "there",
    ]);
    push(&here, &bucket, &[]);
    // There, nobody ever saw what the bucket points at now, and the bucket has seen what stands there.
    let url = bucket.url();
    let refused = there.netsec(&["sync", "push", &url, "--ref", "champion/flows"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("neither side has seen"),
        "{}",
        refused.stderr
    );
    push(&there, &bucket, &["--force"]);
    let refused = pull(&here, &bucket, &[]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert_eq!(pull(&here, &bucket, &["--force"]).code, 0);
    assert_eq!(champion(&here), first);
}

#[test]
fn addresses_hold_no_passwords_and_errors_no_secrets() {
    let world = World::new();
    let told = world.netsec(&["sync", "list", "s3://key:SECRET@bucket/x"]);
    assert_eq!(told.code, 2);
    assert!(!told.stderr.contains("SECRET"), "{}", told.stderr);
    let told = world.netsec(&["sync", "list", "nonsense"]);
    assert_eq!(told.code, 2, "{}", told.stderr);
    let told = world.netsec(&[
        "sync",
        "pull",
        "file:///nowhere-at-all/x",
        "--run",
        "20260101-000000-00000",
    ]);
    assert_eq!(told.code, 2, "{}", told.stderr);
    assert!(told.stderr.contains("netsec sync list"), "{}", told.stderr);
}
