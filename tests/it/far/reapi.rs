//! A shared cache on a server of the Remote Execution API.

use std::net::TcpListener;

use netsec::base::digest::Digest;
use netsec::base::outcome::StageOutcome;
use netsec::far::remote_cache::{RecordName, RemoteCache, RemoteError, WantedBlob};
use netsec::reapi::address::ReapiAddress;
use netsec::reapi::cache::ReapiCache;
use netsec::store::blob::Store;
use netsec::store::memory::MemoryStore;

use crate::far::casd::Casd;
use crate::far::fault_proxy::FaultProxy;
use crate::toy::{run, run_shared, sharing};
use crate::world::World;

const PIPELINE: &str = "stages:
  a: { kind: echo, with: { text: one } }
  b: { kind: join, inputs: { x: a.out } }
  c: { kind: folder }
  d: { kind: join, inputs: { x: b.out, y: c.out } }
";

fn cache_at(port: u16) -> ReapiCache {
    let environment = |name: &str| (name == "NETSEC_REMOTE_TIMEOUT").then(|| "2".to_owned());
    let url = format!("grpc://127.0.0.1:{port}");
    ReapiCache::new(ReapiAddress::read(&url, &environment, true).unwrap()).unwrap()
}

#[test]
fn what_one_workspace_made_comes_from_the_server_also_after_a_restart() {
    let Some(mut casd) = Casd::start() else {
        return;
    };
    let first = run_shared(&World::new(), PIPELINE, &sharing(cache_at(casd.port)));
    assert!(first.is_all(StageOutcome::Made));
    let second = run_shared(&World::new(), PIPELINE, &sharing(cache_at(casd.port)));
    assert!(second.is_all(StageOutcome::Reused));
    assert_eq!(second.digests(), first.digests());
    casd.stop();
    let alone = run_shared(&World::new(), PIPELINE, &sharing(cache_at(casd.port)));
    assert!(alone.is_all(StageOutcome::Made));
    assert_eq!(alone.digests(), first.digests());
    casd.again();
    let third = run_shared(&World::new(), PIPELINE, &sharing(cache_at(casd.port)));
    assert!(third.is_all(StageOutcome::Reused));
}

#[test]
fn blobs_of_every_size_go_there_and_come_back() {
    let Some(casd) = Casd::start() else {
        return;
    };
    let (here, there) = (MemoryStore::default(), MemoryStore::default());
    let sizes = [
        0,
        1,
        1000,
        (1 << 20) - 1,
        1 << 20,
        (1 << 20) + 1,
        5 << 20,
        9_000_001,
    ];
    let mut blobs = Vec::new();
    for (at, size) in sizes.into_iter().chain([700_000; 9]).enumerate() {
        let bytes: Vec<u8> = (0..size)
            .map(|i: usize| (i * 31 + at * 7 + i / 256) as u8)
            .collect();
        blobs.push(here.put(&bytes).unwrap());
    }
    let key = Digest::of(b"key");
    let name = RecordName {
        class: "a",
        key: &key,
    };
    let cache = cache_at(casd.port);
    assert_eq!(cache.record(name), Ok(None));
    let record = vec![7; 2 << 20];
    let sent = cache.publish(name, record.clone(), &blobs, &here).unwrap();
    assert!(sent > 20_000_000);
    assert_eq!(cache.publish(name, record.clone(), &blobs, &here), Ok(0));
    let other = cache_at(casd.port);
    let class = RecordName { class: "b", ..name };
    assert_eq!(other.record(class), Ok(None), "another class of machine");
    let wanted: Vec<WantedBlob> = blobs
        .iter()
        .map(|digest| WantedBlob {
            digest: *digest,
            most: 9_000_001,
        })
        .collect();
    // Only a record tells what the server calls them.
    assert_eq!(
        other.fetch(&wanted[..1], &there),
        Err(RemoteError::Gone(blobs[0]))
    );
    assert_eq!(other.record(name), Ok(Some(record)));
    other.fetch(&wanted, &there).unwrap();
    assert_eq!(there.list().unwrap(), here.list().unwrap());
    let largest = WantedBlob {
        digest: blobs[7],
        most: 9_000_000,
    };
    let refused = other.fetch(&[largest], &MemoryStore::default());
    assert!(
        matches!(refused, Err(RemoteError::Changed(_))),
        "{refused:?}"
    );
}

#[test]
fn a_hundred_connections_that_go_wrong_change_nothing() {
    let Some(casd) = Casd::start() else {
        return;
    };
    let local = run(&World::new(), PIPELINE);
    let proxy = FaultProxy::before(casd.port, 1);
    let environment = |name: &str| (name == "NETSEC_REMOTE_TIMEOUT").then(|| "0.3".to_owned());
    let url = format!("grpc://127.0.0.1:{}", proxy.port());
    let mut round = 0;
    while proxy.happened() < 100 {
        // From time to time all is well, so that there is something to go wrong.
        proxy.set_faults([0, 50, 90][round % 3]);
        round += 1;
        let address = ReapiAddress::read(&url, &environment, true).unwrap();
        let world = World::new();
        let cache = sharing(ReapiCache::new(address).unwrap());
        let ran = run_shared(&world, PIPELINE, &cache);
        assert_eq!(ran.digests(), local.digests(), "round {round}");
        assert!(
            ran.summary
                .stages
                .iter()
                .all(|stage| stage.outcome.is_success())
        );
        assert!(run(&world, PIPELINE).is_all(StageOutcome::Reused));
    }
    let ran = run_shared(&World::new(), PIPELINE, &sharing(cache_at(casd.port)));
    assert!(
        ran.is_all(StageOutcome::Reused),
        "what is wrong there was not put there"
    );
}

#[test]
fn a_server_that_says_nothing_is_left_alone() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let local = run(&World::new(), PIPELINE);
    let environment = |name: &str| (name == "NETSEC_REMOTE_TIMEOUT").then(|| "0.1".to_owned());
    let url = format!("grpc://127.0.0.1:{port}");
    let address = ReapiAddress::read(&url, &environment, true).unwrap();
    let cache = sharing(ReapiCache::new(address).unwrap());
    let ran = run_shared(&World::new(), PIPELINE, &cache);
    assert!(ran.is_all(StageOutcome::Made));
    assert_eq!(ran.digests(), local.digests());
}
