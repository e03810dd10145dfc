//! A bucket: S3, GCS, Azure, or a shared folder, by its address.
//!
//! What is content-addressed is written once and never changed; a pointer is changed only by who has seen
//! what it was (If-Match), so that of two who move it at once one is refused. Whatever is read back is
//! checked against its name. A blob that the store keeps as chunks is sent as chunks, and then the list of
//! them under a name of its own: of a large one that was changed in places only these places are sent.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{StreamExt, TryStreamExt, iter};
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as ObjectError, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    UpdateVersion, WriteMultipart,
};
use tempfile::TempPath;
use tokio::runtime::Runtime;

use crate::base::cancel::Cancel;
use crate::base::digest::{Digest, StreamHasher};
use crate::base::disk;
use crate::bucket::address;
use crate::bucket::error::{BucketError, BucketResult, failed};
use crate::far::remote_cache::WantedBlob;
use crate::store::blob::{Store, StoreError};
use crate::store::chunked::{self, ChunkList};

/// So many objects are on their way at a time.
const ABREAST: usize = 8;

/// Objects above this many bytes are sent in parts.
const WHOLE: usize = 8 << 20;

/// A list of chunks has at most so many bytes: as much as one of some 400 GB.
const LIST: u64 = 64 << 20;

/// A blob that was brought, and whose bytes are those of its name.
enum BroughtBlob {
    /// A small one.
    Bytes(Vec<u8>),
    /// A large one, in a file that goes when this does.
    File(TempPath),
    /// The list of its chunks, which the store has by now.
    Chunks(ChunkList),
}

/// Which version of a pointer was seen.
#[derive(Clone, Debug)]
pub struct SeenVersion(UpdateVersion);

/// A bucket, or a part of one.
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    runtime: Runtime,
    /// Whether pointers are changed by If-Match; a shared folder has none.
    has_versions: bool,
    url: String,
    /// How long an answer to a small question is waited for.
    patience: Duration,
}

