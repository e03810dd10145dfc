//! Large blobs on their way: of one that was changed in places only these places are sent and brought.

use std::time::Duration;

use netsec::base::cancel::Cancel;
use netsec::base::digest::Digest;
use netsec::bucket::cache::BucketCache;
use netsec::bucket::objects::Bucket;
use netsec::far::remote_cache::{RecordName, RemoteCache, RemoteError, RemoteResult, WantedBlob};
use netsec::far::remote_runner::BlobSource;
use netsec::far::send_chunks::in_chunks;
use netsec::reapi::address::ReapiAddress;
use netsec::reapi::cache::ReapiCache;
use netsec::store::blob::Store;
use netsec::store::chunked::ChunkList;
use netsec::store::given_store::GivenStore;
use netsec::store::local::LocalStore;

use crate::far::casd::Casd;
use crate::far::object_server::ObjectServer;
use crate::world::{World, noise, open_store};

const BYTES: usize = 36 << 20;
const CHANGE: usize = 10 << 20;

/// A content and what it became.
fn contents() -> [Vec<u8>; 2] {
    let content = noise(1, BYTES);
    let changed = [&noise(2, CHANGE), &content[..]].concat();
    [content, changed]
}

fn wanted(digest: Digest, content: &[u8]) -> WantedBlob {
    WantedBlob {
        digest,
        most: content.len() as u64,
    }
}

fn publish(cache: &dyn RemoteCache, store: &dyn Store, digest: Digest) -> RemoteResult<u64> {
    let name = RecordName {
        class: "a",
        key: &digest,
    };
    cache.publish(name, b"a record".to_vec(), &[digest], store)
}

/// Publishes both, and brings both into another workspace, one after the other.
fn goes_there_and_back(cache: &dyn RemoteCache) {
    let (here, there) = (World::new(), World::new());
    let (ours, theirs) = (open_store(&here), open_store(&there));
    let mut sent = Vec::new();
    for content in contents() {
        let digest = ours.put(&content).unwrap();
        sent.push(publish(cache, &ours, digest).unwrap());
        let name = RecordName {
            class: "a",
            key: &digest,
        };
        assert_eq!(cache.record(name), Ok(Some(b"a record".to_vec())));
        cache.fetch(&[wanted(digest, &content)], &theirs).unwrap();
        assert!(theirs.get(&digest).unwrap() == content);
        assert_eq!(
            theirs.chunks(&digest).unwrap(),
            ours.chunks(&digest).unwrap()
        );
    }
    assert!(sent[0] >= BYTES as u64);
    assert!(sent[1] * 10 <= 13 * CHANGE as u64, "{sent:?}");
}

fn bucket_at(server: &ObjectServer) -> Bucket {
    Bucket::open("s3://bucket/team", &|name| server.environment(name)).unwrap()
}

fn cache_at(server: &ObjectServer, world: &World) -> BucketCache {
    BucketCache::new(bucket_at(server), world.root().join("cache/tmp"))
}

#[test]
fn through_a_bucket_only_the_change_is_sent_and_brought() {
    let server = ObjectServer::start(1, Duration::from_secs(5));
    let world = World::new();
    goes_there_and_back(&cache_at(&server, &world));
    // How many bytes come, the bucket tells.
    let store = open_store(&world);
    let mut brought = Vec::new();
    for content in contents() {
        let blob = wanted(Digest::of(&content), &content);
        let scratch = world.root().join("cache/tmp");
        let bytes = bucket_at(&server).bring_blobs::<RemoteError>(
            &[blob],
            &scratch,
            &store,
            &Cancel::new(),
        );
        brought.push(bytes.unwrap());
    }
    assert!(brought[0] >= BYTES as u64);
    assert!(brought[1] * 10 <= 13 * CHANGE as u64, "{brought:?}");
}

#[test]
fn through_a_server_of_the_remote_execution_api_only_the_change_is_sent() {
    let Some(casd) = Casd::start() else {
        return;
    };
    let url = format!("grpc://127.0.0.1:{}", casd.port);
    let address = ReapiAddress::read(&url, &|_| None, true).unwrap();
    goes_there_and_back(&ReapiCache::new(address).unwrap());
}

/// A bucket with one large blob, and who would like to have it.
struct Team {
    server: ObjectServer,
    world: World,
    ours: LocalStore,
    content: Vec<u8>,
    digest: Digest,
}

impl Team {
    fn new() -> Self {
        let server = ObjectServer::start(1, Duration::from_secs(5));
        let world = World::new();
        let ours = open_store(&world);
        let content = noise(3, BYTES);
        let digest = ours.put(&content).unwrap();
        publish(&cache_at(&server, &world), &ours, digest).unwrap();
        Self {
            server,
            world,
            ours,
            content,
            digest,
        }
    }

