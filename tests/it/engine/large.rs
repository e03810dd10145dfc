//! Large blobs: kept as chunks, of which one that was changed in places shares nearly all with what it
//! was.

use std::path::PathBuf;
use std::sync::Arc;

use netsec::app::gc::RetentionRule;
use netsec::app::workspace::{RunOptions, Workspace};
use netsec::base::cancel::Cancel;
use netsec::base::digest::Digest;
use netsec::base::disk;
use netsec::base::outcome::StageOutcome;
use netsec::store::away::{AwayBlob, AwayIndex};
use netsec::store::blob::{Store, StoreError};
use netsec::store::given_store::GivenStore;
use netsec::store::local::LocalStore;
use netsec::store::tiered::{BlobFetcher, FetchError, TieredStore};

use crate::toy::run;
use crate::world::{World, noise, open_store};

/// How many bytes of content a large blob has here.
const BYTES: usize = 36 << 20;

/// The bytes of all files of the store.
fn bytes(store: &LocalStore) -> u64 {
    store.list().unwrap().iter().map(|(_, size)| size).sum()
}

fn take(store: &dyn Store, world: &World, content: &[u8]) -> Digest {
    world.write("taken", content);
    let path = world.root().join("taken");
    let (digest, size) = store.take(&path, &Cancel::new()).unwrap();
    assert_eq!((digest, size), (Digest::of(content), content.len() as u64));
    digest
}

/// What a content becomes by a change of so many bytes: appended, put at the start, written over in the
/// middle, in three places.
fn changes(content: &[u8], change: usize) -> Vec<Vec<u8>> {
    let new = noise(99, change);
    let middle = content.len() / 2;
    let mut edited = content.to_vec();
    edited[middle..middle + change].copy_from_slice(&new);
    let third = change / 3;
    let mut scattered = content.to_vec();
    for (at, piece) in new.chunks_exact(third).enumerate() {
        let start = content.len() / 5 * (at + 1);
        scattered[start..start + third].copy_from_slice(piece);
    }
    vec![
        [content, &new].concat(),
        [&new, content].concat(),
        edited,
        scattered,
    ]
}

#[test]
fn a_changed_blob_takes_little_more_room_than_the_change() {
    let content = noise(1, BYTES);
    // A large share of a small blob: of 1 GiB, one hundredth is as many bytes.
    let change = 10 << 20;
    for changed in changes(&content, change) {
        let world = World::new();
        let store = open_store(&world);
        let before = take(&store, &world, &content);
        let alone = bytes(&store);
        assert!(alone < content.len() as u64 + 20_000);
        let after = take(&store, &world, &changed);
        let more = bytes(&store) - alone;
        assert!(more * 10 <= 13 * change as u64, "{more} for {change}");
        for (digest, content) in [(before, &content), (after, &changed)] {
            assert!(store.get(&digest).unwrap() == *content);
            assert!(store.has(&digest).unwrap());
            store.verify(&digest).unwrap();
            let copy = world.root().join(digest.hex());
            store.copy(&digest, &copy).unwrap();
            assert!(disk::read(&copy).unwrap() == *content);
            assert_eq!(store.size(&digest), Some(content.len() as u64));
        }
        // From memory it is the same blob.
        assert_eq!(store.put(&changed).unwrap(), after);
        assert_eq!(bytes(&store), alone + more);
    }
}

#[test]
fn what_shrinks_is_compressed_chunk_by_chunk() {
    let world = World::new();
    let store = open_store(&world);
    let text: Vec<u8> = (0..4_000_000_u32)
        .flat_map(|row| format!("{row},tcp,80\n").into_bytes())
        .collect();
    let digest = take(&store, &world, &text);
    assert!(bytes(&store) < text.len() as u64 / 2);
    assert!(store.get(&digest).unwrap() == text);
    store.verify(&digest).unwrap();
}