impl Bucket {
    /// Opens a bucket by its address: `s3://BUCKET/PREFIX`, `gs://…`, `az://…`, `file:///FOLDER`.
    ///
    /// # Errors
    /// The address is none.
    pub fn open(url: &str, environment: &dyn Fn(&str) -> Option<String>) -> BucketResult<Self> {
        // Before any client is made; whoever was first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = address::open(url, environment)?;
        // A thread of its own keeps connections alive while nobody asks.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bucket")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| BucketError::Address {
            url: url.to_owned(),
            why: error.to_string(),
        })?;
        Ok(Self {
            store: place.store,
            prefix: place.prefix,
            runtime,
            has_versions: place.has_versions,
            url: url.to_owned(),
            patience: place.patience,
        })
    }

    /// Returns its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn path(&self, name: &str) -> ObjectPath {
        let parts = self.prefix.parts().map(|part| part.as_ref().to_owned());
        parts.chain(name.split('/').map(str::to_owned)).collect()
    }

    /// Returns the name of a blob.
    pub fn blob_name(digest: &Digest) -> String {
        let hex = digest.hex();
        format!("v1/blobs/{}/{hex}", &hex[..2])
    }

    /// Returns the name of the list of a blob's chunks.
    fn list_name(digest: &Digest) -> String {
        let hex = digest.hex();
        format!("v1/lists/{}/{hex}", &hex[..2])
    }

    /// Sends blobs of a store that are not there; `told` is told of each. Returns how many were sent, and
    /// how many bytes that was.
    ///
    /// # Errors
    /// A blob is not in the store; the bucket failed: what was sent stays, so that asking again goes on
    /// from there.
    pub fn send_blobs<E: From<BucketError> + From<StoreError>>(
        &self,
        digests: &[Digest],
        store: &dyn Store,
        told: &mut dyn FnMut(usize),
    ) -> Result<(usize, u64), E> {
        let (mut sent, mut bytes, mut done) = (0, 0, 0);
        let each = iter(digests).map(|digest| async move {
            match store.chunks(digest)? {
                Some(list) => self.send_chunks::<E>(digest, &list, store).await,
                None => self.send_blob::<E>(digest, store).await,
            }
        });
        self.runtime.block_on(async {
            let mut each = each.buffer_unordered(ABREAST);
            while let Some(size) = each.next().await {
                if let Some(size) = size? {
                    sent += 1;
                    bytes += size;
                }
                done += 1;
                told(done);
            }
            Ok((sent, bytes))
        })
    }

    /// Sends a blob if it is not there; returns how many bytes that was.
    async fn send_blob<E: From<BucketError> + From<StoreError>>(
        &self,
        digest: &Digest,
        store: &dyn Store,
    ) -> Result<Option<u64>, E> {
        let name = Self::blob_name(digest);
        if self.size(&name).await?.is_some() {
            return Ok(None);
        }
        let body = store.get(digest)?;
        let size = body.len() as u64;
        self.send(&name, body).await?;
        Ok(Some(size))
    }

    /// Sends the chunks of a blob that are not there, and then their list.
    async fn send_chunks<E: From<BucketError> + From<StoreError>>(
        &self,
        digest: &Digest,
        list: &ChunkList,
        store: &dyn Store,
    ) -> Result<Option<u64>, E> {
        if self.size(&Self::blob_name(digest)).await?.is_some() {
            return Ok(None);
        }
        // Though the list be there: chunks are older than it where an earlier list had them, and may have
        // been removed for their age.
        let each = iter(&list.chunks).map(|chunk| self.send_blob::<E>(&chunk.digest, store));
        let mut each = each.buffer_unordered(ABREAST);
        let mut bytes = 0;
        while let Some(sent) = each.next().await {
            bytes += sent?.unwrap_or_default();
        }
        let name = Self::list_name(digest);
        if self.size(&name).await?.is_none() {
            let body = list.encode();
            bytes += body.len() as u64;
            self.send(&name, body).await?;
        }
        Ok((bytes > 0).then_some(bytes))
    }

    /// Brings blobs, each checked, into a store; large ones by files in `scratch`. Returns how many bytes
    /// they have.
    ///
    /// # Errors
    /// One is not there, or was changed; the bucket, the store or the disk failed.
    pub fn bring_blobs<E: From<BucketError> + From<StoreError>>(
        &self,
        blobs: &[WantedBlob],
        scratch: &Path,
        store: &dyn Store,
        cancel: &Cancel,
    ) -> Result<u64, E> {
        let mut bytes = 0;
        let each = iter(blobs).map(|blob| async move {
            let name = Self::blob_name(&blob.digest);
            let (brought, size) = match self.open_object(&name).await? {
                Some(got) => bring_blob(got, blob, &name, scratch).await?,
                None if blob.most >= chunked::LARGE => self.bring_chunks::<E>(blob, store).await?,
                None => return Err(BucketError::Gone(blob.digest).into()),
            };
            Ok::<_, E>((blob.digest, brought, size))
        });
        self.runtime.block_on(async {
            let mut each = each.buffer_unordered(ABREAST);
            while let Some(brought) = each.next().await {
                let (digest, brought, size) = brought?;
                match brought {
                    BroughtBlob::Bytes(bytes) => store.put(&bytes).map(|_| ())?,
                    BroughtBlob::File(path) => store.take(&path, cancel).map(|_| ())?,
                    BroughtBlob::Chunks(list) => match store.join(&digest, &list) {
                        Err(error) if error.is_missing() => {
                            return Err(BucketError::Changed(Self::list_name(&digest)).into());
                        }
                        joined => joined?,
                    },
                }
                bytes += size;
            }
            Ok(bytes)
        })
    }

    /// Brings the chunks of a blob that the store has not, each checked; returns their list.
    async fn bring_chunks<E: From<BucketError> + From<StoreError>>(
        &self,
        blob: &WantedBlob,
        store: &dyn Store,
    ) -> Result<(BroughtBlob, u64), E> {
        let name = Self::list_name(&blob.digest);
        let got = self.open_object(&name).await?;
        let got = got.ok_or(BucketError::Gone(blob.digest))?;
        let changed = || E::from(BucketError::Changed(name.clone()));
        if got.meta.size > LIST {
            return Err(changed());
        }
        let bytes = got.bytes().await.map_err(|error| failed(&name, &error))?;
        let list = ChunkList::decode(&bytes).ok_or_else(changed)?;
        if list.length() > blob.most {
            return Err(changed());
        }
        let distinct: BTreeMap<Digest, u32> = list
            .chunks
            .iter()
            .map(|chunk| (chunk.digest, chunk.size))
            .collect();
        // One that is damaged here is as good as none.
        let missing = distinct
            .into_iter()
            .filter(|(digest, _)| !store.has(digest).unwrap_or(false));
        let each = iter(missing).map(|(digest, size)| async move {
            let name = Self::blob_name(&digest);
            let got = self.open_object(&name).await?;
            let got = got.ok_or(BucketError::Gone(digest))?;
            if got.meta.size > u64::from(size) {
                return Err(BucketError::Changed(name));
            }
            Ok((checked(got, &name, &digest).await?, u64::from(size)))
        });
        let mut each = each.buffer_unordered(ABREAST);
        let mut brought = bytes.len() as u64;
        while let Some(chunk) = each.next().await {
            let (chunk, size) = chunk?;
            store.put(&chunk)?;
            brought += size;
        }
        Ok((BroughtBlob::Chunks(list), brought))
    }

    /// Returns a small object.
    ///
    /// # Errors
    /// It has more bytes than that; the bucket failed.
    pub fn get_small(&self, name: &str, most: u64) -> BucketResult<Option<Vec<u8>>> {
        let asked = async {
            let Some(got) = self.open_object(name).await? else {
                return Ok(None);
            };
            if got.meta.size > most {
                return Err(BucketError::Changed(name.to_owned()));
            }
            let bytes = got.bytes().await.map_err(|error| failed(name, &error))?;
            Ok(Some(bytes.to_vec()))
        };
        self.runtime.block_on(async {
            let answer = tokio::time::timeout(self.patience, asked).await;
            answer.unwrap_or_else(|_| {
                Err(BucketError::Failed {
                    name: name.to_owned(),
                    why: format!(
                        "no answer within {} s (NETSEC_REMOTE_TIMEOUT)",
                        self.patience.as_secs_f64()
                    ),
                })
            })
        })
    }

    /// Returns an object and which version of it that is.
    ///
    /// # Errors
    /// The bucket failed.
    pub fn get(&self, name: &str) -> BucketResult<Option<(Vec<u8>, SeenVersion)>> {
        self.runtime.block_on(self.read(name))
    }

    /// Writes an object that is not there; returns whether it was not.
    ///
    /// # Errors
    /// The bucket failed.
    pub fn create(&self, name: &str, body: Vec<u8>) -> BucketResult<bool> {
        self.put(name, body, PutMode::Create)
    }

    /// Writes an object in place of the version that was seen; returns whether it still was that one.
    ///
    /// # Errors
    /// The bucket failed.
    pub fn replace(&self, name: &str, body: Vec<u8>, seen: SeenVersion) -> BucketResult<bool> {
        if self.has_versions {
            return self.put(name, body, PutMode::Update(seen.0));
        }
        // A shared folder: whoever comes between the look and the write is not noticed, but its object is
        // whole either way.
        let now = self.get(name)?.and_then(|(_, now)| now.0.e_tag);
        match now == seen.0.e_tag {
            true => self.put(name, body, PutMode::Overwrite),
            false => Ok(false),
        }
    }

    /// Returns the names of objects that begin so.
    ///
    /// # Errors
    /// The bucket failed.
    pub fn list(&self, beginning: &str) -> BucketResult<Vec<String>> {
        let root = self.path(beginning);
        let skip = self.prefix.parts().count();
        let listed = self.store.list(Some(&root)).try_collect::<Vec<_>>();
        let listed = self.runtime.block_on(listed);
        let listed = listed.map_err(|error| failed(beginning, &error))?;
        let name = |location: &ObjectPath| {
            let parts = location.parts().skip(skip);
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            parts.join("/")
        };
        let mut names: Vec<String> = listed.iter().map(|meta| name(&meta.location)).collect();
        names.sort();
        Ok(names)
    }

    fn put(&self, name: &str, body: Vec<u8>, mode: PutMode) -> BucketResult<bool> {
        let path = self.path(name);
        let options = PutOptions::from(mode);
        let put = self.store.put_opts(&path, PutPayload::from(body), options);
        match self.runtime.block_on(put) {
            Ok(_) => Ok(true),
            Err(ObjectError::AlreadyExists { .. } | ObjectError::Precondition { .. }) => Ok(false),
            Err(error) => Err(failed(name, &error)),
        }
    }

    async fn size(&self, name: &str) -> BucketResult<Option<u64>> {
        match self.store.head(&self.path(name)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(name, &error)),
        }
    }

    async fn send(&self, name: &str, body: Vec<u8>) -> BucketResult<()> {
        let path = self.path(name);
        let told = |error: ObjectError| failed(name, &error);
        if body.len() <= WHOLE {
            let put = self.store.put(&path, PutPayload::from(body)).await;
            return put.map(|_| ()).map_err(told);
        }
        let parts = self.store.put_multipart(&path).await.map_err(told)?;
        let mut parts = WriteMultipart::new_with_chunk_size(parts, WHOLE);
        parts.write(&body);
        parts.finish().await.map(|_| ()).map_err(told)
    }

    async fn read(&self, name: &str) -> BucketResult<Option<(Vec<u8>, SeenVersion)>> {
        let told = |error: ObjectError| failed(name, &error);
        let Some(got) = self.open_object(name).await? else {
            return Ok(None);
        };
        let version = UpdateVersion {
            e_tag: got.meta.e_tag.clone(),
            version: got.meta.version.clone(),
        };
        let bytes = got.bytes().await.map_err(told)?;
        Ok(Some((bytes.to_vec(), SeenVersion(version))))
    }
    async fn open_object(&self, name: &str) -> BucketResult<Option<GetResult>> {
        match self.store.get(&self.path(name)).await {
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(name, &error)),
            Ok(got) => Ok(Some(got)),
        }
    }
}