    /// Changes the objects with this in their names.
    fn change(&self, name: &str, change: impl Fn(&mut Vec<u8>)) {
        let mut objects = self.server.objects();
        let meant = objects.iter_mut().filter(|(of, _)| of.contains(name));
        assert_eq!(meant.map(|(_, bytes)| change(bytes)).count(), 1, "{name}");
    }

    /// What comes of bringing it into an empty workspace.
    fn bring(&self) -> RemoteResult<()> {
        let world = World::new();
        let store = open_store(&world);
        let cache = cache_at(&self.server, &world);
        let came = cache.fetch(&[wanted(self.digest, &self.content)], &store);
        let is_there = store.has(&self.digest).unwrap();
        assert_eq!(came.is_ok(), is_there, "{came:?}");
        if is_there {
            assert!(store.get(&self.digest).unwrap() == self.content);
        }
        came
    }

    fn chunk(&self) -> String {
        let list = self.ours.chunks(&self.digest).unwrap().unwrap();
        list.chunks[7].digest.hex()
    }
}

#[test]
fn poisoned_chunks_and_lists_are_never_used() {
    let team = Team::new();
    team.bring().unwrap();
    let changed = |what: &str| match team.bring() {
        Err(RemoteError::Changed(_)) => {}
        other => panic!("{what}: {other:?}"),
    };
    team.change(&team.chunk(), |bytes| bytes[0] ^= 1);
    changed("a chunk is another");
    team.change(&team.chunk(), |bytes| bytes[0] ^= 1);
    team.bring().unwrap();
    let list = team.ours.chunks(&team.digest).unwrap().unwrap();
    let replace = |list: &ChunkList| {
        team.change("/lists/", |bytes| *bytes = list.encode());
    };
    let mut turned = list.clone();
    turned.chunks.swap(3, 4);
    replace(&turned);
    changed("sound chunks in another order");
    let mut shorter = list.clone();
    shorter.chunks.pop();
    replace(&shorter);
    changed("a chunk less");
    let mut longer = list.clone();
    longer.chunks.extend(list.chunks.clone());
    replace(&longer);
    changed("more than its record says");
    team.change("/lists/", |bytes| *bytes = noise(9, 1000));
    changed("no list at all");
    replace(&list);
    team.bring().unwrap();
}

#[test]
fn a_chunk_that_was_removed_for_its_age_is_a_miss_and_is_sent_again() {
    let team = Team::new();
    let gone = team.chunk();
    team.server
        .objects()
        .retain(|name, _| !name.contains(&gone));
    assert!(matches!(team.bring(), Err(RemoteError::Gone(_))));
    let cache = cache_at(&team.server, &team.world);
    let sent = publish(&cache, &team.ours, team.digest).unwrap();
    assert!(sent > 0 && sent <= 1 << 20, "{sent}");
    team.bring().unwrap();
}

#[test]
fn a_large_blob_that_an_earlier_version_sent_whole_is_read_still() {
    let team = Team::new();
    let whole = format!("/blobs/{}/{}", &team.digest.hex()[..2], team.digest.hex());
    let mut objects = team.server.objects();
    let prefix = objects.keys().find(|name| name.contains("/lists/"));
    let name = prefix.unwrap().split("/lists/").next().unwrap().to_owned() + &whole;
    objects.retain(|_, _| false);
    objects.insert(name, team.content.clone());
    drop(objects);
    team.bring().unwrap();
}

#[test]
fn a_job_is_given_the_chunks_of_a_large_blob_beside_their_list() {
    let world = World::new();
    let store = open_store(&world);
    let [content, _] = contents();
    let large = store.put(&content).unwrap();
    let small = store.put(b"small").unwrap();
    let asked = [large, small].map(|digest| (digest, BlobSource::Stored(digest)));
    let given = world.root().join("given");
    netsec::base::disk::create_dirs(&given).unwrap();
    for (digest, source) in in_chunks(&asked.into(), &store) {
        let bytes = match source {
            BlobSource::Bytes(bytes) => bytes.to_vec(),
            BlobSource::Stored(digest) => store.get(&digest).unwrap(),
            BlobSource::File(..) => panic!("there is none"),
        };
        assert!(bytes.len() <= 1 << 20);
        netsec::base::disk::write_plain(&given.join(digest.hex()), &bytes).unwrap();
    }
    let there = GivenStore::new(given, world.root().join("made"));
    assert!(there.get(&large).unwrap() == content);
    assert_eq!(there.get(&small).unwrap(), b"small");
}