/// The file of the chunk in the middle.
fn some_chunk(store: &LocalStore, digest: &Digest) -> PathBuf {
    let list = store.chunks(digest).unwrap().unwrap();
    store.path(&list.chunks[list.chunks.len() / 2].digest)
}

#[test]
fn a_chunk_that_is_damaged_or_gone_is_noticed_and_made_good() {
    let content = noise(2, BYTES);
    let world = World::new();
    let store = open_store(&world);
    let digest = take(&store, &world, &content);
    let chunk = some_chunk(&store, &digest);
    let heals = |what: &str| {
        assert!(!store.has(&digest).unwrap_or(false), "{what}");
        assert!(store.get(&digest).unwrap_err().is_lost(), "{what}");
        take(&store, &world, &content);
        assert!(store.has(&digest).unwrap(), "{what}");
        assert!(store.get(&digest).unwrap() == content, "{what}");
    };
    world.flip(&chunk);
    assert!(matches!(
        store.verify(&digest),
        Err(StoreError::Corrupt { .. })
    ));
    let copy = world.root().join("copy");
    match store.copy(&digest, &copy).unwrap_err() {
        StoreError::Corrupt { digest: of, aside } => {
            assert_eq!(of, digest);
            assert_eq!(aside.file_name(), chunk.file_name());
            assert!(aside.exists());
        }
        other => panic!("{other}"),
    }
    heals("a chunk is damaged");
    disk::remove_file(&chunk).unwrap();
    assert!(matches!(
        store.verify(&digest),
        Err(StoreError::Missing(of)) if of == digest
    ));
    heals("a chunk is gone");
    world.flip(&store.path(&digest));
    heals("the list is damaged");
}

#[test]
fn one_that_was_kept_whole_before_stays_and_one_of_a_later_version_is_refused_by_name() {
    let content = noise(3, BYTES);
    let world = World::new();
    let store = open_store(&world);
    let digest = Digest::of(&content);
    disk::create_dirs(store.path(&digest).parent().unwrap()).unwrap();
    disk::write_plain(&store.path(&digest), &content).unwrap();
    assert!(store.has(&digest).unwrap());
    take(&store, &world, &content);
    assert_eq!(bytes(&store), content.len() as u64);
    assert!(store.get(&digest).unwrap() == content);
    // A content that looks like a list is none.
    let list = {
        let other = noise(4, BYTES);
        let digest = take(&store, &world, &other);
        disk::read(&store.path(&digest)).unwrap()
    };
    let digest = store.put(&list).unwrap();
    assert_eq!(store.get(&digest).unwrap(), list);
    assert_eq!(store.chunks(&digest).unwrap(), None);
    store.verify(&digest).unwrap();
}

#[test]
fn a_store_of_given_blobs_reads_and_makes_chunks_too() {
    let content = noise(5, BYTES);
    let world = World::new();
    let (given, made) = (world.root().join("given"), world.root().join("made"));
    disk::create_dirs(&given).unwrap();
    disk::create_dirs(&made).unwrap();
    let maker = GivenStore::new(world.root().join("none"), given.clone());
    let digest = take(&maker, &world, &content);
    let store = GivenStore::new(given, made.clone());
    assert!(store.get(&digest).unwrap() == content);
    let copy = world.root().join("copy");
    store.copy(&digest, &copy).unwrap();
    assert!(disk::read(&copy).unwrap() == content);
    let changed = [&content[..], b"and more"].concat();
    take(&store, &world, &changed);
    let sizes = disk::list(&made).unwrap();
    let new: u64 = sizes
        .iter()
        .map(|path| std::fs::metadata(path).unwrap().len())
        .sum();
    assert!(new < 3 << 20, "{new}");
}

/// A server on which everything is that a store has.
struct Elsewhere(LocalStore);

impl BlobFetcher for Elsewhere {
    fn address(&self) -> &str {
        "there"
    }

