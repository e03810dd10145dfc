//! The address of a bucket and what the environment adds to it: keys, regions, endpoints.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig};

use crate::bucket::error::{BucketError, BucketResult, plain};
use crate::far::patience::{PATIENCE_VARIABLE, patience};

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

/// So many times that a server may say nothing while much is on its way.
const SILENCE: u32 = 4;

/// A bucket that an address leads to.
pub(crate) struct BucketPlace {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: ObjectPath,
    /// Whether an object can be replaced only if it is what was seen.
    pub(crate) has_versions: bool,
    /// How long an answer to a small question is waited for.
    pub(crate) patience: Duration,
}

/// A server that fails is asked again a few times within some seconds: a run goes on without it.
fn retries(patience: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 3,
        retry_timeout: patience * SILENCE,
    }
}

/// A builder that takes what the address and the environment say.
macro_rules! built {
    ($builder:ty, $url:expr, $options:expr, $patience:expr) => {{
        let mut builder = <$builder>::new()
            .with_url($url.to_string())
            .with_retry(retries($patience));
        for (option, value) in $options {
            // What belongs to another kind of bucket is left out.
            if let Ok(option) = option.parse() {
                builder = builder.with_config(option, value);
            }
        }
        builder
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
    }};
}

/// Finds the bucket that an address leads to, without a look at it.
///
/// # Errors
/// The address is none.
pub(crate) fn open(
    url: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> BucketResult<BucketPlace> {
    let wrong = |why: String| BucketError::Address {
        url: url.to_owned(),
        why,
    };
    let parsed = url::Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        // Not repeated: it may end up in a log.
        return Err(BucketError::Address {
            url: "…".to_owned(),
            why: "an address must not hold a password: keys come from the environment".to_owned(),
        });
    }
    let (scheme, prefix) =
        ObjectStoreScheme::parse(&parsed).map_err(|error| wrong(error.to_string()))?;
    let patience = patience(environment).map_err(|why| BucketError::Setting {
        variable: PATIENCE_VARIABLE,
        why,
    })?;
    let options = options(environment, patience);
    let store = match scheme {
        ObjectStoreScheme::Local => Ok(Arc::new(LocalFileSystem::new()) as Arc<dyn ObjectStore>),
        ObjectStoreScheme::AmazonS3 => built!(AmazonS3Builder, parsed, options, patience),
        ObjectStoreScheme::GoogleCloudStorage => {
            built!(GoogleCloudStorageBuilder, parsed, options, patience)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            built!(MicrosoftAzureBuilder, parsed, options, patience)
        }
        _ => {
            return Err(wrong(
                "write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER"
                    .to_owned(),
            ));
        }
    };
    Ok(BucketPlace {
        store: store.map_err(|error| wrong(plain(&error)))?,
        prefix,
        has_versions: parsed.scheme() != "file",
        patience,
    })
}

fn options(
    environment: &dyn Fn(&str) -> Option<String>,
    patience: Duration,
) -> Vec<(&'static str, String)> {
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
    let has_plain = options
        .iter()
        .any(|(option, value)| *option == "aws_endpoint" && is_here(value));
    if has_plain {
        options.push(("aws_allow_http", "true".to_owned()));
    }
    let milliseconds = |time: Duration| format!("{} ms", time.as_millis());
    options.push(("connect_timeout", milliseconds(patience)));
    options.push(("read_timeout", milliseconds(patience * SILENCE)));
    options.push(("timeout", "1 hour".to_owned()));
    options
}