/// Brings a blob that lies there as one object, and returns with it how many bytes it has.
async fn bring_blob(
    got: GetResult,
    blob: &WantedBlob,
    name: &str,
    scratch: &Path,
) -> BucketResult<(BroughtBlob, u64)> {
    let size = got.meta.size;
    if size > blob.most {
        return Err(BucketError::Changed(name.to_owned()));
    }
    let brought = match size <= WHOLE as u64 {
        true => BroughtBlob::Bytes(checked(got, name, &blob.digest).await?),
        false => spooled(got, name, &blob.digest, scratch).await?,
    };
    Ok((brought, size))
}

async fn checked(got: GetResult, name: &str, digest: &Digest) -> BucketResult<Vec<u8>> {
    let bytes = got.bytes().await.map_err(|error| failed(name, &error))?;
    match Digest::of(&bytes) == *digest {
        true => Ok(bytes.to_vec()),
        false => Err(BucketError::Changed(name.to_owned())),
    }
}

/// Writes an object to a file as it comes, so that it takes no memory.
async fn spooled(
    got: GetResult,
    name: &str,
    digest: &Digest,
    scratch: &Path,
) -> BucketResult<BroughtBlob> {
    let local = |error: String| BucketError::Local(error);
    let mut file = disk::temporary(scratch).map_err(|error| local(error.to_string()))?;
    let mut hasher = StreamHasher::default();
    let mut pieces = got.into_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| failed(name, &error))?;
        hasher.update(&piece);
        file.write_all(&piece)
            .map_err(|error| local(error.to_string()))?;
    }
    match hasher.finish() == *digest {
        true => Ok(BroughtBlob::File(file.into_temp_path())),
        false => Err(BucketError::Changed(name.to_owned())),
    }
}