    fn fetch(&self, blob: &AwayBlob, into: &dyn Store) -> Result<(), FetchError> {
        let bytes = self.0.get(&blob.digest);
        let bytes = bytes.map_err(|error| FetchError::Gone(error.to_string()))?;
        into.put(&bytes).unwrap();
        Ok(())
    }
}

#[test]
fn a_blob_some_of_whose_chunks_are_elsewhere_is_as_good_as_here() {
    let content = noise(8, BYTES);
    let there = World::new();
    let server = open_store(&there);
    let digest = take(&server, &there, &content);
    let list = server.chunks(&digest).unwrap().unwrap();
    let server = Arc::new(Elsewhere(server));
    // From which chunk on they are elsewhere.
    for first in [0, 7, list.chunks.len() - 1] {
        let here = World::new();
        let index = Arc::new(AwayIndex::of(&here.root().join("cache")));
        let store = TieredStore::new(
            Arc::new(open_store(&here)),
            index,
            Some(Arc::<Elsewhere>::clone(&server)),
        );
        for (at, chunk) in list.chunks.iter().enumerate() {
            let away = AwayBlob {
                digest: chunk.digest,
                size: u64::from(chunk.size),
                server: "there".to_owned(),
                name: String::new(),
            };
            match at < first {
                true => assert_eq!(
                    store.put(&server.0.get(&chunk.digest).unwrap()).unwrap(),
                    chunk.digest
                ),
                false => assert!(store.leave(away)),
            }
        }
        assert!(!store.has(&digest).unwrap());
        store.leave_chunks(&digest, &list).unwrap();
        assert!(store.has(&digest).unwrap());
        let copy = here.root().join("copy");
        store.copy(&digest, &copy).unwrap();
        assert!(disk::read(&copy).unwrap() == content);
        assert!(store.get(&digest).unwrap() == content);
        assert_eq!(store.away(&list.chunks[first].digest), None);
    }
}

const TEXT: &str = "stages: { a: { kind: join, inputs: { x: ./f } } }";

#[test]
fn a_sweep_keeps_the_chunks_of_what_is_kept_and_a_lost_one_is_made_again() {
    let world = World::new();
    let content = noise(6, BYTES);
    world.write("f", &content);
    let first = run(&world, TEXT);
    world.write("f", [&noise(7, 100_000)[..], &content].concat());
    let second = run(&world, TEXT);
    let cancel = Cancel::new();
    let terms = RunOptions::quiet(1, &cancel);
    let workspace = Workspace::open(world.root()).unwrap();
    let rule = |runs| RetentionRule {
        runs,
        days: None,
        bytes: None,
    };
    let told = workspace.sweepable(&rule(2)).unwrap();
    assert!(told.blobs.is_empty(), "{told:?}");
    let stats = workspace.stats().unwrap();
    assert_eq!(stats.unrecorded_blobs, 0);
    assert!(stats.stages[0].bytes > BYTES as u64);
    let swept = workspace.sweep(&rule(1), &terms).unwrap();
    assert!(
        !swept.blobs.is_empty() && swept.bytes < 4 << 20,
        "{swept:?}"
    );
    let again = run(&world, TEXT);
    assert!(again.is_all(StageOutcome::Reused));
    assert_eq!(again.digests(), second.digests());
    let verified = workspace.verify(false).unwrap();
    assert!(verified.bad.is_empty(), "{verified:?}");
    // The bytes of the first are gone, so it is made again.
    world.write("f", &content);
    let third = run(&world, TEXT);
    assert!(third.is_all(StageOutcome::Made));
    assert_eq!(third.digests(), first.digests());
    let digest = Digest::parse(third.digests().values().next().unwrap()).unwrap();
    disk::remove_file(&some_chunk(&open_store(&world), &digest)).unwrap();
    let healed = run(&world, TEXT);
    assert!(healed.is_all(StageOutcome::Made));
    assert_eq!(healed.digests(), first.digests());
}
