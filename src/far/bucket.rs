//! A bucket: S3, GCS, Azure, or a shared folder, by its address.
//!
//! What is content-addressed is written once and never changed; a pointer is changed only by who has seen
//! what it was (If-Match), so that of two who move it at once one is refused. Whatever is read back is
//! checked against its name.

use std::sync::Arc;

use futures_util::stream::{StreamExt, TryStreamExt, iter};
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as ObjectError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    UpdateVersion, WriteMultipart, parse_url_opts,
};
use tokio::runtime::Runtime;

use crate::base::digest::Digest;

/// So many objects are on their way at a time.
const ABREAST: usize = 8;

/// Objects above this many bytes are sent in parts.
const WHOLE: usize = 8 << 20;

/// What an address may say, and by which variables of the environment, for all kinds of buckets.
pub const VARIABLES: [(&str, &str); 17] = [
    ("AWS_ACCESS_KEY_ID", "aws_access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
    ("AWS_SESSION_TOKEN", "aws_session_token"),
    ("AWS_DEFAULT_REGION", "aws_region"),
    ("AWS_REGION", "aws_region"),
    ("AWS_ENDPOINT_URL", "aws_endpoint"),
    ("AWS_ENDPOINT_URL_S3", "aws_endpoint"),
    ("AWS_ROLE_ARN", "aws_role_arn"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "aws_web_identity_token_file"),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "aws_container_credentials_relative_uri",
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "aws_container_credentials_full_uri",
    ),
    (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "google_application_credentials",
    ),
    ("GOOGLE_SERVICE_ACCOUNT", "google_service_account"),
    ("AZURE_STORAGE_ACCOUNT_NAME", "azure_storage_account_name"),
    ("AZURE_STORAGE_ACCOUNT_KEY", "azure_storage_account_key"),
    ("AZURE_STORAGE_SAS_KEY", "azure_storage_sas_key"),
    ("AZURE_STORAGE_TOKEN", "azure_storage_token"),
];

/// Why a bucket did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The address is none.
    #[error("`{url}` is no address of a bucket: {why}")]
    Address {
        /// The address.
        url: String,
        /// Why.
        why: String,
    },
    /// The bucket does not let this user in.
    #[error(
        "the bucket does not let this user in: look at the keys in the environment, and at what they may do"
    )]
    Denied,
    /// Something else went wrong.
    #[error("the bucket failed at `{name}`: {why}")]
    Failed {
        /// The object.
        name: String,
        /// Why.
        why: String,
    },
    /// An object is not what its name says.
    #[error("`{0}` was changed in the bucket: its bytes are not those of its name")]
    Changed(String),
}

type BucketResult<T> = Result<T, BucketError>;

/// Keeps a blob that was brought.
pub type KeepBlob<'a, E> = &'a mut dyn FnMut(&Digest, Vec<u8>) -> Result<(), E>;

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
}

impl Bucket {
    /// Opens a bucket by its address: `s3://BUCKET/PREFIX`, `gs://…`, `az://…`, `file:///FOLDER`.
    ///
    /// # Errors
    /// The address is none.
    pub fn open(url: &str, environment: &dyn Fn(&str) -> Option<String>) -> BucketResult<Self> {
        let address = |why: String| BucketError::Address {
            url: url.to_owned(),
            why,
        };
        let parsed = url::Url::parse(url).map_err(|error| address(error.to_string()))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            // Not repeated: it may end up in a log.
            return Err(BucketError::Address {
                url: "…".to_owned(),
                why: "an address must not hold a password: keys come from the environment"
                    .to_owned(),
            });
        }
        let mut options: Vec<(&str, String)> = Vec::new();
        for (variable, option) in VARIABLES {
            if let Some(value) = environment(variable).filter(|value| !value.is_empty()) {
                options.push((option, value));
            }
        }
        // A bucket of this machine, as in tests, is spoken to plainly.
        let is_here = |value: &str| {
            ["http://127.0.0.1", "http://localhost"]
                .iter()
                .any(|here| value.starts_with(here))
        };
        if options
            .iter()
            .any(|(option, value)| *option == "aws_endpoint" && is_here(value))
        {
            options.push(("aws_allow_http", "true".to_owned()));
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| address(error.to_string()))?;
        let (store, prefix) =
            parse_url_opts(&parsed, options).map_err(|error| address(plain(&error)))?;
        Ok(Self {
            store: Arc::from(store),
            prefix,
            runtime,
            has_versions: parsed.scheme() != "file",
        })
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

    /// Brings blobs, each checked, to `keep`.
    ///
    /// # Errors
    /// One is not there, or was changed; the bucket failed.
    pub fn bring_blobs<E: From<BucketError>>(
        &self,
        digests: &[Digest],
        keep: KeepBlob<'_, E>,
    ) -> Result<(), E> {
        let each = iter(digests).map(|digest| async move {
            let name = Self::blob_name(digest);
            let body = self.read(&name).await?;
            let body = body.map(|(body, _)| body);
            let body = body.ok_or_else(|| BucketError::Failed {
                name: name.clone(),
                why: "it is not there".to_owned(),
            })?;
            match Digest::of(&body) == *digest {
                true => Ok::<_, BucketError>((digest, body)),
                false => Err(BucketError::Changed(name)),
            }
        });
        self.runtime.block_on(async {
            let mut each = each.buffer_unordered(ABREAST);
            while let Some(brought) = each.next().await {
                let (digest, body) = brought?;
                keep(digest, body)?;
            }
            Ok(())
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
        let got = match self.store.get(&self.path(name)).await {
            Err(ObjectError::NotFound { .. }) => return Ok(None),
            got => got.map_err(told)?,
        };
        let version = UpdateVersion {
            e_tag: got.meta.e_tag.clone(),
            version: got.meta.version.clone(),
        };
        let bytes = got.bytes().await.map_err(told)?;
        Ok(Some((bytes.to_vec(), SeenVersion(version))))
    }
}

fn failed(name: &str, error: &ObjectError) -> BucketError {
    match error {
        ObjectError::PermissionDenied { .. } | ObjectError::Unauthenticated { .. } => {
            BucketError::Denied
        }
        error => BucketError::Failed {
            name: name.to_owned(),
            why: plain(error),
        },
    }
}

/// The library's words, on one line and not too many of them.
fn plain(error: &ObjectError) -> String {
    let text = error.to_string().replace('\n', " ");
    text.chars().take(300).collect()
}
