//! A bucket: S3, GCS, Azure, or a shared folder, by its address.
//!
//! What is content-addressed is written once and never changed; a pointer is changed only by who has seen
//! what it was (If-Match), so that of two who move it at once one is refused. Whatever is read back is
//! checked against its name.

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

/// So many objects are on their way at a time.
const ABREAST: usize = 8;

/// Objects above this many bytes are sent in parts.
const WHOLE: usize = 8 << 20;

/// A blob that was brought, and whose bytes are those of its name.
enum BroughtBlob {
    /// A small one.
    Bytes(Vec<u8>),
    /// A large one, in a file that goes when this does.
    File(TempPath),
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

    /// Sends blobs that are not there; `read` gives their bytes, `told` is told of each. Returns how many
    /// were sent, and their bytes.
    ///
    /// # Errors
    /// The bucket failed: what was sent stays, so that asking again goes on from there.
    pub fn send_blobs<E: From<BucketError>>(
        &self,
        digests: &[Digest],
        read: &dyn Fn(&Digest) -> Result<Vec<u8>, E>,
        told: &mut dyn FnMut(usize),
    ) -> Result<(usize, u64), E> {
        let (mut sent, mut bytes, mut done) = (0, 0, 0);
        let each = iter(digests).map(|digest| async move {
            let name = Self::blob_name(digest);
            if self.size(&name).await?.is_some() {
                return Ok(None);
            }
            let body = read(digest)?;
            let size = body.len() as u64;
            self.send(&name, body).await?;
            Ok::<_, E>(Some(size))
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
            let got = self.open_object(&name).await?;
            let got = got.ok_or(BucketError::Gone(blob.digest))?;
            let size = got.meta.size;
            if size > blob.most {
                return Err(BucketError::Changed(name));
            }
            let brought = match size <= WHOLE as u64 {
                true => checked(got, &name, &blob.digest).await?,
                false => spooled(got, &name, &blob.digest, scratch).await?,
            };
            Ok::<_, BucketError>((brought, size))
        });
        self.runtime.block_on(async {
            let mut each = each.buffer_unordered(ABREAST);
            while let Some(brought) = each.next().await {
                let (brought, size) = brought?;
                match brought {
                    BroughtBlob::Bytes(bytes) => store.put(&bytes).map(|_| ())?,
                    BroughtBlob::File(path) => store.take(&path, cancel).map(|_| ())?,
                }
                bytes += size;
            }
            Ok(bytes)
        })
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

async fn checked(got: GetResult, name: &str, digest: &Digest) -> BucketResult<BroughtBlob> {
    let bytes = got.bytes().await.map_err(|error| failed(name, &error))?;
    match Digest::of(&bytes) == *digest {
        true => Ok(BroughtBlob::Bytes(bytes.to_vec())),
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
