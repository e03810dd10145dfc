//! A bucket of S3 that goes wrong in every way: no run fails of it, or gives anything else.

use std::time::Duration;

use netsec::base::outcome::StageOutcome;
use netsec::bucket::cache::BucketCache;
use netsec::bucket::objects::Bucket;
use netsec::far::shared_cache::SharedCache;

use crate::far::object_server::ObjectServer;
use crate::toy::{run, run_shared, sharing};
use crate::world::World;

const PIPELINE: &str = "stages:
  a: { kind: echo, with: { text: one } }
  b: { kind: join, inputs: { x: a.out } }
  c: { kind: folder }
  d: { kind: join, inputs: { x: b.out, y: c.out } }
  e: { kind: echo, with: { text: two } }
  f: { kind: join, inputs: { x: d.out, y: e.out } }
";

fn cache(server: &ObjectServer, world: &World) -> SharedCache {
    let bucket = Bucket::open("s3://bucket/team", &|name| server.environment(name)).unwrap();
    sharing(BucketCache::new(bucket, world.root().join("cache/tmp")))
}

#[test]
fn two_hundred_faults_change_nothing() {
    let local = run(&World::new(), PIPELINE);
    let server = ObjectServer::start(1, Duration::from_secs(1));
    let mut round = 0;
    while server.happened().values().sum::<usize>() < 200 {
        // From time to time it is well, so that there is something to go wrong.
        let faults = [0, 20, 50, 90][round % 4];
        round += 1;
        server.set_faults(faults);
        let world = World::new();
        let ran = run_shared(&world, PIPELINE, &cache(&server, &world));
        assert_eq!(ran.digests(), local.digests(), "round {round}");
        assert!(
            ran.summary
                .stages
                .iter()
                .all(|stage| stage.outcome.is_success())
        );
        let again = run(&world, PIPELINE);
        assert!(again.is_all(StageOutcome::Reused));
        assert_eq!(again.digests(), local.digests(), "round {round}");
    }
    assert_eq!(server.happened().len(), 8, "{:?}", server.happened());
    server.set_faults(0);
    let world = World::new();
    let ran = run_shared(&world, PIPELINE, &cache(&server, &world));
    assert!(
        ran.is_all(StageOutcome::Reused),
        "what is wrong there was not put there"
    );
    assert_eq!(ran.digests(), local.digests());
}

#[test]
fn a_run_that_changes_nothing_asks_nobody() {
    let server = ObjectServer::start(1, Duration::from_secs(1));
    let world = World::new();
    run_shared(&world, PIPELINE, &cache(&server, &world));
    assert!(server.requests() > 0);
    let again = run_shared(&world, PIPELINE, &cache(&server, &world));
    assert!(again.is_all(StageOutcome::Reused));
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_poisoned_blob_is_never_kept() {
    let server = ObjectServer::start(1, Duration::from_secs(1));
    let world = World::new();
    let first = run_shared(&world, PIPELINE, &cache(&server, &world));
    for (name, bytes) in server.objects().iter_mut() {
        if name.contains("/blobs/") {
            bytes.push(b'!');
        }
    }
    let world = World::new();
    let ran = run_shared(&world, PIPELINE, &cache(&server, &world));
    assert!(ran.is_all(StageOutcome::Made));
    assert_eq!(ran.digests(), first.digests());
}
